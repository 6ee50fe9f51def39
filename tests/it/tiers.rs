//! Tiers of agents when the next one misbehaves: it is down, hangs, refuses, resets, closes, is killed. The events stay
//! where they are, are tried again after growing pauses, and leave when the next one is well. Under load and for longer:
//! `scripts/crash-soak tiers outage`.

use crate::downstream::Downstream;
use crate::util::{wait, Agent, Client, Conf};
use flumed::codec::avro::Status;
use std::collections::BTreeSet;
use std::net::SocketAddr;

fn sender(conf: Conf, name: &str, to: SocketAddr, keys: &[&str]) -> Conf {
    let (host, port) = (format!("hostname = {}", to.ip()), format!("port = {}", to.port()));
    conf.sink(name, "avro", "c1", &[&[host.as_str(), &port], keys].concat())
}

/// Lines in, to this address.
fn upstream(to: SocketAddr, keys: &[&str]) -> Conf {
    sender(Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]), "k1", to, keys)
}

/// Avro in, to files, with what it has not delivered when it is started again.
fn receiver(port: u16, channel: &[&str]) -> Conf {
    let port = format!("port = {port}");
    Conf::new()
        .source_anywhere("r1", "avro", "c1", &["bind = 127.0.0.1", &port])
        .file_channel("c1", channel)
        .files_later("k1", "c1", "out", &["sink.batchSize = 10"])
}

fn group(conf: Conf, keys: &[&str]) -> Conf {
    let keys: String = keys.iter().map(|k| format!("a1.sinkgroups.g1.processor.{k}\n")).collect();
    conf.lines(&format!("a1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1 k2\n{keys}"))
}

fn texts(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix} {i}")).collect()
}

fn send(client: &mut Client, lines: &[String]) {
    lines.iter().for_each(|l| assert_eq!(client.ask(l), "OK\n"));
}

/// The pauses of sink k1, in their order, as soon as there are so many.
fn pauses(agent: &Agent, n: usize) -> Vec<usize> {
    let found = || -> Vec<usize> {
        let log = agent.log();
        let tails = log.lines().filter_map(|l| l.split_once("sink k1: ")?.1.split_once("; next try in "));
        tails.map(|(_, ms)| ms.trim_end_matches(" ms").parse().unwrap()).collect()
    };
    wait(true, || found().len() >= n);
    found()[..n].to_vec()
}

/// How many events are in the agent's channel, or taken for a delivery that has not succeeded.
fn kept(agent: &Agent) -> usize {
    let metrics = agent.metrics();
    let count = |key: &str| metrics["CHANNEL.c1"][key].as_str().unwrap().parse::<usize>().unwrap();
    count("EventPutSuccessCount") - count("EventTakeSuccessCount")
}

