//! The replay of one data directory: which numbers its frames put and take, where its log ends, and what is damaged.
//!
//! The only loop that replays; recovery and the tool call it. A segment ends where the next one's first frame says. Of the
//! last one the end is found: a bad frame at or above the highest mark that any frame, or the checkpoint, knows to be
//! synced is a torn tail, and the log ends there. Below that it is damage: passed over up to the next whole header.
//! Reads only; no locks.

use super::checkpoint::{widen, Position, SegmentInfo};
use super::crypt::{Keys, SegmentKey};
use super::frame::{self, decode_take, u64_at, Kind, HEADER};
use super::fs::{Fs, FsFile};
use super::intervals::Intervals;
use super::segment::{number_of, Id, NotASegment, SegmentHeader, BEGIN};
use super::window::{Window, CHUNK};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No segment ends above this: what says so was not written by us.
const LARGEST: u64 = 1 << 40;

/// A segment file that is there.
pub struct File {
    pub seq: u64,
    pub path: PathBuf,
    pub file: Arc<dyn FsFile>,
    pub header: SegmentHeader,
    pub key: Option<SegmentKey>,
    pub size: u64,
}

/// Bytes below what is known to be synced that are no frames.
#[derive(Clone, Debug)]
pub struct Damage {
    pub seq: u64,
    pub range: Range<u64>,
    /// What the header says, where it is whole.
    pub header: Option<frame::Header>,
}

/// What is in a directory.
#[derive(Default)]
pub struct Scanned {
    pub puts: Intervals,
    pub takes: Intervals,
    /// Bytes of put frames, as they are stored.
    pub bytes: u64,
    pub put_frames: u64,
    pub take_frames: u64,
    pub infos: BTreeMap<u64, SegmentInfo>,
    /// Where the log ends.
    pub end: Position,
    pub damage: Vec<Damage>,
    /// Where the last segment was cut, if bytes of it stood behind.
    pub torn: Option<(u64, Range<u64>)>,
    /// Transactions of several frames that were never completed.
    pub dropped_chains: u64,
    pub scanned_bytes: u64,
    /// Segments without a frame.
    pub empty: Vec<u64>,
}

/// Why a directory cannot be replayed.
#[derive(Debug)]
pub enum ScanError {
    Io(PathBuf, io::Error),
    /// Not to be touched by this version.
    Newer(PathBuf, u32),
    /// Of another channel, or of another of its directories.
    Foreign(PathBuf, Id),
    /// Encrypted with a key that is not there.
    NoKey(PathBuf),
    Cancelled,
}

impl std::fmt::Display for ScanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ScanError::Io(path, e) => write!(f, "{}: {e}", path.display()),
            ScanError::Newer(path, found) => {
                let ours = super::segment::VERSION;
                write!(f, "{} has format version {found}, this flumed knows {ours}", path.display())
            }
            ScanError::Foreign(path, id) => {
                let whose = super::identity::short(id);
                write!(f, "{} belongs to another channel or data directory ({whose})", path.display())
            }
            ScanError::NoKey(path) => write!(
                f,
                "{} is encrypted with a key that is neither encryption.keyFile nor among encryption.oldKeyFiles",
                path.display()
            ),
            ScanError::Cancelled => f.write_str("stopped while it was being read"),
        }
    }
}

/// The files of a directory that are segments by their name.
#[derive(Default)]
pub struct Listed {
    /// In their order.
    pub files: Vec<File>,
    /// The names of those without a whole header.
    pub bad: Vec<String>,
    /// Those that this version, this channel or these keys have nothing to do with.
    pub refused: Vec<ScanError>,
}

/// The segments of a directory in their order, and the names of those without a usable header.
pub fn list(
    fs: &dyn Fs,
    dir: &Path,
    ids: Option<(Id, Id)>,
    keys: &Keys,
) -> Result<(Vec<File>, Vec<String>), ScanError> {
    let all = look(fs, dir, ids, keys)?;
    match all.refused.into_iter().next() {
        Some(why) => Err(why),
        None => Ok((all.files, all.bad)),
    }
}

