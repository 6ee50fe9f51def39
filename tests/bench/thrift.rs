//! The Thrift codec on one core, without a socket: calls of 500 B events with two headers, in both encodings.
//!
//! `cargo bench --bench thrift` prints millions of events per second of CPU time (what else the machine does counts less
//! so), median of five runs and their range: decoding through reads of 64 KiB, as a connection of the event loop does it;
//! and encoding from a batch, as the thrift sink does it. `-- "decode compact"` runs what begins with that.

mod common;

use common::{batches, decode, show, EVENTS, READ, RUNS};
use flumed::codec::rpc::Status;
use flumed::codec::thrift::{Caller, Encoding, Server};
use flumed::codec::Chunk;
use flumed::event::{Batch, BufferPool, Spares};
use std::hint::black_box;
use std::sync::Arc;

fn main() {
    println!("Thrift RPC, 500 B events with 2 headers, events per CPU second, median of {RUNS} (min-max)");
    for (encoding, name) in [(Encoding::Compact, "compact"), (Encoding::Binary, "binary")] {
        for events in [1, 100, 1000] {
            let (pool, spares) = (BufferPool::new(READ, 4), Arc::new(Spares::default()));
            let (mut server, mut caller) = (Server::new(64 << 20, spares), Caller::new(encoding));
            let batches = batches(events);
            let (mut stream, mut frame, mut answer) = (Vec::new(), Vec::new(), Vec::new());
            for batch in &batches {
                caller.append_some(events, || batch.iter(), &mut stream).expect("within the limit");
            }
            show(&format!("decode {name}"), events, || {
                let step =
                    |s: &mut Server, chunk: &Chunk<'_>, batch: &mut Batch| s.decode(chunk, usize::MAX, batch);
                decode(&mut server, &mut &stream[..], &pool, step, |s| {
                    answer.clear();
                    s.answer(Status::Ok, &mut answer);
                })
            });
            show(&format!("encode {name}"), events, || {
                for batch in &batches {
                    frame.clear();
                    caller.append_some(events, || batch.iter(), &mut frame).expect("within the limit");
                    black_box(&frame);
                }
                EVENTS / events * events
            });
        }
    }
}
