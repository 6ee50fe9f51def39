//! The end of a data directory's log: appends frames, begins segments, gives up on a segment that failed.
//!
//! A writer is behind its directory's lock. The log thread writes puts under it, takers their take frames; nobody syncs
//! under it but at the end of a segment. Everything below `synced` of the segment is durable. When a write or a sync
//! fails the segment ends at that mark, or where a sync proves more: nothing above is ever read again, whatever became of
//! it, and the next segment says so in its first frame. Takes written above the mark are written again there.

use super::dir::{Begun, Dir, Purpose};
use super::frame::{self, encode_take, frame_size, Header, Kind, ALIGN, HEADER};
use super::fs::{Fs, FsFile};
use super::segment::BEGIN;
use super::state::{Placed, Segment, State, Unit};
use super::{checkpoint::Position, crypt::TAG};
use crate::clock::now_ms;
use crate::lock::lock;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

/// Frames are gathered up to this many bytes, and this many pieces, for one call.
const GATHER: usize = 1 << 20;
const PIECES: usize = 64;

/// Intervals taken, as a take frame names them.
pub type Taken = Vec<(u64, u32)>;

/// A segment's file, the syncs of which are one at a time: the system tells of a failure once, and whoever syncs after
/// that must not take it for a success.
pub struct Synced {
    file: Arc<dyn FsFile>,
    failed: Mutex<Option<(io::ErrorKind, String)>>,
}

impl Synced {
    pub fn new(file: Arc<dyn FsFile>) -> Synced {
        Synced { file, failed: Mutex::new(None) }
    }

    pub fn sync(&self) -> io::Result<()> {
        let mut failed = lock(&self.failed);
        if let Some((kind, why)) = &*failed {
            return Err(io::Error::new(*kind, format!("an earlier sync failed: {why}")));
        }
        self.file.sync().inspect_err(|e| *failed = Some((e.kind(), e.to_string())))
    }
}

/// The segment that is being written.
struct Active {
    begun: Begun,
    syncs: Arc<Synced>,
    end: u64,
    synced: u64,
}

pub struct Writer {
    pub dir: Arc<Dir>,
    fs: Arc<dyn Fs>,
    state: Arc<Mutex<State>>,
    active: Option<Active>,
    /// Where the segment before ended; what the next one begins with.
    before: Position,
    /// Where segments ended since the last group began, those included of which nothing is durable.
    ended: Vec<Position>,
    /// The channel is closed: nothing is written any more.
    is_closed: bool,
    /// Takes above the mark: where their frames end, and what they took.
    loose: Vec<(u64, Taken)>,
    /// The size segments are to have.
    pub segment_size: u64,
    scratch: Vec<u8>,
}

/// What has to be synced: a segment's file, and up to where.
pub struct Mark {
    pub file: Arc<Synced>,
    pub position: Position,
}

impl Writer {
    pub fn new(
        dir: Arc<Dir>,
        fs: Arc<dyn Fs>,
        state: Arc<Mutex<State>>,
        before: Position,
        segment_size: u64,
    ) -> Writer {
        Writer {
            dir,
            fs,
            state,
            active: None,
            before,
            ended: Vec::new(),
            is_closed: false,
            loose: Vec::new(),
            segment_size,
            scratch: Vec::new(),
        }
    }

    /// Where the next frame will be.
    pub fn position(&self) -> Position {
        self.active.as_ref().map_or(self.before, |a| Position { seq: a.begun.header.seq, offset: a.end })
    }

    /// Whether more than half of the segment is used: time to prepare the next.
    pub fn is_half_full(&self) -> bool {
        self.active.as_ref().is_some_and(|a| a.end > self.segment_size / 2)
    }

    /// What there is to sync, if anything.
    pub fn mark(&self) -> Option<Mark> {
        let a = self.active.as_ref().filter(|a| a.end > a.synced)?;
        Some(Mark { file: a.syncs.clone(), position: self.position() })
    }

    /// A position that was read earlier, or where its segment ended if that was before it.
    pub fn cut_back(&self, p: Position) -> Position {
        let ended = self.ended.iter().find(|e| e.seq == p.seq && e.offset < p.offset);
        ended.copied().unwrap_or(p)
    }

