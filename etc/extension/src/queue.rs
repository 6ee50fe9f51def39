//! The queue channel: as plain a channel in memory as there can be.
//!
//! Sources put from their threads, sinks take from theirs, all at once: one mutex guards everything. It is held for moves in
//! memory only, never while somebody is woken.
//!
//! Room is counted when it is set aside and given back when its events are gone for good, so an event that is put always
//! finds room, and so does one that comes back. Events are numbered as they are put; those that come back go to the front, in
//! the order of their numbers.

use flumed::channel::{
    Channel, ChannelParts, ChannelSpec, Limits, PutError, Reservation, Room, Run, TakeError, Ticket, Waiter,
    Waiters, Wake,
};
use flumed::clock::now_ms;
use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use flumed::counters::{ChannelCounters, Measure};
use flumed::event::Events;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const KEYS: &[Key] = &[
    Key::new(
        "capacity",
        Type::Int(1, i32::MAX as i64),
        Default::Is("10000"),
        "events, those being delivered included",
    ),
    Key::new(
        "keep-alive",
        Type::Seconds(0, 86_400),
        Default::Is("3"),
        "seconds a source waits for room before it refuses, where its protocol can refuse",
    ),
];

pub static SPEC: ChannelSpec = Spec::new(
    Declared::new(Kind::Channel, "queue", "Events in memory; they are lost with the process")
        .class("com.acme.flume.QueueChannel")
        .keys(&[KEYS]),
    Queue::build,
);

struct Queue {
    name: String,
    limits: Limits,
    counters: Arc<ChannelCounters>,
    state: Mutex<State>,
    /// Takers wait here.
    filled: Condvar,
}

#[derive(std::default::Default)]
struct State {
    is_open: bool,
    /// What can be taken, by the number of its first event.
    runs: BTreeMap<u64, Run>,
    next: u64,
    /// Set aside, waiting, and being delivered.
    held: Room,
    waiters: Waiters,
}

impl Queue {
    fn build(ctx: &Context, parts: ChannelParts) -> Arc<dyn Channel> {
        let limits = Limits {
            capacity: ctx.size("capacity"),
            transaction_capacity: ctx.size("capacity"),
            byte_capacity: parts.heap,
            keep_alive: ctx.duration("keep-alive").unwrap_or(Duration::ZERO),
            durable: false,
        };
        let counters = parts.counters;
        let queue = Arc::new(Queue {
            name: ctx.name().to_owned(),
            limits,
            counters: counters.clone(),
            state: Mutex::default(),
            filled: Condvar::new(),
        });
        let weak = Arc::downgrade(&queue);
        counters.set_measure(move || weak.upgrade().map(|q| q.measure()).unwrap_or_default());
        queue
    }

    /// A panic elsewhere leaves the state as it was: each change below is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self) -> Measure {
        let s = self.lock();
        let oldest = s.runs.values().next().map_or(0, |r| now_ms().saturating_sub(r.put_at));
        Measure {
            size: s.runs.values().map(|r| r.events.len()).sum(),
            capacity: self.limits.capacity,
            bytes: s.held.bytes,
            byte_capacity: self.limits.byte_capacity,
            oldest_ms: oldest,
        }
    }

    /// Lets go of room, and has the first in line look.
    fn give_back(&self, room: Room) {
        let mut s = self.lock();
        s.held = Room { events: s.held.events - room.events, bytes: s.held.bytes - room.bytes };
        let first = s.waiters.head();
        drop(s);
        if let Some(w) = first {
            w.wake();
        }
    }

    fn down(&self) -> PutError {
        PutError::Down(format!("channel {} is not open", self.name))
    }
}

impl Channel for Queue {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn counters(&self) -> &Arc<ChannelCounters> {
        &self.counters
    }

    /// Other settings take effect at the next start.
    fn adapt(&self, _: &Context, _: usize) -> bool {
        false
    }

    fn open(&self) -> Result<bool, String> {
        self.lock().is_open = true;
        Ok(true)
    }

    fn close(&self) -> usize {
        let mut s = self.lock();
        s.is_open = false;
        let (lost, waiting) = (s.held.events, s.waiters.everybody());
        let gone: Vec<Room> = std::mem::take(&mut s.runs).values().map(room_of).collect();
        for room in gone {
            s.held = Room { events: s.held.events - room.events, bytes: s.held.bytes - room.bytes };
        }
        drop(s);
        self.filled.notify_all();
        waiting.iter().for_each(|w| w.wake());
        self.counters.lost_at_stop.add(lost);
        lost
    }

    fn reserve(&self, room: Room, waiter: Option<&Waiter>) -> Result<Reservation, PutError> {
        let most = &self.limits;
        if room.events > most.transaction_capacity || room.bytes > most.byte_capacity {
            let (events, bytes) = (room.events, room.bytes);
            let what = format!("channel {} can never hold {events} events of {bytes} bytes", self.name);
            return Err(PutError::TooLarge(what));
        }
        let mut s = self.lock();
        if !s.is_open {
            return Err(self.down());
        }
        let (events, bytes) = (s.held.events + room.events, s.held.bytes.saturating_add(room.bytes));
        if !s.waiters.admits(waiter) || events > most.capacity || bytes > most.byte_capacity {
            return Err(PutError::Full);
        }
        s.held = Room { events, bytes };
        if let Some(w) = waiter {
            s.waiters.leave(w);
        }
        let next = s.waiters.head();
        drop(s);
        if let Some(w) = next {
            w.wake();
        }
        Ok(Reservation::of(room))
    }

    fn release(&self, reserved: Reservation) {
        self.give_back(reserved.room);
    }

