use super::super::{handshake::put_request, protocol::TEXT, wire::put_long, Caller, Reply};
use super::*;
use crate::codec::feed::Seen;
use crate::codec::rpc::MOST_AT_ONCE;
use crate::event::{Body, Buffer, Key};

const MOST: usize = 1000;

/// Feeds bytes, with every call answered by `status` at once; the events, the answers, and the fault.
fn serve(server: &mut Server, bytes: &[u8], status: Status) -> (Vec<Vec<Seen>>, Vec<u8>, Option<Fault>) {
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
                assert!(call.refused.is_none_or(|r| r.is_fault && batch.is_empty()));
                calls.push(Seen::all(&batch));
                server.answer(status, &mut out);
            }
            Then::NeedMore => return (calls, out, None),
            Then::Fail(fault) => return (calls, out, Some(fault)),
            other => panic!("{other:?}"),
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A call behind the first one.
fn call(serial: i32, name: &str, parameters: &[u8]) -> Vec<u8> {
    let mut head = vec![0];
    put_bytes(&mut head, name.as_bytes());
    let mut out = Vec::new();
    frame::put(&mut out, serial, &[&head, parameters]);
    out
}

/// A server whose first call is behind it.
fn shaken() -> Server {
    let mut server = Server::new(1 << 20);
    let mut first = Vec::new();
    Caller::default().append_batch(Batch::new().iter(), &mut first);
    assert_eq!(serve(&mut server, &first, Status::Ok).0, [Vec::new()]);
    server
}

/// What takes long is for another thread, were it the first call; its answer is the same, and has its place.
#[test]
fn a_long_call_is_work() {
    let mut caller = Caller::default();
    let mut long = Batch::new();
    (0..MOST_AT_ONCE + 1).for_each(|i| long.push(Body::Copy(i.to_string().as_bytes())));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let serial = caller.append_batch(long.iter(), &mut first).unwrap();
    let mut server = Server::new(1 << 20);
    let decode = |server: &mut Server, bytes: &[u8]| {
        let (buffer, mut batch) = (Buffer::owned(bytes.to_vec()), Batch::new());
        let decoded =
            server.decode(&Chunk { buffer: &buffer, from: 0, to: bytes.len() }, usize::MAX, &mut batch);
        assert_eq!(decoded.used, bytes.len());
        (decoded.then, batch)
    };
    let (Then::Work(work), mut batch) = decode(&mut server, &first) else { panic!("decoded at once") };
    assert!(batch.is_empty() && work.bytes > 2 * MOST_AT_ONCE, "{}", work.bytes);
    second.extend(call(9, "append", &[0, 2, b'x']));
    assert_eq!(decode(&mut server, &second).0, Then::Call(Call { kind: CallKind::Append, refused: None }));
    assert_eq!((work.run)(&mut batch), Call { kind: CallKind::AppendBatch, refused: None });
    assert_eq!(Seen::all(&batch), Seen::all(&long));
    let mut out = Vec::new();
    server.answer(Status::Ok, &mut out);
    server.answer(Status::Ok, &mut Vec::new());
    assert!(matches!(caller.feed(&out).1, Ok(Some((of, Reply::Status(Status::Ok)))) if of == serial));
    // What is wrong is found out there; unless it is nothing is known but what became of the call.
    let mut array = Vec::new();
    put_long(&mut array, MOST_AT_ONCE as i64 + 1);
    array.extend_from_slice(&[0; 2 * (MOST_AT_ONCE + 1)]);
    for is_found in [true, false] {
        // The end of the array is missing.
        let then = decode(&mut server, &call(10, "appendBatch", &array));
        let (Then::Work(work), mut batch) = then else { panic!("decoded at once") };
        if is_found {
            assert!((work.run)(&mut batch).refused.is_some_and(|r| r.is_fault) && batch.is_empty());
        }
        let mut out = Vec::new();
        server.answer(Status::Failed, &mut out);
        let said = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(said.contains("java.io.EOFException"), is_found, "{said:?}");
    }
}

#[test]
fn the_captured_exchange_of_the_reference() {
    let mut server = Server::new(1 << 20);
    let first = "00000001 00000002 0000002b 86aadae2c45474c0fe93ffd0f2350a65 00
        86aadae2c45474c0fe93ffd0f2350a65 02 00 00 0c 617070656e64 00000009 02 02 6b 02 76 00 04 6869";
    let (calls, out, _) = serve(&mut server, &hex(first), Status::Ok);
    assert_eq!(calls, [[Seen { body: b"hi".to_vec(), headers: vec![("k".into(), "v".into())] }]]);
    assert_eq!(out, hex("00000001 00000003 00000004 00000000 00000001 00 00000002 00 00"));
    let second = "00000002 00000002 0000000d 00 16 617070656e644261746368 00000008 04 00 02 61 00 02 62 00";
    let (calls, out, _) = serve(&mut server, &hex(second), Status::Failed);
    assert_eq!((calls.len(), calls[0].len()), (1, 2));
    assert_eq!(out, hex("00000002 00000003 00000000 00000001 00 00000002 00 02"));
}

