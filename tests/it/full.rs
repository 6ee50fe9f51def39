//! A full channel: who can be refused is, who cannot waits, UDP is dropped and counted; nothing else is disturbed.

use crate::util::{wait, Agent, Client, Conf};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A source r1 whose sink has nowhere to write to until the test makes `out`; r2 has a channel of its own.
fn stuck(kind: &str, capacity: usize, keep_alive: usize) -> Agent {
    let transactions = format!("transactionCapacity = {capacity}");
    let agent = Conf::new()
        .source("r1", kind, "c1", &[])
        .source("r2", "netcat", "c2", &[])
        .channel(
            "c1",
            &[&format!("capacity = {capacity}"), &transactions, &format!("keep-alive = {keep_alive}")],
        )
        .channel("c2", &[])
        .files_later("k1", "c1", "out", &[&format!("sink.batchSize = {capacity}")])
        .files("k2", "c2", "other")
        .start();
    agent.wait_log("sink k1: cannot start: ");
    agent
}

#[test]
fn netcat_is_refused_and_what_was_acknowledged_is_delivered() {
    let mut agent = stuck("netcat", 10, 0);
    let (mut client, mut other) = (agent.connect("r1"), agent.connect("r2"));
    let mut acknowledged = Vec::new();
    for i in 0..20 {
        let answer = client.ask(&format!("line {i}"));
        match i {
            0..10 => acknowledged.push(format!("line {i}")),
            _ => assert_eq!(answer, "FAILED: channel c1 is full\n"),
        }
        assert_eq!(answer == "OK\n", i < 10, "{answer}");
        assert_eq!(other.ask("not disturbed"), "OK\n");
    }
    assert_eq!(agent.metric("SOURCE.r1", "EventRefusedCount"), 10);
    agent.make_folder("out");
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    wait(10, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(client.ask("again"), "OK\n");
    acknowledged.push("again".to_owned());
    let log = agent.stop();
    assert_eq!(agent.lines("out"), acknowledged);
    assert_eq!(crate::util::shutdown_metric(&log, "SOURCE.r1", "EventAcceptedCount"), 11);
    assert_eq!(agent.lines("other").len(), 20);
}

#[test]
fn netcat_waits_for_keep_alive_before_it_refuses() {
    let agent = stuck("netcat", 2, 1);
    let mut client = agent.connect("r1");
    assert_eq!([client.ask("1"), client.ask("2")], ["OK\n", "OK\n"]);
    let asked = Instant::now();
    assert_eq!(client.ask("3"), "FAILED: channel c1 is full\n");
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");
    // Room that comes while it waits is as good.
    client.send("4\n");
    agent.make_folder("out");
    assert!(["OK\n", "FAILED: channel c1 is full\n"].contains(&client.answer().as_str()));
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
}

#[test]
fn a_syslog_sender_stalls_and_resumes_and_nothing_is_lost() {
    // 30 MB are more than the sockets of both ends can hold.
    const LINES: usize = 100_000;
    let mut agent = stuck("syslogtcp", 1000, 0);
    let Client { mut socket, .. } = agent.connect("r1");
    let line = |i: usize| format!("{i} {}", "x".repeat(270));
    let through = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            use std::io::Write;
            for block in 0..LINES / 100 {
                let block = block * 100..(block + 1) * 100;
                let text: String =
                    block.map(|i| format!("<13>Oct 11 22:14:15 host1 {}\n", line(i))).collect();
                socket.write_all(text.as_bytes()).unwrap();
            }
            drop(socket);
            through.store(true, SeqCst);
        });
        let told = agent.wait_log("channel c1 is full");
        assert!(told.contains("source r1 waits, channel c1 is full: "), "{told}");
        assert!(told.contains("slowest sink k1: never succeeded, last error "), "{told}");
        assert!(told.contains("cannot start: "), "{told}");
        let mut other = agent.connect("r2");
        for i in 0..100 {
            let asked = Instant::now();
            assert_eq!(other.ask(&format!("{i}")), "OK\n");
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
        assert!(!through.load(SeqCst), "the sender does not stall");
        assert_eq!(agent.metric("SOURCE.r1", "ParkedConnectionCount"), 1);
        let accepted = agent.metric("SOURCE.r1", "EventAcceptedCount");
        assert!((1..=1000).contains(&accepted), "{accepted}");
        assert!(told.contains(&format!(": {accepted} of 1000 events")), "{told}");
        agent.make_folder("out");
    });
    agent.wait_lines("out", LINES);
    let log = agent.stop();
    let lines = agent.lines("out");
    assert_eq!(lines.len(), LINES);
    assert!(lines.iter().enumerate().all(|(i, l)| *l == line(i)), "another order");
    assert_eq!(crate::util::shutdown_metric(&log, "SOURCE.r1", "EventDroppedCount"), 0);
}

