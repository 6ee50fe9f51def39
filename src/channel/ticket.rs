//! Tickets: the promise that appended events will be durable, or a word that they are not.
//!
//! A channel keeps a clone of each open ticket and ends it once; the source polls its own. No locks but a leaf
//! for the reason of a failure.

use std::sync::{Arc, OnceLock};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TicketState {
    Open,
    Done,
    /// The channel does not have the events, or cannot promise that it has.
    Failed(String),
}

/// Ends in done or failed, exactly once.
#[derive(Clone, Debug)]
pub struct Ticket(Option<Arc<OnceLock<Result<(), String>>>>);

impl Ticket {
    /// A ticket that is done already.
    pub fn done() -> Ticket {
        Ticket(None)
    }

    /// A ticket that somebody will end.
    pub fn open() -> Ticket {
        Ticket(Some(Arc::default()))
    }

    /// Ends the ticket; later endings change nothing.
    pub fn finish(&self, how: Result<(), String>) {
        if let Some(cell) = &self.0 {
            let _ = cell.set(how);
        }
    }

    pub fn state(&self) -> TicketState {
        match self.0.as_ref().map(|c| c.get()) {
            None | Some(Some(Ok(()))) => TicketState::Done,
            Some(None) => TicketState::Open,
            Some(Some(Err(why))) => TicketState::Failed(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_ends_once() {
        assert_eq!(Ticket::done().state(), TicketState::Done);
        let t = Ticket::open();
        let mine = t.clone();
        assert_eq!(mine.state(), TicketState::Open);
        t.finish(Err("sync failed".into()));
        t.finish(Ok(()));
        assert_eq!(mine.state(), TicketState::Failed("sync failed".into()));
    }
}
