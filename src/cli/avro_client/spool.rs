//! A directory of files to be sent, oldest first, each renamed when all of it is stored.
//!
//! A file must not change while it is sent: one that did is not renamed, and ends it.

use super::open;
use super::sender::{Progress, Sender};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const SUFFIX: &str = ".COMPLETED";

/// Sends the files of the directory, and those that come meanwhile.
pub fn send(dir: &Path, sender: &mut Sender, progress: &Progress) -> Result<(), String> {
    loop {
        let files = list(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        if files.is_empty() {
            return Ok(());
        }
        files.iter().try_for_each(|file| send_one(file, sender, progress))?;
    }
}

fn send_one(path: &Path, sender: &mut Sender, progress: &Progress) -> Result<(), String> {
    let name = path.display();
    let done = completed(path);
    // Looked at before anything is sent: otherwise it would be sent again and again.
    if done.symlink_metadata().is_ok() {
        return Err(format!(
            "{name}: there is a {} already: move one of them away and run it again; this file and those behind it are \
             not sent",
            done.display()
        ));
    }
    let mut file = open(path)?;
    progress.at_file(Some(path));
    let state = |m: Metadata| (m.len(), m.modified().ok());
    let look = |file: &File| file.metadata().map(state).map_err(|e| format!("{name}: {e}"));
    let before = look(&file)?;
    sender.send(&mut file).map_err(|why| format!("{name}: {why}"))?;
    if look(&file)? != before {
        return Err(format!("{name}: it has changed while it was sent, and is not renamed"));
    }
    std::fs::rename(path, &done).map_err(|e| {
        format!("{name}: all of it is stored, and it cannot be renamed to {}: {e}; rename it", done.display())
    })?;
    progress.at_file(None);
    Ok(())
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
