//! The spillable memory channel: Flume's `SPILLABLEMEMORY`. Memory first; what finds no room there goes to a file channel.
//!
//! A put is told its side and its place in the order when it reserves room, and has both for good. Memory takes it where
//! it fits; else it waits `overflowTimeout` in line, without holding a thread, and then spills: the overflow is in use,
//! and everything goes there at once, until memory has `overflowDeactivationThreshold` percent free and the sinks have
//! caught up (nothing that is stored in the overflow waits to be taken). Where the overflow refuses, memory is used if
//! there is room. With neither, the channel is full. Takes follow the order, from one side at a time (see `order`).
//!
//! The overflow's part survives anything the file channel does; at an open it comes first. At a close what memory holds
//! is written to the overflow, above its capacity if need be. The numbers of events are those of the file channel, which
//! leaves out memory's.
//!
//! Locks: `turn`, of the one taker that asks the file channel, is held while that reads from its disk, as the file channel
//! itself does; only sinks take it. Inside it `Shared::state`, which guards all else; inside that those of the file
//! channel, for memory operations only. Nothing is written, and nobody woken, under the state's lock. The file channel
//! calls `Inside` without locks. Sources call from any thread and are never blocked; `spill:<channel>` sleeps unless the
//! head of the line is to be woken because its time is up.

use super::file::{FileChannel, Fixed, Fs, Settings as FileSettings};
use super::{
    Channel, Limits, PutError, Reservation, Room, Run, TakeError, Ticket, TicketState, Waiter, Wake,
};
use crate::clock::now_ms;
use crate::config::Context;
use crate::counters::{ChannelCounters, Counter, Measure, Value};
use crate::event::Events;
use crate::lock::lock;
use order::{Order, Owner, Side};
use shared::{Inside, Shared, State};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

mod keys;
mod order;
mod save;
mod shared;

pub use keys::SPEC;

use keys::Settings;

/// The place of a reservation without events.
const NOWHERE: u64 = u64::MAX;

pub struct SpillableChannel {
    shared: Arc<Shared>,
    overflow: Option<Arc<FileChannel>>,
    /// What the file channel wakes, and as who it knows us.
    inside: Arc<dyn Wake>,
    in_line: Waiter,
    turn: Mutex<()>,
    timer: Mutex<Option<JoinHandle<()>>>,
}

