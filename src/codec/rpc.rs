//! What Flume's RPCs have in common: events that are spans of the message that brought them, and what is answered.
//!
//! A header that comes twice in one event has its last value, in its first place. A name that cannot be kept as a key (the
//! process has too many, or it is too long) is not lost: it goes with its value, `name=value` and a newline, into one
//! header, [`MORE`], behind what an agent before us has put there. What a message becomes in memory is bounded: a few
//! bytes of it can be an event or a header.

use super::headers::Headers;
use crate::event::{Batch, Body, Key};
use std::borrow::Cow;
use std::ops::Range;

pub use super::headers::MORE;

/// What the events of one message may take beside its own bytes.
const MAX_OVERHEAD: usize = 64 << 20;
/// Headers of one event. Those that come twice count twice.
pub const MOST_OF_EVENT: usize = 64 << 10;
/// Headers of one message: all of it is decoded in one go.
pub const MOST_OF_MESSAGE: usize = 1 << 20;
/// Events and headers of a message that is decoded at once. A message of more is begun anew as [`Work`](super::Work): of
/// headers of two bytes it may have a million, which take a quarter of a second. By bytes nothing could be told: a
/// body is never looked at.
pub const MOST_AT_ONCE: usize = 16 << 10;

/// The answer to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok,
    Failed,
    /// Thrift's alone.
    Error,
    Unknown,
}

/// An answer, as the client has it.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Status(Status),
    /// The server could not carry out the call; its words.
    Error(String),
    /// A ping's.
    Pong,
    /// The call was not carried out: make it again.
    Again,
}

/// Why a connection is of no use any more.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The first answer is of another protocol: [`stranger`](super::avro::stranger) says what it looks like. No byte of it
    /// was taken.
    Stranger,
    Nonsense(String),
}

/// Why a message's events are not a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Excess {
    /// More events than the channels take at once, which is this many.
    Events(usize),
    /// More than is decoded in one go, or kept for one message; says of what.
    Other(String),
    /// More than is decoded at once.
    Long,
}

impl Excess {
    /// What is said of it; it is for the sender to make smaller calls.
    pub fn text(self) -> String {
        match self {
            Excess::Events(most) => format!(
                "it has more events than the channels take at once ({most}): raise their transactionCapacity, or lower \
                 the sender's batch size"
            ),
            Excess::Other(why) => why,
            Excess::Long => format!("it has more than {MOST_AT_ONCE} events and headers"),
        }
    }
}

/// What is said of a message of more bytes than the source takes.
pub fn too_large(size: usize, max: usize) -> String {
    format!(
        "a call of {size} bytes, more than {max}: raise the source's maxMessageBytes, or lower the sender's batch size"
    )
}

/// Puts the events of a message into a batch, within bounds. Belongs to a connection.
#[derive(Default)]
pub struct Events {
    headers: Headers,
    /// Events that the message at hand has, as far as it was read.
    claimed: usize,
    /// Headers that it had, and that its event at hand has.
    headers_read: usize,
    /// Whether it may have no more than is decoded at once.
    is_at_once: bool,
    seen: usize,
    kept_apart: Vec<u8>,
    /// Where an agent before us has put such.
    earlier: Range<usize>,
    /// Bytes to be put behind the message's.
    more: Vec<u8>,
}

impl Events {
    /// For messages that are decoded at once; longer ones are [`Excess::Long`].
    pub fn at_once() -> Events {
        Events { is_at_once: true, ..Events::default() }
    }

    pub fn begin_message(&mut self) {
        self.more.clear();
        (self.claimed, self.headers_read) = (0, 0);
    }

    /// Events of the last message by what it says, as far as that was read.
    pub fn claimed(&self) -> usize {
        self.claimed
    }

    /// So many events follow, of which the channels take `most` at once.
    pub fn expect(&mut self, n: usize, most: usize, batch: &mut Batch) -> Result<(), Excess> {
        self.claimed += n;
        if n > most - batch.len() {
            return Err(Excess::Events(most));
        }
        self.check_length()?;
        batch.reserve(n, 0);
        Ok(())
    }

    /// An event begins.
    pub fn begin(&mut self) {
        self.headers.begin();
        // Of an event whose message made no sense then.
        self.kept_apart.clear();
        (self.seen, self.earlier) = (0, 0..0);
    }

    /// So many headers of it follow.
    pub fn expect_headers(&mut self, n: usize) -> Result<(), Excess> {
        if n > MOST_OF_EVENT - self.seen {
            return Err(Excess::Other(format!("an event has more than {MOST_OF_EVENT} headers")));
        }
        self.headers_read += n;
        if self.headers_read > MOST_OF_MESSAGE {
            let why =
                format!("its events have more than {MOST_OF_MESSAGE} headers: lower the sender's batch size");
            return Err(Excess::Other(why));
        }
        self.check_length()
    }

    fn check_length(&self) -> Result<(), Excess> {
        let is_long = self.is_at_once && self.claimed + self.headers_read > MOST_AT_ONCE;
        if is_long {
            return Err(Excess::Long);
        }
        Ok(())
    }

    /// Its next header: where `message` has its name and value.
    pub fn header(&mut self, message: &[u8], name: Range<usize>, value: Range<usize>, batch: &Batch) {
        let name = &message[name];
        match self.headers.key(self.seen, name) {
            Some(key) => {
                if name == MORE.as_bytes() {
                    self.earlier = value.clone();
                }
                self.headers.set(key, batch.span_of_own(value.start, value.end));
            }
            None => {
                for part in [name, b"=", &message[value], b"\n"] {
                    self.kept_apart.extend_from_slice(part);
                }
            }
        }
        self.seen += 1;
    }

    /// It ends, with its body there.
    pub fn end(&mut self, message: &[u8], body: Range<usize>, batch: &mut Batch) -> Result<(), Excess> {
        if !self.kept_apart.is_empty() {
            let from = message.len() + self.more.len();
            self.more.extend_from_slice(&message[self.earlier.clone()]);
            self.more.append(&mut self.kept_apart);
            let span = batch.span_of_own(from, message.len() + self.more.len());
            if let Some(key) = Key::intern_own(MORE) {
                self.headers.set(key, span);
            }
        }
        batch.push(Body::At(batch.span_of_own(body.start, body.end)));
        if !self.headers.all().is_empty() {
            batch.push_headers(self.headers.all());
        }
        if batch.overhead() > MAX_OVERHEAD {
            let why = "its events and headers take more than 64 MiB beside their own bytes: lower the sender's batch size";
            return Err(Excess::Other(why.to_owned()));
        }
        Ok(())
    }

    /// What the batch's memory is made of: the message, and what belongs behind it.
    pub fn memory(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        message.append(&mut self.more);
        self.headers.shrink();
        message
    }
}

/// A string on the wire is UTF-8.
pub fn text(value: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(value) {
        Ok(_) => Cow::Borrowed(value),
        Err(_) => Cow::Owned(String::from_utf8_lossy(value).into_owned().into_bytes()),
    }
}
