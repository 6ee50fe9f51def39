//! What an import of Flume's events has come to: the file `import` in the `flumed` directory of a data directory.
//!
//! Text, a line for each thing: a title with the version, `begun` or `done` with a number, the files of Flume's that were
//! read, each with its length and time, and `end`. Written to a temporary name, synced, renamed, and the directory is
//! synced. `begun` is there before the first event is stored, `done` after the last: with `begun` the channel holds a
//! part of Flume's events, or all, and nobody may take any before the import is completed.

use super::super::fs::{Fs, RealFs};
use super::super::segment::{read_full, write_all};
use super::super::settings::ours;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "import";
const TEMPORARY: &str = "import.tmp";
const TITLE: &str = "flumed import 1";
/// A file above this is not one of ours.
const LARGEST: u64 = 64 << 20;

/// An import that was begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImportState {
    /// It was cut short: what was stored has numbers from `next` on.
    Begun { next: u64, files: Vec<String> },
    /// So many events were stored.
    Done { events: u64, files: Vec<String> },
}

impl ImportState {
    /// The files that were read, a line for each.
    pub fn files(&self) -> &[String] {
        match self {
            ImportState::Begun { files, .. } | ImportState::Done { files, .. } => files,
        }
    }

    /// Whether what Flume has in these data directories is what was read then.
    pub fn is_of(&self, data_dirs: &[PathBuf]) -> io::Result<bool> {
        Ok(data_files(data_dirs)? == without_checkpoint(self.files()))
    }

    fn encode(&self) -> String {
        let (word, n) = match self {
            ImportState::Begun { next, .. } => ("begun", next),
            ImportState::Done { events, .. } => ("done", events),
        };
        let files: String = self.files().iter().map(|f| format!("{f}\n")).collect();
        format!("{TITLE}\n{word} {n}\n{files}end\n")
    }

    fn decode(text: &str) -> Option<ImportState> {
        let lines: Vec<&str> = text.strip_suffix("end\n")?.lines().collect();
        let [TITLE, state, files @ ..] = lines.as_slice() else { return None };
        let files = files.iter().map(|f| (*f).to_owned()).collect();
        let (word, n) = state.split_once(' ')?;
        let n = n.parse().ok()?;
        match word {
            "begun" => Some(ImportState::Begun { next: n, files }),
            "done" => Some(ImportState::Done { events: n, files }),
            _ => None,
        }
    }

    /// `dir`: our own.
    pub(super) fn read(fs: &dyn Fs, dir: &Path) -> io::Result<Option<ImportState>> {
        let file = match fs.open(&dir.join(NAME), false) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = vec![0; file.len()?.min(LARGEST) as usize];
        let n = read_full(file.as_ref(), &mut bytes, 0)?;
        let state = std::str::from_utf8(&bytes[..n]).ok().and_then(ImportState::decode);
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "is damaged, or of a newer flumed");
        state.map(Some).ok_or_else(unknown)
    }

    pub(super) fn write(&self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(TEMPORARY);
        match fs.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = fs.create(&temporary)?;
        write_all(file.as_ref(), self.encode().as_bytes(), 0)?;
        file.sync()?;
        fs.rename(&temporary, &dir.join(NAME))?;
        fs.sync_dir(dir)
    }
}

/// What an import into a channel has come to. `dir`: a data directory as configured; the file is in the channel's first,
/// as it was configured when the import ran.
pub fn import_state(dir: &Path) -> io::Result<Option<ImportState>> {
    ImportState::read(&RealFs, &ours(dir))
}

/// Flume's data files in these directories, a line for each. Their names are unique in a channel.
pub(super) fn data_files(dirs: &[PathBuf]) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for dir in dirs {
        let is_ours = |name: &str| {
            let stem = name.strip_prefix("log-").map(|n| n.strip_suffix(".meta").unwrap_or(n));
            stem.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        all.extend(described(dir, "data", is_ours)?);
    }
    all.sort();
    Ok(all)
}

/// Those of Flume's checkpoint. The order of events may depend on it.
pub(super) fn checkpoint_files(dir: Option<&Path>) -> io::Result<Vec<String>> {
    let is_ours =
        |name: &str| ["checkpoint", "checkpoint.meta", "inflightputs", "inflighttakes"].contains(&name);
    let mut all = match dir {
        Some(dir) => described(dir, "checkpoint", is_ours)?,
        None => Vec::new(),
    };
    all.sort();
    Ok(all)
}

fn without_checkpoint(files: &[String]) -> Vec<String> {
    files.iter().filter(|f| !f.starts_with("checkpoint ")).cloned().collect()
}

/// `data log-1 1048576 1700000000.000000000`: what, name, length, time of the last change.
fn described(dir: &Path, what: &str, is_one: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().filter(|n| is_one(n)).map(str::to_owned) else {
            continue;
        };
        let m = std::fs::metadata(entry.path())?;
        all.push(format!("{what} {name} {} {}.{:09}", m.len(), m.mtime(), m.mtime_nsec()));
    }
    Ok(all)
}
