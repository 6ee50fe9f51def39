//! A connection's batches on their way: parked before a full channel, or stored with tickets open.
//!
//! ```text
//!   offer -> may an interceptor or the selector block? -- yes --> away, until the pool has run them
//!                 no                                              |
//!                 v                                               |
//!            room in every channel?  <----------------------------+
//!                 |  ^      \-- yes --> slot, until its tickets end, answered in turn
//!                 no | woken, or time            | failed, and the protocol has no answer
//!                 v  |                           v
//!               parked  <------------------------+
//!                 | keep-alive over, and the protocol has an answer
//!                 v
//!               slot, refused
//! ```
//! Belongs to its connection, on the loop's thread.

use super::throttle::Throttle;
use crate::channel::{PutError, Wake};
use crate::codec::{Call, CallKind, Refusal};
use crate::deliver::{tell_full, Attempt, Deliver, Delivery, Place};
use crate::event::Batch;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod away;
mod settling;

use away::Away;

/// A channel that is down is tried again after this.
const RETRY: Duration = Duration::from_millis(200);
/// Batches on their way that there is room for while there are none.
const FEW: usize = 4;

/// What an answer is for.
#[derive(Clone, Copy)]
struct Asked {
    events: usize,
    /// The batch is a call.
    call: Option<CallKind>,
}

/// A batch whose tickets are open.
struct Slot {
    asked: Asked,
    delivery: Delivery,
    outcome: Option<Result<(), Refused>>,
}

/// Why a batch is in no channel.
struct Refused {
    why: String,
    /// It will never be: it is more than a channel takes at once.
    is_final: bool,
}

impl Refused {
    fn now(why: String) -> Refused {
        Refused { why, is_final: false }
    }
}

/// A batch that waits for its channels.
struct Parked {
    asked: Asked,
    delivery: Delivery,
    wait: Wait,
}

/// Where and how long a batch waits.
struct Wait {
    place: Place,
    refuse_at: Option<Instant>,
    retry_at: Option<Instant>,
}

impl Wait {
    fn new(now: Instant, wake: &Arc<dyn Wake>) -> Wait {
        Wait { place: Place::new(now, wake), refuse_at: None, retry_at: None }
    }
}

pub(super) struct Pending {
    pub deliver: Arc<Deliver>,
    /// Whether the protocol can tell a sender no. Where it cannot, a batch waits for ever.
    pub can_refuse: bool,
    /// Whether batches are calls.
    pub makes_calls: bool,
    wake: Arc<dyn Wake>,
    /// For logs.
    peer: SocketAddr,
    slots: VecDeque<Slot>,
    parked: VecDeque<Parked>,
    /// What the pool has: its slot, or its place among the parked, is behind all others.
    away: Option<Box<Away>>,
    /// Events of the batch being stored: in neither list, should storing it panic.
    in_hand: usize,
    told: Throttle,
}

impl Pending {
    pub fn new(deliver: Arc<Deliver>, wake: Arc<dyn Wake>, peer: SocketAddr) -> Pending {
        let (slots, parked) = (VecDeque::new(), VecDeque::new());
        Pending {
            deliver,
            can_refuse: false,
            makes_calls: false,
            wake,
            peer,
            slots,
            parked,
            away: None,
            in_hand: 0,
            told: Throttle::default(),
        }
    }

