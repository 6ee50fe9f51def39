//! The Avro codec on one core, without a socket: calls of 500 B events with two headers.
//!
//! `cargo bench --bench avro` prints millions of events per second of CPU time (what else the machine does counts less
//! so), median of five runs and their range: decoding through reads of 64 KiB, as a connection of the event loop does it,
//! of calls in chunks of 8 KiB, as Java cuts them, plain and deflated; encoding from a batch, as the avro sink does it; and
//! inflating alone. `-- encode` runs what begins with that.

use flumed::codec::avro::{Caller, Server, Status};
use flumed::codec::zlib::{Deflater, Inflater};
use flumed::codec::Then;
use flumed::event::{Batch, Body, BufferPool, Key};
use flumed::net::Intake;
use std::hint::black_box;
use std::io::Read;
use std::time::{Duration, Instant};

const RUN: Duration = Duration::from_millis(400);
const RUNS: usize = 5;
const READ: usize = 64 << 10;
const CHUNK: usize = 8 << 10;
/// Events of one stream, about; a stream is decoded again and again.
const EVENTS: usize = 20_000;
/// What zlib uses where nobody says another, and Java with it.
const LEVEL: u32 = 6;

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

/// A server and a client that have agreed on the protocol.
fn pair() -> (Server, Caller) {
    let (mut server, mut caller) = (Server::new(64 << 20), Caller::default());
    while !caller.may_pipeline() {
        let (mut call, mut answer) = (Vec::new(), Vec::new());
        caller.ping(&mut call);
        let then = decode(&mut server, &mut &call[..], &BufferPool::new(READ, 4), |_| {});
        assert_eq!(then, 0);
        server.answer(Status::Ok, &mut answer);
        caller.feed(&answer).1.expect("an answer");
    }
    (server, caller)
}

/// A frame in chunks as Java makes them.
fn cut(frame: &[u8], out: &mut Vec<u8>) {
    let int = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes")) as usize;
    let (mut message, mut at) = (Vec::new(), 8);
    for _ in 0..int(4) {
        message.extend_from_slice(&frame[at + 4..at + 4 + int(at)]);
        at += 4 + int(at);
    }
    out.extend_from_slice(&frame[..4]);
    out.extend_from_slice(&(message.len().div_ceil(CHUNK) as u32).to_be_bytes());
    for chunk in message.chunks(CHUNK) {
        out.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
        out.extend_from_slice(chunk);
    }
}

/// Reads and decodes to the end; returns the number of events.
fn decode(
    server: &mut Server,
    stream: &mut impl Read,
    pool: &std::sync::Arc<BufferPool>,
    mut each: impl FnMut(&mut Server),
) -> usize {
    let (mut intake, mut events) = (Intake::default(), 0);
    while intake.read(stream, pool, false).expect("bytes in memory") > 0 {
        while let Some(chunk) = intake.in_hand() {
            let mut batch = Batch::new();
            let decoded = server.decode(&chunk, usize::MAX, &mut batch);
            intake.used(decoded.used);
            match decoded.then {
                Then::NeedMore => intake.put_rest_aside(pool),
                Then::Call(_) => {
                    events += black_box(batch).len();
                    each(server);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    events
}

struct Inflated<'a>(Inflater, &'a [u8]);

impl Read for Inflated<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(&mut self.1, out)
    }
}

/// What this thread has had of a core.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let ns = text.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(ns.expect("a number of nanoseconds"))
}

/// Prints what `run`, which returns a number of events, does in a second.
fn show(name: &str, events: usize, mut run: impl FnMut() -> usize) {
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

fn main() {
    println!("Avro RPC, 500 B events with 2 headers, events per CPU second, median of {RUNS} (min-max)");
    for events in [1, 100, 1000] {
        let (mut server, mut caller) = pair();
        let pool = BufferPool::new(READ, 4);
        let batches: Vec<Batch> = (0..EVENTS / events).map(|i| batch(i * events, events)).collect();
        let (mut stream, mut frame, mut answer) = (Vec::new(), Vec::new(), Vec::new());
        for batch in &batches {
            frame.clear();
            caller.append_batch(batch.iter(), &mut frame).expect("no limit");
            cut(&frame, &mut stream);
        }
        let mut deflated = Vec::new();
        Deflater::new(LEVEL).write_all(&mut deflated, &stream).expect("memory");
        let mut drop_answer = |s: &mut Server| {
            answer.clear();
            s.answer(Status::Ok, &mut answer);
        };
        show("decode", events, || decode(&mut server, &mut &stream[..], &pool, &mut drop_answer));
        show("inflate and decode", events, || {
            let mut z = Inflated(Inflater::default(), &deflated);
            decode(&mut server, &mut z, &pool, &mut drop_answer)
        });
        let mut out = vec![0; READ];
        show("inflate", events, || {
            let mut z = Inflated(Inflater::default(), &deflated);
            while z.read(&mut out).expect("a whole stream") > 0 {}
            EVENTS / events * events
        });
        show("encode", events, || {
            for batch in &batches {
                frame.clear();
                caller.append_batch(batch.iter(), &mut frame).expect("no limit");
                black_box(&frame);
            }
            EVENTS / events * events
        });
        show("encode and deflate", events, || {
            let mut z = Deflater::new(LEVEL);
            for batch in &batches {
                frame.clear();
                deflated.clear();
                caller.append_batch(batch.iter(), &mut frame).expect("no limit");
                z.write_all(&mut deflated, &frame).expect("memory");
            }
            EVENTS / events * events
        });
    }
}
