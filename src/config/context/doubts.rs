//! The keys of a component whose values are not known, and whether a check has looked at one. Pure.
//!
//! Belongs to the thread that judges the component; the flag is atomic only because contexts go to other threads later.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[derive(Default)]
pub struct Doubts {
    keys: BTreeSet<&'static str>,
    were_asked: AtomicBool,
}

impl Doubts {
    pub fn add(&mut self, key: &'static str) {
        self.keys.insert(key);
    }

    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A check begins.
    pub fn begin(&self) {
        self.were_asked.store(false, Relaxed);
    }

    /// It looks at this key.
    pub fn asked_for(&self, key: &str) {
        if self.has(key) {
            self.were_asked.store(true, Relaxed);
        }
    }

    /// Whether what it has said may follow from a value that is not known.
    pub fn were_asked(&self) -> bool {
        self.were_asked.load(Relaxed)
    }
}