impl SpillableChannel {
    /// `file`: what the overflow is, where the settings say that there is one.
    fn new(
        name: &str,
        settings: Settings,
        file: Option<(Fixed, FileSettings)>,
        counters: Arc<ChannelCounters>,
        fs: Arc<dyn Fs>,
    ) -> Arc<SpillableChannel> {
        let overflow = file.map(|(fixed, settings)| {
            // Its counters are shown among ours.
            FileChannel::new(name, fixed, settings, ChannelCounters::new(name), fs)
        });
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            counters,
            settings: RwLock::new(settings),
            state: Mutex::default(),
            filled: Condvar::new(),
            due: Condvar::new(),
            spills: Counter::default(),
            spilled: Counter::default(),
        });
        let inside: Arc<dyn Wake> = Arc::new(Inside(shared.clone()));
        let in_line = Waiter::new(Instant::now(), inside.clone());
        let (turn, timer) = (Mutex::default(), Mutex::default());
        let c = Arc::new(SpillableChannel { shared, overflow, inside, in_line, turn, timer });
        let counters = c.counters();
        let weak = Arc::downgrade(&c);
        counters.set_measure(move || weak.upgrade().map(|c| c.measure()).unwrap_or_default());
        let weak = Arc::downgrade(&c);
        counters.set_more(move || weak.upgrade().map(|c| c.values()).unwrap_or_default());
        let weak = Arc::downgrade(&c);
        counters.set_trouble(move || weak.upgrade()?.overflow.as_ref()?.counters().trouble());
        c
    }

    fn measure(&self) -> Measure {
        let settings = self.shared.settings();
        let file = self.overflow.as_ref().map(|f| f.counters().measure()).unwrap_or_default();
        let s = lock(&self.shared.state);
        let oldest = s.order.oldest_in_memory().map_or(0, |t| now_ms().saturating_sub(t));
        Measure {
            size: s.stored + file.size,
            capacity: settings.capacity.saturating_add(settings.overflow.unwrap_or(0)),
            bytes: s.held.bytes,
            byte_capacity: settings.byte_capacity,
            oldest_ms: oldest.max(file.oldest_ms),
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        let (stored, is_spilling) = {
            let s = lock(&self.shared.state);
            (s.stored, s.is_spilling)
        };
        let mut values = vec![
            ("MemorySize", Value::Gauge(stored as i64)),
            ("Spilling", Value::Gauge(i64::from(is_spilling))),
            ("SpillCount", Value::Counter(self.shared.spills.get())),
            ("SpilledEventCount", Value::Counter(self.shared.spilled.get())),
        ];
        if let Some(file) = &self.overflow {
            let m = file.counters().measure();
            values.push(("OverflowSize", Value::Gauge(m.size as i64)));
            values.push(("OverflowBytes", Value::Gauge(m.bytes as i64)));
            values.extend(file.counters().more());
        }
        values
    }

    /// Room in the overflow; if there is none, it calls when there may be.
    fn reserve_in(&self, file: &FileChannel, room: Room) -> Result<(), PutError> {
        let reserve = || file.reserve(room, Some(&self.in_line)).map(drop);
        match reserve() {
            Err(PutError::Full) => {
                file.enqueue(&self.in_line);
                reserve()
            }
            other => other,
        }
    }

    fn too_large(&self, what: &str, key: &str, most: usize) -> PutError {
        let name = &self.shared.name;
        PutError::TooLarge(format!("a batch of {what} is above {key} {most} of channel {name}"))
    }

    /// Decides on a side, under the lock; `true` if the overflow is in use from now on.
    fn choose(
        &self,
        s: &State,
        settings: &Settings,
        room: Room,
        waiter: Option<&Waiter>,
    ) -> Result<(Side, bool), PutError> {
        let fits = s.fits(settings, room);
        if fits && !s.is_spilling {
            return Ok((Side::Memory, false));
        }
        let can_fit = State::default().fits(settings, room);
        let is_due = match waiter {
            Some(w) => !w.waits() || w.since.elapsed() >= settings.timeout,
            None => settings.timeout.is_zero(),
        };
        let refused = match &self.overflow {
            Some(file) if s.is_spilling || is_due || !can_fit => match self.reserve_in(file, room) {
                Ok(()) => return Ok((Side::Overflow, can_fit && !s.is_spilling)),
                Err(why) => why,
            },
            _ => PutError::Full,
        };
        match refused {
            _ if fits => Ok((Side::Memory, false)),
            // Memory may have room for it yet.
            PutError::TooLarge(_) if can_fit => Err(PutError::Full),
            why => Err(why),
        }
    }

    /// Hands to the file channel what is next for it; one thread at a time does, for all.
    fn hand_on(&self) {
        let Some(file) = &self.overflow else { return };
        loop {
            let next = {
                let mut s = lock(&self.shared.state);
                if s.is_handing {
                    return;
                }
                let next = s.order.next_to_hand();
                s.is_handing = next.is_some();
                next
            };
            let Some((first, room, events)) = next else { return };
            let result = file.append(Reservation { room, place: first }, events, &self.inside);
            let (failed, is_settled, has_news) = {
                let mut s = lock(&self.shared.state);
                s.is_handing = false;
                let (mut failed, mut is_settled) = (None, false);
                match result {
                    Ok(ticket) => {
                        is_settled = ticket.state() != TicketState::Open;
                        s.order.handed(first, ticket);
                    }
                    Err(why) => failed = s.order.not_handed(first, why.to_string()),
                }
                (failed, is_settled, s.has_news())
            };
            self.shared.tell(failed.into_iter().collect());
            self.shared.notify(has_news);
            if is_settled {
                // Before we had noted it, so nobody else has.
                self.shared.settle();
            }
        }
    }

    fn give_back(&self, Reservation { room, place }: Reservation) {
        let (side, head, has_news) = {
            let mut s = lock(&self.shared.state);
            let side = s.order.side(place);
            s.order.give_back(place);
            if side == Some(Side::Memory) {
                s.held.events -= room.events;
                s.held.bytes -= room.bytes;
            }
            (side, s.waiters.head(), s.has_news())
        };
        if let (Some(Side::Overflow), Some(file)) = (side, &self.overflow) {
            file.release(Reservation::of(room));
            // One behind it may have waited for it.
            self.hand_on();
        }
        self.shared.notify(has_news);
        if let Some(w) = head {
            w.wake();
        }
    }

    /// Takes from the overflow, if that is still what is next; `None`: look again.
    fn take_overflow(&self, file: &FileChannel, max: usize) -> Result<Option<Vec<Run>>, TakeError> {
        let _turn = lock(&self.turn);
        let (n, below) = {
            let s = lock(&self.shared.state);
            if s.order.next_side() != Some(Side::Overflow) {
                return Ok(None);
            }
            s.order.plan_overflow(max)
        };
        let given = file.take(n, Instant::now(), &AtomicBool::new(false))?;
        let is_given = !given.is_empty();
        // Where some of a range are lost, there is too much of what stands behind it.
        let (runs, beyond): (Vec<Run>, Vec<Run>) = given.into_iter().partition(|r| r.first < below);
        if !beyond.is_empty() {
            file.rollback_take(beyond);
        }
        // A directory that cannot be read for a moment: what it holds is not lost.
        let is_late = runs.is_empty() && is_given && file.waits_below(below);
        let has_news = {
            let mut s = lock(&self.shared.state);
            if runs.is_empty() {
                if is_late {
                    let name = &self.shared.name;
                    return Err(TakeError(format!(
                        "channel {name}: part of its overflow cannot be read at present"
                    )));
                }
                if s.is_open && !is_given && file.takeable().0 > 0 {
                    return Err(TakeError(format!(
                        "channel {}: its overflow gives nothing",
                        self.shared.name
                    )));
                }
                s.order.lost_front();
                return Ok(None);
            }
            s.order.took_overflow(&runs);
            s.calm(&self.shared.settings());
            s.has_news()
        };
        self.shared.notify(has_news);
        Ok(Some(runs))
    }
}

