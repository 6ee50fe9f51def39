//! Channels: transactional queues between sources and sinks.
//!
//! A put has three steps, none of which blocks. [`Put::reserve`] sets room aside, so that a batch for several
//! channels is stored in all or in none. [`Put::append`] fills the room; it may still fail. The [`Ticket`] it
//! returns is done once the events are as durable as the channel makes them: at once in memory, after a sync
//! in a file. Only then may a source acknowledge. Who finds a channel full stands in line ([`Waiter`]).
//!
//! A take hands out events and hides them from other takers until it commits or rolls back.
//!
//! [`Put`] and [`Take`] are guards: dropped without commit they roll back. Channels are called from every
//! thread. A channel's own lock is held for memory operations only, never over I/O or a wake-up call.

use crate::config::{Context, Spec};
use crate::counters::ChannelCounters;
use crate::event::{EventRef, Events};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[doc(hidden)]
pub mod file;
#[doc(hidden)]
pub mod flume;
pub mod memory;
#[cfg(test)]
pub mod scripted;
#[doc(hidden)]
pub mod spillable;
mod ticket;
mod waiters;

pub use ticket::{Ticket, TicketState};
pub use waiters::{Waiter, Waiters};

/// Gets a thread going again: the event loop's waker, or a parked worker.
pub trait Wake: Send + Sync {
    fn wake(&self);
}

/// Room asked for or set aside.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Room {
    pub events: usize,
    pub bytes: usize,
}

impl Room {
    pub fn of(events: &Events) -> Room {
        Room { events: events.len(), bytes: events.charge() }
    }
}

/// Room that a channel has set aside, and what it knows that by. It goes back to the channel once: with the events, or
/// without them.
#[derive(PartialEq, Eq, Debug)]
pub struct Reservation {
    pub room: Room,
    /// The channel's own: of no meaning to others.
    pub place: u64,
}

impl Reservation {
    /// In a channel where all room is alike.
    pub fn of(room: Room) -> Reservation {
        Reservation { room, place: 0 }
    }
}

/// What a channel was configured to hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub capacity: usize,
    pub transaction_capacity: usize,
    pub byte_capacity: usize,
    /// How long a source whose protocol can refuse waits for room before it does.
    pub keep_alive: Duration,
    /// Whether committed events survive the process.
    pub durable: bool,
}

/// Why a put was not possible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PutError {
    /// No room now: wait in line, or refuse.
    Full,
    /// This batch can never fit: refuse it for good.
    TooLarge(String),
    /// The channel is not open or has failed: refuse, the sender may try again.
    Down(String),
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full => f.write_str("no room"),
            PutError::TooLarge(why) | PutError::Down(why) => f.write_str(why),
        }
    }
}

/// Why a take, or its commit, was not possible. The events stay in the channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakeError(pub String);

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Events taken together: the number of the first, and the events, which are numbered consecutively.
pub struct Run {
    pub first: u64,
    pub events: Events,
    /// Bytes charged for them.
    pub bytes: usize,
    /// When they were put, ms since the epoch.
    pub put_at: u64,
    /// Whether they would survive the process if they stayed in the channel.
    pub durable: bool,
}

impl Run {
    /// Cuts off the first `n` events and returns them, with their share of the bytes.
    pub fn split_to(&mut self, n: usize) -> Run {
        let len = self.events.len().max(1);
        // In 64 bits: the product may not fit a 32-bit usize.
        let bytes = (self.bytes as u64 * n.min(len) as u64 / len as u64) as usize;
        let front = Run { first: self.first, events: self.events.split_to(n), bytes, ..*self };
        self.first += front.events.len() as u64;
        self.bytes -= bytes;
        front
    }
}