    /// Whether something that was written is not durable yet.
    pub fn has_unsynced(&self) -> bool {
        !self.loose.is_empty() || self.active.as_ref().is_some_and(|a| a.end > a.synced)
    }

    /// Everything up to the mark has been synced.
    pub fn synced(&mut self, mark: &Mark) {
        let Some(a) = self.active.as_mut().filter(|a| a.begun.header.seq == mark.position.seq) else {
            return;
        };
        a.synced = a.synced.max(mark.position.offset);
        let to = a.synced;
        self.loose.retain(|(end, _)| *end > to);
    }

    /// The segment of this mark could not be synced. (Another may have been begun meanwhile.)
    pub fn give_up_on(&mut self, mark: &Mark) {
        if self.position().seq == mark.position.seq {
            self.give_up();
        }
    }

    /// Nothing is written from now on.
    pub fn close(&mut self) -> io::Result<()> {
        let mut finished = self.finish();
        if !self.rescue() {
            finished = Err(io::Error::other("takes are written and not synced"));
        }
        self.is_closed = true;
        finished.and_then(|()| self.finish())
    }

    /// Goes on in another segment, of the reserve if there is nothing else.
    pub fn leave(&mut self) -> io::Result<()> {
        self.finish()?;
        self.room(0, Purpose::TakeOnFullDisk)
    }

    /// Has takes written again that stood in a segment that was given up; tells whether none are left.
    pub fn rescue(&mut self) -> bool {
        let is_safe = |w: &Writer| w.loose.is_empty() || w.active.is_some();
        for purpose in [Purpose::Take, Purpose::TakeOnFullDisk] {
            if !is_safe(self) {
                let _ = self.room(0, purpose);
            }
        }
        is_safe(self)
    }

    /// The segment cannot be relied on: it ends at its mark. Upkeep cuts off what stands above.
    pub fn give_up(&mut self) {
        if let Some(a) = self.active.take() {
            // At once, for a kill; if that fails, or for a power cut, upkeep does it durably.
            let _ = a.begun.file.set_len(a.synced);
            self.seal(&a, a.synced, true);
        }
    }

    fn seal(&mut self, a: &Active, end: u64, is_cut: bool) {
        let seq = a.begun.header.seq;
        let position = Position { seq, offset: end };
        // One of which nothing is durable does not say where the one before it ended: the next has to.
        if end > BEGIN {
            self.before = position;
        }
        self.ended.push(position);
        let mut state = lock(&self.state);
        if let Some(s) = state.dirs[self.dir.index].segments.get_mut(&seq) {
            s.info.end = Some(end);
            s.size = s.size.max(a.end);
            s.is_cut = is_cut;
        }
    }

    /// Sees whether the directory can be written to again.
    pub fn probe(&mut self) -> io::Result<()> {
        self.room(0, Purpose::Put)?;
        let Some(mark) = self.mark() else { return Ok(()) };
        match mark.file.sync() {
            Ok(()) => {
                self.synced(&mark);
                Ok(())
            }
            Err(e) => {
                self.give_up();
                Err(e)
            }
        }
    }

    /// Ends the segment in order: everything in it is synced.
    pub fn finish(&mut self) -> io::Result<()> {
        let Some(a) = &self.active else { return Ok(()) };
        if a.end > a.synced {
            if let Err(e) = a.syncs.sync() {
                self.give_up();
                return Err(e);
            }
        }
        self.loose.clear();
        if let Some(a) = self.active.take() {
            self.seal(&a, a.end, false);
        }
        Ok(())
    }

