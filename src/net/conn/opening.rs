//! How a connection begins: its peer may have to be named first, and may not be served at all.
//!
//! On the loop's thread; names come from the look-up thread as a command.

use super::{Conn, State};
use crate::net::transport::Transport;
use crate::net::Protocol;

impl Conn {
    /// The peer's name is known, or not wanted: the conversation begins.
    pub fn open(&mut self, protocol: &dyn Protocol, name: Option<String>) {
        if self.state == State::Naming {
            self.peer.name = name;
            self.state = State::Open;
            let transport = match protocol.refuses(&self.peer) {
                Some(why) => Err(why),
                None => Transport::new(&protocol.wire()),
            };
            match transport {
                Ok(transport) => {
                    self.transport = transport;
                    self.converse(protocol);
                }
                Err(why) => self.turn_away(why),
            }
        }
    }

    /// Begins a session.
    pub(super) fn converse(&mut self, protocol: &dyn Protocol) {
        self.session = Some(protocol.open(&self.peer));
        self.pending.can_refuse = protocol.can_refuse();
        self.pending.makes_calls = protocol.makes_calls();
        self.idle = protocol.idle();
    }

    /// The peer's name is known, which a source that took this connection over wanted.
    pub fn named(&mut self, name: String) {
        self.peer.name.get_or_insert(name);
    }

    pub fn is_naming(&self) -> bool {
        self.state == State::Naming
    }

    /// This peer is not served.
    pub(super) fn turn_away(&mut self, why: String) {
        self.pending.deliver.counters.connection_refused.one();
        self.broken = Some(why);
        self.dead = true;
        self.intake.eof = true;
        self.state = State::Ending;
    }
}
