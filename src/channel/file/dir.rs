//! A data directory: its files that hold nothing, and the making of the next segment out of one of them.
//!
//! Three sorts of them: a segment that is prepared (its header is written, no frame yet), spares of a segment's size,
//! and the reserve: small files that only a take frame may use when nothing else can be had, so that a full disk can be
//! drained. A put finds a segment only while the reserve is whole. Sequence numbers are given here, in the order in which
//! segments are begun. One mutex, held over the making of a segment; taken inside the writer's.

use super::crypt::{Keys, SegmentKey};
use super::fs::{Fs, FsFile};
use super::segment::{self, spare_name, Id, SegmentHeader};
use crate::clock::now_ms;
use crate::lock::lock;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Files that wait for take frames on a full disk: one is written while the other is freed.
pub const RESERVES: usize = 2;
/// Spares that are kept for later, until nothing was put for a minute: as many as two checkpoints in a row set free at
/// full speed. (With two, a third of what was written went to files that grew.)
pub const SPARES: usize = 8;
/// The size of each of the reserve: some fifty thousand take frames.
const RESERVE: u64 = 4 << 20;

/// What is to be written next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Put,
    Take,
    /// A segment that grows was of no use.
    TakeOnFullDisk,
}

/// A segment to write to.
pub struct Begun {
    pub file: Arc<dyn FsFile>,
    pub header: SegmentHeader,
    pub key: Option<SegmentKey>,
    /// Bytes that can be written without new room, at least [`segment::BEGIN`].
    pub size: u64,
    pub is_reserve: bool,
}

#[derive(Clone)]
pub struct Spare {
    pub name: String,
    pub size: u64,
}

#[derive(Default)]
pub struct Pool {
    pub next_seq: u64,
    next_spare: u64,
    prepared: Option<Begun>,
    spares: Vec<Spare>,
    reserve: Vec<Spare>,
}

/// Whether a file can stand in for one of the size wanted: a segment ends before a frame that has no room in it.
fn fits(size: u64, wanted: u64) -> bool {
    size <= wanted && size >= wanted / 4 * 3
}

pub struct Dir {
    pub index: usize,
    pub path: PathBuf,
    pub id: Id,
    pub channel: Id,
    pub pool: Mutex<Pool>,
    pub keys: Keys,
}

impl Dir {
    /// `found`: files that hold nothing, of which some may be of use.
    pub fn new(
        index: usize,
        path: PathBuf,
        (channel, id): (Id, Id),
        keys: Keys,
        next_seq: u64,
        found: Vec<Spare>,
    ) -> Dir {
        let next_spare =
            found.iter().filter_map(|s| segment::number_of(&s.name, "spare")).max().map_or(1, |n| n + 1);
        let pool =
            Pool { next_seq, next_spare: next_spare.max(next_seq + 1), spares: found, ..Pool::default() };
        Dir { index, path, id, channel, pool: Mutex::new(pool), keys }
    }

    /// The size of a reserve file, for segments of this size.
    fn reserve_size(segment: u64) -> u64 {
        RESERVE.min(segment)
    }

    /// Sorts the spares out, those too large or too many go, and fills the reserve up. An error: the disk is full, or
    /// not in order.
    pub fn fill_reserve(&self, fs: &dyn Fs, segment: u64) -> io::Result<()> {
        let mut pool = lock(&self.pool);
        let size = Dir::reserve_size(segment);
        let pool = &mut *pool;
        // Small ones first: they are of no other use.
        pool.spares.sort_by_key(|s| s.size);
        while pool.reserve.len() < RESERVES {
            let Some(i) = pool.spares.iter().position(|s| fits(s.size, size)) else { break };
            pool.reserve.push(pool.spares.remove(i));
        }
        let (mut keep, mut go): (Vec<_>, Vec<_>) =
            std::mem::take(&mut pool.spares).into_iter().partition(|s| fits(s.size, segment));
        go.extend(keep.drain(SPARES.min(keep.len())..));
        pool.spares = keep;
        for s in go {
            fs.remove(&self.path.join(&s.name))?;
        }
        while pool.reserve.len() < RESERVES {
            pool.next_spare += 1;
            let name = spare_name(pool.next_spare);
            segment::make_spare(fs, &self.path.join(&name), size)?;
            pool.reserve.push(Spare { name, size });
        }
        Ok(())
    }

