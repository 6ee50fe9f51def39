//! What a sink's thread does about failures: notes and tells them, pauses, and finds out whether the sink works again.
//!
//! In most cases the failed batch tells that when it is tried again. But another sink of the channel may have delivered
//! it, and then there may be nothing for hours: so, after the pause, the sink starts once more, which for one that
//! connects is to connect. Called by the sink's thread; no locks of its own.

use super::budget::Budget;
use super::{AtWork, SinkRunner, LOOK};
use crate::clock::Backoff;
use crate::component::{Sink, SinkError};
use crate::counters::State;
use crate::outage::Outage;
use crate::runner::gate::Member;
use std::time::Instant;

/// How it has been faring. Outlives the sinks: a panic counts as a failure.
pub(super) struct Luck {
    pub backoff: Backoff,
    pub outage: Outage,
    pub budget: Option<Budget>,
}

impl SinkRunner {
    /// Has the sink start. Its group does not wait for that for long, and a stop not at all.
    pub(super) fn start(&self, sink: &mut dyn Sink) -> Result<(), SinkError> {
        let _starting = self.member.as_ref().map(Member::starting);
        self.stop.set_idle(true);
        let started = sink.start();
        self.stop.set_idle(false);
        started
    }

    /// When one that has failed is to start once more; there may be nothing that it could deliver.
    pub(super) fn probe_at(&self, luck: &Luck) -> Option<Instant> {
        let left_out = || self.member.as_ref().and_then(Member::left_out);
        (luck.outage.is_on() && !self.stop.is_draining()).then(|| left_out().unwrap_or_else(Instant::now))
    }

    /// Has it start once more, if it is time and events have not come first, so that its health is the truth. In its
    /// group it stays on trial until it delivers.
    pub(super) fn probe(&self, at_work: &mut AtWork, at: Option<Instant>, luck: &mut Luck) {
        if self.stop.is_draining() || at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        match self.start(at_work.sink.as_mut()) {
            Ok(()) => self.is_up_again("can deliver again", luck),
            Err(e) => self.fail(&format!("cannot start: {e}"), luck),
        }
    }

    pub(super) fn note_failure(&self, why: &str) {
        self.counters.failed(why);
        self.counters.health.set(State::Failed(why.to_owned()));
    }

    /// It seems to work again, which no batch has shown yet.
    pub(super) fn is_up_again(&self, what: &str, luck: &mut Luck) {
        self.counters.health.set_started_again();
        if let Some(after) = luck.outage.up(Instant::now()) {
            log::info!("sink {} {what}{after}", self.name);
        }
    }

    /// Notes a failure of the sink, and pauses unless its group leaves it out for a time.
    pub(super) fn fail(&self, why: &str, luck: &mut Luck) {
        self.note_failure(why);
        let Some(m) = &self.member else { return self.pause(why, luck) };
        match m.failed(Instant::now()) {
            // In a drain the time that it is left out for may be too long.
            Some(out) if !self.stop.is_draining() => {
                let Some(count) = luck.outage.failed(why, Instant::now()) else { return };
                let (name, group, ms) = (&self.name, m.group(), out.pause.as_millis());
                log::error!("sink {name}: {why}{count}; left out of group {group} for {ms} ms, {}", out.then);
            }
            _ => self.pause(why, luck),
        }
    }

    pub(super) fn pause(&self, why: &str, luck: &mut Luck) {
        let pause = luck.backoff.next_pause();
        if let Some(count) = luck.outage.failed(why, Instant::now()) {
            log::error!("sink {}: {why}{count}; next try in {} ms", self.name, pause.as_millis());
        }
        if !self.stop.is_draining() {
            return self.stop.pause(pause);
        }
        // Another sink may deliver what this one cannot, and then nothing is left to wait for.
        let until = Instant::now() + pause;
        while !self.is_over() && Instant::now() < until {
            self.stop.pause(LOOK);
        }
    }
}
