//! The memory channel: Flume's `memory`. Fast, and gone with the process.
//!
//! Committed batches queue as they came; a take splits them. Capacity counts events reserved, queued and being
//! taken, so a rolled back take always fits. Bytes are charged for bodies, headers and what they keep alive of
//! read buffers (Flume counts bodies only, in slots of 100). Events are numbered at append; rolled back ones
//! wait apart, ordered by number, and are taken first.
//!
//! Any thread. One mutex guards everything but the limits; takers wait on its condition variable; wake-up calls to sources are
//! made after it is released.

use super::{
    Channel, ChannelParts, ChannelSpec, Limits, PutError, Reservation, Room, Run, TakeError, Ticket, Waiter,
    Waiters, Wake,
};
use crate::clock::now_ms;
use crate::config::{Context, Declared, Default as Absent, Key, Kind, Spec, Type};
use crate::counters::{ChannelCounters, Measure};
use crate::event::Events;
use crate::lock::{lock, Apart};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

mod live;

use live::Live;

const COUNT: Type = Type::Int(1, i32::MAX as i64);

pub static SPEC: ChannelSpec = Spec {
    declared: Declared {
        kind: Kind::Channel,
        name: "memory",
        class: "org.apache.flume.channel.MemoryChannel",
        help: "Queue in memory: fast; what it holds is lost with the process",
        keys: &[&[
            Key::new(
                "capacity",
                COUNT,
                Absent::Is("100"),
                "events the channel holds, those being delivered included",
            )
            .or_default(),
            Key::new("transactionCapacity", COUNT, Absent::Is("100"), "events of one transaction, at most")
                .or_default(),
            Key::new(
                "keep-alive",
                Type::Seconds(0, i32::MAX as i64),
                Absent::Is("3"),
                "seconds a source waits for room before it refuses, where its protocol can refuse",
            )
            .or_default(),
        ], BYTES],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[
            "byteCapacity counts headers and the buffers that events keep alive, too; Flume counts bodies",
            "the default of byteCapacity is 80 % of -Xmx or of a quarter of the memory, shared by all channels",
            "a stop delivers what is in it within the deadline; Flume loses it",
        ],
    },
    build,
};

/// What a channel is to keep in memory, in bytes; see [`byte_budget`].
pub(super) const BYTES: &[Key] = &[
    Key::new(
        "byteCapacity",
        Type::Int(0, i64::MAX),
        Absent::Computed(
            "80 % of the heap (-Xmx, else a quarter of the memory), shared by all memory channels",
        ),
        "bytes of all events, headers included; 0 = no limit",
    )
    .or_default(),
    Key::new(
        "byteCapacityBufferPercentage",
        Type::Int(0, 100),
        Absent::Is("20"),
        "share of byteCapacity kept free, in percent",
    )
    .or_default(),
];

/// The bytes that [`BYTES`] allow.
pub(super) fn byte_budget(ctx: &Context, heap: usize) -> usize {
    let given = ctx.int("byteCapacity").map_or(heap as f64 * 0.8, |n| n as f64);
    let budget = given * (1.0 - ctx.size("byteCapacityBufferPercentage") as f64 * 0.01);
    // Flume: a budget below one slot of 100 bytes means none at all.
    match budget < 100.0 {
        true => usize::MAX,
        false => budget as usize,
    }
}

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let (capacity, transaction) = (ctx.size("capacity"), ctx.size("transactionCapacity"));
    if transaction <= capacity {
        return Vec::new();
    }
    let what = format!("{transaction} is above capacity, which is {capacity}; expected at most that");
    vec![("transactionCapacity", what)]
}

fn build(ctx: &Context, parts: ChannelParts) -> Arc<dyn Channel> {
    MemoryChannel::new(ctx.name(), limits(ctx, parts.heap), parts.counters)
}

fn limits(ctx: &Context, heap: usize) -> Limits {
    Limits {
        capacity: ctx.size("capacity"),
        transaction_capacity: ctx.size("transactionCapacity"),
        byte_capacity: byte_budget(ctx, heap),
        keep_alive: ctx.duration("keep-alive").unwrap_or(Duration::from_secs(3)),
        durable: false,
    }
}

pub struct MemoryChannel {
    name: String,
    limits: Live,
    counters: Arc<ChannelCounters>,
    state: Apart<Mutex<Inner>>,
    filled: Condvar,
    /// Whether there is something to take, to be seen without the lock.
    is_filled: Apart<AtomicBool>,
}