    /// Nothing waits and no answer is open.
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.slots.is_empty() && self.away.is_none()
    }

    pub fn is_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Answers that are open.
    pub fn open(&self) -> usize {
        self.slots.len()
    }

    /// Takes a decoded batch.
    pub fn offer(&mut self, batch: Batch, call: Option<Call>, now: Instant) {
        let Some(asked) = self.receive(batch.len(), call, now) else { return };
        if self.deliver.may_block() && !batch.is_empty() {
            return self.prepare_away(asked, batch);
        }
        self.in_hand = asked.events;
        let delivery = self.deliver.prepare(batch);
        self.store(asked, delivery, None, now);
        self.in_hand = 0;
    }

    /// Counts what was decoded. `None`: it is refused already, and its answer queued.
    fn receive(&mut self, events: usize, call: Option<Call>, now: Instant) -> Option<Asked> {
        let (kind, refused) = call.map_or((None, None), |c| (Some(c.kind), c.refused));
        let events = refused.as_ref().map_or(events, |r| r.events);
        let asked = Asked { events, call: kind };
        let counters = &self.deliver.counters;
        counters.event_received.add(asked.events);
        match kind {
            Some(CallKind::Append) => counters.append_received.one(),
            Some(CallKind::AppendBatch) => counters.append_batch_received.one(),
            Some(CallKind::Question) | None => {}
        }
        let Some(Refusal { why, is_fault, .. }) = refused else { return Some(asked) };
        if is_fault {
            counters.event_read_fail.one();
            counters.event_refused.add(events);
            if let Some(note) = self.told.pass(now) {
                let source = &counters.name;
                log::warn!(
                    "source {source}: a call from {} is answered with an error: {why}{note}",
                    self.peer
                );
            }
            // There is nothing to be stored, and the session knows what the answer is.
            let asked = Asked { events: 0, call: Some(CallKind::Question) };
            self.queue_answer(asked, Delivery::default(), Some(Ok(())));
        } else {
            let refused = Refused { why, is_final: true };
            self.queue_answer(asked, Delivery::default(), Some(Err(refused)));
        }
        None
    }

    /// Tries to store a batch; queues its answer, or parks it (again).
    fn store(&mut self, asked: Asked, mut delivery: Delivery, wait: Option<Wait>, now: Instant) {
        let mut attempt =
            delivery.attempt(&self.deliver, wait.as_ref().map(|w| w.place.waiter()), &self.wake);
        let is_new = wait.is_none();
        let mut wait = wait.unwrap_or_else(|| Wait::new(now, &self.wake));
        if let (Attempt::Full(_), true) = (&attempt, is_new) {
            attempt = delivery.attempt(&self.deliver, Some(wait.place.waiter()), &self.wake);
        }
        let refusal = match attempt {
            Attempt::Stored => {
                wait.place.stored(&self.deliver.counters.name, now);
                return self.queue_answer(asked, delivery, None);
            }
            Attempt::Full(channel) => {
                let patience = channel.limits().keep_alive;
                if self.can_refuse {
                    wait.refuse_at.get_or_insert(wait.place.waiter().since + patience);
                }
                wait.place.stand_at(channel.clone());
                wait.retry_at = None;
                let over = wait.refuse_at.is_some_and(|at| at <= now);
                if over {
                    tell_full(&self.deliver.counters.name, "refuses", &channel);
                }
                over.then(|| {
                    Refused::now(match channel.counters().trouble() {
                        None => format!("channel {} is full", channel.name()),
                        Some(_) => format!("channel {} takes nothing: its disk is full", channel.name()),
                    })
                })
            }
            Attempt::Refused(PutError::Down(_)) if !self.can_refuse => {
                wait.place.leave();
                wait.retry_at = Some(now + RETRY);
                None
            }
            Attempt::Refused(PutError::TooLarge(why)) => match self.halve(asked, &mut delivery) {
                Some((front, rest)) => return self.store_halves((front, delivery), rest, wait, now),
                None => Some(Refused { why, is_final: true }),
            },
            Attempt::Refused(e) => Some(Refused::now(e.to_string())),
        };
        match refusal {
            Some(refused) => self.queue_answer(asked, delivery, Some(Err(refused))),
            None => self.park(asked, delivery, wait),
        }
    }

    /// Cuts a batch in two that is larger than a channel takes at once: interceptors made it grow, or the channel's
    /// limits were lowered. Returns what each half answers for. Where some events were filtered out nobody can tell
    /// which half they were asked with: a protocol with answers has to refuse such a batch. A call is stored whole or not
    /// at all: half of one that is refused would come again, and again, with each new try.
    fn halve(&self, asked: Asked, delivery: &mut Delivery) -> Option<(Asked, (Asked, Delivery))> {
        if asked.call.is_some() || (self.can_refuse && asked.events != delivery.events()) {
            return None;
        }
        let rest = delivery.split()?;
        let of_rest = rest.events().min(asked.events);
        let of = |events| Asked { events, call: None };
        Some((of(asked.events - of_rest), (of(of_rest), rest)))
    }

    /// The second half does not pass the first.
    fn store_halves(&mut self, front: (Asked, Delivery), rest: (Asked, Delivery), wait: Wait, now: Instant) {
        let parked = self.parked.len();
        self.store(front.0, front.1, Some(wait), now);
        if self.parked.len() > parked {
            self.park(rest.0, rest.1, Wait::new(now, &self.wake));
        } else {
            self.store(rest.0, rest.1, None, now);
        }
    }

    fn park(&mut self, asked: Asked, mut delivery: Delivery, wait: Wait) {
        self.deliver.counters.parked.add(1);
        delivery.compact();
        self.parked.push_back(Parked { asked, delivery, wait });
    }

    /// Tries again what is parked, in order.
    pub fn retry(&mut self, now: Instant) {
        for _ in 0..self.parked.len() {
            let Some(p) = self.parked.front_mut() else { return };
            if p.wait.retry_at.is_some_and(|at| at > now) {
                return;
            }
            p.wait.place.tell(&self.deliver.counters.name, now);
            let Some(p) = self.parked.pop_front() else { return };
            self.deliver.counters.parked.add(-1);
            let others = self.parked.len();
            self.in_hand = p.asked.events;
            self.store(p.asked, p.delivery, Some(p.wait), now);
            self.in_hand = 0;
            let again = self.parked.len() - others;
            if again > 0 {
                self.parked.rotate_right(again);
                return;
            }
        }
    }

    /// Puts an answer behind those that are open. Without an outcome the delivery's tickets decide.
    fn queue_answer(&mut self, asked: Asked, delivery: Delivery, outcome: Option<Result<(), Refused>>) {
        self.slots.push_back(Slot { asked, delivery, outcome });
    }

    /// When something here wants to be looked at although nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let wait = &self.parked.front()?.wait;
        [wait.place.tell_at(), wait.refuse_at, wait.retry_at].into_iter().flatten().min()
    }

    /// Bytes kept alive.
    pub fn in_flight(&self) -> usize {
        let waiting = self.parked.iter().map(|p| p.delivery.charge());
        let open = self.slots.iter().map(|s| s.delivery.charge());
        let away = self.away.as_ref().map_or(0, |a| a.charge);
        waiting.sum::<usize>() + open.sum::<usize>() + away
    }
}
