//! Stopping: in order under load, cut short by a second signal or by the deadline.

use crate::util::{shutdown_metric, wait, Agent, Client, Conf, Folder, PATIENCE};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Sends lines without a pause until the agent ends the connection; returns how many answers of each kind came.
fn pipelined(name: String, client: Client) -> (usize, usize) {
    let mut writer = client.socket.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut stored, mut refused) = (0, 0);
        for line in BufReader::new(client.socket).lines() {
            match line.expect("answers are not cut off by a reset").as_str() {
                "OK" => {
                    assert_eq!(refused, 0, "stored after a refusal");
                    stored += 1;
                }
                other => {
                    assert!(other.starts_with("FAILED: "), "{other}");
                    refused += 1;
                }
            }
        }
        (stored, refused)
    });
    let mut n = 0;
    while !reader.is_finished() {
        let text: String = (n..n + 20).map(|i| format!("{name} {i}\n")).collect();
        n += 20;
        if writer.write_all(text.as_bytes()).is_err() {
            break;
        }
    }
    reader.join().unwrap()
}

#[test]
fn sigterm_under_load_loses_nothing_that_was_accepted() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .source("r2", "syslogtcp", "c1", &[])
        .channel("c1", &["capacity = 5000", "transactionCapacity = 1000"])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.batchSize = 500"])
        .start();
    let netcat: Vec<_> = (0..3)
        .map(|i| {
            let client = agent.connect("r1");
            std::thread::spawn(move || pipelined(format!("n{i}"), client))
        })
        .collect();
    let syslog: Vec<_> = (0..2)
        .map(|i| {
            let mut socket = agent.connect("r2").socket;
            std::thread::spawn(move || {
                let text: String =
                    (0..20).map(|_| format!("<13>Oct 11 22:14:15 host1 s{i} line\n")).collect();
                while socket.write_all(text.as_bytes()).is_ok() {}
            })
        })
        .collect();
    wait(true, || {
        let m = agent.metrics();
        let n = |s: &str| m[s]["EventAcceptedCount"].as_str().unwrap().parse::<usize>().unwrap();
        n("SOURCE.r1") > 5000 && n("SOURCE.r2") > 5000
    });
    agent.signal("TERM");
    let (code, log) = agent.wait_exit(Duration::from_secs(12));
    assert_eq!(code, Some(0), "{log}");
    let lines = agent.lines("out");
    for (i, t) in netcat.into_iter().enumerate() {
        let (stored, _) = t.join().unwrap();
        let name = format!("n{i} ");
        let delivered: Vec<&String> = lines.iter().filter(|l| l.starts_with(&name)).collect();
        assert_eq!(delivered.len(), stored, "acknowledged and delivered of client {i}");
        assert!(delivered.iter().enumerate().all(|(n, l)| **l == format!("n{i} {n}")), "another order");
    }
    syslog.into_iter().for_each(|t| t.join().unwrap());
    let of = |first: char| lines.iter().filter(|l| l.starts_with(first)).count();
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventAcceptedCount"), of('n'));
    assert_eq!(shutdown_metric(&log, "SOURCE.r2", "EventAcceptedCount"), of('s'));
    assert_eq!(shutdown_metric(&log, "SINK.k1", "EventDrainSuccessCount"), lines.len());
    for source in ["SOURCE.r1", "SOURCE.r2"] {
        let n = |key| shutdown_metric(&log, source, key);
        assert_eq!(
            n("EventReceivedCount"),
            n("EventAcceptedCount") + n("EventRefusedCount") + n("EventDroppedCount"),
            "{source}"
        );
    }
}

/// What the kernel has taken for the agent before the stop: on open connections and in the datagram buffer.
#[test]
fn a_stop_reads_what_the_sockets_hold() {
    const EACH: usize = 2000;
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .source("r2", "syslogtcp", "c1", &[])
        .source("r3", "syslogudp", "c1", &[])
        .channel("c1", &["capacity = 10000", "transactionCapacity = 100"])
        .files("k1", "c1", "out")
        .start();
    let (mut lines, mut syslog) = (agent.connect("r1"), agent.connect("r2"));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = agent.address("r3");
    assert_eq!(lines.ask("netcat"), "OK\n");
    wait(1, || agent.metric("SOURCE.r2", "OpenConnectionCount"));
    agent.signal("STOP");
    lines.send("netcat\n".repeat(EACH));
    syslog.send("<13>Oct 11 22:14:15 host1 tcp\n".repeat(EACH));
    // As many as fit into the buffer; more than the agent reads in a turn, where the kernel grants that much.
    let granted = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    let datagrams = if granted.trim().parse().unwrap_or(0) >= 4_000_000 { 4000 } else { 200 };
    for _ in 0..datagrams {
        udp.send_to(b"<13>Oct 11 22:14:15 host1 udp", to).unwrap();
    }
    agent.signal("TERM");
    agent.signal("CONT");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert_eq!(code, Some(0), "{log}");
    let out = agent.lines("out");
    let count = |body: &str| out.iter().filter(|l| *l == body).count();
    assert_eq!([count("netcat"), count("tcp"), count("udp")], [EACH + 1, EACH, datagrams]);
    assert!((0..EACH).all(|_| lines.answer() == "OK\n") && lines.is_closed());
}

