//! Batches of datagrams on their way through the pool: one is there, those behind it wait, in order and within bounds.

use crate::deliver::Deliver;
use crate::event::Batch;
use crate::net::job::{Done, Job, Task, Undone};
use std::collections::VecDeque;
use std::sync::Arc;

/// Batches that wait at most. A socket that brings one datagram at a time makes small ones.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Ahead {
    waiting: VecDeque<Batch>,
    away: Option<Away>,
    /// Bytes that all of them keep alive.
    charge: usize,
}

/// What the pool has, or had.
struct Away {
    events: usize,
    charge: usize,
    done: Option<Result<Done, Undone>>,
}

impl Ahead {
    /// Puts a batch behind the others, or gives it back where it does not fit into `most` bytes.
    pub fn push(&mut self, batch: Batch, most: usize) -> Result<(), Batch> {
        let charge = self.charge + batch.pinned();
        let is_first = self.waiting.is_empty() && self.away.is_none();
        if !is_first && (charge > most || self.waiting.len() >= MOST) {
            return Err(batch);
        }
        self.charge = charge;
        self.waiting.push_back(batch);
        Ok(())
    }

    pub fn take_job(&mut self, deliver: &Arc<Deliver>) -> Option<Job> {
        if self.away.is_some() {
            return None;
        }
        let batch = self.waiting.pop_front()?;
        self.away = Some(Away { events: batch.len(), charge: batch.pinned(), done: None });
        Some(Job { deliver: deliver.clone(), task: Task::Prepare(batch) })
    }

    pub fn bring_back(&mut self, done: Result<Done, Undone>) {
        if let Some(away) = &mut self.away {
            away.done = Some(done);
        }
    }

    /// What is back, and how many events went.
    pub fn take_done(&mut self) -> Option<(usize, Result<Done, Undone>)> {
        let done = self.away.as_mut()?.done.take()?;
        let away = self.away.take()?;
        self.charge -= away.charge;
        Some((away.events, done))
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.away.is_none()
    }

    pub fn events(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(Batch::len).sum();
        waiting + self.away.as_ref().map_or(0, |a| a.events)
    }

    pub fn charge(&self) -> usize {
        self.charge
    }
}
