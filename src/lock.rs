//! Locks that a caught panic does not poison, and what keeps threads off each other's cache lines.
//!
//! A panic in one component is caught and reported, and the others go on: what a mutex here guards is whole whenever
//! its guard is dropped, because nothing under it panics half-way.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value on cache lines of its own: what one thread writes and another one's neighbouring data do not slow each other.
#[derive(Default, Debug)]
#[repr(align(64))]
pub struct Apart<T>(T);

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{catch_unwind, AssertUnwindSafe};

    #[test]
    fn a_panic_under_the_lock_leaves_it_usable() {
        let m = Mutex::new(1);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _held = lock(&m);
            panic!("planned");
        }));
        assert!(caught.is_err());
        assert_eq!(*lock(&m), 1);
    }
}
