//! Sinks: one component per file, each with its SPEC and one line in [`ALL`].
//!
//! A sink is called by one thread, `sink:<name>`, which owns the transaction and does the counting of batches
//! and events; a sink itself counts what only it can see: connections (files), and events it failed to write.

use crate::component::SinkSpec;

pub mod file_roll;
mod logger;
mod null;
#[cfg(test)]
mod testing;

/// Every sink type.
pub static ALL: &[&SinkSpec] = &[&file_roll::SPEC, &logger::SPEC, &null::SPEC];
