//! How often deliveries may fail: the count for each batch, and where the events go that do not pass.
//!
//! A batch is known by the number of its first event, whatever stands behind that when it is taken again. What the
//! sink says is the destination's fault is not counted. Belongs to the sink's thread; survives the sink's panics.

use super::letters::Letters;
use crate::channel::Take;
use crate::clock::Backoff;
use crate::component::{Fault, SinkError};
use crate::config::{Context, DEAD_LETTER_FILE, MAX_DELIVERY_ATTEMPTS};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many batches are counted at a time: more than one fail in turn where other sinks take from the same channel.
const BATCHES: usize = 64;

/// Before the rounds in which suspects are tried again: a destination may falter a moment after it took an event.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

pub struct Budget {
    /// Failed deliveries of a batch until it is split, and of an event on its own until it is put aside.
    pub attempts: usize,
    pub letters: Letters,
    /// Before each round over those that may be put aside.
    pub pauses: Backoff,
    /// Failed deliveries by the number of the first event.
    failed: BTreeMap<u64, usize>,
    /// Whether an event may be put aside though nothing was delivered that speaks for the destination. Once; then
    /// not until something is delivered.
    pub may_guess: bool,
}

impl Budget {
    /// `None`: this sink has none.
    pub fn new(ctx: &Context) -> Option<Budget> {
        let attempts = ctx.size(MAX_DELIVERY_ATTEMPTS);
        let file = ctx.text(DEAD_LETTER_FILE).filter(|_| attempts > 0)?;
        Some(Budget {
            attempts,
            letters: Letters::new(file),
            pauses: PAUSES,
            failed: BTreeMap::new(),
            may_guess: true,
        })
    }

    /// Whether the dead-letter file can be written to. It is there afterwards.
    pub fn probe(&self) -> Result<(), String> {
        self.letters.append(&[])
    }

    /// Counts a failed delivery; `true` when it was one too many.
    pub fn counts_out(&mut self, take: &Take, why: &SinkError) -> bool {
        let Some(first) = take.first().filter(|_| why.fault != Fault::Destination) else { return false };
        let failures = self.failed.entry(first).or_default();
        *failures += 1;
        let is_out = *failures >= self.attempts;
        if self.failed.len() > BATCHES {
            self.failed.pop_first();
        }
        is_out
    }

    /// Events were delivered: the destination works.
    pub fn delivered(&mut self, take: &Take) {
        self.may_guess = true;
        self.forget(take.first());
    }

    /// Counts the batch from zero again.
    pub fn forget(&mut self, first: Option<u64>) {
        if let Some(first) = first {
            self.failed.remove(&first);
        }
    }

    /// Logs what has not been logged of dead letters.
    pub fn tell(&mut self, sink: &str) {
        self.letters.tell(sink);
    }
}