/// Waits until all has left the agent; how often it says that events may have been stored twice.
fn drained(agent: &Agent, n: usize) -> usize {
    wait(n, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(agent.metric("CHANNEL.c1", "ChannelSize"), 0);
    agent.metric("SINK.k1", "EventPossiblyRepeatedCount")
}

#[test]
fn down_at_first() {
    let address = Downstream::address_without();
    let from = upstream(address, &[]).start();
    let lines = texts("early", 10);
    send(&mut from.connect("r1"), &lines);
    assert_eq!(pauses(&from, 3), [100, 200, 400]);
    assert_eq!(kept(&from), 10);
    // It is in the channel while the sink pauses.
    wait(10, || from.metric("CHANNEL.c1", "ChannelSize"));
    let mut peer = Downstream::at(address).accept();
    assert_eq!(peer.call(), lines);
    peer.answer(Status::Ok);
    assert_eq!(drained(&from, 10), 0);
    from.wait_log("sink k1 started");
}

#[test]
fn hanging_after_accept() {
    let to = Downstream::new();
    let from = upstream(to.address, &["connect-timeout = 1000"]).start();
    let lines = texts("patient", 5);
    send(&mut from.connect("r1"), &lines);
    let silent = [to.accept_silent(), to.accept_silent()];
    assert_eq!(pauses(&from, 2), [100, 200]);
    assert_eq!(kept(&from), 5);
    let log = from.wait_log("; next try in 200 ms");
    assert!(log.contains("no answer within 1000 ms"), "{log}");
    let mut peer = to.accept();
    assert_eq!(peer.call(), lines);
    peer.answer(Status::Ok);
    assert_eq!(drained(&from, 5), 0);
    assert_eq!(from.metric("SINK.k1", "ConnectionFailedCount"), silent.len());
}

#[test]
fn refusing_a_few_times() {
    let to = Downstream::new();
    let from = upstream(to.address, &[]).start();
    let mut peer = to.accept();
    assert_eq!(from.connect("r1").ask("only"), "OK\n");
    for _ in 0..3 {
        assert_eq!(peer.call(), ["only"]);
        peer.answer(Status::Failed);
        assert_eq!(kept(&from), 1);
    }
    assert_eq!(pauses(&from, 3), [100, 200, 400]);
    from.wait_log("FAILED: its channel is full");
    assert_eq!(peer.call(), ["only"]);
    peer.answer(Status::Ok);
    assert_eq!(drained(&from, 1), 0, "what is refused is not stored");
    assert_eq!(from.metric("SINK.k1", "ConnectionCreatedCount"), 1);
}

#[test]
fn resetting_in_the_middle_of_calls() {
    let to = Downstream::new();
    let from = upstream(to.address, &["batch-size = 2"]).start();
    let (mut peer, mut client) = (to.accept(), from.connect("r1"));
    send(&mut client, &texts("lost", 1));
    for _ in 0..3 {
        assert_eq!(peer.call(), ["lost 0"]);
        assert_eq!(kept(&from), 1);
        peer.reset();
        peer = to.accept();
    }
    assert_eq!(pauses(&from, 3), [100, 200, 400]);
    let told = from.wait_log("sink k1: 1 events may be stored at 127.0.0.1");
    assert!(told.contains("reset"), "{told}");
    assert_eq!(peer.call(), ["lost 0"]);
    peer.answer(Status::Ok);
    assert_eq!(drained(&from, 1), 3);
    // It is well again: so is the pause.
    send(&mut client, &texts("next", 1));
    assert_eq!(peer.call(), ["next 0"]);
    peer.reset();
    assert_eq!(pauses(&from, 4), [100, 200, 400, 100]);
}

#[test]
fn closing_while_idle() {
    let to = Downstream::new();
    let mut from = upstream(to.address, &[]).start();
    let mut client = from.connect("r1");
    let mut at_start = Some(to.accept());
    for n in 1..=3 {
        let line = format!("calm {n}");
        assert_eq!(client.ask(&line), "OK\n");
        let mut peer = at_start.take().unwrap_or_else(|| to.accept());
        assert_eq!(peer.call(), [line]);
        peer.answer(Status::Ok);
        // Then it closes; that is found out when there is something to send, and is no failure.
        assert_eq!(drained(&from, n), 0);
    }
    assert_eq!(from.metric("SINK.k1", "EventWriteFail"), 0);
    let log = from.stop();
    assert!(!log.contains("next try"), "{log}");
}

/// k1 first and k2 behind it.
fn failover(k1: &Downstream, k2: &Downstream, keys: &[&str]) -> Agent {
    let conf = sender(upstream(k1.address, keys), "k2", k2.address, &[]);
    group(conf, &["type = failover", "priority.k1 = 10", "priority.k2 = 5"]).start()
}

#[test]
fn a_group_goes_on_when_its_first_does_not_answer() {
    let (hangs, works) = (Downstream::new(), Downstream::new());
    let from = failover(&hangs, &works, &["request-timeout = 1000"]);
    let mut first = hangs.accept();
    assert_eq!(from.connect("r1").ask("one"), "OK\n");
    assert_eq!(first.call(), ["one"]);
    let mut second = works.accept();
    assert_eq!(second.call(), ["one"]);
    second.answer(Status::Ok);
    from.wait_log("left out of group g1 for 2000 ms, k2 takes over");
    wait(1, || from.metric("SINK.k2", "EventDrainSuccessCount"));
    assert_eq!(kept(&from), 0);
    assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 1);
    assert_eq!(from.metric("SINK.k2", "EventPossiblyRepeatedCount"), 0);
}

#[test]
fn a_first_that_hangs_at_its_start_never_gets_the_events() {
    let (hangs, works) = (Downstream::new(), Downstream::new());
    let from = failover(&hangs, &works, &["connect-timeout = 1000"]);
    let (_silent, mut second) = (hangs.accept_silent(), works.accept());
    assert_eq!(from.connect("r1").ask("one"), "OK\n");
    assert_eq!(second.call(), ["one"]);
    second.answer(Status::Ok);
    wait(1, || from.metric("SINK.k2", "EventDrainSuccessCount"));
    let told = from.wait_log("sink k1: cannot start: ");
    assert!(told.contains("left out of group g1 for 2000 ms, k2 takes over"), "{told}");
    assert_eq!(from.metric("SINK.k1", "EventDrainAttemptCount"), 0);
}

