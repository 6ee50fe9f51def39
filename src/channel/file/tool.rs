//! `flumed tool channel`: looking into the files of a stopped channel, mending them, and taking over Flume's.
//!
//! A file for each command; here is what they share: which directories, their locks, what is in them, and the replay,
//! which is recovery's (`scan`). The locks are those of an open channel, held as long as the command runs, so that it
//! sees files at rest. `check`, `dump` and `stats` write nothing and make no directory. Runs on the caller's thread.

pub(super) mod check;
pub(super) mod dump;
pub(super) mod import;
mod marker;
pub(super) mod repair;
pub(super) mod stats;
mod summary;
mod target;

pub use check::check;
pub use dump::{dump, Dump};
pub use import::{import, undelivered_in_flume, Import, Imported, Repeat, Step};
pub use marker::{import_state, ImportState};
pub use repair::repair;
pub use stats::stats;

use super::checkpoint::{Checkpoint, Store};
use super::crypt::Keys;
use super::frame::Header;
use super::fs::Fs;
use super::identity::Identity;
use super::intervals::Intervals;
use super::payload::{self, Names};
use super::recovery::{begin, fits, forget_old, merge};
use super::scan::{self, Hear, Listed, ScanError, Scanned};
use super::segment::{Id, NotASegment};
use super::settings::{ours, Fixed};
use crate::config::Context;
use crate::event::{Batch, Buffer};
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What a command works on.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// As configured (Flume's), or the directories `flumed` inside.
    pub data_dirs: Vec<PathBuf>,
    /// Without it nothing is known of checkpoints.
    pub checkpoint_dir: Option<PathBuf>,
    pub backup_dir: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub old_key_files: Vec<PathBuf>,
    /// Hears how many bytes of segments are read, of how many.
    pub progress: Option<fn(u64, u64)>,
}

