//! What a source listens on: a copy of it stays here, for a successor at the same address.
//!
//! Belongs to the main thread.

use crate::net::{Dropped, Endpoint};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// A copy of what a source listens on, and where it wanted to.
pub struct Socket {
    pub(super) endpoint: Endpoint,
    pub(super) copy: Copy,
}

pub(super) enum Copy {
    Tcp(TcpListener),
    Udp(UdpSocket, Option<Dropped>),
}

impl Socket {
    pub(super) fn is_at(&self, other: &Socket) -> bool {
        let same_kind = matches!(
            (&self.copy, &other.copy),
            (Copy::Tcp(_), Copy::Tcp(_)) | (Copy::Udp(..), Copy::Udp(..))
        );
        same_kind && self.endpoint == other.endpoint
    }

    /// Whether what cannot be had now may be once this one is closed.
    pub(super) fn stands_in_the_way(&self, endpoint: &Endpoint, is_tcp: bool) -> bool {
        matches!(self.copy, Copy::Tcp(_)) == is_tcp && self.endpoint.port == endpoint.port
    }

    pub(super) fn tcp_at(&self, endpoint: &Endpoint) -> Option<&TcpListener> {
        match &self.copy {
            Copy::Tcp(l) if self.endpoint == *endpoint => Some(l),
            _ => None,
        }
    }

    pub(super) fn udp_at(&self, endpoint: &Endpoint) -> Option<(&UdpSocket, &Option<Dropped>)> {
        match &self.copy {
            Copy::Udp(s, dropped) if self.endpoint == *endpoint => Some((s, dropped)),
            _ => None,
        }
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        match &self.copy {
            Copy::Tcp(l) => l.local_addr(),
            Copy::Udp(s, _) => s.local_addr(),
        }
    }
}
