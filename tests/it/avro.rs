//! The avro source, called by our own client's codec and by bytes that no client sends. What peers of other making send
//! is in the interop cases, and replayed in `avro/recorded`.

use crate::scale::threads;
use crate::util::{flumed, rss, wait, Agent, Conf, Folder, PATIENCE};
use flumed::codec::avro::{Caller, Reply, Status};
use flumed::codec::zlib::{Deflater, Inflater};
use flumed::event::{Batch, Body, Key};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub const OK: Reply = Reply::Status(Status::Ok);
pub const FAILED: Reply = Reply::Status(Status::Failed);

/// A client on one connection.
pub struct Rpc {
    caller: Caller,
    socket: TcpStream,
    unread: Vec<u8>,
    zlib: Option<(Deflater, Inflater)>,
}

impl Rpc {
    pub fn new(addr: SocketAddr) -> Rpc {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Rpc { caller: Caller::default(), socket, unread: Vec::new(), zlib: None }
    }

    fn deflating(addr: SocketAddr) -> Rpc {
        Rpc { zlib: Some((Deflater::new(6), Inflater::default())), ..Rpc::new(addr) }
    }

    fn write(&mut self, bytes: &[u8]) {
        match &mut self.zlib {
            None => self.socket.write_all(bytes).unwrap(),
            Some((z, _)) => z.write_all(&mut self.socket, bytes).unwrap(),
        }
    }

    fn send(&mut self, bodies: &[&str]) {
        let mut out = Vec::new();
        self.caller.append_batch(batch(bodies).iter(), &mut out).unwrap();
        self.write(&out);
    }

    /// The next answer with its serial number; `None` when the agent has closed.
    fn answer(&mut self) -> Option<(i32, Reply)> {
        loop {
            let (used, got) = self.caller.feed(&self.unread);
            self.unread.drain(..used);
            if let Some(reply) = got.unwrap() {
                return Some(reply);
            }
            let mut piece = [0; 4096];
            let n = match &mut self.zlib {
                None => self.socket.read(&mut piece),
                Some((_, z)) => z.read(&mut self.socket, &mut piece),
            };
            match n {
                Ok(0) => return None,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                n => self.unread.extend_from_slice(&piece[..n.unwrap()]),
            }
        }
    }

    pub fn ask(&mut self, bodies: &[&str]) -> Reply {
        self.send(bodies);
        self.answer().unwrap().1
    }
}

fn batch(bodies: &[&str]) -> Batch {
    let mut batch = Batch::new();
    bodies.iter().for_each(|b| batch.push(Body::Copy(b.as_bytes())));
    batch
}

/// A frame of one chunk with this as its message.
fn frame(message: &[u8]) -> Vec<u8> {
    let int = |n: usize| (n as i32).to_be_bytes();
    [&int(7)[..], &int(1), &int(message.len()), message].concat()
}

fn avro(keys: &[&str]) -> Conf {
    let keys = [&["bind = 127.0.0.1", "port = 0"], keys].concat();
    Conf::new().source_anywhere("r1", "avro", "c1", &keys).channel("c1", &["transactionCapacity = 100"])
}

fn to_files(keys: &[&str]) -> Agent {
    avro(keys).files("k1", "c1", "out").start()
}

