//! What real peers said to each other, in both roles: tests/data/thrift, where a README tells how it was recorded.
//!
//! As a server we get the recorded clients' bytes, and have to read their events and answer with the recorded server's
//! bytes; as a client we get its answers, and our calls have to be the recorded client's bytes.

use super::*;
use crate::codec::feed::Seen;
use crate::codec::rpc::Reply;
use crate::codec::{Chunk, Then};
use crate::event::{Batch, Body, Buffer, Key};
use std::path::Path;
use std::sync::Arc;

struct Recorded {
    name: String,
    client: Vec<u8>,
    server: Vec<u8>,
    calls: Vec<Call>,
}

struct Call {
    name: String,
    events: Vec<Seen>,
    number: i32,
    /// OK, FAILED, or exception, its number and its text.
    answer: String,
}

fn hex(text: &str) -> Vec<u8> {
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
    match text.split_once('*') {
        _ if text == "-" => Vec::new(),
        Some((byte, times)) => hex(byte).repeat(times.parse().unwrap()),
        None => text.as_bytes().chunks(2).map(pair).collect(),
    }
}

fn event(words: &[&str]) -> Seen {
    let text = |h: &str| String::from_utf8(hex(h)).unwrap();
    let header = |w: &&str| w.split_once('=').map(|(k, v)| (text(k), text(v))).unwrap();
    Seen { body: hex(words[0]), headers: words[1..].iter().map(header).collect() }
}

fn read(path: &Path) -> Recorded {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let (mut client, mut server, mut calls) = (Vec::new(), Vec::new(), Vec::<Call>::new());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            ">" | "<" if words[1] == "end" => {}
            ">" => client.extend(hex(words[1])),
            "<" => server.extend(hex(words[1])),
            "call" => calls.push(Call {
                name: words[2].to_owned(),
                events: Vec::new(),
                number: words[1].parse().unwrap(),
                answer: String::new(),
            }),
            "event" => calls.last_mut().unwrap().events.push(event(&words[1..])),
            "answer" => {
                let call = calls.last_mut().unwrap();
                assert_eq!(call.number, words[1].parse::<i32>().unwrap(), "{name}");
                call.answer = words[2..].join(" ");
            }
            "#" => {}
            other => panic!("{name}: {other}"),
        }
    }
    Recorded { name, client, server, calls }
}

fn all() -> Vec<Recorded> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/thrift");
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let all: Vec<Recorded> =
        files.filter(|p| p.extension().is_some_and(|e| e == "txt")).map(|p| read(&p)).collect();
    assert!(all.len() >= 26, "{}", all.len());
    all
}

/// Feeds a server these pieces, each call answered as recorded. Its events call by call, and all it says.
fn serve(r: &Recorded, pieces: &[&[u8]]) -> (Vec<Vec<Seen>>, Vec<u8>) {
    let (mut server, mut left) = (Server::new(1 << 20, Arc::default()), Vec::new());
    let (mut calls, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        left.extend_from_slice(piece);
        let buffer = Buffer::owned(std::mem::take(&mut left));
        let mut from = 0;
        loop {
            let mut batch = Batch::new();
            let decoded =
                server.decode(&Chunk { buffer: &buffer, from, to: buffer.len() }, 10_000, &mut batch);
            from += decoded.used;
            match decoded.then {
                Then::NeedMore => break,
                Then::Call(_) => {
                    let status =
                        if r.calls[calls.len()].answer == "FAILED" { Status::Failed } else { Status::Ok };
                    calls.push(Seen::all(&batch));
                    server.answer(status, &mut out);
                }
                other => panic!("{}: {other:?}", r.name),
            }
        }
        left.extend_from_slice(&buffer[from..]);
    }
    assert_eq!(left, b"", "{}", r.name);
    (calls, out)
}

#[test]
fn as_a_server_we_read_and_answer_what_flume_does() {
    for r in all() {
        let (calls, out) = serve(&r, &[&r.client]);
        let expected: Vec<&[Seen]> = r.calls.iter().map(|c| &c.events[..]).collect();
        assert_eq!(calls, expected, "{}", r.name);
        assert_eq!(out, r.server, "{}: every byte", r.name);
    }
}

#[test]
fn whatever_way_the_bytes_come() {
    for r in all() {
        let whole = serve(&r, &[&r.client]);
        let single: Vec<&[u8]> = r.client.chunks(1).collect();
        assert_eq!(serve(&r, &single), whole, "{} byte by byte", r.name);
        let step = 1 + r.client.len() / 500;
        for cut in (0..r.client.len()).step_by(step) {
            assert_eq!(serve(&r, &[&r.client[..cut], &r.client[cut..]]), whole, "{} cut at {cut}", r.name);
        }
    }
}

#[test]
fn as_a_client_we_understand_every_answer() {
    for r in all() {
        let (mut caller, mut at) = (Caller::new(Encoding::Compact), 0);
        for call in &r.calls {
            let (used, reply) = caller.feed(&r.server[at..]);
            at += used;
            let expected = match call.answer.split(' ').collect::<Vec<_>>()[..] {
                ["OK"] => Reply::Status(Status::Ok),
                ["FAILED"] => Reply::Status(Status::Failed),
                ["exception", _, ref text @ ..] => Reply::Error(text.join(" ")),
                ref other => panic!("{}: {other:?}", r.name),
            };
            assert_eq!(reply.unwrap().unwrap(), (call.number, expected), "{}", r.name);
        }
        assert_eq!(at, r.server.len(), "{}", r.name);
    }
}

#[test]
fn our_calls_are_their_bytes() {
    let mut equal = 0;
    // Apache's and Flume's clients count calls from 1, as ours does; thriftpy2 does not count.
    for r in all().iter().filter(|r| !r.name.starts_with("thriftpy2") && !r.name.contains("unknown")) {
        let encoding = if r.name.ends_with("binary") { Encoding::Binary } else { Encoding::Compact };
        let (mut caller, mut out) = (Caller::new(encoding), Vec::new());
        for call in &r.calls {
            let mut batch = Batch::new();
            for e in &call.events {
                batch.push(Body::Copy(&e.body));
                for (k, v) in &e.headers {
                    let v = batch.store(v.as_bytes());
                    batch.push_header(Key::intern(k).unwrap(), v);
                }
            }
            match call.name.as_str() {
                "append" => caller.append(batch.get(0), &mut out).unwrap(),
                _ => caller.append_some(call.events.len(), || batch.iter(), &mut out).unwrap(),
            };
        }
        assert_eq!(out, r.client, "{}", r.name);
        equal += 1;
    }
    assert!(equal >= 14, "{equal}");
}