    pub fn reserve_is_whole(&self) -> bool {
        lock(&self.pool).reserve.len() >= RESERVES
    }

    /// Bytes of spares: as good as free.
    pub fn spare_bytes(&self) -> u64 {
        let pool = lock(&self.pool);
        pool.spares.iter().map(|s| s.size).sum::<u64>() + pool.prepared.as_ref().map_or(0, |p| p.size)
    }

    fn header(&self, fs: &dyn Fs, pool: &mut Pool) -> io::Result<SegmentHeader> {
        let seq = pool.next_seq;
        pool.next_seq += 1;
        let key = self.keys.active().map_or([0; 8], |k| k.name());
        let (channel, dir) = (self.channel, self.id);
        Ok(SegmentHeader { identity: fs.random()?, channel, dir, seq, begun: now_ms(), key })
    }

    fn make(&self, fs: &dyn Fs, pool: &mut Pool, spare: Option<&Spare>) -> io::Result<Begun> {
        let header = self.header(fs, pool)?;
        pool.next_spare += 1;
        let name = spare.map_or_else(|| spare_name(pool.next_spare), |s| s.name.clone());
        let file = segment::begin(fs, &self.path, &name, spare.is_none(), &header)?;
        let key = self.keys.active().map(|k| k.for_segment(&header.identity));
        Ok(Begun { file, header, key, size: spare.map_or(segment::BEGIN, |s| s.size), is_reserve: false })
    }

    /// Makes the next segment ready, if none is: what the writer would else have to wait for.
    pub fn prepare(&self, fs: &dyn Fs) -> io::Result<()> {
        let mut pool = lock(&self.pool);
        if pool.prepared.is_none() && pool.reserve.len() >= RESERVES {
            let spare = pool.spares.pop();
            pool.prepared = Some(self.make(fs, &mut pool, spare.as_ref())?);
        }
        Ok(())
    }

    /// The segment to go on with.
    pub fn begin(&self, fs: &dyn Fs, purpose: Purpose) -> io::Result<Begun> {
        let mut pool = lock(&self.pool);
        if purpose == Purpose::Put && pool.reserve.len() < RESERVES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(p) = pool.prepared.take() {
            return Ok(p);
        }
        let spare = pool.spares.pop();
        if purpose == Purpose::TakeOnFullDisk && spare.is_none() {
            let reserve = pool.reserve.pop().ok_or(io::ErrorKind::StorageFull)?;
            return Ok(Begun { is_reserve: true, ..self.make(fs, &mut pool, Some(&reserve))? });
        }
        self.make(fs, &mut pool, spare.as_ref())
    }

    /// A freed segment's file becomes a spare, unless there are enough.
    pub fn recycle(&self, fs: &dyn Fs, seq: u64, size: u64, segment: u64) -> io::Result<()> {
        let mut pool = lock(&self.pool);
        let path = self.path.join(segment::segment_name(seq));
        let is_reserve = fits(size, Dir::reserve_size(segment)) && pool.reserve.len() < RESERVES;
        let is_spare = fits(size, segment) && pool.spares.len() < SPARES;
        if !is_reserve && !is_spare {
            return fs.remove(&path);
        }
        pool.next_spare += 1;
        let name = spare_name(pool.next_spare);
        fs.rename(&path, &self.path.join(&name))?;
        // Only now may it be written over: until then it may come back as the segment it was.
        fs.sync_dir(&self.path)?;
        let list = if is_reserve { &mut pool.reserve } else { &mut pool.spares };
        list.push(Spare { name, size });
        Ok(())
    }

    /// Gives the spares' room back.
    pub fn drop_spares(&self, fs: &dyn Fs) -> io::Result<()> {
        let mut pool = lock(&self.pool);
        while let Some(s) = pool.spares.pop() {
            fs.remove(&self.path.join(&s.name))?;
        }
        Ok(())
    }
}
