//! Deadlines of connections and listeners in one ordered set. Each token has at most one; who is called too early
//! (its deadline moved later meanwhile) sets the new one. Owned by one loop; time is passed in.

use super::slot::Token;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

#[derive(Default)]
pub struct Deadlines {
    order: BTreeSet<(Instant, Token)>,
    of: HashMap<Token, Instant>,
}

impl Deadlines {
    /// Makes sure that `token` is called no later than `at`.
    pub fn at_latest(&mut self, token: Token, at: Instant) {
        match self.of.get(&token) {
            Some(set) if *set <= at => return,
            Some(set) => {
                self.order.remove(&(*set, token));
            }
            None => {}
        }
        self.of.insert(token, at);
        self.order.insert((at, token));
    }

    pub fn forget(&mut self, token: Token) {
        if let Some(at) = self.of.remove(&token) {
            self.order.remove(&(at, token));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out a token whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<Token> {
        let (at, token) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.of.remove(&token);
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_earlier_deadline_stands() {
        let t0 = Instant::now();
        let s = |n| t0 + Duration::from_secs(n);
        let mut d = Deadlines::default();
        d.at_latest(Token(1), s(5));
        d.at_latest(Token(1), s(9));
        d.at_latest(Token(2), s(7));
        d.at_latest(Token(2), s(3));
        assert_eq!(d.next(), Some(s(3)));
        assert_eq!(d.pop_due(s(2)), None);
        assert_eq!(d.pop_due(s(6)), Some(Token(2)));
        assert_eq!(d.pop_due(s(6)), Some(Token(1)));
        d.at_latest(Token(3), s(1));
        d.forget(Token(3));
        assert_eq!(d.next(), None);
    }
}
