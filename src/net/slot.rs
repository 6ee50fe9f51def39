//! Slots: connections and listeners by token. A token carries a generation, so that a late event, wake-up or
//! answer for something that is gone finds nothing. Owned by one loop.

use std::collections::VecDeque;

/// Bits of a token that index the slab; the others count generations.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
const GENERATIONS: usize = 1 << (usize::BITS - INDEX_BITS - 1);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub usize);

/// Values by token.
pub struct Slots<T> {
    entries: Vec<(usize, Option<T>)>,
    /// The one free longest is used first: its old tokens are the least likely to be about still.
    free: VecDeque<usize>,
}

impl<T> Slots<T> {
    pub fn new() -> Slots<T> {
        Slots { entries: Vec::new(), free: VecDeque::new() }
    }

    /// The token the next insert will have; `None` when the slab is full.
    pub fn next_token(&self) -> Option<Token> {
        match self.free.front() {
            Some(&i) => Some(Token(self.entries[i].0 << INDEX_BITS | i)),
            None if self.entries.len() < INDEX_MASK => Some(Token(self.entries.len())),
            None => None,
        }
    }

    /// Stores a value under [`next_token`](Slots::next_token).
    pub fn insert(&mut self, value: T) -> Option<Token> {
        let token = self.next_token()?;
        match self.free.pop_front() {
            Some(i) => self.entries[i].1 = Some(value),
            None => self.entries.push((0, Some(value))),
        }
        Some(token)
    }

    pub fn get_mut(&mut self, t: Token) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(t.0 & INDEX_MASK)?;
        if *generation == t.0 >> INDEX_BITS {
            value.as_mut()
        } else {
            None
        }
    }

    pub fn remove(&mut self, t: Token) -> Option<T> {
        let i = t.0 & INDEX_MASK;
        let (generation, value) = self.entries.get_mut(i)?;
        if *generation != t.0 >> INDEX_BITS || value.is_none() {
            return None;
        }
        *generation = (*generation + 1) % GENERATIONS;
        self.free.push_back(i);
        value.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_dies_with_its_value() {
        let mut s = Slots::new();
        let next = s.next_token();
        let a = s.insert("a").unwrap();
        assert_eq!(next, Some(a));
        let b = s.insert("b").unwrap();
        assert_eq!(s.remove(a), Some("a"));
        assert_eq!(s.remove(a), None);
        let c = s.insert("c").unwrap();
        assert_ne!(a, c);
        assert_eq!(s.get_mut(a), None);
        assert_eq!(s.get_mut(b), Some(&mut "b"));
        assert_eq!(s.get_mut(c), Some(&mut "c"));
    }
}
