//! Who failed how often in a row, and until when that leaves it out: 2 s, 4 s, 8 s and so on, up to a maximum.
//!
//! Flume doubles in 32 bits, which after 22 failures comes to less than nothing; here it stays at the maximum.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_secs(1);
/// Without a pause a sink that fails at once would do nothing but fail.
const LEAST: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
struct Record {
    failures: u32,
    until: Option<Instant>,
}

pub struct Penalties {
    most: Duration,
    of: Vec<Record>,
}

impl Penalties {
    pub fn new(members: usize, most: Duration) -> Penalties {
        Penalties { most, of: vec![Record::default(); members] }
    }

    pub fn failed(&mut self, member: usize, now: Instant) {
        let r = &mut self.of[member];
        r.failures = r.failures.saturating_add(1);
        let doubled = 2_u32.checked_pow(r.failures).map_or(Duration::MAX, |n| STEP.saturating_mul(n));
        // What is too far away for an Instant is as good as a year.
        let year = Duration::from_secs(365 * 86_400);
        r.until = Some(now + doubled.min(self.most).max(LEAST).min(year));
    }

    pub fn succeeded(&mut self, member: usize) {
        self.of[member] = Record::default();
    }

    /// From when on it may be tried again; `None`: it works, as far as is known.
    pub fn until(&self, member: usize) -> Option<Instant> {
        self.of[member].until
    }

    /// Whether it may take: it works, or may be tried again.
    pub fn is_over(&self, member: usize, now: Instant) -> bool {
        self.until(member).is_none_or(|t| t <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(most: Duration, failures: usize) -> Vec<Duration> {
        let mut p = Penalties::new(1, most);
        let now = Instant::now();
        let mut pause = || {
            p.failed(0, now);
            p.until(0).unwrap() - now
        };
        (0..failures).map(|_| pause()).collect()
    }

    #[test]
    fn they_double_up_to_the_maximum_and_stay_there() {
        let all = pauses(Duration::from_secs(30), 100);
        let seconds: Vec<u64> = all.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds[..6], [2, 4, 8, 16, 30, 30]);
        assert!(seconds[6..].iter().all(|s| *s == 30), "{seconds:?}");
        assert_eq!(pauses(Duration::from_millis(2500), 3).last(), Some(&Duration::from_millis(2500)));
        assert_eq!(pauses(Duration::ZERO, 40).last(), Some(&LEAST));
        assert!(pauses(Duration::MAX, 200).last().unwrap().as_secs() > 86_400);
    }

    #[test]
    fn a_success_begins_anew() {
        let mut p = Penalties::new(2, Duration::from_secs(30));
        let now = Instant::now();
        p.failed(1, now);
        p.failed(1, now);
        assert_eq!(p.until(1), Some(now + Duration::from_secs(4)));
        assert!(p.is_over(0, now) && !p.is_over(1, now) && p.is_over(1, now + Duration::from_secs(4)));
        p.succeeded(1);
        assert!(p.is_over(1, now) && p.until(1).is_none());
        p.failed(1, now);
        assert_eq!(p.until(1), Some(now + Duration::from_secs(2)));
    }
}