    /// Makes sure that there is a segment with room for a frame of this size.
    fn room(&mut self, size: u64, purpose: Purpose) -> io::Result<()> {
        if let Some(a) = &self.active {
            // What is in the reserve's files is for takes, and does not grow.
            let fits = match a.begun.is_reserve {
                true => purpose != Purpose::Put && a.end + size <= a.begun.size,
                // An event larger than a segment has one of its own.
                false => a.end + size <= self.segment_size || a.end <= BEGIN + frame_size(8 + TAG),
            };
            if fits {
                return Ok(());
            }
        }
        if self.is_closed {
            return Err(io::Error::other("the channel is closed"));
        }
        if purpose == Purpose::Put && !self.dir.reserve_is_whole() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.finish()?;
        let begun = self.dir.begin(self.fs.as_ref(), purpose)?;
        {
            let mut state = lock(&self.state);
            let mut segment = Segment { size: begun.size.max(BEGIN), ..Segment::default() };
            segment.info.identity = begun.header.identity;
            state.dirs[self.dir.index].segments.insert(begun.header.seq, segment);
        }
        let syncs = Arc::new(Synced::new(begun.file.clone()));
        self.active = Some(Active { begun, syncs, end: BEGIN, synced: BEGIN });
        let before = self.before;
        self.small(Kind::Start, before.seq, 0, &before.offset.to_le_bytes())?;
        let mut loose = Taken::new();
        for (_, taken) in std::mem::take(&mut self.loose) {
            loose.extend(taken);
        }
        if !loose.is_empty() {
            self.write_take(&loose).inspect_err(|_| self.loose = vec![(0, loose.clone())])?;
            let seq = self.position().seq;
            lock(&self.state).takes_moved(self.dir.index, seq, &loose);
        }
        Ok(())
    }

    /// Writes a frame that is not a put.
    fn small(&mut self, kind: Kind, first: u64, count: u32, payload: &[u8]) -> io::Result<()> {
        let Some(a) = &mut self.active else { return Err(io::ErrorKind::NotFound.into()) };
        let mut b = std::mem::take(&mut self.scratch);
        b.clear();
        b.resize(HEADER, 0);
        b.extend_from_slice(payload);
        let tail = if a.begun.key.is_some() { TAG } else { 0 };
        b.resize(frame_size(payload.len() + tail) as usize, 0);
        let written = patch(a, &mut b, payload.len() + tail, None, (kind, 0, first, count, now_ms()))
            .and_then(|()| super::segment::write_all(a.begun.file.as_ref(), &b, a.end));
        let size = b.len() as u64;
        self.scratch = b;
        match written {
            Ok(()) => {
                a.end += size;
                Ok(())
            }
            Err(e) => {
                self.abandon();
                Err(e)
            }
        }
    }

    /// A write failed: what stands before it may still be made durable.
    fn abandon(&mut self) {
        let Some(a) = &mut self.active else { return };
        if a.end > a.synced && a.syncs.sync().is_ok() {
            a.synced = a.end;
            self.loose.clear();
        }
        self.give_up();
    }

    fn write_take(&mut self, taken: &[(u64, u32)]) -> io::Result<()> {
        let mut payload = Vec::with_capacity(taken.len() * 12);
        encode_take(taken, &mut payload);
        self.small(Kind::Take, 0, taken.len() as u32, &payload)?;
        self.loose.push((self.position().offset, taken.to_vec()));
        Ok(())
    }

    /// Writes that these were taken, and has it known.
    pub fn take(&mut self, taken: &[(u64, u32)], bytes: usize) -> io::Result<()> {
        let size = frame_size(taken.len() * 12 + TAG);
        let mut attempt = |purpose| {
            self.room(size, purpose)?;
            self.write_take(taken)
        };
        match attempt(Purpose::Take) {
            Err(e) if is_full(&e) => attempt(Purpose::TakeOnFullDisk)?,
            other => other?,
        }
        let seq = self.position().seq;
        lock(&self.state).taken(self.dir.index, seq, taken, bytes);
        Ok(())
    }

