//! The server's side of a connection: where each request begins and ends, and what it is.
//!
//! ```text
//!   Head -- all of it is here ---------------------------------> a request, a span of what was read
//!    |  \-- large, chunked, coded, or to be told to go on --> Body --> a request, with memory of its own
//!    |                                                          |
//!    +---- no request, or one whose body is not wanted --> Over <    (whatever still comes is dropped)
//! ```
//! A small request is left where it was read until it is complete, and not copied; of others the head is copied, and the
//! body collected ([`Body`]). Answers, their order and the handler are the caller's.

use super::body::{Body, Fed};
use super::head::{self, Coding, Head, Length, Manner, Refused, Rules};
use super::request::Request;
use super::scan::{blank, Scan};
use crate::codec::Chunk;
use crate::event::{Buffer, Spares};
use std::sync::Arc;

/// A request up to this size is completed where it is read: what the loop's buffers hold.
const IN_PLACE: u64 = 64 << 10;
const RULES: Rules = Rules { needs_host: true };

/// What a connection's requests may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Most {
    /// Bytes of a head.
    pub head: usize,
    /// Bytes of a body, as sent and with its coding undone.
    pub body: usize,
}

pub struct Server {
    state: State,
    most: Most,
    spares: Arc<Spares>,
}

enum State {
    /// `needed`: bytes of the request at hand, if it is completed in place.
    Head {
        scan: Scan,
        needed: usize,
        has_begun: bool,
    },
    Body(Box<Incoming>),
    Over,
}

/// A request whose body is being collected.
struct Incoming {
    head: Vec<u8>,
    body: Body,
    manner: Manner,
}

/// What a call of [`Server::decode`] came to. `T` is what was made of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Got<T> {
    NeedMore,
    /// There is more to do with what is there, in another turn.
    Pause,
    /// The client is to be told to go on.
    Continue,
    Request(T, Manner),
    /// A request that is answered without a handler. The connection ends with that if its manner says so.
    Refused(Refused, Manner),
    /// What comes cannot be followed any more: the connection ends with this answer.
    Broken(Refused, Manner),
}

impl Server {
    /// With memory that other connections use as well.
    pub fn new(most: Most, spares: Arc<Spares>) -> Server {
        Server { state: State::begin(), most, spares }
    }

    /// Bytes held of a request that is not complete.
    pub fn held(&self) -> usize {
        match &self.state {
            State::Body(incoming) => incoming.head.len() + incoming.body.held(),
            _ => 0,
        }
    }

    /// Whether some of a request has been taken and not all.
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether a request has begun and not ended.
    pub fn has_begun(&self) -> bool {
        match self.state {
            State::Head { has_begun, .. } => has_begun,
            State::Body(_) => true,
            State::Over => false,
        }
    }

    /// How the request at hand wants to be answered, as far as is known. Nothing more is taken.
    pub fn end(&mut self) -> Manner {
        let manner = match &self.state {
            State::Body(incoming) => incoming.manner,
            _ => Manner::default(),
        };
        self.state = State::Over;
        Manner { close: true, ..manner }
    }

