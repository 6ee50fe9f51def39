//! A directory of files to be sent, oldest first, each renamed when all of it is stored.
//!
//! A file must not change while it is sent: one that did is not renamed, and ends it.

use super::open;
use super::sender::Sender;
use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const SUFFIX: &str = ".COMPLETED";

/// Sends the files of the directory, and those that come meanwhile.
pub fn send(dir: &Path, sender: &mut Sender) -> Result<(), String> {
    loop {
        let files = list(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        if files.is_empty() {
            return Ok(());
        }
        files.iter().try_for_each(|file| send_one(file, sender))?;
    }
}

fn send_one(path: &Path, sender: &mut Sender) -> Result<(), String> {
    let named = |e: std::io::Error| format!("{}: {e}", path.display());
    let done = completed(path);
    // Looked at before anything is sent: otherwise it would be sent again and again.
    if done.symlink_metadata().is_ok() {
        return Err(format!("{}: there is a {} already", path.display(), done.display()));
    }
    let mut file = open(path)?;
    let state = |m: Metadata| (m.len(), m.modified().ok());
    let before = state(file.metadata().map_err(named)?);
    sender.send(&mut file).map_err(|why| format!("{}: {why}", path.display()))?;
    if state(file.metadata().map_err(named)?) != before {
        return Err(format!("{}: it has changed while it was sent, and is not renamed", path.display()));
    }
    std::fs::rename(path, done).map_err(named)
}

fn completed(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// The files that are to be sent, in their order.
fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name.ends_with(SUFFIX) {
            continue;
        }
        // What is gone by now, or leads nowhere, is no file to be sent.
        if let Some(m) = path.metadata().ok().filter(Metadata::is_file) {
            found.push((m.modified()?, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
