//! The upkeep thread of a channel, `upkeep:<channel>`: checkpoints, freed segments, room, and what was down.
//!
//! It never stops traffic: the state is copied under its lock, everything else happens beside it. A segment is freed when
//! nothing in it is live, both kept checkpoints were taken after that, and no segment that stays has events that its
//! takes consume. Where the last would pin the disk it is waived: should all checkpoints be lost then, those events would
//! come again.

use super::checkpoint::{Checkpoint, Position, Store};
use super::engine::Engine;
use super::segment::segment_name;
use super::state::State;
use super::writer::is_full;
use crate::clock::now_ms;
use crate::lock::lock;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// More drained segments than this are worth a checkpoint: 256 MiB of them.
const DRAINED: u64 = 4;
/// How often free space is looked at, and how often while there is none.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_WHILE_FULL: Duration = Duration::from_millis(100);
/// However little is free: that much may be written until it is looked at again.
const LEAST_BUDGET: i64 = 1 << 20;
/// How often a directory that is down is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Spares go when nothing was put for so long.
const IDLE: Duration = Duration::from_secs(60);
/// How long a checkpoint waits for what it covers to be synced.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two log lines of one kind.
const QUIET: Duration = Duration::from_secs(60);

pub struct Upkeep {
    last_checkpoint: Instant,
    /// What was said in it; the same again is not worth a file.
    last: Option<(u64, u64, Vec<Position>)>,
    /// The sequence numbers of the two that are kept.
    kept: [u64; 2],
    next_look: Instant,
    next_retry: Instant,
    last_put: (u64, Instant),
    told_waived: Option<Instant>,
    told_failed: Option<Instant>,
    told_full: bool,
}

pub fn run(engine: &Engine) {
    let mut upkeep = Upkeep::new(engine.replayed == 0);
    while !engine.stops.load(SeqCst) {
        upkeep.tend(engine);
        upkeep.wait(engine);
    }
}

/// The last checkpoint, when the log threads have ended. What segments do not use of their files is given back.
pub fn close(engine: &Engine) {
    let shortened: Vec<(usize, u64, u64)> = {
        let s = lock(&engine.state);
        let last = |(d, dir): (usize, &super::state::DirState)| {
            let segment = dir.segments.get(&dir.applied.seq)?;
            let end = segment.info.end?;
            let is_live = s.live.overlaps(segment.info.puts.0..segment.info.puts.1);
            (is_live && end < segment.size).then_some((d, dir.applied.seq, end))
        };
        s.dirs.iter().enumerate().filter_map(last).collect()
    };
    for (d, seq, end) in shortened {
        let path = engine.dirs[d].dir.path.join(segment_name(seq));
        if let Err(e) = engine.fs.open(&path, true).and_then(|f| f.set_len(end)) {
            log::debug!("channel {}: {}: {e}", engine.name, path.display());
        }
    }
    Upkeep::new(true).checkpoint(engine);
}

impl Upkeep {
    /// `is_fresh`: nothing was replayed, so that there is no hurry to have a checkpoint.
    pub fn new(is_fresh: bool) -> Upkeep {
        let now = Instant::now();
        let long_ago = now.checked_sub(Duration::from_secs(7200)).unwrap_or(now);
        Upkeep {
            last_checkpoint: if is_fresh { now } else { long_ago },
            last: None,
            kept: [0; 2],
            next_look: now,
            next_retry: now,
            last_put: (0, now),
            told_waived: None,
            told_failed: None,
            told_full: false,
        }
    }

