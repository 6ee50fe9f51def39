//! A worker thread of the agent, a sink's or a polled source's, and how it is told to end. Belongs to the main thread.

use crate::lifecycle::Stop;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a worker that was told to leave at once may take for it.
pub const GRACE: Duration = Duration::from_millis(500);

pub struct Worker {
    pub stop: Arc<Stop>,
    pub thread: JoinHandle<()>,
}

impl Worker {
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread's end until then.
    pub fn wait(&self, until: Instant) -> bool {
        self.wait_unless(until, || false)
    }

    /// Waits for the thread's end until then, or until it `may_stay`.
    pub fn wait_unless(&self, until: Instant, may_stay: impl Fn() -> bool) -> bool {
        let is_done = || self.is_over() || may_stay();
        while !is_done() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        is_done()
    }
}
