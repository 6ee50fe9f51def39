//! What real peers said to each other, in both roles: tests/data/avro, where a README tells how it was recorded.
//!
//! As a server we get the recorded clients' bytes, and have to read their events and answer as the recorded server did;
//! as a client we get its answers. Where a client's calls have the form that ours have, ours are its bytes.

use super::frame::Message;
use super::*;
use crate::codec::feed::Seen;
use crate::codec::zlib::Inflater;
use crate::codec::{Chunk, Then};
use crate::event::{Batch, Body, Buffer, Key};
use std::path::Path;

struct Recorded {
    name: String,
    client: Vec<u8>,
    server: Vec<u8>,
    calls: Vec<Call>,
    /// Answers came in another order than calls.
    is_reordered: bool,
}

struct Call {
    serial: i32,
    name: String,
    events: Vec<Seen>,
    /// BOTH, CLIENT or NONE, where there was a handshake.
    matched: String,
    /// OK, FAILED, nothing, or error and its text.
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
    let (mut client, mut server, mut calls, mut is_reordered) =
        (Vec::new(), Vec::new(), Vec::<Call>::new(), false);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            ">" | "<" if words[1] == "end" => {}
            ">" => client.extend(hex(words[1])),
            "<" => server.extend(hex(words[1])),
            "call" => calls.push(Call {
                serial: words[1].parse().unwrap(),
                name: words[2..].join(" "),
                events: Vec::new(),
                matched: String::new(),
                answer: String::new(),
            }),
            "event" => calls.last_mut().unwrap().events.push(event(&words[1..])),
            "answer" => {
                let serial: i32 = words[1].parse().unwrap();
                let call = calls.iter_mut().find(|c| c.serial == serial && c.answer.is_empty()).unwrap();
                let has_match = ["BOTH", "CLIENT", "NONE"].contains(&words[2]);
                call.matched = if has_match { words[2].to_owned() } else { String::new() };
                call.answer = words[2 + usize::from(has_match)..].join(" ");
            }
            "order" => is_reordered = true,
            "#" => {}
            other => panic!("{name}: {other}"),
        }
    }
    if name.contains("-deflate-") {
        (client, server) = (inflate(&client), inflate(&server));
    }
    Recorded { name, client, server, calls, is_reordered }
}

fn inflate(mut stream: &[u8]) -> Vec<u8> {
    let (mut z, mut all, mut out) = (Inflater::default(), Vec::new(), [0; 999]);
    while let n @ 1.. = z.read(&mut stream, &mut out).unwrap() {
        all.extend_from_slice(&out[..n]);
    }
    all
}

fn all() -> Vec<Recorded> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/avro");
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let all: Vec<Recorded> =
        files.filter(|p| p.extension().is_some_and(|e| e == "txt")).map(|p| read(&p)).collect();
    assert!(all.len() >= 35, "{}", all.len());
    all
}

fn messages(bytes: &[u8]) -> Vec<Message> {
    let (mut frames, mut at, mut all) = (Frames::new(1 << 20), 0, Vec::new());
    loop {
        let (used, got) = frames.feed(&bytes[at..]);
        at += used;
        match got.unwrap() {
            Some(m) => all.push(m),
            None => return all,
        }
    }
}