impl Channel for SpillableChannel {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn limits(&self) -> Limits {
        self.shared.settings().limits()
    }

    fn counters(&self) -> &Arc<ChannelCounters> {
        &self.shared.counters
    }

    fn adapt(&self, ctx: &Context, heap: usize) -> bool {
        let settings = Settings::of(ctx, heap);
        if settings.overflow.is_some() != self.overflow.is_some() {
            return false;
        }
        *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        if let (Some(file), Some(its)) = (&self.overflow, settings.of_file(ctx)) {
            file.set(its);
        }
        // There may be room, or somebody's time may be up.
        drop(lock(&self.shared.state));
        self.shared.due.notify_all();
        self.shared.wake_head();
        true
    }

    fn open(&self) -> Result<bool, String> {
        if let Some(file) = &self.overflow {
            if !file.open()? {
                return Ok(false);
            }
        }
        let mut timer = lock(&self.timer);
        {
            let mut s = lock(&self.shared.state);
            if s.is_open {
                return Ok(true);
            }
            let (count, end) = self.overflow.as_ref().map_or((0, 0), |f| f.takeable());
            s.order = Order::new(count, end);
            s.is_open = true;
        }
        if self.overflow.is_some() {
            let its = self.shared.clone();
            let thread = std::thread::Builder::new().name(format!("spill:{}", self.name()));
            *timer = Some(thread.spawn(move || its.watch()).map_err(|e| {
                lock(&self.shared.state).is_open = false;
                format!("cannot have a thread: {e}")
            })?);
        }
        self.shared.filled.notify_all();
        Ok(true)
    }

