//! What Flume calls the channel processor: interceptors, selector, then a batch into its channels.
//!
//! [`Deliver::prepare`] runs interceptors and selector once; it may block where one of them says so. [`Delivery::attempt`] reserves room in every required
//! channel, all or none, and appends; it never blocks, so the event loop calls it itself. A full channel leaves the
//! delivery as it is, to be attempted again. Optional channels are tried once, without waiting, after the required
//! ones; their tickets are not awaited.
//!
//! Reserved room cannot vanish, but a channel may fail before append or sync. Then the batch is refused although
//! another channel may keep it, and a retry duplicates it there: counted as `PartlyStoredBatchCount`.

use crate::channel::{Channel, Put, PutError, Room, Ticket, TicketState, Waiter, Wake};
use crate::codec::BatchLimits;
use crate::counters::SourceCounters;
use crate::event::{Batch, Events};
use crate::interceptor::Chain;
use crate::selector::{Part, Selector};
use std::sync::Arc;
use std::time::Instant;

mod place;

pub use place::{tell_full, Place};

/// A source's way to its channels. Shared by everything that reads for the source.
pub struct Deliver {
    pub counters: Arc<SourceCounters>,
    chain: Chain,
    selector: Box<dyn Selector>,
    channels: Vec<Arc<dyn Channel>>,
    /// The channels that some event may require.
    required: Vec<usize>,
    may_block: bool,
}

/// A batch on its way into its channels.
#[derive(Default)]
pub struct Delivery {
    parts: Vec<Part>,
    /// Of each part, which events of the delivery are in it, when not all.
    picks: Vec<Option<Picks>>,
    /// Places in the batch of those that go to no required channel, until they are counted.
    unrouted: Vec<u32>,
    /// Why, if it is time to say so.
    why_unrouted: Option<String>,
    events: usize,
    /// The number of its first event among those of the whole batch.
    first: usize,
    charge: usize,
    /// Counted as attempted.
    tried: bool,
    tickets: Vec<Ticket>,
}

/// Places of events in their batch, in order; those before `from` are in another delivery.
#[derive(Clone)]
struct Picks {
    all: Arc<[u32]>,
    from: usize,
}

/// What an attempt came to.
pub enum Attempt {
    /// Appended everywhere; [`Delivery::settle`] tells when the tickets are done.
    Stored,
    /// This channel has no room. Nothing was stored.
    Full(Arc<dyn Channel>),
    /// A channel refused, or failed after another had stored.
    Refused(PutError),
}

impl Deliver {
    pub fn new(
        counters: Arc<SourceCounters>,
        chain: Chain,
        selector: Box<dyn Selector>,
        channels: Vec<Arc<dyn Channel>>,
    ) -> Deliver {
        let required = selector.may_require();
        let may_block = chain.may_block() || selector.may_block();
        Deliver { counters, chain, selector, channels, required, may_block }
    }

    /// The largest batch that every channel it may need can take in one transaction, at this moment.
    pub fn limits(&self) -> BatchLimits {
        let limits = self.required.iter().map(|&c| self.channels[c].limits());
        limits.fold(BatchLimits { events: 10_000, bytes: usize::MAX }, |b, l| BatchLimits {
            events: b.events.min(l.transaction_capacity).min(l.capacity),
            // Half: what a batch is charged includes records and what it pins.
            bytes: b.bytes.min(l.byte_capacity / 2),
        })
    }

    /// The most events of one call, which is stored whole: what every channel it may need takes in one transaction.
    pub fn call_limits(&self) -> BatchLimits {
        let all = self.required.iter().map(|&c| self.channels[c].limits());
        let events = all.map(|l| l.transaction_capacity.min(l.capacity)).min().unwrap_or(usize::MAX);
        BatchLimits { events, ..self.limits() }
    }

    pub fn uses(&self, channel: &Arc<dyn Channel>) -> bool {
        self.channels.iter().any(|c| Arc::ptr_eq(c, channel))
    }

    /// Whether [`prepare`](Deliver::prepare) may block: it is then not called by a loop, but by a thread of its pool.
    pub fn may_block(&self) -> bool {
        self.may_block
    }

