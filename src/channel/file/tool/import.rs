//! `flumed tool channel import`: takes over what a stopped Apache Flume file channel has not delivered.
//!
//! Flume's files are read by `channel::flume` and left as they are. The events go through the real channel, one batch at
//! a time: the next is put when the one before it is stored. So what is stored is always a front of Flume's order, and
//! after a crash the number of events tells where to go on, as nobody else puts or takes in between (see `marker`). The
//! channel's locks are held all the time, and Flume's own where it has them.
//!
//! Runs on the caller's thread, beside the channel's own.

use super::super::fs::{Fs, RealFs};
use super::super::lock as locks;
use super::super::settings::{ours, Fixed, Settings};
use super::super::FileChannel;
use super::marker::{checkpoint_files, data_files, ImportState, NAME};
use super::summary::summary;
use super::target::{Before, Target};
use super::{at, failed, Place, Result, ToolError};
use crate::channel::flume::{self, FlumeError};
use crate::channel::{Channel, Limits};
use crate::config::Context;
use crate::counters::ChannelCounters;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;

/// Events of one transaction.
const BATCH: usize = 1000;

/// What to do about an import that was begun or completed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    Refuse,
    /// All events once more.
    Again,
    /// From where it was cut short.
    Resume,
}

/// An import to be made.
pub struct Import {
    /// Of Flume's.
    pub(super) data_dirs: Vec<PathBuf>,
    pub(super) checkpoint_dir: Option<PathBuf>,
    /// A directory that is not there is a mistake.
    is_explicit: bool,
    name: String,
    into: Fixed,
    pub(in crate::channel::file) settings: Settings,
    /// Events of one transaction.
    pub(in crate::channel::file) batch: usize,
    pub repeat: Repeat,
}

/// How far it is, for people: out of how many.
pub enum Step {
    Reading(u64, u64),
    Checking(u64, u64),
    Storing(u64, u64),
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Imported {
    /// Everything, or nothing was to be done.
    All,
    /// Everything that could be read.
    WithDamage,
}

impl Import {
    /// Into a configured file channel, from Flume's files in the same directories.
    pub fn of(ctx: &Context) -> Import {
        let into = Fixed::of(ctx);
        Import {
            data_dirs: into.data_dirs.clone(),
            checkpoint_dir: Some(into.checkpoint_dir.clone()),
            is_explicit: false,
            name: ctx.name().to_owned(),
            settings: without_limits(Settings::of(ctx, Settings::unconfigured().limits)),
            into,
            batch: BATCH,
            repeat: Repeat::Refuse,
        }
    }

    /// Into the channel of this place, which has a checkpoint directory.
    pub fn into(place: &Place) -> std::result::Result<Import, String> {
        let checkpoint_dir = place.checkpoint_dir.clone().ok_or("--checkpoint is required")?;
        if place.data_dirs.is_empty() {
            return Err("--into is required: the data directories to import into".to_owned());
        }
        Ok(Import {
            data_dirs: place.data_dirs.clone(),
            checkpoint_dir: Some(checkpoint_dir.clone()),
            is_explicit: false,
            name: "import".to_owned(),
            into: Fixed {
                checkpoint_dir,
                backup_dir: place.backup_dir.clone(),
                compresses_backup: false,
                data_dirs: place.data_dirs.clone(),
                key_file: place.key_file.clone(),
                old_key_files: place.old_key_files.clone(),
            },
            settings: without_limits(Settings::unconfigured()),
            batch: BATCH,
            repeat: Repeat::Refuse,
        })
    }

