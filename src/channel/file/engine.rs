//! An open channel: its directories, and what their log threads, sources, sinks and upkeep share.
//!
//! Made by recovery, ended by the channel's close. Sources reserve and append, sinks take, commit and roll back; see
//! `log_thread` for what becomes of a transaction in between. Lock order: reader, writer, pool, state. Only the first two
//! are held over I/O, and the pool's over the making of a segment.

use super::checkpoint::{Position, Store};
use super::counters::FileCounters;
use super::crypt::TAG;
use super::dir::Dir;
use super::fs::Fs;
use super::payload;
use super::reader::Reader;
use super::segment::Id;
use super::settings::Live;
use super::state::{State, Unit, PENDING};
use super::writer::{is_full as is_full_disk, Taken, Writer};
use crate::channel::{PutError, Room, Run, TakeError, Ticket, Waiter, Wake};
use crate::clock::now_ms;
use crate::counters::ChannelCounters;
use crate::event::Events;
use crate::lock::lock;
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A take holds about this many bytes at most, whatever its number of events.
const TAKE: usize = 16 << 20;
/// Buffers kept for frames, and the size from which one is worth keeping.
const BUFFERS: usize = 16;
const WORTH_KEEPING: usize = 16 << 10;
/// How long a take's commit waits for room when even the reserve is used up.
const FREEING: Duration = Duration::from_secs(10);

/// What belongs to one directory.
pub struct DirEnd {
    pub dir: Arc<Dir>,
    pub writer: Mutex<Writer>,
    /// The log thread waits here, with the state's lock.
    pub work: Condvar,
    /// Transactions queued, to be seen without the lock.
    pub queued: AtomicUsize,
}

pub struct Engine {
    pub name: String,
    pub channel: Id,
    pub fs: Arc<dyn Fs>,
    pub live: Arc<Live>,
    pub counters: Arc<FileCounters>,
    pub channel_counters: Arc<ChannelCounters>,
    pub state: Arc<Mutex<State>>,
    /// Takers wait here.
    pub filled: Condvar,
    /// The upkeep thread waits here, with the state's lock.
    pub upkeep: Condvar,
    pub is_nudged: AtomicBool,
    /// Bytes that may be written until free space has to be looked at again.
    pub space_budget: AtomicI64,
    pub dirs: Vec<DirEnd>,
    pub reader: Mutex<Reader>,
    pub checkpoints: Store,
    pub backup: Option<Store>,
    pub next_checkpoint: AtomicUsize,
    /// Bytes that recovery had to read.
    pub replayed: u64,
    encrypts: bool,
    /// Set once: log threads finish what is queued and end.
    pub stops: AtomicBool,
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Held as long as the channel is open.
    pub locks: Mutex<Vec<Box<dyn Any + Send + Sync>>>,
}

/// What recovery found, from which an engine is made.
pub struct Parts {
    pub name: String,
    pub channel: Id,
    pub fs: Arc<dyn Fs>,
    pub live: Arc<Live>,
    pub counters: Arc<FileCounters>,
    pub channel_counters: Arc<ChannelCounters>,
    pub state: State,
    /// Each directory, and where its log ends.
    pub dirs: Vec<(Dir, Position)>,
    pub checkpoints: Store,
    pub backup: Option<Store>,
    pub next_checkpoint: u64,
    pub replayed: u64,
    pub encrypts: bool,
    pub locks: Vec<Box<dyn Any + Send + Sync>>,
}

impl Engine {
    pub fn new(p: Parts) -> Arc<Engine> {
        let state = Arc::new(Mutex::new(p.state));
        let size = p.live.get().segment_size;
        let reader = Reader::new(p.dirs.len());
        let end = |(dir, before): (Dir, Position)| {
            let dir = Arc::new(dir);
            let writer = Writer::new(dir.clone(), p.fs.clone(), state.clone(), before, size);
            DirEnd { dir, writer: Mutex::new(writer), work: Condvar::new(), queued: AtomicUsize::new(0) }
        };
        let dirs = p.dirs.into_iter().map(end).collect();
        Arc::new(Engine {
            name: p.name,
            channel: p.channel,
            fs: p.fs,
            live: p.live,
            counters: p.counters,
            channel_counters: p.channel_counters,
            state,
            filled: Condvar::new(),
            upkeep: Condvar::new(),
            is_nudged: AtomicBool::new(false),
            space_budget: AtomicI64::new(0),
            dirs,
            reader: Mutex::new(reader),
            checkpoints: p.checkpoints,
            backup: p.backup,
            next_checkpoint: AtomicUsize::new(p.next_checkpoint as usize),
            replayed: p.replayed,
            encrypts: p.encrypts,
            stops: AtomicBool::new(false),
            buffers: Mutex::default(),
            locks: Mutex::new(p.locks),
        })
    }

