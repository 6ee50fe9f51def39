//! Reads events back that are not in memory any more: a backlog, or what an earlier process left.
//!
//! For each data directory it keeps a piece of a segment with whole, checked frames in it, and hands their events out in
//! the order of their numbers across directories. Bytes below the end that the state knows of are synced and were
//! written whole: a bad frame among them is damage. It is copied aside and passed over, what it held is counted and
//! named. Behind one lock, which a taker holds while it reads.

use super::checkpoint::Position;
use super::engine::Engine;
use super::frame::{Header, Kind, HEADER};
use super::fs::FsFile;
use super::payload::{self, Names};
use super::segment::{segment_name, SegmentHeader, BEGIN};
use super::state::{DirState, Segment};
use super::window::{Look, Window, CHUNK};
use super::{crypt::SegmentKey, salvage};
use crate::channel::Run;
use crate::event::{Batch, Buffer, BufferPool, Events};
use crate::lock::lock;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two log lines of one kind.
const QUIET: Duration = Duration::from_secs(10);
/// Pieces of segments that are kept for the next reads.
const POOLED: usize = 8;

pub struct Reader {
    dirs: Vec<DirReader>,
    names: Names,
    pool: Arc<BufferPool>,
    /// Something was passed over: what is missing has to be found out.
    has_gap: bool,
    /// When a log line last told that something cannot be read.
    told: Option<Instant>,
}

#[derive(Default)]
struct DirReader {
    /// Of the first frame that is not handed out.
    cursor: Position,
    /// Where to read on when there are no frames left.
    next: Position,
    ready: VecDeque<Ready>,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    seq: u64,
    file: Arc<dyn FsFile>,
    identity: u64,
    key: Option<SegmentKey>,
}

/// A put frame, in a piece of its segment.
struct Ready {
    header: Header,
    payload: Range<usize>,
    buffer: Arc<Buffer>,
    seq: u64,
}

/// What the state says of a directory that is behind.
struct View {
    cursor: Position,
    passed: u64,
    applied: Position,
}

/// A run in the making.
struct Growing {
    first: u64,
    batch: Batch,
    segment: u16,
    buffer: Arc<Buffer>,
    bytes: usize,
    put_at: u64,
}

impl Growing {
    fn finish(self, out: &mut Vec<Run>) {
        let Growing { first, batch, bytes, put_at, .. } = self;
        out.push(Run { first, events: Events::all(Arc::new(batch)), bytes, put_at, durable: true });
    }
}

impl Reader {
    pub fn new(dirs: usize) -> Reader {
        let dirs = (0..dirs).map(|_| DirReader::default()).collect();
        Reader {
            dirs,
            names: Names::default(),
            pool: BufferPool::new(CHUNK, POOLED),
            has_gap: false,
            told: None,
        }
    }

    /// The next events, at most `max` and about `max_bytes`. None: what comes next is in memory, or cannot be read.
    pub fn read(&mut self, engine: &Engine, max: usize, max_bytes: usize) -> Vec<Run> {
        let (mut runs, mut left, mut bytes) = (Vec::new(), max, 0);
        while left > 0 && bytes < max_bytes {
            let more = self.step(engine, left, max_bytes - bytes);
            if more.is_empty() {
                break;
            }
            left -= more.iter().map(|r| r.events.len()).sum::<usize>();
            bytes += more.iter().map(|r| r.bytes).sum::<usize>();
            runs.extend(more);
        }
        runs
    }

