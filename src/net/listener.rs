//! Accepting connections. An error of accept never ends a listener: out of descriptors means a pause.

use super::throttle::Throttle;
use mio::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections accepted per turn.
const PER_TURN: usize = 64;
/// How long to wait when there are no descriptors or no memory for another connection.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    pub socket: TcpListener,
    /// Not before this: descriptors had run out.
    pub pause_until: Option<Instant>,
    told: Throttle,
}

pub(super) enum Accepted {
    /// Nobody else is waiting.
    Drained,
    /// More may be waiting.
    More,
    /// Try again later.
    Paused(Instant),
}

impl Listener {
    pub fn new(socket: TcpListener) -> Listener {
        Listener { socket, pause_until: None, told: Throttle::default() }
    }

    /// Accepts up to a turn's worth of connections.
    pub fn accept(
        &mut self,
        source: &str,
        now: Instant,
        into: &mut Vec<(TcpStream, SocketAddr)>,
    ) -> Accepted {
        if let Some(at) = self.pause_until.filter(|at| *at > now) {
            return Accepted::Paused(at);
        }
        self.pause_until = None;
        for _ in 0..PER_TURN {
            match self.socket.accept() {
                Ok(pair) => into.push(pair),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Accepted::Drained,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => {
                    if let Some(note) = self.told.pass(now) {
                        log::error!("source {source}: cannot accept, trying again: {e}{note}");
                    }
                    let at = now + PAUSE;
                    self.pause_until = Some(at);
                    return Accepted::Paused(at);
                }
            }
        }
        Accepted::More
    }
}
