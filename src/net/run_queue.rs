//! Who gets a turn next: one queue per source, served in rotation, so that a source with a thousand busy
//! connections takes no more of the loop than one with a single one. Owned by one loop.

use super::handle::SourceId;
use super::slot::Token;
use std::collections::VecDeque;

#[derive(Default)]
pub struct RunQueue {
    sources: VecDeque<(SourceId, VecDeque<Token>)>,
}

impl RunQueue {
    /// Queues a token behind its source's others. The caller sees to it that it is queued once.
    pub fn push(&mut self, source: SourceId, token: Token) {
        match self.sources.iter_mut().find(|(s, _)| *s == source) {
            Some((_, q)) => q.push_back(token),
            None => self.sources.push_back((source, VecDeque::from([token]))),
        }
    }

    pub fn pop(&mut self) -> Option<Token> {
        let (source, mut q) = self.sources.pop_front()?;
        let token = q.pop_front();
        if !q.is_empty() {
            self.sources.push_back((source, q));
        }
        token
    }

    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns() {
        let mut q = RunQueue::default();
        for t in 0..3 {
            q.push(SourceId(1), Token(t));
        }
        q.push(SourceId(2), Token(9));
        let order: Vec<usize> = std::iter::from_fn(|| q.pop()).map(|t| t.0).collect();
        assert_eq!(order, [0, 9, 1, 2]);
        assert!(q.is_empty());
    }
}
