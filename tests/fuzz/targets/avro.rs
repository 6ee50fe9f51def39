//! Avro RPC: calls as a server reads them, answers as a client does.
//!
//! Seeds are made by our own client and server. Cut anywhere, calls, their events and the answers must be the same.

use super::{choices, choose, chosen, tree, Signature, Target, Verdict};
use crate::feed::{self, Rules};
use crate::mutate;
use crate::random::Random;
use flumed::codec::avro::{Caller, Server, Status};
use flumed::codec::{BatchLimits, Chunk, Refusal, Then};
use flumed::event::{Batch, Body, Key};

pub static CALLS: Target = Target {
    name: "avro-server",
    seeds: calls,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 15,
    // The table of header names grows by 1.5 MiB now and then.
    memory: (64, 4 << 20),
    run: serve,
};

/// What a client reads has words of its own.
pub static ANSWERS: Target = Target { name: "avro-client", seeds: answers, run: ask, ..CALLS };

const WORDS: &[&str] = &[
    "\0\0\0\x01\0\0\0\x01\0\0\0\x06",
    "\0\0\0\x01\0\0\0\0",
    "\0\x0cappend",
    "\0\x16appendBatch",
    "\0\0",
    "\x02\x02a\x02b\0\x04hi",
    "\x01\x08\x02a\x02b\0",
    "\x01\0",
    "\x02",
    "\x04",
    "\x01\x7f",
    "\0\0\0\x04",
    "\0\x01\0\x04no",
    "{\"protocol\":",
    "\"messages\":{\"append\":",
    "[[[[[[[[",
    "\"fields\":[",
    "\"type\":\"record\"",
];

/// What a client writes first: the events of calls in `sizes`, one alone where that is 0.
fn conversation(caller: &mut Caller, sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
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
            _ => caller.append_batch(batch.iter(), &mut out),
        };
        if !caller.may_pipeline() {
            // Its handshake is answered before anything else is sent.
            let mut server = Server::new(1 << 20);
            let answered = server_says(&mut server, &out);
            assert!(caller.feed(&answered).1.is_ok(), "our own answer");
        }
    }
    out
}

/// The answers to these calls.
fn server_says(server: &mut Server, calls: &[u8]) -> Vec<u8> {
    let buffer = flumed::event::Buffer::owned(calls.to_vec());
    let (mut from, mut out) = (0, Vec::new());
    loop {
        let done = server.decode(&Chunk { buffer: &buffer, from, to: calls.len() }, 1000, &mut Batch::new());
        from += done.used;
        match done.then {
            Then::Call(_) => server.answer(Status::Ok, &mut out),
            _ => return out,
        }
    }
}

fn calls() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [&[0][..], &[3], &[0, 0, 5], &[100, 1, 0, 40]]
        .iter()
        .map(|sizes| conversation(&mut Caller::default(), sizes))
        .collect();
    // With the text: what a client says to a server that does not know its hash.
    let mut unknown = conversation(&mut Caller::default(), &[0]);
    unknown.splice(12..28, [7; 16]);
    let mut server = Server::new(1 << 20);
    let wanted = server_says(&mut server, &unknown);
    let mut again = Caller::default();
    let mut out = Vec::new();
    let mut event = Batch::new();
    event.push(Body::Copy(b"x"));
    again.append(event.get(0), &mut out);
    assert!(again.feed(&wanted).1.is_ok(), "our own answer");
    again.append(event.get(0), &mut unknown);
    all.push(unknown);
    all.extend(super::files_of(&tree("tests/data/avro"), ".bin"));
    let twice = all.clone();
    chosen(all.into_iter().chain(twice))
}

fn serve(input: &[u8]) -> Verdict {
    let (chosen, bytes) = choices(input);
    let max = choose(chosen[0], &[1 << 20, 40, 1 << 24]);
    let most = choose(chosen[1], &[10_000, 3, 1, 1 << 20]);
    let limits = BatchLimits { events: most, bytes: 1 << 20 };
    let make = || {
        let mut server = Server::new(max);
        let mut calls = 0usize;
        move |c: &Chunk<'_>, _: bool, _: BatchLimits, b: &mut Batch| {
            let mut done = server.decode(c, most, b);
            // Of a larger one the beginning is kept.
            let room = (2 * max).max(64 << 10);
            assert!(server.held() <= room, "{} bytes held of a message of at most {max}", server.held());
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
    let known: Vec<Vec<u8>> = [&[0][..], &[3, 0, 0]]
        .iter()
        .map(|sizes| server_says(&mut Server::new(1 << 20), &conversation(&mut Caller::default(), sizes)))
        .collect();
    let strange = calls().into_iter().map(|c| server_says(&mut Server::new(1 << 20), &c[super::CHOICES..]));
    let error = b"\0\0\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\x06\0\x01\0\x04no".to_vec();
    known.into_iter().chain(strange).chain([error]).collect()
}

/// What a client hears, as text, and how it ends.
fn hear(pieces: &[&[u8]]) -> Result<(Vec<String>, bool), String> {
    let mut event = Batch::new();
    event.push(Body::Copy(b"x"));
    let (mut caller, mut sent) = (Caller::default(), Vec::new());
    let (mut heard, mut left) = (Vec::new(), Vec::new());
    caller.append(event.get(0), &mut sent);
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
                Ok(Some((serial, reply))) => {
                    heard.push(format!("{serial} {reply:?}"));
                    caller.append(event.get(0), &mut sent);
                    sent.clear();
                }
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