    /// Writes what it can of these transactions, in order. `places[i]` is where the frames of the i-th are; some are
    /// missing where it failed. Whether those that are there stay is for [`keeps`](Writer::keeps) to say.
    pub fn puts(&mut self, units: &mut [Unit], places: &mut Vec<Vec<Placed>>) -> io::Result<()> {
        places.resize_with(units.len(), Vec::new);
        self.ended.clear();
        let mut gathered = Gathered::default();
        for i in 0..units.len() {
            let mut first = units[i].first;
            for j in 0..units[i].frames.len() {
                let frame = &units[i].frames[j];
                let (size, count) = (frame.bytes.len() as u64, frame.events.len() as u64);
                let end = self.active.as_ref().map_or(0, |a| a.end) + gathered.bytes as u64;
                let is_enough = gathered.frames.len() >= PIECES || gathered.bytes >= GATHER;
                if is_enough || end + size > self.segment_size {
                    self.flush(units, &mut gathered, places)?;
                }
                if gathered.frames.is_empty() {
                    self.room(size, Purpose::Put)?;
                }
                gathered.frames.push((i, j, first));
                gathered.bytes += size as usize;
                first += count;
            }
        }
        self.flush(units, &mut gathered, places)
    }

    fn flush(
        &mut self,
        units: &mut [Unit],
        gathered: &mut Gathered,
        places: &mut [Vec<Placed>],
    ) -> io::Result<()> {
        let Some(a) = self.active.as_mut().filter(|_| !gathered.frames.is_empty()) else { return Ok(()) };
        let mut at = a.end;
        for (i, j, first) in &gathered.frames {
            let (last, time) = (units[*i].frames.len() - 1, units[*i].time);
            let f = &mut units[*i].frames[*j];
            let flags = if *j < last { frame::GOES_ON } else { 0 } | if *j > 0 { frame::FOLLOWS } else { 0 };
            let (count, tail) = (f.events.len() as u32, if a.begun.key.is_some() { TAG } else { 0 });
            a.end = at;
            patch(a, &mut f.bytes, f.payload + tail, Some(f.crc), (Kind::Put, flags, *first, count, time))?;
            at += f.bytes.len() as u64;
        }
        a.end = at - gathered.bytes as u64;
        let mut slices: Vec<IoSlice<'_>> =
            gathered.frames.iter().map(|(i, j, _)| IoSlice::new(&units[*i].frames[*j].bytes)).collect();
        if let Err(e) = write_slices(a.begun.file.as_ref(), &mut slices, a.end) {
            self.abandon();
            return Err(e);
        }
        let mut end = a.end;
        for (i, j, first) in gathered.frames.drain(..) {
            let f = &units[i].frames[j];
            end += f.bytes.len() as u64;
            places[i].push(Placed { first, count: f.events.len() as u64, seq: a.begun.header.seq, end });
        }
        a.end = end;
        gathered.bytes = 0;
        Ok(())
    }

    /// Whether a frame that was written is, or will be at the next sync, one that counts.
    pub fn keeps(&self, p: &Placed) -> bool {
        let is_active = self.active.as_ref().is_some_and(|a| a.begun.header.seq == p.seq);
        is_active || self.ended.iter().any(|e| e.seq == p.seq && p.end <= e.offset)
    }
}

/// Frames that are written in one call: which unit, which of its frames, the first number.
#[derive(Default)]
struct Gathered {
    frames: Vec<(usize, usize, u64)>,
    bytes: usize,
}

pub fn is_full(e: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Completes a frame for the place where it will stand: its header, and the seal of an encrypted segment. `crc`: of the
/// payload, where that is known.
fn patch(
    a: &Active,
    bytes: &mut [u8],
    len: usize,
    crc: Option<u32>,
    (kind, flags, first, count, time): (Kind, u8, u64, u32, u64),
) -> io::Result<()> {
    debug_assert!(a.end.is_multiple_of(ALIGN));
    let mut header = Header {
        payload_crc: 0,
        synced: a.synced,
        identity: a.begun.header.short_identity(),
        offset: a.end,
        first,
        count,
        len: u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?,
        kind,
        flags,
        time,
    };
    let (head, rest) = bytes.split_at_mut(HEADER);
    let payload = &mut rest[..len];
    header.payload_crc = match &a.begun.key {
        Some(key) => {
            header.write(head);
            key.seal(head, a.end, payload);
            crc32fast::hash(payload)
        }
        None => crc.unwrap_or_else(|| crc32fast::hash(payload)),
    };
    header.write(head);
    Ok(())
}

fn write_slices(file: &dyn FsFile, mut slices: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_at(slices, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                IoSlice::advance_slices(&mut slices, n);
                at += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
