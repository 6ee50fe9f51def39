//! Sinks: one component per file, each with its SPEC and one line in [`ALL`].
//!
//! A sink is called by one thread, `sink:<name>`, which owns the transaction and counts batches, events and
//! failures; a sink itself counts what only it can see: its connections (file_roll: files).

use crate::component::SinkSpec;

mod avro;
pub mod file_roll;
mod http;
mod logger;
mod null;
mod rpc;
#[cfg(test)]
pub(crate) mod testing;
mod thrift;

/// Every sink type.
pub use file_roll::PATH_MANAGERS;

pub static ALL: &[&SinkSpec] =
    &[&avro::SPEC, &file_roll::SPEC, &http::SPEC, &logger::SPEC, &null::SPEC, &thrift::SPEC];
