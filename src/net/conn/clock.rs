//! The deadlines of a connection: when it wants a turn although nothing happens, and which of them end it.
//!
//! The time that a message may take runs while the peer could send; it stands while it is we who do not read. Belongs to
//! its connection, on the loop's thread; time is passed in.

use super::ending::DISCARD;
use super::{Conn, State, Turn};
use crate::codec::Fault;
use crate::net::budget::Grant;
use crate::net::Settings;
use std::time::{Duration, Instant};

const TOO_LATE: &str = "a message did not come to its end within messageTimeout";

/// How long a peer's name may take.
const NAMING: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct MessageClock {
    /// When it began, moved on by the time it stood.
    since: Option<Instant>,
    /// It stands since then.
    stands: Option<Instant>,
}

impl MessageClock {
    /// Lets it run on, or begin, and stand from now on if it is we who do not read on.
    pub fn run(&mut self, ours: bool, now: Instant) {
        if let (Some(since), Some(at)) = (&mut self.since, self.stands.take()) {
            *since += now.saturating_duration_since(at);
        }
        self.since.get_or_insert(now);
        self.stands = ours.then_some(now);
    }

    /// There is no message that takes memory, or not any more.
    pub fn reset(&mut self) {
        *self = MessageClock::default();
    }

    pub fn runs(&self) -> bool {
        self.since.is_some() && self.stands.is_none()
    }

    /// When the message will have taken too long, if it is for the peer to send.
    pub fn ends(&self, limit: Duration) -> Option<Instant> {
        self.since.filter(|_| self.stands.is_none()).map(|s| s + limit)
    }
}

impl Conn {
    /// Times a message that holds memory and is not complete; not while it is we who do not read on.
    pub(super) fn run_clock(&mut self, t: &Turn<'_>, starved: bool) {
        if let Some(agreed) = self.transport.just_agreed() {
            log::debug!(
                "source {}: TLS with {}: {agreed}",
                self.pending.deliver.counters.name,
                self.peer.addr
            );
            self.message.reset();
        }
        let is_timed = self.state == State::Open && self.session.as_ref().is_some_and(|s| s.is_timed());
        if is_timed || self.is_halfway() || self.transport.is_handshaking() {
            self.message.run(starved || self.grant == Grant::Settles || !self.may_decode(t), t.now);
        } else {
            self.message.reset();
        }
        // Nothing else would end a finisher that does not get on.
        if self.grant == Grant::Message && !self.message.runs() {
            self.message_ended();
        }
    }

    /// Ends a connection whose message has taken too long with what its protocol has to say of that, behind the answers
    /// that are open.
    pub(super) fn tell_late(&mut self, t: &Turn<'_>) {
        let is_late = self.message.ends(t.settings.message).is_some_and(|at| at <= t.now);
        if !is_late || self.state != State::Open || self.transport.is_handshaking() {
            return;
        }
        let answer = self.session.as_mut().map(|s| s.expire()).unwrap_or_default();
        if !answer.is_empty() {
            self.pending.deliver.counters.event_read_fail.one();
            self.fault = Some(Fault { reason: TOO_LATE.to_owned(), answer });
            self.intake.discard();
            self.state = State::Ending;
            self.message_ended();
        }
    }

    /// Which deadline has passed that ends the connection, if one has.
    pub(super) fn stalled(&self, t: &Turn<'_>) -> Option<&'static str> {
        let idle = self.idle.or(t.settings.idle).is_some_and(|d| self.last_active + d <= t.now)
            && self.pending.is_empty();
        let deaf = self.out_since.is_some_and(|s| s + t.settings.answer <= t.now);
        if deaf {
            return Some("it takes none of its answers");
        }
        if self.message.ends(t.settings.message).is_some_and(|at| at <= t.now) {
            return Some(match self.transport.is_handshaking() {
                true => "the TLS handshake did not come to its end within messageTimeout",
                false => TOO_LATE,
            });
        }
        idle.then_some("nothing happened on it for idleTimeout")
    }

    /// When this connection wants a turn although nothing happens.
    pub fn deadline(&self, settings: &Settings) -> Option<Instant> {
        match self.state {
            State::Naming => {
                return Some(
                    self.stop_at.map_or(self.state_since + NAMING, |at| at.min(self.state_since + NAMING)),
                )
            }
            State::Discarding => return Some(self.state_since + DISCARD),
            State::Open | State::Ending => {}
        }
        [
            self.pending.deadline(),
            self.out_since.map(|s| s + settings.answer),
            self.message.ends(settings.message),
            self.idle.or(settings.idle).filter(|_| self.pending.is_empty()).map(|d| self.last_active + d),
            self.stop_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_ours_does_not_count() {
        let t0 = Instant::now();
        let s = |n| t0 + Duration::from_secs(n);
        let limit = Duration::from_secs(10);
        let mut c = MessageClock::default();
        assert_eq!(c.ends(limit), None);
        c.run(false, s(0));
        c.run(false, s(4));
        assert_eq!(c.ends(limit), Some(s(10)));
        c.run(true, s(6));
        c.run(true, s(50));
        assert_eq!((c.ends(limit), c.runs()), (None, false));
        c.run(false, s(100));
        assert_eq!((c.ends(limit), c.runs()), (Some(s(104)), true), "six of its seconds are over");
        c.reset();
        c.run(false, s(200));
        assert_eq!(c.ends(limit), Some(s(210)));
    }
}