    /// From directories of Flume's that are elsewhere.
    pub fn from(&mut self, data_dirs: Vec<PathBuf>, checkpoint_dir: Option<PathBuf>) {
        (self.data_dirs, self.checkpoint_dir, self.is_explicit) = (data_dirs, checkpoint_dir, true);
    }
}

/// A backlog was taken in before; it is not refused now.
fn without_limits(s: Settings) -> Settings {
    let limits = Limits {
        capacity: usize::MAX,
        transaction_capacity: usize::MAX,
        byte_capacity: usize::MAX,
        ..s.limits
    };
    Settings { limits, max_transaction: usize::MAX, sync_interval: None, checkpoint_on_close: true, ..s }
}

/// How many events Flume has not delivered in these directories; 0 where there are no files of Flume's. Takes no locks,
/// reads all of Flume's records since its last checkpoint.
pub fn undelivered_in_flume(
    checkpoint_dir: &Path,
    data_dirs: &[PathBuf],
) -> std::result::Result<usize, FlumeError> {
    let mut theirs = Vec::new();
    for dir in data_dirs {
        match flume::is_flume_dir(dir) {
            Ok(false) => {}
            Ok(true) => theirs.push(dir.clone()),
            Err(source) => return Err(FlumeError::Io { path: dir.clone(), source }),
        }
    }
    if theirs.is_empty() {
        return Ok(0);
    }
    flume::read(Some(checkpoint_dir), &theirs, &mut |_, _| {}).map(|u| u.len())
}

/// Imports; prints what came of it.
pub fn import(job: Import, progress: &mut dyn FnMut(Step), out: &mut dyn Write) -> Result<Imported> {
    run(Arc::new(RealFs), job, progress, out)
}

pub(in crate::channel::file) fn run(
    fs: Arc<dyn Fs>,
    mut job: Import,
    progress: &mut dyn FnMut(Step),
    out: &mut dyn Write,
) -> Result<Imported> {
    job.find_theirs()?;
    if job.data_dirs.is_empty() {
        job.refuse_half(fs.as_ref())?;
        writeln!(out, "there are no files of Flume's in these directories: nothing to import")?;
        return Ok(Imported::All);
    }
    // Declared before the channel: the channel's hold on the same files ends first.
    let _theirs = job.lock_theirs()?;
    let mut files = data_files(&job.data_dirs).map_err(at(&job.data_dirs[0]))?;
    if let Some(dir) = &job.checkpoint_dir {
        files.extend(checkpoint_files(Some(dir)).map_err(at(dir))?);
    }
    let channel = job.open(fs.clone())?;
    let target = Target::new(fs, channel, &job.into.data_dirs);
    let (skip, state) = match target.before(&job, files)? {
        Before::Ready { skip, state } => (skip, state),
        Before::Done(text) => {
            writeln!(out, "{text}")?;
            return Ok(Imported::All);
        }
    };
    let mut read = |done, all| progress(Step::Reading(done, all));
    let theirs = flume::read(job.checkpoint_dir.as_deref(), &job.data_dirs, &mut read);
    let mut theirs = theirs.map_err(|e| ToolError::Failed(e.to_string()))?;
    if skip == 0 {
        target.mark(&state)?;
    }
    let stored = target.store(&mut theirs, (skip, job.batch), progress)?;
    target.mark(&ImportState::Done { events: stored, files: state.files().to_vec() })?;
    target.close();
    summary(&job, &theirs, stored, skip, out)
}

impl Import {
    /// Leaves out directories without files of Flume's.
    fn find_theirs(&mut self) -> Result<()> {
        let mut theirs = Vec::new();
        for dir in &self.data_dirs {
            let is_one = flume::is_flume_dir(dir).map_err(at(dir))?;
            if is_one {
                theirs.push(dir.clone());
            } else if self.is_explicit {
                return failed(format!("{}: there are no data files of Flume's (log-N)", dir.display()));
            }
        }
        self.data_dirs = theirs;
        Ok(())
    }

    /// Flume's files went before an import of them was completed.
    fn refuse_half(&self, fs: &dyn Fs) -> Result<()> {
        for dir in self.into.data_dirs.iter().map(|d| ours(d)) {
            let note = dir.join(NAME);
            if let Some(ImportState::Begun { .. }) = ImportState::read(fs, &dir).map_err(at(&note))? {
                return failed(format!(
                    "an earlier import was cut short, and Flume's files are gone: delete {} to go on with what was \
                     stored",
                    note.display()
                ));
            }
        }
        Ok(())
    }

    fn lock_theirs(&self) -> Result<Vec<File>> {
        let all: BTreeSet<&PathBuf> = self.data_dirs.iter().chain(&self.checkpoint_dir).collect();
        let mut held = Vec::new();
        for dir in all {
            held.extend(locks::flumes(dir).map_err(at(dir))?);
        }
        Ok(held)
    }

    fn open(&self, fs: Arc<dyn Fs>) -> Result<Arc<FileChannel>> {
        let counters = ChannelCounters::new(&self.name);
        let channel = FileChannel::new(&self.name, self.into.clone(), self.settings, counters, fs);
        channel.is_for_import.store(true, SeqCst);
        while !channel.open().map_err(ToolError::Failed)? {}
        Ok(channel)
    }
}
