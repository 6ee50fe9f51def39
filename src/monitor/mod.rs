//! The metrics endpoint: the agent's counters over HTTP, on the event loop.
//!
//! `/metrics` as Flume's JSON or as Prometheus text, `/healthz` for probes. Rendering happens on the loop's thread when
//! asked: a snapshot of some dozens of numbers.

mod http;
mod json;
mod prometheus;

pub use http::{Format, Monitor};
