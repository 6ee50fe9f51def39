//! How a connection ends: its source stops, its peer closes or breaks off.
//!
//! What was decoded is stored and answered first. Then our side is shut, and for a moment what the peer still sends is
//! dropped, so that a reset does not destroy the answers on their way. On the loop's thread.

use super::{Conn, State, Step, Turn};
use crate::net::outbox::Outbox;
use std::io::{self, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// How long an ended connection's input is dropped before it is closed.
pub(super) const DISCARD: Duration = Duration::from_millis(500);
/// A connection that talked this lately may have answers on their way.
const RECENT: Duration = Duration::from_secs(1);
/// What a connection may still bring once its source stops: more than a socket's receive buffer holds.
const LAST_READ: usize = 8 << 20;

impl Conn {
    /// Its source stops: what the socket holds is read once, everything is settled until `deadline`.
    pub fn stop(&mut self, deadline: Instant) {
        self.last_read.get_or_insert(LAST_READ);
        self.stop_at = Some(deadline);
    }

    /// The socket is dead. What was decoded is still stored; only an unfinished message is lost with it.
    pub(super) fn break_off(&mut self, e: &io::Error) {
        let wrong = e.kind() == io::ErrorKind::InvalidData;
        // What is wrong with a handshake says so itself; one that is reset may have met its answer on the way.
        let handshake = !wrong && self.transport.is_handshaking();
        let unfinished =
            self.unfinished().or_else(|| handshake.then(|| "within the TLS handshake".to_owned()));
        if wrong || unfinished.is_some() {
            self.pending.deliver.counters.event_read_fail.one();
            self.broken = Some(match unfinished {
                None => e.to_string(),
                Some(place) => format!("{e}; it broke off {place}"),
            });
        }
        if wrong && !self.dead {
            // TLS tells its peer what is wrong, if that can be said at once.
            self.transport.put_own(self.out.bytes());
            let _ = self.out.flush(&mut self.socket);
        }
        self.intake.discard();
        self.intake.eof = true;
        self.out = Outbox::default();
        self.out_since = None;
        self.fault = None;
        self.dead = true;
        self.state = State::Ending;
        self.message_ended();
    }

    /// Nobody takes our answers any more. What the peer sent before is read on, to the error or end behind it.
    pub(super) fn deafen(&mut self, e: &io::Error) {
        self.dead = true;
        self.out = Outbox::default();
        self.out_since = None;
        self.intake.readable = true;
        self.broken.get_or_insert_with(|| e.to_string());
    }

    /// Says where in a message the input ends, if it ends within one.
    pub(super) fn unfinished(&self) -> Option<String> {
        let session = self.session.as_ref().filter(|s| self.pending.makes_calls && s.is_inside());
        let came = self.intake.unfinished() + session.map_or(0, |s| s.memory());
        (came > 0 || session.is_some()).then(|| match came {
            0 => "at the beginning of a message".to_owned(),
            n => format!("within a message, of which some {n} bytes had come"),
        })
    }

    /// Answers are out: shuts our side. A peer that gets answers has its input drained for a moment first.
    pub(super) fn end(&mut self, t: &Turn<'_>) -> Step {
        // What broke the protocol has been counted.
        if let Some(place) = self.unfinished().filter(|_| self.broken.is_none()) {
            self.pending.deliver.counters.event_read_fail.one();
            let stops = self.stop_at.is_some() && !self.intake.eof;
            let why = if stops { "its source stops" } else { "it closed" };
            self.broken = self.pending.makes_calls.then(|| format!("{why} {place}"));
            if let (true, Some(session)) = (stops, &mut self.session) {
                self.transport.put(&session.stopped(), self.out.bytes());
            }
        }
        if !self.dead {
            self.transport.put_end(self.out.bytes());
            let _ = self.flush(t);
        }
        let talked = self.pending.can_refuse && self.last_active + RECENT > t.now;
        if self.intake.eof || !talked {
            return Step::Closed(self.broken.take());
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        self.intake.discard();
        self.state = State::Discarding;
        self.state_since = t.now;
        Step::Again
    }

    pub(super) fn discard(&mut self, t: &Turn<'_>) -> io::Result<Step> {
        let mut scrap = [0; 8192];
        for _ in 0..16 {
            match self.socket.read(&mut scrap) {
                Ok(0) => return Ok(Step::Closed(self.broken.take())),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Step::Closed(self.broken.take())),
            }
        }
        let over = self.state_since + DISCARD <= t.now || self.stop_at.is_some_and(|at| at <= t.now);
        Ok(if over { Step::Closed(self.broken.take()) } else { Step::Wait })
    }
}
