//! One rolled file: what was written to it, what of that is committed, and the way back.
//!
//! A file grows by batches: [`append`](RollFile::append), then [`commit`](RollFile::commit) or
//! [`cut_back`](RollFile::cut_back) to the length at the last commit. It is opened for appending, so the next
//! byte goes to wherever a cut left the end. After a failed sync nobody knows what of the file the disk has:
//! [`is_spent`](RollFile::is_spent) tells the owner to use another one.
//!
//! All operations go through [`Disk`], so that tests can make the n-th one fail. Called by the sink's thread
//! only; no locks.

use crate::serializer::Output;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Small pieces are gathered up to this many bytes.
const GATHER: usize = 128 << 10;
/// Pieces of this many bytes are written from where they are.
const DIRECT: usize = 16 << 10;

/// The file operations of this sink.
pub trait Disk: Send {
    /// Creates a file to append to; fails when the name exists.
    fn open_new(&mut self, path: &Path) -> io::Result<File>;
    fn write_all(&mut self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Shortens a file; one that is that short already stays as it is.
    fn set_len(&mut self, file: &File, len: u64) -> io::Result<()>;
    fn sync_data(&mut self, file: &File) -> io::Result<()>;
    /// Whether the file still has a name.
    fn is_linked(&mut self, file: &File) -> io::Result<bool>;
    /// Makes the names in a directory durable.
    fn sync_dir(&mut self, path: &Path) -> io::Result<()>;
    /// Closes the file; it is gone from the process even if this fails.
    fn close(&mut self, file: File) -> io::Result<()>;
}

pub struct StdDisk;

impl Disk for StdDisk {
    fn open_new(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create_new(true).open(path)
    }

    fn write_all(&mut self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn set_len(&mut self, file: &File, len: u64) -> io::Result<()> {
        // Somebody else may have emptied the file meanwhile: do not fill it up with zeros.
        if file.metadata()?.len() > len {
            file.set_len(len)?;
        }
        Ok(())
    }

    fn sync_data(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn is_linked(&mut self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.nlink() > 0)
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn close(&mut self, file: File) -> io::Result<()> {
        // Dropping a File hides what close says, and network file systems report failed writes there.
        match nix::unistd::close(file) {
            // On Linux the descriptor is closed then, too.
            Err(nix::errno::Errno::EINTR) => Ok(()),
            how => how.map_err(io::Error::from),
        }
    }
}

pub struct RollFile {
    file: File,
    path: PathBuf,
    /// Length after everything appended, at the last commit, and at the last sync. In bytes.
    end: u64,
    committed: u64,
    synced: u64,
    /// Bytes past `committed` may stand in the file.
    is_dirty: bool,
    is_name_synced: bool,
    is_spent: bool,
}

impl RollFile {
    pub fn create(disk: &mut dyn Disk, path: PathBuf) -> io::Result<RollFile> {
        let file = disk.open_new(&path)?;
        Ok(RollFile {
            file,
            path,
            end: 0,
            committed: 0,
            synced: 0,
            is_dirty: false,
            is_name_synced: false,
            is_spent: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Whether somebody deleted the file: what is written to it will be gone.
    pub fn is_deleted(&self, disk: &mut dyn Disk) -> bool {
        disk.is_linked(&self.file).is_ok_and(|linked| !linked)
    }

    /// Whether a sync of this file failed.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Writes what `put` puts, all of it before this returns `Ok`. `buffer` is for gathering.
    pub fn append(
        &mut self,
        disk: &mut dyn Disk,
        buffer: &mut Vec<u8>,
        put: impl FnOnce(&mut dyn Output),
    ) -> io::Result<()> {
        // Something is left over only of a batch that a panic broke off.
        self.cut_back(disk)?;
        self.is_dirty = true;
        buffer.clear();
        let mut out = Gather { disk, file: &self.file, buffer, written: 0, result: Ok(()) };
        put(&mut out);
        out.flush();
        self.end += out.written;
        out.result
    }

    /// What was appended so far stays.
    pub fn commit(&mut self) {
        self.committed = self.end;
        self.is_dirty = false;
    }

    /// Takes away what was appended since the last commit.
    pub fn cut_back(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if self.is_dirty {
            disk.set_len(&self.file, self.committed)?;
            self.end = self.committed;
            self.synced = self.synced.min(self.committed);
            self.is_dirty = false;
        }
        Ok(())
    }

    /// Makes everything appended durable, and the file's name.
    pub fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if self.synced != self.end {
            self.is_spent = true;
            disk.sync_data(&self.file)?;
            self.is_spent = false;
            self.synced = self.end;
        }
        if !self.is_name_synced {
            // Tried again with this very file when it fails: another one would stand in the same directory.
            disk.sync_dir(self.path.parent().unwrap_or(Path::new("/")))?;
            self.is_name_synced = true;
        }
        Ok(())
    }

    pub fn close(self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.close(self.file)
    }
}

/// Gathers small pieces, writes large ones at once, and remembers the first failure; after that it ignores all.
struct Gather<'a> {
    disk: &'a mut dyn Disk,
    file: &'a File,
    buffer: &'a mut Vec<u8>,
    written: u64,
    result: io::Result<()>,
}

impl Gather<'_> {
    fn flush(&mut self) {
        if !self.buffer.is_empty() && self.result.is_ok() {
            self.result = self.disk.write_all(self.file, self.buffer);
            self.written += self.buffer.len() as u64;
        }
        self.buffer.clear();
    }
}

impl Output for Gather<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let is_large = bytes.len() >= DIRECT;
        if is_large || self.buffer.len() + bytes.len() > GATHER {
            self.flush();
        }
        if !is_large {
            self.buffer.extend_from_slice(bytes);
        } else if self.result.is_ok() {
            self.result = self.disk.write_all(self.file, bytes);
            self.written += bytes.len() as u64;
        }
    }
}
