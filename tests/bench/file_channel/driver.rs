//! The channel, and who puts and takes.

use flumed::channel::{file, Channel, ChannelParts, Put, Room, Take, Ticket, TicketState, Waiter, Wake};
use flumed::config::{Context, Problems, Property};
use flumed::counters::{ChannelCounters, Counted, Value};
use flumed::event::{Batch, Body, Events};
use flumed::registry;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Events of a take.
pub const TAKE: usize = 1000;
/// A wait for events, or for room, before another look at whether all is over.
const WAIT: Duration = Duration::from_millis(10);
/// Bytes of a body that are its number.
const NUMBER: usize = 8;

struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

/// Keys beside the directories.
pub type Keys<'a> = &'a [(&'a str, String)];

fn context(dir: &Path, keys: Keys<'_>) -> Context {
    let at = |name: &str| dir.join(name).display().to_string();
    let dirs = [("checkpointDir", at("checkpoint")), ("dataDirs", at("data"))];
    let property = |(k, v): &(&str, String)| Property::new(*k, v.as_str(), Default::default());
    let properties: Vec<Property> = dirs.iter().chain(keys).map(property).collect();
    let mut problems = Problems::default();
    let (place, catalog) = (Default::default(), registry::catalog());
    let declared = &file::SPEC.declared;
    let c = Context::parse(declared, "a1.channels.c1", &place, &properties, &[], catalog, &mut problems);
    c.expect("settings are right")
}

/// A channel, open.
pub fn open(dir: &Path, keys: Keys<'_>) -> Arc<dyn Channel> {
    let parts = ChannelParts::new(ChannelCounters::new("c1"), 1 << 30);
    let c = (file::SPEC.build)(&context(dir, keys), parts);
    while !c.open().expect("the channel opens") {}
    c
}

pub fn adapt(c: &Arc<dyn Channel>, dir: &Path, keys: Keys<'_>) {
    assert!(c.adapt(&context(dir, keys), 1 << 30));
}

/// A counter of the channel.
pub fn count(c: &Arc<dyn Channel>, name: &str) -> f64 {
    match c.counters().snapshot().values.iter().find(|(n, _)| *n == name) {
        Some((_, Value::Counter(n))) => *n as f64,
        Some((_, Value::Ratio(r))) => *r,
        _ => panic!("no counter {name}"),
    }
}

/// `n` events of `size` bytes that carry their numbers, where there is room for one.
pub fn numbered(first: u64, n: usize, size: usize) -> Events {
    let mut body = vec![b'x'; size];
    let mut b = Batch::new();
    b.reserve(n, 0);
    for i in first..first + n as u64 {
        if let Some(number) = body.first_chunk_mut::<NUMBER>() {
            *number = i.to_le_bytes();
        }
        b.push(Body::Copy(&body));
    }
    Events::all(Arc::new(b))
}

/// Puts what `next` gives, `slots` transactions under way at a time, until it gives no more and all are durable. `look`:
/// how long it looks at the first ticket before it yields once, and then sleeps.
pub fn put(
    c: &Arc<dyn Channel>,
    slots: usize,
    look: Duration,
    stored: &AtomicU64,
    mut next: impl FnMut() -> Option<Events>,
) {
    let wake: Arc<dyn Wake> = Arc::new(Unpark(std::thread::current()));
    let mut open: VecDeque<(Ticket, u64)> = VecDeque::with_capacity(slots);
    let mut is_over = false;
    loop {
        while !is_over && open.len() < slots {
            match next() {
                Some(e) => open.push_back((ticket(c, &e, &wake), e.len() as u64)),
                None => is_over = true,
            }
        }
        if open.is_empty() {
            return;
        }
        let (began, mut has_yielded) = (Instant::now(), false);
        while !settle(&mut open, stored) {
            if began.elapsed() < look {
                std::hint::spin_loop();
            } else if !std::mem::replace(&mut has_yielded, true) {
                std::thread::yield_now();
            } else {
                std::thread::park();
            }
        }
    }
}

/// Counts what is durable, in the order in which it was put; whether anything was.
fn settle(open: &mut VecDeque<(Ticket, u64)>, stored: &AtomicU64) -> bool {
    let before = open.len();
    while let Some((ticket, n)) = open.front() {
        match ticket.state() {
            TicketState::Open => break,
            TicketState::Done => stored.fetch_add(*n, Relaxed),
            TicketState::Failed(why) => panic!("not stored: {why}"),
        };
        open.pop_front();
    }
    open.len() < before
}

/// Appends; stands in line when the channel is full.
fn ticket(c: &Arc<dyn Channel>, e: &Events, wake: &Arc<dyn Wake>) -> Ticket {
    let room = Room::of(e);
    if let Ok(p) = Put::reserve(c, room, None) {
        return p.append(e.clone(), wake).expect("room is reserved");
    }
    let waiter = Waiter::new(Instant::now(), wake.clone());
    loop {
        c.enqueue(&waiter);
        if let Ok(p) = Put::reserve(c, room, Some(&waiter)) {
            return p.append(e.clone(), wake).expect("room is reserved");
        }
        std::thread::park_timeout(WAIT);
    }
}

/// Takes and commits until `stop`.
pub fn take_on(c: &Arc<dyn Channel>, stop: &AtomicBool, taken: &AtomicU64) {
    while !stop.load(Relaxed) {
        let t = Take::begin(c, TAKE, Instant::now() + WAIT, stop).expect("the channel gives");
        if !t.is_empty() {
            taken.fetch_add(t.len() as u64, Relaxed);
            t.commit().expect("the channel commits");
        }
    }
}

/// Takes and commits `n` events, numbered from `first` on, each of which must be the next one.
pub fn take_numbered(c: &Arc<dyn Channel>, first: u64, n: u64) {
    let never = AtomicBool::new(false);
    let mut next = first;
    while next < first + n {
        let most = TAKE.min((first + n - next) as usize);
        let t = Take::begin(c, most, Instant::now() + WAIT, &never).expect("the channel gives");
        for e in t.events() {
            let number = e.body().first_chunk::<NUMBER>().map(|b| u64::from_le_bytes(*b));
            assert!(number.is_none_or(|n| n == next), "event {number:?} where {next} was due");
            next += 1;
        }
        if !t.is_empty() {
            t.commit().expect("the channel commits");
        }
    }
}