    /// What can be had of the pieces at hand.
    fn step(&mut self, engine: &Engine, max: usize, max_bytes: usize) -> Vec<Run> {
        loop {
            let (views, limit, is_whole) = {
                let s = lock(&engine.state);
                let view = |d: &DirState| {
                    let is_behind = d.behind && d.unreadable.is_none();
                    is_behind.then_some(View { cursor: d.cursor, passed: d.passed, applied: d.applied })
                };
                let is_whole = s.dirs.iter().all(|d| d.unreadable.is_none());
                (s.dirs.iter().map(view).collect::<Vec<_>>(), s.read_limit(), is_whole)
            };
            for (d, view) in views.iter().enumerate() {
                let Some(view) = view else { continue };
                if self.dirs[d].cursor != view.cursor {
                    let r = &mut self.dirs[d];
                    (r.cursor, r.next) = (view.cursor, view.cursor);
                    r.ready.clear();
                }
                if let Err(e) = self.fill(engine, d, view) {
                    let why = format!("cannot read {}: {e}", engine.dirs[d].dir.path.display());
                    if self.told.is_none_or(|t| t.elapsed() > QUIET) {
                        self.told = Some(Instant::now());
                        log::error!("channel {}: {why}", engine.name);
                    }
                    engine.counters.take_error.one();
                    lock(&engine.state).dirs[d].unreadable = Some(why);
                    engine.nudge();
                    return Vec::new();
                }
            }
            let behind: Vec<usize> = (0..views.len()).filter(|d| views[*d].is_some()).collect();
            if self.has_gap && is_whole {
                self.tell_lost(engine, &behind, limit);
            }
            let chosen = self.choose(&behind, &views, limit, (max, max_bytes));
            let runs = self.emit(engine, &chosen);
            self.advance(engine, &chosen, &views, &runs);
            // Frames of which nothing is live are passed over.
            if !runs.is_empty() || chosen.is_empty() {
                return runs;
            }
        }
    }

    /// These segments are freed: an open file would keep its room.
    pub fn let_go(&mut self, freed: &BTreeSet<(usize, u64)>) {
        for (d, r) in self.dirs.iter_mut().enumerate() {
            if r.open.as_ref().is_some_and(|o| freed.contains(&(d, o.seq))) {
                r.open = None;
            }
        }
    }

    /// Sees to it that the next put frame of a directory is at hand, unless there is none.
    fn fill(&mut self, engine: &Engine, d: usize, view: &View) -> io::Result<()> {
        while self.dirs[d].ready.is_empty() {
            let at = self.dirs[d].next;
            let Some((Position { seq, offset }, end, above)) = place(engine, d, at, view) else {
                return Ok(());
            };
            // A number that no event has yet was never written here, whatever the checksum says.
            let is_ours =
                |f: &super::window::Found| f.header.kind != Kind::Put || f.header.numbers().end <= above;
            if self.dirs[d].open.as_ref().is_none_or(|o| o.seq != seq) {
                self.dirs[d].open = Some(open(engine, d, seq)?);
            }
            let Some(segment) = &self.dirs[d].open else { return Ok(()) };
            let mut w =
                Window::new(segment.file.as_ref(), segment.identity, segment.key.as_ref(), self.pool.take());
            let (mut found, mut offset) = (Vec::new(), offset);
            w.load(offset, HEADER)?;
            let mut damage = None;
            loop {
                match w.look(offset, end) {
                    Look::Frame(f) if !is_ours(&f) => damage = Some(offset),
                    Look::Frame(f) => {
                        offset = f.header.end();
                        found.extend((f.header.kind == Kind::Put).then_some(f));
                    }
                    Look::Beyond if found.is_empty() => {
                        // A frame that is larger than the piece, or the piece holds no puts.
                        match w.frame_at(offset, end)? {
                            Ok(f) if is_ours(&f) => {
                                offset = f.header.end();
                                found.extend((f.header.kind == Kind::Put).then_some(f));
                            }
                            Ok(_) | Err(_) => damage = Some(offset),
                        }
                    }
                    Look::Beyond => break,
                    Look::Bad(_) if offset >= end => break,
                    Look::Bad(_) => damage = Some(offset),
                }
                if damage.is_some() {
                    break;
                }
            }
            if let (Some(from), true) = (damage, found.is_empty()) {
                // In place and by itself: the window is of no use after it.
                offset = match w.next_header(from + 8, end)? {
                    Some(h) => h.offset,
                    None => end,
                };
                self.has_gap = true;
                let dir = &engine.dirs[d].dir;
                salvage::copy_aside(
                    engine.fs.as_ref(),
                    &dir.path,
                    seq,
                    segment.file.as_ref(),
                    from..offset,
                    &engine.counters,
                );
                log::error!(
                    "channel {}: {} of {} is damaged from byte {from} to {offset}; it is passed over",
                    engine.name,
                    segment_name(seq),
                    dir.path.display()
                );
            }
            let (bytes, filled) = w.into_bytes();
            let r = &mut self.dirs[d];
            r.next = Position { seq, offset };
            if found.is_empty() {
                self.pool.give_back(bytes);
                continue;
            }
            let buffer = self.pool.freeze(bytes, filled);
            let ready = |f: super::window::Found| Ready {
                header: f.header,
                payload: f.payload,
                buffer: buffer.clone(),
                seq,
            };
            r.ready.extend(found.into_iter().map(ready));
        }
        Ok(())
    }

