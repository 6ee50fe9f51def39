//! Read buffers: fixed-size, pooled, reference-counted once filled.
//!
//! The event loop takes a buffer, reads into it, freezes it into a [`Buffer`] and hands that over with the
//! batch. When the last span into it is gone, wherever that is, the memory goes back to the pool.

use super::Spares;
use crate::lock::lock;
use std::ops::Deref;
use std::sync::{Arc, Mutex, Weak};

/// Filled bytes that many events may point into.
pub struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    home: Home,
}

/// Where the memory goes when nothing points into it any more.
enum Home {
    Nowhere,
    Pool(Weak<BufferPool>),
    Spares(Weak<Spares>),
}

impl Buffer {
    /// A buffer of its own, that belongs to no pool.
    pub fn owned(bytes: Vec<u8>) -> Arc<Buffer> {
        let filled = bytes.len();
        Arc::new(Buffer { bytes, filled, home: Home::Nowhere })
    }

    /// The same, in memory that others use next.
    pub fn spare(bytes: Vec<u8>, spares: &Arc<Spares>) -> Arc<Buffer> {
        let filled = bytes.len();
        Arc::new(Buffer { bytes, filled, home: Home::Spares(Arc::downgrade(spares)) })
    }

    /// The memory itself, when nobody else points into it.
    pub fn reclaim(this: Arc<Buffer>) -> Result<Vec<u8>, Arc<Buffer>> {
        Arc::try_unwrap(this).map(|mut b| std::mem::take(&mut b.bytes))
    }

    /// Bytes of memory that live as long as this buffer does.
    pub fn pinned(&self) -> usize {
        self.bytes.len()
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        match &self.home {
            Home::Nowhere => {}
            Home::Pool(pool) => {
                if let Some(pool) = pool.upgrade() {
                    pool.give_back(bytes);
                }
            }
            Home::Spares(spares) => {
                if let Some(spares) = spares.upgrade() {
                    spares.give_back(bytes);
                }
            }
        }
    }
}

/// Keeps a bounded number of free buffers of one size.
pub struct BufferPool {
    size: usize,
    keep: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// Buffers of `size` bytes, of which at most `keep` wait unused.
    pub fn new(size: usize, keep: usize) -> Arc<BufferPool> {
        Arc::new(BufferPool { size, keep, free: Mutex::new(Vec::new()) })
    }

    /// The size of every buffer, in bytes.
    pub fn buffer_size(&self) -> usize {
        self.size
    }

    /// A writable buffer of `buffer_size` bytes with unspecified contents.
    pub fn take(&self) -> Vec<u8> {
        let free = lock(&self.free).pop();
        free.unwrap_or_else(|| vec![0; self.size])
    }

    /// Returns a buffer that was taken and not frozen.
    pub fn give_back(&self, bytes: Vec<u8>) {
        if bytes.len() != self.size {
            return;
        }
        let mut free = lock(&self.free);
        if free.len() < self.keep {
            free.push(bytes);
        }
    }

    /// Makes the first `filled` bytes of a taken buffer shareable.
    pub fn freeze(self: &Arc<Self>, bytes: Vec<u8>, filled: usize) -> Arc<Buffer> {
        debug_assert!(filled <= bytes.len());
        Arc::new(Buffer { filled: filled.min(bytes.len()), bytes, home: Home::Pool(Arc::downgrade(self)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_buffer_returns_when_the_last_reference_goes() {
        let pool = BufferPool::new(16, 4);
        let mut b = pool.take();
        b[..3].copy_from_slice(b"abc");
        let at = b.as_ptr();
        let frozen = pool.freeze(b, 3);
        let second = frozen.clone();
        assert_eq!(&frozen[..], b"abc");
        drop(frozen);
        let other = pool.take();
        assert_ne!(other.as_ptr(), at, "still referenced");
        drop(second);
        let again = pool.take();
        assert_eq!(again.as_ptr(), at);
    }

    #[test]
    fn the_pool_keeps_no_more_than_it_was_told_to() {
        let pool = BufferPool::new(8, 1);
        let (a, b) = (pool.take(), pool.take());
        pool.give_back(a);
        pool.give_back(b);
        assert_eq!(pool.free.lock().unwrap().len(), 1);
    }

    #[test]
    fn memory_of_a_large_message_goes_back_to_the_spares() {
        let spares = Arc::new(Spares::default());
        let bytes = vec![7; 100 << 10];
        let at = bytes.as_ptr();
        let buffer = Buffer::spare(bytes, &spares);
        assert_eq!(buffer.pinned(), 100 << 10);
        drop(buffer);
        let again = spares.take(90 << 10);
        assert_eq!(again.as_ptr(), at);
    }
}
