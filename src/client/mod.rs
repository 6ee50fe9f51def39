//! Sends events to Avro sources: flumed's, or Flume's own. Blocking; for programs, and for the avro sink.
//!
//! A [`Connection`] is one connection to one server, ended by its first failure other than a refusal. Whoever calls is
//! told what it can rely on, see [`Outcome`]. Everything here belongs to the thread that calls it; names are resolved on
//! threads of their own, because that wait cannot be given a limit.

mod connection;
mod dial;
mod error;
#[cfg(test)]
pub(crate) mod testing;

pub use connection::{Connection, Settings};
pub use dial::Address;
pub use error::{Error, Outcome};