    /// Which frames come next, in order: directory, place among its frames, how many numbers from where.
    fn choose(
        &self,
        behind: &[usize],
        views: &[Option<View>],
        limit: u64,
        (max, max_bytes): (usize, usize),
    ) -> Vec<(usize, usize, Range<u64>)> {
        let mut at = vec![0; views.len()];
        let (mut chosen, mut left, mut bytes) = (Vec::new(), max as u64, 0);
        while left > 0 && bytes < max_bytes {
            let next = |d: &usize| self.dirs[*d].ready.get(at[*d]).map(|r| (r.header.first, *d));
            // A directory whose frames at hand are used up may have the next one.
            if behind.iter().any(|d| at[*d] > 0 && at[*d] == self.dirs[*d].ready.len()) {
                break;
            }
            let Some((first, d)) = behind.iter().filter_map(next).min().filter(|(first, _)| *first < limit)
            else {
                break;
            };
            let h = &self.dirs[d].ready[at[d]].header;
            let passed = views[d].as_ref().map_or(0, |v| v.passed);
            let from = first.max(passed).min(h.numbers().end);
            let to = h.numbers().end.min(from + left);
            left -= to - from;
            bytes += h.len as usize;
            chosen.push((d, at[d], from..to));
            if to < h.numbers().end {
                break;
            }
            at[d] += 1;
        }
        chosen
    }

    /// The live events of the chosen frames.
    fn emit(&mut self, engine: &Engine, chosen: &[(usize, usize, Range<u64>)]) -> Vec<Run> {
        let pieces: Vec<Vec<Range<u64>>> = {
            let s = lock(&engine.state);
            let live = |r: &Range<u64>| match s.live.covers(r.clone()) {
                true => vec![r.clone()],
                false => s.live.within(r.clone()).iter().collect(),
            };
            chosen.iter().map(|(_, _, r)| live(r)).collect()
        };
        let mut runs = Vec::new();
        let mut growing: Option<Growing> = None;
        for ((d, i, _), pieces) in chosen.iter().zip(pieces) {
            let f = &self.dirs[*d].ready[*i];
            for piece in pieces.into_iter().filter(|p| !p.is_empty()) {
                let continues = growing.as_ref().is_some_and(|g| {
                    g.first + g.batch.len() as u64 == piece.start && Arc::ptr_eq(&g.buffer, &f.buffer)
                });
                if !continues {
                    growing.take().into_iter().for_each(|g| g.finish(&mut runs));
                }
                let g = growing.get_or_insert_with(|| {
                    let mut batch = Batch::new();
                    let segment = batch.attach(&f.buffer);
                    let (first, put_at) = (piece.start, f.header.time);
                    Growing { first, batch, segment, buffer: f.buffer.clone(), bytes: 0, put_at }
                });
                let before = g.batch.len();
                let wants = |i: usize| piece.contains(&(f.header.first + i as u64));
                let payload = &f.buffer[f.payload.clone()];
                let base = f.payload.start;
                let count = f.header.count;
                if payload::decode(payload, count, base, g.segment, &mut self.names, &mut g.batch, wants)
                    .is_none()
                {
                    // Its checksum is right: not ours, or of a form that is not known here.
                    log::error!(
                        "channel {}: a frame at {} of segment {} cannot be read",
                        engine.name,
                        f.header.offset,
                        f.seq
                    );
                    self.has_gap = true;
                    // What was decoded of earlier frames is whole.
                    let mut n = 0;
                    g.batch.retain(|_| {
                        n += 1;
                        n <= before
                    });
                    growing.take().filter(|_| before > 0).into_iter().for_each(|g| g.finish(&mut runs));
                    continue;
                }
                let n = (g.batch.len() - before) as u64;
                g.bytes += (f.header.size() * n / u64::from(count.max(1))) as usize;
            }
        }
        growing.into_iter().for_each(|g| g.finish(&mut runs));
        runs
    }

