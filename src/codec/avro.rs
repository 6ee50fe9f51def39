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

pub use super::rpc::{Reply, ReplyError, Status};
pub use caller::{stranger, Caller};
pub use frame::Frames;
pub use server::Server;

/// A status as on the wire: the symbol's place in the enum, zig-zag. There is no ERROR in it.
fn byte(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Failed | Status::Error => 2,
        Status::Unknown => 4,
    }
}

fn status(index: i64) -> Option<Status> {
    [Status::Ok, Status::Failed, Status::Unknown].get(usize::try_from(index).ok()?).copied()
}
