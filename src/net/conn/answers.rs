//! A connection's answers: from the batches whose tickets have ended, through its transport, to the socket.
//!
//! In the order of decoding. On the loop's thread.

use super::{Conn, State, Turn};
use crate::net::outbox::Outbox;
use crate::net::After;
use std::io;

impl Conn {
    /// Writes the answers whose turn has come.
    pub(super) fn settle(&mut self) {
        let (session, transport, out) = (&mut self.session, &mut self.transport, self.out.bytes());
        let mut after = After::Continue;
        let mut inner = Vec::new();
        self.pending.settle(&mut |events, outcome| {
            if let (Some(session), After::Continue) = (session.as_mut(), after) {
                let over = if transport.holds_back() { &mut inner } else { &mut *out };
                if session.answer(events, outcome, over) == After::Close {
                    after = After::Close;
                }
            }
        });
        transport.put(&inner, out);
        self.dismiss_settled();
        if after == After::Close && self.state == State::Open {
            self.state = State::Ending;
            self.intake.discard();
        }
    }

    pub(super) fn flush(&mut self, t: &Turn<'_>) -> io::Result<()> {
        self.transport.put_own(self.out.bytes());
        if self.dead {
            self.out = Outbox::default();
        }
        if self.out.is_empty() {
            self.out_since = None;
            return Ok(());
        }
        if !self.writable {
            return Ok(());
        }
        let sent = self.out.flush(&mut self.socket)?;
        if sent > 0 {
            self.last_active = t.now;
            self.out_since = None;
        }
        if !self.out.is_empty() {
            self.writable = false;
            self.out_since.get_or_insert(t.now);
        }
        Ok(())
    }
}
