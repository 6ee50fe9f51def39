//! Codecs: bytes to messages and back, with no socket, clock, thread or log in sight.
//!
//! A decoder is fed what a connection (or a file, or a fuzzer) has: the unread bytes in a shared buffer and
//! whether more can come. It puts complete events into a batch as spans of that buffer and says how far it
//! got. What is left over is offered again, in front of the next bytes. After [`Then::Fail`] a decoder is
//! not called again.

pub mod avro;
pub mod beginning;
pub mod charset;
pub mod civil;
pub mod dateformat;
pub mod gather;
pub mod headers;
pub mod http;
pub mod java_regex;
pub mod jodaformat;
pub mod json;
pub mod line;
pub mod pattern;
pub mod posted;
pub mod readline;
pub mod rpc;
pub mod syslog;
pub mod text;
pub mod thrift;
pub mod xml;
pub mod zlib;

#[cfg(test)]
pub(crate) mod feed;

use crate::event::{Batch, Buffer};
use std::fmt;
use std::sync::Arc;

/// Unread bytes: `buffer[from..to]`.
pub struct Chunk<'a> {
    pub buffer: &'a Arc<Buffer>,
    pub from: usize,
    pub to: usize,
}

impl Chunk<'_> {
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }
}

/// How large a batch may become. The first event always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events; at least 1.
    pub events: usize,
    /// Bytes of bodies and headers.
    pub bytes: usize,
}

/// What a call of a decoder did.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// Bytes of the chunk that will not be offered again.
    pub used: usize,
    pub then: Then,
}

#[derive(Debug, PartialEq)]
pub enum Then {
    /// Nothing complete is left in the chunk. Messages may nevertheless have been put into the batch.
    NeedMore,
    /// There is more in the chunk, or made of it, than is to be done in one turn: call again in the next.
    Pause,
    /// A batch is complete (a limit was reached, or the protocol ends a batch here); call again for the rest.
    Full,
    /// A call is complete: what the batch holds, were it nothing, is stored whole or refused, and gets one answer.
    Call(Call),
    /// What is left to do for a call may block, or takes long: it is done on another thread, which fills an empty batch,
    /// and nothing more of this connection is decoded before.
    Work(Work),
    /// The peer broke the protocol: store what the batch holds, answer, close.
    Fail(Fault),
}

/// The part of decoding a call that may block, or takes long.
pub struct Work {
    /// Bytes that it keeps alive.
    pub bytes: usize,
    pub run: Box<dyn FnOnce(&mut Batch) -> Call + Send>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

/// No two are the same.
impl PartialEq for Work {
    fn eq(&self, _: &Work) -> bool {
        false
    }
}

/// A call of an RPC.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub kind: CallKind,
    /// Why its events cannot be stored, if that is known already. Then the batch is empty.
    pub refused: Option<Refusal>,
}

/// Why a call comes to no channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to log.
    pub why: String,
    /// Events that it has, as far as that was seen.
    pub events: usize,
    /// The call is at fault, whatever the channels take; its answer says so by itself.
    pub is_fault: bool,
}

impl Call {
    /// One that brings no events.
    pub fn question() -> Call {
        Call { kind: CallKind::Question, refused: None }
    }
}

/// What calls are counted by.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum CallKind {
    /// One event.
    Append,
    AppendBatch,
    /// Nothing to be stored.
    Question,
}

/// Why a connection cannot go on.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Fault {
    /// What to log.
    pub reason: String,
    /// Bytes to send before closing; may be empty.
    pub answer: Vec<u8>,
}
