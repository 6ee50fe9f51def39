//! Limits: connections, idle time, descriptors, the size of files.

use crate::util::{wait, Client, Conf};

fn netcat() -> Conf {
    Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).files("k1", "c1", "out")
}

#[test]
fn connections_over_the_limit_are_closed_as_they_come() {
    let agent = netcat().arg("-Dflumed.maxConnections=2").start();
    let (mut a, mut b) = (agent.connect("r1"), agent.connect("r1"));
    assert_eq!([a.ask("a"), b.ask("b")], ["OK\n", "OK\n"]);
    assert!(agent.connect("r1").is_closed());
    assert_eq!(agent.metric("SOURCE.r1", "ConnectionRefusedCount"), 1);
    assert!(agent.wait_log("source r1: connection from 127.0.0.1:").contains("2 are open already"));
    drop(a);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(agent.connect("r1").ask("c"), "OK\n");
    assert_eq!(b.ask("d"), "OK\n");
    assert_eq!(agent.wait_lines("out", 4), ["a", "b", "c", "d"]);
}

#[test]
fn idle_connections_are_closed_and_active_ones_are_not() {
    let agent = netcat().arg("-Dflumed.idleTimeout=1").start();
    let (mut active, mut idle, mut silent) = (agent.connect("r1"), agent.connect("r1"), agent.connect("r1"));
    assert_eq!(idle.ask("once"), "OK\n");
    silent.socket.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    idle.socket.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let mut asked = 0;
    for c in [&mut idle, &mut silent] {
        wait(true, || {
            asked += 1;
            assert_eq!(active.ask("more"), "OK\n");
            c.is_closed()
        });
    }
    agent.wait_log("ended: nothing happened on it for idleTimeout; ");
    assert_eq!(active.ask("still here"), "OK\n");
    assert_eq!(agent.wait_lines("out", asked + 2).len(), asked + 2);
}

#[test]
fn without_descriptors_accepting_waits_and_goes_on() {
    let agent = netcat().descriptors(40).start();
    let mut first = agent.connect("r1");
    assert_eq!(first.ask("the file is open"), "OK\n");
    agent.wait_lines("out", 1);
    // More than there are descriptors: the kernel completes the connections, the agent cannot take them.
    let mut clients: Vec<Client> = (0..60).map(|_| agent.connect("r1")).collect();
    agent.wait_log("source r1: cannot accept, trying again: Too many open files");
    assert_eq!(first.ask("open connections are served"), "OK\n");
    for (i, c) in clients.iter_mut().enumerate() {
        c.send(format!("client {i}\n"));
    }
    let waiting = clients.split_off(45);
    // Those that were taken first go first.
    for mut c in clients {
        assert_eq!(c.answer(), "OK\n");
    }
    for mut c in waiting {
        assert_eq!(c.answer(), "OK\n");
    }
    let lines = agent.wait_lines("out", 62);
    assert_eq!(lines.len(), 62);
    assert!(agent.log().matches("cannot accept").count() < 30, "{}", agent.log());
    assert_eq!(agent.get("/healthz").0, 200);
}

#[test]
fn a_limit_on_file_sizes_fails_a_write_and_ends_nothing() {
    const LINES: usize = 100;
    let line = |i: usize| format!("{i} {}", "x".repeat(200));
    let keys = ["sink.directory = out", "sink.rollInterval = 1", "sink.batchSize = 5"];
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .folder("out")
        .sink("k1", "file_roll", "c1", &keys)
        .file_size(8)
        .start();
    let mut client = agent.connect("r1");
    for i in 0..LINES {
        assert_eq!(client.ask(&line(i)), "OK\n");
    }
    agent.wait_log("File too large (os error 27)");
    // The next file takes more.
    let lines = agent.wait_lines("out", LINES);
    assert!(lines.iter().enumerate().all(|(i, l)| *l == line(i)) && lines.len() == LINES, "{lines:?}");
    agent.stop();
    assert_eq!(agent.lines("out").len(), LINES);
}
