//! The file operations of the file channel, as a trait: the real one here, in tests one that fails the n-th operation,
//! fills up, or loses what a power cut may lose.
//!
//! The real one makes plain libc calls (open, pwritev, fdatasync, rename), through std and nix: no mapping of what must
//! be durable, so that a tracer and a preloaded fault injector see everything. Names are data: who relies on a created,
//! renamed or removed name calls [`Fs::sync_dir`] afterwards.
//!
//! Called by the log threads, by takers (reads, take frames) and by the upkeep thread; implementations lock nothing that
//! is held over I/O.

use super::lock;
use nix::sys::statvfs::statvfs;
use nix::sys::uio::pwritev;
use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// An open file. All operations are positional; several threads may use one at the same time.
pub trait FsFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reads what there is at `at`, up to the buffer's size; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes some front of the buffers at `at`; returns how many bytes.
    fn write_at(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize>;
    /// Makes all that was written before durable, and a changed length. After a failure nobody knows what is durable,
    /// and a later success does not tell either.
    fn sync(&self) -> io::Result<()>;
}

/// The file system.
pub trait Fs: Send + Sync {
    /// A new file to read and write; fails when the name exists.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// A file that is there, to read and, if `writes`, to write.
    fn open(&self, path: &Path, writes: bool) -> io::Result<Arc<dyn FsFile>>;
    /// Replaces what has the name `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in no order; those of directories are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory, and those above it, durably; one that is there is left as it is.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that this process may still write to the directory's file system.
    fn usable_space(&self, dir: &Path) -> io::Result<u64>;
    /// Keeps other processes off the directory until what is returned is dropped. [`io::ErrorKind::WouldBlock`]: one
    /// has it already, the text says who if it can be told.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// Bytes that nobody can guess and that were never there before.
    fn random(&self) -> io::Result<[u8; 16]>;
}

#[cfg(test)]
pub mod sim;

/// The machine's own.
pub struct RealFs;

impl FsFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, at)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let at = i64::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(pwritev(self, bufs, at)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Fs for RealFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path, writes: bool) -> io::Result<Arc<dyn FsFile>> {
        let file = OpenOptions::new().read(true).write(writes).open(path)?;
        match file.metadata()?.is_file() {
            true => Ok(Arc::new(file)),
            false => Err(io::Error::other("is not a regular file")),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let above = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.create_dir(above)?;
        match fs::create_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => return Err(e),
            _ => {}
        }
        self.sync_dir(above)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn usable_space(&self, dir: &Path) -> io::Result<u64> {
        let s = statvfs(dir)?;
        // Of 32 bits on some machines.
        #[allow(clippy::useless_conversion)]
        let (blocks, size) = (u64::from(s.blocks_available()), u64::from(s.fragment_size()));
        Ok(blocks.saturating_mul(size))
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(lock::DirLock::take(dir)?))
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
