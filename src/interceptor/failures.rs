//! What an interceptor could not do with an event: counted, and logged now and then. Any thread; no locks.

use crate::clock::now_ms;
use crate::config::Context;
use crate::counters::SourceCounters;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

/// At most one log line of an interceptor in this time.
const PAUSE_MS: u64 = 10_000;

pub struct Failures {
    counters: Arc<SourceCounters>,
    interceptor: String,
    /// When the last line was logged, ms since the epoch; 0: never.
    told: AtomicU64,
}

impl Failures {
    pub fn new(ctx: &Context, counters: &Arc<SourceCounters>) -> Failures {
        Failures { counters: counters.clone(), interceptor: ctx.name().to_owned(), told: AtomicU64::new(0) }
    }

    /// Counts an event that was left as it was, and why.
    pub fn count(&self, why: impl Display) {
        self.counters.interceptor_fail.one();
        if self.may_tell(now_ms()) {
            let (source, name, all) =
                (&self.counters.name, &self.interceptor, self.counters.interceptor_fail.get());
            log::warn!("source {source}: interceptor {name}: {why} ({all} failures of this source so far)");
        }
    }

    fn may_tell(&self, now: u64) -> bool {
        let last = self.told.load(Relaxed);
        now.saturating_sub(last) >= PAUSE_MS
            && self.told.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_counts_and_few_are_told() {
        let counters = SourceCounters::new("r1");
        let f = Failures { counters: counters.clone(), interceptor: "i1".into(), told: AtomicU64::new(0) };
        f.count("x");
        f.count("y");
        assert_eq!(counters.interceptor_fail.get(), 2);
        let told = f.told.load(Relaxed);
        assert!(told > 0 && !f.may_tell(told + PAUSE_MS - 1));
        assert!(f.may_tell(told + PAUSE_MS) && !f.may_tell(told + PAUSE_MS));
    }
}
