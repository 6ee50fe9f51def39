//! What a connection holds, what of it is counted, and what it asks of the budget and was given.
//!
//! On the loop's thread: the loop asks between two turns, the connection itself gives a grant back within one.

use super::Conn;
use crate::event::BufferPool;
use crate::net::budget::{Grant, Wish};

/// What a session may hold of an unfinished message before its time counts.
pub(super) const SMALL: usize = 4096;

impl Conn {
    /// Whether a message that is not complete holds memory worth counting.
    pub(super) fn is_halfway(&self) -> bool {
        self.intake.holds_buffer() || self.held_by_session() + self.held_by_transport() > 0
    }

    /// The message being received is complete, or given up.
    pub(super) fn message_ended(&mut self) {
        self.message.reset();
        if self.grant == Grant::Message {
            self.grant = Grant::Settles;
        }
        self.dismiss_settled();
    }

    /// What a finisher brought is settled: it is one no longer.
    pub(super) fn dismiss_settled(&mut self) {
        if self.grant == Grant::Settles && self.pending.is_empty() {
            self.grant = Grant::None;
        }
    }

    /// Bytes to count against the agent's budget: those that a deadline or a channel sets free in time. A small
    /// beginning of a message may lie here for ever, so it is not counted; the number of connections bounds those. Nor
    /// is a finisher's message.
    pub fn in_flight(&self) -> usize {
        let message = match self.grant {
            Grant::Message => 0,
            _ => self.intake.memory() + self.held_by_session() + self.held_by_transport(),
        };
        message + self.out.memory() + self.pending.in_flight()
    }

    /// What the session holds of a message, where that is worth counting.
    pub(super) fn held_by_session(&self) -> usize {
        self.session.as_ref().map(|s| s.memory()).filter(|held| *held > SMALL).unwrap_or(0)
    }

    /// The same of a TLS record.
    fn held_by_transport(&self) -> usize {
        Some(self.transport.held()).filter(|held| *held > SMALL).unwrap_or(0)
    }

    /// What it asks of the budget.
    pub fn wish(&self, pool: &BufferPool) -> Wish {
        Wish { held: self.charged, need: self.intake.next_read(pool), halfway: self.is_halfway() }
    }
}
