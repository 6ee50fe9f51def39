//! What a stopped Apache Flume file channel still holds: the events that no sink has delivered.
//!
//! Reads format version 3 (Flume 1.9 to 1.11) and changes nothing; the caller holds the locks. A data file `log-N` is a
//! run of records (`record`), `log-N.meta` tells where a checkpoint left off (`datafile`), the checkpoint is the
//! queue at one moment (`checkpoint`). [`read`] replays as Flume does at a start (`replay`): records of all files
//! in write order, puts and takes applied when their transaction commits. With a good checkpoint that begins where it
//! was taken; otherwise all files are read, which gives the same events. (Flume deletes old files. With several
//! dataDirs one of those may hold the take of an event in a file that stays: then the checkpoint knows better, and
//! without it that event comes again. None is missing either way.)
//!
//! Kept of an event is a pointer, as in Flume: number of the file and offset of the put record. The body is read, and
//! its checksum looked at, when [`Undelivered::next_batch`] hands the event out. Nothing read from disk is trusted:
//! what cannot be read is skipped and stands in the [`Report`]. One thread uses a value of these types at a time.

mod checkpoint;
mod datafile;
mod error;
pub mod md5;
mod proto;
mod queue;
mod record;
mod replay;
mod report;
mod scan;
mod window;

pub use error::FlumeError;
pub use report::{CheckpointUse, Damage, DamageList, OpenTransactions, Report};

use crate::event::{Batch, Body, Key};
use datafile::DataFile;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use window::OpenFiles;

/// The most bytes of records in one batch, whatever the caller allows: spans of a batch are 32 bits wide.
const BATCH_BYTES: usize = i32::MAX as usize;