#[test]
fn calls_are_answered_when_their_events_are_stored() {
    let mut agent = avro(&[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["one", "two"]), OK);
    let mut event = batch(&["größe ☃"]);
    for (k, v) in [("schlüssel", "wért 𝄞"), ("empty", "")] {
        let v = event.store(v.as_bytes());
        event.push_header(Key::intern(k).unwrap(), v);
    }
    let mut out = Vec::new();
    rpc.caller.append(event.get(0), &mut out).unwrap();
    rpc.write(&out);
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

/// What takes long to decode is for another thread, which starts with it.
#[test]
fn a_call_of_many_events_keeps_its_place() {
    let agent = Conf::new()
        .source_anywhere("r1", "avro", "c1", &["bind = 127.0.0.1", "port = 0"])
        .channel("c1", &["capacity = 50000", "transactionCapacity = 30000"])
        .files("k1", "c1", "out")
        .start();
    let pool = || threads(&agent).iter().filter(|t| t.starts_with("pool:")).count();
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!((rpc.ask(&["first"]), pool()), (OK, 0));
    let texts: Vec<String> = (0..20_000).map(|i| format!("event {i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    rpc.send(&texts);
    rpc.send(&["last"]);
    assert_eq!((rpc.answer(), rpc.answer()), (Some((2, OK)), Some((3, OK))));
    assert_eq!(pool(), 1);
    assert_eq!(agent.wait_lines("out", 20_002), [&["first"], &texts[..], &["last"]].concat());
}

#[test]
fn pipelined_calls_are_answered_in_their_order() {
    let agent = to_files(&[]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["first"]), OK);
    // More than may be open at once.
    let texts: Vec<String> = (0..500).map(|i| format!("event {i}")).collect();
    texts.iter().for_each(|t| rpc.send(&[t]));
    for serial in 2..502 {
        assert_eq!(rpc.answer(), Some((serial, OK)));
    }
    assert_eq!(agent.wait_lines("out", 501)[1..], texts);
}

#[test]
fn deflate_in_both_directions() {
    let agent = to_files(&["compression-type = deflate"]);
    let mut rpc = Rpc::deflating(agent.address("r1"));
    let long = "long ".repeat(100_000);
    for text in ["a", &long, "b"] {
        assert_eq!(rpc.ask(&[text]), OK);
    }
    assert_eq!(agent.wait_lines("out", 3), ["a", &long, "b"]);
    // Plain to a port that deflates, and the other way round: both are told what is wrong.
    let mut plain = Rpc::new(agent.address("r1"));
    plain.send(&["x"]);
    assert_eq!(plain.answer(), None);
    agent.wait_log("no deflate stream, which compression-type asks for on both ends");
    let agent = to_files(&[]);
    let mut rpc = Rpc::deflating(agent.address("r1"));
    rpc.send(&["x"]);
    assert_eq!(rpc.answer(), None);
    agent.wait_log("it looks like compression-type = deflate");
}

#[test]
fn a_full_channel_is_failed_and_told_and_taken_again_when_there_is_room() {
    let agent = Conf::new()
        .source_anywhere("r1", "avro", "c1", &["bind = 127.0.0.1", "port = 0"])
        .channel("c1", &["capacity = 4", "transactionCapacity = 4", "keep-alive = 0"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 4"])
        .start();
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["a", "b", "c"]), OK);
    assert_eq!(rpc.ask(&["d", "e"]), FAILED);
    agent.wait_log("channel c1 is full");
    assert_eq!(agent.metric("SOURCE.r1", "EventRefusedCount"), 2);
    assert_eq!(rpc.ask(&["d"]), OK, "what fits");
    // It could never fit: said so, with the key.
    assert_eq!(Rpc::new(agent.address("r1")).ask(&["1", "2", "3", "4", "5"]), FAILED);
    let why = agent.wait_log("it has more events than the channels take at once (4)");
    assert!(why.contains("source r1: a batch of") && why.contains("transactionCapacity"), "{why}");
    agent.make_folder("out");
    assert_eq!(agent.wait_lines("out", 4), ["a", "b", "c", "d"]);
    assert_eq!(rpc.ask(&["d", "e"]), OK);
    assert_eq!(agent.wait_lines("out", 6)[4..], ["d", "e"]);
}

#[test]
fn what_interceptors_make_nothing_of_is_a_success() {
    let agent = to_files(&[
        "interceptors = i1",
        "interceptors.i1.type = regex_filter",
        "interceptors.i1.regex = ^drop",
        "interceptors.i1.excludeEvents = true",
    ]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["drop 1", "drop 2"]), OK);
    assert_eq!(rpc.ask(&["keep", "drop 3"]), OK);
    assert_eq!(agent.wait_lines("out", 1), ["keep"]);
}

#[test]
fn questions_and_mistakes_leave_the_connection_usable() {
    let agent = to_files(&[]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["a"]), OK);
    for (message, text) in [
        (&b"\x00\x06foo"[..], "No such remote message: foo"),
        (b"\x00\x0cappend\x02\x02k", "java.io.EOFException"),
        (b"\x00\x16appendBatch\x01", "java.io.EOFException"),
        (b"\x00\x16appendBatch\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "java.io.EOFException"),
        (b"", "java.io.EOFException"),
    ] {
        rpc.write(&frame(message));
        let (serial, reply) = rpc.answer().unwrap();
        assert!(serial == 7 && matches!(&reply, Reply::Error(e) if e.contains(text)), "{reply:?}");
    }
    assert_eq!(rpc.ask(&["b"]), OK);
    assert_eq!(agent.wait_lines("out", 2), ["a", "b"]);
    // Counted, and told with who it was.
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 5);
    let told = agent.wait_log("is answered with an error: No such remote message: foo");
    assert!(told.contains("WARN") && told.contains("source r1: a call from 127.0.0.1:"), "{told}");
}

