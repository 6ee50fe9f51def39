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
    /// message is half read and every answer is given.
    pub(super) fn change_over(&mut self) {
        if self.heir.is_some() && self.pending.is_empty() {
            if let Some(heir) = self.heir.take() {
                self.pending.deliver = heir.deliver;
                self.next_protocol = Some(heir.protocol);
            }
        }
        if self.is_due_to_change() && self.pending.is_empty() {
            if let Some(protocol) = self.next_protocol.take() {
                self.go_on_by(protocol.as_ref());
            }
        }
    }

    /// Whether the next message is to be read by the new source's keys: nothing is decoded before that can be. Where the
    /// new one wants to know its peers by name, the name is waited for.
    pub(super) fn is_due_to_change(&self) -> bool {
        let known = |p: &Arc<dyn Protocol>| !p.wants_peer_name() || self.peer.name.is_some();
        self.state == State::Open && self.next_protocol.as_ref().is_some_and(known) && !self.is_half_read()
    }

    /// A session that decodes calls knows where they end; of others only that they have taken all there was.
    fn is_half_read(&self) -> bool {
        let input = self.intake.in_hand().is_some() || self.intake.unfinished() > 0;
        (input && !self.pending.makes_calls) || self.session.as_ref().is_some_and(|s| s.is_inside())
    }

    fn go_on_by(&mut self, protocol: &dyn Protocol) {
        let is_safe = self.transport.is_as_safe_as(&protocol.wire());
        let unsafe_now =
            || (!is_safe).then(|| "its source asks for other TLS now, keys have changed".to_owned());
        if let Some(why) = protocol.refuses(&self.peer).or_else(unsafe_now) {
            self.pending.deliver.counters.connection_refused.one();
            self.broken = Some(why);
            self.intake.discard();
            self.state = State::Ending;
        } else if !self.session.as_mut().is_some_and(|s| s.outlives_its_source(protocol.longest())) {
            self.converse(protocol);
        }
    }
}
