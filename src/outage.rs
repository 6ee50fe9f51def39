//! How often a failure that lasts is told: at once, then after twice the time each time, up to once in five minutes,
//! with a count; and once when it is over, with how long it was.
//!
//! Another text is told at once as well, the first few of them: where they take turns each was told. (`net`'s `Throttle`
//! is for lines that do not belong together, many a second.) Belongs to whoever tries; no locks, time is passed in.

use crate::clock::Backoff;
use std::time::{Duration, Instant};

const GAPS: Backoff = Backoff::new(Duration::from_millis(100), LONGEST);
const LONGEST: Duration = Duration::from_secs(300);
/// Different texts of one outage that are told when they come.
const MOST_TEXTS: usize = 8;

/// Whether something works, and if not, since when and what was told of it.
#[derive(Default)]
pub struct Outage(Option<Lasting>);

struct Lasting {
    since: Instant,
    failures: u64,
    texts: Vec<String>,
    /// When the next reminder is due.
    next: Instant,
    gaps: Backoff,
    /// Since when it seems to work, though nothing has been done with it.
    up: Option<Instant>,
    /// What the last line said.
    told_up: bool,
}

impl Lasting {
    fn new(now: Instant) -> Lasting {
        let (texts, gaps) = (Vec::new(), GAPS.clone());
        Lasting { since: now, failures: 0, texts, next: now, gaps, up: None, told_up: false }
    }

    fn end(&self, now: Instant) -> String {
        let seconds = self.up.unwrap_or(now).saturating_duration_since(self.since).as_secs_f64();
        format!(" after {seconds:.1} s, {} failures", self.failures)
    }
}

impl Outage {
    /// A try failed. `Some` when that is to be told, with what to add to the text.
    pub fn failed(&mut self, why: &str, now: Instant) -> Option<String> {
        if self.0.as_ref().and_then(|l| l.up).is_some_and(|up| now.saturating_duration_since(up) >= LONGEST) {
            self.0 = None;
        }
        let l = self.0.get_or_insert_with(|| Lasting::new(now));
        l.failures += 1;
        l.up = None;
        let is_new = l.texts.len() < MOST_TEXTS && !l.texts.iter().any(|t| t == why);
        if is_new {
            l.texts.push(why.to_owned());
        }
        if now >= l.next {
            l.next = now + l.gaps.next_pause();
        } else if !is_new {
            return None;
        }
        l.told_up = false;
        let seconds = now.saturating_duration_since(l.since).as_secs();
        Some(if l.failures == 1 {
            String::new()
        } else {
            format!(" ({} failures in {seconds} s)", l.failures)
        })
    }

    /// Whether the last try failed.
    pub fn is_on(&self) -> bool {
        self.0.as_ref().is_some_and(|l| l.up.is_none())
    }

    /// It seems to work again; whether it does is known when it has [done](Outage::over) something. `Some` when that is
    /// to be told, with what to add; also where nothing had failed.
    pub fn up(&mut self, now: Instant) -> Option<String> {
        let Some(l) = &mut self.0 else { return Some(String::new()) };
        l.up.get_or_insert(now);
        (!std::mem::replace(&mut l.told_up, true)).then(|| l.end(now))
    }

    /// It works. `Some` when that is to be told, with what to add.
    pub fn over(&mut self, now: Instant) -> Option<String> {
        let l = self.0.take()?;
        (!l.told_up).then(|| l.end(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_day_of_failures_is_some_hundred_lines() {
        let t0 = Instant::now();
        let mut o = Outage::default();
        let told: Vec<u64> =
            (0..86_400).step_by(5).filter(|s| o.failed("refused", t0 + seconds(*s)).is_some()).collect();
        assert_eq!(told[..4], [0, 5, 10, 15]);
        assert!(told.len() < 300 && told.windows(2).all(|w| w[1] - w[0] <= 305), "{}", told.len());
        assert_eq!(o.failed("refused", t0 + seconds(86_705)).unwrap(), " (17281 failures in 86705 s)");
        assert_eq!(o.over(t0 + seconds(90_000)).unwrap(), " after 90000.0 s, 17281 failures");
        assert_eq!(
            (o.over(t0 + seconds(90_000)), o.failed("refused", t0 + seconds(90_000))),
            (None, Some(String::new()))
        );
    }

    #[test]
    fn other_texts_are_told_at_once_each_once_and_not_without_end() {
        let now = Instant::now();
        let mut o = Outage::default();
        let mut told = |text: &str| o.failed(text, now).is_some();
        assert_eq!(
            [told("refused"), told("reset"), told("refused"), told("reset")],
            [true, true, false, false]
        );
        assert_eq!((0..100).filter(|n| told(&format!("{n} events fail"))).count(), MOST_TEXTS - 2);
    }

    #[test]
    fn what_works_and_fails_again_and_again_is_one_outage() {
        let t0 = Instant::now();
        let mut o = Outage::default();
        assert_eq!(o.up(t0), Some(String::new()));
        o.failed("refused", t0);
        assert!(o.is_on());
        assert_eq!(o.up(t0 + seconds(2)).unwrap(), " after 2.0 s, 1 failures");
        assert!(!o.is_on());
        assert_eq!(o.failed("refused", t0 + seconds(3)).unwrap(), " (2 failures in 3 s)");
        assert_eq!(o.failed("refused", t0 + seconds(3)), None);
        // Its next line is a reminder, and that it works is told no more often than that it does not.
        assert_eq!(o.up(t0 + seconds(4)).unwrap(), " after 4.0 s, 3 failures");
        assert_eq!(
            (o.failed("refused", t0 + Duration::from_millis(3100)), o.up(t0 + seconds(4))),
            (None, None)
        );
        // Delivers, and nothing is left to tell.
        assert_eq!(o.over(t0 + seconds(9)), None);
        // Long up is another outage.
        o.failed("refused", t0);
        o.up(t0 + seconds(1));
        assert_eq!(o.failed("refused", t0 + seconds(301)), Some(String::new()));
    }
}