#[test]
fn a_batch_of_too_many_events_is_counted_with_all_of_them() {
    let agent = to_files(&[]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["x"; 101]), FAILED);
    let told = agent.wait_log("it has more events than the channels take at once (100)");
    assert!(told.contains("a batch of 101 events from 127.0.0.1:"), "{told}");
    assert_eq!(rpc.ask(&["x"; 100]), OK);
    let count = |key: &str| agent.metric("SOURCE.r1", key);
    assert_eq!((count("EventReceivedCount"), count("EventRefusedCount")), (201, 101));
}

#[test]
fn garbage_ends_its_connection_with_a_reason_and_no_other() {
    let agent = to_files(&["maxMessageBytes = 100000"]);
    let addr = agent.address("r1");
    let mut other = Rpc::new(addr);
    assert_eq!(other.ask(&["before"]), OK);
    let claims = |n: i32, length: i32| [7, n, length].map(i32::to_be_bytes).concat();
    let mut odd_hash = vec![9; 16];
    odd_hash.extend_from_slice(b"\x02\x04{}");
    odd_hash.extend_from_slice(&[9; 16]);
    odd_hash.push(0);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "it looks like HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "it looks like TLS"),
        (b"\x00\x00\x00\x18\x82\x21\x01\x06append".to_vec(), "it looks like Thrift"),
        (claims(0, 0), "a message of 0 chunks"),
        (claims(-1, 0), "a message of -1 chunks"),
        (claims(i32::MAX, 0), "chunks"),
        (claims(1, i32::MAX), "a message of more than 1073741824 bytes"),
        (claims(1, i32::MIN), "a chunk of -2147483648 bytes"),
        (
            [claims(2, 60_000), vec![0; 60_000], (1i32 << 30).to_be_bytes().to_vec()].concat(),
            "a message of more than 1073741824 bytes",
        ),
        ([claims(1, 200_000), vec![9; 200_000]].concat(), "Avro handshake: "),
        (frame(b"short"), "Avro handshake: "),
        (frame(&odd_hash), "the client speaks a protocol without append and appendBatch"),
    ];
    for (i, (bytes, why)) in cases.iter().enumerate() {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        if let Err(e) = socket.read_to_end(&mut rest) {
            assert_eq!(e.kind(), ErrorKind::ConnectionReset);
        }
        // One line a second at most: those in between are counted in the next.
        wait(i + 1, || agent.metric("SOURCE.r1", "EventReadFail"));
        if i == 0 {
            let line = agent.wait_log(why);
            assert!(line.contains("source r1: connection from 127.0.0.1:"), "{line}");
        }
    }
    assert_eq!(other.ask(&["after"]), OK);
    assert_eq!(agent.wait_lines("out", 2), ["before", "after"]);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
}

#[test]
fn a_call_that_is_too_large_is_refused_and_its_connection_goes_on() {
    let agent = to_files(&["maxMessageBytes = 100000"]);
    let mut rpc = Rpc::new(agent.address("r1"));
    let large = "x".repeat(60_000);
    for _ in 0..2 {
        let Reply::Error(why) = rpc.ask(&[&large, &large]) else { panic!("no error") };
        assert!(why.contains("a call of 1200") && why.contains("maxMessageBytes"), "{why}");
    }
    assert_eq!(rpc.ask(&["small"]), OK);
    assert_eq!(agent.wait_lines("out", 1), ["small"]);
    let told = agent.wait_log("is answered with an error");
    assert!(
        told.contains("source r1: a call from 127.0.0.1:") && told.contains("more than 100000"),
        "{told}"
    );
    let count = |key: &str| agent.metric("SOURCE.r1", key);
    assert_eq!((count("EventReadFail"), count("EventReceivedCount"), count("EventRefusedCount")), (2, 5, 4));
    assert_eq!((count("AppendBatchReceivedCount"), count("AppendBatchAcceptedCount")), (3, 1));
}