#[test]
fn a_first_that_takes_long_to_start_holds_up_nobody() {
    let (hangs, works) = (Downstream::new(), Downstream::new());
    // It would be 20 s, or twice that.
    let from = failover(&hangs, &works, &[]);
    let (_silent, mut second) = (hangs.accept_silent(), works.accept());
    assert_eq!(from.connect("r1").ask("one"), "OK\n");
    assert_eq!(second.call(), ["one"]);
    assert!(!from.log().contains("cannot start"));
    from.wait_log("sink group g1: k1 takes long to start, the others do not wait for it");
    second.answer(Status::Ok);
    wait(1, || from.metric("SINK.k2", "EventDrainSuccessCount"));
}

#[test]
fn a_group_whose_processor_changes_keeps_its_connections() {
    let (first, second) = (Downstream::new(), Downstream::new());
    let from = failover(&first, &second, &[]);
    let (mut primary, mut standby) = (first.accept(), second.accept());
    let mut client = from.connect("r1");
    assert_eq!(client.ask("one"), "OK\n");
    assert_eq!(primary.call(), ["one"]);
    primary.answer(Status::Ok);
    wait(1, || from.metric("SINK.k1", "EventDrainSuccessCount"));
    let conf = sender(upstream(first.address, &[]), "k2", second.address, &[]);
    let other = group(conf, &["type = failover", "priority.k1 = 1", "priority.k2 = 5"]);
    assert_eq!(from.reload(&other), "applied");
    from.wait_log("configuration version 2: sink group g1 changed");
    assert_eq!(client.ask("two"), "OK\n");
    assert_eq!(standby.call(), ["two"]);
    standby.answer(Status::Ok);
    wait(1, || from.metric("SINK.k2", "EventDrainSuccessCount"));
    for k in ["SINK.k1", "SINK.k2"] {
        assert_eq!(from.metric(k, "ConnectionCreatedCount"), 1, "{k}");
    }
}

#[test]
fn one_of_a_pair_that_is_back_is_known_to_be_without_events() {
    let (first, second) = (Downstream::new(), Downstream::new());
    let address = first.address;
    let conf = sender(upstream(address, &[]), "k2", second.address, &[]);
    let from = group(conf, &["type = load_balance", "backoff = true", "selector.maxTimeOut = 200"]).start();
    let (gone, mut other) = (first.accept(), second.accept());
    wait((200, "ok\n".to_owned()), || from.get("/healthz"));
    drop((gone, first));
    let mut client = from.connect("r1");
    // One of the two is the first's, which fails.
    for line in ["one", "two"] {
        assert_eq!(client.ask(line), "OK\n");
        assert_eq!(other.call(), [line]);
        other.answer(Status::Ok);
    }
    wait(2, || from.metric("SINK.k2", "EventDrainSuccessCount"));
    wait(true, || from.get("/healthz").1.starts_with("ok\nsink k1 failed: "));
    assert_eq!((from.get("/healthz").0, kept(&from)), (200, 0));
    let _back = Downstream::at(address).accept();
    wait((200, "ok\n".to_owned()), || from.get("/healthz"));
    from.wait_log("sink k1 can deliver again after ");
}

/// It has no events, and nobody would miss it.
#[test]
fn a_stop_does_not_wait_for_a_sink_that_connects() {
    let (hangs, works) = (Downstream::new(), Downstream::new());
    let mut from = failover(&hangs, &works, &[]);
    let (_silent, _other) = (hangs.accept_silent(), works.accept());
    let log = from.stop();
    assert!(!log.contains("did not finish in time"), "{log}");
}

#[test]
fn a_dead_tier_is_told_less_and_less_and_its_return_once() {
    let dead = [Downstream::address_without(), Downstream::address_without()];
    let conf = sender(upstream(dead[0], &[]), "k2", dead[1], &[]);
    let from = group(conf, &["type = failover", "priority.k1 = 10", "maxpenalty = 100"]).start();
    assert_eq!(from.connect("r1").ask("one"), "OK\n");
    wait(true, || from.metric("SINK.k1", "ConnectionFailedCount") >= 25);
    let told = from.log().lines().filter(|l| l.contains("sink k1: cannot start: ")).count();
    assert!((2..=10).contains(&told), "{told}");
    from.wait_log(" failures in ");
    let mut peer = Downstream::at(dead[0]).accept();
    assert_eq!(peer.call(), ["one"]);
    peer.answer(Status::Ok);
    wait(1, || from.metric("SINK.k1", "EventDrainSuccessCount"));
    let log = from.log();
    let up: Vec<&str> = log.lines().filter_map(|l| l.split_once("sink k1 ")).map(|l| l.1).collect();
    let started = |l: &&&str| l.starts_with("started after ") && l.ends_with(" failures");
    assert!(up.iter().filter(started).count() == 1 && up.len() == 1, "{up:?}");
}

