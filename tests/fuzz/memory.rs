//! Counts what is allocated: bytes that live now, the most since the last mark, and a ceiling nobody may pass.
//!
//! The global allocator of this process is the system's, with the counting around it. A thread whose allocation would
//! pass the ceiling does not get it: it sleeps until the watchdog (`watch`) has saved the input and ended the process,
//! because memory that a decoder asks for on a peer's word may be more than the machine has. Called by every thread;
//! atomics only.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

/// More than any input may have allocated at once.
const CEILING: usize = 1 << 30;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static IS_ABOVE: AtomicBool = AtomicBool::new(false);

struct Counting;

#[global_allocator]
static GLOBAL: Counting = Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes);
    if live > PEAK.load(Relaxed) {
        PEAK.fetch_max(live, Relaxed);
    }
    // Once somebody is above it, the watchdog needs memory to say so.
    if live > CEILING && !IS_ABOVE.swap(true, SeqCst) {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

// SAFETY: every call goes to `System` with the arguments that came, so what `System` guarantees to its caller holds for
// ours, whose duties towards us are the same as towards it. Counting touches no memory but three statics, allocates
// nothing and does not unwind; a call that sleeps never returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there for a moment.
        grow(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Counts from here on; what lives now is the base of [`peak`].
pub struct Mark(usize);

pub fn mark() -> Mark {
    let live = LIVE.load(SeqCst);
    PEAK.store(live, SeqCst);
    Mark(live)
}

impl Mark {
    /// The most bytes that lived at once since the mark, above those that lived then.
    pub fn peak(&self) -> usize {
        PEAK.load(SeqCst).saturating_sub(self.0)
    }
}

/// Whether a thread sleeps because of the ceiling.
pub fn is_above_ceiling() -> bool {
    IS_ABOVE.load(SeqCst)
}
