//! What a loop keeps per source.

use super::budget::Share;
use super::slot::Token;
use super::{DatagramProtocol, Protocol};
use crate::deliver::Deliver;
use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::sync::Arc;
use std::time::Instant;

/// A source's sockets and protocol, handed to a loop.
pub enum Attach {
    Stream { listener: std::net::TcpListener, protocol: Arc<dyn Protocol>, deliver: Arc<Deliver> },
    Datagram { socket: std::net::UdpSocket, protocol: Box<dyn DatagramProtocol>, deliver: Arc<Deliver> },
}

pub(super) struct SourceState {
    pub protocol: Option<Arc<dyn Protocol>>,
    pub deliver: Arc<Deliver>,
    /// Its listener or datagram socket.
    pub socket: Token,
    pub connections: BTreeSet<Token>,
    /// Its part in the budget of bytes in flight.
    pub share: Share,
    /// Set once the source is to go.
    pub detach: Option<(Instant, Sender<()>)>,
    /// When a refused connection was last logged.
    pub refusal_logged: Option<Instant>,
}
