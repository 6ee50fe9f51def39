//! The file channel: Flume's `file`. What it has acknowledged survives anything but the disk's death.
//!
//! # Files
//!
//! Everything lives in a directory `flumed` inside each of Flume's directories, so that both can be looked at side by
//! side and neither touches the other's. All numbers are little-endian. CRC-32 is that of IEEE 802.3 (zlib's).
//!
//! ```text
//! <dataDir>/flumed/       channel        which channel and directory this is             (identity)
//!                         segment-N      a header of 128 bytes, then frames              (segment)
//!                         spare-N        a file without content, to be written over
//!                         damaged-N-O    copy of damaged bytes of segment N from O on    (salvage)
//!                         torn-N-O       the same of a torn tail that 'repair' cut off   (tool)
//!                         import         what an import of Flume's events came to        (tool)
//!                         lock           held with flock                                 (lock)
//! <checkpointDir>/flumed/ checkpoint-N   three files that take turns                     (checkpoint)
//! ```
//!
//! The modules in brackets draw the bytes. A reader needs: `segment` (header), `frame` (frame header, payloads of takes
//! and starts), `payload` (events of a put), `crypt` (encrypted segments), and these rules.
//!
//! - Events are numbered as they are put; a number is never used twice. A put frame says which numbers its events have, a
//!   take frame which numbers are delivered for good. Live is what was put less what was taken. That is all there is to
//!   replay: neither the order of directories nor that of takes matters.
//! - A transaction is one put frame, or a chain of them (flag 1 on all but the last, flag 2 on all but the first) that
//!   stand behind each other, in a segment or over the end of one. A chain without its last frame is none.
//! - Frames stand without gaps from byte 128 of a segment on, at multiples of 8. The first is a start frame, which says
//!   where the segment before ended. Above that nothing is to be read, whatever stands there: it was reported as failed.
//! - A place is a frame when identity, offset and both checksums are right. Files are used again: what stands behind the
//!   last frame is of an earlier use, and its identity tells.
//!
//! # What a crash leaves
//!
//! A put is acknowledged when a sync that began after its frame was written has returned; before that nobody can take
//! it. A take's frame is written when its commit returns (safe from a kill) and synced within `takeSyncInterval` (a power
//! cut repeats what was delivered in that time). Each frame carries the mark below which its segment was synced when it
//! was written. So, where a segment has a successor its end is known, and all of it is synced: a bad frame there is
//! damage. In the last segment a bad frame below the highest mark of any frame behind it (or of the checkpoint) is
//! damage; else it was never synced, hence never acknowledged: the log ends there, and is continued in a new segment. A
//! flip of bits in the frames of the last group cannot be told from that.
//!
//! Names: a segment gets its name when its header is synced, its directory is synced before anything in it counts, and a
//! file is written over only after the directory has been synced that no longer names it a segment. A checkpoint covers
//! what was synced when it was written, and counts when whole. Recovery syncs what it found before it shows it.
//!
//! After a failed sync the segment ends at its mark, what stood above has failed, and a new one is begun; takes that were
//! only written are written there again. A full disk refuses puts only: takes have a reserve of written files, and
//! freeing needs no room.
//!
//! # Threads
//!
//! `sync:<channel>` for each data directory (`log_thread`), `upkeep:<channel>` (`upkeep`), and while it opens
//! `open:<channel>`. Sources and sinks call [`FileChannel`] from theirs. Locks: see `engine`.

mod beside;
mod checkpoint;
mod counters;
mod crypt;
mod dir;
mod engine;
mod frame;
#[cfg(not(test))]
mod fs;
#[cfg(test)]
pub(super) mod fs;
mod identity;
mod intervals;
mod keys;
mod lock;
mod log_thread;
mod payload;
mod reader;
mod recovery;
mod salvage;
mod scan;
mod segment;
mod settings;
mod state;
pub mod tool;
mod upkeep;
mod window;
mod writer;

pub(super) use fs::{Fs, RealFs};
pub use keys::SPEC;
pub(super) use keys::{check_log, LOG};
pub(super) use settings::{Fixed, Settings};

