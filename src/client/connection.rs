//! One connection to an Avro source: opened with the handshake behind it, one call at a time.
//!
//! A connection that failed in any way but a refusal is of no use any more: an answer that comes too late can never be
//! taken for that to another call. A call has one deadline, from its first byte to the last of its answer, so that a
//! peer that drips bytes is not waited for. Belongs to one thread; no locks.

use super::dial::{self, Address};
use super::error::{Error, Outcome};
use crate::codec::avro::{stranger, Caller, Reply, ReplyError, Status};
use crate::codec::zlib::{Deflater, Inflater};
use crate::event::{Batch, EventRef};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A batch that takes more is sent in several calls: the avro source accepts twice this, unless told otherwise.
const MOST: usize = 32 << 20;
/// Room for a call above this is not kept for the next one.
const KEPT: usize = 4 << 20;
const PIECE: usize = 4096;
const TURNED_AWAY: &str =
    "; perhaps its compression-type is another, it expects TLS, or its ipFilterRules do not let this host in";
/// Of a server's error text, this much is repeated.
const SHOWN: usize = 500;

/// How to talk to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// For names, connecting and the handshake together.
    pub connect_timeout: Duration,
    /// For a call and its answer.
    pub request_timeout: Duration,
    /// The level of compression-type = deflate.
    pub deflate: Option<u32>,
}

impl Default for Settings {
    fn default() -> Settings {
        let timeout = Duration::from_secs(20);
        Settings { connect_timeout: timeout, request_timeout: timeout, deflate: None }
    }
}

/// An open connection.
pub struct Connection {
    peer: String,
    stream: TcpStream,
    request_timeout: Duration,
    caller: Caller,
    deflate: Option<(Deflater, Inflater)>,
    is_usable: bool,
    /// The call at hand.
    out: Vec<u8>,
    /// Read and not understood yet.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects and settles the handshake.
    pub fn open(to: &Address, settings: &Settings) -> Result<Connection, Error> {
        let until = after(settings.connect_timeout);
        let stream = dial::dial(to, until)
            .map_err(|why| Error::new(Outcome::NotSent, format!("cannot connect to {to}: {why}")))?;
        let mut c = Connection {
            peer: to.to_string(),
            stream,
            request_timeout: settings.request_timeout,
            caller: Caller::default(),
            deflate: settings.deflate.map(|level| (Deflater::new(level), Inflater::default())),
            is_usable: true,
            out: Vec::new(),
            rest: Vec::new(),
        };
        loop {
            c.out.clear();
            let serial = c.caller.ping(&mut c.out);
            let failed = match c.exchange(serial, until, settings.connect_timeout) {
                Ok(Reply::Pong) => return Ok(c),
                Ok(Reply::Again) => continue,
                Ok(other) => format!("an answer that makes no sense: {other:?}"),
                Err((_, why)) => why,
            };
            return Err(Error::new(Outcome::NotSent, format!("no Avro RPC with {to}: {failed}")));
        }
    }

