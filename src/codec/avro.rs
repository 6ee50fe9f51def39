//! Avro RPC as Flume speaks it: `AvroSourceProtocol` over Avro's Netty framing, both sides (reference, wire.md 1).
//!
//! ```text
//!   frame -> [handshake] -> metadata, message name, parameters        server: `Server`
//!   frame <- [handshake] <- metadata, error flag, Status or text      client: `Caller`
//! ```
//! `frame` has the framing, `wire` the encoding, `handshake` who may talk to whom, `event` events in both directions.

mod caller;
mod event;
mod frame;
mod handshake;
mod protocol;
#[cfg(test)]
mod recorded;
mod server;
mod wire;

pub use caller::{stranger, Caller, Reply, ReplyError};
pub use frame::Frames;
pub use server::Server;

/// The answer to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok,
    Failed,
    Unknown,
}

impl Status {
    /// As on the wire: the symbol's place in the enum, zig-zag.
    fn byte(self) -> u8 {
        2 * self as u8
    }

    fn of(index: i64) -> Option<Status> {
        [Status::Ok, Status::Failed, Status::Unknown].get(usize::try_from(index).ok()?).copied()
    }
}
