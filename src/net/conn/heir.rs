//! A connection changes over to the source that replaces its own: first where its batches go, then how its messages are
//! read, each as soon as nothing stands between.

use super::{Conn, State};
use crate::deliver::Deliver;
use crate::net::Protocol;
use std::sync::mpsc::Sender;
use std::sync::Arc;

/// What a connection goes on with when its source is replaced.
pub(in crate::net) struct Heir {
    pub protocol: Arc<dyn Protocol>,
    pub deliver: Arc<Deliver>,
    /// Dropped when it does: the old source's channels are not written to any more.
    pub _done: Sender<()>,
}

impl Conn {
    /// Its source is replaced by another one of its kind.
    pub fn carry_over(&mut self, heir: Heir) {
        self.heir = Some(heir);
        self.change_over();
    }

    /// Goes on for the new source as soon as the old one's batches are settled, and by the new one's keys as soon as no
    /// message is half read.
    pub(super) fn change_over(&mut self) {
        if self.heir.is_some() && self.pending.is_empty() {
            if let Some(heir) = self.heir.take() {
                self.pending.deliver = heir.deliver;
                self.next_protocol = Some(heir.protocol);
            }
        }
        let half_read = self.intake.in_hand().is_some()
            || self.intake.unfinished() > 0
            || self.session.as_ref().is_some_and(|s| s.is_inside());
        if self.state == State::Open && !half_read {
            if let Some(protocol) = self.next_protocol.take() {
                if self.session.as_ref().is_some_and(|s| s.outlives_its_source()) {
                    return;
                }
                self.converse(protocol.as_ref());
            }
        }
    }
}
