//! A connection's batches on their way: parked before a full channel, or stored with tickets open.
//!
//! ```text
//!   offer -> room in every channel? -- yes --> slot, until its tickets end, answered in turn
//!                 |  ^                           |
//!                 no | woken, or time            | failed, and the protocol has no answer
//!                 v  |                           v
//!               parked  <------------------------+
//!                 | keep-alive over, and the protocol has an answer
//!                 v
//!               slot, refused
//! ```
//! Belongs to its connection, on the loop's thread.

use super::throttle::Throttle;
use super::Outcome;
use crate::channel::{Channel, PutError, TicketState, Waiter, Wake};
use crate::deliver::{Attempt, Deliver, Delivery};
use crate::event::Batch;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A channel that is down is tried again after this.
const RETRY: Duration = Duration::from_millis(200);
/// A connection parked this long is worth a log line.
const TELL: Duration = Duration::from_secs(1);

/// A batch whose tickets are open.
struct Slot {
    asked: usize,
    delivery: Delivery,
    outcome: Option<Result<(), String>>,
}

/// A batch that waits for its channels.
struct Parked {
    asked: usize,
    delivery: Delivery,
    place: Place,
}

/// Where and how long a batch waits.
struct Place {
    waiter: Waiter,
    /// The channel in whose line it stands.
    channel: Option<Arc<dyn Channel>>,
    refuse_at: Option<Instant>,
    retry_at: Option<Instant>,
    told: bool,
}

impl Place {
    fn new(now: Instant, wake: &Arc<dyn Wake>) -> Place {
        let waiter = Waiter::new(now, wake.clone());
        Place { waiter, channel: None, refuse_at: None, retry_at: None, told: false }
    }

    fn leave(&mut self) {
        if let Some(c) = self.channel.take() {
            c.leave(&self.waiter);
        }
    }

    /// Says once that a source waits for a full channel, and what is known of why.
    fn tell(&mut self, source: &str, now: Instant) {
        let Some(c) = self.channel.as_ref().filter(|_| !self.told && self.waiter.since + TELL <= now) else {
            return;
        };
        self.told = true;
        tell_full(source, "waits", c);
    }
}

/// Logs, at a bounded rate, that a source meets a full channel, and what is known of why it is full.
fn tell_full(source: &str, what: &str, c: &Arc<dyn Channel>) {
    if c.counters().may_tell_full() {
        log::warn!("source {source} {what}, channel {} is full: {}", c.name(), c.counters().describe_full());
    }
}

pub(super) struct Pending {
    pub deliver: Arc<Deliver>,
    /// Whether the protocol can tell a sender no. Where it cannot, a batch waits for ever.
    pub can_refuse: bool,
    wake: Arc<dyn Wake>,
    /// For logs.
    peer: SocketAddr,
    slots: VecDeque<Slot>,
    parked: VecDeque<Parked>,
    /// Events of the batch being stored: in neither list, should storing it panic.
    in_hand: usize,
    told: Throttle,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Pending {
    pub fn new(deliver: Arc<Deliver>, wake: Arc<dyn Wake>, peer: SocketAddr) -> Pending {
        let (slots, parked) = (VecDeque::new(), VecDeque::new());
        Pending {
            deliver,
            can_refuse: false,
            wake,
            peer,
            slots,
            parked,
            in_hand: 0,
            told: Throttle::default(),
        }
    }

    /// Nothing waits and no answer is open.
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.slots.is_empty()
    }

    pub fn is_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Answers that are open.
    pub fn open(&self) -> usize {
        self.slots.len()
    }

    /// Takes a decoded batch.
    pub fn offer(&mut self, batch: Batch, now: Instant) {
        let asked = batch.len();
        self.deliver.counters.event_received.add(asked);
        self.in_hand = asked;
        let delivery = self.deliver.prepare(batch);
        self.store(asked, delivery, None, now);
        self.in_hand = 0;
    }

    /// Tries to store a batch; queues its answer, or parks it (again).
    fn store(&mut self, asked: usize, mut delivery: Delivery, mut place: Option<Place>, now: Instant) {
        let mut attempt = delivery.attempt(&self.deliver, place.as_ref().map(|p| &p.waiter), &self.wake);
        if let (Attempt::Full(_), None) = (&attempt, &place) {
            let p = place.insert(Place::new(now, &self.wake));
            attempt = delivery.attempt(&self.deliver, Some(&p.waiter), &self.wake);
        }
        let mut place = place.unwrap_or_else(|| Place::new(now, &self.wake));
        let refusal = match attempt {
            Attempt::Stored => {
                if place.told {
                    let waited = now.saturating_duration_since(place.waiter.since).as_secs_f64();
                    log::info!("source {} stores again after {waited:.1} s", self.deliver.counters.name);
                }
                place.leave();
                return self.queue_answer(asked, delivery, None);
            }
            Attempt::Full(channel) => {
                let patience = channel.limits().keep_alive;
                if self.can_refuse {
                    place.refuse_at.get_or_insert(place.waiter.since + patience);
                }
                let why = format!("channel {} is full", channel.name());
                if place.channel.as_ref().is_some_and(|c| !Arc::ptr_eq(c, &channel)) {
                    place.leave();
                }
                place.channel = Some(channel);
                place.retry_at = None;
                let over = place.refuse_at.is_some_and(|at| at <= now);
                if let (true, Some(c)) = (over, &place.channel) {
                    tell_full(&self.deliver.counters.name, "refuses", c);
                }
                over.then_some(why)
            }
            Attempt::Refused(PutError::Down(_)) if !self.can_refuse => {
                place.leave();
                place.retry_at = Some(now + RETRY);
                None
            }
            Attempt::Refused(e) => Some(e.to_string()),
        };
        match refusal {
            Some(why) => {
                place.leave();
                self.queue_answer(asked, delivery, Some(Err(why)));
            }
            None => {
                self.deliver.counters.parked.add(1);
                delivery.compact();
                self.parked.push_back(Parked { asked, delivery, place });
            }
        }
    }

