//! What a connection has at the pool: one batch or call, and nothing more of it is decoded until that is back.
//!
//! Belongs to its connection, on the loop's thread; the loop takes the job to the pool and brings back what came of it.

use super::{Asked, Pending, Wait};
use crate::codec::{CallKind, Work};
use crate::event::Batch;
use crate::net::job::{Done, Job, Task};
use std::time::Instant;

pub(super) struct Away {
    /// Not known of a call that is being decoded.
    pub asked: Option<Asked>,
    /// Bytes it keeps alive.
    pub charge: usize,
    /// To be taken to the pool.
    job: Option<Job>,
    /// Back from there.
    done: Option<Done>,
}

impl Away {
    /// What its answer is for: of a call that was not decoded, nothing but that.
    pub fn asked(&self) -> Asked {
        self.asked.unwrap_or(Asked { events: 0, call: Some(CallKind::Question) })
    }
}

impl Pending {
    /// Has a call decoded by the pool.
    pub fn send_away(&mut self, work: Work) {
        self.entrust(None, Task::Decode(work));
    }

    /// Has the interceptors run and the channels selected there.
    pub(super) fn prepare_away(&mut self, asked: Asked, batch: Batch) {
        self.entrust(Some(asked), Task::Prepare(batch));
    }

    fn entrust(&mut self, asked: Option<Asked>, task: Task) {
        let job = Job { deliver: self.deliver.clone(), task };
        let charge = job.charge();
        self.away = Some(Box::new(Away { asked, charge, job: Some(job), done: None }));
    }

    pub fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether a call is away of which nobody knows yet what events it brings.
    pub fn has_undecoded(&self) -> bool {
        self.away.as_ref().is_some_and(|a| a.asked.is_none())
    }

    /// What is to be taken to the pool.
    pub fn take_job(&mut self) -> Option<Job> {
        self.away.as_mut()?.job.take()
    }

    /// It is back; [`place_done`](Pending::place_done) goes on with it in the connection's next turn.
    pub fn bring_back(&mut self, done: Done) {
        if let Some(away) = &mut self.away {
            away.charge = done.delivery.charge();
            away.done = Some(done);
        }
    }

    /// Stores what is back from the pool.
    pub fn place_done(&mut self, now: Instant) {
        let Some(Done { call, events, delivery }) = self.away.as_mut().and_then(|a| a.done.take()) else {
            return;
        };
        let known = self.away.take().and_then(|a| a.asked);
        let Some(asked) = known.or_else(|| self.receive(events, call, now)) else { return };
        self.in_hand = asked.events;
        if self.is_parked() {
            // What failed meanwhile and is stored again goes before.
            self.park(asked, delivery, Wait::new(now, &self.wake));
        } else {
            self.store(asked, delivery, None, now);
        }
        self.in_hand = 0;
    }
}
