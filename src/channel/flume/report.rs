//! What reading a channel came upon: counts for the operator, and every place that could not be read.

use std::path::{Path, PathBuf};

/// Regions that are listed one by one; more are only counted, so that a ruined file cannot fill the memory.
const LISTED: usize = 1000;

#[derive(Debug, Default)]
pub struct Report {
    pub files: usize,
    /// Bytes of data files that were read, without the fill behind their ends.
    pub bytes: u64,
    /// Records read, by type.
    pub puts: u64,
    pub takes: u64,
    pub commits: u64,
    pub rollbacks: u64,
    /// Records that the checkpoint covers already.
    pub covered: u64,
    /// Records that Flume's integrity tool has blanked out.
    pub blanked: u64,
    /// Transactions that neither committed nor rolled back.
    pub open: OpenTransactions,
    /// Committed takes of events that stand in none of the files: they are gone already.
    pub unmatched_takes: u64,
    pub checkpoint: CheckpointUse,
    /// What is unreadable in the midst of a data file.
    pub damage: DamageList,
    /// Ends of data files that are no whole record: what a crash leaves, or damage to the last record.
    pub torn: DamageList,
    /// Undelivered events that could not be read, found so far. Their places are in `damage`.
    pub unreadable_events: u64,
}

/// Transactions that were under way when the agent ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransactions {
    pub transactions: u64,
    /// Events put in them: no source was told that they were taken in; dropped.
    pub puts: u64,
    /// Events taken in them: delivered again.
    pub takes: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub enum CheckpointUse {
    #[default]
    NotGiven,
    Used,
    /// Everything was replayed, for this reason.
    Bad(String),
}

/// A region that could not be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    pub offset: u64,
    /// Bytes skipped; 0 for one event whose length is not known.
    pub bytes: u64,
    pub why: &'static str,
}

#[derive(Debug, Default)]
pub struct DamageList {
    /// The first of them.
    pub listed: Vec<Damage>,
    pub regions: u64,
    pub bytes: u64,
}

impl DamageList {
    pub(super) fn add(&mut self, path: &Path, offset: u64, bytes: u64, why: &'static str) {
        self.regions += 1;
        self.bytes += bytes;
        if self.listed.len() < LISTED {
            self.listed.push(Damage { path: path.to_owned(), offset, bytes, why });
        }
    }
}
