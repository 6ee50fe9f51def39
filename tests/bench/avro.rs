//! The Avro codec on one core, without a socket: calls of 500 B events with two headers.
//!
//! `cargo bench --bench avro` prints millions of events per second of CPU time (what else the machine does counts less
//! so), median of five runs and their range: decoding through reads of 64 KiB, as a connection of the event loop does it,
//! of calls in chunks of 8 KiB, as Java cuts them, plain and deflated; encoding from a batch, as the avro sink does it; and
//! inflating alone. `-- encode` runs what begins with that.

mod common;

use common::{batches, show, EVENTS, READ, RUNS};
use flumed::codec::avro::{Caller, Server, Status};
use flumed::codec::zlib::{Deflater, Inflater};
use flumed::codec::Chunk;
use flumed::event::{Batch, BufferPool};
use std::hint::black_box;
use std::io::Read;
use std::sync::Arc;

const CHUNK: usize = 8 << 10;
/// What zlib uses where nobody says another, and Java with it.
const LEVEL: u32 = 6;

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
    pool: &Arc<BufferPool>,
    answer: impl FnMut(&mut Server),
) -> usize {
    let step = |s: &mut Server, chunk: &Chunk<'_>, batch: &mut Batch| s.decode(chunk, usize::MAX, batch);
    common::decode(server, stream, pool, step, answer)
}

struct Inflated<'a>(Inflater, &'a [u8]);

impl Read for Inflated<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(&mut self.1, out)
    }
}

fn main() {
    println!("Avro RPC, 500 B events with 2 headers, events per CPU second, median of {RUNS} (min-max)");
    for events in [1, 100, 1000] {
        let (mut server, mut caller) = pair();
        let pool = BufferPool::new(READ, 4);
        let batches = batches(events);
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
