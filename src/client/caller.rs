//! The protocols that a connection can speak, seen alike: calls out, answers in. Pure.

use crate::codec::rpc::{Reply, ReplyError};
use crate::codec::thrift::{self, Encoding};
use crate::codec::{avro, thrift::LARGEST};
use crate::event::EventRef;

/// An Avro batch that takes more is sent in several calls: the avro source accepts twice this, unless told otherwise.
const MOST: usize = 32 << 20;

/// What a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    #[default]
    Avro,
    Thrift(Encoding),
}

pub enum Caller {
    Avro(avro::Caller),
    Thrift(thrift::Caller),
}

impl Caller {
    pub fn new(protocol: Protocol) -> Caller {
        match protocol {
            Protocol::Avro => Caller::Avro(avro::Caller::default()),
            Protocol::Thrift(encoding) => Caller::Thrift(thrift::Caller::new(encoding)),
        }
    }

    /// Adds a call that asks for nothing, where the protocol has one: whether the server speaks it is known then before
    /// there is anything to lose. Returns its number.
    pub fn ping(&mut self, out: &mut Vec<u8>) -> Option<i32> {
        match self {
            Caller::Avro(c) => Some(c.ping(out)),
            Caller::Thrift(_) => None,
        }
    }

    /// Adds a call with one event; returns its number, or `None` for one that no call holds.
    pub fn append(&mut self, event: EventRef<'_>, out: &mut Vec<u8>) -> Option<i32> {
        match self {
            Caller::Avro(c) => c.append(event, out),
            Caller::Thrift(c) => c.append(event, out),
        }
    }

    /// Adds a call with the first `n` of what `events` gives; `None`, and nothing added, if they take more than a call may.
    pub fn append_some<'a, I: Iterator<Item = EventRef<'a>>>(
        &mut self,
        n: usize,
        events: impl Fn() -> I,
        out: &mut Vec<u8>,
    ) -> Option<i32> {
        match self {
            Caller::Avro(c) => c.append_some(n, events(), if n > 1 { MOST } else { usize::MAX }, out),
            Caller::Thrift(c) => c.append_some(n, events, out),
        }
    }

    /// Takes what it can of `bytes`: how many, and an answer with its number if one is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Result<Option<(i32, Reply)>, ReplyError>) {
        match self {
            Caller::Avro(c) => c.feed(bytes),
            Caller::Thrift(c) => c.feed(bytes),
        }
    }

    /// What is wrong with an event that no call holds.
    pub fn too_large(&self) -> String {
        match self {
            Caller::Avro(_) => "an event that no Avro call holds".to_owned(),
            Caller::Thrift(_) => format!("an event above the {LARGEST} bytes of a Thrift frame"),
        }
    }

    /// What to ask oneself where the very first call has no answer. Flume closes a connection that speaks another
    /// encoding without a word.
    pub fn hint(&self) -> &'static str {
        match self {
            Caller::Avro(_) => {
                "; perhaps its compression-type is another, it expects TLS, or its ipFilterRules do not let this host in"
            }
            Caller::Thrift(_) => "; does it speak Thrift, with the same protocol (compact or binary)?",
        }
    }
}