    /// Tries again what is parked, in order.
    pub fn retry(&mut self, now: Instant) {
        for _ in 0..self.parked.len() {
            let Some(p) = self.parked.front_mut() else { return };
            if p.place.retry_at.is_some_and(|at| at > now) {
                return;
            }
            p.place.tell(&self.deliver.counters.name, now);
            let Some(p) = self.parked.pop_front() else { return };
            self.deliver.counters.parked.add(-1);
            let others = self.parked.len();
            self.in_hand = p.asked;
            self.store(p.asked, p.delivery, Some(p.place), now);
            self.in_hand = 0;
            if self.parked.len() > others {
                self.parked.rotate_right(1);
                return;
            }
        }
    }

    /// Puts an answer behind those that are open. Without an outcome the delivery's tickets decide.
    fn queue_answer(&mut self, asked: usize, delivery: Delivery, outcome: Option<Result<(), String>>) {
        self.slots.push_back(Slot { asked, delivery, outcome });
    }

    /// Answers the slots at the front whose tickets have ended: `answer` gets the number of events and the outcome.
    pub fn settle(&mut self, answer: &mut dyn FnMut(usize, Outcome<'_>)) {
        while let Some(slot) = self.slots.front_mut() {
            if slot.outcome.is_none() {
                slot.outcome = match slot.delivery.settle(&self.deliver) {
                    TicketState::Open => return,
                    TicketState::Done => Some(Ok(())),
                    TicketState::Failed(why) => Some(Err(why)),
                };
                if let (Some(Err(why)), false) = (&slot.outcome, self.can_refuse) {
                    if let Some(note) = self.told.pass(Instant::now()) {
                        log::warn!(
                            "source {}: a batch is stored again: {why}{note}",
                            self.deliver.counters.name
                        );
                    }
                    self.store_again();
                    continue;
                }
            }
            let slot = self.slots.pop_front().expect("looked at above");
            let counters = &self.deliver.counters;
            let stored = match slot.outcome.expect("set above") {
                Ok(()) => {
                    counters.event_accepted.add(slot.asked);
                    Ok(())
                }
                Err(why) => {
                    counters.channel_write_fail.one();
                    if self.can_refuse {
                        counters.event_refused.add(slot.asked);
                    } else {
                        counters.event_dropped.add(slot.asked);
                        if let Some(note) = self.told.pass(Instant::now()) {
                            let (source, n) = (&counters.name, slot.asked);
                            log::error!(
                                "source {source}: {n} events from {} are lost: {why}{note}",
                                self.peer
                            );
                        }
                    }
                    Err(why)
                }
            };
            let outcome = match &stored {
                Ok(()) => Outcome::Stored,
                Err(why) => Outcome::Refused(why),
            };
            answer(slot.asked, outcome);
        }
    }

    /// The channel did not keep the batch at the front, and its sender cannot be told: it is parked for another try.
    fn store_again(&mut self) {
        let Some(slot) = self.slots.pop_front() else { return };
        self.deliver.counters.channel_write_fail.one();
        let now = Instant::now();
        let mut place = Place::new(now, &self.wake);
        place.retry_at = Some(now + RETRY);
        self.deliver.counters.parked.add(1);
        self.parked.push_back(Parked { asked: slot.asked, delivery: slot.delivery, place });
    }

    /// Refuses what is parked, and what is stored but not known to be durable: the sender may repeat it. Returns the
    /// number of events.
    pub fn give_up(&mut self, why: &str) -> usize {
        for slot in self.slots.iter_mut().filter(|s| s.outcome.is_none()) {
            slot.outcome = match slot.delivery.settle(&self.deliver) {
                TicketState::Done => Some(Ok(())),
                _ => Some(Err(why.to_owned())),
            };
        }
        for Parked { asked, delivery, .. } in self.parked.drain(..) {
            self.deliver.counters.parked.add(-1);
            self.slots.push_back(Slot { asked, delivery, outcome: Some(Err(why.to_owned())) });
        }
        self.slots.iter().filter(|s| matches!(s.outcome, Some(Err(_)))).map(|s| s.asked).sum()
    }

    /// Gives up everything that is not stored; returns how many events that is. Open tickets no longer have anyone
    /// to answer to: their events may well be stored.
    pub fn abandon(&mut self) -> usize {
        let mut lost = std::mem::take(&mut self.in_hand);
        let counters = self.deliver.counters.clone();
        for mut p in self.parked.drain(..) {
            counters.parked.add(-1);
            p.place.leave();
            lost += p.asked;
        }
        let unanswered: usize = self.slots.drain(..).map(|s| s.asked).sum();
        lost += unanswered;
        if self.can_refuse {
            counters.event_refused.add(lost);
        } else {
            counters.event_dropped.add(lost);
        }
        lost
    }

    /// When something here wants to be looked at although nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let place = &self.parked.front()?.place;
        let tell = (!place.told && place.channel.is_some()).then(|| place.waiter.since + TELL);
        [tell, place.refuse_at, place.retry_at].into_iter().flatten().min()
    }

    /// Bytes kept alive.
    pub fn in_flight(&self) -> usize {
        let waiting = self.parked.iter().map(|p| p.delivery.charge());
        let open = self.slots.iter().map(|s| s.delivery.charge());
        waiting.sum::<usize>() + open.sum::<usize>()
    }
}