    /// Runs the interceptors and routes what they leave.
    pub fn prepare(&self, mut batch: Batch) -> Delivery {
        if !batch.is_empty() {
            self.chain.run(&mut batch);
        }
        if batch.is_empty() {
            return Delivery::default();
        }
        let batch = Arc::new(batch);
        let all = Events::all(batch.clone());
        let (events, charge) = (all.len(), all.charge());
        let routed = self.selector.route(&batch);
        let first = routed.unrouted.first().filter(|_| self.counters.may_tell_unrouted());
        let why_unrouted = first.map(|i| self.selector.why_unrouted(batch.get(*i as usize)));
        let picks = routed.parts.iter().map(|p| p.events.picks().map(|all| Picks { all, from: 0 })).collect();
        let unrouted = routed.unrouted;
        Delivery { parts: routed.parts, picks, unrouted, why_unrouted, events, charge, ..Delivery::default() }
    }
}

impl Delivery {
    /// Events that the interceptors left.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Cuts off the second half of the events, if there is more than one. Every channel gets in each half what it gets
    /// of that half's events.
    pub fn split(&mut self) -> Option<Delivery> {
        if self.events < 2 {
            return None;
        }
        let half = self.events / 2;
        let middle = self.first + half;
        let mut rest = Delivery {
            events: self.events - half,
            first: middle,
            charge: self.charge.div_ceil(2),
            tried: self.tried,
            ..Delivery::default()
        };
        (self.events, self.charge) = (half, self.charge / 2);
        let parts = std::mem::take(&mut self.parts).into_iter().zip(std::mem::take(&mut self.picks));
        for (Part { channel, mut events, required }, picks) in parts {
            let n =
                picks.as_ref().map_or(half, |p| p.all[p.from..].partition_point(|i| (*i as usize) < middle));
            let front = events.split_to(n);
            let of_rest = picks.clone().map(|p| Picks { from: p.from + n, ..p });
            self.add(Part { channel, events: front, required }, picks);
            rest.add(Part { channel, events, required }, of_rest);
        }
        rest.unrouted = self.unrouted.split_off(self.unrouted.partition_point(|i| (*i as usize) < middle));
        if self.unrouted.is_empty() {
            rest.why_unrouted = self.why_unrouted.take();
        }
        Some(rest)
    }

    fn add(&mut self, part: Part, picks: Option<Picks>) {
        if !part.events.is_empty() {
            self.parts.push(part);
            self.picks.push(picks);
        }
    }

    /// Lets go of buffers that these events would mostly waste, before a wait that may be long.
    pub fn compact(&mut self) {
        // Channels that get all events share one copy.
        let mut whole: Option<Events> = None;
        for (p, picks) in self.parts.iter_mut().zip(&self.picks) {
            p.events = match (picks, &whole) {
                (None, Some(copy)) => copy.clone(),
                _ => p.events.clone().compact(),
            };
            if picks.is_none() {
                whole = Some(p.events.clone());
            }
        }
        self.charge = kept_alive(&self.parts);
    }

    /// Bytes this delivery keeps alive.
    pub fn charge(&self) -> usize {
        self.charge
    }