#[test]
fn netcat_without_answers_stalls_as_syslog_does() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &["ack-every-event = false"])
        .channel("c1", &["capacity = 5", "transactionCapacity = 5", "keep-alive = 0"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 5"])
        .start();
    let sent: Vec<String> = (0..50).map(|i| format!("line {i}")).collect();
    let mut client = agent.connect("r1");
    client.send(sent.join("\n") + "\n");
    client.socket.shutdown(std::net::Shutdown::Write).unwrap();
    wait(1, || agent.metric("SOURCE.r1", "ParkedConnectionCount"));
    assert_eq!(agent.metric("SOURCE.r1", "EventAcceptedCount"), 5);
    agent.make_folder("out");
    agent.wait_lines("out", 50);
    assert_eq!(client.answer(), "");
    agent.stop();
    assert_eq!(agent.lines("out"), sent);
}

#[test]
fn what_udp_drops_is_what_the_counter_says() {
    const SENT: usize = 300;
    let mut agent = stuck("syslogudp", 50, 3);
    let to = agent.address("r1");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    // As slow as the agent reads, so that the kernel drops none.
    for i in 0..SENT {
        udp.send_to(format!("<13>Oct 11 22:14:15 host1 {i}").as_bytes(), to).unwrap();
        if i % 10 == 9 {
            wait(i + 1, || agent.metric("SOURCE.r1", "EventReceivedCount"));
        }
    }
    let line = agent.wait_log("datagrams dropped");
    assert!(line.contains("channel c1 is full: ") && line.contains("slowest sink k1: "), "{line}");
    let accepted = agent.metric("SOURCE.r1", "EventAcceptedCount");
    let dropped = agent.metric("SOURCE.r1", "EventDroppedCount");
    assert_eq!(accepted + dropped, SENT);
    assert!((40..=50).contains(&accepted), "{accepted}");
    agent.make_folder("out");
    let lines = agent.wait_lines("out", accepted);
    assert!(agent.log().matches("datagrams dropped").count() <= 30);
    agent.stop();
    assert_eq!(agent.lines("out").len(), lines.len());
}

#[test]
fn one_full_channel_of_two_refuses_for_both() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1 c2", &[])
        .channel("c1", &["capacity = 3", "transactionCapacity = 3", "keep-alive = 0"])
        .channel("c2", &["keep-alive = 0"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 3"])
        .files("k2", "c2", "other")
        .start();
    let mut client = agent.connect("r1");
    let answers: Vec<String> = (0..6).map(|i| client.ask(&format!("{i}"))).collect();
    assert_eq!(answers.iter().filter(|a| *a == "OK\n").count(), 3);
    assert_eq!(answers[5], "FAILED: channel c1 is full\n");
    agent.make_folder("out");
    agent.wait_lines("out", 3);
    agent.stop();
    assert_eq!(agent.lines("out"), ["0", "1", "2"]);
    assert_eq!(agent.lines("other"), ["0", "1", "2"]);
}

/// Many parked connections once used up `maxInFlightBytes` for everybody: no source read on, nor did /healthz.
#[test]
fn parked_connections_leave_memory_for_other_sources_and_for_metrics() {
    let agent = Conf::new()
        .source("r1", "syslogtcp", "c1", &[])
        .source("r2", "netcat", "c2", &[])
        .channel("c1", &["capacity = 10", "transactionCapacity = 10"])
        .channel("c2", &[])
        .files_later("k1", "c1", "out", &["sink.batchSize = 10"])
        .files("k2", "c2", "other")
        .arg("-Dflumed.maxInFlightBytes=1048576")
        .start();
    let text: String =
        (0..2000).map(|i| format!("<13>Oct 11 22:14:15 host1 {i} {}\n", "x".repeat(20))).collect();
    let mut senders: Vec<Client> = (0..40).map(|_| agent.connect("r1")).collect();
    for s in &mut senders {
        s.send(&text);
    }
    agent.wait_log("channel c1 is full");
    let mut other = agent.connect("r2");
    other.socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for i in 0..20 {
        assert_eq!(other.ask(&format!("{i}")), "OK\n");
    }
    assert_eq!(agent.get("/healthz").0, 503);
    agent.make_folder("out");
    drop(senders);
    agent.wait_lines("out", 40 * 2000);
}