/// An agent that may be killed, in its place; and the address it keeps.
fn start_receiver(channel: &[&str]) -> (Agent, SocketAddr) {
    let agent = receiver(0, channel).folder("out").start();
    let address = agent.address("r1");
    (agent, address)
}

#[test]
fn a_pair_loses_nothing_when_one_is_killed() {
    let (mut killed, address) = start_receiver(&[]);
    let (other, to) = start_receiver(&[]);
    let balance = ["type = load_balance", "backoff = true", "selector.maxTimeOut = 200"];
    let keys = ["batch-size = 5"];
    let conf = Conf::new().source("r1", "netcat", "c1", &[]).file_channel("c1", &[]);
    let from = group(sender(sender(conf, "k1", address, &keys), "k2", to, &keys), &balance).start();
    let mut client = from.connect("r1");
    let taken = |agent: &Agent| agent.metric("SOURCE.r1", "EventAcceptedCount");
    let mut n = 0;
    let mut more = |client: &mut Client| {
        assert_eq!(client.ask(&n.to_string()), "OK\n");
        n += 1;
        n
    };
    for _ in 0..2 {
        wait(true, || {
            more(&mut client);
            taken(&killed) > 20
        });
        killed.kill();
        let before = taken(&other);
        wait(true, || {
            more(&mut client);
            taken(&other) > before + 20
        });
        killed.start_again(&receiver(address.port(), &[]));
    }
    let n = more(&mut client);
    wait(0, || from.metric("CHANNEL.c1", "ChannelSize"));
    let both = || [&killed, &other].map(|a| a.lines("out")).concat();
    let numbers = || both().iter().map(|l| l.parse::<usize>().unwrap()).collect::<BTreeSet<_>>();
    wait(true, || numbers().len() == n);
    wait(0, || killed.metric("CHANNEL.c1", "ChannelSize"));
    let repeated: usize =
        ["SINK.k1", "SINK.k2"].map(|k| from.metric(k, "EventPossiblyRepeatedCount")).iter().sum();
    // What a kill finds written and not committed is a batch of file_roll at most.
    assert!(both().len() - n <= repeated + 2 * 10, "{} lines of {n}, {repeated}", both().len());
}

#[test]
fn three_agents_fan_into_one() {
    let to = receiver(0, &[]).folder("out").start();
    let senders =
        ["a", "b", "c"].map(|name| (name, upstream(to.address("r1"), &["batch-size = 10"]).start()));
    std::thread::scope(|all| {
        for (name, from) in &senders {
            all.spawn(move || send(&mut from.connect("r1"), &texts(name, 200)));
        }
    });
    let lines = to.wait_lines("out", 600);
    for (name, from) in &senders {
        let its: Vec<&String> = lines.iter().filter(|l| l.starts_with(name)).collect();
        assert_eq!(its, texts(name, 200).iter().collect::<Vec<_>>());
        assert_eq!(drained(from, 200), 0);
    }
    assert_eq!((lines.len(), to.metric("SOURCE.r1", "OpenConnectionCount")), (600, 3));
}

#[test]
fn a_chain_fills_from_its_end_and_drains() {
    let small = ["capacity = 20", "transactionCapacity = 10", "keep-alive = 0"];
    // Its files are to go where there is no folder yet.
    let last = receiver(0, &small).start();
    let keys = ["batch-size = 10"];
    let conf = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &small);
    let first = sender(conf, "k1", last.address("r1"), &keys).start();
    let mut client = first.connect("r1");
    let mut stored = Vec::new();
    let mut refused = 0;
    wait(true, || {
        let line = format!("line {}", stored.len());
        match client.ask(&line).as_str() {
            "OK\n" => stored.push(line),
            _ => refused += 1,
        }
        let is_full = |agent: &Agent| agent.metric("CHANNEL.c1", "ChannelSize") > 10;
        refused > 3 && is_full(&last) && is_full(&first)
    });
    first.wait_log("FAILED: its channel is full");
    assert!(last.metric("SOURCE.r1", "EventRefusedCount") > 0);
    assert_eq!(first.metric("SOURCE.r1", "EventAcceptedCount"), stored.len());
    last.make_folder("out");
    assert_eq!(last.wait_lines("out", stored.len()), stored);
    assert_eq!(drained(&first, stored.len()), 0);
}
