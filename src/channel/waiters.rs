//! The line of those who wait for room in a channel: first come, first served.
//!
//! A waiter is known by when it began to wait, also while it moves from one full channel to another, so nobody
//! starves. Belongs inside a channel's lock; wake-up calls are made by the channel after it let go of it.

use super::Wake;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Somebody who may stand in line.
#[derive(Clone)]
pub struct Waiter {
    /// When it began to wait.
    pub since: Instant,
    id: u64,
    wake: Arc<dyn Wake>,
    waits: bool,
}

impl Waiter {
    pub fn new(since: Instant, wake: Arc<dyn Wake>) -> Waiter {
        Waiter { since, id: NEXT_ID.fetch_add(1, Relaxed), wake, waits: true }
    }

    /// One that takes what it gets now and never stands in line: what finds no room is lost.
    pub fn hasty(now: Instant, wake: Arc<dyn Wake>) -> Waiter {
        Waiter { waits: false, ..Waiter::new(now, wake) }
    }

    /// Whether it would stand in line.
    pub fn waits(&self) -> bool {
        self.waits
    }

    fn place(&self) -> (Instant, u64) {
        (self.since, self.id)
    }
}

/// One channel's line.
#[derive(Default)]
pub struct Waiters {
    line: BTreeMap<(Instant, u64), Arc<dyn Wake>>,
}

impl Waiters {
    /// Once the head has waited this long, nobody passes it.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    pub fn join(&mut self, w: &Waiter) {
        self.line.entry(w.place()).or_insert_with(|| w.wake.clone());
    }

    pub fn leave(&mut self, w: &Waiter) {
        self.line.remove(&w.place());
    }

    /// Whether `who` may have room although others wait.
    pub fn admits(&self, who: Option<&Waiter>) -> bool {
        match self.line.first_key_value() {
            None => true,
            Some((head, _)) => {
                who.is_some_and(|w| w.place() <= *head) || head.0.elapsed() < Waiters::PATIENCE
            }
        }
    }

    /// Whom to wake when room was freed, or when the head got what it wanted and more may be left.
    pub fn head(&self) -> Option<Arc<dyn Wake>> {
        self.line.first_key_value().map(|(_, w)| w.clone())
    }

    /// Since when the head waits, and its place in all lines.
    pub fn first(&self) -> Option<(Instant, u64)> {
        self.line.keys().next().copied()
    }

    /// Everybody, to be woken because the channel went down.
    pub fn everybody(&self) -> Vec<Arc<dyn Wake>> {
        self.line.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Wake for Nobody {
        fn wake(&self) {}
    }

    fn waiter(ago_ms: u64) -> Waiter {
        let since = Instant::now().checked_sub(Duration::from_millis(ago_ms)).unwrap();
        Waiter::new(since, Arc::new(Nobody))
    }

    #[test]
    fn the_head_is_passed_only_while_it_is_patient() {
        let mut line = Waiters::default();
        assert!(line.admits(None));
        let fresh = waiter(0);
        line.join(&fresh);
        assert!(line.admits(None));
        let old = waiter(500);
        line.join(&old);
        assert!(line.admits(Some(&old)));
        assert!(!line.admits(Some(&fresh)) && !line.admits(None));
        line.leave(&old);
        assert!(line.admits(None));
    }

    #[test]
    fn a_hasty_one_passes_only_a_patient_head() {
        let mut line = Waiters::default();
        let hasty = Waiter::hasty(Instant::now(), Arc::new(Nobody));
        assert!(!hasty.waits() && line.admits(Some(&hasty)));
        let old = waiter(500);
        line.join(&old);
        assert!(!line.admits(Some(&hasty)));
        assert_eq!(line.first().map(|(since, _)| since), Some(old.since));
    }

    #[test]
    fn who_waited_elsewhere_keeps_its_place() {
        let mut line = Waiters::default();
        line.join(&waiter(200));
        let elder = waiter(400);
        assert!(line.admits(Some(&elder)), "older than the head");
        line.join(&elder);
        assert!(line.admits(Some(&elder)));
    }
}
