//! The agent's budget of bytes in flight, shared fairly between sources. Owned by one loop.
//!
//! Half of it is for whoever comes first, the other half belongs to the sources in equal shares: connections that wait
//! for a channel, or for the end of a line, stop no other source. A read that would take another buffer asks first;
//! who is refused waits in its source's line, first come first served, and who comes later waits behind it.
//!
//! Connections that are all in the middle of a message would wait for each other for ever, and those that begin one for
//! them. So each source has a finisher where they do not fit: the first in the line that holds part of a message, or else
//! the first of all, reads on to the end of it, asks nobody, and what it holds of it is not counted. The next one is chosen when that message is settled, or its
//! connection is gone; a finisher that stalls is ended by the time-out of its message. What a loop holds is bounded by
//! its budget and one message for each source.

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
    /// Connections that could read but for the budget, in order of coming, and whether each is in the middle of a
    /// message.
    starved: VecDeque<(Token, bool)>,
    /// How many of them are.
    halfway: usize,
    finisher: Option<Token>,
}

/// What a connection asks for.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    /// Bytes it is counted with.
    pub held: usize,
    /// Bytes the next read takes.
    pub need: usize,
    /// It holds part of a message.
    pub halfway: bool,
}

/// What a connection was given.
#[derive(Default, PartialEq, Eq, Clone, Copy, Debug)]
pub(super) enum Grant {
    /// Nothing: it asks for each read.
    #[default]
    None,
    /// It stands in its source's line.
    Waits,
    /// The next read.
    Read,
    /// Every read to the end of the message at hand: it is the finisher.
    Message,
    /// That message has come to its end. It is still the finisher, and reads nothing, until all it brought is settled.
    Settles,
}

impl Grant {
    pub fn is_finisher(self) -> bool {
        matches!(self, Grant::Message | Grant::Settles)
    }
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

    /// Whether a connection may read once.
    pub fn may_read(&self, share: &Share, sources: usize, wish: Wish) -> bool {
        let (common, own) = self.left(share, sources);
        wish.need == 0 || (share.starved.is_empty() && fits(common, own, share.in_flight, wish))
    }

    /// Takes from the front of the line those that may read now, and the next finisher. `ask` tells what a connection
    /// wishes, or `None` when it is not in this line any more.
    pub fn feed(
        &self,
        share: &mut Share,
        sources: usize,
        mut ask: impl FnMut(Token) -> Option<Wish>,
    ) -> Vec<(Token, Grant)> {
        let (mut common, mut own) = self.left(share, sources);
        let (mut used, mut fed) = (share.in_flight, Vec::new());
        while let Some(&(token, _)) = share.starved.front() {
            if let Some(wish) = ask(token) {
                if !fits(common, own, used, wish) {
                    break;
                }
                let from = if own >= wish.need { &mut own } else { &mut common };
                *from = from.saturating_sub(wish.need);
                used += wish.need;
                fed.push((token, Grant::Read));
            }
            share.take(0);
        }
        while share.finisher.is_none() {
            let halfway = (share.halfway > 0).then(|| share.starved.iter().position(|(_, halfway)| *halfway));
            let Some(token) = share.take(halfway.flatten().unwrap_or(0)) else { break };
            if ask(token).is_some() {
                share.finisher = Some(token);
                fed.push((token, Grant::Message));
            }
        }
        fed
    }
}

impl Share {
    pub fn wait(&mut self, token: Token, halfway: bool) {
        self.starved.push_back((token, halfway));
        self.halfway += usize::from(halfway);
    }

    pub fn is_waited_for(&self) -> bool {
        !self.starved.is_empty()
    }

    /// This connection is not the finisher, or not any more.
    pub fn dismiss(&mut self, token: Token) {
        self.finisher.take_if(|t| *t == token);
    }

    fn take(&mut self, at: usize) -> Option<Token> {
        let (token, halfway) = self.starved.remove(at)?;
        self.halfway -= usize::from(halfway);
        Some(token)
    }
}