/// Feeds a server these pieces, each call answered as recorded. Its events call by call, and all it says.
fn serve(r: &Recorded, pieces: &[&[u8]]) -> (Vec<Vec<Seen>>, Vec<u8>) {
    let (mut server, mut left) = (Server::new(1 << 20), Vec::new());
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
                Then::Call(call) => {
                    assert!(call.refused.as_ref().is_none_or(|r| r.is_fault), "{}: {call:?}", r.name);
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

/// Whether this recording is of a server that knew what we do not, or could not read what we cannot.
fn is_for_us_as_a_server(r: &Recorded) -> bool {
    !r.name.starts_with("sink-to-avsc") && !r.name.starts_with("handshake-unreadable")
}

#[test]
fn as_a_server_we_read_and_answer_what_flume_does() {
    let mut equal = 0;
    for r in all().iter().filter(|r| is_for_us_as_a_server(r)) {
        let (calls, out) = serve(r, &[&r.client]);
        let carried_out = |c: &Call| c.matched != "NONE" && !c.answer.starts_with("error");
        let expected: Vec<&[Seen]> =
            r.calls.iter().map(|c| if carried_out(c) { &c.events[..] } else { &[] }).collect();
        assert_eq!(calls, expected, "{}", r.name);
        // Its own text and ours have other bytes; all else has not.
        let (theirs, ours) = (messages(&r.server), messages(&out));
        assert_eq!(ours.len(), r.calls.len(), "{}", r.name);
        let mut left = theirs;
        for (call, m) in r.calls.iter().zip(&ours) {
            let at = left.iter().position(|t| t.serial == m.serial).unwrap();
            let recorded = left.remove(at);
            let has_text = ["NONE", "CLIENT"].contains(&call.matched.as_str());
            // Of a handshake with a text the match, of an error all before its text.
            let head = if has_text { 1 } else { 3 + if call.matched.is_empty() { 0 } else { 4 } };
            match call.answer.starts_with("error") || has_text {
                true => assert_eq!(m.bytes[..head], recorded.bytes[..head], "{} {}", r.name, call.serial),
                false => assert_eq!(m.bytes, recorded.bytes, "{} {}", r.name, call.serial),
            }
        }
        let plain = |c: &Call| {
            ["OK", "FAILED"].contains(&c.answer.as_str()) && ["", "BOTH"].contains(&c.matched.as_str())
        };
        if !r.is_reordered && r.calls.iter().all(plain) {
            assert_eq!(out, r.server, "{}: every byte", r.name);
            equal += 1;
        }
    }
    assert!(equal >= 10, "{equal} whole answers are the same, byte for byte");
}

#[test]
fn whatever_way_the_bytes_come() {
    for r in all().iter().filter(|r| is_for_us_as_a_server(r)) {
        let whole = serve(r, &[&r.client]);
        let single: Vec<&[u8]> = r.client.chunks(1).collect();
        assert_eq!(serve(r, &single), whole, "{} byte by byte", r.name);
        let step = 1 + r.client.len() / 500;
        for cut in (0..r.client.len()).step_by(step) {
            assert_eq!(serve(r, &[&r.client[..cut], &r.client[cut..]]), whole, "{} cut at {cut}", r.name);
        }
    }
}

#[test]
fn a_handshake_that_cannot_be_read_ends_the_connection() {
    for r in all().iter().filter(|r| r.name.starts_with("handshake-unreadable")) {
        let buffer = Buffer::owned(r.client.clone());
        let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
        let then = Server::new(1 << 20).decode(&chunk, 10, &mut Batch::new()).then;
        assert!(matches!(then, Then::Fail(f) if f.reason.contains("Avro handshake")), "{}", r.name);
    }
}

#[test]
fn as_a_client_we_understand_every_answer() {
    let mut seen = 0;
    for r in all().iter().filter(|r| r.calls.iter().all(|c| c.name != "ping" && c.name != "unreadable")) {
        let mut caller = Caller::default();
        let (mut at, mut replies) = (0, Vec::new());
        while at < r.server.len() {
            let (used, reply) = caller.feed(&r.server[at..]);
            at += used;
            replies.push(reply.unwrap_or_else(|e| panic!("{}: {e:?}", r.name)).unwrap());
        }
        assert_eq!(replies.len(), r.calls.len(), "{}", r.name);
        for call in &r.calls {
            let (_, reply) = replies.remove(replies.iter().position(|(s, _)| *s == call.serial).unwrap());
            let expected = match call.answer.as_str() {
                "OK" => Reply::Status(Status::Ok),
                "FAILED" => Reply::Status(Status::Failed),
                "nothing" => Reply::Again,
                error => Reply::Error(error.strip_prefix("error ").unwrap().to_owned()),
            };
            assert_eq!(reply, expected, "{} {}", r.name, call.serial);
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen} answers");
}

#[test]
fn our_calls_are_javas_bytes() {
    for name in ["sdk-append", "sdk-batch", "sink"] {
        for version in ["1.9.0", "1.11.0"] {
            let all = all();
            let r = all.iter().find(|r| r.name == format!("{name}-{version}")).unwrap();
            let mut caller = Caller::default();
            let (mut out, mut answers) = (Vec::new(), &r.server[..]);
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
                    "appendBatch" => caller.append_batch(batch.iter(), &mut out).unwrap(),
                    other => panic!("{}: {other}", r.name),
                };
                answers = &answers[caller.feed(answers).0..];
            }
            assert_eq!(out, r.client, "{}", r.name);
        }
    }
}