    fn append(&self, reserved: Reservation, events: Events, _: &Arc<dyn Wake>) -> Result<Ticket, PutError> {
        let (n, put_at) = (events.len(), now_ms());
        let mut s = self.lock();
        if !s.is_open {
            drop(s);
            self.give_back(reserved.room);
            return Err(self.down());
        }
        if n > 0 {
            let first = s.next;
            s.next += n as u64;
            let bytes = reserved.room.bytes;
            s.runs.insert(first, Run { first, events: events.compact(), bytes, put_at, durable: false });
        }
        drop(s);
        self.filled.notify_one();
        self.counters.put_success.add(n);
        Ok(Ticket::done())
    }

    fn enqueue(&self, waiter: &Waiter) {
        self.lock().waiters.join(waiter);
    }

    fn leave(&self, waiter: &Waiter) {
        let mut s = self.lock();
        s.waiters.leave(waiter);
        let next = s.waiters.head();
        drop(s);
        if let Some(w) = next {
            w.wake();
        }
    }

    fn take(&self, max: usize, until: Instant, stop: &AtomicBool) -> Result<Vec<Run>, TakeError> {
        let mut s = self.lock();
        while s.runs.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.load(Relaxed) {
                return Ok(Vec::new());
            }
            s = self.filled.wait_timeout(s, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (mut taken, mut left) = (Vec::new(), max);
        while left > 0 {
            let Some((_, mut run)) = s.runs.pop_first() else { break };
            let front = run.split_to(left);
            left -= front.events.len();
            taken.push(front);
            if !run.events.is_empty() {
                s.runs.insert(run.first, run);
            }
        }
        let is_more = !s.runs.is_empty();
        drop(s);
        if is_more {
            self.filled.notify_one();
        }
        Ok(taken)
    }

    fn commit_take(&self, runs: &[Run]) -> Result<(), TakeError> {
        runs.iter().for_each(|r| self.give_back(room_of(r)));
        Ok(())
    }

    fn rollback_take(&self, runs: Vec<Run>) {
        let mut s = self.lock();
        s.runs.extend(runs.into_iter().map(|r| (r.first, r)));
        drop(s);
        self.filled.notify_one();
    }

    fn interrupt_takers(&self) {
        // With the lock no taker is between its look at the flag and its wait.
        drop(self.lock());
        self.filled.notify_all();
    }

    fn backlog(&self) -> usize {
        self.lock().held.events
    }

    fn is_open(&self) -> bool {
        self.lock().is_open
    }
}

fn room_of(run: &Run) -> Room {
    Room { events: run.events.len(), bytes: run.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::channel::{Put, Take};
    use flumed::event::Batch;
    use flumed::testing::{push, put, settings};
    use flumed::Flumed;

    fn queue(lines: &str) -> Arc<dyn Channel> {
        let ctx = settings(&Flumed::new(), &SPEC.declared, lines).unwrap();
        let channel = Queue::build(&ctx, ChannelParts::new(ChannelCounters::new("c1"), 1 << 20));
        channel.open().unwrap();
        channel
    }

    fn batch(bodies: &[&str]) -> Batch {
        let mut batch = Batch::new();
        bodies.iter().for_each(|b| push(&mut batch, &[], b));
        batch
    }

    fn take(channel: &Arc<dyn Channel>, max: usize) -> (Take, String) {
        let take = Take::begin(channel, max, Instant::now(), &AtomicBool::new(false)).unwrap();
        let bodies = take.events().map(|e| String::from_utf8_lossy(e.body()).into_owned());
        let bodies = bodies.collect::<Vec<_>>().join(" ");
        (take, bodies)
    }

    #[test]
    fn what_is_taken_and_not_committed_comes_again_in_its_order() {
        let channel = queue("");
        put(&channel, batch(&["a", "b", "c"]));
        put(&channel, batch(&["d"]));
        let (first, bodies) = take(&channel, 2);
        assert_eq!(bodies, "a b");
        let (second, bodies) = take(&channel, 9);
        assert_eq!(bodies, "c d");
        drop(first);
        second.commit().unwrap();
        let (again, bodies) = take(&channel, 9);
        assert_eq!((bodies.as_str(), channel.backlog()), ("a b", 2));
        again.commit().unwrap();
        assert_eq!((channel.backlog(), channel.counters().measure().bytes), (0, 0));
    }

    #[test]
    fn room_is_given_to_so_many_and_comes_back() {
        let channel = queue("capacity = 2");
        let room = |events| Room { events, bytes: 10 };
        let reserve = |n| Put::reserve(&channel, room(n), None).map(|_| ()).map_err(|e| e.to_string());
        let one = Put::reserve(&channel, room(1), None).unwrap();
        assert_eq!(reserve(2), Err("no room".to_owned()));
        assert!(reserve(3).unwrap_err().contains("can never hold"));
        drop(one);
        assert_eq!(reserve(2), Ok(()));
        channel.close();
        assert!(reserve(1).unwrap_err().contains("not open"));
    }

    #[test]
    fn a_taker_hears_of_what_is_put_and_of_a_stop() {
        let channel = queue("");
        let (stop, until) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(60));
        std::thread::scope(|s| {
            let taker = s.spawn(|| Take::begin(&channel, 9, until, &AtomicBool::new(false)).unwrap().len());
            put(&channel, batch(&["a"]));
            assert_eq!(taker.join().unwrap(), 1, "dropped: it is in the channel again");
            let (held, _) = take(&channel, 9);
            let taker = s.spawn(|| Take::begin(&channel, 9, until, &stop).unwrap().len());
            stop.store(true, Relaxed);
            channel.interrupt_takers();
            assert_eq!(taker.join().unwrap(), 0);
            held.commit().unwrap();
        });
    }
}
