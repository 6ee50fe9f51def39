//! The log thread of a data directory, `sync:<channel>`: writes all that waits, syncs, tells waiters, group by group.
//!
//! A group is what has queued while the one before was synced. Before a sync the thread waits for as many transactions as
//! the last group had, a fifth of the last sync's time and 0.2 ms at most: committers that were woken by the last group
//! are then part of this one, not of the next. Takes are written by the takers; what is written and not synced is synced
//! with the next group, or when its time has come.

use super::engine::Engine;
use super::state::{Placed, Unit};
use super::writer::is_full;
use crate::channel::Wake;
use crate::lock::lock;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The longest wait for more transactions.
const GATHER: Duration = Duration::from_micros(200);
/// Below this a wait is spent looking, as a sleep would take longer.
const LOOK: Duration = Duration::from_micros(60);
/// How long the thread looks out for work before it sleeps, after it had some.
const SPINS: u32 = 2000;
/// Syncs above this are worth a log line.
const SLOW: Duration = Duration::from_secs(1);
/// Between two log lines of one kind.
const QUIET: Duration = Duration::from_secs(10);

/// How the last group went.
struct Last {
    units: usize,
    sync: Duration,
    told_slow: Option<Instant>,
    told_error: Option<Instant>,
}

enum Work {
    Write(Vec<Unit>),
    Sync,
    End,
}

pub fn run(engine: &Engine, d: usize) {
    let mut last = Last { units: 0, sync: Duration::ZERO, told_slow: None, told_error: None };
    loop {
        match wait(engine, d, &last) {
            Work::Write(units) => group(engine, d, units, &mut last),
            Work::Sync => group(engine, d, Vec::new(), &mut last),
            Work::End => break,
        }
    }
    group(engine, d, Vec::new(), &mut last);
    let end = &engine.dirs[d];
    let position = {
        let mut w = lock(&end.writer);
        if let Err(e) = w.close() {
            log::error!("channel {}: {}: the last sync failed: {e}", engine.name, end.dir.path.display());
        }
        w.position()
    };
    let mut s = lock(&engine.state);
    s.dirs[d].applied = position;
    s.dirs[d].synced = position;
}

fn wait(engine: &Engine, d: usize, last: &Last) -> Work {
    let end = &engine.dirs[d];
    if last.units > 0 && spins() {
        for _ in 0..SPINS {
            if end.queued.load(SeqCst) > 0 {
                break;
            }
            std::hint::spin_loop();
        }
    }
    let settings = engine.live.get();
    let mut s = lock(&engine.state);
    loop {
        let dir = &mut s.dirs[d];
        if !dir.queue.is_empty() {
            break;
        }
        let due = dir.unsynced_since.map(|t| t + settings.sync_interval.unwrap_or(settings.take_sync));
        let now = Instant::now();
        if dir.wants_sync || due.is_some_and(|t| t <= now) {
            return Work::Sync;
        }
        if engine.stops.load(SeqCst) {
            return Work::End;
        }
        dir.is_idle = true;
        dir.has_deadline = due.is_some();
        s = match due {
            Some(t) => end.work.wait_timeout(s, t - now).unwrap_or_else(PoisonError::into_inner).0,
            None => end.work.wait(s).unwrap_or_else(PoisonError::into_inner),
        };
        s.dirs[d].is_idle = false;
    }
    let wanted = last.units;
    if s.dirs[d].queue.len() < wanted && settings.sync_interval.is_none() {
        drop(s);
        gather(engine, d, wanted, (last.sync / 5).min(GATHER));
        s = lock(&engine.state);
    }
    let dir = &mut s.dirs[d];
    let units: Vec<Unit> = dir.queue.drain(..).collect();
    drop(s);
    end.queued.fetch_sub(units.len(), SeqCst);
    Work::Write(units)
}

/// Whether it is of use to look: somebody else has to run meanwhile.
fn spins() -> bool {
    use std::sync::OnceLock;
    static MANY: OnceLock<bool> = OnceLock::new();
    *MANY.get_or_init(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1))
}

/// Waits for `wanted` transactions.
fn gather(engine: &Engine, d: usize, wanted: usize, longest: Duration) {
    let (end, until) = (&engine.dirs[d], Instant::now() + longest);
    while end.queued.load(SeqCst) < wanted {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if left > LOOK {
            let mut s = lock(&engine.state);
            s.dirs[d].is_idle = true;
            let mut s = end.work.wait_timeout(s, left - LOOK).unwrap_or_else(PoisonError::into_inner).0;
            s.dirs[d].is_idle = false;
        } else {
            std::thread::yield_now();
        }
    }
}

