//! Checkpoints: a snapshot of what is live, and up to where in each data directory it is valid, so that recovery reads
//! only what came after.
//!
//! ```text
//!   0  8  "flumechk"
//!   8  4  CRC-32 of bytes 12 to the end of the content
//!  12  4  format version
//!  16  8  length of the content, these 24 bytes included
//!  24  .  the content: numbers of 8 bytes, ids of 16
//!         sequence number, time (ms since the epoch), channel
//!         next event number, bytes held, live intervals: how many, then first number and the one behind the last
//!         data directories: how many, then for each: id, position (segment, offset), segments: how many, then for each:
//!         N, identity, end (0: not sealed), first number, number behind the last, first number that its takes consume,
//!         number behind the last of them, time of its first event
//! ```
//!
//! `checkpoint-N` in the checkpoint directory, and in the backup directory a copy of each, compressed (zlib, from byte 24
//! on; the length is that of the file) where that is asked for. Three files take turns and never shrink, so that a full
//! disk can be checkpointed: the oldest is renamed to `checkpoint.tmp`, written over, synced, renamed to its new name.
//! Names count for nothing: a file is what its content says. Called by the upkeep thread and by recovery; one lock, held while a checkpoint is written.

use super::frame::u64_at;
use super::fs::Fs;
use super::intervals::Intervals;
use super::segment::{number_of, read_full, write_all, Id, NotASegment};
use crate::lock::lock;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const MAGIC: &[u8; 8] = b"flumechk";
const VERSION: u32 = 1;
const HEAD: usize = 24;
const TEMPORARY: &str = "checkpoint.tmp";
/// How many files take turns: two that are valid while a third is written.
const KEPT: usize = 3;
/// What each file holds at least, so that the disk has room for it.
const SLOT: u64 = 64 << 10;
/// Above this a file is none of ours.
const LARGEST: u64 = 1 << 30;

/// A place in a data directory's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    pub seq: u64,
    pub offset: u64,
}

/// What is known of a segment without reading it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SegmentInfo {
    pub identity: Id,
    /// Where it ends, if nothing is written to it any more.
    pub end: Option<u64>,
    /// Events put in it: the first number and the one behind the last. Both 0: none.
    pub puts: (u64, u64),
    /// Numbers that takes in it consume, as one range; so too.
    pub takes: (u64, u64),
    /// When its first event was put.
    pub oldest: u64,
}

