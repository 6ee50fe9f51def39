//! The time that a message may take to come to its end. It runs while the peer could send; it stands while it is we who
//! do not read. Belongs to its connection, on the loop's thread; time is passed in.

use std::time::{Duration, Instant};

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
