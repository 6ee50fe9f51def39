//! The thrift source, called by our own client's codec and by bytes that no client sends; two agents with a thrift sink
//! between them.

use crate::util::{rss, wait, Agent, Conf};
use crate::wire::{batch, Rpc, Wire, FAILED, OK};
use flumed::codec::rpc::Reply;
use flumed::codec::thrift::Encoding;
use flumed::event::Key;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const BOTH: [Encoding; 2] = [Encoding::Compact, Encoding::Binary];

fn thrift(keys: &[&str]) -> Conf {
    let keys = [&["bind = 127.0.0.1", "port = 0"], keys].concat();
    Conf::new().source_anywhere("r1", "thrift", "c1", &keys).channel("c1", &["transactionCapacity = 100"])
}

fn to_files(keys: &[&str]) -> Agent {
    thrift(keys).files("k1", "c1", "out").start()
}

/// Bytes from digits and, between quotes, text.
fn bytes(text: &str) -> Vec<u8> {
    let hex = |piece: &str| -> Vec<u8> {
        let digits: Vec<char> = piece.chars().filter(char::is_ascii_hexdigit).collect();
        let pair = |p: &[char]| u8::from_str_radix(&p.iter().collect::<String>(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    };
    let of = |(i, piece): (usize, &str)| if i % 2 == 0 { hex(piece) } else { piece.into() };
    text.split('\'').enumerate().flat_map(of).collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

const APPEND: &str = "82 21 05 06 'append'";
const APPEND_BATCH: &str = "82 21 05 0b 'appendBatch'";
const BINARY_APPEND: &str = "80010001 00000006 'append' 00000005";
const BINARY_BATCH: &str = "80010001 0000000b 'appendBatch' 00000005";

#[test]
fn calls_are_answered_when_their_events_are_stored() {
    for encoding in BOTH {
        let mut agent = thrift(&[])
            .folder("out")
            .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
            .start();
        let mut rpc = Rpc::over(Wire::plain(agent.address("r1")), encoding);
        assert_eq!(rpc.ask(&["one", "two"]), OK);
        let mut event = batch(&["größe ☃"]);
        for (k, v) in [("schlüssel", "wért 𝄞"), ("empty", "")] {
            let v = event.store(v.as_bytes());
            event.push_header(Key::intern(k).unwrap(), v);
        }
        let mut out = Vec::new();
        rpc.caller.append(event.get(0), &mut out).unwrap();
        rpc.wire.write(&out);
        assert_eq!(rpc.answer(), Some((2, OK)));
        assert_eq!(rpc.ask(&[]), OK, "an empty batch");
        let lines = agent.wait_lines("out", 3);
        assert_eq!(lines, ["{} one", "{} two", "{schlüssel=wért 𝄞, empty=} größe ☃"]);
        let count = |key| agent.metric("SOURCE.r1", key);
        assert_eq!([count("EventReceivedCount"), count("EventAcceptedCount")], [3, 3]);
        assert_eq!([count("AppendReceivedCount"), count("AppendAcceptedCount")], [1, 1]);
        assert_eq!([count("AppendBatchReceivedCount"), count("AppendBatchAcceptedCount")], [2, 2]);
        assert_eq!(count("OpenConnectionCount"), 1);
        agent.stop();
    }
}

#[test]
fn pipelined_calls_are_answered_in_their_order() {
    let agent = to_files(&[]);
    let to = agent.address("r1");
    let (mut compact, mut binary) = (Rpc::new(to), Rpc::over(Wire::plain(to), Encoding::Binary));
    // More than may be open at once, of both in turn on one connection.
    let texts: Vec<String> = (0..500).map(|i| format!("event {i}")).collect();
    let calls: Vec<u8> = (0..500)
        .flat_map(|i| if i % 2 == 0 { &mut compact } else { &mut binary }.call(&[&texts[i]]))
        .collect();
    compact.wire.write(&calls);
    for i in 0..500 {
        assert_eq!(compact.answer(), Some((i / 2 + 1, OK)));
    }
    assert_eq!(agent.wait_lines("out", 500), texts);
}

#[test]
fn a_full_channel_is_answered_failed_and_room_is_as_good_as_ever() {
    let agent = Conf::new()
        .source_anywhere("r1", "thrift", "c1", &["bind = 127.0.0.1", "port = 0"])
        .channel("c1", &["capacity = 4", "transactionCapacity = 4", "keep-alive = 0"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 4"])
        .start();
    let mut rpc = Rpc::new(agent.address("r1"));
    // More than the channel ever takes at once.
    assert_eq!(rpc.ask(&["1", "2", "3", "4", "5"]), FAILED);
    let told = agent.wait_log("transactionCapacity");
    assert!(told.contains("source r1") && told.contains("127.0.0.1:"), "{told}");
    assert_eq!([rpc.ask(&["a", "b"]), rpc.ask(&["c", "d"])], [OK, OK]);
    assert_eq!(rpc.ask(&["e"]), FAILED);
    agent.make_folder("out");
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    assert_eq!(rpc.ask(&["e"]), OK);
    assert_eq!(agent.wait_lines("out", 5), ["a", "b", "c", "d", "e"]);
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 0);
}

#[test]
fn what_makes_no_sense_is_answered_with_an_exception_and_the_connection_goes_on() {
    let agent = to_files(&[]);
    let to = agent.address("r1");
    let mut other = Rpc::new(to);
    let mut rpc = Rpc::new(to);
    let cases = [
        ("82 21 05 05 'gizmo' 00".to_owned(), "Invalid method name: 'gizmo'"),
        ("80010001 00000005 'gizmo' 00000005 00".to_owned(), "Invalid method name: 'gizmo'"),
        (format!("{APPEND} 1c 1b 00 00 00"), "'body' is missing"),
        (format!("{APPEND} 1c 28 01 61 00 00"), "'headers' is missing"),
        (format!("{APPEND} 00"), "Internal error processing append"),
        (format!("{APPEND_BATCH} 00"), "Internal error processing appendBatch"),
        (format!("{APPEND} 1c 1b 00 18 05 61"), "a string of 5 bytes"),
        (format!("{APPEND} 1c 1b 00 18 01 61"), "ends too early"),
        // 2^31-1 and -1 of what is counted; 2 GB, 4 GB and -1 of what is measured.
        (format!("{APPEND_BATCH} 19 fc ffffffff07"), ""),
        (format!("{APPEND_BATCH} 19 fc ffffffff0f"), ""),
        (format!("{BINARY_BATCH} 0f 0001 0c 7fffffff"), ""),
        (format!("{BINARY_BATCH} 0f 0001 0c ffffffff"), ""),
        (format!("{APPEND} 1c 1b ffffffff07 88 00"), ""),
        (format!("{BINARY_APPEND} 0c 0001 0d 0001 0b 0b 7fffffff"), ""),
        (format!("{BINARY_APPEND} 0c 0001 0d 0001 0b 0b 80000000"), ""),
        (format!("{APPEND} 1c 1b 00 18 ffffffff07"), "a string of 2147483647 bytes"),
        (format!("{APPEND} 1c 1b 00 18 ffffffff0f"), "a string of 4294967295 bytes"),
        (format!("{BINARY_APPEND} 0c 0001 0d 0001 0b 0b 00000000 0b 0002 7fffffff"), "2147483647 bytes"),
        (format!("{BINARY_APPEND} 0c 0001 0d 0001 0b 0b 00000000 0b 0002 ffffffff"), "a string of -1 bytes"),
    ];
    let before = rss(&agent);
    for (i, (message, why)) in cases.iter().enumerate() {
        rpc.wire.write(&framed(&bytes(message)));
        match rpc.answer() {
            Some((number, Reply::Error(text))) => {
                assert!(text.contains(why), "{message}: {text}");
                assert!([5, -3].contains(&number), "{message}: {number}");
            }
            got => panic!("{message}: {got:?}"),
        }
        assert_eq!(other.ask(&[&format!("{i}")]), OK);
    }
    assert_eq!(rpc.ask(&["goes on"]), OK);
    assert_eq!(agent.wait_lines("out", cases.len() + 1).last().unwrap(), "goes on");
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), cases.len());
    let told = agent.wait_log("is answered with an error");
    assert!(told.contains("source r1: a call from 127.0.0.1:") && told.contains("gizmo"), "{told}");
    let after = rss(&agent);
    assert!(after < before + 8000, "{before} KiB, then {after}");
}

#[test]
fn what_is_no_call_ends_its_connection_and_no_other() {
    let agent = to_files(&[]);
    let to = agent.address("r1");
    let mut other = Rpc::new(to);
    assert_eq!(other.ask(&["before"]), OK);
    let cases = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no framed Thrift: it looks like HTTP"),
        (b"POST / HTTP/1.1\r\n\r\n".to_vec(), "it looks like HTTP"),
        ([1i32, 1, 1].map(i32::to_be_bytes).concat(), "it looks like Avro RPC"),
        (bytes(BINARY_BATCH), "Thrift without frames"),
        (bytes(APPEND), "Thrift without frames"),
        (bytes("16 0301 002f 01"), "TLS, which this port does not speak"),
        (bytes("7fffffff 82 21"), "a frame of 2147483647 bytes"),
        (bytes("ffffffff 82 21"), "a frame of -1 bytes"),
        (bytes("80000000 82 21"), "a frame of -2147483648 bytes"),
        (framed(&bytes("55 55 55")), "a frame without a message"),
        (framed(&[]), "a frame without a message"),
        (framed(&bytes("82 41 05 06 'append' 00")), "a Thrift message that is no call"),
        (framed(&bytes("80010001 7fffffff 00")), "no Thrift message"),
        (framed(&bytes("82 21 05 ffffffff07 00")), "no Thrift message"),
    ];
    for (i, (bytes, why)) in cases.iter().enumerate() {
        let mut socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        if let Err(e) = socket.read_to_end(&mut rest) {
            assert_eq!(e.kind(), ErrorKind::ConnectionReset);
        }
        assert!(rest.is_empty(), "{rest:?}");
        wait(i + 1, || agent.metric("SOURCE.r1", "EventReadFail"));
        // One line a second at most: the next is made when it would be told.
        let told = agent.wait_log("connection from 127.0.0.1:");
        if i == 0 {
            assert!(told.contains("source r1: ") && told.contains(why), "{told}");
        }
    }
    assert_eq!(other.ask(&["after"]), OK);
    assert_eq!(agent.wait_lines("out", 2), ["before", "after"]);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
}

#[test]
fn a_call_that_is_too_large_is_refused_and_its_connection_goes_on() {
    for encoding in BOTH {
        let agent = to_files(&["maxMessageBytes = 100000"]);
        let mut rpc = Rpc::over(Wire::plain(agent.address("r1")), encoding);
        let large = "x".repeat(60_000);
        for number in 1..3 {
            rpc.send(&[&large, &large]);
            match rpc.answer() {
                Some((n, Reply::Error(why))) => {
                    assert!(
                        n == number && why.contains("a call of 1200") && why.contains("maxMessageBytes"),
                        "{why}"
                    );
                }
                got => panic!("{got:?}"),
            }
        }
        assert_eq!(rpc.ask(&["small"]), OK);
        assert_eq!(agent.wait_lines("out", 1), ["small"]);
        let told = agent.wait_log("is answered with an error");
        assert!(
            told.contains("source r1: a call from 127.0.0.1:") && told.contains("more than 100000"),
            "{told}"
        );
        assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 2);
        assert_eq!(agent.metric("SOURCE.r1", "AppendBatchAcceptedCount"), 1);
    }
}