use super::{Channel, Limits, PutError, Reservation, Room, Run, TakeError, Ticket, Waiter, Wake};
use crate::config::Context;
use crate::counters::{ChannelCounters, Measure};
use crate::event::Events;
use counters::FileCounters;
use engine::Engine;
use recovery::Recovery;
use settings::Live;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lock::lock;

/// How long [`open`](FileChannel::open) waits for a recovery before it says that it goes on.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a close waits for a thread. What hangs then is left behind, with the locks.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct FileChannel {
    name: String,
    fs: Arc<dyn Fs>,
    fixed: Fixed,
    live: Arc<Live>,
    counters: Arc<ChannelCounters>,
    file_counters: Arc<FileCounters>,
    /// It is opened to take over what Flume left: that is no obstacle then.
    is_for_import: AtomicBool,
    phase: Mutex<Phase>,
    /// The phase has changed.
    changed: Condvar,
}

enum Phase {
    Closed,
    /// The outcome, when there is one, and what ends it early.
    Opening(Arc<Mutex<Option<Result<Running, String>>>>, Arc<AtomicBool>, JoinHandle<()>),
    Open(Running),
}

/// An open channel and its threads.
struct Running {
    engine: Arc<Engine>,
    upkeep: JoinHandle<()>,
    log_threads: Vec<JoinHandle<()>>,
}

impl FileChannel {
    pub(crate) fn new(
        name: &str,
        fixed: Fixed,
        settings: Settings,
        counters: Arc<ChannelCounters>,
        fs: Arc<dyn Fs>,
    ) -> Arc<FileChannel> {
        let live = Arc::new(Live::new(settings));
        let file_counters = Arc::new(FileCounters::default());
        let c = Arc::new(FileChannel {
            name: name.to_owned(),
            fs,
            fixed,
            live,
            counters,
            file_counters: file_counters.clone(),
            is_for_import: AtomicBool::new(false),
            phase: Mutex::new(Phase::Closed),
            changed: Condvar::new(),
        });
        let weak = Arc::downgrade(&c);
        c.counters.set_measure(move || weak.upgrade().map(|c| c.measure()).unwrap_or_default());
        c.counters.set_more(move || file_counters.values());
        let weak = Arc::downgrade(&c);
        c.counters.set_trouble(move || weak.upgrade().and_then(|c| c.trouble()));
        c
    }

    /// Takes over settings that may change while it is in use; the others make it another channel: see `Key::fixed`.
    pub(super) fn set(&self, settings: Settings) {
        self.live.set(settings);
        if let Some(engine) = self.engine() {
            engine.wake_head();
            engine.nudge();
        }
    }

    /// Has it take more than its capacity: what would be lost otherwise.
    pub(super) fn lift_capacity(&self) {
        let mut s = self.live.get();
        (s.limits.capacity, s.limits.byte_capacity) = (usize::MAX, usize::MAX);
        self.set(s);
    }

    /// Events that can be taken, and the number that is above all of theirs.
    pub(super) fn takeable(&self) -> (u64, u64) {
        self.engine().map_or((0, 0), |e| {
            let s = lock(&e.state);
            (s.available, s.next_number)
        })
    }

    /// Whether events with lower numbers are still to be handed out, readable at present or not.
    pub(super) fn waits_below(&self, number: u64) -> bool {
        self.engine().is_some_and(|e| lock(&e.state).waits_below(number))
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        match &*lock(&self.phase) {
            Phase::Open(running) => Some(running.engine.clone()),
            _ => None,
        }
    }

    /// The engine, for a put.
    fn to_put(&self) -> Result<Arc<Engine>, PutError> {
        self.engine().ok_or_else(|| PutError::Down(format!("channel {} is not open", self.name)))
    }

    /// What holds puts up, for people.
    fn trouble(&self) -> Option<String> {
        let engine = self.engine()?;
        let s = lock(&engine.state);
        match s.is_open {
            true => s.full().map(|why| format!("the disk is full: {why}")),
            false => Some("one of its threads panicked".to_owned()),
        }
    }

