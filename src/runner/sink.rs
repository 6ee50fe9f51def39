//! The thread of a sink, `sink:<name>`: take, deliver, commit; back off after failures; begin anew after a panic.
//!
//! A sink on an empty channel waits for the next commit, not for a poll interval, and a batch does not wait for more
//! events than there are. A failed batch is rolled back whole and tried again with growing pauses: for ever, or as
//! often as its [`Budget`] allows; then it is split (`sift`) to find the events that do not pass.
//!
//! A sink of a group waits for its turn at the group's gate before it takes. Where the group leaves it out after a
//! failure, that stands in for its own pause, and the returned events are another's. The budget is each sink's own: an
//! event that none takes has failed that often with one of them before it is put aside.

use super::gate::{Member, Turn};
use crate::channel::{Channel, Take};
use crate::clock::Backoff;
use crate::component::{Sink, SinkError};
use crate::counters::{SinkCounters, State};
use crate::lifecycle::Stop;
use crate::outage::Outage;
use sift::Sift;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trouble::Luck;

mod budget;
mod letters;
mod sift;
mod trouble;

pub use budget::Budget;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a sink with nothing due waits before it looks around.
const IDLE: Duration = Duration::from_secs(3600);

/// How often a sink looks in a drain whether there is anything left.
const LOOK: Duration = Duration::from_millis(20);

/// Everything a sink's thread works with.
pub struct SinkRunner {
    pub name: String,
    pub make: Box<dyn Fn() -> Box<dyn Sink> + Send>,
    pub channel: Arc<dyn Channel>,
    pub counters: Arc<SinkCounters>,
    pub stop: Arc<Stop>,
    /// `None`: a batch is tried again for ever.
    pub budget: Option<Budget>,
    /// Its place in its group; `None`: it stands alone.
    pub member: Option<Member>,
}

/// The sink that works at present. A panic puts another in its place.
struct AtWork {
    sink: Box<dyn Sink>,
    /// Not when the one that took over could not start.
    is_up: bool,
}