    fn close(&self) -> usize {
        let (rest, before, unheard, waiting, held) = {
            let mut s = lock(&self.shared.state);
            s.is_open = false;
            s.is_spilling = false;
            let (rest, before, unheard) = s.order.rest();
            let held = std::mem::take(&mut s.held).events.saturating_sub(s.stored);
            s.stored = 0;
            (rest, before, unheard, s.waiters.everybody(), held)
        };
        self.shared.tell(unheard);
        self.shared.due.notify_all();
        self.shared.filled.notify_all();
        waiting.iter().for_each(|w| w.wake());
        if let Some(timer) = lock(&self.timer).take() {
            if timer.join().is_err() {
                log::error!("channel {}: its timer had panicked", self.name());
            }
        }
        if held > 0 {
            log::debug!("channel {}: room for {held} events was reserved and not used", self.name());
        }
        let lost = self.save(rest, before);
        if let Some(file) = &self.overflow {
            file.close();
        }
        self.shared.settle();
        self.counters().lost_at_stop.add(lost);
        lost
    }

    fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<Reservation, PutError> {
        let settings = self.shared.settings();
        if room.events > settings.transaction_capacity {
            let what = format!("{} events", room.events);
            return Err(self.too_large(&what, "transactionCapacity", settings.transaction_capacity));
        }
        if self.overflow.is_none() && room.events > settings.capacity {
            return Err(self.too_large(
                &format!("{} events", room.events),
                "memoryCapacity",
                settings.capacity,
            ));
        }
        if self.overflow.is_none() && room.bytes > settings.byte_capacity {
            return Err(self.too_large(
                &format!("{} bytes", room.bytes),
                "byteCapacity",
                settings.byte_capacity,
            ));
        }
        let (place, next, has_line, begins) = {
            let mut s = lock(&self.shared.state);
            if !s.is_open {
                return Err(self.shared.closed());
            }
            s.calm(&settings);
            // One that never waits does not wait for those who wait for memory.
            let passes = !s.is_spilling && waiter.is_some_and(|w| !w.waits());
            if !s.waiters.admits(waiter) && !passes {
                return Err(PutError::Full);
            }
            let (side, begins) = self.choose(&s, &settings, room, waiter)?;
            s.is_spilling |= begins;
            if let Some(w) = waiter {
                s.waiters.leave(w);
            }
            if side == Side::Memory {
                s.held.events += room.events;
                s.held.bytes += room.bytes;
            }
            let place = if room.events == 0 { NOWHERE } else { s.order.reserve(side, room.events) };
            let has_more = s.is_spilling || s.fits(&settings, Room { events: 1, bytes: 1 });
            let head = s.waiters.head();
            let has_line = head.is_some();
            (place, head.filter(|_| has_more), has_line, begins)
        };
        if has_line && waiter.is_some() {
            // The timer may have been waiting for this one.
            self.shared.due.notify_one();
        }
        if begins {
            self.shared.spills.one();
            log::debug!("channel {}: memory is full, events go to the overflow", self.name());
        }
        if let Some(w) = next {
            w.wake();
        }
        Ok(Reservation { room, place })
    }

    fn release(&self, reserved: Reservation) {
        self.give_back(reserved);
    }

    fn append(
        &self,
        Reservation { room, place }: Reservation,
        events: Events,
        wake: &Arc<dyn Wake>,
    ) -> Result<Ticket, PutError> {
        let events = events.compact();
        let (n, put_at) = (events.len(), now_ms());
        let (ticket, has_news) = {
            let mut s = lock(&self.shared.state);
            match s.order.side(place).filter(|_| s.is_open) {
                Some(Side::Memory) => {
                    let run = Run { first: place, events, bytes: room.bytes, put_at, durable: false };
                    s.order.fill(place, run);
                    s.stored += n;
                    (Ticket::done(), s.has_news())
                }
                Some(Side::Overflow) => {
                    let ticket = Ticket::open();
                    let owner = Owner { ticket: ticket.clone(), wake: wake.clone() };
                    s.order.bring(place, room, events, owner);
                    drop(s);
                    self.hand_on();
                    return Ok(ticket);
                }
                None if n == 0 => return Ok(Ticket::done()),
                None => return Err(self.shared.closed()),
            }
        };
        self.shared.notify(has_news);
        self.counters().put_success.add(n);
        Ok(ticket)
    }