#[test]
fn a_message_that_does_not_end_is_ended_and_half_of_one_counted() {
    let agent = avro(&[]).files("k1", "c1", "out").arg("-Dflumed.messageTimeout=1").start();
    let addr = agent.address("r1");
    // One that would be taken, and one that is passed over.
    for size in [1_000_000, 100_000_000] {
        let mut slow = TcpStream::connect(addr).unwrap();
        slow.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        slow.write_all(&[1i32, 1, size].map(i32::to_be_bytes).concat()).unwrap();
        slow.write_all(&[0; 8000]).unwrap();
        // A byte now and then does not keep it alive.
        let deadline = Instant::now() + PATIENCE;
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
    let mut half = TcpStream::connect(addr).unwrap();
    half.write_all(&[1i32, 1, 1000].map(i32::to_be_bytes).concat()).unwrap();
    half.write_all(&[0; 10]).unwrap();
    drop(half);
    wait(1, || agent.metric("SOURCE.r1", "EventReadFail"));
    assert_eq!(Rpc::new(addr).ask(&["others are served"]), OK);
}

#[test]
fn the_head_of_a_message_is_the_beginning_of_one() {
    let agent = to_files(&[]);
    for head in [&[0, 0, 0][..], &[0, 0, 0, 1, 0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9]] {
        let before = agent.metric("SOURCE.r1", "EventReadFail");
        TcpStream::connect(agent.address("r1")).unwrap().write_all(head).unwrap();
        wait(before + 1, || agent.metric("SOURCE.r1", "EventReadFail"));
    }
    agent.wait_log("it closed within a message, of which some 3 bytes had come");
}

#[test]
fn a_deflate_stream_that_breaks_within_a_message_is_one_failure_with_both_reasons() {
    let agent = to_files(&["compression-type = deflate"]);
    let mut bytes = Vec::new();
    let half = [&[1i32, 1, 100_000].map(i32::to_be_bytes).concat()[..], &[7; 60_000]].concat();
    Deflater::new(0).write_all(&mut bytes, &half).unwrap();
    // A block of a type that is none.
    bytes.extend_from_slice(&[0xff; 16]);
    TcpStream::connect(agent.address("r1")).unwrap().write_all(&bytes).unwrap();
    let line = agent.wait_log("no deflate stream");
    assert!(line.contains("; it broke off within a message, of which some "), "{line}");
    wait(0, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 1);
}

/// Calls of `n` bytes, each on a connection of its own.
fn long_calls(agent: &Agent, n: usize, connections: usize) -> Vec<(Rpc, Vec<u8>)> {
    let body = "x".repeat(n);
    let one = |_| {
        let (mut rpc, mut call) = (Rpc::new(agent.address("r1")), Vec::new());
        rpc.caller.append_batch(batch(&[&body]).iter(), &mut call).unwrap();
        (rpc, call)
    };
    (0..connections).map(one).collect()
}

/// Together they do not fit into the budget. They once waited for each other until all were closed.
#[test]
fn halves_of_long_calls_do_not_starve_each_other() {
    let agent = avro(&[]).files("k1", "c1", "out").arg("-Dflumed.maxInFlightBytes=1048576").start();
    let all_sent = std::sync::Barrier::new(4);
    std::thread::scope(|s| {
        for (mut rpc, call) in long_calls(&agent, 400_000, 4) {
            let all_sent = &all_sent;
            s.spawn(move || {
                rpc.write(&call[..300_000]);
                all_sent.wait();
                rpc.write(&call[300_000..]);
                assert_eq!(rpc.answer(), Some((1, OK)));
            });
        }
    });
    assert_eq!(agent.wait_lines("out", 4).len(), 4);
}

#[test]
fn who_stalls_in_a_long_call_does_not_hold_back_shorter_ones() {
    let agent = avro(&[]).files("k1", "c1", "out").arg("-Dflumed.maxInFlightBytes=1048576").start();
    let (mut stalled, long) = long_calls(&agent, 1_000_000, 1).remove(0);
    stalled.write(&long[..900_000]);
    for (mut rpc, call) in long_calls(&agent, 200_000, 3) {
        rpc.write(&call);
        assert_eq!(rpc.answer(), Some((1, OK)));
    }
    stalled.write(&long[900_000..]);
    assert_eq!(stalled.answer(), Some((1, OK)));
    assert_eq!(agent.wait_lines("out", 4).len(), 4);
}

#[test]
fn a_deflate_connection_that_sends_nothing_costs_little() {
    let agent = to_files(&["compression-type = deflate"]);
    let addr = agent.address("r1");
    assert_eq!(Rpc::deflating(addr).ask(&["before"]), OK);
    let before = rss(&agent);
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(addr).unwrap()).collect();
    wait(true, || agent.metric("SOURCE.r1", "OpenConnectionCount") >= idle.len());
    let after = rss(&agent);
    assert!(after < before + 3000, "{before} KiB, then {after}");
}

