//! The session of a source whose clients make calls: each is stored whole, and answered when it is.
//!
//! Of the Avro and the Thrift source. Called by its connection's loop thread.

use crate::codec::rpc::Status;
use crate::codec::{avro, thrift, BatchLimits, Chunk, Decoded};
use crate::event::Batch;
use crate::net::{After, Outcome, Session};

/// What both codecs have: calls in, answers out, in their order.
pub trait Server: Send {
    fn decode(&mut self, chunk: &Chunk<'_>, most: usize, batch: &mut Batch) -> Decoded;
    fn held(&self) -> usize;
    fn is_inside(&self) -> bool;
    fn set_max(&mut self, max: usize);
    fn answer(&mut self, is_stored: bool, out: &mut Vec<u8>);
}

macro_rules! server {
    ($server:ty) => {
        impl Server for $server {
            fn decode(&mut self, chunk: &Chunk<'_>, most: usize, batch: &mut Batch) -> Decoded {
                self.decode(chunk, most, batch)
            }
            fn held(&self) -> usize {
                self.held()
            }
            fn is_inside(&self) -> bool {
                self.is_inside()
            }
            fn set_max(&mut self, max: usize) {
                self.set_max(max);
            }
            fn answer(&mut self, is_stored: bool, out: &mut Vec<u8>) {
                self.answer(if is_stored { Status::Ok } else { Status::Failed }, out);
            }
        }
    };
}

server!(avro::Server);
server!(thrift::Server);

pub struct Calls<S>(S);

impl<S: Server> Calls<S> {
    pub fn of(server: S) -> Calls<S> {
        Calls(server)
    }
}

impl<S: Server> Session for Calls<S> {
    fn decode(&mut self, chunk: &Chunk<'_>, _: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
        self.0.decode(chunk, limits.events, batch)
    }

    fn memory(&self) -> usize {
        self.0.held()
    }

    fn is_inside(&self) -> bool {
        self.0.is_inside()
    }

    /// A handshake is made once for a connection, and calls without an answer are known to it.
    fn outlives_its_source(&mut self, longest: usize) -> bool {
        self.0.set_max(longest);
        true
    }

    fn answer(&mut self, _: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
        self.0.answer(matches!(outcome, Outcome::Stored), out);
        After::Continue
    }
}