    /// Has the upkeep thread look around.
    pub fn nudge(&self) {
        if !self.is_nudged.swap(true, SeqCst) {
            // The lock makes sure that it is not between its look at the flag and its wait.
            drop(lock(&self.state));
            self.upkeep.notify_one();
        }
    }

    pub fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<(), PutError> {
        let settings = self.live.get();
        let limits = settings.limits;
        let too_large = |what: String| Err(PutError::TooLarge(what));
        if room.events > limits.transaction_capacity {
            return too_large(format!(
                "a batch of {} events is above transactionCapacity {} of channel {}",
                room.events, limits.transaction_capacity, self.name
            ));
        }
        for (key, most) in
            [("byteCapacity", limits.byte_capacity), ("maxTransactionBytes", settings.max_transaction)]
        {
            if room.bytes > most {
                let (bytes, name) = (room.bytes, &self.name);
                return too_large(format!(
                    "a batch of {bytes} bytes is above {key} {most} of channel {name}"
                ));
            }
        }
        let next = {
            let mut s = lock(&self.state);
            if !s.is_open {
                return Err(PutError::Down(format!("channel {} is not open", self.name)));
            }
            if let Some(why) = s.down() {
                return Err(PutError::Down(format!("channel {}: {why}", self.name)));
            }
            let is_crowded = s.pending_bytes > 0 && s.pending_bytes + room.bytes > PENDING;
            let fits = |held: Room, more: Room| {
                held.events + more.events <= limits.capacity
                    && held.bytes.saturating_add(more.bytes) <= limits.byte_capacity
            };
            if s.full().is_some() || is_crowded || !s.waiters.admits(waiter) || !fits(s.held, room) {
                return Err(PutError::Full);
            }
            s.held.events += room.events;
            s.held.bytes += room.bytes;
            if let Some(w) = waiter {
                s.waiters.leave(w);
            }
            let has_more = fits(s.held, Room { events: 1, bytes: 1 });
            if has_more {
                s.waiters.head()
            } else {
                None
            }
        };
        if let Some(w) = next {
            w.wake();
        }
        Ok(())
    }

    pub fn release(&self, room: Room) {
        let next = {
            let mut s = lock(&self.state);
            s.held.events = s.held.events.saturating_sub(room.events);
            s.held.bytes = s.held.bytes.saturating_sub(room.bytes);
            s.waiters.head()
        };
        if let Some(w) = next {
            w.wake();
        }
    }

    pub fn enqueue(&self, waiter: &Waiter) {
        lock(&self.state).waiters.join(waiter);
    }

    pub fn leave(&self, waiter: &Waiter) {
        let next = {
            let mut s = lock(&self.state);
            s.waiters.leave(waiter);
            s.waiters.head()
        };
        if let Some(w) = next {
            w.wake();
        }
    }

    /// A buffer for a frame of this size.
    fn buffer(&self, size: usize) -> Vec<u8> {
        let kept = if size >= WORTH_KEEPING { lock(&self.buffers).pop() } else { None };
        let mut b = kept.unwrap_or_default();
        b.clear();
        b.reserve(size);
        b
    }

    /// Takes frames' buffers back for others.
    pub fn recycle(&self, units: &mut [Unit]) {
        let large = units.iter_mut().flat_map(|u| u.frames.drain(..)).map(|f| f.bytes);
        let large: Vec<Vec<u8>> =
            large.filter(|b| (WORTH_KEEPING..1 << 20).contains(&b.capacity())).collect();
        if !large.is_empty() {
            let mut kept = lock(&self.buffers);
            let room = BUFFERS.saturating_sub(kept.len());
            kept.extend(large.into_iter().take(room));
        }
    }

