//! Put and take of the memory channel inside one process: what the channel itself costs, without network or files.
//!
//! `cargo bench --bench channel` prints, for batches of 1, 100 and 1000 events of 200 bytes, the median of five runs: on
//! one thread in turn, and with a putter and a taker on a thread each.

use flumed::channel::memory::MemoryChannel;
use flumed::channel::{Channel, Limits, Put, Room, Take, Waiter, Wake};
use flumed::counters::ChannelCounters;
use flumed::event::{Batch, Body, Events};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

const RUN: Duration = Duration::from_secs(1);
const RUNS: usize = 5;
const BODY: [u8; 200] = [b'x'; 200];

struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

fn open() -> Arc<dyn Channel> {
    let keep_alive = Duration::from_secs(3);
    let limits = Limits {
        capacity: 10_000,
        transaction_capacity: 1000,
        byte_capacity: usize::MAX,
        keep_alive,
        durable: false,
    };
    let c = MemoryChannel::new("c1", limits, ChannelCounters::new("c1"));
    c.open().expect("memory opens");
    c
}

fn events(n: usize) -> Events {
    let mut b = Batch::new();
    for _ in 0..n {
        b.push(Body::Copy(&BODY));
    }
    Events::all(Arc::new(b))
}

fn take(c: &Arc<dyn Channel>, max: usize, until: Instant) -> usize {
    let t = Take::begin(c, max, until, &AtomicBool::new(false)).expect("memory gives");
    let n = t.len();
    t.commit().expect("memory commits");
    n
}

/// Puts and takes in turn. Returns events per second.
fn alone(batch: usize) -> f64 {
    let c = open();
    let wake: Arc<dyn Wake> = Arc::new(Unpark(std::thread::current()));
    let began = Instant::now();
    let mut n = 0;
    while began.elapsed() < RUN {
        for _ in 0..64 {
            let e = events(batch);
            Put::reserve(&c, Room::of(&e), None).and_then(|p| p.append(e, &wake)).expect("there is room");
            n += take(&c, batch, began);
        }
    }
    n as f64 / began.elapsed().as_secs_f64()
}

/// A putter that waits in line when the channel is full, and a taker.
fn together(batch: usize) -> f64 {
    let c = open();
    let began = Instant::now();
    let end = began + RUN;
    let c2 = c.clone();
    let putter = std::thread::spawn(move || {
        let wake: Arc<dyn Wake> = Arc::new(Unpark(std::thread::current()));
        while Instant::now() < end {
            let e = events(batch);
            let waiter = Waiter::new(Instant::now(), wake.clone());
            loop {
                match Put::reserve(&c2, Room::of(&e), Some(&waiter)) {
                    Ok(p) => break drop(p.append(e, &wake).expect("reserved")),
                    Err(_) => {
                        c2.enqueue(&waiter);
                        if let Ok(p) = Put::reserve(&c2, Room::of(&e), Some(&waiter)) {
                            break drop(p.append(e, &wake).expect("reserved"));
                        }
                        std::thread::park_timeout(Duration::from_millis(10));
                    }
                }
            }
        }
    });
    let mut n = 0;
    while Instant::now() < end || !putter.is_finished() || c.backlog() > 0 {
        n += take(&c, batch, end);
    }
    putter.join().expect("putter");
    n as f64 / began.elapsed().as_secs_f64()
}

fn main() {
    println!("memory channel, 200 B events, events/s, median of {RUNS} (min-max)");
    for (name, run) in [("put+take on one thread", alone as fn(usize) -> f64), ("putter and taker", together)]
    {
        for batch in [1, 100, 1000] {
            let mut all: Vec<f64> = (0..RUNS).map(|_| run(batch) / 1e6).collect();
            all.sort_by(f64::total_cmp);
            let (low, mid, high) = (all[0], all[RUNS / 2], all[RUNS - 1]);
            println!("{name:24} batch {batch:5}: {mid:7.2} M/s ({low:.2}-{high:.2})");
        }
    }
}