    fn measure(&self) -> Measure {
        let limits = self.live.get().limits;
        let mut m =
            Measure { capacity: limits.capacity, byte_capacity: limits.byte_capacity, ..Measure::default() };
        if let Some(engine) = self.engine() {
            let s = lock(&engine.state);
            // As Flume: what is being delivered is still in it.
            m.size = s.live.count() as usize;
            m.bytes = s.held.bytes;
            m.oldest_ms = s.oldest().map_or(0, |t| crate::clock::now_ms().saturating_sub(t));
        }
        m
    }

    /// Starts a recovery on a thread of its own.
    fn begin_opening(&self) -> Result<Phase, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let recovery = Recovery {
            name: self.name.clone(),
            fs: self.fs.clone(),
            fixed: self.fixed.clone(),
            live: self.live.clone(),
            counters: self.file_counters.clone(),
            channel_counters: self.counters.clone(),
            minds_flume: !self.is_for_import.load(SeqCst),
            stop: stop.clone(),
        };
        let outcome = Arc::new(Mutex::new(None));
        let (its, name) = (outcome.clone(), self.name.clone());
        let thread = spawn(format!("open:{}", self.name), move || {
            let run = || recovery.run().and_then(|engine| start(engine, recovery.counters.clone()));
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            *lock(&its) = Some(done.unwrap_or_else(|_| Err("recovery panicked".to_owned())));
            // Who had it stopped may have gone without waiting.
            if recovery.stop.load(SeqCst) {
                let unwanted = lock(&its).take();
                if let Some(Ok(running)) = unwanted {
                    running.close(&name);
                }
            }
        })?;
        Ok(Phase::Opening(outcome, stop, thread))
    }
}

fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    std::thread::Builder::new().name(name).spawn(f).map_err(|e| format!("cannot have a thread: {e}"))
}

/// Starts an engine's threads.
fn start(engine: Arc<Engine>, counters: Arc<FileCounters>) -> Result<Running, String> {
    let mut log_threads = Vec::new();
    let ended = |why: String| {
        // Those that were begun are not to live on.
        engine.stops.store(true, SeqCst);
        engine.dirs.iter().for_each(|d| d.work.notify_all());
        why
    };
    for d in 0..engine.dirs.len() {
        let its = engine.clone();
        let thread = spawn(format!("sync:{}", engine.name), move || guard(&its, || log_thread::run(&its, d)));
        log_threads.push(thread.map_err(ended)?);
    }
    let its = engine.clone();
    let upkeep =
        spawn(format!("upkeep:{}", engine.name), move || guard(&its, || upkeep::run(&its))).map_err(ended)?;
    counters.is_open.set(1);
    Ok(Running { engine, upkeep, log_threads })
}

/// A thread that panics leaves what it had in hand half done: nothing is promised any more until the next start.
fn guard(engine: &Engine, run: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
        log::error!(
            "channel {}: one of its threads panicked; it is closed until the next start",
            engine.name
        );
        engine.counters.is_unhealthy.set(1);
        let waiting = {
            let mut s = lock(&engine.state);
            s.is_open = false;
            s.dirs.iter_mut().for_each(|d| d.queue.clear());
            s.waiters.everybody()
        };
        waiting.iter().for_each(|w| w.wake());
        engine.interrupt_takers();
    }
}

/// Waits for a thread's end for a while.
fn join(thread: &JoinHandle<()>, until: Instant) -> bool {
    while !thread.is_finished() && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    thread.is_finished()
}

impl Running {
    /// Stores what is queued, takes a last checkpoint, lets go of the directories.
    fn close(self, name: &str) {
        let engine = &self.engine;
        let waiting = {
            let mut s = lock(&engine.state);
            s.is_open = false;
            s.waiters.everybody()
        };
        waiting.iter().for_each(|w| w.wake());
        engine.stops.store(true, SeqCst);
        engine.interrupt_takers();
        engine.upkeep.notify_all();
        engine.dirs.iter().for_each(|d| d.work.notify_all());
        let until = Instant::now() + PATIENCE;
        let mut all = self.log_threads.iter().chain([&self.upkeep]);
        if !all.all(|t| join(t, until)) {
            log::error!("channel {name}: its disk does not answer; what is not synced is left to recovery");
            return;
        }
        if engine.live.get().checkpoint_on_close {
            upkeep::close(engine);
        }
        lock(&engine.locks).clear();
    }
}

