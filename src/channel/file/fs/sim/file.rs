//! An open file of the simulation: a number and the file system that knows what it stands for.
//!
//! Every call takes the file system's mutex once. What a call does, and whether it goes wrong, is decided there; here
//! are the rules that a handle has of its own, such as not writing through one that only reads.

use super::directory::Id;
use super::disk::errno;
use super::{FsFile, SimFs};
use nix::libc;
use std::io::{self, IoSlice};

/// Knows the file by its number: a rename does not bother it, nor a remove.
pub struct SimFile {
    pub fs: SimFs,
    pub id: Id,
    pub writes: bool,
}

impl SimFile {
    fn read<T>(&self, look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let m = self.fs.machine();
        let inode = m.disk.inode(self.id);
        m.faults.check(&[&inode.path])?;
        Ok(look(inode.bytes()))
    }

    fn check_writes(&self) -> io::Result<()> {
        match self.writes {
            true => Ok(()),
            false => Err(errno(libc::EBADF)),
        }
    }
}

impl FsFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.read(|bytes| bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writes()?;
        let mut m = self.fs.machine();
        let path = m.disk.inode(self.id).path.clone();
        m.change(&[&path], |disk| disk.set_len(self.id, len))
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.read(|bytes| {
            let rest = &bytes[bytes.len().min(usize::try_from(at).unwrap_or(usize::MAX))..];
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        })
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.check_writes()?;
        let mut bytes = Vec::with_capacity(bufs.iter().map(|b| b.len()).sum());
        bufs.iter().for_each(|b| bytes.extend_from_slice(b));
        self.fs.machine().write(self.id, at, &bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.fs.machine().sync(self.id)
    }
}
