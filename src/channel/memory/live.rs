//! Limits that can change while others read them, without a lock. Any thread.

use super::super::Limits;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Limits that may change while the channel is in use. Each is valid by itself, so no lock holds them together.
pub(super) struct Live {
    capacity: AtomicUsize,
    transaction_capacity: AtomicUsize,
    byte_capacity: AtomicUsize,
    keep_alive_ms: AtomicU64,
    durable: bool,
}

impl Live {
    pub fn new(l: Limits) -> Live {
        let live = Live {
            capacity: AtomicUsize::new(0),
            transaction_capacity: AtomicUsize::new(0),
            byte_capacity: AtomicUsize::new(0),
            keep_alive_ms: AtomicU64::new(0),
            durable: l.durable,
        };
        live.set(l);
        live
    }

    pub fn set(&self, l: Limits) {
        self.capacity.store(l.capacity, Relaxed);
        self.transaction_capacity.store(l.transaction_capacity, Relaxed);
        self.byte_capacity.store(l.byte_capacity, Relaxed);
        self.keep_alive_ms.store(u64::try_from(l.keep_alive.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn get(&self) -> Limits {
        Limits {
            capacity: self.capacity.load(Relaxed),
            transaction_capacity: self.transaction_capacity.load(Relaxed),
            byte_capacity: self.byte_capacity.load(Relaxed),
            keep_alive: Duration::from_millis(self.keep_alive_ms.load(Relaxed)),
            durable: self.durable,
        }
    }
}