impl Channel for FileChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.live.get().limits
    }

    fn adapt(&self, settings: &Context, _: usize) -> bool {
        self.set(Settings::of(settings, keys::limits(settings)));
        true
    }

    fn counters(&self) -> &Arc<ChannelCounters> {
        &self.counters
    }

    fn open(&self) -> Result<bool, String> {
        let outcome = {
            let mut phase = lock(&self.phase);
            if let Phase::Closed = *phase {
                *phase = self.begin_opening()?;
            } else if let Phase::Opening(_, _, thread) = &*phase {
                if !thread.is_finished() {
                    return Ok(false);
                }
            }
            let Phase::Opening(outcome, ..) = &*phase else { return Ok(true) };
            outcome.clone()
        };
        // Not under the lock: sources and sinks ask for the phase.
        let until = Instant::now() + AT_ONCE;
        while lock(&outcome).is_none() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let mut phase = lock(&self.phase);
        let Phase::Opening(outcome, _, thread) = &*phase else { return Ok(false) };
        if lock(outcome).is_none() && !thread.is_finished() {
            return Ok(false);
        }
        let done = lock(outcome).take().unwrap_or_else(|| Err("recovery ended without a word".to_owned()));
        let result = match done {
            Ok(running) => {
                *phase = Phase::Open(running);
                Ok(true)
            }
            Err(why) => {
                self.file_counters.is_unhealthy.set(1);
                *phase = Phase::Closed;
                Err(why)
            }
        };
        drop(phase);
        self.changed.notify_all();
        result
    }

    fn close(&self) -> usize {
        let before = std::mem::replace(&mut *lock(&self.phase), Phase::Closed);
        let running = match before {
            Phase::Closed => None,
            Phase::Open(running) => Some(running),
            Phase::Opening(outcome, stop, thread) => {
                stop.store(true, SeqCst);
                join(&thread, Instant::now() + PATIENCE);
                let done = lock(&outcome).take();
                done.and_then(Result::ok)
            }
        };
        if let Some(running) = running {
            running.close(&self.name);
        }
        self.file_counters.is_open.set(0);
        self.changed.notify_all();
        // What was acknowledged is on disk.
        0
    }

    fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<Reservation, PutError> {
        self.to_put()?.reserve(room, waiter).map(|()| Reservation::of(room))
    }

    fn release(&self, reserved: Reservation) {
        if let Some(engine) = self.engine() {
            engine.release(reserved.room);
        }
    }

    fn append(
        &self,
        reserved: Reservation,
        events: Events,
        wake: &Arc<dyn Wake>,
    ) -> Result<Ticket, PutError> {
        self.to_put()?.append(reserved.room, reserved.place, events, wake)
    }

    fn enqueue(&self, waiter: &Waiter) {
        if let Some(engine) = self.engine() {
            engine.enqueue(waiter);
        }
    }

    fn leave(&self, waiter: &Waiter) {
        if let Some(engine) = self.engine() {
            engine.leave(waiter);
        }
    }

    fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError> {
        let mut phase = lock(&self.phase);
        loop {
            if let Phase::Open(running) = &*phase {
                let engine = running.engine.clone();
                drop(phase);
                return engine.take(max, until, stop);
            }
            let now = Instant::now();
            if stop.load(SeqCst) || now >= until {
                return Ok(Vec::new());
            }
            phase = self.changed.wait_timeout(phase, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError> {
        let engine = self.engine().ok_or_else(|| TakeError(format!("channel {} is closed", self.name)))?;
        engine.commit_take(runs)
    }

    fn rollback_take(&self, runs: Vec<Run>) {
        if let Some(engine) = self.engine() {
            engine.rollback_take(runs);
        }
    }

    fn interrupt_takers(&self) {
        // The lock makes sure that no taker is between its look at the flag and its wait.
        let engine = self.engine();
        self.changed.notify_all();
        if let Some(engine) = engine {
            engine.interrupt_takers();
        }
    }

    fn is_open(&self) -> bool {
        self.engine().is_some()
    }

    fn backlog(&self) -> usize {
        self.engine().map_or(0, |e| lock(&e.state).held.events)
    }
}

impl Drop for FileChannel {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
