//! A channel for tests that misbehaves on cue: tickets that end late, out of order or failed, appends that fail,
//! and room that vanishes between two reservations. What it holds it keeps like the memory channel it wraps.

use super::memory::MemoryChannel;
use super::{Channel, Limits, PutError, Reservation, Room, Run, TakeError, Ticket, Waiter, Wake};
use crate::config::Context;
use crate::counters::ChannelCounters;
use crate::event::Events;
use crate::lock::lock;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the next calls do. Each entry is used up by one call; an empty list means to behave.
#[derive(Default)]
pub struct Script {
    /// One per append: fail it with this.
    pub append_fails: Vec<Option<String>>,
    /// Reservations that still succeed before the channel pretends to be full; `None`: no limit.
    pub reserve_left: Option<usize>,
    /// Appended events' tickets stay open until [`Scripted::end`].
    pub late: bool,
}

type Pending = (Ticket, Arc<dyn Wake>);

pub struct Scripted {
    inner: Arc<MemoryChannel>,
    pub script: Mutex<Script>,
    pending: Mutex<Vec<Pending>>,
}

impl Scripted {
    pub fn new(name: &str, limits: Limits) -> Arc<Scripted> {
        let inner = MemoryChannel::new(name, limits, ChannelCounters::new(name));
        inner.open().expect("memory opens");
        Arc::new(Scripted { inner, script: Mutex::default(), pending: Mutex::default() })
    }

    /// How many tickets are open.
    pub fn open_tickets(&self) -> usize {
        lock(&self.pending).len()
    }

    /// Ends the n-th open ticket and wakes its owner.
    pub fn end(&self, n: usize, how: Result<(), String>) {
        let (ticket, wake) = lock(&self.pending).remove(n);
        ticket.finish(how);
        wake.wake();
    }

    /// Tells everybody in line that there may be room again.
    pub fn wake_line(&self) {
        self.inner.release(Reservation::of(Room::default()));
    }
}

impl Channel for Scripted {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn adapt(&self, settings: &Context, heap: usize) -> bool {
        self.inner.adapt(settings, heap)
    }

    fn counters(&self) -> &Arc<ChannelCounters> {
        self.inner.counters()
    }
    fn open(&self) -> Result<bool, String> {
        self.inner.open()
    }
    fn close(&self) -> usize {
        self.inner.close()
    }
    fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<Reservation, PutError> {
        if let Some(left) = &mut lock(&self.script).reserve_left {
            *left = left.checked_sub(1).ok_or(PutError::Full)?;
        }
        self.inner.reserve(room, waiter)
    }
    fn release(&self, reserved: Reservation) {
        self.inner.release(reserved);
    }
    fn append(
        &self,
        reserved: Reservation,
        events: Events,
        wake: &Arc<dyn Wake>,
    ) -> Result<Ticket, PutError> {
        let (fail, late) = {
            let mut s = lock(&self.script);
            let fail = if s.append_fails.is_empty() { None } else { s.append_fails.remove(0) };
            (fail, s.late)
        };
        if let Some(why) = fail {
            self.inner.release(reserved);
            return Err(PutError::Down(why));
        }
        let ticket = self.inner.append(reserved, events, wake)?;
        if !late {
            return Ok(ticket);
        }
        let ticket = Ticket::open();
        lock(&self.pending).push((ticket.clone(), wake.clone()));
        Ok(ticket)
    }
    fn enqueue(&self, waiter: &Waiter) {
        self.inner.enqueue(waiter);
    }
    fn leave(&self, waiter: &Waiter) {
        self.inner.leave(waiter);
    }
    fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError> {
        self.inner.take(max, until, stop)
    }
    fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError> {
        self.inner.commit_take(runs)
    }
    fn rollback_take(&self, runs: Vec<Run>) {
        self.inner.rollback_take(runs);
    }
    fn interrupt_takers(&self) {
        self.inner.interrupt_takers();
    }
    fn backlog(&self) -> usize {
        self.inner.backlog()
    }
}