#[test]
fn a_deflate_bomb_costs_no_memory() {
    let agent = to_files(&["compression-type = deflate", "maxMessageBytes = 1048576"]);
    let addr = agent.address("r1");
    assert_eq!(Rpc::deflating(addr).ask(&["before"]), OK);
    let before = rss(&agent);
    let mut bomb = Vec::new();
    let mut z = Deflater::new(9);
    z.write_all(&mut bomb, &[1i32, 1, 1 << 20].map(i32::to_be_bytes).concat()).unwrap();
    for _ in 0..200 {
        z.write_all(&mut bomb, &vec![0; 1 << 20]).unwrap();
    }
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = socket.write_all(&bomb);
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    agent.wait_log("a message of 0 chunks");
    let after = rss(&agent);
    assert!(after < before + 16_000, "{before} KiB, then {after}");
    assert_eq!(Rpc::deflating(addr).ask(&["after"]), OK);
}

#[test]
fn rules_say_who_may_connect() {
    let agent = to_files(&["ipFilter = true", "ipFilterRules = allow:ip:10.*,deny:ip:127.*"]);
    let mut rpc = Rpc::new(agent.address("r1"));
    let mut out = Vec::new();
    rpc.caller.append_batch(batch(&["x"]).iter(), &mut out).unwrap();
    let _ = rpc.socket.write_all(&out);
    assert_eq!(rpc.answer(), None);
    agent.wait_log("refused by ipFilterRules: deny:ip:127.*");
    assert_eq!(agent.metric("SOURCE.r1", "ConnectionRefusedCount"), 1);
    let agent = to_files(&["ipFilter = true", "ipFilterRules = allow:name:localhost,deny:ip:*"]);
    assert_eq!(Rpc::new(agent.address("r1")).ask(&["x"]), OK);
}

#[test]
fn a_reload_keeps_connections_and_what_they_agreed_on() {
    let conf = |extra: &[&str]| avro(extra).files("k1", "c1", "out");
    let agent = conf(&["maxMessageBytes = 5000"]).start();
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["before"]), OK);
    // Half a call, then the reload, then the rest.
    let mut out = Vec::new();
    rpc.caller.append_batch(batch(&["across"]).iter(), &mut out).unwrap();
    rpc.write(&out[..20]);
    let changed = Conf::new()
        .source_anywhere(
            "r1",
            "avro",
            "c1",
            &["bind = 127.0.0.1", "port = 0", "interceptors = i1", "interceptors.i1.type = timestamp"],
        )
        .channel("c1", &["transactionCapacity = 100"])
        .files("k1", "c1", "out");
    let outcome = agent.reload(&changed);
    assert_ne!(outcome, "refused");
    rpc.write(&out[20..]);
    assert_eq!(rpc.answer(), Some((2, OK)));
    assert_eq!(rpc.ask(&["after"]), OK);
    assert_eq!(agent.wait_lines("out", 3), ["before", "across", "after"]);
}

#[test]
fn a_reload_lowers_the_limit_from_the_next_call_on() {
    let conf = |max: usize| avro(&[&format!("maxMessageBytes = {max}")]).files("k1", "c1", "out");
    let agent = conf(1 << 20).start();
    let (mut rpc, call) = long_calls(&agent, 100_000, 1).remove(0);
    rpc.write(&call[..60_000]);
    assert_eq!(agent.reload(&conf(50_000)), "applied");
    rpc.write(&call[60_000..]);
    assert_eq!(rpc.answer().unwrap().1, OK, "it had begun before");
    assert_eq!(rpc.ask(&["after"]), OK);
    rpc.send(&[&"x".repeat(60_000)]);
    match rpc.answer() {
        Some((_, Reply::Error(why))) => {
            assert!(why.contains("more than 50000: raise the source's maxMessageBytes"))
        }
        other => panic!("{other:?}"),
    }
    agent.wait_log("more than 50000");
}