/// `used`: what the source's connections hold. Where others hold nothing, a message may begin in any case.
fn fits(common: usize, own: usize, used: usize, wish: Wish) -> bool {
    let Wish { held, need, halfway } = wish;
    need == 0 || need <= own || need <= common || (used == held && !halfway)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(held: usize, need: usize) -> Wish {
        Wish { held, need, halfway: false }
    }

    fn is_halfway(held: usize, need: usize) -> Wish {
        Wish { held, need, halfway: true }
    }

    fn tokens(fed: Vec<(Token, Grant)>) -> Vec<Token> {
        assert!(fed.iter().all(|(_, grant)| *grant == Grant::Read));
        fed.into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn one_source_cannot_use_up_the_share_of_another() {
        let mut b = Budget::new(1000);
        let (mut hog, mut other) = (Share::default(), Share::default());
        b.count(&mut hog, 0, 900);
        assert!(!b.may_read(&hog, 2, begins(100, 10)));
        assert!(b.may_read(&other, 2, begins(0, 100)), "its first");
        b.count(&mut other, 0, 100);
        assert!(b.may_read(&other, 2, begins(0, 150)) && !b.may_read(&other, 2, begins(0, 151)));
        b.count(&mut hog, 900, 0);
        assert!(b.may_read(&other, 2, begins(0, 400)), "from what is for everybody");
    }

    #[test]
    fn the_line_is_served_in_order_and_not_passed() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 800);
        for t in 1..=3 {
            s.wait(Token(t), false);
        }
        s.finisher = Some(Token(9));
        let ask = |t: Token| (t != Token(1)).then_some(begins(100, 300));
        assert_eq!(b.feed(&mut s, 1, ask), [], "the first is gone, the second does not fit");
        assert!(!b.may_read(&s, 1, begins(0, 1)), "who comes later waits behind");
        b.count(&mut s, 800, 200);
        assert_eq!(
            tokens(b.feed(&mut s, 1, ask)),
            [Token(2), Token(3)],
            "one from the share, one from the common half"
        );
        assert!(!s.is_waited_for());
    }

    #[test]
    fn one_connection_alone_may_always_begin_a_message() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 5000);
        assert!(b.may_read(&s, 1, begins(5000, 5000)));
        assert!(!b.may_read(&s, 1, begins(4000, 5000)));
        assert!(!b.may_read(&s, 1, is_halfway(5000, 5000)), "to read on it becomes the finisher");
    }

    #[test]
    fn the_first_that_is_in_the_middle_of_a_message_reads_on_to_its_end() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 800);
        s.wait(Token(1), false);
        (2..=4).for_each(|t| s.wait(Token(t), true));
        // The second is gone.
        let ask = |t: Token| (t != Token(2)).then_some(is_halfway(200, 300));
        assert_eq!(b.feed(&mut s, 1, ask), [(Token(3), Grant::Message)]);
        assert_eq!(b.feed(&mut s, 1, ask), [], "one at a time");
        s.dismiss(Token(1));
        assert_eq!(b.feed(&mut s, 1, ask), [], "another's end is not its end");
        s.dismiss(Token(3));
        assert_eq!(b.feed(&mut s, 1, ask), [(Token(4), Grant::Message)]);
        s.dismiss(Token(4));
        assert_eq!(b.feed(&mut s, 1, ask), [(Token(1), Grant::Message)], "nobody else: who begins one");
        assert!(!s.is_waited_for());
    }

    #[test]
    fn beginnings_that_nobody_ends_do_not_keep_the_others_out() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 900);
        // What is held is of others, who have sent nothing more.
        (1..=2).for_each(|t| s.wait(Token(t), false));
        assert_eq!(b.feed(&mut s, 1, |_| Some(begins(0, 64))), [(Token(1), Grant::Message)]);
        s.dismiss(Token(1));
        assert_eq!(b.feed(&mut s, 1, |_| Some(begins(0, 64))), [(Token(2), Grant::Message)]);
    }

    #[test]
    fn others_get_what_is_left_while_there_is_a_finisher() {
        let mut b = Budget::new(1000);
        let mut s = Share::default();
        b.count(&mut s, 0, 600);
        s.wait(Token(1), true);
        s.wait(Token(2), true);
        assert_eq!(b.feed(&mut s, 1, |_| Some(is_halfway(300, 300))), [(Token(1), Grant::Message)]);
        // What it holds is not counted from now on.
        b.count(&mut s, 300, 0);
        assert_eq!(b.feed(&mut s, 1, |_| Some(is_halfway(300, 201))), [], "no second one");
        assert_eq!(tokens(b.feed(&mut s, 1, |_| Some(is_halfway(300, 200)))), [Token(2)]);
    }
}
