//! The queue while it is replayed: pointers in the order of their commits, less those that were taken.
//!
//! Takes come nearly in queue order, so the head usually matches; what is taken out of order is remembered until the
//! head reaches it, and when that is as much as the queue, the queue is cleared of it. So memory follows the backlog,
//! not what passed through the channel, and time is linear.

use std::collections::{HashSet, VecDeque};

/// Takes out of order that are always remembered.
const REMEMBERED: usize = 4096;

pub(super) struct Queue {
    pointers: VecDeque<u64>,
    taken: HashSet<u64>,
    /// Clear the queue when so many are remembered.
    clear_at: usize,
}

impl Queue {
    pub(super) fn new(pointers: Vec<u64>) -> Queue {
        Queue { pointers: pointers.into(), taken: HashSet::new(), clear_at: REMEMBERED }
    }

    pub(super) fn put(&mut self, pointer: u64) {
        self.pointers.push_back(pointer);
    }

    /// Removes an event, also if its put comes only later.
    pub(super) fn take(&mut self, pointer: u64) {
        if self.pointers.front() != Some(&pointer) {
            self.taken.insert(pointer);
            if self.taken.len() >= self.clear_at.max(self.pointers.len() / 2) {
                self.clear();
                // What is left belongs to no put so far; clearing again soon would find no more.
                self.clear_at = REMEMBERED.max(2 * self.taken.len());
            }
            return;
        }
        self.pointers.pop_front();
        while !self.taken.is_empty() && self.pointers.front().is_some_and(|p| self.taken.remove(p)) {
            self.pointers.pop_front();
        }
    }

    fn clear(&mut self) {
        let taken = &mut self.taken;
        self.pointers.retain(|p| !taken.remove(p));
    }

    /// What is left, and how many takes were of events that never were in the queue.
    pub(super) fn finish(mut self) -> (Vec<u64>, u64) {
        self.clear();
        (self.pointers.into(), self.taken.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_in_any_order_leave_the_rest_in_order() {
        let mut queue = Queue::new(vec![1, 2]);
        (3..9).for_each(|p| queue.put(p));
        [3, 1, 20, 7, 2, 9].into_iter().for_each(|p| queue.take(p));
        queue.put(9); // its take was seen first
        assert_eq!(queue.finish(), (vec![4, 5, 6, 8], 1));
    }

    #[test]
    fn a_stuck_head_does_not_make_it_grow() {
        let mut queue = Queue::new(vec![0]);
        for p in 1..=200_000 {
            queue.put(p);
            queue.take(p);
            assert!(queue.pointers.len() <= 2 * REMEMBERED && queue.taken.len() <= REMEMBERED);
        }
        assert_eq!(queue.finish(), (vec![0], 0));
    }

    #[test]
    fn many_takes_without_puts_stay_linear() {
        let mut queue = Queue::new(Vec::new());
        (1..300_000).for_each(|p| queue.take(p));
        assert_eq!(queue.finish(), (vec![], 299_999));
    }
}