#[test]
fn a_frame_that_does_not_end_is_ended_and_half_of_one_counted() {
    let agent = thrift(&[]).files("k1", "c1", "out").arg("-Dflumed.messageTimeout=1").start();
    let to = agent.address("r1");
    // One that would be taken, and one that is passed over.
    for size in [1_000_000i32, 100_000_000] {
        let mut slow = TcpStream::connect(to).unwrap();
        slow.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        slow.write_all(&size.to_be_bytes()).unwrap();
        slow.write_all(&[0; 8000]).unwrap();
        // A byte now and then does not keep it alive.
        let deadline = Instant::now() + crate::util::PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "still open");
            let _ = slow.write(&[0]);
            match slow.read(&mut [0; 1]) {
                Ok(0) => break,
                Err(e) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&e.kind()) => {}
                Err(_) => break,
                Ok(_) => panic!("an answer"),
            }
        }
    }
    agent.wait_log("a message did not come to its end within messageTimeout");
    let before = agent.metric("SOURCE.r1", "EventReadFail");
    for half in [bytes("0000"), bytes("00001000"), [bytes("00001000"), bytes(APPEND)].concat()] {
        TcpStream::connect(to).unwrap().write_all(&half).unwrap();
    }
    wait(before + 3, || agent.metric("SOURCE.r1", "EventReadFail"));
    assert_eq!(Rpc::new(to).ask(&["others are served"]), OK);
}

