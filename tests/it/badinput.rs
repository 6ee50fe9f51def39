//! What peers send that they should not, and peers that do not behave: others are served, nothing accepted is lost.

use crate::util::{wait, Client, Conf, PATIENCE};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn netcat(keys: &[&str]) -> Conf {
    Conf::new().source("r1", "netcat", "c1", keys).channel("c1", &[]).files("k1", "c1", "out")
}

#[test]
fn a_line_over_the_limit_ends_the_connection_after_the_lines_before_it() {
    let agent = netcat(&["max-line-length = 20"]).start();
    let mut client = agent.connect("r1");
    client.send("first\nsecond\nthis line is longer than twenty\nnever\n");
    assert_eq!([client.answer(), client.answer()], ["OK\n", "OK\n"]);
    assert_eq!(client.answer(), "FAILED: Event exceeds the maximum length (20 chars, including newline)\n");
    assert!(client.is_closed());
    // Without its end in sight, too; and the limit itself is in order.
    let mut client = agent.connect("r1");
    assert_eq!(client.ask(&"x".repeat(19)), "OK\n");
    client.send("x".repeat(20));
    assert!(client.answer().starts_with("FAILED: Event exceeds "));
    assert!(client.is_closed());
    assert_eq!(agent.wait_lines("out", 3), ["first", "second", &"x".repeat(19)]);
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 2);
    assert_eq!(agent.connect("r1").ask("others are served"), "OK\n");
}

#[test]
fn a_long_syslog_line_is_cut_and_no_byte_of_it_lost() {
    let agent = Conf::new()
        .source("r1", "syslogtcp", "c1", &["eventSize = 100"])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    let body: String = (0..90).map(|i| format!("{i:02}-")).collect();
    let mut client = agent.connect("r1");
    client.send(format!("<13>Oct 11 22:14:15 host1 {body}\n<13>Oct 11 22:14:15 host1 next\n"));
    wait(Some("next".to_owned()), || agent.lines("out").pop());
    let lines = agent.lines("out");
    assert_eq!(lines[..lines.len() - 1].concat(), body);
}

#[test]
fn bytes_that_are_no_text_pass_through() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .source("r2", "syslogtcp", "c1", &[])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    let odd = b"a\0b\xff\xfe\x80 \xc3( \xed\xa0\x80\r.";
    let mut client = agent.connect("r1");
    client.send([&odd[..], b"\n\n"].concat());
    assert_eq!([client.answer(), client.answer()], ["OK\n", "OK\n"]);
    wait(odd.len() + 2, || agent.bytes("out").len());
    agent.connect("r2").send([b"<13>Oct 11 22:14:15 host1 ", &odd[..], b"\n"].concat());
    wait(2 * odd.len() + 3, || agent.bytes("out").len());
    agent.stop();
    assert_eq!(agent.bytes("out"), [&odd[..], b"\n\n", odd, b"\n"].concat());
}

#[test]
fn damaged_syslog_is_kept_and_marked_and_the_next_line_is_sound() {
    let agent = Conf::new()
        .source("r1", "syslogtcp", "c1", &[])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    agent.connect("r1").send("no priority at all\n<13>Oct 11 22:14:15 host1 sound\n");
    let lines = agent.wait_lines("out", 2);
    assert!(
        lines[0].contains("flume.syslog.status=Invalid") && lines[0].ends_with("} no priority at all"),
        "{lines:?}"
    );
    assert!(lines[1].contains("host=host1") && lines[1].ends_with("} sound"), "{lines:?}");
}

#[test]
fn one_byte_at_a_time_is_served_and_so_are_others_meanwhile() {
    let agent = netcat(&[]).start();
    let (mut slow, mut quick) = (agent.connect("r1"), agent.connect("r1"));
    let line = "byte by byte\n";
    for (i, byte) in line.bytes().enumerate() {
        slow.send([byte]);
        assert_eq!(quick.ask(&format!("{i}")), "OK\n");
    }
    assert_eq!(slow.answer(), "OK\n");
    let lines = agent.wait_lines("out", line.len() + 1);
    assert_eq!(lines.iter().filter(|l| *l == "byte by byte").count(), 1);
}

#[test]
fn a_tail_without_newline_is_an_event_when_the_peer_ends() {
    let agent = netcat(&[]).start();
    let mut client = agent.connect("r1");
    client.send("whole\ntail");
    client.socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!([client.answer(), client.answer(), client.answer()], ["OK\n", "OK\n", ""]);
    assert_eq!(agent.wait_lines("out", 2), ["whole", "tail"]);
}

#[test]
fn a_reset_in_the_middle_of_a_line_harms_nobody_else() {
    let agent = netcat(&[]).start();
    let mut other = agent.connect("r1");
    assert_eq!(other.ask("before"), "OK\n");
    let mut client = agent.connect("r1");
    // Answers that are never read make the close a reset.
    client.send("answered\nhalf a li");
    agent.wait_lines("out", 2);
    drop(client);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(other.ask("after"), "OK\n");
    assert!(agent.wait_lines("out", 3).contains(&"answered".to_owned()));
}

#[test]
fn a_peer_that_never_reads_its_answers_is_closed() {
    let agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 1000", "transactionCapacity = 1000"])
        .sink("k1", "null", "c1", &[])
        .arg("-Dflumed.answerTimeout=1")
        .start();
    let mut other = agent.connect("r1");
    let deaf = agent.connect("r1");
    deaf.socket.set_nonblocking(true).unwrap();
    let lines = vec![b'\n'; 64 << 10];
    let deadline = Instant::now() + PATIENCE;
    let mut slowest = Duration::ZERO;
    // Sends what fits until the agent has closed it, and has another client served in between.
    let end = loop {
        match (&deaf.socket).write(&lines) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => break e.kind(),
        }
        let asked = Instant::now();
        assert_eq!(other.ask("meanwhile"), "OK\n");
        slowest = slowest.max(asked.elapsed());
        assert!(Instant::now() < deadline, "still open");
    };
    assert!(matches!(end, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{end:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    agent.wait_log("ended: it takes none of its answers; ");
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(other.ask("after"), "OK\n");
}

#[test]
fn without_a_host_both_protocols_are_served() {
    let agent = Conf::new()
        .source_anywhere("r1", "syslogtcp", "c1", &["port = 0", "clientIPHeader = peer"])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    let port = agent.address("r1").port();
    Client::new(([127, 0, 0, 1], port).into()).send("<13>Oct 11 22:14:15 host1 over 4\n");
    let line = agent.wait_lines("out", 1).remove(0);
    assert!(line.contains("peer=127.0.0.1") && line.ends_with("} over 4"), "{line}");
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let mut socket = TcpStream::connect(("::1", port)).unwrap();
    socket.write_all(b"<13>Oct 11 22:14:15 host1 over 6\n").unwrap();
    let line = agent.wait_lines("out", 2).remove(1);
    assert!(line.contains("peer=::1") && line.ends_with("} over 6"), "{line}");
}

#[test]
fn an_address_of_ipv6_is_served_alone() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let agent = Conf::new()
        .source_anywhere("r1", "netcat", "c1", &["bind = ::1", "port = 0"])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    assert!(agent.address("r1").is_ipv6());
    assert_eq!(agent.connect("r1").ask("over 6"), "OK\n");
}