    fn wait(&self, engine: &Engine) {
        let interval = engine.live.get().checkpoint_interval;
        let mut s = lock(&engine.state);
        if !s.is_open || engine.is_nudged.swap(false, SeqCst) {
            return;
        }
        let is_troubled =
            s.dirs.iter().any(|d| d.down.is_some() || d.unreadable.is_some() || d.full.is_some());
        let is_busy = s.next_number != self.last_put.0 || self.last_put.1.elapsed() < IDLE;
        // An idle channel wakes nobody but for its checkpoint.
        let due = self.last_checkpoint + interval;
        let until = match (is_troubled, is_busy) {
            (true, _) => Instant::now() + LOOK_WHILE_FULL,
            (false, true) => due.min(Instant::now() + LOOK),
            (false, false) => due.max(Instant::now() + LOOK),
        };
        while !engine.is_nudged.load(SeqCst) && !engine.stops.load(SeqCst) {
            let now = Instant::now();
            if now >= until {
                break;
            }
            s = engine.upkeep.wait_timeout(s, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        engine.is_nudged.store(false, SeqCst);
    }

    pub fn tend(&mut self, engine: &Engine) {
        let now = Instant::now();
        cut(engine);
        self.prepare(engine);
        // What one of them finds drained, the second sets free.
        for _ in 0..2 {
            if self.is_checkpoint_due(engine, now) {
                self.checkpoint(engine);
            }
        }
        if now >= self.next_look || self.told_full || engine.space_budget.load(SeqCst) < 0 {
            self.look_at_space(engine);
            self.next_look = now + LOOK;
        }
        // The first time at once.
        if now >= self.next_retry && self.retry(engine) {
            self.next_retry = now + RETRY;
        }
        self.measure(engine);
    }

    /// Has the next segment ready before it is wanted.
    fn prepare(&mut self, engine: &Engine) {
        for end in &engine.dirs {
            let is_due = lock(&end.writer).is_half_full();
            if let (true, Err(e)) =
                (is_due, if is_due { end.dir.prepare(engine.fs.as_ref()) } else { Ok(()) })
            {
                // The writer will try itself, and say what becomes of it.
                log::debug!("channel {}: {}: no segment ahead: {e}", engine.name, end.dir.path.display());
            }
        }
        let next = lock(&engine.state).next_number;
        if next != self.last_put.0 {
            self.last_put = (next, Instant::now());
        } else if self.last_put.1.elapsed() >= IDLE {
            for end in &engine.dirs {
                if let Err(e) = end.dir.drop_spares(engine.fs.as_ref()) {
                    log::debug!("channel {}: {}: a spare stays: {e}", engine.name, end.dir.path.display());
                }
            }
        }
    }

    fn is_checkpoint_due(&self, engine: &Engine, now: Instant) -> bool {
        let s = lock(&engine.state);
        let drained = s.drained_bytes();
        let is_full = s.dirs.iter().any(|d| d.full.is_some());
        if drained > DRAINED * engine.live.get().segment_size || (is_full && drained > 0) {
            return true;
        }
        let is_old = now >= self.last_checkpoint + engine.live.get().checkpoint_interval;
        is_old && (drained > 0 || self.last.as_ref() != Some(&gist(&s)))
    }

    /// Takes and publishes a checkpoint, then frees what that sets free.
    pub fn checkpoint(&mut self, engine: &Engine) {
        self.last_checkpoint = Instant::now();
        let seq = engine.next_checkpoint.fetch_add(1, SeqCst) as u64;
        let (snapshot, gist) = {
            let mut s = lock(&engine.state);
            s.mark_dead(seq);
            (s.snapshot(seq, now_ms(), engine.channel), gist(&s))
        };
        let covered = wait_for_sync(engine, &snapshot);
        if let (Some(backup), true) = (&engine.backup, covered.is_ok()) {
            if let Err(e) = backup.write(engine.fs.as_ref(), &snapshot) {
                engine.counters.backup_error.one();
                self.failed(engine, backup, &e);
            }
        }
        match covered.and_then(|()| engine.checkpoints.write(engine.fs.as_ref(), &snapshot)) {
            Ok(()) => {
                self.last = Some(gist);
                self.kept = [self.kept[1], seq];
                engine.counters.checkpoints.one();
                engine.counters.last_checkpoint.set(snapshot.time as i64);
                self.free(engine);
            }
            Err(e) => {
                engine.counters.checkpoint_error.one();
                self.failed(engine, &engine.checkpoints, &e);
            }
        }
    }

    fn failed(&mut self, engine: &Engine, store: &Store, e: &io::Error) {
        if self.told_failed.is_none_or(|t| t.elapsed() > QUIET) {
            self.told_failed = Some(Instant::now());
            log::error!("channel {}: no checkpoint in {}: {e}", engine.name, store.dir().display());
        }
    }

    /// Frees segments that nobody needs any more.
    fn free(&mut self, engine: &Engine) {
        let (freed, waived) = {
            let mut s = lock(&engine.state);
            let is_full = s.dirs.iter().any(|d| d.full.is_some());
            let (free, pinned, bytes) = judge(&s, self.kept[0]);
            let waives = !pinned.is_empty() && (is_full || bytes > DRAINED * engine.live.get().segment_size);
            let mut freed = Vec::new();
            for (d, seq) in free.into_iter().chain(if waives { pinned } else { BTreeSet::new() }) {
                freed.extend(s.dirs[d].segments.remove(&seq).map(|segment| (d, seq, segment.size)));
            }
            (freed, waives)
        };
        if waived && self.told_waived.is_none_or(|t| t.elapsed() > QUIET) {
            self.told_waived = Some(Instant::now());
            log::info!(
                "channel {}: segments are freed that say what was taken of others that stay; if all checkpoints were lost now, those events would come again",
                engine.name
            );
        }
        lock(&engine.reader).let_go(&freed.iter().map(|(d, seq, _)| (*d, *seq)).collect());
        let size = engine.live.get().segment_size;
        let mut dirs = BTreeSet::new();
        for (d, seq, bytes) in freed {
            let dir = &engine.dirs[d].dir;
            if let Err(e) = dir.recycle(engine.fs.as_ref(), seq, bytes, size) {
                // It is found again at the next start, and nothing in it is live.
                log::warn!("channel {}: {}/{}: {e}", engine.name, dir.path.display(), segment_name(seq));
            }
            dirs.insert(d);
        }
        for d in dirs {
            let dir = &engine.dirs[d].dir;
            if let Err(e) = engine.fs.sync_dir(&dir.path) {
                log::warn!("channel {}: {}: {e}", engine.name, dir.path.display());
            }
        }
    }

    /// Sees whether there is room for puts, and sets the reserve aside again where it was used.
    fn look_at_space(&mut self, engine: &Engine) {
        let settings = engine.live.get();
        let mut least = u64::MAX;
        let mut is_full = false;
        for (d, end) in engine.dirs.iter().enumerate() {
            let path = end.dir.path.display();
            let whole = match end.dir.reserve_is_whole() {
                true => Ok(()),
                false => end.dir.fill_reserve(engine.fs.as_ref(), settings.segment_size),
            };
            let space =
                engine.fs.usable_space(&end.dir.path).map(|n| n.saturating_add(end.dir.spare_bytes()));
            let full = match (whole, space) {
                (_, Err(e)) => {
                    log::warn!("channel {}: {path}: cannot tell its free space: {e}", engine.name);
                    None
                }
                (Err(e), Ok(n)) => {
                    least = least.min(n);
                    Some(format!("{path}: no room for the reserve that lets a full disk be drained: {e}"))
                }
                (Ok(()), Ok(n)) => {
                    least = least.min(n);
                    let required = settings.required_space;
                    (n <= required)
                        .then(|| format!("{path}: {n} bytes are free, minimumRequiredSpace is {required}"))
                }
            };
            is_full |= full.is_some();
            if full.is_some() {
                leave_drained(engine, d);
            }
            let (was, now_full) = {
                let mut s = lock(&engine.state);
                let was = std::mem::replace(&mut s.dirs[d].full, full.clone()).is_some();
                (was, full.is_some())
            };
            match (was || self.told_full, full) {
                (false, Some(why)) => {
                    log::error!("channel {}: the disk is full, nothing is put: {why}", engine.name)
                }
                (true, None) => log::info!("channel {}: {path} has room again", engine.name),
                _ => {}
            }
            if was && !now_full {
                engine.wake_head();
            }
        }
        self.told_full = is_full;
        let left = i64::try_from(least).unwrap_or(i64::MAX).saturating_sub_unsigned(settings.required_space);
        engine.space_budget.store(left.max(LEAST_BUDGET), SeqCst);
        engine.counters.disk_full.set(i64::from(is_full));
        engine.counters.usable_space.set(i64::try_from(least).unwrap_or(i64::MAX));
    }

    /// Tries again what did not work; tells whether there was something.
    fn retry(&mut self, engine: &Engine) -> bool {
        let mut has_tried = false;
        for (d, end) in engine.dirs.iter().enumerate() {
            let (down, unreadable) = {
                let mut s = lock(&engine.state);
                (s.dirs[d].down.is_some(), s.dirs[d].unreadable.take().is_some())
            };
            has_tried |= down || unreadable;
            if unreadable {
                engine.filled.notify_all();
            }
            if !down {
                continue;
            }
            let path = end.dir.path.display();
            let probed = lock(&end.writer).probe();
            match probed {
                Ok(()) => log::info!("channel {}: {path} can be written to again", engine.name),
                Err(e) if is_full(&e) => lock(&engine.state).dirs[d].full = Some(format!("{path}: {e}")),
                Err(_) => continue,
            }
            lock(&engine.state).dirs[d].down = None;
            engine.wake_head();
        }
        has_tried
    }

    fn measure(&self, engine: &Engine) {
        let s = lock(&engine.state);
        let all = || s.dirs.iter().flat_map(|d| d.segments.values());
        engine.counters.segments.set(all().count() as i64);
        engine.counters.segment_bytes.set(all().map(|s| s.size as i64).sum());
        let is_down = s.dirs.iter().any(|d| d.down.is_some() || d.unreadable.is_some());
        engine.counters.is_unhealthy.set(i64::from(is_down));
    }
}

/// On a full disk the segment that is written may be all there is to free: it is left for one of the reserve when nothing
/// in it is live.
fn leave_drained(engine: &Engine, d: usize) {
    let mut w = lock(&engine.dirs[d].writer);
    let seq = w.position().seq;
    let is_drained = {
        let s = lock(&engine.state);
        let dir = &s.dirs[d];
        let is_settled = dir.queue.is_empty() && dir.applied == w.position();
        let puts = dir.segments.get(&seq).map_or((0, 0), |s| s.info.puts);
        is_settled && puts.0 < puts.1 && !s.live.overlaps(puts.0..puts.1)
    };
    if is_drained && w.leave().is_ok() {
        lock(&engine.state).dirs[d].wants_sync = true;
        engine.dirs[d].work.notify_one();
    }
}

/// Cuts off what stands above the end of segments that were given up: it has been refused, and must not be read again
/// should the segment that says so be freed before this one.
fn cut(engine: &Engine) {
    let given_up: Vec<(usize, u64, u64)> = {
        let s = lock(&engine.state);
        let all =
            s.dirs.iter().enumerate().flat_map(|(d, dir)| dir.segments.iter().map(move |(n, s)| (d, *n, s)));
        all.filter(|(.., s)| s.is_cut).filter_map(|(d, n, s)| Some((d, n, s.info.end?))).collect()
    };
    for (d, seq, end) in given_up {
        // Takes that stood there are safe from a kill in another place first.
        if !lock(&engine.dirs[d].writer).rescue() {
            continue;
        }
        let path = engine.dirs[d].dir.path.join(segment_name(seq));
        let done = engine.fs.open(&path, true).and_then(|f| f.set_len(end).and_then(|()| f.sync()));
        match done {
            Ok(()) => {
                if let Some(s) = lock(&engine.state).dirs[d].segments.get_mut(&seq) {
                    (s.is_cut, s.size) = (false, end);
                }
            }
            Err(e) => log::debug!("channel {}: {} is not cut yet: {e}", engine.name, path.display()),
        }
    }
}

/// What of the state makes a checkpoint differ from the last.
fn gist(s: &State) -> (u64, u64, Vec<Position>) {
    (s.next_number, s.live.count(), s.dirs.iter().map(|d| d.applied).collect())
}

/// Waits until all that a snapshot reflects is durable.
fn wait_for_sync(engine: &Engine, c: &Checkpoint) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        {
            let mut s = lock(&engine.state);
            let behind: Vec<usize> =
                (0..c.dirs.len()).filter(|d| s.dirs[*d].synced < c.dirs[*d].position).collect();
            if behind.is_empty() {
                return Ok(());
            }
            if let Some(why) = behind.iter().find_map(|d| s.dirs[*d].down.clone()) {
                return Err(io::Error::other(why));
            }
            for d in behind {
                s.dirs[d].wants_sync = true;
                engine.dirs[d].work.notify_one();
            }
        }
        if Instant::now() > until {
            return Err(io::Error::other("what it would cover is not synced"));
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

type Segments = BTreeSet<(usize, u64)>;

/// Which segments can be freed; which could, did their takes not consume events of segments that stay, and the bytes of
/// those. `kept`: the older of the two checkpoints.
fn judge(s: &State, kept: u64) -> (Segments, Segments, u64) {
    let all =
        || s.dirs.iter().enumerate().flat_map(|(d, dir)| dir.segments.iter().map(move |(n, s)| ((d, *n), s)));
    let dead = all().filter(|(_, s)| s.dead_at.is_some_and(|at| at <= kept)).map(|(id, _)| id);
    // What follows one that is not cut yet says where that ends.
    let is_needed = |id: &(usize, u64)| s.dirs[id.0].segments.range(..id.1).any(|(_, s)| s.is_cut);
    let dead: Segments = dead.filter(|id| !is_needed(id)).collect();
    let mut free = dead.clone();
    loop {
        let stay: Vec<(u64, u64)> =
            all().filter(|(id, _)| !free.contains(id)).map(|(_, s)| s.info.puts).collect();
        let is_pinned = |id: &(usize, u64)| {
            let takes = s.dirs[id.0].segments[&id.1].info.takes;
            takes.0 < takes.1 && stay.iter().any(|p| p.0 < p.1 && p.0 < takes.1 && takes.0 < p.1)
        };
        let pinned: Vec<_> = free.iter().copied().filter(is_pinned).collect();
        if pinned.is_empty() {
            break;
        }
        for id in pinned {
            free.remove(&id);
        }
    }
    let pinned: Segments = dead.difference(&free).copied().collect();
    let bytes = pinned.iter().map(|(d, n)| s.dirs[*d].segments[n].size).sum();
    (free, pinned, bytes)
}