#[test]
fn a_length_that_is_claimed_costs_nothing() {
    const CONNECTIONS: usize = 2000;
    let agent = to_files(&["maxMessageBytes = 1073741824"]);
    let to = agent.address("r1");
    assert_eq!(Rpc::new(to).ask(&["before"]), OK);
    wait(0, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    let before = rss(&agent);
    let claims: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut socket = TcpStream::connect(to).unwrap();
            socket.write_all(&[&(1i32 << 30).to_be_bytes()[..], &bytes(APPEND)].concat()).unwrap();
            socket
        })
        .collect();
    wait(CONNECTIONS, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(Rpc::new(to).ask(&["beside"]), OK);
    let after = rss(&agent);
    assert!(after < before + 40_000, "{before} KiB, then {after}");
    drop(claims);
    wait(CONNECTIONS, || agent.metric("SOURCE.r1", "EventReadFail"));
    assert_eq!(Rpc::new(to).ask(&["after"]), OK);
    assert_eq!(agent.wait_lines("out", 3), ["before", "beside", "after"]);
}

#[test]
fn a_reload_keeps_connections_and_both_ends_of_a_call() {
    let agent = to_files(&["maxMessageBytes = 1048576"]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["before"]), OK);
    let call = rpc.call(&["across"]);
    rpc.wire.write(&call[..20]);
    assert_eq!(agent.reload(&thrift(&["maxMessageBytes = 50000"]).files("k1", "c1", "out")), "applied");
    rpc.wire.write(&call[20..]);
    assert_eq!(rpc.answer(), Some((2, OK)));
    assert!(matches!(rpc.ask(&[&"x".repeat(60_000)]), Reply::Error(why) if why.contains("more than 50000")));
    assert_eq!(rpc.ask(&["after"]), OK);
    assert_eq!(agent.wait_lines("out", 3), ["before", "across", "after"]);
    assert_eq!(agent.metric("SOURCE.r1", "OpenConnectionCount"), 1);
}

