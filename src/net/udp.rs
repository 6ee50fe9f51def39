//! Datagrams: read many, store them as one batch. UDP cannot wait: what finds no room is dropped and counted.
//!
//! Where an interceptor or the selector may block the pool has one batch after the other, and a bounded number of them
//! waits for that; what comes beyond is dropped and counted too. Belongs to its loop's thread.

use super::job::{Done, Job, Undone};
use super::names::Names;
use super::throttle::Throttle;
use super::{plain_ip, DatagramProtocol, Peer};
use crate::channel::{PutError, TicketState, Waiter, Wake};
use crate::deliver::{Attempt, Deliver, Delivery};
use crate::event::Batch;
use ahead::Ahead;
use mio::net::UdpSocket;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

mod ahead;

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
    /// Bytes it was last counted with.
    pub charged: usize,
    ahead: Ahead,
    /// Stored batches whose tickets are open.
    open: VecDeque<Delivery>,
    told: Throttle,
    drops: Drops,
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
            charged: 0,
            ahead: Ahead::default(),
            open: VecDeque::new(),
            told: Throttle::default(),
            drops: Drops::default(),
            last_read: None,
        }
    }

    /// Its source stops: what the socket holds is read once.
    pub fn stop(&mut self) {
        self.last_read.get_or_insert(LAST_READ);
    }

    /// Reads and stores up to a turn's worth. `most_waiting`: bytes that may wait for the pool. `true` when more may wait
    /// in the socket.
    pub fn step(&mut self, scratch: &mut [u8], names: &Names, most_waiting: usize, now: Instant) -> bool {
        self.settle();
        self.place_done(now);
        if let Some(n) = self.drops.take(now) {
            log::warn!("source {}: {n} more datagrams dropped", self.source_name());
        }
        let limits = self.deliver.limits();
        let turn = self.last_read.map_or(PER_TURN, |n| n.min(PER_TURN));
        let mut left = turn;
        while left > 0 {
            let mut batch = Batch::new();
            let mut drained = false;
            while left > 0 && batch.len() < limits.events && batch.weight() < limits.bytes {
                match self.socket.recv_from(scratch) {
                    Ok((n, addr)) => {
                        left -= 1;
                        let name = self.protocol.wants_peer_name().then(|| name_of(names, addr.ip()));
                        let peer = Peer { addr, name, is_local: addr.ip().is_loopback() };
                        if !self.protocol.decode(&scratch[..n], &peer, &mut batch) {
                            self.deliver.counters.event_read_fail.one();
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        drained = true;
                        break;
                    }
                    Err(e) => {
                        left -= 1;
                        self.deliver.counters.event_read_fail.one();
                        if let Some(note) = self.told.pass(now) {
                            log::warn!("source {}: receive: {e}{note}", self.deliver.counters.name);
                        }
                    }
                }
            }
            self.store(batch, most_waiting, now);
            if drained {
                self.last_read = self.last_read.map(|_| 0);
                return false;
            }
        }
        self.last_read = self.last_read.map(|n| n - turn);
        self.last_read != Some(0)
    }

    fn store(&mut self, batch: Batch, most_waiting: usize, now: Instant) {
        if batch.is_empty() {
            return;
        }
        let counters = &self.deliver.counters;
        let n = batch.len();
        counters.event_received.add(n);
        if self.deliver.may_block() {
            if let Err(batch) = self.ahead.push(batch, most_waiting) {
                let why = || "too many wait for the interceptors and the selector".to_owned();
                self.drop_events(batch.len(), why, now);
            }
            return;
        }
        let delivery = self.deliver.prepare(batch);
        // What the interceptors dropped is as good as stored.
        counters.event_accepted.add(n - delivery.events());
        self.place(delivery, now);
        self.settle();
    }

    /// Stores the longest front that finds room, by halves, and drops the rest. `true` when all was stored.
    fn place(&mut self, mut delivery: Delivery, now: Instant) -> bool {
        let hasty = Waiter::hasty(now, self.wake.clone());
        let refused = match delivery.attempt(&self.deliver, Some(&hasty), &self.wake) {
            Attempt::Stored => {
                self.open.push_back(delivery);
                return true;
            }
            refused => refused,
        };
        let too_large = matches!(refused, Attempt::Refused(PutError::TooLarge(_)));
        if too_large || matches!(refused, Attempt::Full(_)) {
            if let Some(rest) = delivery.split() {
                let stored = self.place(delivery, now);
                if stored || too_large {
                    return self.place(rest, now) && stored;
                }
                self.refuse(rest.events(), &refused, now);
                return false;
            }
        }
        self.refuse(delivery.events(), &refused, now);
        false
    }

    /// The channels did not take these.
    fn refuse(&mut self, n: usize, refused: &Attempt, now: Instant) {
        self.deliver.counters.channel_write_fail.one();
        match refused {
            Attempt::Full(c) => {
                let why = || format!("channel {} is full: {}", c.name(), c.counters().describe_full());
                self.drop_events(n, why, now);
            }
            Attempt::Refused(e) => self.drop_events(n, || e.to_string(), now),
            Attempt::Stored => self.drop_events(n, || "stored, but not for good".to_owned(), now),
        }
    }

    fn drop_events(&mut self, n: usize, why: impl FnOnce() -> String, now: Instant) {
        self.deliver.counters.event_dropped.add(n);
        self.drops.untold += n;
        if let Some(n) = self.drops.take(now) {
            log::warn!("source {}: {n} datagrams dropped, {}", self.deliver.counters.name, why());
        }
    }

    /// What is to be taken to the pool.
    pub fn take_job(&mut self) -> Option<Job> {
        self.ahead.take_job(&self.deliver)
    }

    /// It is back.
    pub fn bring_back(&mut self, done: Result<Done, Undone>) {
        self.ahead.bring_back(done);
    }

    /// Bytes to count against the agent's budget.
    pub fn in_flight(&self) -> usize {
        self.ahead.charge()
    }

    /// Stores what is back from the pool.
    fn place_done(&mut self, now: Instant) {
        match self.ahead.take_done() {
            Some((_, Ok(Done { events, delivery, .. }))) => {
                self.deliver.counters.event_accepted.add(events - delivery.events());
                self.place(delivery, now);
                self.settle();
            }
            Some((n, Err(why))) => self.drop_events(n, || why.to_owned(), now),
            None => {}
        }
    }

    /// Ends the stored batches at the front whose tickets have ended.
    fn settle(&mut self) {
        while let Some(d) = self.open.front() {
            let outcome = d.settle(&self.deliver);
            let n = d.events();
            match outcome {
                TicketState::Open => return,
                TicketState::Done => self.deliver.counters.event_accepted.add(n),
                TicketState::Failed(why) => {
                    self.refuse(n, &Attempt::Refused(PutError::Down(why)), Instant::now());
                }
            }
            self.open.pop_front();
        }
    }

    /// Whether a stopping source is through with it.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.ahead.is_empty() && self.last_read.unwrap_or(0) == 0
    }

    pub fn source_name(&self) -> &str {
        &self.deliver.counters.name
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        let unprepared = self.ahead.events();
        self.deliver.counters.event_dropped.add(unprepared);
        if unprepared > 0 {
            let source = self.source_name();
            log::warn!(
                "source {source}: {unprepared} datagrams were not through the interceptors and the selector"
            );
        }
        // Stored perhaps, but nobody will know.
        let open: usize = self.open.iter().map(Delivery::events).sum();
        self.deliver.counters.event_dropped.add(open);
        if open > 0 {
            log::warn!("source {}: {open} datagrams were not known to be stored", self.source_name());
        }
        let n = self.drops.untold;
        if n > 0 {
            log::warn!("source {}: {n} more datagrams dropped", self.source_name());
        }
    }
}

/// What was dropped and has not been logged.
#[derive(Default)]
struct Drops {
    untold: usize,
    told: Throttle,
}

impl Drops {
    /// `Some` when there are such and a line may be logged now: their number.
    fn take(&mut self, now: Instant) -> Option<usize> {
        let may_tell = self.untold > 0 && self.told.pass(now).is_some();
        may_tell.then(|| std::mem::take(&mut self.untold))
    }
}

/// The peer's name if it is known by now; the address until then, because datagrams do not wait.
fn name_of(names: &Names, ip: std::net::IpAddr) -> String {
    let ip = plain_ip(ip);
    names.now(ip).unwrap_or_else(|| ip.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_drop_is_told_once() {
        let t0 = Instant::now();
        let mut drops = Drops::default();
        assert_eq!(drops.take(t0), None);
        drops.untold += 3;
        assert_eq!(drops.take(t0), Some(3));
        for _ in 0..500 {
            drops.untold += 2;
            assert_eq!(drops.take(t0), None);
        }
        assert_eq!(drops.take(t0 + Duration::from_secs(2)), Some(1000));
        assert_eq!(drops.take(t0 + Duration::from_secs(4)), None);
    }
}