/// Writes, syncs and settles a group; an empty one syncs what takers wrote.
fn group(engine: &Engine, d: usize, mut units: Vec<Unit>, last: &mut Last) {
    let end = &engine.dirs[d];
    let settings = engine.live.get();
    let is_down = lock(&engine.state).dirs[d].down.clone();
    let mut places: Vec<Vec<Placed>> = Vec::new();
    let (mut result, mark, position, was_half) = {
        let mut w = lock(&end.writer);
        w.segment_size = settings.segment_size;
        let was_half = w.is_half_full();
        let result = match is_down {
            Some(why) => Err(io::Error::other(why)),
            None => w.puts(&mut units, &mut places),
        };
        (result, w.mark(), w.position(), was_half)
    };
    places.resize_with(units.len(), Vec::new);
    let (since, is_wanted) = {
        let s = lock(&engine.state);
        (s.dirs[d].unsynced_since, s.dirs[d].wants_sync)
    };
    let is_due = match settings.sync_interval {
        None => true,
        Some(every) => units.is_empty() || is_wanted || since.is_some_and(|t| t.elapsed() >= every),
    };
    let mut is_synced = false;
    if let (Some(mark), true) = (&mark, is_due) {
        let began = Instant::now();
        let synced = mark.file.sync();
        last.sync = began.elapsed();
        engine.counters.synced(last.sync.as_micros() as u64, units.iter().map(|u| u.frames.len()).sum());
        if last.sync > SLOW && last.told_slow.is_none_or(|t| t.elapsed() > QUIET) {
            last.told_slow = Some(Instant::now());
            let (name, path, took) = (&engine.name, end.dir.path.display(), last.sync.as_secs_f64());
            log::warn!("channel {name}: a sync of {path} took {took:.3} s");
        }
        let mut w = lock(&end.writer);
        match synced {
            Ok(()) => w.synced(mark),
            Err(e) => {
                w.give_up_on(mark);
                result = Err(e);
            }
        }
        is_synced = true;
    } else if mark.is_none() {
        is_synced = true;
    }
    last.units = units.len();
    let (kept, position, is_half, has_more): (Vec<bool>, _, _, _) = {
        let w = lock(&end.writer);
        let is_kept =
            |(u, at): (&Unit, &Vec<Placed>)| at.len() == u.frames.len() && at.iter().all(|p| w.keeps(p));
        let kept = units.iter().zip(&places).map(is_kept).collect();
        // A segment that was given up ends before.
        let position = w.cut_back(position);
        (kept, position, w.is_half_full(), w.has_unsynced())
    };
    settle(engine, d, &units, &places, &kept, (position, is_synced, has_more));
    if let Err(e) = &result {
        troubled(engine, d, e, kept.iter().filter(|k| !**k).count(), last);
    }
    let why = result.as_ref().err().map(ToString::to_string);
    tell(engine, &units, &kept, why.as_deref());
    engine.recycle(&mut units);
    if is_half != was_half {
        // A segment was begun, or the next is to be made ready.
        engine.nudge();
    }
}

fn settle(
    engine: &Engine,
    d: usize,
    units: &[Unit],
    places: &[Vec<Placed>],
    kept: &[bool],
    (position, is_synced, has_more): (super::checkpoint::Position, bool, bool),
) {
    let mut s = lock(&engine.state);
    let mut bytes = 0;
    for ((u, at), kept) in units.iter().zip(places).zip(kept) {
        bytes += u.bytes;
        match kept {
            true => s.stored(d, u, at),
            false => s.failed(u),
        }
    }
    let dir = &mut s.dirs[d];
    dir.applied = dir.applied.max(position);
    if is_synced {
        dir.synced = dir.synced.max(position);
        // Takers may have written behind what was synced.
        dir.unsynced_since = has_more.then(Instant::now);
        dir.wants_sync = false;
    } else {
        dir.unsynced_since.get_or_insert_with(Instant::now);
    }
    let wakes = s.sleeping > 0 && s.available > 0;
    drop(s);
    engine.counters.bytes_written.add(bytes);
    let left = engine.space_budget.fetch_sub(bytes as i64, SeqCst);
    if left >= 0 && left < bytes as i64 {
        engine.nudge();
    }
    if wakes {
        engine.filled.notify_one();
    }
}

/// Something could not be written, or not be made durable.
fn troubled(engine: &Engine, d: usize, e: &io::Error, failed: usize, last: &mut Last) {
    let path = engine.dirs[d].dir.path.display();
    let why = format!("{path}: {e}");
    {
        let mut s = lock(&engine.state);
        let dir = &mut s.dirs[d];
        let slot = if is_full(e) { &mut dir.full } else { &mut dir.down };
        *slot = Some(why.clone());
    }
    if last.told_error.is_none_or(|t| t.elapsed() > QUIET) {
        last.told_error = Some(Instant::now());
        let what =
            if is_full(e) { "the disk is full, nothing is put until there is room" } else { "cannot write" };
        log::error!("channel {}: {what}: {why}; {failed} transactions are refused", engine.name);
    }
    engine.nudge();
}

/// Ends the tickets and wakes who waits for them, and the head of the line: there is room for frames again.
fn tell(engine: &Engine, units: &[Unit], kept: &[bool], why: Option<&str>) {
    let mut told: Option<&Arc<dyn Wake>> = None;
    for (u, kept) in units.iter().zip(kept) {
        match kept {
            true => u.ticket.finish(Ok(())),
            false => {
                engine.counters.put_error.add(u.count as usize);
                u.ticket.finish(Err(format!("channel {}: {}", engine.name, why.unwrap_or("not stored"))));
            }
        }
    }
    let stored = units.iter().zip(kept).filter(|(_, k)| **k).map(|(u, _)| u.count as usize).sum();
    engine.channel_counters.put_success.add(stored);
    for u in units {
        // One that has several transactions in a row is woken once.
        if !told.is_some_and(|t| Arc::ptr_eq(t, &u.wake)) {
            u.wake.wake();
        }
        told = Some(&u.wake);
    }
    if !units.is_empty() {
        engine.wake_head();
    }
}
