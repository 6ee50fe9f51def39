//! Exit codes, and stopping: the flag that worker threads watch, with a wait that it cuts short.
//!
//! Set by the thread that runs the agent, read by workers. One mutex, held for no more than what hears of a change
//! does (wake a thread, write a byte).

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Exit code: the process could not run. 0 is an orderly end.
pub const FAILURE: u8 = 1;
/// Exit code: the configuration or the options are wrong, starting again will not help.
pub const CONFIGURATION: u8 = 2;
/// Exit code: a second signal, or the deadline, cut the stop short.
pub const CUT_SHORT: u8 = 3;

/// Tells a worker first to finish what is there, then to leave.
#[derive(Default)]
pub struct Stop {
    draining: AtomicBool,
    halted: AtomicBool,
    disowned: AtomicBool,
    idle: AtomicBool,
    /// Called at every change.
    hearers: Mutex<Vec<Box<dyn Fn() + Send>>>,
    changed: Condvar,
}

impl Stop {
    /// No more work will come: finish what is there and end.
    pub fn drain(&self) {
        self.set(&self.draining);
    }

    /// End now, whatever is left.
    pub fn halt(&self) {
        self.set(&self.draining);
        self.set(&self.halted);
    }

    /// The worker is not waited for any more, and another one has its place: what it does to its state is nobody's.
    pub fn disown(&self) {
        self.disowned.store(true, SeqCst);
    }

    pub fn is_disowned(&self) -> bool {
        self.disowned.load(SeqCst)
    }

    /// The worker says whether it is in a call that may take long and has nothing in hand.
    pub fn set_idle(&self, is_idle: bool) {
        self.idle.store(is_idle, SeqCst);
    }

    pub fn is_idle(&self) -> bool {
        self.idle.load(SeqCst)
    }

    fn set(&self, flag: &AtomicBool) {
        let hearers = self.hearers.lock().unwrap_or_else(PoisonError::into_inner);
        flag.store(true, SeqCst);
        self.changed.notify_all();
        hearers.iter().for_each(|h| h());
    }

    /// Calls `hearer` at every change from now on, on the thread that makes it: for waits that are not
    /// [`pause`](Stop::pause). It must be quick and must not use this `Stop`.
    pub fn on_change(&self, hearer: impl Fn() + Send + 'static) {
        self.hearers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hearer));
    }

    /// Set from [`drain`](Stop::drain) on: what a wait for work has to watch.
    pub fn draining(&self) -> &AtomicBool {
        &self.draining
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    pub fn is_halted(&self) -> bool {
        self.halted.load(SeqCst)
    }

    /// Waits for `pause`, or until told something new: to drain, or to halt.
    pub fn pause(&self, pause: Duration) {
        let draining = self.is_draining();
        self.pause_while(pause, || !self.is_halted() && self.is_draining() == draining);
    }

    /// Waits for `pause`, not at all once told to drain.
    pub fn pause_unless_draining(&self, pause: Duration) {
        self.pause_while(pause, || !self.is_draining());
    }

    fn pause_while(&self, pause: Duration, nothing_new: impl Fn() -> bool) {
        let held = self.hearers.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.changed.wait_timeout_while(held, pause, |_| nothing_new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Instant;

    #[test]
    fn halting_cuts_a_pause_short() {
        let stop = Arc::new(Stop::default());
        let other = stop.clone();
        let began = Instant::now();
        let t = std::thread::spawn(move || other.pause(Duration::from_secs(60)));
        stop.halt();
        t.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(stop.is_draining());
    }

    #[test]
    fn who_is_to_drain_does_not_pause() {
        let stop = Stop::default();
        stop.drain();
        let began = Instant::now();
        stop.pause_unless_draining(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn hearers_hear_of_every_change() {
        let stop = Stop::default();
        let heard = Arc::new(AtomicBool::new(false));
        let its = heard.clone();
        stop.on_change(move || its.store(true, SeqCst));
        for change in [Stop::drain, Stop::halt] {
            change(&stop);
            assert!(heard.swap(false, SeqCst));
        }
    }
}