/// What every channel does. Used through [`Put`] and [`Take`], not directly.
///
/// *Threads.* All methods may be called by any thread, at the same time. The event loop's call `reserve`, `release`, `append`,
/// `enqueue`, `leave` and `limits`: these do not block, and do no I/O under a lock that others wait for. `open`, `adapt` and
/// `close` are the main thread's, one at a time; one that takes long is taken up again ([`open`](Channel::open) says
/// `false`). Only `take` waits, and `commit_take` may. Wake-up calls ([`Wake`]) are made with no lock held.
///
/// *Events.* They are visible to takers when `append` has returned or, where the ticket is open, when it is done; never when it
/// has failed. Each has a number that no other event of the channel ever has; those of a [`Run`] are consecutive. Takers
/// get the lowest there is, also among what has come back. An event is hidden while it is taken.
///
/// *Room.* It is set aside by `reserve`, filled by `append`, and free again when the take of its events is committed: an
/// event that comes back by `rollback_take` always fits. What is reserved is not lost by anything but `close`.
///
/// *The line.* `reserve` refuses whom [`Waiters::admits`] does not admit; who gets room leaves the line. Whenever room
/// comes free, and when the head got its room and more is left, the new head is woken. At `close`, everybody is.
///
/// *Tickets.* Every one ends in done or failed, and then the `wake` of its `append` is called. Done means: as durable as
/// `limits().durable` says. A source acknowledges by it.
///
/// *Counters.* The channel counts `put_success` and `lost_at_stop`, and answers [`ChannelCounters::set_measure`]; all others
/// are counted for it.
///
/// *Panics.* One is as one of the source or sink that called. State behind a mutex has to be whole wherever one may happen:
/// locks are taken over from who panicked.
pub trait Channel: Send + Sync {
    fn name(&self) -> &str;
    fn limits(&self) -> Limits;
    fn counters(&self) -> &Arc<ChannelCounters>;

    /// Takes over changed settings while it is in use. `false`: it cannot, and stays as it is.
    fn adapt(&self, settings: &Context, heap: usize) -> bool;

    /// Makes the channel ready; recovers what an earlier process left. Called again until it succeeds: `false` says that
    /// it is at it still.
    fn open(&self) -> Result<bool, String>;
    /// Ends the channel's own work. Nothing is put or taken any more. Returns the number of events lost with it.
    fn close(&self) -> usize;

    /// Sets room aside. `waiter`: who asks, if it stands in line or never will; while the head of the line has waited
    /// [`Waiters::PATIENCE`], nobody else gets room.
    fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<Reservation, PutError>;
    /// Gives room back.
    fn release(&self, reserved: Reservation);
    /// Stores events in room that was reserved for them. Uses the room up, also when it fails.
    /// `wake` is called when the ticket is done, if it is not done yet on return.
    fn append(&self, reserved: Reservation, events: Events, wake: &Arc<dyn Wake>)
        -> Result<Ticket, PutError>;
    /// Stands in line for room; a waiter already in line keeps its place. Room may have come free before this
    /// call: who joined tries once more before it waits.
    fn enqueue(&self, waiter: &Waiter);
    /// Leaves the line.
    fn leave(&self, waiter: &Waiter);

    /// Hides up to `max` of the lowest-numbered events and returns them; waits until `until` for the first,
    /// but no longer once `stop` is set. Who sets it calls [`interrupt_takers`](Channel::interrupt_takers).
    fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError>;
    /// Ends a take, or that part of one: the events are gone for good.
    fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError>;
    /// Ends a take, or that part of one: the events can be taken again.
    fn rollback_take(&self, runs: Vec<Run>);
    /// Makes every waiting take look at its stop flag.
    fn interrupt_takers(&self);
    /// Events that wait or are being delivered.
    fn backlog(&self) -> usize;
    /// Whether it is open; else nobody knows what it holds.
    fn is_open(&self) -> bool {
        true
    }
    /// Of those, how many do not survive the process: a stop has the sinks deliver them.
    fn perishable(&self) -> usize {
        match self.limits().durable {
            true => 0,
            false => self.backlog(),
        }
    }
}

