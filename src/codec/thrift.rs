//! Thrift RPC as Flume speaks it: `ThriftSourceProtocol` over framed transport, both sides (reference, wire.md 2).
//!
//! ```text
//!   length:int32  message        message = compact or binary protocol, told apart by its first byte
//! ```
//! The encoding is the `thrift` crate's, over frames in memory; `frame` has the framing, `input` reads what our messages
//! are made of without copying it, `output` writes. Server: [`Server`]; client: [`Caller`].

use super::rpc::Status;

mod caller;
mod decoder;
mod frame;
mod input;
mod output;
mod server;

pub use caller::Caller;
pub use frame::LARGEST;
pub use server::Server;

/// How a message is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    #[default]
    Compact,
    Binary,
}

/// A status as on the wire, which is not as Avro has it.
fn number(status: Status) -> i32 {
    match status {
        Status::Ok => 0,
        Status::Failed => 1,
        Status::Error => 2,
        Status::Unknown => 3,
    }
}

fn status(number: i32) -> Option<Status> {
    [Status::Ok, Status::Failed, Status::Error, Status::Unknown].get(usize::try_from(number).ok()?).copied()
}

/// Numbers of TApplicationException.
mod exception {
    pub const UNKNOWN_METHOD: i32 = 1;
    pub const INTERNAL_ERROR: i32 = 6;
    pub const PROTOCOL_ERROR: i32 = 7;
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
