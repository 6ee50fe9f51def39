//! Datagrams: read many, store them as one batch. UDP cannot wait: what finds no room is dropped and counted.

use super::names::Names;
use super::throttle::Throttle;
use super::{plain_ip, DatagramProtocol, Peer};
use crate::channel::{TicketState, Wake};
use crate::deliver::{Attempt, Deliver, Delivery};
use crate::event::Batch;
use mio::net::UdpSocket;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Datagrams read per turn.
const PER_TURN: usize = 1024;
/// What may still come once its source stops: more than a receive buffer holds.
const LAST_READ: usize = 1 << 16;
/// The largest datagram there is, and a byte to tell that nothing was cut.
pub(super) const LARGEST: usize = 65_536;

pub(super) struct Datagrams {
    pub socket: UdpSocket,
    pub wake: Arc<dyn Wake>,
    protocol: Box<dyn DatagramProtocol>,
    deliver: Arc<Deliver>,
    /// Stored batches whose tickets are open.
    open: VecDeque<Delivery>,
    told: Throttle,
    /// Datagrams it may still read, once its source stops.
    last_read: Option<usize>,
}

impl Datagrams {
    pub fn new(
        socket: UdpSocket,
        protocol: Box<dyn DatagramProtocol>,
        deliver: Arc<Deliver>,
        wake: Arc<dyn Wake>,
    ) -> Datagrams {
        Datagrams {
            socket,
            wake,
            protocol,
            deliver,
            open: VecDeque::new(),
            told: Throttle::default(),
            last_read: None,
        }
    }

    /// Its source stops: what the socket holds is read once.
    pub fn stop(&mut self) {
        self.last_read.get_or_insert(LAST_READ);
    }

    /// Reads and stores up to a turn's worth. `true` when more may wait.
    pub fn step(&mut self, scratch: &mut [u8], names: &Names, now: Instant) -> bool {
        self.settle();
        let limits = self.deliver.limits();
        let turn = self.last_read.map_or(PER_TURN, |n| n.min(PER_TURN));
        let mut left = turn;
        while left > 0 {
            let mut batch = Batch::new();
            let mut bytes = 0;
            let mut drained = false;
            while left > 0 && batch.len() < limits.events && bytes + LARGEST / 32 < limits.bytes.max(LARGEST)
            {
                match self.socket.recv_from(scratch) {
                    Ok((n, addr)) => {
                        left -= 1;
                        bytes += n;
                        let name = self.protocol.wants_peer_name().then(|| name_of(names, addr.ip()));
                        let peer = Peer { addr, name };
                        if !self.protocol.decode(&scratch[..n], &peer, &mut batch) {
                            self.deliver.counters.event_read_fail.one();
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        if e.kind() != io::ErrorKind::WouldBlock {
                            self.deliver.counters.event_read_fail.one();
                            if let Some(note) = self.told.pass(now) {
                                log::warn!("source {}: receive: {e}{note}", self.deliver.counters.name);
                            }
                        }
                        drained = true;
                        break;
                    }
                }
            }
            self.store(batch, now);
            if drained {
                self.last_read = self.last_read.map(|_| 0);
                return false;
            }
        }
        self.last_read = self.last_read.map(|n| n - turn);
        self.last_read != Some(0)
    }

    fn store(&mut self, batch: Batch, now: Instant) {
        if batch.is_empty() {
            return;
        }
        let counters = &self.deliver.counters;
        let n = batch.len();
        counters.event_received.add(n);
        let mut delivery = self.deliver.prepare(batch);
        let why = match delivery.attempt(&self.deliver, None, &self.wake) {
            Attempt::Stored => {
                counters.event_accepted.add(n);
                self.open.push_back(delivery);
                return self.settle();
            }
            Attempt::Full(c) => format!("channel {} is full: {}", c.name(), c.counters().describe_full()),
            Attempt::Refused(e) => e.to_string(),
        };
        counters.channel_write_fail.one();
        counters.event_dropped.add(n);
        if let Some(note) = self.told.pass(now) {
            log::warn!("source {}: {n} datagrams dropped, {why}{note}", counters.name);
        }
    }

    fn settle(&mut self) {
        while let Some(d) = self.open.front() {
            let counters = &self.deliver.counters;
            match d.settle(&self.deliver) {
                TicketState::Open => return,
                TicketState::Done => {}
                TicketState::Failed(why) => {
                    counters.channel_write_fail.one();
                    counters.event_dropped.add(d.events());
                    log::error!("source {}: {} datagrams are lost: {why}", counters.name, d.events());
                }
            }
            self.open.pop_front();
        }
    }

    /// Whether a stopping source is through with it.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.last_read.unwrap_or(0) == 0
    }

    pub fn source_name(&self) -> &str {
        &self.deliver.counters.name
    }
}

/// The peer's name if it is known by now; the address until then, because datagrams do not wait.
fn name_of(names: &Names, ip: std::net::IpAddr) -> String {
    let ip = plain_ip(ip);
    names.cached(ip).unwrap_or_else(|| {
        names.ask(ip, |_| {});
        ip.to_string()
    })
}