/// The same, past what is refused. An error: something could not be read.
pub fn look(fs: &dyn Fs, dir: &Path, ids: Option<(Id, Id)>, keys: &Keys) -> Result<Listed, ScanError> {
    let io = |path: &Path, e| ScanError::Io(path.to_owned(), e);
    let mut all = Listed::default();
    for name in fs.list(dir).map_err(|e| io(dir, e))? {
        let Some(seq) = number_of(&name, "segment") else { continue };
        let path = dir.join(&name);
        let file = fs.open(&path, false).map_err(|e| io(&path, e))?;
        let size = file.len().map_err(|e| io(&path, e))?;
        let header = match SegmentHeader::read(file.as_ref()).map_err(|e| io(&path, e))? {
            Ok(h) if h.seq == seq => h,
            Err(NotASegment::Newer(version)) => {
                all.refused.push(ScanError::Newer(path, version));
                continue;
            }
            Ok(_) | Err(NotASegment::Damaged) => {
                all.bad.push(name);
                continue;
            }
        };
        if ids.is_some_and(|ids| ids != (header.channel, header.dir)) {
            all.refused.push(ScanError::Foreign(path, header.channel));
            continue;
        }
        let key = match header.is_encrypted() {
            false => None,
            true => match keys.for_segment(&header.key, &header.identity) {
                Some(key) => Some(key),
                None => {
                    all.refused.push(ScanError::NoKey(path));
                    continue;
                }
            },
        };
        all.files.push(File { seq, path, file, header, key, size });
    }
    all.files.sort_by_key(|f| f.seq);
    Ok(all)
}

/// Replays segments from `from` on, which is known to be synced; `known`: what a checkpoint says of the segments.
/// `progress` hears of bytes read, and ends the scan by saying no.
pub fn scan(
    files: &[File],
    from: Position,
    known: &BTreeMap<u64, SegmentInfo>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Scanned, ScanError> {
    scan_with(files, from, known, progress, &mut |_, _, _| true)
}

/// Is told of a frame, in the order of the log: its segment, header and payload. `false` ends the scan.
pub type Hear<'a> = dyn FnMut(&File, &frame::Header, &[u8]) -> bool + 'a;

/// The same, telling of every whole frame.
pub fn scan_with(
    files: &[File],
    from: Position,
    known: &BTreeMap<u64, SegmentInfo>,
    progress: &mut dyn FnMut(u64) -> bool,
    hear: &mut Hear<'_>,
) -> Result<Scanned, ScanError> {
    let mut out = Scanned { infos: known.clone(), end: from, ..Scanned::default() };
    let first = files.partition_point(|f| f.seq < from.seq);
    let ends = ends(files)?;
    let mut chain = Chain::default();
    // What no checkpoint knows that came later has nothing in it that counts: it was never begun, or freed.
    out.empty.extend(files[..first].iter().map(|f| f.seq).filter(|seq| !known.contains_key(seq)));
    for (i, f) in files.iter().enumerate().skip(first) {
        let at = if f.seq == from.seq { from.offset.max(BEGIN) } else { BEGIN };
        let one = One { f, end: ends.get(&f.seq).copied(), is_last: i + 1 == files.len() };
        let info = out.infos.entry(f.seq).or_default();
        info.identity = f.header.identity;
        one.replay(at, &mut out, &mut chain, progress, hear)?;
    }
    chain.drop_open(&mut out);
    Ok(out)
}

/// Where segments end, from the first frames of those behind them.
fn ends(files: &[File]) -> Result<BTreeMap<u64, u64>, ScanError> {
    let mut ends = BTreeMap::new();
    for f in files {
        let mut w = window(f, 4096);
        if let Ok(first) = w.frame_at(BEGIN, f.size).map_err(|e| ScanError::Io(f.path.clone(), e))? {
            if let (Kind::Start, payload @ [_, _, _, _, _, _, _, _]) = (first.header.kind, w.payload(&first))
            {
                let end = u64_at(payload, 0);
                if end <= LARGEST {
                    ends.insert(first.header.first, end);
                }
            }
        }
    }
    Ok(ends)
}

fn window(f: &File, chunk: usize) -> Window<'_> {
    Window::new(f.file.as_ref(), f.header.short_identity(), f.key.as_ref(), vec![0; chunk])
}

struct One<'a> {
    f: &'a File,
    /// Where it ends, if that is known.
    end: Option<u64>,
    is_last: bool,
}