#[test]
fn an_unknown_hash_is_asked_for_its_text_and_the_call_is_not_carried_out() {
    let mut server = Server::new(1 << 20);
    let request = |hash: [u8; 16], text: Option<&str>| {
        let mut head = hash.to_vec();
        put_long(&mut head, i64::from(text.is_some()));
        text.inspect(|t| put_bytes(&mut head, t.as_bytes()));
        head.extend_from_slice(&super::super::protocol::BARE);
        head.extend_from_slice(&[0, 0]);
        put_bytes(&mut head, b"append");
        let mut out = Vec::new();
        frame::put(&mut out, 5, &[&head, b"\x00\x02x"]);
        out
    };
    let (calls, out, _) = serve(&mut server, &request([1; 16], None), Status::Ok);
    assert_eq!(calls, [Vec::new()]);
    let mut none = Vec::new();
    handshake::put_response(&mut none, Match::None);
    let mut expected = Vec::new();
    frame::put(&mut expected, 5, &[&none]);
    assert_eq!(out, expected, "nothing but the handshake");
    let (calls, out, _) = serve(&mut server, &request([1; 16], Some(TEXT)), Status::Ok);
    assert_eq!((calls[0].len(), &out[..16]), (1, &hex("00000005 00000003 00000004 00000000")[..]));
    let (_, _, fault) =
        serve(&mut Server::new(1 << 20), &request([1; 16], Some("{\"messages\":{}}")), Status::Ok);
    let fault = fault.unwrap();
    assert!(fault.reason.contains("without append"), "{}", fault.reason);
    assert!(!fault.answer.is_empty());
}

