//! What the channel holds, in memory: which numbers are live, what of them is at hand, and where reading goes on.
//!
//! Nothing here grows with the backlog: the live numbers are intervals, of each segment only ranges are known, and of
//! the events themselves only those written lately are kept, within [`RECENT`] bytes. Takes go through the numbers in
//! order: as long as no data directory is behind, from `recent`; else from disk (`reader`) until that has caught up.
//!
//! One mutex holds all of it. It is taken inside a writer's lock or the reader's, never the other way round, and never
//! held over I/O or a wake-up call.

use super::checkpoint::{widen, Checkpoint, DirSnapshot, Position, SegmentInfo};
use super::intervals::Intervals;
use super::payload::Encoded;
use super::segment::Id;
use crate::channel::{Room, Run, Ticket, TicketState, Waiters, Wake};
use crate::event::Events;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of events written lately that stay in memory.
pub const RECENT: usize = 16 << 20;
/// Bytes of frames on their way to the disk, above which the channel counts as full.
pub const PENDING: usize = 16 << 20;

/// A transaction on its way to the disk.
pub struct Unit {
    pub frames: Vec<Encoded>,
    pub first: u64,
    pub count: u64,
    /// Bytes as encoded.
    pub bytes: usize,
    pub time: u64,
    pub ticket: Ticket,
    pub wake: Arc<dyn Wake>,
}

/// Whoever waits hears of it in any case.
impl Drop for Unit {
    fn drop(&mut self) {
        if self.ticket.state() == TicketState::Open {
            self.ticket.finish(Err("a thread of the channel panicked".to_owned()));
            self.wake.wake();
        }
    }
}

/// Where a frame of a unit was written.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub first: u64,
    pub count: u64,
    pub seq: u64,
    pub end: u64,
}

/// Events that are in memory and that nobody has taken yet.
struct Recent {
    first: u64,
    events: Events,
    /// Bytes as encoded, and bytes they keep alive.
    bytes: usize,
    charge: usize,
    time: u64,
    dir: usize,
    /// Where its frame ends, when it is written.
    end: Option<Position>,
}

/// A transaction that has a number and is not known to be stored yet.
struct Unsynced {
    first: u64,
    end: u64,
    /// Stored, or failed.
    outcome: Option<bool>,
}

/// A segment that is there.
#[derive(Clone, Default, Debug)]
pub struct Segment {
    pub info: SegmentInfo,
    /// Bytes of its file.
    pub size: u64,
    /// The first checkpoint that was taken when nothing in it was live.
    pub dead_at: Option<u64>,
    /// Its file has more in it than counts: that is to be cut off.
    pub is_cut: bool,
}

/// One data directory.
#[derive(Default)]
pub struct DirState {
    pub id: Id,
    pub queue: VecDeque<Unit>,
    /// Whether the log thread waits for work.
    pub is_idle: bool,
    /// Whether it has taken notice that something is to be synced.
    pub has_deadline: bool,
    /// Since when something is written that is not synced.
    pub unsynced_since: Option<Instant>,
    /// Somebody wants everything written so far synced now.
    pub wants_sync: bool,
    pub segments: BTreeMap<u64, Segment>,
    /// Up to where its frames are reflected here, and up to where they are durable.
    pub applied: Position,
    pub synced: Position,
    /// Where reading goes on, and the number below which nothing of this directory is left to be handed out.
    pub cursor: Position,
    pub passed: u64,
    /// Whether there may be something between the cursor and what is in memory.
    pub behind: bool,
    /// Why nothing can be written.
    pub down: Option<String>,
    /// Why nothing can be put: the disk is full.
    pub full: Option<String>,
    /// Why it cannot be read at present: others go on meanwhile.
    pub unreadable: Option<String>,
}

pub struct State {
    pub is_open: bool,
    pub next_number: u64,
    /// All lower numbers are stored or failed.
    pub visible_to: u64,
    /// Stored and not taken for good.
    pub live: Intervals,
    /// Reserved, on its way, stored, being taken; bytes as encoded.
    pub held: Room,
    /// Bytes of what is live, as encoded.
    pub live_bytes: u64,
    pub pending_bytes: usize,
    unsynced: VecDeque<Unsynced>,
    recent: VecDeque<Recent>,
    recent_charge: usize,
    /// Rolled back runs by the number of their first event.
    returned: BTreeMap<u64, Run>,
    /// Numbers that takers hold.
    out: Intervals,
    /// Events that can be taken.
    pub available: u64,
    pub dirs: Vec<DirState>,
    pub waiters: Waiters,
    pub sleeping: usize,
    next_dir: usize,
}

