//! Thrift RPC: calls as a server reads them, in either protocol, answers as a client does.
//!
//! Seeds are made by our own client and server. Cut anywhere, calls, their events and the answers must be the same.

use super::{choices, choose, chosen, Signature, Target, Verdict};
use crate::feed::{self, Rules};
use crate::mutate;
use crate::random::Random;
use flumed::codec::rpc::Status;
use flumed::codec::thrift::{Caller, Encoding, Server};
use flumed::codec::{BatchLimits, Chunk, Refusal, Then};
use flumed::event::{Batch, Body, Key};
use std::sync::Arc;

pub static CALLS: Target = Target {
    name: "thrift-server",
    seeds: calls,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 15,
    // The table of header names grows by 1.5 MiB now and then.
    memory: (64, 4 << 20),
    run: serve,
};

/// What a client reads has words of its own.
pub static ANSWERS: Target = Target { name: "thrift-client", seeds: answers, run: ask, ..CALLS };

const WORDS: &[&str] = &[
    "\u{0}\u{0}\u{0}\u{18}",
    "\u{6}append",
    "\u{b}appendBatch",
    "\u{1c}\u{1b}\u{0}\u{18}\u{2}hi\u{0}\u{0}",
    "\u{19}\u{1c}",
    "\u{19}\u{7f}",
    "\u{1b}\u{1}",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
    "\u{c}\u{0}\u{1}",
    "\u{d}\u{0}\u{1}\u{b}\u{b}\u{0}\u{0}\u{0}\u{1}",
    "\u{f}\u{0}\u{1}\u{c}\u{0}\u{0}\u{0}\u{2}",
    "\u{b}\u{0}\u{2}\u{0}\u{0}\u{0}\u{2}hi",
    "\u{1c}\u{1c}\u{1c}\u{1c}\u{1c}\u{1c}\u{1c}\u{1c}",
    "\u{5}\u{0}\u{2}\u{0}",
];

const BOTH: [Encoding; 2] = [Encoding::Compact, Encoding::Binary];

/// What a client writes: the events of calls in `sizes`, one alone where that is 0.
fn conversation(encoding: Encoding, sizes: &[usize]) -> Vec<u8> {
    let (mut caller, mut out) = (Caller::new(encoding), Vec::new());
    for n in sizes {
        let mut batch = Batch::new();
        for i in 0..(*n).max(1) {
            batch.push(Body::Copy(format!("body {i} \u{e4}").as_bytes()));
            for (name, value) in
                [("host", "h\u{f6}st"), ("k", ""), ("timestamp", "1700000000000")].iter().take(i % 4)
            {
                let value = batch.store(value.as_bytes());
                batch.push_header(Key::intern(name).expect("a short name"), value);
            }
        }
        match n {
            0 => caller.append(batch.get(0), &mut out),
            n => caller.append_some(*n, || batch.iter(), &mut out),
        };
    }
    out
}

/// The answers to these calls.
fn server_says(calls: &[u8], status: Status) -> Vec<u8> {
    let mut server = Server::new(1 << 20, Arc::default());
    let buffer = flumed::event::Buffer::owned(calls.to_vec());
    let (mut from, mut out) = (0, Vec::new());
    loop {
        let done = server.decode(&Chunk { buffer: &buffer, from, to: calls.len() }, 1000, &mut Batch::new());
        from += done.used;
        match done.then {
            Then::Call(_) => server.answer(status, &mut out),
            _ => return out,
        }
    }
}

fn all_calls() -> Vec<Vec<u8>> {
    let sizes: [&[usize]; 4] = [&[0], &[3], &[0, 0, 5], &[100, 1, 0, 40]];
    BOTH.iter().flat_map(|e| sizes.map(|s| conversation(*e, s))).collect()
}

fn calls() -> Vec<Vec<u8>> {
    let all = all_calls();
    let twice = all.clone();
    chosen(all.into_iter().chain(twice))
}

fn serve(input: &[u8]) -> Verdict {
    let (chosen, bytes) = choices(input);
    let max = choose(chosen[0], &[1 << 20, 40, 1 << 24]);
    let most = choose(chosen[1], &[10_000, 3, 1, 1 << 20]);
    let limits = BatchLimits { events: most, bytes: 1 << 20 };
    let make = || {
        let mut server = Server::new(max, Arc::default());
        let mut calls = 0usize;
        move |c: &Chunk<'_>, _: bool, _: BatchLimits, b: &mut Batch| {
            let mut done = server.decode(c, most, b);
            // Of a larger one the beginning is kept.
            assert!(server.held() <= max.max(8 << 10), "{} bytes held, of at most {max}", server.held());
            if let Then::Work(work) = done.then {
                done.then = Then::Call((work.run)(b));
            }
            if let Then::Call(call) = &mut done.then {
                calls += 1;
                let status = if call.refused.is_some() { Status::Failed } else { Status::Ok };
                // Some answers come late, and then several at once.
                let mut out = Vec::new();
                if calls % 3 != 1 {
                    server.answer(status, &mut out);
                    server.answer(status, &mut out);
                }
                // Compared with the call.
                let why = format!("{:?} {out:?}", call.refused);
                call.refused = Some(Refusal { why, events: 0, is_fault: false });
            }
            done
        }
    };
    // A message that is cut short ends with the connection, without an event.
    feed::agree(make, bytes, limits, Rules { may_leave: true, has_small_batches: false })
}

fn answers() -> Vec<Vec<u8>> {
    let unknown = b"\0\0\0\x08\x82\x21\x03\x03foo\0".to_vec();
    all_calls()
        .into_iter()
        .chain([unknown])
        .zip([Status::Ok, Status::Failed, Status::Error, Status::Unknown].into_iter().cycle())
        .map(|(calls, status)| server_says(&calls, status))
        .collect()
}

/// What a client hears, as text, and how it ends.
fn hear(pieces: &[&[u8]]) -> Result<(Vec<String>, bool), String> {
    let mut caller = Caller::new(Encoding::Compact);
    let (mut heard, mut left) = (Vec::new(), Vec::new());
    for piece in pieces {
        left.extend_from_slice(piece);
        loop {
            let (used, got) = caller.feed(&left);
            if used > left.len() {
                return Err(format!("uses {used} bytes of {}", left.len()));
            }
            left.drain(..used);
            match got {
                Ok(None) => break,
                Ok(Some((number, reply))) => heard.push(format!("{number} {reply:?}")),
                Err(why) => {
                    heard.push(format!("{why:?}"));
                    return Ok((heard, true));
                }
            }
        }
    }
    Ok((heard, false))
}

fn ask(input: &[u8]) -> Verdict {
    let whole = hear(&[input])?;
    let cut = Random::of(input).split(input);
    let single: Vec<&[u8]> = input.chunks(1).take(feed::SHORT).collect();
    if hear(&cut)? != whole || (input.len() <= feed::SHORT && hear(&single)? != whole) {
        return Err(format!("is heard otherwise when it is cut; whole: {whole:?}"));
    }
    let mut s = Signature::default();
    s.exact(whole.1);
    s.count(whole.0.len());
    whole.0.iter().take(3).for_each(|text| {
        s.words(text);
        s.count(text.len());
    });
    Ok(s)
}