impl One<'_> {
    fn replay(
        &self,
        mut at: u64,
        out: &mut Scanned,
        chain: &mut Chain,
        progress: &mut dyn FnMut(u64) -> bool,
        hear: &mut Hear<'_>,
    ) -> Result<(), ScanError> {
        let (f, end) = (self.f, self.end.unwrap_or(self.f.size));
        let io = |e| ScanError::Io(f.path.clone(), e);
        let mut w = window(f, CHUNK);
        // What stands before the place to begin at is synced, as is all of a segment with a successor that says so.
        let mut mark = self.end.unwrap_or(at);
        let mut has_looked_ahead = false;
        let mut told = at;
        let begun_at = at;
        while at < end {
            if at - told >= 4 << 20 {
                if !progress(at - told) {
                    return Err(ScanError::Cancelled);
                }
                told = at;
            }
            match w.frame_at(at, end).map_err(io)? {
                Ok(found) => {
                    mark = mark.max(found.header.synced);
                    if !hear(f, &found.header, w.payload(&found)) {
                        return Err(ScanError::Cancelled);
                    }
                    self.frame(&found, w.payload(&found), out, chain);
                    at = found.header.end();
                }
                Err(header) => {
                    if !has_looked_ahead && self.end.is_none() {
                        has_looked_ahead = true;
                        mark = mark.max(highest_mark(&mut w, at + frame::ALIGN, end).map_err(io)?);
                    }
                    if at >= mark {
                        let is_ours =
                            header.is_some() || w.next_header(at + frame::ALIGN, end).map_err(io)?.is_some();
                        out.torn = is_ours.then_some((f.seq, at..end)).or(out.torn.take());
                        break;
                    }
                    let next = w
                        .next_header(at + frame::ALIGN, end)
                        .map_err(io)?
                        .map_or(end.min(mark), |h| h.offset);
                    out.damage.push(Damage { seq: f.seq, range: at..next, header });
                    chain.damaged(out);
                    at = next;
                }
            }
        }
        progress(at - told);
        out.scanned_bytes += at - begun_at;
        let info = out.infos.entry(f.seq).or_default();
        info.end = Some(at);
        if at == BEGIN {
            out.empty.push(f.seq);
        }
        if at > BEGIN || (self.is_last && out.end == Position::default()) {
            out.end = Position { seq: f.seq, offset: at };
        }
        Ok(())
    }

    fn frame(&self, found: &super::window::Found, payload: &[u8], out: &mut Scanned, chain: &mut Chain) {
        let h = &found.header;
        match h.kind {
            Kind::Start => {}
            Kind::Put => {
                out.put_frames += 1;
                let info = out.infos.entry(self.f.seq).or_default();
                if info.puts.0 == info.puts.1 {
                    info.oldest = h.time;
                }
                widen(&mut info.puts, h.first, h.numbers().end);
                chain.put(h, out);
            }
            Kind::Take => {
                out.take_frames += 1;
                for r in decode_take(payload, h.count).into_iter().flatten() {
                    let info = out.infos.entry(self.f.seq).or_default();
                    widen(&mut info.takes, r.start, r.end);
                    out.takes.insert(r);
                }
            }
        }
    }
}

/// The highest mark in the headers behind a bad frame.
fn highest_mark(w: &mut Window<'_>, from: u64, end: u64) -> io::Result<u64> {
    let (mut at, mut mark) = (from, 0);
    while let Some(h) = w.next_header(at, end)? {
        mark = mark.max(h.synced);
        at = h.offset + HEADER as u64;
    }
    Ok(mark)
}

/// Frames of a transaction that has not ended.
#[derive(Default)]
struct Chain {
    open: Vec<Range<u64>>,
    bytes: u64,
    /// What comes may belong to a transaction whose beginning is damaged.
    is_after_damage: bool,
}

impl Chain {
    fn put(&mut self, h: &frame::Header, out: &mut Scanned) {
        let follows = h.flags & frame::FOLLOWS != 0;
        let goes_on = h.flags & frame::GOES_ON != 0;
        if follows == self.open.is_empty() || self.open.last().is_some_and(|r| r.end != h.first) {
            let is_tail = follows && self.open.is_empty() && self.is_after_damage;
            self.drop_open(out);
            if follows && !is_tail {
                out.dropped_chains += u64::from(!goes_on);
                return;
            }
        }
        if !follows {
            self.is_after_damage = false;
        }
        self.open.push(h.numbers());
        self.bytes += h.size();
        if !goes_on {
            self.commit(out);
        }
    }

    fn commit(&mut self, out: &mut Scanned) {
        for r in self.open.drain(..) {
            out.puts.insert(r);
        }
        out.bytes += std::mem::take(&mut self.bytes);
    }

    /// What was read of a transaction before damage was acknowledged, as the damage was.
    fn damaged(&mut self, out: &mut Scanned) {
        self.commit(out);
        self.is_after_damage = true;
    }

    fn drop_open(&mut self, out: &mut Scanned) {
        if !self.open.is_empty() {
            out.dropped_chains += 1;
            self.open.clear();
            self.bytes = 0;
        }
    }
}
