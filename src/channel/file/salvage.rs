//! Damaged bytes of a segment are kept: copied to a file of their own beside it, before they are passed over.
//!
//! `damaged-<N>-<offset>` holds what stood from that offset on. Nobody reads it but people. Best effort: on a full disk
//! the segment is what remains. Called by recovery, by readers and by the tool; no locks.

use super::counters::FileCounters;
use super::fs::{Fs, FsFile};
use super::segment::{read_full, write_all};
use std::io;
use std::ops::Range;
use std::path::Path;

/// More than this is not copied at a time.
const PIECE: usize = 1 << 20;

pub fn copy_aside(
    fs: &dyn Fs,
    dir: &Path,
    seq: u64,
    from: &dyn FsFile,
    range: Range<u64>,
    counters: &FileCounters,
) {
    let path = dir.join(format!("damaged-{seq}-{}", range.start));
    let copied = copy(fs, &path, from, &range);
    // What was met before, by recovery or an earlier process, is counted.
    if !copied.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
        counters.damaged_bytes.add((range.end - range.start) as usize);
    }
    if let Err(e) = copied {
        if e.kind() != io::ErrorKind::AlreadyExists {
            log::warn!("cannot keep a copy of damaged bytes as {}: {e}", path.display());
        }
    }
}

/// Copies a range of a file to a new one, and syncs that; its name is for the caller to make durable.
pub fn copy(fs: &dyn Fs, path: &Path, from: &dyn FsFile, range: &Range<u64>) -> io::Result<()> {
    let to = fs.create(path)?;
    let mut at = range.start;
    let mut piece = vec![0; PIECE];
    while at < range.end {
        let n = (range.end - at).min(PIECE as u64) as usize;
        let n = read_full(from, &mut piece[..n], at)?;
        if n == 0 {
            break;
        }
        write_all(to.as_ref(), &piece[..n], at - range.start)?;
        at += n as u64;
    }
    to.sync()
}
