//! The simulated disk: directories, files, free space, and what a power cut leaves of them.
//!
//! It does what it is told and fails only as a healthy file system would: names that are missing or taken, a full disk.
//! Faults are decided before it is asked. Directories are durable once made. A file without a name is kept for those
//! who have it open, but takes up no space.

use super::directory::{Directory, Id};
use super::inode::{Inode, BLOCK};
use super::random::Luck;
use nix::libc;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Files are held in memory: a length from damaged bytes shall fail here and not fill it.
const LARGEST: u64 = 1 << 30;

#[derive(Clone, Default)]
pub struct Disk {
    directories: BTreeMap<PathBuf, Directory>,
    inodes: BTreeMap<Id, Inode>,
    last_id: Id,
    /// In bytes; none: endless.
    pub capacity: Option<u64>,
}

impl Disk {
    pub fn create(&mut self, path: &Path) -> io::Result<Id> {
        let (dir, name) = split(path)?;
        let taken = self.directory(dir)?.find(name).is_some() || self.directories.contains_key(path);
        if taken {
            return Err(errno(libc::EEXIST));
        }
        self.last_id += 1;
        let id = self.last_id;
        self.inodes.insert(id, Inode::new(path));
        self.directory_mut(dir)?.add(name, id);
        Ok(id)
    }

    pub fn find(&self, path: &Path) -> io::Result<Id> {
        if self.directories.contains_key(path) {
            return Err(errno(libc::EISDIR));
        }
        let (dir, name) = split(path)?;
        self.directory(dir)?.find(name).ok_or(errno(libc::ENOENT))
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        if self.directories.contains_key(to) {
            return Err(errno(libc::EISDIR));
        }
        let ((from_dir, from_name), (to_dir, to_name)) = (split(from)?, split(to)?);
        self.directory(to_dir)?;
        if from_dir == to_dir {
            self.directory_mut(to_dir)?.rename(from_name, to_name, id);
        } else {
            self.directory_mut(to_dir)?.add(to_name, id);
            self.directory_mut(from_dir)?.remove(from_name);
        }
        self.inode_mut(id).path = to.to_owned();
        Ok(())
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (dir, name) = split(path)?;
        self.directory_mut(dir)?.remove(name);
        Ok(())
    }

    /// In the order of the alphabet.
    pub fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.directory(dir)?.names().map(str::to_owned).collect())
    }

    pub fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        if dir.ancestors().any(|d| self.find(d).is_ok()) {
            return Err(errno(libc::ENOTDIR));
        }
        for d in dir.ancestors() {
            self.directories.entry(d.to_owned()).or_default();
        }
        Ok(())
    }

    pub fn directory(&self, dir: &Path) -> io::Result<&Directory> {
        self.directories.get(dir).ok_or(errno(libc::ENOENT))
    }

    pub fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.directory_mut(dir)?.sync();
        Ok(())
    }

    pub fn inode(&self, id: Id) -> &Inode {
        self.inodes.get(&id).expect("files with a name or an owner are kept")
    }

    pub fn inode_mut(&mut self, id: Id) -> &mut Inode {
        self.inodes.get_mut(&id).expect("files with a name or an owner are kept")
    }

    /// Writes as much as there is space for; fails when there is none.
    pub fn write(&mut self, id: Id, at: u64, bytes: &[u8]) -> io::Result<usize> {
        if at.saturating_add(bytes.len() as u64) > LARGEST {
            return Err(errno(libc::EFBIG));
        }
        let free_blocks = (self.free() / BLOCK as u64) as usize;
        let at = at as usize;
        let fits = self.inode(id).fits(at, bytes.len(), free_blocks);
        if fits == 0 && !bytes.is_empty() {
            return Err(errno(libc::ENOSPC));
        }
        self.inode_mut(id).write(at, &bytes[..fits]);
        Ok(fits)
    }

    pub fn set_len(&mut self, id: Id, len: u64) -> io::Result<()> {
        if len > LARGEST {
            return Err(errno(libc::EFBIG));
        }
        self.inode_mut(id).set_len(len as usize);
        Ok(())
    }

    /// In bytes. After a power cut more may be taken than there is: removed files come back.
    pub fn free(&self) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX / 2 };
        let files = self.directories.values().flat_map(Directory::files);
        let blocks: usize = files.map(|id| self.inode(id).blocks()).sum();
        capacity.saturating_sub((blocks * BLOCK) as u64)
    }

    pub fn after_power_cut(&self, luck: &mut Luck) -> Disk {
        let directories: BTreeMap<_, _> =
            self.directories.iter().map(|(path, d)| (path.clone(), d.after_power_cut(luck))).collect();
        let left: BTreeSet<Id> = directories.values().flat_map(Directory::files).collect();
        let mut inodes: BTreeMap<_, _> =
            left.into_iter().map(|id| (id, self.inode(id).after_power_cut(luck))).collect();
        // A rename that was undone: the file is found under the old name again.
        for (dir, d) in &directories {
            for name in d.names() {
                let inode = d.find(name).and_then(|id| inodes.get_mut(&id));
                inode.expect("made from these names").path = dir.join(name);
            }
        }
        Disk { directories, inodes, last_id: self.last_id, capacity: self.capacity }
    }

    /// Without the files that only those had who had them open.
    pub fn after_kill(&self) -> Disk {
        let mut disk = self.clone();
        let kept: BTreeSet<Id> = self.directories.values().flat_map(Directory::files_at_any_time).collect();
        disk.inodes.retain(|id, _| kept.contains(id));
        disk
    }

    fn directory_mut(&mut self, dir: &Path) -> io::Result<&mut Directory> {
        self.directories.get_mut(dir).ok_or(errno(libc::ENOENT))
    }
}

pub fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|n| n.to_str());
    path.parent().zip(name).ok_or(errno(libc::EINVAL))
}