    /// `number`: the first event's, if that is not too low.
    pub fn append(
        &self,
        room: Room,
        number: u64,
        events: Events,
        wake: &Arc<dyn Wake>,
    ) -> Result<Ticket, PutError> {
        if events.is_empty() {
            self.release(room);
            return Ok(Ticket::done());
        }
        let count = events.len() as u64;
        let tail = if self.encrypts { TAG } else { 0 };
        let Some(frames) = payload::encode(events.compact(), tail, |size| self.buffer(size)) else {
            let name = &self.name;
            let what = format!("channel {name}: an event has more than 65535 headers, or is above 1 GiB");
            self.release(room);
            return Err(PutError::TooLarge(what));
        };
        let bytes = frames.iter().map(|f| f.bytes.len()).sum();
        let ticket = Ticket::open();
        let unit = Unit {
            frames,
            first: number,
            count,
            bytes,
            time: now_ms(),
            ticket: ticket.clone(),
            wake: wake.clone(),
        };
        let mut s = lock(&self.state);
        let dir = if s.is_open { s.choose_for_put() } else { None };
        let Some(dir) = dir else {
            let why = s.down().map_or_else(|| "is not open".to_owned(), str::to_owned);
            drop(s);
            self.release(room);
            return Err(PutError::Down(format!("channel {}: {why}", self.name)));
        };
        // What was set aside was a guess.
        s.held.bytes = s.held.bytes.saturating_sub(room.bytes) + bytes;
        s.enqueue(dir, unit);
        let end = &self.dirs[dir];
        end.queued.fetch_add(1, SeqCst);
        let is_idle = s.dirs[dir].is_idle;
        drop(s);
        if is_idle {
            end.work.notify_one();
        }
        Ok(ticket)
    }

    pub fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError> {
        loop {
            let mut s = lock(&self.state);
            while s.available == 0 {
                let now = Instant::now();
                if stop.load(SeqCst) || now >= until || !s.is_open {
                    return Ok(Vec::new());
                }
                s.sleeping += 1;
                s = self.filled.wait_timeout(s, until - now).unwrap_or_else(PoisonError::into_inner).0;
                s.sleeping -= 1;
            }
            if !s.is_open {
                return Ok(Vec::new());
            }
            let runs = s.cut(max, TAKE);
            if !runs.is_empty() {
                let wakes = s.available > 0 && s.sleeping > 0;
                drop(s);
                if wakes {
                    self.filled.notify_one();
                }
                return Ok(runs);
            }
            let why = s.dirs.iter().find_map(|d| d.unreadable.clone());
            let is_behind = s.is_behind();
            drop(s);
            if is_behind {
                let runs = lock(&self.reader).read(self, max, TAKE);
                if !runs.is_empty() {
                    return Ok(runs);
                }
            } else if let Some(why) = why {
                self.counters.take_error.one();
                return Err(TakeError(why));
            } else {
                lock(&self.reader).settle(self);
                if stop.load(SeqCst) || Instant::now() >= until {
                    return Ok(Vec::new());
                }
            }
        }
    }

    /// Has it written that these are delivered.
    pub fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError> {
        let mut taken = Taken::new();
        for r in runs {
            let n = r.events.len() as u32;
            match taken.last_mut() {
                Some((first, count)) if *first + u64::from(*count) == r.first => *count += n,
                _ => taken.push((r.first, n)),
            }
        }
        let bytes = runs.iter().map(|r| r.bytes).sum();
        let until = Instant::now() + FREEING;
        loop {
            let (mut failed, mut is_full) = (format!("channel {} is down", self.name), false);
            for _ in 0..self.dirs.len() {
                let Some(dir) = lock(&self.state).choose_dir() else { break };
                let written = lock(&self.dirs[dir].writer).take(&taken, bytes);
                match written {
                    Ok(()) => {
                        self.after_take(dir);
                        return Ok(());
                    }
                    Err(e) => {
                        failed = format!("{}: {e}", self.dirs[dir].dir.path.display());
                        is_full |= is_full_disk(&e);
                    }
                }
            }
            // What was delivered would be delivered again: rather wait for what upkeep frees.
            if !is_full || Instant::now() >= until || self.stops.load(SeqCst) {
                self.counters.take_error.one();
                return Err(TakeError(failed));
            }
            self.nudge();
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn after_take(&self, dir: usize) {
        let (next, is_unaware) = {
            let s = lock(&self.state);
            (s.waiters.head(), s.dirs[dir].is_idle && !s.dirs[dir].has_deadline)
        };
        if let Some(w) = next {
            w.wake();
        }
        if is_unaware {
            // It has something to sync before long.
            self.dirs[dir].work.notify_one();
        }
    }

    pub fn rollback_take(&self, runs: Vec<Run>) {
        lock(&self.state).give_back(runs);
        self.filled.notify_one();
    }

    pub fn interrupt_takers(&self) {
        // The lock makes sure that no taker is between its look at the flag and its wait.
        drop(lock(&self.state));
        self.filled.notify_all();
    }

    /// There may be room now.
    pub fn wake_head(&self) {
        let next = lock(&self.state).waiters.head();
        if let Some(w) = next {
            w.wake();
        }
    }
}
