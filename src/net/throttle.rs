//! Lets a repeated log line through once a second and counts what it held back. Owned by whoever logs.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Throttle {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// `Some` when the line may be logged now: with a note on how many were not.
    pub fn pass(&mut self, now: Instant) -> Option<String> {
        if self.last.is_some_and(|t| now.saturating_duration_since(t) < PAUSE) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(match std::mem::take(&mut self.held_back) {
            0 => String::new(),
            n => format!(" ({n} more like this were not logged)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_with_the_number_of_the_others() {
        let t0 = Instant::now();
        let mut t = Throttle::default();
        assert_eq!(t.pass(t0), Some(String::new()));
        assert_eq!(t.pass(t0), None);
        assert_eq!(t.pass(t0 + PAUSE).unwrap(), " (1 more like this were not logged)");
    }
}
