//! Sink processors: one per file, each with its SPEC and one line in [`ALL`].
//!
//! A processor decides which sink of a group takes events next, and nothing else: each sink has its thread, which
//! passes the group's gate (`runner::gate`) before it takes. Pure decisions under the gate's lock, time passed in.

use crate::component::ProcessorSpec;

mod default;
mod failover;
mod load_balance;
mod penalty;
#[cfg(test)]
mod testing;

/// Every processor type.
pub static ALL: &[&ProcessorSpec] = &[&default::SPEC, &failover::SPEC, &load_balance::SPEC];
