//! Which host is next: all in turn or at random, those that failed lately last.
//!
//! A host that fails n times in a row is left alone for 2^n seconds, up to a limit, if so configured: it is tried only
//! when no other host will do. So there is always one to try, which Flume's selectors do not have. Pure.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_secs(1);
/// More failures than this make no difference.
const MANY: u32 = 16;

pub struct Balance {
    hosts: Vec<Standing>,
    turn: usize,
    random: Option<Random>,
    /// `None`: failures change nothing.
    longest: Option<Duration>,
}

#[derive(Clone, Default)]
struct Standing {
    failures: u32,
    until: Option<Instant>,
}

impl Balance {
    pub fn new(hosts: usize, is_random: bool, longest: Option<Duration>) -> Balance {
        let random = is_random.then(|| Random(RandomState::new().hash_one(0) | 1));
        Balance { hosts: vec![Standing::default(); hosts], turn: 0, random, longest }
    }

    /// All hosts, in the order in which they are to be tried.
    pub fn order(&mut self, now: Instant) -> Vec<usize> {
        let is_left_alone = |i: &usize| self.hosts[*i].until.is_some_and(|u| u > now);
        let (mut last, mut order): (Vec<usize>, Vec<usize>) = (0..self.hosts.len()).partition(is_left_alone);
        match &mut self.random {
            Some(random) => random.shuffle(&mut order),
            None if order.is_empty() => {}
            None => {
                self.turn %= order.len();
                order.rotate_left(self.turn);
                self.turn += 1;
            }
        }
        last.sort_by_key(|i| self.hosts[*i].until);
        order.extend(last);
        order
    }

    pub fn succeeded(&mut self, host: usize) {
        self.hosts[host] = Standing::default();
    }

    pub fn failed(&mut self, host: usize, now: Instant) {
        let Some(longest) = self.longest else { return };
        let h = &mut self.hosts[host];
        h.failures = (h.failures + 1).min(MANY);
        h.until = now.checked_add(STEP.saturating_mul(1 << h.failures).min(longest));
    }
}

/// Good enough for spreading load (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n as u64) as usize
    }

    fn shuffle(&mut self, list: &mut [usize]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn each_host_has_its_turn() {
        let (mut b, now) = (Balance::new(3, false, None), Instant::now());
        b.failed(1, now);
        let orders: Vec<Vec<usize>> = (0..4).map(|_| b.order(now)).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }

    #[test]
    fn who_failed_is_last_for_a_while_that_grows() {
        let (mut b, now) = (Balance::new(3, false, Some(seconds(30))), Instant::now());
        for (n, pause) in [2, 4, 8, 16, 30].into_iter().chain([30; 60]).enumerate() {
            b.failed(0, now);
            assert_eq!(b.order(now + seconds(pause) - STEP / 2)[2], 0, "failure {n}");
            let free = (0..3).map(|_| b.order(now + seconds(pause))[0]).collect::<Vec<_>>();
            assert!(free.contains(&0), "failure {n}");
        }
        b.succeeded(0);
        b.failed(0, now);
        assert_eq!(b.hosts[0].until, Some(now + seconds(2)));
        Balance::new(1, false, Some(Duration::MAX)).failed(0, now);
    }

    #[test]
    fn with_all_failed_who_is_free_first_is_first() {
        for is_random in [false, true] {
            let (mut b, now) = (Balance::new(3, is_random, Some(seconds(30))), Instant::now());
            for (host, failures) in [(0, 3), (1, 1), (2, 2)] {
                (0..failures).for_each(|_| b.failed(host, now));
            }
            assert_eq!(b.order(now), [1, 2, 0]);
        }
    }

    #[test]
    fn at_random_all_are_tried_and_each_comes_first() {
        let (mut b, now) = (Balance::new(4, true, None), Instant::now());
        let mut first = [0; 4];
        for _ in 0..400 {
            let mut order = b.order(now);
            first[order[0]] += 1;
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
        assert!(first.iter().all(|n| *n > 20), "{first:?}");
    }
}