#[test]
fn from_agent_to_agent_in_both_protocols() {
    for protocol in ["compact", "binary"] {
        let mut to = thrift(&[])
            .folder("out")
            .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
            .start();
        let (port, protocol) =
            (format!("port = {}", to.address("r1").port()), format!("protocol = {protocol}"));
        let header = "interceptors = i1\ninterceptors.i1.type = static\ninterceptors.i1.key = schlüssel\n\
                      interceptors.i1.value = wért 𝄞";
        let header: String = header.lines().map(|k| format!("a1.sources.r1.{k}\n")).collect();
        let from = Conf::new()
            .source("r1", "netcat", "c1", &[])
            .channel("c1", &[])
            .sink("k1", "thrift", "c1", &["hostname = 127.0.0.1", &port, &protocol, "batch-size = 7"])
            .lines(&header)
            .start();
        let mut client = from.connect("r1");
        (0..100).for_each(|i| assert_eq!(client.ask(&format!("größe {i} ☃")), "OK\n"));
        let lines: Vec<String> = (0..100).map(|i| format!("{{schlüssel=wért 𝄞}} größe {i} ☃")).collect();
        assert_eq!(to.wait_lines("out", 100), lines);
        wait(100, || from.metric("SINK.k1", "EventDrainSuccessCount"));
        assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
        assert_eq!(from.metric("SINK.k1", "ConnectionCreatedCount"), 1);
        assert_eq!(to.stop().matches(" WARN").count(), 0);
    }
}