#[derive(Default)]
struct Inner {
    open: bool,
    queue: VecDeque<Run>,
    /// Rolled back runs by the number of their first event.
    returned: BTreeMap<u64, Run>,
    /// Reserved, queued, returned and in flight.
    held: Room,
    /// Queued and returned events.
    available: usize,
    next_number: u64,
    waiters: Waiters,
    /// Takers that sleep: to wake nobody costs a system call too.
    sleeping: usize,
    /// Events come so fast, and so few at a time, that a taker better naps than sleeps.
    is_brisk: bool,
}

/// How often a taker looks before it sleeps: some microseconds.
const SPINS: u32 = 200;

/// How long a taker naps, whom nobody then has to wake. (The kernel's timers make it some 100 microseconds.)
const NAP: Duration = Duration::from_micros(50);
/// A sleep that ends sooner was hardly worth its two system calls and two switches of threads.
const SHORT: Duration = Duration::from_micros(250);

/// Whether it is of use to look: somebody else has to run meanwhile.
fn spins() -> bool {
    static MANY: OnceLock<bool> = OnceLock::new();
    *MANY.get_or_init(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1))
}

impl MemoryChannel {
    pub fn new(name: &str, limits: Limits, counters: Arc<ChannelCounters>) -> Arc<MemoryChannel> {
        let (name, limits, filled) = (name.to_owned(), Live::new(limits), Condvar::new());
        let (state, is_filled) = (Apart::default(), Apart::default());
        let c = Arc::new(MemoryChannel { name, limits, counters, state, filled, is_filled });
        let weak = Arc::downgrade(&c);
        c.counters.set_measure(move || weak.upgrade().map(|c| c.measure()).unwrap_or_default());
        c
    }

    /// Looks out for events for a moment before the taker goes to sleep: what a source hands over in small batches
    /// comes about as fast as a sink takes it, and each sleep would cost both of them two system calls.
    fn watch(&self, stop: &AtomicBool) {
        if !spins() {
            return;
        }
        for _ in 0..SPINS {
            if self.is_filled.load(Relaxed) || stop.load(Relaxed) {
                return;
            }
            std::hint::spin_loop();
        }
    }

    fn measure(&self) -> Measure {
        let limits = self.limits.get();
        let s = lock(&self.state);
        let oldest = s.returned.values().next().or(s.queue.front()).map(|r| r.put_at);
        Measure {
            size: s.available,
            capacity: limits.capacity,
            bytes: s.held.bytes,
            byte_capacity: limits.byte_capacity,
            oldest_ms: oldest.map_or(0, |t| now_ms().saturating_sub(t)),
        }
    }

    fn give_back(&self, room: Room) {
        let next = {
            let mut s = lock(&self.state);
            s.held.events -= room.events;
            s.held.bytes -= room.bytes;
            s.waiters.head()
        };
        if let Some(w) = next {
            w.wake();
        }
    }
}

fn has_room(limits: &Limits, held: Room, more: Room) -> bool {
    held.events + more.events <= limits.capacity
        && held.bytes.saturating_add(more.bytes) <= limits.byte_capacity
}

impl Inner {
    /// Moves up to `max` events out, lowest numbers first.
    fn cut(&mut self, max: usize) -> Vec<Run> {
        let mut out = Vec::new();
        let mut left = max;
        while left > 0 {
            let from_returned = !self.returned.is_empty();
            let Some(mut run) = (match self.returned.pop_first() {
                Some((_, r)) => Some(r),
                None => self.queue.pop_front(),
            }) else {
                break;
            };
            let len = run.events.len();
            if len > left {
                // In 64 bits: the product may not fit a 32-bit usize.
                let bytes = (run.bytes as u64 * left as u64 / len as u64) as usize;
                let front = Run { events: run.events.split_to(left), bytes, ..run };
                run = Run { first: run.first + left as u64, bytes: run.bytes - bytes, ..run };
                if from_returned {
                    self.returned.insert(run.first, run);
                } else {
                    self.queue.push_front(run);
                }
                run = front;
            }
            left -= run.events.len();
            out.push(run);
        }
        self.available -= max - left;
        out
    }
}

