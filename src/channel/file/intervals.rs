//! A set of event numbers, as intervals: what is live, what was put, what was taken.
//!
//! Numbers are handed out in order and mostly taken in order, so a set of ten million numbers is one interval, or a few
//! where takes are under way. Half-open, disjoint and never adjacent. Plain data; belongs to whoever holds it.

use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Intervals {
    /// Begin to end.
    map: BTreeMap<u64, u64>,
    count: u64,
}

impl Intervals {
    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many intervals there are.
    pub fn pieces(&self) -> usize {
        self.map.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.map.iter().map(|(from, to)| *from..*to)
    }

    /// The number behind the highest; 0 when there is none.
    pub fn end(&self) -> u64 {
        self.map.last_key_value().map_or(0, |(_, to)| *to)
    }

    pub fn insert(&mut self, r: Range<u64>) {
        if r.is_empty() {
            return;
        }
        let (mut from, mut to) = (r.start, r.end);
        // Those that touch it become part of it.
        while let Some((f, t)) = self.map.range(..=to).next_back().map(|(f, t)| (*f, *t)) {
            if t < from {
                break;
            }
            self.map.remove(&f);
            self.count -= t - f;
            (from, to) = (from.min(f), to.max(t));
        }
        self.count += to - from;
        self.map.insert(from, to);
    }

    /// Takes numbers out; returns how many were there.
    pub fn remove(&mut self, r: Range<u64>) -> u64 {
        let before = self.count;
        while let Some((f, t)) = self.map.range(..r.end).next_back().map(|(f, t)| (*f, *t)) {
            if t <= r.start || r.is_empty() {
                break;
            }
            self.map.remove(&f);
            self.count -= t - f;
            for (from, to) in [(f, r.start.min(t)), (r.end.max(f), t)] {
                if from < to {
                    self.map.insert(from, to);
                    self.count += to - from;
                }
            }
        }
        before - self.count
    }

    /// Whether any of these numbers is there.
    pub fn overlaps(&self, r: Range<u64>) -> bool {
        !r.is_empty() && self.map.range(..r.end).next_back().is_some_and(|(_, to)| *to > r.start)
    }

    /// Whether all of these numbers are there.
    pub fn covers(&self, r: Range<u64>) -> bool {
        r.is_empty() || self.map.range(..=r.start).next_back().is_some_and(|(_, to)| *to >= r.end)
    }

    /// The part of the set within a range.
    pub fn within(&self, r: Range<u64>) -> Intervals {
        let mut out = Intervals::default();
        let first = self.map.range(..=r.start).next_back().map_or(r.start, |(f, _)| *f);
        for (f, t) in self.map.range(first..r.end.max(first)) {
            out.insert((*f).max(r.start)..(*t).min(r.end));
        }
        out
    }

    pub fn insert_all(&mut self, other: &Intervals) {
        other.iter().for_each(|r| self.insert(r));
    }

    pub fn remove_all(&mut self, other: &Intervals) {
        for r in other.iter() {
            self.remove(r);
        }
    }
}

impl std::fmt::Display for Intervals {
    /// `1-5, 9`, at most eight pieces.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, r) in self.iter().enumerate() {
            if i == 8 {
                return write!(f, " and more, {} in all", self.count);
            }
            let comma = if i > 0 { ", " } else { "" };
            match r.end - r.start {
                1 => write!(f, "{comma}{}", r.start)?,
                _ => write!(f, "{comma}{}-{}", r.start, r.end - 1)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_does_as_a_plain_set_does() {
        let mut random = 12345u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        let (mut ours, mut plain) = (Intervals::default(), BTreeSet::new());
        for step in 0..20_000 {
            let from = next(60);
            let r = from..from + next(9);
            match next(3) {
                0 => {
                    ours.insert(r.clone());
                    plain.extend(r.clone());
                }
                1 => {
                    let gone = r.clone().filter(|n| plain.remove(n)).count() as u64;
                    assert_eq!(ours.remove(r.clone()), gone, "step {step}");
                }
                _ => {
                    let within: Vec<u64> = ours.within(r.clone()).iter().flatten().collect();
                    assert_eq!(within, r.clone().filter(|n| plain.contains(n)).collect::<Vec<_>>());
                }
            }
            assert_eq!(ours.iter().flatten().collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
            assert_eq!(ours.count(), plain.len() as u64);
            assert_eq!(ours.overlaps(r.clone()), r.clone().any(|n| plain.contains(&n)));
            assert_eq!(ours.covers(r.clone()), r.clone().all(|n| plain.contains(&n)));
            let pieces: Vec<_> = ours.iter().collect();
            assert!(pieces.windows(2).all(|w| w[0].end < w[1].start), "adjacent: {pieces:?}");
        }
    }

    #[test]
    fn it_prints_short() {
        let mut i = Intervals::default();
        i.insert(1..4);
        i.insert(7..8);
        assert_eq!(i.to_string(), "1-3, 7");
        assert_eq!(i.end(), 8);
    }
}
