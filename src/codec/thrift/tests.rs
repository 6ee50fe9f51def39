//! Against bytes that Flume sent and answered (reference, wire.md 2), and against ourselves.

use super::*;
use crate::codec::feed::Seen;
use crate::codec::rpc::{Reply, MORE, MOST_AT_ONCE};
use crate::codec::{CallKind, Chunk, Then};
use crate::event::{Batch, Body, Buffer, Key};
use std::sync::Arc;

const MOST: usize = 1000;
const BOTH: [Encoding; 2] = [Encoding::Compact, Encoding::Binary];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A message in its frame.
fn framed(text: &str) -> Vec<u8> {
    let message = hex(text);
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

fn server() -> Server {
    Server::new(1 << 20, Arc::default())
}

/// Calls as they came: their kind, their events.
type Calls = Vec<(CallKind, Vec<Seen>)>;

/// Feeds bytes, with every call answered by `status` at once; the calls, the answers, and the fault.
fn serve(server: &mut Server, bytes: &[u8], status: Status) -> (Calls, Vec<u8>, Option<String>) {
    let buffer = Buffer::owned(bytes.to_vec());
    let (mut from, mut calls, mut out) = (0, Vec::new(), Vec::new());
    loop {
        let mut batch = Batch::new();
        let chunk = Chunk { buffer: &buffer, from, to: bytes.len() };
        let decoded = server.decode(&chunk, MOST, &mut batch);
        from += decoded.used;
        let then = match decoded.then {
            Then::Work(work) => Then::Call((work.run)(&mut batch)),
            then => then,
        };
        match then {
            Then::Call(call) => {
                calls.push((call.kind, Seen::all(&batch)));
                assert!(call.refused.is_none() || batch.is_empty());
                server.answer(status, &mut out);
            }
            Then::NeedMore => return (calls, out, None),
            Then::Fail(fault) => return (calls, out, Some(fault.reason)),
            other => panic!("{other:?}"),
        }
    }
}

/// The exception in an answer.
fn exception(answer: &[u8]) -> String {
    match Caller::new(Encoding::Compact).feed(answer) {
        (used, Ok(Some((_, Reply::Error(text))))) if used == answer.len() => text,
        other => panic!("no exception alone: {other:?}"),
    }
}

fn event(headers: &[(&str, &str)], body: &str) -> Seen {
    let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Seen { body: body.into(), headers }
}

/// What takes long is for another thread; its answer is the same, and has its place.
#[test]
fn a_long_call_is_work() {
    for encoding in [Encoding::Compact, Encoding::Binary] {
        let mut caller = Caller::new(encoding);
        let mut long = Batch::new();
        (0..MOST_AT_ONCE + 1).for_each(|i| long.push(Body::Copy(i.to_string().as_bytes())));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let serial = caller.append_some(long.len(), || long.iter(), &mut first).unwrap();
        caller.append(long.get(0), &mut second).unwrap();
        let mut server = server();
        let decode = |server: &mut Server, bytes: &[u8]| {
            let (buffer, mut batch) = (Buffer::owned(bytes.to_vec()), Batch::new());
            let chunk = Chunk { buffer: &buffer, from: 0, to: bytes.len() };
            let decoded = server.decode(&chunk, usize::MAX, &mut batch);
            assert_eq!(decoded.used, bytes.len());
            (decoded.then, batch)
        };
        let (Then::Work(work), batch) = decode(&mut server, &first) else { panic!("decoded at once") };
        assert!(batch.is_empty() && work.bytes > 2 * MOST_AT_ONCE, "{}", work.bytes);
        assert!(matches!(decode(&mut server, &second).0, Then::Call(_)));
        let mut batch = Batch::new();
        let call = (work.run)(&mut batch);
        assert_eq!((call.kind, call.refused), (CallKind::AppendBatch, None));
        assert_eq!(Seen::all(&batch), Seen::all(&long));
        let mut out = Vec::new();
        server.answer(Status::Ok, &mut out);
        assert!(matches!(caller.feed(&out).1, Ok(Some((of, Reply::Status(Status::Ok)))) if of == serial));
        // The second call's answer; then what is wrong is found out there, and unless it is nothing is known but what
        // became of the call.
        server.answer(Status::Ok, &mut Vec::new());
        let end = first.len() - 2;
        first[end] = 0xff;
        for is_found in [true, false] {
            let (Then::Work(work), mut batch) = decode(&mut server, &first) else {
                panic!("decoded at once")
            };
            if is_found {
                assert!((work.run)(&mut batch).refused.is_some_and(|r| r.is_fault) && batch.is_empty());
            }
            let mut out = Vec::new();
            server.answer(Status::Failed, &mut out);
            let mut caller = Caller::new(encoding);
            caller.append_some(long.len(), || long.iter(), &mut Vec::new()).unwrap();
            let Ok(Some((_, reply))) = caller.feed(&out).1 else { panic!("no answer") };
            assert_eq!(matches!(reply, Reply::Error(_)), is_found, "{reply:?}");
        }
    }
}

#[test]
fn the_captured_exchanges_of_the_reference() {
    let one = vec![(CallKind::Append, vec![event(&[("k", "v")], "hi")])];
    let two = vec![(CallKind::AppendBatch, vec![event(&[], "a"), event(&[], "b")])];
    for (call, calls, status, answer) in [
        (
            "00000018 82 21 01 06 617070656e64  1c 1b 01 88 01 6b 01 76 18 02 6869 00 00",
            &one,
            Status::Ok,
            "0000000e 82 41 01 06 617070656e64  05 00 00 00",
        ),
        (
            "0000001e 82 21 02 0b 617070656e644261746368  19 2c  1b 00 18 01 61 00  1b 00 18 01 62 00  00",
            &two,
            Status::Failed,
            "00000013 82 41 02 0b 617070656e644261746368  05 00 02 00",
        ),
        (
            "00000033 80010001 00000006 617070656e64 00000001  0c 0001  0d 0001 0b 0b 00000001 00000001 6b 00000001 76
             0b 0002 00000002 6869  00 00",
            &one,
            Status::Ok,
            "0000001a 80010002 00000006 617070656e64 00000001  08 0000 00000000 00",
        ),
    ] {
        let (got, out, fault) = serve(&mut server(), &hex(call), status);
        assert_eq!((&got, out, fault), (calls, hex(answer), None), "{call}");
    }
}

#[test]
fn what_the_caller_sends_the_server_reads() {
    let mut batch = Batch::new();
    for body in ["", "one", "zwei\u{1f4a1}"] {
        batch.push(Body::Copy(body.as_bytes()));
        for (name, value) in [("host", "h\u{fc}"), ("empty", ""), ("n", body)] {
            let value = batch.store(value.as_bytes());
            batch.push_header(Key::intern(name).unwrap(), value);
        }
    }
    batch.push(Body::Copy(&[b'x'; 5000]));
    for encoding in BOTH {
        let mut caller = Caller::new(encoding);
        let mut out = Vec::new();
        assert_eq!(caller.append_some(4, || batch.iter(), &mut out), Some(1));
        assert_eq!(caller.append(batch.iter().next().unwrap(), &mut out), Some(2));
        assert_eq!(caller.append_some(0, || batch.iter(), &mut out), Some(3));
        let mut server = server();
        let (calls, answers, fault) = serve(&mut server, &out, Status::Failed);
        assert_eq!(fault, None);
        let all = Seen::all(&batch);
        let expected = vec![
            (CallKind::AppendBatch, all.clone()),
            (CallKind::Append, vec![all[0].clone()]),
            (CallKind::AppendBatch, vec![]),
        ];
        assert_eq!(calls, expected);
        let (mut at, mut replies) = (0, Vec::new());
        while let (used, Ok(Some(reply))) = caller.feed(&answers[at..]) {
            at += used;
            replies.push(reply);
        }
        assert_eq!(replies, [1, 2, 3].map(|n| (n, Reply::Status(Status::Failed))));
        // In drops.
        let (mut server, mut left, mut seen) = (self::server(), Vec::new(), Vec::new());
        for b in out {
            left.push(b);
            let buffer = Buffer::owned(left.clone());
            let mut batch = Batch::new();
            let decoded =
                server.decode(&Chunk { buffer: &buffer, from: 0, to: left.len() }, MOST, &mut batch);
            left.drain(..decoded.used);
            if let Then::Call(call) = decoded.then {
                seen.push((call.kind, Seen::all(&batch)));
            }
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn what_cannot_be_carried_out_is_answered_and_the_connection_goes_on() {
    let ok = "82 21 01 06 617070656e64  1c 1b 01 88 01 6b 01 76 18 02 6869 00 00";
    for (call, text) in [
        ("82 21 03 03 666f6f 00", "Invalid method name: 'foo'"),
        ("82 21 03 00 00", "Invalid method name: ''"),
        ("82 21 01 06 617070656e64 00", "Internal error processing append"),
        ("82 21 01 06 617070656e64 1c 1b 00 00 00", "required field 'body' is missing"),
        ("82 21 01 06 617070656e64 1c 28 00 00 00", "required field 'headers' is missing"),
        // A body of more bytes than there are, a list of 2^31 - 1 and a map of 2^28 - 1 entries, a number of six bytes.
        ("82 21 01 06 617070656e64 1c 1b 00 18 ff7f 00 00", "which are not there"),
        ("82 21 02 0b 617070656e644261746368 19 fc ffffffff07", "size"),
        ("82 21 01 06 617070656e64 1c 1b ffffff7f 88 00", "size"),
        ("82 21 01 06 617070656e64 1c 1b 00 18 ffffffffffff", "over 5 bytes"),
        ("82 21 02 0b 617070656e644261746368", "ends too early"),
        ("80010001 0000000b 617070656e644261746368 00000001  0f 0001 0c ffffffff", "Negative container size"),
    ] {
        let mut server = server();
        let (calls, answer, fault) = serve(&mut server, &framed(call), Status::Ok);
        assert_eq!(fault, None, "{text}");
        assert_eq!(calls.len(), 1, "{text}");
        assert!(calls[0].1.is_empty(), "{text}");
        let said = exception(&answer);
        assert!(said.contains(text), "{said}: {text}");
        let (calls, ..) = serve(&mut server, &framed(ok), Status::Ok);
        assert_eq!(calls.len(), 1);
    }
}

#[test]
fn what_is_no_thrift_ends_the_connection() {
    for (bytes, why) in [
        ("00000004 01020304", "no Thrift"),
        ("00000000", "no Thrift"),
        ("00000002 8299", "no Thrift message"),
        ("0000000e 82 41 01 06 617070656e64  05 00 00 00", "no call"),
        ("ffffffff", "a frame of -1 bytes"),
    ] {
        let (calls, answer, fault) = serve(&mut server(), &hex(bytes), Status::Ok);
        assert_eq!((calls.len(), answer.len()), (0, 0));
        assert!(fault.as_ref().is_some_and(|f| f.contains(why)), "{bytes}: {fault:?}");
    }
}

#[test]
fn unknown_fields_are_skipped() {
    // Before, within and behind the known ones: a bool, a list of maps, a struct, an empty list.
    let bytes = framed(
        "82 21 01 06 617070656e64  51  19 1b 01 88 01 61 01 62  1c 15 02 00
         0c 02  51  0b 02 01 88 01 6b 01 76  18 02 6869  19 05  00  19 05 00",
    );
    let (calls, _, fault) = serve(&mut server(), &bytes, Status::Ok);
    assert_eq!(fault, None);
    assert_eq!(calls, [(CallKind::Append, vec![event(&[("k", "v")], "hi")])]);
}

#[test]
fn too_large_a_message_is_passed_over_and_its_sender_told() {
    let mut batch = Batch::new();
    batch.push(Body::Copy(&[7; 3000]));
    batch.push(Body::Copy(b"small"));
    for encoding in BOTH {
        let mut caller = Caller::new(encoding);
        let mut out = Vec::new();
        for e in batch.iter() {
            caller.append(e, &mut out);
        }
        let mut server = Server::new(1000, Arc::default());
        let (calls, answers, fault) = serve(&mut server, &out, Status::Ok);
        assert_eq!((calls.len(), fault), (2, None));
        assert_eq!(calls[1].1, [event(&[], "small")]);
        let (used, first) = caller.feed(&answers);
        let Ok(Some((1, Reply::Error(text)))) = first else { panic!("{first:?}") };
        assert!(text.contains("more than 1000: raise the source's maxMessageBytes"), "{text}");
        assert_eq!(caller.feed(&answers[used..]).1, Ok(Some((2, Reply::Status(Status::Ok)))));
    }
}

#[test]
fn what_flume_takes_no_frame_of_is_not_sent() {
    let mut batch = Batch::new();
    batch.push(Body::Copy(&vec![1; LARGEST - 50]));
    batch.push(Body::Copy(b"x"));
    let (mut caller, mut out) = (Caller::new(Encoding::Compact), Vec::new());
    assert_eq!(caller.append_some(2, || batch.iter(), &mut out), None);
    assert_eq!(caller.append(batch.iter().next().unwrap(), &mut out), None);
    assert!(out.is_empty());
    assert_eq!(caller.append_some(1, || batch.iter().skip(1), &mut out), Some(1));
}

#[test]
fn a_batch_of_more_than_the_channels_take_is_refused_unread() {
    let mut batch = Batch::new();
    (0..=MOST).for_each(|_| batch.push(Body::Copy(b"x")));
    let (mut caller, mut out) = (Caller::new(Encoding::Compact), Vec::new());
    caller.append_some(batch.len(), || batch.iter(), &mut out);
    let buffer = Buffer::owned(out);
    let mut got = Batch::new();
    let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let decoded = server().decode(&chunk, MOST, &mut got);
    let Then::Call(call) = decoded.then else { panic!("{decoded:?}") };
    let refusal = call.refused.unwrap();
    assert_eq!((refusal.events, refusal.is_fault, got.len()), (MOST + 1, false, 0));
}

#[test]
fn names_that_cannot_be_kept_stay_with_their_event() {
    // No other test may have it kept.
    let long = "thrift".repeat(50);
    let mut event = hex("82 21 01 06 617070656e64  1c 1b 02 88");
    for text in [MORE, "old=1\n", &long, "v"] {
        let mut n = text.len();
        while n >= 0x80 {
            event.push(n as u8 | 0x80);
            n >>= 7;
        }
        event.push(n as u8);
        event.extend_from_slice(text.as_bytes());
    }
    event.extend(hex("18 02 6869 00 00"));
    let bytes = [&(event.len() as u32).to_be_bytes()[..], &event].concat();
    let (calls, ..) = serve(&mut server(), &bytes, Status::Ok);
    let expected = format!("old=1\n{long}=v\n");
    assert_eq!(calls[0].1[0].header(MORE), Some(expected.as_str()));
}

#[test]
fn what_a_bad_call_kept_apart_is_not_of_the_next() {
    let long = "n".repeat(300);
    let name: String = long.bytes().map(|b| format!("{b:02x}")).collect();
    let mut server = server();
    // A header whose name cannot be kept, and no body.
    let size = long.len() as u32;
    let bad = framed(&format!(
        "80010001 00000006 617070656e64 00000001 0c 0001 0d 0001 0b 0b 00000001 {size:08x} {name} 00000006 736563726574 00 00"
    ));
    let good = framed(
        "80010001 00000006 617070656e64 00000002 0c 0001 0d 0001 0b 0b 00000000 0b 0002 00000002 6869 00 00",
    );
    let (calls, _, fault) = serve(&mut server, &[bad, good].concat(), Status::Ok);
    assert_eq!(fault, None);
    assert_eq!(calls[1].1, [event(&[], "hi")]);
}

#[test]
fn a_method_with_an_endless_name_is_no_call() {
    for (length, is_call) in [(1024u32, true), (1025, false)] {
        let name = "61".repeat(length as usize);
        let call = framed(&format!("80010001 {length:08x} {name} 00000001 00"));
        let (calls, out, fault) = serve(&mut server(), &call, Status::Ok);
        assert_eq!((calls.len() == 1, !out.is_empty(), fault.is_none()), (is_call, is_call, is_call));
    }
}