impl Channel for MemoryChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits.get()
    }

    fn adapt(&self, settings: &Context, heap: usize) -> bool {
        self.limits.set(limits(settings, heap));
        // There may be room now.
        self.give_back(Room::default());
        true
    }

    fn counters(&self) -> &Arc<ChannelCounters> {
        &self.counters
    }

    fn open(&self) -> Result<bool, String> {
        lock(&self.state).open = true;
        Ok(true)
    }

    fn close(&self) -> usize {
        let (lost, waiting) = {
            let mut s = lock(&self.state);
            s.open = false;
            // What a sink holds that never came back counts too: nobody will hear of its end.
            let lost = s.held.events;
            let queued = std::mem::take(&mut s.available);
            let gone = s.queue.drain(..).map(|r| r.bytes).sum::<usize>()
                + s.returned.values().map(|r| r.bytes).sum::<usize>();
            s.returned.clear();
            s.held.events -= queued;
            s.held.bytes -= gone;
            (lost, s.waiters.everybody())
        };
        self.filled.notify_all();
        waiting.iter().for_each(|w| w.wake());
        self.counters.lost_at_stop.add(lost);
        lost
    }

    fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<Reservation, PutError> {
        let limits = self.limits.get();
        if room.events > limits.transaction_capacity {
            let what = format!(
                "a batch of {} events is above transactionCapacity {} of channel {}",
                room.events, limits.transaction_capacity, self.name
            );
            return Err(PutError::TooLarge(what));
        }
        if room.bytes > limits.byte_capacity {
            let what = format!(
                "a batch of {} bytes is above byteCapacity {} of channel {}",
                room.bytes, limits.byte_capacity, self.name
            );
            return Err(PutError::TooLarge(what));
        }
        let next = {
            let mut s = lock(&self.state);
            if !s.open {
                return Err(PutError::Down(format!("channel {} is not open", self.name)));
            }
            if !s.waiters.admits(waiter) || !has_room(&limits, s.held, room) {
                return Err(PutError::Full);
            }
            s.held.events += room.events;
            s.held.bytes += room.bytes;
            if let Some(w) = waiter {
                s.waiters.leave(w);
            }
            if has_room(&limits, s.held, Room { events: 1, bytes: 1 }) {
                s.waiters.head()
            } else {
                None
            }
        };
        if let Some(w) = next {
            w.wake();
        }
        Ok(Reservation::of(room))
    }

    fn release(&self, reserved: Reservation) {
        self.give_back(reserved.room);
    }

    fn append(
        &self,
        Reservation { room, .. }: Reservation,
        events: Events,
        _: &Arc<dyn Wake>,
    ) -> Result<Ticket, PutError> {
        let events = events.compact();
        let n = events.len();
        let (put_at, durable) = (now_ms(), self.limits.get().durable);
        let sleeping = {
            let mut s = lock(&self.state);
            if !s.open {
                drop(s);
                self.give_back(room);
                return Err(PutError::Down(format!("channel {} is not open", self.name)));
            }
            let first = s.next_number;
            s.next_number += n as u64;
            s.available += n;
            if n > 0 {
                s.queue.push_back(Run { first, events, bytes: room.bytes, put_at, durable });
            }
            s.sleeping > 0
        };
        self.is_filled.store(true, Relaxed);
        if sleeping {
            self.filled.notify_one();
        }
        self.counters.put_success.add(n);
        Ok(Ticket::done())
    }

    fn enqueue(&self, waiter: &Waiter) {
        lock(&self.state).waiters.join(waiter);
    }

    fn leave(&self, waiter: &Waiter) {
        let next = {
            let mut s = lock(&self.state);
            s.waiters.leave(waiter);
            s.waiters.head()
        };
        if let Some(w) = next {
            w.wake();
        }
    }

    fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError> {
        self.watch(stop);
        let mut s = lock(&self.state);
        if s.available == 0 && s.is_brisk && until > Instant::now() && !stop.load(Relaxed) {
            drop(s);
            std::thread::sleep(NAP);
            s = lock(&self.state);
            s.is_brisk = s.available > 0;
        }
        while s.available == 0 {
            let now = Instant::now();
            if stop.load(Relaxed) || now >= until {
                return Ok(Vec::new());
            }
            s.sleeping += 1;
            let waited = self.filled.wait_timeout(s, until - now);
            s = waited.unwrap_or_else(PoisonError::into_inner).0;
            s.sleeping -= 1;
            s.is_brisk = now.elapsed() < SHORT;
        }
        let runs = s.cut(max);
        let more = s.available > 0;
        let others = s.sleeping > 0;
        self.is_filled.store(more, Relaxed);
        drop(s);
        if more && others {
            self.filled.notify_one();
        }
        Ok(runs)
    }

    fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError> {
        let room = Room {
            events: runs.iter().map(|r| r.events.len()).sum(),
            bytes: runs.iter().map(|r| r.bytes).sum(),
        };
        self.give_back(room);
        Ok(())
    }

    fn rollback_take(&self, runs: Vec<Run>) {
        let mut s = lock(&self.state);
        for r in runs {
            s.available += r.events.len();
            s.returned.insert(r.first, r);
        }
        drop(s);
        self.is_filled.store(true, Relaxed);
        self.filled.notify_one();
    }

    fn interrupt_takers(&self) {
        // The lock makes sure that no taker is between its look at the flag and its wait.
        drop(lock(&self.state));
        self.filled.notify_all();
    }

    fn backlog(&self) -> usize {
        lock(&self.state).held.events
    }
}

#[cfg(test)]
mod tests;