impl SinkRunner {
    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(format!("sink:{}", self.name)).spawn(move || self.run())
    }

    fn run(mut self) {
        let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut luck = Luck { backoff, outage: Outage::default(), budget: self.budget.take() };
        if let Some(Err(e)) = luck.budget.as_ref().map(Budget::probe) {
            log::error!("sink {}: {e}; events that cannot be delivered will stay", self.name);
        }
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.live(&mut luck))) {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => self.fail("panicked; a new one takes its place", &mut luck),
            }
            if self.stop.is_halted() {
                break;
            }
        }
        if let Some(b) = &mut luck.budget {
            b.tell(&self.name);
        }
        if !self.stop.is_disowned() {
            self.counters.health.set(State::Stopped);
        }
    }

    /// One sink's life, from start to stop. `false`: it ended before its time, another has to begin.
    fn live(&self, luck: &mut Luck) -> bool {
        let mut sink = (self.make)();
        loop {
            // A drain waits for the sink to come up, a halt does not.
            while self.member.as_ref().is_some_and(|m| !m.may_start()) {
                if self.is_over() {
                    return true;
                }
            }
            let Err(e) = self.start(sink.as_mut()) else { break };
            self.fail(&format!("cannot start: {e}"), luck);
            if self.is_over() {
                return true;
            }
        }
        luck.backoff.reset();
        self.counters.health.set(State::Started);
        if let Some(after) = luck.outage.up(Instant::now()) {
            log::info!("sink {} started{after}", self.name);
        }
        let mut at_work = AtWork { sink, is_up: true };
        self.serve(&mut at_work, luck);
        if !at_work.is_up {
            return false;
        }
        if let Err(e) = at_work.sink.stop() {
            self.counters.failed(&e.why);
            log::error!("sink {}: stop: {e}", self.name);
        }
        true
    }

    /// Whether nothing more is to be delivered.
    fn is_over(&self) -> bool {
        // What is durable will be there when the agent starts again.
        self.stop.is_halted() || (self.stop.is_draining() && self.channel.perishable() == 0)
    }

    fn serve(&self, at_work: &mut AtWork, luck: &mut Luck) {
        let mut tick_failed = false;
        while at_work.is_up && !self.is_over() {
            let due = match at_work.sink.tick(Instant::now()) {
                Ok(due) => {
                    if std::mem::take(&mut tick_failed) {
                        self.is_up_again("works again", luck);
                    }
                    due
                }
                Err(e) => {
                    tick_failed = true;
                    self.note_failure(&e.why);
                    if let Some(count) = luck.outage.failed(&e.why, Instant::now()) {
                        log::error!("sink {}: {e}{count}", self.name);
                    }
                    Some(Instant::now() + luck.backoff.next_pause())
                }
            };
            let due = due.unwrap_or_else(|| Instant::now() + IDLE);
            // Who has failed does not wait for events to find out whether it works again.
            let probe_at = if tick_failed { None } else { self.probe_at(luck) };
            let until = probe_at.map_or(due, |at| at.min(due));
            let turn = match &self.member {
                None => None,
                Some(m) => match m.turn(until) {
                    None => {
                        self.probe(at_work, probe_at, luck);
                        continue;
                    }
                    turn => turn,
                },
            };
            let is_enough = turn.as_ref().map_or(self.stop.draining(), Turn::recalled);
            let take = match Take::begin(&self.channel, at_work.sink.batch_size(), until, is_enough) {
                Ok(take) => take,
                Err(e) => {
                    drop(turn);
                    self.counters.channel_read_fail.one();
                    let why = format!("cannot take from channel {}: {e}", self.channel.name());
                    self.note_failure(&why);
                    self.pause(&why, luck);
                    continue;
                }
            };
            if take.is_empty() {
                drop(turn);
                self.counters.batch_empty.one();
                if self.stop.is_draining() {
                    if self.is_over() {
                        return;
                    }
                    // Another sink of the channel holds events that it may yet roll back.
                    self.stop.pause(LOOK);
                }
                self.probe(at_work, probe_at, luck);
                continue;
            }
            turn.iter().for_each(Turn::taken);
            let result = self.pass_on(at_work, &mut luck.budget, take);
            match (&result, turn) {
                (Ok(()), Some(turn)) => turn.delivered(),
                (_, turn) => drop(turn),
            }
            match result {
                Ok(()) => {
                    luck.backoff.reset();
                    self.counters.health.set_started_again();
                    if let Some(after) = luck.outage.over(Instant::now()) {
                        log::info!("sink {} delivers again{after}", self.name);
                    }
                }
                Err(e) => self.fail(&format!("cannot deliver: {e}"), luck),
            }
        }
    }

    fn pass_on(
        &self,
        at_work: &mut AtWork,
        budget: &mut Option<Budget>,
        take: Take,
    ) -> Result<(), SinkError> {
        let result = self.deliver(at_work, &take);
        let Some(budget) = budget else { return result.and_then(|()| self.commit(at_work, take)) };
        match result {
            Ok(()) => {
                budget.delivered(&take);
                self.commit(at_work, take)
            }
            Err(e) if !budget.counts_out(&take, &e) => Err(e),
            Err(e) => Sift::new(self, at_work, budget).run(take, e),
        }
    }

    /// One delivery. A sink that panics in it has failed, and is replaced.
    fn deliver(&self, at_work: &mut AtWork, take: &Take) -> Result<(), SinkError> {
        self.counters.drain_attempt.add(take.len());
        let result = catch_unwind(AssertUnwindSafe(|| at_work.sink.deliver(take))).unwrap_or_else(|_| {
            at_work.sink = (self.make)();
            let started = at_work.sink.start();
            at_work.is_up = started.is_ok();
            Err(match started {
                Ok(()) => SinkError::unknown("panicked; a new one takes its place"),
                Err(e) => SinkError::destination(format!("panicked; the new one cannot start: {e}")),
            })
        });
        if result.is_err() {
            self.counters.event_write_fail.one();
        }
        result
    }

    /// Ends the take of what was delivered.
    fn commit(&self, at_work: &AtWork, take: Take) -> Result<(), SinkError> {
        let n = take.len();
        take.commit().map_err(|e| {
            self.counters.event_write_fail.one();
            SinkError::destination(format!("delivered but not committed, will be repeated: {e}"))
        })?;
        self.counters.drain_success.add(n);
        self.counters.succeeded();
        if n >= at_work.sink.batch_size() {
            self.counters.batch_complete.one();
        } else {
            self.counters.batch_underflow.one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
