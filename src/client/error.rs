//! What can be relied on when events were not delivered. Plain data.

use std::fmt;

/// What is known of the events of a call that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// They did not get there: no connection, or it ended before all of the call was sent.
    NotSent,
    /// The server has refused them. The connection is as good as before.
    Refused,
    /// They were sent and no answer came: they may be stored, and sending them again may repeat them.
    Unknown,
    /// No call holds them.
    TooLarge,
}

/// Why events were not delivered. Those of `acknowledged` were, before it failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    pub outcome: Outcome,
    pub why: String,
    /// How many events at the beginning of the batch are stored: a batch may take several calls.
    pub acknowledged: usize,
    /// How many events were in the call that failed, which follow these.
    pub failed: usize,
}

impl Error {
    pub fn new(outcome: Outcome, why: impl Into<String>) -> Error {
        Error { outcome, why: why.into(), acknowledged: 0, failed: 0 }
    }

    /// How many events may be stored already although the batch has failed: those that come twice when all of it is
    /// sent again.
    pub fn maybe_stored(&self) -> usize {
        self.acknowledged + if self.outcome == Outcome::Unknown { self.failed } else { 0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Error {}
