//! Two agents and the avro sink between them: what arrives, and what becomes of events while the second one is away or
//! does not answer.

use crate::avro::{Rpc, OK};
use crate::downstream::Downstream;
use crate::util::{wait, Agent, Client, Conf, PATIENCE};
use flumed::codec::avro::Status;
use std::net::SocketAddr;

/// Lines in, to an avro source at this address.
fn first(to: SocketAddr, sink: &[&str]) -> Conf {
    let (host, port) = (format!("hostname = {}", to.ip()), format!("port = {}", to.port()));
    Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &["capacity = 10000"]).sink(
        "k1",
        "avro",
        "c1",
        &[&[host.as_str(), &port], sink].concat(),
    )
}

/// An avro source to files, on a file channel that is there when it is started again.
fn second(port: u16, source: &[&str]) -> Conf {
    let port = format!("port = {port}");
    Conf::new()
        .source_anywhere("r1", "avro", "c1", &[&["bind = 127.0.0.1", &port], source].concat())
        .file_channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
}

fn send(client: &mut Client, from: usize, to: usize) {
    (from..to).for_each(|i| assert_eq!(client.ask(&format!("größe {i} ☃")), "OK\n"));
}

/// The lines with these numbers, with what `first` adds.
fn lines(to: usize, header: &str) -> Vec<String> {
    (0..to).map(|i| format!("{{{header}}} größe {i} ☃")).collect()
}

#[test]
fn headers_and_bodies_arrive_as_they_were() {
    for compression in ["none", "deflate"] {
        let zip = format!("compression-type = {compression}");
        let to = second(0, &[&zip]).start();
        let header = [
            "interceptors = i1",
            "interceptors.i1.type = static",
            "interceptors.i1.key = schlüssel",
            "interceptors.i1.value = wért 𝄞",
        ];
        let header: String = header.iter().map(|k| format!("a1.sources.r1.{k}\n")).collect();
        let mut from = first(to.address("r1"), &[&zip, "batch-size = 7"]).lines(&header).start();
        send(&mut from.connect("r1"), 0, 100);
        assert_eq!(to.wait_lines("out", 100), lines(100, "schlüssel=wért 𝄞"));
        from.wait_log("connected to 127.0.0.1");
        wait(100, || from.metric("SINK.k1", "EventDrainSuccessCount"));
        assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
        assert_eq!(from.metric("SINK.k1", "ConnectionCreatedCount"), 1);
        let log = from.stop();
        assert!(log.contains("EventDrainSuccessCount == 100"), "{log}");
    }
}

#[test]
fn events_wait_while_the_next_agent_is_away() {
    let mut to = second(0, &[]).start();
    let address = to.address("r1");
    let from = first(address, &[]).start();
    let mut client = from.connect("r1");
    send(&mut client, 0, 10);
    to.wait_lines("out", 10);
    to.stop();
    send(&mut client, 10, 20);
    from.wait_log("cannot deliver: cannot connect to 127.0.0.1");
    assert!(from.get("/healthz").1.contains("k1"));
    to.start_again(&second(address.port(), &[]));
    assert_eq!(to.wait_lines("out", 20), lines(20, ""));
    from.wait_log("sink k1 delivers again");
    assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
}

#[test]
fn a_batch_without_an_answer_is_sent_again_and_counted() {
    let to = Downstream::new();
    let from: Agent = first(to.address, &["request-timeout = 1000"]).start();
    let mut slow = to.accept();
    assert_eq!(from.connect("r1").ask("one"), "OK\n");
    assert_eq!(slow.call(), ["one"]);
    let told = from.wait_log("may be stored at 127.0.0.1");
    assert!(told.contains("sink k1: 1 events may be stored") && told.contains("no answer within"), "{told}");
    let mut again = to.accept();
    slow.answer(Status::Ok);
    assert_eq!(again.call(), ["one"]);
    assert_eq!(from.metric("SINK.k1", "EventDrainSuccessCount"), 0);
    again.answer(Status::Ok);
    wait(1, || from.metric("SINK.k1", "EventDrainSuccessCount"));
    let count = |key: &str| from.metric("SINK.k1", key);
    assert_eq!((count("EventPossiblyRepeatedCount"), count("ConnectionClosedCount")), (1, 1));
}

#[test]
fn a_stop_does_not_wait_for_who_does_not_answer() {
    let to = Downstream::new();
    let mut from = first(to.address, &[]).lines("a1.flumed.shutdownTimeout = 1\n").start();
    let mut silent = to.accept();
    assert_eq!(from.connect("r1").ask("one"), "OK\n");
    silent.call();
    from.signal("TERM");
    let (code, log) = from.wait_exit(PATIENCE / 2);
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("sink k1 did not finish in time"), "{log}");
}

#[test]
fn an_event_too_large_for_the_next_agent_holds_up_no_other() {
    let to = second(0, &["maxMessageBytes = 1000000"]).start();
    let port = format!("port = {}", to.address("r1").port());
    let keys = ["hostname = 127.0.0.1", &port, "maxDeliveryAttempts = 2", "deadLetterFile = dead"];
    let from = Conf::new()
        .source_anywhere("r1", "avro", "c1", &["bind = 127.0.0.1", "port = 0"])
        .channel("c1", &["transactionCapacity = 100"])
        .sink("k1", "avro", "c1", &keys)
        .start();
    let large = "x".repeat(2_000_000);
    assert_eq!(Rpc::new(from.address("r1")).ask(&["a", "b", &large, "c", "d"]), OK);
    assert_eq!(to.wait_lines("out", 4), ["{} a", "{} b", "{} c", "{} d"]);
    wait(1, || from.metric("SINK.k1", "DeadLetterCount"));
    let why = from.wait_log("answered with an error");
    assert!(why.contains("a call of 20000") && why.contains("more than 1000000"), "{why}");
    assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
    assert_eq!(from.metric("SINK.k1", "ConnectionCreatedCount"), 1);
    assert!(std::fs::read_to_string(from.folder.path("dead")).unwrap().contains("maxMessageBytes"));
    assert_eq!(to.lines("out").len(), 4);
}
