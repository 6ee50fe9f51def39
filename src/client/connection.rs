//! One connection to a server: opened with the handshakes behind it, one call at a time.
//!
//! A connection that failed in any way but a refusal is of no use any more: an answer that comes too late can never be
//! taken for that to another call. A call has one deadline, from its first byte to the last of its answer, so that a
//! peer that drips bytes is not waited for. Belongs to one thread; no locks.

use super::caller::Caller;
use super::connector::Settings;
use super::dial::Address;
use super::error::{Error, Outcome};
use super::stream::Stream;
use crate::codec::avro::stranger;
use crate::codec::rpc::{Reply, ReplyError, Status};
use crate::event::{Batch, EventRef};
use crate::tls;
use std::io;
use std::time::{Duration, Instant};

/// Room for a call above this is not kept for the next one.
const KEPT: usize = 4 << 20;
const PIECE: usize = 4096;
/// Of a server's error text, this much is repeated.
const SHOWN: usize = 500;

/// An open connection.
pub struct Connection {
    peer: String,
    stream: Stream,
    request_timeout: Duration,
    caller: Caller,
    is_usable: bool,
    /// The server has answered something.
    is_known: bool,
    /// The call at hand.
    out: Vec<u8>,
    /// Read and not understood yet.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects and settles the handshakes. `tls`: what the settings have of it.
    pub(super) fn open(
        to: &Address,
        settings: &Settings,
        tls: Option<&tls::Client>,
    ) -> Result<Connection, Error> {
        let not_sent = |why: String| Error::new(Outcome::NotSent, why);
        let until = after(settings.connect_timeout);
        let stream = Stream::connect(to, settings, tls, until).map_err(not_sent)?;
        let mut c = Connection {
            peer: to.to_string(),
            stream,
            request_timeout: settings.request_timeout,
            caller: Caller::new(settings.protocol),
            is_usable: true,
            is_known: false,
            out: Vec::new(),
            rest: Vec::new(),
        };
        loop {
            c.out.clear();
            let Some(number) = c.caller.ping(&mut c.out) else { return Ok(c) };
            let failed = match c.exchange(number, until, settings.connect_timeout) {
                Ok(Reply::Pong) => return Ok(c),
                Ok(Reply::Again) => continue,
                Ok(other) => format!("an answer that makes no sense: {other:?}"),
                Err((_, why)) => why,
            };
            let failed = failed.strip_prefix("no Avro RPC: ").unwrap_or(&failed);
            return Err(not_sent(format!("no Avro RPC with {to}: {failed}")));
        }
    }

    /// Whether a call can be made. Notices that the server has closed the connection meanwhile.
    pub fn is_usable(&mut self) -> bool {
        // With no call open there is nothing to be read but the end.
        self.is_usable = self.is_usable && self.stream.is_quiet();
        self.is_usable
    }

    /// Sends an event alone, by `append`.
    pub fn append(&mut self, event: EventRef<'_>) -> Result<(), Error> {
        self.out.clear();
        let number = self.caller.append(event, &mut self.out);
        self.call(number).map_err(|e| Error { failed: 1, ..e })
    }

