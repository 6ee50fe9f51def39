//! The small pool of threads that does what may block: `pool:0` and so on, one pool for all loops.
//!
//! A loop submits a job and goes on; the job itself sends its result. Jobs of one connection are in order because a
//! connection has one out at a time, which bounds their number too: by the connections there are, and by what a datagram
//! socket lets wait. What jobs hold is counted in the budget by who submitted them.
//!
//! No source waits for another one: a free thread is for the source that has the fewest jobs running, and a source that has
//! none running gets a thread at once, were it one above the limit. So jobs that hang stop the connections they are of, and
//! those of their source at worst.
//!
//! Threads start with the jobs and end after a minute without. One leaf mutex, held for moving jobs about. When the last
//! loop is gone the pool closes; a job that hangs cannot be ended and is left behind.

use super::handle::SourceId;
use super::throttle::Throttle;
use crate::counters::SourceCounters;
use crate::lock::lock;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A thread without a job for this long ends.
const IDLE: Duration = Duration::from_secs(60);
/// A job that runs for longer is worth a log line.
const SLOW: Duration = Duration::from_secs(10);

/// Closes when dropped.
pub(super) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Threads that jobs may use, beside each source's first.
    max: usize,
    lines: BTreeMap<SourceId, Line>,
    /// Counts jobs that went from a line to the threads.
    started: u64,
    /// For the next threads that come.
    ready: VecDeque<Job>,
    seats: Vec<Seat>,
    /// Threads that wait, and that have been started and did not come yet.
    expected: usize,
    closed: bool,
    told: Throttle,
}

/// A source's jobs.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Job>,
    /// Those that are ready or running.
    running: usize,
    /// When one last left the line.
    served: u64,
}

/// A place for a thread.
enum Seat {
    Free,
    Idle,
    Busy(Instant, Arc<SourceCounters>),
}

struct Job {
    source: SourceId,
    counters: Arc<SourceCounters>,
    run: Box<dyn FnOnce() + Send>,
}

impl Pool {
    pub fn new(max: usize) -> Pool {
        let pool = Pool(Arc::default());
        pool.set_max(max);
        pool
    }

    /// Changes the number of threads; those that are too many end when they are free.
    pub fn set_max(&self, max: usize) {
        let mut s = lock(&self.0.state);
        s.max = max;
        s.dispatch();
        let _ = self.staff(&mut s);
        drop(s);
        self.0.changed.notify_all();
    }

    /// Has something done for this source, behind what it has waiting. An error: there is no thread, and will be none.
    pub fn submit(
        &self,
        source: SourceId,
        counters: &Arc<SourceCounters>,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let job = Job { source, counters: counters.clone(), run: Box::new(run) };
        let mut s = lock(&self.0.state);
        s.lines.entry(source).or_default().waiting.push_back(job);
        s.dispatch();
        let staffed = self.staff(&mut s);
        let unserved = staffed.as_ref().err().and_then(|_| s.withdraw());
        let slow = s.slow(Instant::now());
        drop(s);
        self.0.changed.notify_one();
        if let Some(line) = slow {
            log::warn!("{line}");
        }
        if unserved.is_some() {
            staffed
        } else {
            Ok(())
        }
    }

    /// Sees to it that what is ready finds a thread.
    fn staff(&self, s: &mut State) -> io::Result<()> {
        while s.ready.len() > s.expected {
            let free = s.seats.iter().position(|seat| matches!(seat, Seat::Free));
            let seat = free.unwrap_or(s.seats.len());
            let shared = self.0.clone();
            std::thread::Builder::new().name(format!("pool:{seat}")).spawn(move || shared.serve(seat))?;
            s.expected += 1;
            match free {
                Some(i) => s.seats[i] = Seat::Idle,
                None => s.seats.push(Seat::Idle),
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn threads(&self) -> usize {
        lock(&self.0.state).threads()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut s = lock(&self.0.state);
        s.closed = true;
        // Nobody is left whom their results could reach.
        let unwanted = (std::mem::take(&mut s.ready), std::mem::take(&mut s.lines));
        let busy: Vec<_> = s.busy().map(|(_, c)| c.name.clone()).collect();
        drop(s);
        drop(unwanted);
        self.0.changed.notify_all();
        if !busy.is_empty() {
            log::error!("{} jobs do not end and are left behind, of source {}", busy.len(), busy.join(", "));
        }
    }
}

impl State {
    fn threads(&self) -> usize {
        self.seats.iter().filter(|seat| !matches!(seat, Seat::Free)).count()
    }

    fn busy(&self) -> impl Iterator<Item = (Instant, &Arc<SourceCounters>)> {
        self.seats.iter().filter_map(|seat| match seat {
            Seat::Busy(since, counters) => Some((*since, counters)),
            _ => None,
        })
    }

    /// Makes ready what may run.
    fn dispatch(&mut self) {
        let mut running: usize = self.lines.values().map(|l| l.running).sum();
        loop {
            let waiting = self.lines.values_mut().filter(|l| !l.waiting.is_empty());
            let Some(line) = waiting.min_by_key(|l| (l.running, l.served)) else { return };
            if running >= self.max && line.running > 0 {
                return;
            }
            self.started += 1;
            (line.running, line.served, running) = (line.running + 1, self.started, running + 1);
            self.ready.extend(line.waiting.pop_front());
        }
    }

    fn ended(&mut self, source: SourceId) {
        if let Some(line) = self.lines.get_mut(&source) {
            line.running -= 1;
        }
        self.dispatch();
        self.lines.retain(|_, l| l.running > 0 || !l.waiting.is_empty());
    }

    /// Takes the last job back, if there is no thread at all that could come to it.
    fn withdraw(&mut self) -> Option<Job> {
        if self.threads() > 0 {
            return None;
        }
        let job = self.ready.pop_back()?;
        self.ended(job.source);
        Some(job)
    }

    /// What to say of a job that has been running for long, if it is time to.
    fn slow(&mut self, now: Instant) -> Option<String> {
        let (since, counters) = self.busy().min_by_key(|(since, _)| *since)?;
        let ran = now.saturating_duration_since(since);
        if ran < SLOW {
            return None;
        }
        let (name, busy) = (counters.name.clone(), self.busy().count());
        let note = self.told.pass(now)?;
        let waiting: usize = self.lines.values().map(|l| l.waiting.len()).sum();
        Some(format!(
            "source {name}: a job has been running for {} s; {busy} run, {waiting} wait for a thread{note}",
            ran.as_secs()
        ))
    }
}

impl Shared {
    /// A thread's life.
    fn serve(&self, seat: usize) {
        let mut s = lock(&self.state);
        let mut looked = Instant::now();
        loop {
            s.expected -= 1;
            if let Some(Job { source, counters, run }) = s.ready.pop_front() {
                s.seats[seat] = Seat::Busy(Instant::now(), counters);
                drop(s);
                if catch_unwind(AssertUnwindSafe(run)).is_err() {
                    log::error!("pool: a panic in the sending of a result");
                }
                s = lock(&self.state);
                s.seats[seat] = Seat::Idle;
                s.ended(source);
                s.expected += 1;
                looked = Instant::now();
                continue;
            }
            if s.closed || s.threads() > s.max || looked.elapsed() >= IDLE {
                s.seats[seat] = Seat::Free;
                return;
            }
            s.expected += 1;
            s = self.changed.wait_timeout(s, IDLE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests;
