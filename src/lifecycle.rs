//! Exit codes, and stopping: the flag that worker threads watch, with a wait that it cuts short.
//!
//! Set by the thread that runs the agent, read by workers. One leaf mutex.

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
    lock: Mutex<()>,
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

    fn set(&self, flag: &AtomicBool) {
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        flag.store(true, SeqCst);
        self.changed.notify_all();
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
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let draining = self.is_draining();
        let nothing_new = |_: &mut ()| !self.is_halted() && self.is_draining() == draining;
        let _ = self.changed.wait_timeout_while(held, pause, nothing_new);
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
}