#[test]
fn questions_and_mistakes_are_answered_and_the_connection_goes_on() {
    let mut server = shaken();
    let mut bytes = call(2, "", b"");
    bytes.extend(call(3, "foo", b"\x01"));
    bytes.extend(call(4, "append", b"\x02\x02k"));
    bytes.extend(call(5, "appendBatch", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    bytes.extend(call(6, "append", b"\x00\x02x"));
    let (calls, out, fault) = serve(&mut server, &bytes, Status::Ok);
    assert_eq!(fault, None);
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 0, 1]);
    let mut caller = Caller::default();
    let mut first = Vec::new();
    caller.append_batch(Batch::new().iter(), &mut first);
    let mut both = Vec::new();
    frame::put(&mut both, 1, &[&[0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(caller.feed(&both).1, Ok(Some((1, Reply::Status(Status::Ok)))));
    let ping = out.iter().take(16).copied().collect::<Vec<u8>>();
    assert_eq!(ping[..12], hex("00000002 00000001 00000000"));
    let mut at = 12;
    let mut replies = Vec::new();
    while at < out.len() {
        let (used, reply) = caller.feed(&out[at..]);
        at += used;
        replies.push(reply.unwrap().unwrap());
    }
    assert_eq!(replies.iter().map(|(s, _)| *s).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert!(matches!(&replies[0].1, Reply::Error(t) if t.contains("No such remote message: foo")));
    assert!(matches!(&replies[1].1, Reply::Error(t) if t.contains("java.io.EOFException")));
    assert!(matches!(&replies[2].1, Reply::Error(_)));
    assert_eq!(replies[3].1, Reply::Status(Status::Ok));
}

#[test]
fn too_many_events_are_refused_with_the_keys_to_turn() {
    let mut server = shaken();
    let mut array = Vec::new();
    put_long(&mut array, MOST as i64 + 1);
    array.extend(b"\x00\x00".repeat(MOST + 1));
    array.push(0);
    let bytes = call(2, "appendBatch", &array);
    let buffer = Buffer::owned(bytes);
    let mut batch = Batch::new();
    let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let Then::Call(call) = server.decode(&chunk, MOST, &mut batch).then else { panic!("a call") };
    let refused = call.refused.unwrap();
    assert!(refused.why.contains("transactionCapacity") && batch.is_empty(), "{refused:?}");
    assert_eq!((refused.events, refused.is_fault), (MOST + 1, false));
    let mut out = Vec::new();
    server.answer(Status::Failed, &mut out);
    assert_eq!(out.last(), Some(&2));
}

#[test]
fn whatever_way_the_bytes_are_cut_the_calls_are_the_same() {
    let mut caller = Caller::default();
    let mut bytes = Vec::new();
    let mut batch = Batch::new();
    for i in 0..3 {
        batch.push(Body::Copy(&[i; 50]));
        let v = batch.store(b"value");
        batch.push_header(Key::HOST, v);
    }
    caller.append_batch(batch.iter(), &mut bytes);
    bytes.extend(call(2, "append", b"\x00\x02x"));
    let whole = serve(&mut Server::new(1 << 20), &bytes, Status::Ok);
    assert_eq!(whole.0.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    for cut in 0..bytes.len() {
        let mut server = Server::new(1 << 20);
        let mut left = Vec::new();
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        for piece in [&bytes[..cut], &bytes[cut..]] {
            left.extend_from_slice(piece);
            let buffer = Buffer::owned(left.clone());
            let mut from = 0;
            loop {
                let mut batch = Batch::new();
                let chunk = Chunk { buffer: &buffer, from, to: buffer.len() };
                let decoded = server.decode(&chunk, MOST, &mut batch);
                from += decoded.used;
                let Then::Call(_) = decoded.then else { break };
                calls.push(Seen::all(&batch));
                server.answer(Status::Ok, &mut answers);
            }
            left.drain(..from);
        }
        assert_eq!((&calls, &answers), (&whole.0, &whole.1), "cut at {cut}");
    }
}

#[test]
fn a_handshake_that_makes_no_sense_ends_it() {
    let mut head = Vec::new();
    put_request(&mut head, None);
    head[16] = 9;
    let mut bytes = Vec::new();
    frame::put(&mut bytes, 1, &[&head]);
    let (_, out, fault) = serve(&mut Server::new(1 << 20), &bytes, Status::Ok);
    assert!(fault.unwrap().reason.contains("Avro handshake"));
    assert!(out.is_empty());
}

/// The next call and its answer, which `status` decides if the call does not.
fn ask(server: &mut Server, bytes: &[u8], status: Status) -> (Call, Vec<u8>) {
    let buffer = Buffer::owned(bytes.to_vec());
    let mut batch = Batch::new();
    let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let decoded = server.decode(&chunk, MOST, &mut batch);
    let Then::Call(call) = decoded.then else { panic!("{:?}", decoded.then) };
    assert_eq!((decoded.used, batch.len()), (bytes.len(), 0));
    let mut out = Vec::new();
    server.answer(status, &mut out);
    (call, out)
}

#[test]
fn a_call_that_is_too_large_is_answered_were_it_the_first() {
    let mut batch = Batch::new();
    (0..3).for_each(|_| batch.push(Body::Copy(&[7; 1000])));
    let mut caller = Caller::default();
    let mut server = Server::new(2000);
    for _ in 0..2 {
        let mut bytes = Vec::new();
        let serial = caller.append_batch(batch.iter(), &mut bytes).unwrap();
        let (call, out) = ask(&mut server, &bytes, Status::Ok);
        let refused = call.refused.unwrap();
        assert_eq!((call.kind, refused.events, refused.is_fault), (CallKind::AppendBatch, 3, true));
        assert!(
            refused.why.contains("more than 2000: raise the source's maxMessageBytes"),
            "{}",
            refused.why
        );
        let Ok(Some((of, Reply::Error(text)))) = caller.feed(&out).1 else { panic!("no error") };
        assert!(of == serial && text.ends_with(&refused.why), "{text}");
    }
    let mut bytes = Vec::new();
    caller.append(batch.get(0), &mut bytes).unwrap();
    assert_eq!(serve(&mut server, &bytes, Status::Ok).0[0].len(), 1);
    // A client whose text is wanted first, and one whose count is a lie.
    let mut unknown = vec![1; 16];
    unknown.extend_from_slice(&[0; 5000]);
    let mut bytes = Vec::new();
    frame::put(&mut bytes, 1, &[&unknown]);
    let (asked, out) = ask(&mut Server::new(2000), &bytes, Status::Ok);
    assert_eq!((asked, &out[12..16]), (Call::question(), &hex("04 02 fa 07")[..]));
    let lie = call(2, "appendBatch", &[&[0xff; 9][..], &[1], &[0; 5000]].concat());
    let (call, _) = ask(&mut server, &lie, Status::Ok);
    assert_eq!(call.refused.map(|r| r.events), Some(0));
}