/// Room set aside in a channel. Dropped, it is given back.
pub struct Put<'a> {
    channel: &'a dyn Channel,
    reserved: Option<Reservation>,
}

impl<'a> Put<'a> {
    pub fn reserve(
        channel: &'a Arc<dyn Channel>,
        room: Room,
        waiter: Option<&Waiter>,
    ) -> Result<Put<'a>, PutError> {
        let reserved = channel.reserve(room, waiter)?;
        Ok(Put { channel: channel.as_ref(), reserved: Some(reserved) })
    }

    /// Stores the events the room was reserved for.
    pub fn append(mut self, events: Events, wake: &Arc<dyn Wake>) -> Result<Ticket, PutError> {
        let reserved = self.reserved.take().expect("room is there until append");
        self.channel.append(reserved, events, wake)
    }
}

impl Drop for Put<'_> {
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved.take() {
            self.channel.release(reserved);
        }
    }
}

/// Events on their way out. Dropped, they return to the channel.
pub struct Take {
    channel: Arc<dyn Channel>,
    runs: Vec<Run>,
}

impl Take {
    /// Takes up to `max` events, waiting until `until` for the first one. May come back empty.
    pub fn begin(
        channel: &Arc<dyn Channel>,
        max: usize,
        until: Instant,
        stop: &AtomicBool,
    ) -> Result<Take, TakeError> {
        let max = max.min(channel.limits().transaction_capacity);
        let runs = channel.take(max, until, stop)?;
        let take = Take { channel: channel.clone(), runs };
        channel.counters().take_attempt.add(take.len().max(1));
        Ok(take)
    }

    pub fn len(&self) -> usize {
        self.runs.iter().map(|r| r.events.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The number of the first event, which no other event of the channel ever has.
    pub fn first(&self) -> Option<u64> {
        self.runs.first().map(|r| r.first)
    }

    /// Makes two takes of this one, which end each on its own: the first `n` events, and the others.
    pub fn split_at(mut self, n: usize) -> [Take; 2] {
        let (mut front, mut left) = (Vec::new(), n);
        while left > 0 && !self.runs.is_empty() {
            let run = match self.runs[0].events.len() > left {
                true => self.runs[0].split_to(left),
                false => self.runs.remove(0),
            };
            left -= run.events.len();
            front.push(run);
        }
        [Take { channel: self.channel.clone(), runs: front }, self]
    }

    /// The events with their numbers: an event that is rolled back comes again with the same.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, EventRef<'_>)> {
        self.runs.iter().flat_map(|r| (r.first..).zip(r.events.iter()))
    }

    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        self.runs.iter().flat_map(|r| r.events.iter())
    }

    /// Whether the events would survive the process if they stayed in the channel: what a sink must be as
    /// careful about before it lets them be committed.
    pub fn is_durable(&self) -> bool {
        self.runs.iter().any(|r| r.durable)
    }

    pub fn commit(mut self) -> Result<(), TakeError> {
        let n = self.len();
        self.channel.commit_take(&self.runs)?;
        self.runs.clear();
        self.channel.counters().take_success.add(n);
        Ok(())
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        if !self.runs.is_empty() {
            self.channel.rollback_take(std::mem::take(&mut self.runs));
        }
    }
}

/// What a channel is built with, beside its settings.
#[non_exhaustive]
pub struct ChannelParts {
    pub counters: Arc<ChannelCounters>,
    /// Bytes that stand for Flume's maximum heap in defaults.
    pub heap: usize,
}

impl ChannelParts {
    pub fn new(counters: Arc<ChannelCounters>, heap: usize) -> ChannelParts {
        ChannelParts { counters, heap }
    }
}

pub type Build = fn(&Context, ChannelParts) -> Arc<dyn Channel>;
pub type ChannelSpec = Spec<Build>;

/// Every channel type.
pub static ALL: &[&ChannelSpec] = &[&memory::SPEC, &file::SPEC, &spillable::SPEC];