    fn enqueue(&self, waiter: &Waiter) {
        let is_first = {
            let mut s = lock(&self.shared.state);
            let before = s.waiters.first();
            s.waiters.join(waiter);
            s.waiters.first() != before
        };
        if is_first {
            self.shared.due.notify_one();
        }
    }

    fn leave(&self, waiter: &Waiter) {
        let next = {
            let mut s = lock(&self.shared.state);
            s.waiters.leave(waiter);
            s.waiters.head()
        };
        if let Some(w) = next {
            // The next one's time may be up before the timer looks again.
            self.shared.due.notify_one();
            w.wake();
        }
    }

    fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError> {
        loop {
            let mut s = lock(&self.shared.state);
            let side = loop {
                if let Some(side) = s.order.next_side() {
                    break side;
                }
                let now = Instant::now();
                if stop.load(SeqCst) || now >= until {
                    return Ok(Vec::new());
                }
                s.sleeping += 1;
                let waited = self.shared.filled.wait_timeout(s, until - now);
                s = waited.unwrap_or_else(PoisonError::into_inner).0;
                s.sleeping -= 1;
            };
            match (side, &self.overflow) {
                (Side::Overflow, Some(file)) => {
                    drop(s);
                    if let Some(runs) = self.take_overflow(file, max)? {
                        return Ok(runs);
                    }
                }
                _ => {
                    let runs = s.order.cut_memory(max);
                    let has_news = s.has_news();
                    drop(s);
                    self.shared.notify(has_news);
                    return Ok(runs);
                }
            }
        }
    }

    /// What one take gave is of one side.
    fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError> {
        let is_durable = runs.iter().any(|r| r.durable);
        if let (true, Some(file)) = (is_durable, &self.overflow) {
            file.commit_take(runs)?;
        }
        let head = {
            let mut s = lock(&self.shared.state);
            if is_durable {
                s.order.commit_overflow(runs);
            } else if s.order.commit_memory(runs) {
                let n: usize = runs.iter().map(|r| r.events.len()).sum();
                s.stored -= n;
                s.held.events -= n;
                s.held.bytes -= runs.iter().map(|r| r.bytes).sum::<usize>();
            } else {
                return Err(TakeError(format!("channel {} is closed", self.name())));
            }
            s.calm(&self.shared.settings());
            s.waiters.head()
        };
        if let Some(w) = head {
            w.wake();
        }
        Ok(())
    }

    fn rollback_take(&self, runs: Vec<Run>) {
        let is_durable = runs.iter().any(|r| r.durable);
        if let (true, Some(file)) = (is_durable, &self.overflow) {
            let ranges: Vec<(u64, u64)> = runs.iter().map(|r| (r.first, r.events.len() as u64)).collect();
            let _turn = lock(&self.turn);
            file.rollback_take(runs);
            let mut s = lock(&self.shared.state);
            if s.is_open {
                s.order.return_overflow(&ranges);
            }
        } else {
            lock(&self.shared.state).order.return_memory(runs);
        }
        self.shared.filled.notify_one();
    }

    fn interrupt_takers(&self) {
        // The lock makes sure that no taker is between its look at the flag and its wait.
        drop(lock(&self.shared.state));
        self.shared.filled.notify_all();
    }

    fn is_open(&self) -> bool {
        self.overflow.as_ref().is_none_or(|f| f.is_open())
    }

    fn backlog(&self) -> usize {
        let memory = lock(&self.shared.state).held.events;
        memory + self.overflow.as_ref().map_or(0, |f| f.backlog())
    }

    fn perishable(&self) -> usize {
        lock(&self.shared.state).held.events
    }
}

impl Drop for SpillableChannel {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
