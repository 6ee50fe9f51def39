//! What the benchmarks of the RPC codecs share: events, a stream that is read as a connection reads it, and how a run is
//! measured.

use flumed::codec::{Chunk, Decoded, Then};
use flumed::event::{Batch, Body, BufferPool, Key};
use flumed::net::Intake;
use std::hint::black_box;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUN: Duration = Duration::from_millis(400);
pub const RUNS: usize = 5;
pub const READ: usize = 64 << 10;
/// Events of one stream, about; a stream is decoded again and again.
pub const EVENTS: usize = 20_000;

/// Text that deflates to about a third, as logs do.
fn body(n: usize) -> Vec<u8> {
    let mut text =
        format!("2026-01-31T10:30:15.{:03} host-17 INFO [worker-{}] ", n % 1000, n % 16).into_bytes();
    let mut x = n as u64 + 1;
    while text.len() < 500 {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(format!("request {} took {} ms; ", x >> 44, (x >> 20) % 1000).as_bytes());
    }
    text.truncate(500);
    text
}

fn batch(from: usize, events: usize) -> Batch {
    let keys = ["host", "timestamp"].map(|k| Key::intern(k).expect("a short name"));
    let mut b = Batch::new();
    for n in from..from + events {
        b.push(Body::Copy(&body(n)));
        for (key, value) in keys.into_iter().zip(["host00.example.net", "1700000000000"]) {
            let value = b.store(value.as_bytes());
            b.push_header(key, value);
        }
    }
    b
}

/// Batches of so many events each, about [`EVENTS`] in all.
pub fn batches(events: usize) -> Vec<Batch> {
    (0..EVENTS / events).map(|i| batch(i * events, events)).collect()
}

/// Reads to the end, decodes with `server`, and has each call answered; returns the number of events.
pub fn decode<S>(
    server: &mut S,
    stream: &mut impl Read,
    pool: &Arc<BufferPool>,
    step: impl Fn(&mut S, &Chunk<'_>, &mut Batch) -> Decoded,
    mut answer: impl FnMut(&mut S),
) -> usize {
    let (mut intake, mut events) = (Intake::default(), 0);
    while intake.read(stream, pool, false).expect("bytes in memory") > 0 {
        while let Some(chunk) = intake.in_hand() {
            let mut batch = Batch::new();
            let decoded = step(server, &chunk, &mut batch);
            intake.used(decoded.used);
            match decoded.then {
                Then::NeedMore => intake.put_rest_aside(pool),
                Then::Call(_) => {
                    events += black_box(batch).len();
                    answer(server);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    events
}

/// What this thread has had of a core.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let ns = text.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(ns.expect("a number of nanoseconds"))
}

/// Prints what `run`, which returns a number of events, does in a second.
pub fn show(name: &str, events: usize, mut run: impl FnMut() -> usize) {
    if !std::env::args().skip(1).filter(|a| a != "--bench").all(|a| name.starts_with(&a)) {
        return;
    }
    let mut all: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (began, had, mut n) = (Instant::now(), cpu(), 0);
            while began.elapsed() < RUN {
                n += run();
            }
            n as f64 / (cpu() - had).as_secs_f64() / 1e6
        })
        .collect();
    all.sort_by(f64::total_cmp);
    let (low, median, high) = (all[0], all[RUNS / 2], all[RUNS - 1]);
    println!("{name:30} batch {events:5}: {median:7.2} M/s ({low:.2}-{high:.2})");
}