/// Reads which events of a stopped Flume file channel have not been delivered. `progress` hears of the bytes read and
/// the bytes in all. `data_dirs` are all dataDirs of the channel; without `checkpoint_dir` everything is replayed.
pub fn read(
    checkpoint_dir: Option<&Path>,
    data_dirs: &[PathBuf],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Undelivered, FlumeError> {
    let mut report = Report::default();
    let files = datafile::find(data_dirs)?;
    report.files = files.len();
    let checkpoint = match checkpoint_dir.map(checkpoint::load) {
        None => None,
        Some(Ok(checkpoint)) => {
            report.checkpoint = CheckpointUse::Used;
            Some(checkpoint)
        }
        Some(Err(checkpoint::Trouble::Bad(why))) => {
            report.checkpoint = CheckpointUse::Bad(why);
            None
        }
        Some(Err(checkpoint::Trouble::Failed(e))) => return Err(e),
    };
    let pointers = replay::replay(&files, checkpoint, &mut report, progress)?;
    let missing = |p: &&u64| datafile::index_of(&files, **p).is_none();
    if let Some(first) = pointers.iter().find(missing) {
        let id = record::file_of(*first);
        let events = pointers.iter().filter(missing).count();
        return Err(FlumeError::MissingFile { id, events });
    }
    Ok(Undelivered {
        files,
        pointers,
        next: 0,
        open: OpenFiles::default(),
        keys: Vec::new(),
        seen: HashSet::new(),
        report,
    })
}

/// Whether a directory holds data files of a Flume file channel. One that does not exist holds none.
pub fn is_flume_dir(dir: &Path) -> std::io::Result<bool> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        if entry?.file_name().to_str().is_some_and(datafile::is_name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The events of a channel that have not been delivered, in the order in which Flume would.
pub struct Undelivered {
    files: Vec<DataFile>,
    pointers: Vec<u64>,
    next: usize,
    open: OpenFiles,
    /// The header names of the event being appended.
    keys: Vec<Key>,
    seen: HashSet<Key>,
    report: Report,
}

/// What became of an event.
enum Appended {
    /// It is in the batch; the bytes of its record.
    Yes(usize),
    /// The batch has no room for it.
    No,
    Unreadable {
        bytes: u64,
        why: &'static str,
    },
}

impl Undelivered {
    /// Events not delivered, counting those that will turn out to be unreadable.
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }

    /// What was found. Events that [`next_batch`](Undelivered::next_batch) could not read are added as it goes, so what
    /// it handed out and `unreadable_events` make up [`len`](Undelivered::len) at the end.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The next up to `max` events, at least one, with records of `max_bytes` or one that is larger; `None` at the end.
    /// After an error the next call meets the same event again.
    pub fn next_batch(&mut self, max: usize, max_bytes: usize) -> Result<Option<Batch>, FlumeError> {
        let mut batch = Batch::new();
        let mut room = max_bytes.min(BATCH_BYTES);
        while batch.len() < max.max(1) && self.next < self.pointers.len() {
            let pointer = self.pointers[self.next];
            match self.append(pointer, room, &mut batch) {
                Ok(Appended::Yes(bytes)) => room = room.saturating_sub(bytes),
                Ok(Appended::No) => break,
                Ok(Appended::Unreadable { bytes, why }) => self.give_up(pointer, bytes, why),
                Err(e) if batch.is_empty() => return Err(e),
                Err(_) => break, // what came before it is handed out first
            }
            self.next += 1;
        }
        Ok(Some(batch).filter(|b| !b.is_empty()))
    }

    fn give_up(&mut self, pointer: u64, bytes: u64, why: &'static str) {
        self.report.unreadable_events += 1;
        if let Some(index) = datafile::index_of(&self.files, pointer) {
            self.report.damage.add(&self.files[index].path, record::offset_of(pointer), bytes, why);
        }
    }

    /// Appends the event at `pointer` unless its record is larger than `room` and the batch has others.
    fn append(&mut self, pointer: u64, room: usize, batch: &mut Batch) -> Result<Appended, FlumeError> {
        let Some(index) = datafile::index_of(&self.files, pointer) else {
            return Ok(Appended::Unreadable { bytes: 0, why: "its data file is gone" });
        };
        let (path, offset) = (&self.files[index].path, record::offset_of(pointer));
        let io = |source| FlumeError::Io { path: path.clone(), source };
        let window = self.open.get(index, path).map_err(io)?;
        let len = match record::examine(window, offset).map_err(io)? {
            record::Found::Record(r) if r.header.kind == record::Kind::Put => (r.end - offset) as usize,
            record::Found::Record(r) => {
                return Ok(Appended::Unreadable { bytes: r.end - offset, why: "the record is not a put" });
            }
            record::Found::Blank { end } => {
                return Ok(Appended::Unreadable {
                    bytes: end - offset,
                    why: "blanked by the integrity tool",
                });
            }
            record::Found::Bad(why) => return Ok(Appended::Unreadable { bytes: 0, why }),
        };
        if len > room && !batch.is_empty() {
            return Ok(Appended::No);
        }
        let bytes = window.at(offset, len).map_err(io)?;
        let event = match record::event(bytes) {
            Ok(event) => event,
            Err(why) => return Ok(Appended::Unreadable { bytes: len as u64, why }),
        };
        self.keys.clear();
        for (name, _) in event.headers() {
            let name = String::from_utf8_lossy(name);
            let key = key_of(&name).ok_or_else(|| FlumeError::HeaderName {
                path: path.clone(),
                offset,
                name: name.chars().take(100).collect(),
            })?;
            self.keys.push(key);
        }
        batch.push(Body::Copy(event.body));
        self.seen.clear();
        for (key, (_, value)) in self.keys.iter().zip(event.headers()) {
            let value = batch.store(value);
            if self.seen.insert(*key) {
                batch.push_header(*key, value);
            } else {
                batch.set_header(batch.len() - 1, *key, value); // the last one counts, as in Flume's map
            }
        }
        Ok(Appended::Yes(len))
    }
}

/// The key of a header name found on disk.
fn key_of(name: &str) -> Option<Key> {
    Key::intern_own(name)
}

#[cfg(test)]
mod tests;
