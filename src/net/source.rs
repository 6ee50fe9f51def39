//! What a loop keeps per source.

use super::budget::Share;
use super::slot::Token;
use super::throttle::Throttle;
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
    /// `None` where another loop has it.
    pub socket: Option<Token>,
    pub connections: BTreeSet<Token>,
    /// Its part in the budget of bytes in flight.
    pub share: Share,
    /// Set once the source is to go. Who waits for its end hears when the last of these is dropped.
    pub detach: Option<(Instant, Sender<()>)>,
    /// Of what connections end with.
    pub told: Throttle,
    /// When a refused connection was last logged.
    pub refusal_logged: Option<Instant>,
}

impl SourceState {
    pub fn new(
        protocol: Option<Arc<dyn Protocol>>,
        deliver: Arc<Deliver>,
        socket: Option<Token>,
    ) -> SourceState {
        SourceState {
            protocol,
            deliver,
            socket,
            connections: BTreeSet::new(),
            share: Share::default(),
            detach: None,
            told: Throttle::default(),
            refusal_logged: None,
        }
    }
}
