//! The agent's budget of bytes in flight, shared fairly between sources. Owned by one loop.
//!
//! Half of it is for whoever comes first, the other half belongs to the sources in equal shares: connections that wait
//! for a channel, or for the end of a line, stop no other source. A read that would take another buffer asks first;
//! who is refused waits in its source's line, first come first served, and who comes later waits behind it. One
//! connection alone may always read on: its protocol's own limit on the length of a message bounds it.

use super::slot::Token;
use std::collections::VecDeque;

pub(super) struct Budget {
    max: usize,
    in_flight: usize,
}

/// A source's part in it.
#[derive(Default)]
pub(super) struct Share {
    /// What the source's connections are counted with.
    in_flight: usize,
    /// Connections that could read but for the budget, in order of coming.
    starved: VecDeque<Token>,
}

impl Budget {
    pub fn new(max: usize) -> Budget {
        Budget { max, in_flight: 0 }
    }

    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// A connection that was counted with `before` bytes holds `after` now.
    pub fn count(&mut self, share: &mut Share, before: usize, after: usize) {
        self.in_flight = self.in_flight + after - before;
        share.in_flight = share.in_flight + after - before;
    }

    /// What is left for everybody, and what of `share`.
    fn left(&self, share: &Share, sources: usize) -> (usize, usize) {
        let half = self.max / 2;
        let own = (half / sources.max(1)).saturating_sub(share.in_flight);
        (half.saturating_sub(self.in_flight), own)
    }

    /// Whether a connection that holds `held` bytes may take `need` more.
    pub fn may_read(&self, share: &Share, sources: usize, held: usize, need: usize) -> bool {
        let (common, own) = self.left(share, sources);
        need == 0 || (share.starved.is_empty() && fits(common, own, share.in_flight - held, need))
    }

    /// Takes from the front of the line those that may read now. `ask` tells what a connection holds and needs, or
    /// `None` when it is gone.
    pub fn feed(
        &self,
        share: &mut Share,
        sources: usize,
        mut ask: impl FnMut(Token) -> Option<(usize, usize)>,
    ) -> Vec<Token> {
        let (mut common, mut own) = self.left(share, sources);
        let (mut used, mut fed) = (share.in_flight, Vec::new());
        while let Some(&token) = share.starved.front() {
            if let Some((held, need)) = ask(token) {
                if !fits(common, own, used - held, need) {
                    break;
                }
                let from = if own >= need { &mut own } else { &mut common };
                *from = from.saturating_sub(need);
                used += need;
                fed.push(token);
            }
            share.starved.pop_front();
        }
        fed
    }
}

impl Share {
    pub fn wait(&mut self, token: Token) {
        self.starved.push_back(token);
    }

    pub fn is_waited_for(&self) -> bool {
        !self.starved.is_empty()
    }
}

/// `others`: what the source's other connections hold.
fn fits(common: usize, own: usize, others: usize, need: usize) -> bool {
    need == 0 || others == 0 || need <= own || need <= common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_use_up_the_share_of_another() {
        let mut b = Budget::new(1000);
        let (mut hog, mut other) = (Share::default(), Share::default());
        b.count(&mut hog, 0, 900);
        assert!(!b.may_read(&hog, 2, 100, 10));
        assert!(b.may_read(&other, 2, 0, 100), "its first");
        b.count(&mut other, 0, 100);
        assert!(b.may_read(&other, 2, 0, 150) && !b.may_read(&other, 2, 0, 151));
        b.count(&mut hog, 900, 0);
        assert!(b.may_read(&other, 2, 0, 400), "from what is for everybody");
    }

    #[test]
    fn the_line_is_served_in_order_and_not_passed() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 800);
        for t in 1..=3 {
            s.wait(Token(t));
        }
        let ask = |t: Token| (t != Token(1)).then_some((100, 300));
        assert_eq!(b.feed(&mut s, 1, ask), [], "the first is gone, the second does not fit");
        assert!(!b.may_read(&s, 1, 0, 1), "who comes later waits behind");
        b.count(&mut s, 800, 200);
        assert_eq!(
            b.feed(&mut s, 1, ask),
            [Token(2), Token(3)],
            "one from the share, one from the common half"
        );
        assert!(!s.is_waited_for());
    }

    #[test]
    fn one_connection_alone_may_always_read_on() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 5000);
        assert!(b.may_read(&s, 1, 5000, 5000));
        assert!(!b.may_read(&s, 1, 4000, 5000));
    }
}