#[test]
fn idle_connections_do_not_hold_up_a_stop() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .source("r2", "syslogtcp", "c1", &[])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    let mut clients: Vec<Client> = ["r1", "r2", "r1", "r2"].iter().map(|r| agent.connect(r)).collect();
    assert_eq!(clients[0].ask("a line"), "OK\n");
    clients[2].send("half a line");
    wait(4, || {
        agent.metric("SOURCE.r1", "OpenConnectionCount") + agent.metric("SOURCE.r2", "OpenConnectionCount")
    });
    let began = Instant::now();
    agent.signal("INT");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert_eq!(code, Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(4), "{log}");
    assert!(clients.iter_mut().all(|c| c.is_closed()));
}

fn undeliverable(args: &[&str]) -> Agent {
    let conf =
        Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).files_later("k1", "c1", "out", &[]);
    let agent = args.iter().fold(conf, |c, a| c.arg(a)).start();
    let mut client = agent.connect("r1");
    for i in 0..5 {
        assert_eq!(client.ask(&format!("line {i}")), "OK\n");
    }
    agent.wait_log("sink k1: cannot start: ");
    agent
}

#[test]
fn a_stop_waits_for_a_sink_that_comes_up_in_time() {
    let mut agent = undeliverable(&[]);
    agent.signal("TERM");
    agent.wait_log("agent a1 stops, within 10 s");
    agent.make_folder("out");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(agent.lines("out").len(), 5);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut agent = undeliverable(&[]);
    agent.signal("TERM");
    agent.wait_log("agent a1 stops, within 10 s");
    let began = Instant::now();
    agent.signal("TERM");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert!(began.elapsed() < Duration::from_secs(3), "{log}");
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("second signal: ended at once"), "{log}");
}

#[test]
fn a_second_signal_ends_although_nobody_reads_the_log() {
    // Two of a kind could become one.
    assert_eq!(end_with_a_stuck_log(&["TERM", "INT"], &[]), Some(3));
}

#[test]
fn the_deadline_holds_although_nobody_reads_the_log() {
    assert_eq!(end_with_a_stuck_log(&["TERM"], &["-Dflumed.shutdownTimeout=1"]), Some(3));
}

/// The exit code after these signals of an agent whose sink has the log's lock, while the pipe behind it is full.
fn end_with_a_stuck_log(signals: &[&str], args: &[&str]) -> Option<i32> {
    let folder = Folder::new();
    let conf = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 100", "transactionCapacity = 100"])
        .sink("k1", "logger", "c1", &[]);
    std::fs::write(folder.path("a1.conf"), conf.text()).unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_flumed"))
        .args(["agent", "-n", "a1", "-f", "a1.conf"])
        .args(args)
        .current_dir(folder.path(""))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(agent.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("source r1 started, listening on ") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0);
    }
    let mut client = Client::new(line.trim().rsplit(' ').next().unwrap().parse().unwrap());
    client.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    while client.try_ask("a line").is_some() {}
    let kills: Vec<String> = signals.iter().map(|s| format!("kill -{s} {}", agent.id())).collect();
    let script = kills.join("; ");
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    let mut code = None;
    while code.is_none() && Instant::now() < deadline {
        code = agent.try_wait().unwrap().map(|s| s.code());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let _ = agent.kill();
    let _ = agent.wait();
    code.expect("it ends")
}

#[test]
fn what_is_not_delivered_by_the_deadline_is_counted_as_lost() {
    let mut agent = undeliverable(&["-Dflumed.shutdownTimeout=1"]);
    let began = Instant::now();
    agent.signal("TERM");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert!(began.elapsed() < Duration::from_secs(5), "{log}");
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("sink k1 did not finish in time"), "{log}");
    assert!(log.contains("channel c1: 5 events were not delivered and are lost"), "{log}");
    assert_eq!(shutdown_metric(&log, "CHANNEL.c1", "EventLostAtStopCount"), 5);
}

#[test]
fn a_parked_sender_is_counted_when_the_stop_gives_it_up() {
    let mut agent = Conf::new()
        .source("r1", "syslogtcp", "c1", &[])
        .channel("c1", &["capacity = 5", "transactionCapacity = 5"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 5"])
        .arg("-Dflumed.shutdownTimeout=2")
        .start();
    let mut client = agent.connect("r1");
    let text: String = (0..20).map(|i| format!("<13>Oct 11 22:14:15 host1 {i}\n")).collect();
    client.send(text);
    wait(1, || agent.metric("SOURCE.r1", "ParkedConnectionCount"));
    agent.signal("TERM");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert_eq!(code, Some(3), "{log}");
    let n = |key| shutdown_metric(&log, "SOURCE.r1", key);
    assert_eq!(n("EventAcceptedCount"), 5);
    assert!(n("EventDroppedCount") >= 5, "{log}");
    assert_eq!(n("EventReceivedCount"), n("EventAcceptedCount") + n("EventDroppedCount"));
    assert!(log.contains("ended: its source stops; "), "{log}");
}
