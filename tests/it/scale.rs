//! Many connections, and several loops: no thread for each, everybody is served, a source ends on all loops.

use crate::util::{shutdown_metric, wait, Agent, Client, Conf};
use nix::sys::resource::{getrlimit, setrlimit, Resource::RLIMIT_NOFILE};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Descriptors that are not for idle connections: the busy ones, and those of tests beside this one.
const SPARE: u64 = 400;

/// The names of the agent's threads. One that has just started may not have taken its own yet.
pub fn threads(agent: &Agent) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.id())).unwrap();
    let name = |t: std::fs::DirEntry| std::fs::read_to_string(t.path().join("comm")).unwrap();
    tasks.map(|t| name(t.unwrap()).trim().to_owned()).collect()
}

fn loops(agent: &Agent) -> usize {
    threads(agent).iter().filter(|t| t.starts_with("loop:")).count()
}

#[test]
fn idle_connections_cost_no_thread_and_are_served_when_they_speak() {
    let (_, hard) = getrlimit(RLIMIT_NOFILE).unwrap();
    setrlimit(RLIMIT_NOFILE, hard, hard).unwrap();
    let n = hard.saturating_sub(SPARE).clamp(100, 1000) as usize;
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 10000", "transactionCapacity = 1000"])
        .files("k1", "c1", "out")
        .start();
    let address = agent.address("r1");
    let mut busy: Vec<Client> = (0..20).map(|_| Client::new(address)).collect();
    let mut round = |text: &str| {
        busy.iter_mut().for_each(|k| k.send(format!("{text}\n")));
        busy.iter_mut().for_each(|k| assert_eq!(k.answer(), "OK\n"));
    };
    round("before");
    let before = (threads(&agent).len(), loops(&agent));
    assert_eq!(before.1, 1);
    let mut idle: Vec<TcpStream> = (0..n).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait(n + 20, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    (0..50).for_each(|_| round("beside"));
    assert_eq!((threads(&agent).len(), loops(&agent)), before);
    for (i, k) in idle.iter_mut().enumerate() {
        k.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
        k.write_all(format!("idle {i}\n").as_bytes()).unwrap();
    }
    for k in &mut idle {
        let mut answer = [0; 3];
        k.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"OK\n");
    }
    assert_eq!((threads(&agent).len(), loops(&agent)), before);
    drop(idle);
    wait(20, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    round("after");
    agent.stop();
    let lines = agent.lines("out");
    let mut spoke: Vec<usize> =
        lines.iter().filter_map(|l| l.strip_prefix("idle ")).map(|i| i.parse().unwrap()).collect();
    spoke.sort_unstable();
    assert!(spoke.into_iter().eq(0..n));
    assert_eq!(lines.len(), n + 52 * 20);
}

/// One connection more than may be is closed; the others are not.
fn fill_up(agent: &Agent, source: &str, most: usize) -> Vec<Client> {
    let refused = agent.metric(&format!("SOURCE.{source}"), "ConnectionRefusedCount");
    let all: Vec<Client> = (0..most).map(|_| agent.connect_again(source)).collect();
    wait(most, || agent.metric(&format!("SOURCE.{source}"), "OpenConnectionCount"));
    assert!(agent.connect_again(source).is_closed());
    assert_eq!(agent.metric(&format!("SOURCE.{source}"), "ConnectionRefusedCount"), refused + 1);
    all
}

#[test]
fn several_loops_serve_and_end_the_same_sources() {
    let conf = |longest: &str| {
        Conf::new()
            .lines("a1.flumed.loopThreads = 3\na1.flumed.maxConnections = 12\n")
            .source("r1", "netcat", "c1", &[longest])
            .source("r2", "syslogtcp", "c1", &[])
            .channel("c1", &["capacity = 10000", "transactionCapacity = 1000"])
            .files_later("k1", "c1", "out", &[])
    };
    let mut agent = conf("max-line-length = 100").folder("out").start();
    let mut lines = fill_up(&agent, "r1", 12);
    let mut syslog = fill_up(&agent, "r2", 12);
    let mut speak = |lines: &mut Vec<Client>, round: usize| {
        for n in 0..10 {
            for (i, k) in lines.iter_mut().enumerate() {
                assert_eq!(k.ask(&format!("n{i} {round}{n}")), "OK\n");
            }
            for (i, k) in syslog.iter_mut().enumerate() {
                k.send(format!("<13>Oct 11 22:14:15 h s{i} {round}{n}\n"));
            }
        }
    };
    speak(&mut lines, 1);
    assert_eq!(loops(&agent), 3);
    assert_eq!(agent.reload(&conf("max-line-length = 200")), "applied");
    // All connections of the changed source go on, on every loop, and still count.
    speak(&mut lines, 2);
    assert_eq!(agent.metric("SOURCE.r1", "OpenConnectionCount"), 12);
    assert!(agent.connect_again("r1").is_closed());
    assert_eq!(agent.metric("SOURCE.r2", "OpenConnectionCount"), 12);
    assert_eq!(loops(&agent), 3);
    let log = agent.stop();
    for source in ["SOURCE.r1", "SOURCE.r2"] {
        assert_eq!(shutdown_metric(&log, source, "EventReceivedCount"), 240);
        assert_eq!(shutdown_metric(&log, source, "EventAcceptedCount"), 240);
        assert_eq!(shutdown_metric(&log, source, "OpenConnectionCount"), 0);
    }
    let all = agent.lines("out");
    assert_eq!(all.len(), 480);
    for i in 0..12 {
        for who in ["n", "s"] {
            let head = format!("{who}{i} ");
            let of: Vec<usize> =
                all.iter().filter_map(|l| l.strip_prefix(&head)).map(|n| n.parse().unwrap()).collect();
            assert_eq!(of, (10..30).collect::<Vec<_>>(), "{head}");
        }
    }
}