    /// Whether a call can be made. Notices that the server has closed the connection meanwhile.
    pub fn is_usable(&mut self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        // With no call open there is nothing to be read but the end.
        let has_ended = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0);
        self.is_usable &= !has_ended;
        self.is_usable
    }

    /// Sends an event alone, by `append`.
    pub fn append(&mut self, event: EventRef<'_>) -> Result<(), Error> {
        self.out.clear();
        let serial = self.caller.append(event, &mut self.out);
        self.call(serial).map_err(|e| Error { failed: 1, ..e })
    }

    /// Sends a batch by `appendBatch`: in one call, unless it takes more than 32 MiB.
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
            // An event alone may take what there is room for in a frame.
            let most = if next > 1 { MOST } else { usize::MAX };
            self.out.clear();
            let serial = self.caller.append_some(next, events(done), most, &mut self.out);
            if serial.is_none() && next > 1 {
                at_once = next.div_ceil(2);
                continue;
            }
            self.call(serial).map_err(|e| Error { acknowledged: done, failed: next, ..e })?;
            done += next;
        }
        Ok(())
    }

    /// Makes the call that was put into `out`.
    fn call(&mut self, serial: Option<i32>) -> Result<(), Error> {
        let peer = &self.peer;
        let Some(serial) = serial else {
            return Err(Error::new(Outcome::TooLarge, "an event that no Avro call holds".to_owned()));
        };
        if !self.is_usable {
            return Err(Error::new(Outcome::NotSent, format!("the connection to {peer} has ended")));
        }
        let limit = self.request_timeout;
        let answered = self.exchange(serial, after(limit), limit);
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
    fn exchange(&mut self, serial: i32, until: Instant, limit: Duration) -> Result<Reply, (Outcome, String)> {
        let limit = limit.as_millis();
        self.is_usable = false;
        let mut timed = Timed { stream: &self.stream, until };
        // A server that does not like what it sees has no words for it before the handshake.
        let hint = if self.caller.may_pipeline() { "" } else { TURNED_AWAY };
        let ended = |e: io::Error| match e.kind() {
            io::ErrorKind::TimedOut => format!("no answer within {limit} ms"),
            io::ErrorKind::UnexpectedEof => format!("it closed the connection without an answer{hint}"),
            io::ErrorKind::ConnectionReset => format!("{e}{hint}"),
            _ => e.to_string(),
        };
        let unsent = |e: io::Error| match e.kind() {
            io::ErrorKind::TimedOut => {
                format!("not all could be sent within {limit} ms")
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                format!("not all could be sent: {e}{hint}")
            }
            _ => format!("not all could be sent: {e}"),
        };
        match &mut self.deflate {
            None => {
                // What is not there whole cannot be stored.
                let sent = timed.write_all(&self.out);
                sent.map_err(|e| (Outcome::NotSent, unsent(e)))?;
            }
            Some((deflater, _)) => {
                let sent = deflater.write_all(&mut timed, &self.out);
                sent.map_err(|e| (Outcome::Unknown, unsent(e)))?;
            }
        }
        loop {
            let (used, got) = self.caller.feed(&self.rest);
            self.rest.drain(..used);
            match got {
                Ok(None) => {}
                Ok(Some((of, reply))) if of == serial => {
                    // What follows would be the answer to nothing.
                    self.is_usable = self.rest.is_empty();
                    return Ok(reply);
                }
                Ok(Some((of, _))) => {
                    let why = format!("it answered call {of}, where {serial} was the last");
                    return Err((Outcome::Unknown, why));
                }
                Err(ReplyError::Stranger) => return Err((Outcome::Unknown, stranger(&self.rest))),
                Err(ReplyError::Nonsense(why)) => return Err((Outcome::Unknown, why)),
            }
            let mut piece = [0; PIECE];
            let n = match &mut self.deflate {
                None => timed.read(&mut piece),
                Some((_, inflater)) => inflater.read(&mut timed, &mut piece),
            };
            match n {
                Ok(0) => return Err((Outcome::Unknown, ended(io::ErrorKind::UnexpectedEof.into()))),
                Ok(n) => self.rest.extend_from_slice(&piece[..n]),
                Err(e) => return Err((Outcome::Unknown, ended(e))),
            }
        }
    }
}

/// The moment when a time-out is over. One that goes beyond what a clock can hold means: in a year.
fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + Duration::from_secs(365 * 86400))
}

/// A socket that is waited for until a moment, however often.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }

    /// Tries until something is done or the time is over.
    fn wait(&mut self, mut step: impl FnMut(&mut Self) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match step(self) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.wait(|t| {
            t.stream.set_read_timeout(t.left()?)?;
            t.stream.read(out)
        })
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|t| {
            t.stream.set_write_timeout(t.left()?)?;
            t.stream.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