    /// Sends a batch by `appendBatch`: in one call, unless it takes more than 32 MiB, or the frame that Flume's Thrift has.
    pub fn append_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        self.append_events(batch.len(), |from| batch.iter().skip(from))
    }

    /// [`append_batch`](Connection::append_batch) for `n` events that are no batch: `events` gives them from one on.
    pub fn append_events<'a, I: Iterator<Item = EventRef<'a>>>(
        &mut self,
        n: usize,
        events: impl Fn(usize) -> I,
    ) -> Result<(), Error> {
        let (mut done, mut at_once) = (0, n);
        while done < n {
            let next = at_once.min(n - done);
            self.out.clear();
            let number = self.caller.append_some(next, || events(done), &mut self.out);
            if number.is_none() && next > 1 {
                at_once = next.div_ceil(2);
                continue;
            }
            self.call(number).map_err(|e| Error { acknowledged: done, failed: next, ..e })?;
            done += next;
        }
        Ok(())
    }

    /// Makes the call that was put into `out`.
    fn call(&mut self, number: Option<i32>) -> Result<(), Error> {
        let Some(number) = number else {
            return Err(Error::new(Outcome::TooLarge, self.caller.too_large()));
        };
        if !self.is_usable {
            return Err(Error::new(Outcome::NotSent, format!("the connection to {} has ended", self.peer)));
        }
        let limit = self.request_timeout;
        let answered = self.exchange(number, after(limit), limit);
        if self.out.capacity() > KEPT && self.out.len() <= self.out.capacity() / 2 {
            self.out = Vec::new();
        }
        let peer = &self.peer;
        let refused = |why: String| Err(Error::new(Outcome::Refused, format!("{peer} answered {why}")));
        match answered {
            Ok(Reply::Status(Status::Ok)) => Ok(()),
            Ok(Reply::Status(Status::Failed)) => {
                refused("FAILED: its channel is full, or takes no batch of this size; see its log".to_owned())
            }
            Ok(Reply::Status(Status::Error)) => refused("ERROR; see its log".to_owned()),
            Ok(Reply::Status(Status::Unknown)) => refused("UNKNOWN; see its log".to_owned()),
            Ok(Reply::Error(text)) => {
                let text: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
                refused(format!("with an error: {text}"))
            }
            Ok(Reply::Pong | Reply::Again) => {
                self.is_usable = false;
                let why = format!("{peer} answered what was not asked");
                Err(Error::new(Outcome::Unknown, why))
            }
            Err((outcome, why)) => Err(Error::new(outcome, format!("{peer}: {why}"))),
        }
    }

    /// Sends `out` and waits for its answer. Without one the connection has ended. `limit`: the time-out that says
    /// `until`, for messages.
    fn exchange(&mut self, number: i32, until: Instant, limit: Duration) -> Result<Reply, (Outcome, String)> {
        self.is_usable = false;
        if let Err(e) = self.stream.send(&self.out, until) {
            return Err(self.unsent(e, limit));
        }
        loop {
            let (used, got) = self.caller.feed(&self.rest);
            match got {
                Ok(None) => {}
                Ok(Some((of, reply))) if of == number => {
                    self.rest.drain(..used);
                    // What follows would be the answer to nothing.
                    (self.is_usable, self.is_known) = (self.rest.is_empty(), true);
                    return Ok(reply);
                }
                Ok(Some((of, _))) => {
                    let why = format!("it answered call {of}, where {number} was the last");
                    return Err((Outcome::Unknown, why));
                }
                Err(ReplyError::Stranger) => return Err((self.outcome_of_nonsense(), stranger(&self.rest))),
                Err(ReplyError::Nonsense(why)) => return Err((self.outcome_of_nonsense(), why)),
            }
            self.rest.drain(..used);
            let mut piece = [0; PIECE];
            match self.stream.read(&mut piece, until) {
                Ok(0) => return Err(self.unanswered(io::ErrorKind::UnexpectedEof.into(), limit)),
                Ok(n) => self.rest.extend_from_slice(&piece[..n]),
                Err(e) => return Err(self.unanswered(e, limit)),
            }
        }
    }

    /// What is known of a call that could not be sent as a whole.
    fn unsent(&mut self, e: io::Error, limit: Duration) -> (Outcome, String) {
        let hint = if self.is_known { "" } else { self.caller.hint() };
        let why = match e.kind() {
            io::ErrorKind::TimedOut => format!("not all could be sent within {} ms", limit.as_millis()),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                let words = self.stream.last_words().unwrap_or_else(|| format!("{e}{hint}"));
                format!("not all could be sent: {words}")
            }
            _ => format!("not all could be sent: {}", self.stream.last_words().unwrap_or(e.to_string())),
        };
        match self.stream.is_whole_or_nothing() || self.stream.is_refused() {
            // What is not there whole cannot be stored.
            true => (Outcome::NotSent, why),
            false => (Outcome::Unknown, why),
        }
    }

    /// And of one that was sent.
    fn unanswered(&self, e: io::Error, limit: Duration) -> (Outcome, String) {
        let hint = if self.is_known { "" } else { self.caller.hint() };
        let why = match e.kind() {
            io::ErrorKind::TimedOut => format!("no answer within {} ms", limit.as_millis()),
            io::ErrorKind::UnexpectedEof => format!("it closed the connection without an answer{hint}"),
            io::ErrorKind::ConnectionReset => format!("{e}{hint}"),
            _ => e.to_string(),
        };
        match self.stream.is_refused() {
            true => (Outcome::NotSent, why),
            false => (Outcome::Unknown, why),
        }
    }

    /// And of one whose answer makes no sense.
    fn outcome_of_nonsense(&self) -> Outcome {
        // A server that speaks TLS has not understood a word.
        match (self.is_known, &self.rest[..]) {
            (false, [0x15, 3, ..]) => Outcome::NotSent,
            _ => Outcome::Unknown,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_usable {
            self.stream.close();
        }
    }
}

/// The moment when a time-out is over. One that goes beyond what a clock can hold means: in a year.
fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + Duration::from_secs(365 * 86400))
}

#[cfg(test)]
mod tests;
