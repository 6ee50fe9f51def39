//! Memory of large messages, used again: new memory of the system costs a page fault for every 4 KiB of it.
//!
//! A message is put together in memory from here, which becomes a batch's own and comes back when that is gone, wherever
//! that is. Any thread; one leaf mutex.

use crate::lock::lock;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, Weak};

/// Smaller memory is the allocator's affair.
const SMALLEST: usize = 64 << 10;
/// What may lie unused, together.
const MOST: usize = 4 << 20;

/// Memory that waits for its next use.
#[derive(Default)]
pub struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// Empty memory for `n` bytes, and not for much more; new if there is none.
    pub fn take(&self, n: usize) -> Vec<u8> {
        if n >= SMALLEST {
            let mut free = lock(&self.0);
            let fits = |v: &&Vec<u8>| (n..=n.saturating_mul(2)).contains(&v.capacity());
            if let Some(at) = free.iter().position(|v| fits(&v)) {
                return free.swap_remove(at);
            }
        }
        Vec::with_capacity(n)
    }

    pub fn give_back(&self, mut bytes: Vec<u8>) {
        if !(SMALLEST..=MOST).contains(&bytes.capacity()) {
            return;
        }
        bytes.clear();
        let mut free = lock(&self.0);
        let mut all: usize = free.iter().map(Vec::capacity).sum::<usize>() + bytes.capacity();
        // Those that were of no use for longest go.
        while all > MOST {
            all -= free.remove(0).capacity();
        }
        free.push(bytes);
    }
}

/// A batch's own memory, and where it goes when the batch is gone.
#[derive(Default)]
pub struct Own {
    bytes: Vec<u8>,
    home: Weak<Spares>,
}

impl Own {
    pub fn of(bytes: Vec<u8>, home: &Arc<Spares>) -> Own {
        Own { bytes, home: Arc::downgrade(home) }
    }
}

impl Deref for Own {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_goes_to_who_needs_about_as_much() {
        let spares = Arc::new(Spares::default());
        let mut own = Own::of(spares.take(100 << 10), &spares);
        own.extend_from_slice(b"abc");
        let at = own.as_ptr();
        drop(own);
        let others = [spares.take(40 << 10), spares.take(101 << 10)];
        assert!(others.iter().all(|o| o.as_ptr() != at), "too large for the one, too small for the other");
        let again = spares.take(70 << 10);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }

    #[test]
    fn what_lies_unused_is_bounded() {
        let spares = Spares::default();
        for n in [1, 2, 3, 900, 1000, 2000, 3000, 5000, 100_000] {
            spares.give_back(Vec::with_capacity(n << 10));
            let all: usize = lock(&spares.0).iter().map(Vec::capacity).sum();
            assert!(
                all <= MOST && lock(&spares.0).iter().all(|v| v.capacity() >= SMALLEST),
                "{n} KiB: {all}"
            );
        }
        assert_eq!(lock(&spares.0).last().map(Vec::capacity), Some(3000 << 10));
    }
}