impl State {
    pub fn new(dirs: Vec<DirState>, live: Intervals, next_number: u64, bytes: u64) -> State {
        let events = live.count();
        State {
            is_open: true,
            next_number,
            visible_to: next_number,
            held: Room { events: events as usize, bytes: bytes as usize },
            live,
            live_bytes: bytes,
            pending_bytes: 0,
            unsynced: VecDeque::new(),
            recent: VecDeque::new(),
            recent_charge: 0,
            returned: BTreeMap::new(),
            out: Intervals::default(),
            available: events,
            dirs,
            waiters: Waiters::default(),
            sleeping: 0,
            next_dir: 0,
        }
    }

    /// A directory to write to: in turn, those that work.
    pub fn choose_dir(&mut self) -> Option<usize> {
        let n = self.dirs.len();
        let found = (0..n).map(|i| (self.next_dir + i) % n).find(|d| self.dirs[*d].down.is_none())?;
        self.next_dir = found + 1;
        Some(found)
    }

    /// The directory for the next put: one with room, if there is one.
    pub fn choose_for_put(&mut self) -> Option<usize> {
        let n = self.dirs.len();
        let has_room = |d: &usize| self.dirs[*d].down.is_none() && self.dirs[*d].full.is_none();
        match (0..n).map(|i| (self.next_dir + i) % n).find(has_room) {
            Some(found) => {
                self.next_dir = found + 1;
                Some(found)
            }
            None => self.choose_dir(),
        }
    }

    /// Why nothing can be put at present, if so.
    pub fn full(&self) -> Option<&str> {
        let all = self.dirs.iter().all(|d| d.full.is_some() || d.down.is_some());
        self.dirs.iter().find_map(|d| d.full.as_deref()).filter(|_| all)
    }

    /// The lowest number in memory that was not handed out.
    pub fn first_in_memory(&self) -> Option<u64> {
        self.recent.front().map(|r| r.first)
    }

    /// Why no directory can be written to, if none can.
    pub fn down(&self) -> Option<&str> {
        let all = self.dirs.iter().all(|d| d.down.is_some());
        self.dirs.iter().find_map(|d| d.down.as_deref()).filter(|_| all)
    }

    /// Numbers a transaction, from `unit.first` at least, and hands it to a directory's log thread.
    pub fn enqueue(&mut self, dir: usize, mut unit: Unit) {
        unit.first = unit.first.max(self.next_number);
        self.next_number = unit.first + unit.count;
        self.unsynced.push_back(Unsynced { first: unit.first, end: self.next_number, outcome: None });
        let mut first = unit.first;
        for f in &unit.frames {
            let charge = f.events.charge();
            let events = f.events.clone();
            let n = events.len() as u64;
            self.recent_charge += charge;
            let (bytes, time) = (f.bytes.len(), unit.time);
            self.recent.push_back(Recent { first, events, bytes, charge, time, dir, end: None });
            first += n;
        }
        self.evict();
        self.pending_bytes += unit.bytes;
        let d = &mut self.dirs[dir];
        d.queue.push_back(unit);
    }

    /// Lets go of the oldest events in memory that are on disk, where there are too many.
    fn evict(&mut self) {
        while self.recent_charge > RECENT {
            let Some(r) = self.recent.front() else { return };
            if r.end.is_none() {
                return;
            }
            self.dirs[r.dir].behind = true;
            self.recent_charge -= r.charge;
            self.recent.pop_front();
        }
    }

    /// A transaction is stored. `places`: those of its frames.
    pub fn stored(&mut self, dir: usize, unit: &Unit, places: &[Placed]) {
        for p in places {
            if let Some(s) = self.dirs[dir].segments.get_mut(&p.seq) {
                if s.info.puts.0 == s.info.puts.1 {
                    s.info.oldest = unit.time;
                }
                widen(&mut s.info.puts, p.first, p.first + p.count);
            }
            if let Ok(i) = self.recent.binary_search_by_key(&p.first, |r| r.first) {
                self.recent[i].end = Some(Position { seq: p.seq, offset: p.end });
            }
        }
        self.live.insert(unit.first..unit.first + unit.count);
        self.live_bytes += unit.bytes as u64;
        self.settle(unit, true);
        self.evict();
    }

