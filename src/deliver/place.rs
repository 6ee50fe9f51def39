//! A batch's place in the line before a full channel, and what the log says of the wait.
//!
//! Belongs to whoever waits: a connection on its loop's thread, or the thread of a polled source.

use crate::channel::{Channel, Waiter, Wake};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A wait this long is worth a log line.
const TELL: Duration = Duration::from_secs(1);

/// Left when dropped.
pub struct Place {
    waiter: Waiter,
    /// The channel in whose line it stands.
    channel: Option<Arc<dyn Channel>>,
    told: bool,
}

impl Place {
    pub fn new(now: Instant, wake: &Arc<dyn Wake>) -> Place {
        Place { waiter: Waiter::new(now, wake.clone()), channel: None, told: false }
    }

    pub fn waiter(&self) -> &Waiter {
        &self.waiter
    }

    /// An attempt with this place's waiter found `channel` full, and joined its line.
    pub fn stand_at(&mut self, channel: Arc<dyn Channel>) {
        if self.channel.as_ref().is_some_and(|c| !Arc::ptr_eq(c, &channel)) {
            self.leave();
        }
        self.channel = Some(channel);
    }

    pub fn leave(&mut self) {
        if let Some(c) = self.channel.take() {
            c.leave(&self.waiter);
        }
    }

    /// When [`tell`](Place::tell) will have something to say.
    pub fn tell_at(&self) -> Option<Instant> {
        (!self.told && self.channel.is_some()).then(|| self.waiter.since + TELL)
    }

    /// Says once that a source waits for a full channel, and what is known of why.
    pub fn tell(&mut self, source: &str, now: Instant) {
        if let (Some(c), true) = (&self.channel, self.tell_at().is_some_and(|at| at <= now)) {
            self.told = true;
            tell_full(source, "waits", c);
        }
    }

    /// The batch found room: leaves the line, and says so if it was told of.
    pub fn stored(&mut self, source: &str, now: Instant) {
        self.leave();
        if std::mem::take(&mut self.told) {
            let waited = now.saturating_duration_since(self.waiter.since).as_secs_f64();
            log::info!("source {source} stores again after {waited:.1} s");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Logs, at a bounded rate, that a source meets a full channel, and what is known of why it is full.
pub fn tell_full(source: &str, what: &str, c: &Arc<dyn Channel>) {
    if c.counters().may_tell_full() {
        log::warn!("source {source} {what}, channel {} is full: {}", c.name(), c.counters().describe_full());
    }
}