    /// Takes at most one request from the chunk; `take` is given it. Returns how many bytes are used.
    pub fn decode<T>(&mut self, chunk: &Chunk<'_>, take: impl FnOnce(&Request<'_>) -> T) -> (usize, Got<T>) {
        match &mut self.state {
            State::Over => (chunk.bytes().len(), Got::NeedMore),
            State::Body(_) => self.body(chunk.bytes(), 0, take),
            State::Head { .. } => self.head(chunk, take),
        }
    }

    fn head<T>(&mut self, chunk: &Chunk<'_>, take: impl FnOnce(&Request<'_>) -> T) -> (usize, Got<T>) {
        let State::Head { scan, needed, has_begun } = &mut self.state else { return (0, Got::NeedMore) };
        let blank = blank(chunk.bytes());
        if blank > 0 {
            *scan = Scan::default();
        }
        let bytes = &chunk.bytes()[blank..];
        *has_begun = !bytes.is_empty();
        if bytes.len() < *needed || bytes.is_empty() {
            return (blank, Got::NeedMore);
        }
        let end = match scan.end(bytes, self.most.head) {
            Ok(Some(end)) => end,
            Ok(None) => return (blank, Got::NeedMore),
            Err(refused) => return self.broken(chunk, refused, Manner::default()),
        };
        let mut room = head::room();
        let head = match head::parse(&bytes[..end], &mut room, RULES) {
            Ok(head) => head,
            Err(refused) => return self.broken(chunk, refused, Manner::default()),
        };
        let manner = head.manner;
        if let Some(refused) = self.judge(&head) {
            let close = manner.close || head.has_body();
            if refused.status == 413 {
                return self.broken(chunk, refused, manner);
            }
            self.next_or_over(close);
            return (blank + end, Got::Refused(refused, Manner { close, ..manner }));
        }
        let coding = head.coding.unwrap_or(Coding::Identity);
        if let (Length::Bytes(n), Coding::Identity) = (head.length, coding) {
            let whole = end as u64 + n;
            let is_here = whole <= bytes.len() as u64;
            if is_here || (whole <= IN_PLACE && !head.expects_continue) {
                let whole = whole as usize;
                if !is_here {
                    // The head is looked at again then.
                    self.state = State::Head { scan: Scan::default(), needed: whole, has_begun: true };
                    return (blank, Got::NeedMore);
                }
                let from = chunk.from + blank + end;
                let body = Chunk { buffer: chunk.buffer, from, to: chunk.from + blank + whole };
                let taken = take(&head.request(body));
                self.next_or_over(manner.close);
                return (blank + whole, Got::Request(taken, manner));
            }
        }
        let waits = head.expects_continue && bytes.len() == end;
        let (copy, body) =
            (bytes[..end].to_vec(), Body::new(head.length, coding, self.most.body, &self.spares));
        self.state = State::Body(Box::new(Incoming { head: copy, body, manner }));
        if waits {
            return (blank + end, Got::Continue);
        }
        self.body(chunk.bytes(), blank + end, take)
    }

    /// Goes on with a body that begins, or goes on, at `from`.
    fn body<T>(
        &mut self,
        bytes: &[u8],
        from: usize,
        take: impl FnOnce(&Request<'_>) -> T,
    ) -> (usize, Got<T>) {
        let State::Body(incoming) = &mut self.state else { return (from, Got::NeedMore) };
        let manner = incoming.manner;
        let (used, fed) = match incoming.body.feed(&bytes[from..]) {
            Ok(fed) => fed,
            Err(refused) => return (bytes.len(), self.end_with(refused, manner)),
        };
        let used = from + used;
        match fed {
            Fed::NeedMore => return (used, Got::NeedMore),
            Fed::Pause => return (used, Got::Pause),
            Fed::End => {}
        }
        let State::Body(incoming) = std::mem::replace(&mut self.state, State::begin()) else {
            return (used, Got::NeedMore);
        };
        let Incoming { head, body, .. } = *incoming;
        let whole = match body.finish() {
            Ok(whole) => whole,
            Err(refused) => return (bytes.len(), self.end_with(refused, manner)),
        };
        let mut room = head::room();
        // It was parsed before.
        let Ok(head) = head::parse(&head, &mut room, RULES) else { return (used, Got::NeedMore) };
        let buffer = Buffer::spare(whole, &self.spares);
        let body = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
        let taken = take(&head.request(body));
        self.next_or_over(manner.close);
        (used, Got::Request(taken, manner))
    }

    /// What is wrong with a request whose framing is right, as far as its head shows it.
    fn judge(&self, head: &Head<'_, '_>) -> Option<Refused> {
        match head.method {
            "POST" | "GET" | "HEAD" => {}
            "TRACE" | "OPTIONS" => return Some(Refused::new(403, "")),
            _ => return Some(Refused::new(405, "events are posted")),
        }
        if head.expects_other {
            return Some(Refused::new(417, "of Expect there is 100-continue alone"));
        }
        if head.coding.is_none() {
            return Some(Refused::new(415, "of Content-Encoding there are gzip and deflate, one of them"));
        }
        match head.length {
            Length::Bytes(n) if n > self.most.body as u64 => {
                let most = self.most.body;
                let why = format!("a body of {n} bytes, more than {most}: see the source's maxRequestBytes");
                Some(Refused::new(413, why))
            }
            _ => None,
        }
    }

    fn next_or_over(&mut self, close: bool) {
        self.state = if close { State::Over } else { State::begin() };
    }

    fn broken<T>(&mut self, chunk: &Chunk<'_>, refused: Refused, manner: Manner) -> (usize, Got<T>) {
        (chunk.bytes().len(), self.end_with(refused, manner))
    }

    fn end_with<T>(&mut self, refused: Refused, manner: Manner) -> Got<T> {
        self.state = State::Over;
        Got::Broken(refused, Manner { close: true, ..manner })
    }
}

impl State {
    fn begin() -> State {
        State::Head { scan: Scan::default(), needed: 0, has_begun: false }
    }
}

impl<'h, 'a> Head<'h, 'a> {
    /// The request that this head and a body make.
    fn request<'r>(&self, body: Chunk<'r>) -> Request<'r>
    where
        'h: 'r,
        'a: 'r,
    {
        Request { method: self.method, path: self.path, query: self.query, headers: self.headers, body }
    }
}

#[cfg(test)]
mod tests;