    /// The chosen frames are handed out.
    fn advance(
        &mut self,
        engine: &Engine,
        chosen: &[(usize, usize, Range<u64>)],
        views: &[Option<View>],
        runs: &[Run],
    ) {
        let mut s = lock(&engine.state);
        for (d, _, r) in chosen {
            s.dirs[*d].passed = s.dirs[*d].passed.max(r.end);
            let ready = &mut self.dirs[*d].ready;
            if ready.front().is_some_and(|f| f.header.numbers().end <= r.end) {
                ready.pop_front();
            }
        }
        let mut has_moved_on = false;
        for (d, view) in views.iter().enumerate() {
            let Some(view) = view else { continue };
            let r = &mut self.dirs[d];
            let next =
                r.ready.front().map(|f| Position { seq: f.seq, offset: f.header.offset }).unwrap_or(r.next);
            has_moved_on |= next.seq != s.dirs[d].cursor.seq;
            r.cursor = next;
            let in_memory = s.first_in_memory();
            let dir = &mut s.dirs[d];
            dir.cursor = next;
            dir.behind = match r.ready.front() {
                Some(f) => in_memory.is_none_or(|first| first > f.header.first),
                None => {
                    next < view.applied && place_in(dir, next, view.passed).is_some()
                        || dir.applied != view.applied
                }
            };
        }
        s.handed_out(runs);
        drop(s);
        if has_moved_on {
            engine.nudge();
        }
    }

    /// Finds out which events are missing, as all that comes next is known.
    fn tell_lost(&mut self, engine: &Engine, behind: &[usize], limit: u64) {
        let next = behind.iter().filter_map(|d| self.dirs[*d].ready.front()).map(|f| f.header.first).min();
        let bound = next.map_or(limit, |n| n.min(limit));
        self.has_gap = bound < limit;
        self.lose_below(engine, bound);
    }

    /// All that is on disk has been read: what is said to be there and is not, is lost.
    pub fn settle(&mut self, engine: &Engine) {
        let limit = {
            let s = lock(&engine.state);
            (!s.is_behind() && s.dirs.iter().all(|d| d.unreadable.is_none())).then(|| s.read_limit())
        };
        if let Some(limit) = limit {
            self.has_gap = false;
            self.lose_below(engine, limit);
        }
    }

    fn lose_below(&self, engine: &Engine, bound: u64) {
        let lost = lock(&engine.state).lost_below(bound);
        if !lost.is_empty() {
            engine.counters.damaged.add(lost.count() as usize);
            log::error!(
                "channel {}: {} events are lost to damage: numbers {lost}",
                engine.name,
                lost.count()
            );
            engine.wake_head();
        }
    }
}

fn open(engine: &Engine, d: usize, seq: u64) -> io::Result<OpenSegment> {
    let dir = &engine.dirs[d].dir;
    let file = engine.fs.open(&dir.path.join(segment_name(seq)), false)?;
    let header = SegmentHeader::read(file.as_ref())?.map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} has no header", segment_name(seq)))
    })?;
    let key = match header.is_encrypted() {
        true => Some(dir.keys.for_segment(&header.key, &header.identity).ok_or_else(|| {
            io::Error::other(format!("{} is encrypted with a key that is not configured", segment_name(seq)))
        })?),
        false => None,
    };
    Ok(OpenSegment { seq, file, identity: header.short_identity(), key })
}

/// Where to read on from `at`, and where that segment ends; `None`: nothing is left.
fn place(engine: &Engine, d: usize, at: Position, view: &View) -> Option<(Position, u64, u64)> {
    let s = lock(&engine.state);
    let live = |r: (u64, u64)| r.1 > view.passed && s.live.overlaps(r.0.max(view.passed)..r.1);
    let dir = &s.dirs[d];
    for (seq, segment) in dir.segments.range(at.seq..) {
        let end = match segment.info.end {
            Some(end) => end,
            None if *seq == view.applied.seq => view.applied.offset,
            None => continue,
        };
        let offset = if *seq == at.seq { at.offset.max(BEGIN) } else { BEGIN };
        // What has come after the view may be live, too: those ranges are not known yet.
        if offset < end && (live(segment.info.puts) || *seq >= view.applied.seq) {
            return Some((Position { seq: *seq, offset }, end, s.next_number));
        }
        if *seq >= view.applied.seq {
            return None;
        }
    }
    None
}

/// Whether something may be left to read in a directory from `at` on.
fn place_in(dir: &DirState, at: Position, passed: u64) -> Option<()> {
    let is_left = |(seq, s): (&u64, &Segment)| {
        let end = s.info.end.unwrap_or(if *seq == dir.applied.seq { dir.applied.offset } else { 0 });
        (*seq != at.seq || at.offset < end) && s.info.puts.1 > passed
    };
    dir.segments.range(at.seq..).any(is_left).then_some(())
}