    /// A transaction is not stored, and never will be. Its numbers are not used again.
    pub fn failed(&mut self, unit: &Unit) {
        let gone = unit.first..unit.first + unit.count;
        if let Ok(from) = self.recent.binary_search_by_key(&unit.first, |r| r.first) {
            let n = self.recent.range(from..).take_while(|r| gone.contains(&r.first)).count();
            self.recent_charge -= self.recent.range(from..from + n).map(|r| r.charge).sum::<usize>();
            self.recent.drain(from..from + n);
        }
        self.held.events -= unit.count as usize;
        self.held.bytes = self.held.bytes.saturating_sub(unit.bytes);
        self.settle(unit, false);
    }

    fn settle(&mut self, unit: &Unit, outcome: bool) {
        self.pending_bytes -= unit.bytes;
        if let Ok(i) = self.unsynced.binary_search_by_key(&unit.first, |u| u.first) {
            self.unsynced[i].outcome = Some(outcome);
        }
        while let Some(Unsynced { first, end, outcome: Some(stored) }) = self.unsynced.front() {
            self.visible_to = *end;
            self.available += if *stored { end - first } else { 0 };
            self.unsynced.pop_front();
        }
        if self.unsynced.is_empty() {
            self.visible_to = self.next_number;
        }
    }

    /// Whether some directory has to be read before what is in memory may be handed out.
    pub fn is_behind(&self) -> bool {
        self.dirs.iter().any(|d| d.behind && d.unreadable.is_none())
    }

    /// The number below which what is left to be handed out is on disk only.
    pub fn read_limit(&self) -> u64 {
        self.recent.front().map_or(self.visible_to, |r| r.first.min(self.visible_to))
    }

    /// Moves up to `max` events out, returned ones or else those in memory.
    pub fn cut(&mut self, max: usize, max_bytes: usize) -> Vec<Run> {
        let mut out = Vec::new();
        let (mut left, mut bytes) = (max, 0);
        while left > 0 && bytes < max_bytes {
            let Some((_, mut run)) = self.returned.pop_first() else { break };
            if run.events.len() > left {
                let front = run.split_to(left);
                self.returned.insert(run.first, run);
                run = front;
            }
            left -= run.events.len();
            bytes += run.bytes;
            out.push(run);
        }
        // What was returned is lower than all that was not handed out yet.
        if out.is_empty() && !self.is_behind() {
            while left > 0 && bytes < max_bytes {
                let Some(run) = self.cut_recent(left) else { break };
                left -= run.events.len();
                bytes += run.bytes;
                out.push(run);
            }
        }
        self.handed_out(&out);
        out
    }

    /// Takers have these now.
    pub fn handed_out(&mut self, runs: &[Run]) {
        for r in runs {
            let n = r.events.len() as u64;
            self.available = self.available.saturating_sub(n);
            self.out.insert(r.first..r.first + n);
        }
    }

    fn cut_recent(&mut self, left: usize) -> Option<Run> {
        let visible_to = self.visible_to;
        let r = self.recent.front_mut().filter(|r| r.first < visible_to)?;
        let end = r.end?;
        let n = r.events.len();
        let mut run =
            Run { first: r.first, events: r.events.clone(), bytes: r.bytes, put_at: r.time, durable: true };
        let d = &mut self.dirs[r.dir];
        if n > left {
            run = run.split_to(left);
            r.first += left as u64;
            r.events.split_to(left);
            r.bytes -= run.bytes;
            d.passed = r.first;
        } else {
            d.passed = r.first + n as u64;
            d.cursor = end;
            self.recent_charge -= r.charge;
            self.recent.pop_front();
        }
        Some(run)
    }

    /// Events are back.
    pub fn give_back(&mut self, runs: Vec<Run>) {
        for r in runs {
            let n = r.events.len() as u64;
            self.available += n;
            self.out.remove(r.first..r.first + n);
            self.returned.insert(r.first, r);
        }
    }

