//! What a thread of the pool does for a connection or a datagram socket: the part of decoding that may block, and the
//! interceptors and the selector of a source where one of these may.
//!
//! Room is reserved and filled on the loop afterwards, in the order of the connection.

use crate::codec::{Call, Work};
use crate::deliver::{Deliver, Delivery};
use crate::event::Batch;
use std::sync::Arc;

pub(super) struct Job {
    pub deliver: Arc<Deliver>,
    pub task: Task,
}

pub(super) enum Task {
    Decode(Work),
    Prepare(Batch),
}

/// What came of a job.
pub(super) struct Done {
    /// What was decoded, if that was to be done.
    pub call: Option<Call>,
    /// Events before the interceptors.
    pub events: usize,
    pub delivery: Delivery,
}

/// Why nothing did.
pub(super) type Undone = &'static str;

impl Job {
    pub fn run(self) -> Done {
        let (batch, call) = match self.task {
            Task::Decode(work) => {
                let mut batch = Batch::new();
                let call = (work.run)(&mut batch);
                (batch, Some(call))
            }
            Task::Prepare(batch) => (batch, None),
        };
        Done { call, events: batch.len(), delivery: self.deliver.prepare(batch) }
    }

    /// Bytes that it keeps alive.
    pub fn charge(&self) -> usize {
        match &self.task {
            Task::Decode(work) => work.bytes,
            Task::Prepare(batch) => batch.pinned(),
        }
    }
}
