//! From sources through channels to files and the log: what goes in comes out.

use crate::util::{Client, Conf};
use std::io::Write;
use std::net::UdpSocket;

#[test]
fn three_sources_reach_one_file() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .source("r2", "syslogtcp", "c1", &[])
        .source("r3", "syslogudp", "c1", &[])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    assert_eq!(agent.connect("r1").ask("a plain line"), "OK\n");
    assert_eq!(agent.wait_lines("out", 1), ["a plain line"]);
    agent.connect("r2").send("<13>Oct 11 22:14:15 host1 app: over tcp\n");
    assert_eq!(agent.wait_lines("out", 2)[1], "app: over tcp");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"<13>Oct 11 22:14:15 host1 app: over udp", agent.address("r3")).unwrap();
    assert_eq!(agent.wait_lines("out", 3)[2], "app: over udp");
    agent.stop();
    assert_eq!(agent.lines("out").len(), 3);
}

#[test]
fn header_and_text_shows_the_headers_of_syslog() {
    let agent = Conf::new()
        .source("r1", "syslogtcp", "c1", &["clientIPHeader = peer"])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    agent.connect("r1").send("<165>1 2003-10-11T22:14:15.003Z host1 app - - - the message\n");
    let line = agent.wait_lines("out", 1).remove(0);
    let (headers, body) = line.split_once("} ").unwrap();
    assert_eq!(body, "app - - - the message");
    let mut headers: Vec<&str> = headers.strip_prefix('{').unwrap().split(", ").collect();
    headers.sort();
    let expected = "Facility=20, Severity=5, host=host1, peer=127.0.0.1, priority=165, timestamp=1065910455003, version=1";
    assert_eq!(headers.join(", "), expected);
}

#[test]
fn replicating_puts_every_event_into_every_channel() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1 c2", &["selector.type = replicating"])
        .channel("c1", &[])
        .channel("c2", &[])
        .files("k1", "c1", "one")
        .files("k2", "c2", "two")
        .start();
    let mut client = agent.connect("r1");
    let sent: Vec<String> = (0..300).map(|i| format!("line {i}")).collect();
    for line in &sent {
        assert_eq!(client.ask(line), "OK\n");
    }
    agent.stop();
    assert_eq!(agent.lines("one"), sent);
    assert_eq!(agent.lines("two"), sent);
}

#[test]
fn the_logger_writes_flumes_form() {
    let agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .sink("k1", "logger", "c1", &[])
        .start();
    let mut client = agent.connect("r1");
    assert_eq!(client.ask("hello"), "OK\n");
    let gap = " ".repeat(11 * 3);
    agent.wait_log(&format!("Event: {{ headers:{{}} body: 68 65 6C 6C 6F {gap}hello }}"));
    assert_eq!(client.ask("Hello world!\r"), "OK\n");
    let dump = "48 65 6C 6C 6F 20 77 6F 72 6C 64 21 0D          Hello world!.";
    agent.wait_log(&format!("Event: {{ headers:{{}} body: {dump} }}"));
}

/// The n-th line that a connection sends: lengths from a few bytes to a few hundred, not all of them ASCII.
fn varied(connection: usize, n: usize) -> String {
    let words = [
        "GET /index.html",
        "Stra\u{df}e \u{20ac} 5",
        "connection reset by peer",
        "{\"k\": [1, 2]}",
        "\\x00 \t |",
    ];
    let mut line = format!("c{connection} n{n}");
    let mut seed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ connection as u64;
    for _ in 0..(seed >> 60) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        line += &format!(" {}", words[(seed >> 33) as usize % words.len()]);
    }
    line
}

#[test]
fn a_log_file_over_four_connections_arrives_complete_and_in_order() {
    const EACH: usize = 50_000;
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &["ack-every-event = false", "max-line-length = 4000"])
        .source("r2", "syslogtcp", "c1", &[])
        .channel("c1", &["capacity = 10000", "transactionCapacity = 1000"])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.batchSize = 1000"])
        .start();
    std::thread::scope(|s| {
        for c in 0..4 {
            let (source, head) = [("r1", ""), ("r2", "<13>Oct 11 22:14:15 host1 ")][c % 2];
            let Client { mut socket, .. } = agent.connect(source);
            s.spawn(move || {
                let mut text = Vec::new();
                for n in 0..EACH {
                    writeln!(text, "{head}{}", varied(c, n)).unwrap();
                    // Pieces that end anywhere, as a pipe from a file would bring them.
                    if text.len() > 40_000 || n + 1 == EACH {
                        socket.write_all(&std::mem::take(&mut text)).unwrap();
                    }
                }
            });
        }
    });
    agent.wait_lines("out", 4 * EACH);
    agent.stop();
    let mut next = [0; 4];
    for line in agent.lines("out") {
        let c: usize = line[1..2].parse().unwrap();
        assert_eq!(line, varied(c, next[c]));
        next[c] += 1;
    }
    assert_eq!(next, [EACH; 4]);
}