    /// A take is written in segment `seq` of a directory: its events are gone.
    pub fn taken(&mut self, dir: usize, seq: u64, intervals: &[(u64, u32)], bytes: usize) {
        let mut events = 0;
        for (first, count) in intervals {
            let to = first + u64::from(*count);
            events += self.live.remove(*first..to);
            self.out.remove(*first..to);
            if let Some(s) = self.dirs[dir].segments.get_mut(&seq) {
                widen(&mut s.info.takes, *first, to);
            }
        }
        self.dirs[dir].unsynced_since.get_or_insert_with(Instant::now);
        self.forget(events, bytes);
    }

    /// Takes that are known already are written once more in segment `seq`.
    pub fn takes_moved(&mut self, dir: usize, seq: u64, intervals: &[(u64, u32)]) {
        if let Some(s) = self.dirs[dir].segments.get_mut(&seq) {
            for (first, count) in intervals {
                widen(&mut s.info.takes, *first, first + u64::from(*count));
            }
        }
    }

    /// Whether something live below `n` is in nobody's hands.
    pub fn waits_below(&self, n: u64) -> bool {
        let mut waiting = self.live.within(0..n);
        waiting.remove_all(&self.out);
        !waiting.is_empty()
    }

    /// All that is live below `n` has been handed out or is in memory, or else it is lost: takes what is lost out, and
    /// tells which numbers that are.
    pub fn lost_below(&mut self, n: u64) -> Intervals {
        let mut lost = self.live.within(0..n);
        lost.remove_all(&self.out);
        for r in self.returned.values() {
            lost.remove(r.first..r.first + r.events.len() as u64);
        }
        self.live.remove_all(&lost);
        self.available = self.available.saturating_sub(lost.count());
        self.forget(lost.count(), 0);
        lost
    }

    fn forget(&mut self, events: u64, bytes: usize) {
        self.held.events -= events as usize;
        // Shares of split runs are rounded, and of what a crash left of them little is known.
        self.held.bytes = self.held.bytes.saturating_sub(bytes);
        self.live_bytes = self.live_bytes.saturating_sub(bytes as u64);
        if self.live.is_empty() {
            self.live_bytes = 0;
        }
        if self.held.events == 0 {
            self.held.bytes = 0;
        }
    }

    /// When the oldest event was put that is not taken for good, as far as is known without reading.
    pub fn oldest(&self) -> Option<u64> {
        let returned = self.returned.values().next().map(|r| r.put_at);
        let recent = self.recent.front().map(|r| r.time);
        let segments = self.dirs.iter().filter(|d| d.behind).filter_map(|d| {
            let ahead = d.segments.range(d.cursor.seq..);
            ahead
                .map(|(_, s)| s)
                .find(|s| self.live.overlaps(s.info.puts.0..s.info.puts.1))
                .map(|s| s.info.oldest)
        });
        segments.chain(returned).chain(recent).min()
    }

    /// Marks the segments in which nothing is live any more, as of checkpoint `seq`, which is being taken.
    pub fn mark_dead(&mut self, seq: u64) {
        for d in &mut self.dirs {
            let applied = d.applied.seq;
            for (_, s) in d.segments.range_mut(..applied).filter(|(_, s)| s.dead_at.is_none()) {
                if s.info.end.is_some() && !self.live.overlaps(s.info.puts.0..s.info.puts.1) {
                    s.dead_at = Some(seq);
                }
            }
        }
    }

    /// Bytes of segments in which nothing is live.
    pub fn drained_bytes(&self) -> u64 {
        let dead = |d: &DirState| {
            let sealed = d.segments.range(..d.applied.seq).map(|(_, s)| s);
            sealed.filter(|s| !self.live.overlaps(s.info.puts.0..s.info.puts.1)).map(|s| s.size).sum::<u64>()
        };
        self.dirs.iter().map(dead).sum()
    }

    pub fn snapshot(&self, seq: u64, time: u64, channel: Id) -> Checkpoint {
        let dirs = self.dirs.iter().map(|d| DirSnapshot {
            id: d.id,
            position: d.applied,
            segments: d.segments.iter().map(|(n, s)| (*n, s.info.clone())).collect(),
        });
        let next_number = self.next_number;
        let bytes = self.live_bytes;
        Checkpoint { seq, time, channel, next_number, bytes, live: self.live.clone(), dirs: dirs.collect() }
    }
}