    /// Tries to store the batch. `waiter` stands in line at the channel that is full, unless it is a hasty one; `wake` is called when open
    /// tickets end.
    pub fn attempt(&mut self, to: &Deliver, waiter: Option<&Waiter>, wake: &Arc<dyn Wake>) -> Attempt {
        self.tickets.clear();
        if !std::mem::replace(&mut self.tried, true) {
            self.parts.iter().for_each(|p| to.channels[p.channel].counters().put_attempt.add(p.events.len()));
        }
        let required = self.parts.iter().take_while(|p| p.required);
        let mut room = Vec::with_capacity(self.parts.len());
        for p in required {
            let channel = &to.channels[p.channel];
            match reserve(channel, Room::of(&p.events), waiter) {
                Ok(put) => room.push(put),
                Err(PutError::Full) => return Attempt::Full(channel.clone()),
                Err(e) => return Attempt::Refused(e),
            }
        }
        for (put, p) in room.into_iter().zip(&self.parts) {
            match put.append(p.events.clone(), wake) {
                Ok(ticket) => self.tickets.push(ticket),
                Err(e) => {
                    if !self.tickets.is_empty() {
                        to.counters.partly_stored.one();
                    }
                    return Attempt::Refused(e);
                }
            }
        }
        for p in self.parts.iter().skip_while(|p| p.required) {
            let channel = &to.channels[p.channel];
            let left = store_front(channel, p.events.clone(), wake);
            if left > 0 {
                to.counters.optional_failed.add(left);
                if channel.counters().may_tell_full() {
                    let (source, name, all) =
                        (&to.counters.name, channel.name(), to.counters.optional_failed.get());
                    let full = channel.counters().describe_full();
                    log::warn!("source {source}: optional channel {name} did not take {left} events ({all} so far): {full}");
                }
            }
        }
        self.count_unrouted(&to.counters);
        Attempt::Stored
    }

    /// Counts, once, what goes nowhere. Not before the others are stored: of a batch that is refused all come again, or
    /// are counted as refused or lost.
    fn count_unrouted(&mut self, counters: &SourceCounters) {
        let n = std::mem::take(&mut self.unrouted).len();
        counters.event_unrouted.add(n);
        if let Some(why) = self.why_unrouted.take() {
            let (name, all) = (&counters.name, counters.event_unrouted.get());
            log::warn!("source {name}: {n} events ({all} so far) go to no channel that is required: {why}");
        }
    }

    /// Where the tickets of a stored batch stand, taken together. A failure is told once no ticket is open, so
    /// that a retry meets no half-way state.
    pub fn settle(&self, to: &Deliver) -> TicketState {
        let mut failed = None;
        let mut done = 0;
        for t in &self.tickets {
            match t.state() {
                TicketState::Open => return TicketState::Open,
                TicketState::Done => done += 1,
                TicketState::Failed(why) => failed = Some(why),
            }
        }
        match failed {
            None => TicketState::Done,
            Some(why) => {
                if done > 0 {
                    to.counters.partly_stored.one();
                }
                TicketState::Failed(why)
            }
        }
    }
}

/// Bytes that these keep alive together: those that are still of one batch share it.
fn kept_alive(parts: &[Part]) -> usize {
    let mut batches: Vec<(&Events, usize)> = Vec::new();
    for p in parts {
        let charge = p.events.charge();
        match batches.iter_mut().find(|(e, _)| e.is_of_the_batch_of(&p.events)) {
            Some((_, most)) => *most = charge.max(*most),
            None => batches.push((&p.events, charge)),
        }
    }
    batches.iter().map(|(_, charge)| charge).sum()
}

/// Stores the longest front of `events` that finds room, in transactions of the channel's size; returns how many
/// events are left over.
fn store_front(channel: &Arc<dyn Channel>, mut events: Events, wake: &Arc<dyn Wake>) -> usize {
    let mut most = channel.limits().transaction_capacity;
    let hasty = Waiter::hasty(Instant::now(), wake.clone());
    while !events.is_empty() && most > 0 {
        let mut rest = events.clone();
        let front = rest.split_to(most);
        let stored =
            Put::reserve(channel, Room::of(&front), Some(&hasty)).and_then(|p| p.append(front, wake));
        match stored {
            Ok(_) => events = rest,
            Err(_) => most = most.min(events.len()) / 2,
        }
    }
    events.len()
}

/// Reserves room, or joins the line; after joining it tries once more, because room may have come free meanwhile.
fn reserve<'a>(
    channel: &'a Arc<dyn Channel>,
    room: Room,
    waiter: Option<&Waiter>,
) -> Result<Put<'a>, PutError> {
    let first = Put::reserve(channel, room, waiter);
    match (&first, waiter) {
        (Err(PutError::Full), Some(w)) if w.waits() => {
            channel.enqueue(w);
            Put::reserve(channel, room, waiter)
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests;