#[test]
fn a_reload_ends_the_connections_of_those_it_denies() {
    let conf = |rules: Option<&str>| {
        let rules = rules.map(|r| format!("ipFilterRules = {r}"));
        let keys: Vec<&str> = rules.iter().flat_map(|r| ["ipFilter = true", r.as_str()]).collect();
        avro(&keys).files("k1", "c1", "out")
    };
    // The second has to ask for the peer's name first.
    for (rules, which) in [("deny:ip:127.*", "deny:ip:127.*"), ("deny:name:localhost", "deny:name:localhost")]
    {
        let agent = conf(None).start();
        let addr = agent.address("r1");
        let (mut idle, mut busy) = (Rpc::new(addr), Rpc::new(addr));
        assert_eq!((idle.ask(&["a"]), busy.ask(&["b"])), (OK, OK));
        let mut out = Vec::new();
        busy.caller.append_batch(batch(&["across"]).iter(), &mut out).unwrap();
        busy.write(&out[..20]);
        assert_eq!(agent.reload(&conf(Some(rules))), "applied");
        assert_eq!(idle.answer(), None);
        agent.wait_log(&format!("ended: refused by ipFilterRules: {which}"));
        busy.write(&out[20..]);
        assert_eq!(busy.answer().unwrap().1, OK, "what has begun is stored and answered");
        assert_eq!(busy.answer(), None);
        wait(0, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
        assert_eq!(agent.metric("SOURCE.r1", "ConnectionRefusedCount"), 2);
    }
}

#[test]
fn a_reload_that_asks_for_names_keeps_those_it_allows() {
    let agent = to_files(&[]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["before"]), OK);
    let rules = ["ipFilter = true", "ipFilterRules = allow:name:localhost,deny:ip:*"];
    assert_eq!(agent.reload(&avro(&rules).files("k1", "c1", "out")), "applied");
    assert_eq!((rpc.ask(&["after"]), rpc.ask(&["and on"])), (OK, OK));
    assert_eq!(agent.wait_lines("out", 3), ["before", "after", "and on"]);
}

#[test]
fn a_stop_answers_what_it_has_stored() {
    let mut agent = to_files(&[]);
    let mut rpc = Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["a"]), OK);
    for i in 0..20 {
        rpc.send(&[&format!("{i}")]);
    }
    agent.stop();
    let mut answers = Vec::new();
    while let Some((_, reply)) = rpc.answer() {
        answers.push(reply);
    }
    let stored = answers.iter().filter(|a| **a == OK).count();
    assert_eq!(agent.lines("out").len(), 1 + stored);
}

#[test]
fn mistakes_in_its_keys_are_named() {
    let folder = Folder::new();
    for (keys, what) in [
        (&["ssl = true"][..], "keystore: required key is missing: ssl = true needs it"),
        (&["compression-type = gzip"], "compression-type: "),
        (&["ipFilter = true", "ipFilterRules = allow:ip"], "ipFilterRules: 'allow:ip' is no rule"),
        (&["ipFilter = true"], "ipFilterRules: required key is missing"),
        (&["maxMessageBytes = 1"], "maxMessageBytes: "),
    ] {
        let text = avro(keys).files("k1", "c1", "out").text();
        std::fs::write(folder.path("a1.conf"), text).unwrap();
        let (code, out, err) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
        assert_eq!(code, Some(2));
        let found = out.lines().chain(err.lines()).any(|l| l.contains(&format!(": a1.sources.r1.{what}")));
        assert!(found, "{what}: {out}{err}");
    }
    let text = avro(&["threads = 5", "ipFilterRules = none of yours"]).files("k1", "c1", "out").text();
    std::fs::write(folder.path("a1.conf"), text).unwrap();
    let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("threads") && out.contains("loopThreads"), "{out}");
    assert!(out.contains("ipFilterRules: warning: not applied, everybody may connect"), "{out}");
}