/// Widens a range so that it holds another.
pub fn widen(range: &mut (u64, u64), from: u64, to: u64) {
    if range.0 == range.1 {
        *range = (from, to);
    } else {
        *range = (range.0.min(from), range.1.max(to));
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirSnapshot {
    pub id: Id,
    pub position: Position,
    pub segments: Vec<(u64, SegmentInfo)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    pub seq: u64,
    pub time: u64,
    pub channel: Id,
    pub next_number: u64,
    pub bytes: u64,
    pub live: Intervals,
    pub dirs: Vec<DirSnapshot>,
}

impl Checkpoint {
    fn content(&self) -> Vec<u8> {
        let mut b = Vec::new();
        let n = |b: &mut Vec<u8>, n: u64| b.extend_from_slice(&n.to_le_bytes());
        n(&mut b, self.seq);
        n(&mut b, self.time);
        b.extend_from_slice(&self.channel);
        n(&mut b, self.next_number);
        n(&mut b, self.bytes);
        n(&mut b, self.live.pieces() as u64);
        for r in self.live.iter() {
            n(&mut b, r.start);
            n(&mut b, r.end);
        }
        n(&mut b, self.dirs.len() as u64);
        for d in &self.dirs {
            b.extend_from_slice(&d.id);
            n(&mut b, d.position.seq);
            n(&mut b, d.position.offset);
            n(&mut b, d.segments.len() as u64);
            for (seq, s) in &d.segments {
                n(&mut b, *seq);
                b.extend_from_slice(&s.identity);
                for v in [s.end.unwrap_or(0), s.puts.0, s.puts.1, s.takes.0, s.takes.1, s.oldest] {
                    n(&mut b, v);
                }
            }
        }
        b
    }

    fn from_content(b: &[u8]) -> Option<Checkpoint> {
        let mut b = Content(b);
        let (seq, time, channel) = (b.n()?, b.n()?, b.id()?);
        let (next_number, bytes) = (b.n()?, b.n()?);
        let mut live = Intervals::default();
        for _ in 0..b.count(16)? {
            let (from, to) = (b.n()?, b.n()?);
            live.insert(from..to);
        }
        let mut dirs = Vec::new();
        for _ in 0..b.count(40)? {
            let (id, position) = (b.id()?, Position { seq: b.n()?, offset: b.n()? });
            let mut segments = Vec::new();
            for _ in 0..b.count(72)? {
                let (seq, identity, end) = (b.n()?, b.id()?, b.n()?);
                let end = (end > 0).then_some(end);
                let info = SegmentInfo {
                    identity,
                    end,
                    puts: (b.n()?, b.n()?),
                    takes: (b.n()?, b.n()?),
                    oldest: b.n()?,
                };
                segments.push((seq, info));
            }
            dirs.push(DirSnapshot { id, position, segments });
        }
        b.0.is_empty().then_some(Checkpoint { seq, time, channel, next_number, bytes, live, dirs })
    }

    fn encode(&self, compressed: bool) -> Vec<u8> {
        let mut content = self.content();
        if compressed {
            content = compress(&content);
        }
        let mut b = vec![0; HEAD];
        b[..8].copy_from_slice(if compressed { b"flumechz" } else { MAGIC });
        b[12..16].copy_from_slice(&VERSION.to_le_bytes());
        b[16..24].copy_from_slice(&((HEAD + content.len()) as u64).to_le_bytes());
        b.append(&mut content);
        let crc = crc32fast::hash(&b[12..]);
        b[8..12].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads the content of a file.
    pub fn decode(b: &[u8]) -> Result<Checkpoint, NotASegment> {
        let is_compressed = b.starts_with(b"flumechz");
        if b.len() < HEAD || !(is_compressed || b.starts_with(MAGIC)) {
            return Err(NotASegment::Damaged);
        }
        let len = usize::try_from(u64_at(b, 16)).ok().filter(|l| (HEAD..=b.len()).contains(l));
        let b = &b[..len.ok_or(NotASegment::Damaged)?];
        if crc32fast::hash(&b[12..]).to_le_bytes() != b[8..12] {
            return Err(NotASegment::Damaged);
        }
        let version = u64_at(b, 12) as u32;
        if version != VERSION {
            return Err(NotASegment::Newer(version));
        }
        let content = match is_compressed {
            true => decompress(&b[HEAD..]),
            false => Some(b[HEAD..].to_vec()),
        };
        content.and_then(|c| Checkpoint::from_content(&c)).ok_or(NotASegment::Damaged)
    }
}

/// A bounds-checked reader.
struct Content<'a>(&'a [u8]);

impl Content<'_> {
    fn n(&mut self) -> Option<u64> {
        let (n, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(u64_at(n, 0))
    }
    fn id(&mut self) -> Option<Id> {
        let (id, rest) = self.0.split_at_checked(16)?;
        self.0 = rest;
        id.try_into().ok()
    }
    /// How many things of at least `size` bytes follow.
    fn count(&mut self, size: usize) -> Option<usize> {
        let n = usize::try_from(self.n()?).ok()?;
        (n <= self.0.len() / size).then_some(n)
    }
}

fn compress(content: &[u8]) -> Vec<u8> {
    use flate2::write::ZlibEncoder;
    use io::Write;
    let mut z = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    z.write_all(content).and_then(|()| z.finish()).expect("writing to memory does not fail")
}

fn decompress(bytes: &[u8]) -> Option<Vec<u8>> {
    use io::Read;
    let mut content = Vec::new();
    flate2::read::ZlibDecoder::new(bytes).take(LARGEST).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Checkpoints, newest first, and the files that are none, with the reason.
pub type Loaded = (Vec<Checkpoint>, Vec<(String, NotASegment)>);

/// A directory of checkpoints.
pub struct Store {
    dir: PathBuf,
    compressed: bool,
    /// One is written at a time: they share the temporary name.
    writing: Mutex<()>,
}

impl Store {
    pub fn new(dir: PathBuf, compressed: bool) -> Store {
        Store { dir, compressed, writing: Mutex::new(()) }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything in it, newest first, and what could not be read with the reason.
    pub fn load(&self, fs: &dyn Fs) -> io::Result<Loaded> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for name in fs.list(&self.dir)? {
            if number_of(&name, "checkpoint").is_none() && name != TEMPORARY {
                continue;
            }
            let file = fs.open(&self.dir.join(&name), false)?;
            let mut bytes = vec![0; file.len()?.min(LARGEST) as usize];
            let n = read_full(file.as_ref(), &mut bytes, 0)?;
            match Checkpoint::decode(&bytes[..n]) {
                Ok(c) => good.push(c),
                // One that was never written, or half: the turn of a file that holds nothing yet.
                Err(NotASegment::Damaged) if name == TEMPORARY || bytes.iter().all(|b| *b == 0) => {}
                Err(why) => bad.push((name, why)),
            }
        }
        good.sort_by_key(|c: &Checkpoint| std::cmp::Reverse(c.seq));
        good.dedup_by_key(|c| c.seq);
        Ok((good, bad))
    }

    /// Files for the turns that have none yet.
    pub fn reserve(&self, fs: &dyn Fs) -> io::Result<()> {
        let have = self.turns(fs)?;
        let from = have.iter().map(|t| t.number).max().map_or(1, |n| n + 1);
        for n in from..from + KEPT.saturating_sub(have.len()) as u64 {
            super::segment::make_spare(fs, &self.dir.join(format!("checkpoint-{n}")), SLOT)?;
        }
        fs.sync_dir(&self.dir)
    }

    /// The files that take turns, the one whose turn is next first: those that hold nothing, then by age.
    fn turns(&self, fs: &dyn Fs) -> io::Result<Vec<Turn>> {
        let mut all = Vec::new();
        for number in fs.list(&self.dir)?.iter().filter_map(|name| number_of(name, "checkpoint")) {
            let mut bytes = vec![0; HEAD + 8];
            let file = fs.open(&self.dir.join(format!("checkpoint-{number}")), false)?;
            bytes.resize(file.len()?.min(LARGEST) as usize, 0);
            let n = read_full(file.as_ref(), &mut bytes, 0)?;
            all.push(Turn { seq: Checkpoint::decode(&bytes[..n]).map_or(0, |c| c.seq), number });
        }
        all.sort_by_key(|t| (t.seq, t.number));
        Ok(all)
    }

    /// Publishes a checkpoint. When it returns, this one and the one before it can be read after a power cut.
    pub fn write(&self, fs: &dyn Fs, c: &Checkpoint) -> io::Result<()> {
        let _turn = lock(&self.writing);
        let temporary = self.dir.join(TEMPORARY);
        let mut turns = self.turns(fs)?;
        let name = turns.iter().map(|t| t.number).max().map_or(1, |n| n + 1);
        // One that a crash left.
        let mut is_there = fs.list(&self.dir)?.iter().any(|n| n == TEMPORARY);
        while turns.len() >= KEPT {
            let oldest = self.dir.join(format!("checkpoint-{}", turns.remove(0).number));
            match std::mem::replace(&mut is_there, true) {
                true => fs.remove(&oldest)?,
                false => fs.rename(&oldest, &temporary)?,
            }
        }
        let file = if is_there { fs.open(&temporary, true)? } else { fs.create(&temporary)? };
        write_all(file.as_ref(), &c.encode(self.compressed), 0)?;
        file.sync()?;
        fs.rename(&temporary, &self.dir.join(format!("checkpoint-{name}")))?;
        fs.sync_dir(&self.dir)
    }
}

/// One of the files, and the checkpoint in it; 0: none that can be read.
struct Turn {
    seq: u64,
    number: u64,
}

#[cfg(test)]
mod tests {
    use super::super::fs::sim::SimFs;
    use super::*;

    fn example(seq: u64) -> Checkpoint {
        let mut live = Intervals::default();
        live.insert(3..9);
        live.insert(20..21);
        let info =
            SegmentInfo { identity: [5; 16], end: Some(4096), puts: (3, 21), takes: (1, 3), oldest: 77 };
        let open = SegmentInfo { end: None, ..info.clone() };
        let position = Position { seq: 2, offset: 640 };
        let dirs = vec![DirSnapshot { id: [6; 16], position, segments: vec![(1, info), (2, open)] }];
        Checkpoint { seq, time: 1, channel: [7; 16], next_number: 21, bytes: 99, live, dirs }
    }

    #[test]
    fn it_is_read_as_written_and_any_change_shows() {
        for compressed in [false, true] {
            let b = example(4).encode(compressed);
            assert_eq!(Checkpoint::decode(&b), Ok(example(4)));
            let mut longer = b.clone();
            longer.resize(b.len() + 100, 0xab);
            assert_eq!(
                Checkpoint::decode(&longer),
                Ok(example(4)),
                "what an earlier, longer one left behind"
            );
            for at in 0..b.len() {
                let mut c = b.clone();
                c[at] ^= 0x10;
                assert!(Checkpoint::decode(&c).is_err(), "byte {at}");
                assert!(Checkpoint::decode(&b[..at]).is_err());
            }
        }
        let mut newer = example(4).encode(false);
        newer[12] = 9;
        let crc = crc32fast::hash(&newer[12..]);
        newer[8..12].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Checkpoint::decode(&newer), Err(NotASegment::Newer(9)));
    }

    #[test]
    fn two_are_always_kept_and_no_power_cut_takes_both() {
        let fs = SimFs::new(1);
        let dir = Path::new("/chk");
        fs.create_dir(dir).unwrap();
        let store = Store::new(dir.into(), false);
        store.reserve(&fs).unwrap();
        for seq in 1..8 {
            let before = fs.operations();
            let image = fs.copy();
            store.write(&fs, &example(seq)).unwrap();
            let in_all = fs.operations() - before;
            assert_eq!(store.load(&fs).unwrap().0[0], example(seq));
            for at in 0..=in_all {
                let cut = image.copy();
                cut.crash_at(at);
                let _ = store.write(&cut, &example(seq));
                for seed in 0..40 {
                    let (good, bad) = store.load(&cut.power_cut(seed)).unwrap();
                    // The one whose turn it was may be half written, under its old name.
                    assert!(bad.len() <= 1, "{bad:?}");
                    let newest = good.first().map_or(0, |c| c.seq);
                    assert!(newest + 1 >= seq, "{newest} of {seq}, operation {at}, seed {seed}");
                    // The one before is there, too, unless there never was one.
                    let second = good.get(1).map_or(0, |c| c.seq);
                    assert!(second + 1 >= newest.min(seq - 1), "{second}, {newest} of {seq}, {at}, {seed}");
                }
            }
        }
    }
}