impl Place {
    /// That of a configured file channel.
    pub fn of(ctx: &Context) -> Place {
        let f = Fixed::of(ctx);
        Place {
            data_dirs: f.data_dirs,
            checkpoint_dir: Some(f.checkpoint_dir),
            backup_dir: f.backup_dir,
            key_file: f.key_file,
            old_key_files: f.old_key_files,
            progress: None,
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub enum ToolError {
    /// What was to be printed could not be; a closed pipe is nobody's fault.
    Output(io::Error),
    Failed(String),
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolError::Output(e) => write!(f, "the output cannot be written: {e}"),
            ToolError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ToolError {}

/// Of the output: errors of the channel's files name the file, see `at`.
impl From<io::Error> for ToolError {
    fn from(e: io::Error) -> ToolError {
        ToolError::Output(e)
    }
}

impl From<ScanError> for ToolError {
    fn from(e: ScanError) -> ToolError {
        ToolError::Failed(e.to_string())
    }
}

type Result<T> = std::result::Result<T, ToolError>;

fn failed<T>(why: impl Into<String>) -> Result<T> {
    Err(ToolError::Failed(why.into()))
}

/// An error with the path it is about.
fn at(path: &Path) -> impl Fn(io::Error) -> ToolError + '_ {
    move |e| ToolError::Failed(format!("{}: {e}", path.display()))
}

/// A data directory.
struct DirFound {
    path: PathBuf,
    /// All of its files.
    names: Vec<String>,
    identity: Option<std::result::Result<Identity, NotASegment>>,
    /// Channel and directory, by the identity or else by the headers of the segments.
    ids: Option<(Id, Id)>,
    listed: Listed,
}

/// A directory of checkpoints.
struct Checkpoints {
    path: PathBuf,
    names: Vec<String>,
    good: Vec<Checkpoint>,
    bad: Vec<(String, NotASegment)>,
}

/// The files of a channel, kept from changing.
struct Opened {
    dirs: Vec<DirFound>,
    checkpoints: Vec<Checkpoints>,
    progress: Option<fn(u64, u64)>,
    _locks: Vec<Box<dyn Any + Send + Sync>>,
}

/// What a replay found: of each directory, and what is live in all.
struct Replayed {
    scanned: Vec<Scanned>,
    live: Intervals,
}

impl Opened {
    fn open(fs: &dyn Fs, place: &Place) -> Result<Opened> {
        let keys = Keys::load(place.key_file.as_deref(), &place.old_key_files).map_err(ToolError::Failed)?;
        if place.data_dirs.is_empty() {
            return failed("no data directory is given");
        }
        let mut data = Vec::new();
        for d in &place.data_dirs {
            data.push(inside(fs, d, "a data directory of a file channel")?);
        }
        let mut stores = Vec::new();
        for d in place.checkpoint_dir.iter().chain(&place.backup_dir) {
            stores.push(inside(fs, d, "a checkpoint directory of a file channel")?);
        }
        let all: BTreeSet<&PathBuf> = data.iter().chain(&stores).collect();
        let mut locks = Vec::new();
        for dir in &all {
            locks.push(fs.lock(dir).map_err(|e| {
                let hint = if e.kind() == io::ErrorKind::WouldBlock { ": stop the agent first" } else { "" };
                ToolError::Failed(format!("{}: {e}{hint}", dir.display()))
            })?);
        }
        if data.iter().collect::<BTreeSet<_>>().len() < data.len() {
            return failed("a data directory is given twice");
        }
        let dirs = data.into_iter().map(|path| look(fs, path, &keys)).collect::<Result<_>>()?;
        let checkpoints = stores.into_iter().map(|path| load(fs, path)).collect::<Result<_>>()?;
        Ok(Opened { dirs, checkpoints, progress: place.progress, _locks: locks })
    }

    /// For commands that make no sense of what cannot be read.
    fn refuse_strangers(&self) -> Result<()> {
        match self.dirs.iter().flat_map(|d| &d.listed.refused).next() {
            Some(why) => failed(why.to_string()),
            None => Ok(()),
        }
    }

    /// Every whole checkpoint of this channel, newest first.
    fn good_checkpoints(&self) -> Vec<&Checkpoint> {
        let channel = self.dirs.iter().find_map(|d| d.ids).map(|ids| ids.0);
        let all = self.checkpoints.iter().flat_map(|c| &c.good);
        let mut all: Vec<&Checkpoint> = all.filter(|c| channel.is_none_or(|id| id == c.channel)).collect();
        all.sort_by_key(|c| std::cmp::Reverse(c.seq));
        all.dedup_by_key(|c| c.seq);
        all
    }

    fn fits(&self, c: &Checkpoint) -> bool {
        c.dirs.iter().all(|of| match self.dirs.iter().find(|d| d.ids.is_some_and(|ids| ids.1 == of.id)) {
            Some(d) => fits(of, &d.listed.files),
            None => true,
        })
    }

    /// Replays everything from a checkpoint on, or all segments.
    fn replay(&self, c: Option<&Checkpoint>, hear: &mut Hear<'_>) -> Result<Replayed> {
        let mut scanned = Vec::new();
        let all = self.dirs.iter().flat_map(|d| &d.listed.files).map(|f| f.size).sum();
        let mut read = 0;
        let mut progress = |more: u64| {
            read += more;
            if let Some(hears) = self.progress {
                hears(read, all);
            }
            true
        };
        for d in &self.dirs {
            let id = d.ids.map(|ids| ids.1).unwrap_or_default();
            let (from, known) = begin(c, &id, &d.listed.files);
            let mut one = scan::scan_with(&d.listed.files, from, &known, &mut progress, hear)?;
            forget_old(c, &id, &mut one);
            scanned.push(one);
        }
        let live = merge(c, &scanned);
        Ok(Replayed { scanned, live })
    }

    /// What is in all segments, and what recovery would make live: by the newest checkpoint that fits, if one does.
    fn recover(&self) -> Result<Replayed> {
        let mut whole = self.replay(None, &mut |_, _, _| true)?;
        if let Some(c) = self.good_checkpoints().into_iter().find(|c| self.fits(c)) {
            whole.live = self.replay(Some(c), &mut |_, _, _| true)?.live;
        }
        Ok(whole)
    }
}

/// Our directory in one of Flume's; where that is given itself, it.
fn inside(fs: &dyn Fs, dir: &Path, what: &str) -> Result<PathBuf> {
    let inner = ours(dir);
    let is_missing = |path: &Path| fs.list(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    if !is_missing(&inner) {
        return Ok(inner);
    }
    if dir.ends_with("flumed") && !is_missing(dir) {
        return Ok(dir.to_owned());
    }
    failed(format!("{}: is not there; {what} has a directory 'flumed'", inner.display()))
}

fn look(fs: &dyn Fs, path: PathBuf, keys: &Keys) -> Result<DirFound> {
    let names = fs.list(&path).map_err(at(&path))?;
    let identity = Identity::read(fs, &path).map_err(at(&path.join(super::identity::NAME)))?;
    let ids = match &identity {
        Some(Ok(i)) => Some((i.channel, i.dir)),
        _ => {
            let all = scan::look(fs, &path, None, keys)?.files;
            let ids: Vec<(Id, Id)> = all.iter().map(|f| (f.header.channel, f.header.dir)).collect();
            ids.iter().max_by_key(|one| ids.iter().filter(|x| x == one).count()).copied()
        }
    };
    let listed = scan::look(fs, &path, ids, keys)?;
    Ok(DirFound { path, names, identity, ids, listed })
}

fn load(fs: &dyn Fs, path: PathBuf) -> Result<Checkpoints> {
    let names = fs.list(&path).map_err(at(&path))?;
    let (good, bad) = Store::new(path.clone(), false).load(fs).map_err(at(&path))?;
    Ok(Checkpoints { path, names, good, bad })
}

/// The events of a put frame; `None`: another version wrote it, or there are too many header names.
fn events_of(h: &Header, bytes: &[u8], names: &mut Names) -> Option<Batch> {
    let buffer = Buffer::owned(bytes.to_vec());
    let mut batch = Batch::new();
    let segment = batch.attach(&buffer);
    payload::decode(bytes, h.count, 0, segment, names, &mut batch, |_| true)?;
    Some(batch)
}

/// A time as RFC 3339 has it.
fn time(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| "-".to_owned(), |t| format!("{t:.3}"))
}

/// What two sets have in common.
fn common(a: &Intervals, b: &Intervals) -> Intervals {
    let (few, many) = if a.pieces() <= b.pieces() { (a, b) } else { (b, a) };
    let mut out = Intervals::default();
    few.iter().for_each(|r| out.insert_all(&many.within(r)));
    out
}

/// What `a` has and `b` has not.
fn less(a: &Intervals, b: &Intervals) -> Intervals {
    let mut left = a.clone();
    left.remove_all(b);
    left
}

/// `1 event`, `2 events`.
fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
