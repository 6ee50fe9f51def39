//! A simulated file: what readers see, what the disk has for certain, and the changes in between.
//!
//! A sync costs what was written since the last one, not the file's size: the changes are kept in their order and are
//! done again on the durable content. A file has no name here, only the path it had last, for faults that go by it.
//!
//! Sectors are written whole or not at all, as disks do, and with what the page cache held at that moment. So a write
//! that survives brings along what earlier ones put into the same sector.

use super::random::Luck;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;
/// What disk space is counted in.
pub const BLOCK: usize = 4096;

/// Bytes, and which blocks of them take up space: those ever written. What only a length made is a hole.
#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    blocks: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone)]
pub struct Inode {
    pub path: PathBuf,
    current: Content,
    durable: Content,
    unsynced: Vec<Change>,
}

impl Inode {
    pub fn new(path: &Path) -> Inode {
        Inode {
            path: path.to_owned(),
            current: Content::default(),
            durable: Content::default(),
            unsynced: Vec::new(),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.current.bytes
    }

    /// How many blocks it takes up.
    pub fn blocks(&self) -> usize {
        self.current.blocks.len()
    }

    /// How many of the bytes of a write can be stored when that may take up so many more blocks.
    pub fn fits(&self, at: usize, len: usize, mut free_blocks: usize) -> usize {
        for block in at / BLOCK..(at + len).div_ceil(BLOCK) {
            if self.current.blocks.contains(&block) {
                continue;
            }
            if free_blocks == 0 {
                return (block * BLOCK).saturating_sub(at);
            }
            free_blocks -= 1;
        }
        len
    }

    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write { at, bytes: bytes.to_vec() });
        }
    }

    pub fn set_len(&mut self, len: usize) {
        self.change(Change::SetLen(len));
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            self.durable.apply(&change);
        }
    }

    /// A sync failed the way Linux fails: the changes count as written. No later sync writes them, and until the power
    /// goes they can be read as if nothing had happened.
    pub fn lose(&mut self) {
        self.unsynced.clear();
    }

    /// Changes the file behind the program's back, durably; what was not synced is durable afterwards, too.
    pub fn overwrite(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        let before = self.current.bytes.len();
        change(&mut self.current.bytes);
        let after = self.current.bytes.len();
        self.current.blocks.extend(before / BLOCK..after.div_ceil(BLOCK));
        self.current.set_len(after);
        self.durable = self.current.clone();
        self.unsynced.clear();
    }

    pub fn after_power_cut(&self, luck: &mut Luck) -> Inode {
        let mut luck = luck.of_one();
        let mut cache = self.durable.clone();
        let mut disk = self.durable.clone();
        for change in &self.unsynced {
            cache.apply(change);
            match change {
                Change::SetLen(len) if luck.keeps() => disk.set_len(*len),
                Change::SetLen(_) => {}
                Change::Write { at, bytes } => {
                    let end = at + bytes.len();
                    // The length may be on the disk before the data: that leaves zeros.
                    if end > disk.bytes.len() && luck.keeps() {
                        disk.set_len(end);
                    }
                    for sector in (at / SECTOR..end.div_ceil(SECTOR)).filter(|_| luck.keeps()) {
                        let start = sector * SECTOR;
                        let held = &cache.bytes[start..];
                        disk.write(start, &held[..held.len().min(SECTOR)]);
                    }
                }
            }
        }
        Inode { path: self.path.clone(), current: disk.clone(), durable: disk, unsynced: Vec::new() }
    }

    fn change(&mut self, change: Change) {
        self.current.apply(&change);
        self.unsynced.push(change);
    }
}

impl Content {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { at, bytes } => self.write(*at, bytes),
            Change::SetLen(len) => self.set_len(*len),
        }
    }

    /// The bytes are at least one.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.blocks.extend(at / BLOCK..end.div_ceil(BLOCK));
    }

    fn set_len(&mut self, len: usize) {
        self.bytes.resize(len, 0);
        self.blocks.split_off(&len.div_ceil(BLOCK));
    }
}
