//! Worker threads: one for each sink, and one for each source that is polled.
//!
//! A worker calls its component, owns the transaction around each call, backs off after failures and begins anew
//! after a panic. It ends when its [`Stop`](crate::lifecycle::Stop) says so.
//!
//! Sinks of a group pass its `gate` before they take. A sink may have a budget of attempts, `maxDeliveryAttempts`, and a dead-letter file; see `sink::sift`.

mod gate;
mod sink;
mod source;

pub use gate::{Gate, Member};
pub use sink::{Budget, SinkRunner};
pub use source::SourceRunner;
