//! Sink groups: who delivers when sinks fail and work again, under reloads and stops. A file_roll sink whose folder is
//! not there fails, and works when it is.

use crate::util::{flumed, shutdown_metric, wait, Agent, Client, Conf, Folder};
use std::collections::BTreeSet;

/// k1 into out1 and k2 into out2, in a group with these keys; whoever uses it makes the folders.
fn pair(processor: &[&str]) -> Conf {
    let conf = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 100000"])
        .files_later("k1", "c1", "out1", &[])
        .files_later("k2", "c1", "out2", &[]);
    group(conf, processor)
}

fn group(conf: Conf, processor: &[&str]) -> Conf {
    let keys: String = processor.iter().map(|k| format!("a1.sinkgroups.g1.processor.{k}\n")).collect();
    conf.lines(&format!("a1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1 k2\n{keys}"))
}

const FAILOVER: &[&str] = &["type = failover", "priority.k1 = 10", "priority.k2 = 5", "maxpenalty = 200"];

fn send(client: &mut Client, from: usize, to: usize) {
    for i in from..to {
        assert_eq!(client.ask(&i.to_string()), "OK\n");
    }
}

fn count(agent: &Agent, folder: &str) -> usize {
    agent.bytes(folder).iter().filter(|b| **b == b'\n').count()
}

/// Asserts that the folders' files have these numbers, each once.
fn assert_once(agent: &Agent, folders: &[&str], n: usize) {
    let all: Vec<String> = folders.iter().flat_map(|f| agent.lines(f)).collect();
    let distinct: BTreeSet<usize> = all.iter().map(|l| l.parse().unwrap()).collect();
    assert_eq!((all.len(), distinct.len(), distinct.last()), (n, n, Some(&(n - 1))));
}

#[test]
fn failover_and_back() {
    let mut agent = pair(FAILOVER).folder("out1").folder("out2").start();
    let mut client = agent.connect("r1");
    send(&mut client, 0, 20);
    agent.wait_lines("out1", 20);
    assert_eq!(count(&agent, "out2"), 0);

    // What it has delivered so far goes elsewhere, in a copy: it notices that its file is deleted.
    agent.make_folder("away");
    for file in std::fs::read_dir(agent.folder.path("out1")).unwrap().map(|f| f.unwrap()) {
        std::fs::copy(file.path(), agent.folder.path("away").join(file.file_name())).unwrap();
    }
    std::fs::remove_dir_all(agent.folder.path("out1")).unwrap();
    send(&mut client, 20, 40);
    agent.wait_lines("out2", 20);
    let line = agent.wait_log("left out of group g1 for 200 ms, k2 takes over");
    assert!(line.contains("sink k1: cannot deliver: "), "{line}");
    let (status, text) = agent.get("/healthz");
    assert!(status == 200 && text.starts_with("ok\nsink k1 failed: "), "{text}");
    assert!(text.ends_with("; group g1 has k2\n"), "{text}");

    agent.make_folder("out1");
    let mut n = 40;
    wait(true, || {
        send(&mut client, n, n + 1);
        n += 1;
        agent.log().contains("sink group g1: k1 takes over from k2")
    });
    wait((200, "ok\n".to_owned()), || agent.get("/healthz"));
    // One batch may have been on its way to the other.
    send(&mut client, n, n + 1);
    wait(n + 1, || ["away", "out1", "out2"].iter().map(|f| count(&agent, f)).sum());
    let standby = count(&agent, "out2");
    send(&mut client, n + 1, n + 21);
    agent.stop();
    assert_eq!(count(&agent, "out2"), standby);
    assert_once(&agent, &["away", "out1", "out2"], n + 21);
}

#[test]
fn shares_are_equal() {
    let mut agent = pair(&["type = load_balance"]).folder("out1").folder("out2").start();
    ["k1", "k2"].iter().for_each(|k| drop(agent.wait_log(&format!("sink {k} started"))));
    let mut client = agent.connect("r1");
    for i in 0..60 {
        send(&mut client, i, i + 1);
        wait(i + 1, || count(&agent, "out1") + count(&agent, "out2"));
    }
    agent.stop();
    // A file is seen a moment before its sink is back for its next turn, which may then go to the other.
    let share = count(&agent, "out1");
    assert!((20..=40).contains(&share), "{share} of 60");
    assert_once(&agent, &["out1", "out2"], 60);
}

#[test]
fn a_failed_sink_of_a_balanced_group_is_left_out_and_comes_back() {
    let keys = ["type = load_balance", "selector = random", "backoff = true", "selector.maxTimeOut = 200"];
    let mut agent = pair(&keys).folder("out1").start();
    let line = agent.wait_log("left out of group g1 for 200 ms, the others go on");
    assert!(line.contains("sink k2: cannot start: "), "{line}");
    let mut client = agent.connect("r1");
    send(&mut client, 0, 50);
    agent.wait_lines("out1", 50);
    agent.make_folder("out2");
    let mut n = 50;
    wait(true, || {
        send(&mut client, n, n + 1);
        n += 1;
        count(&agent, "out2") > 0
    });
    agent.stop();
    assert_once(&agent, &["out1", "out2"], n);
}

#[test]
fn when_all_fail_the_first_to_come_back_delivers() {
    let mut agent = pair(FAILOVER).start();
    let mut client = agent.connect("r1");
    send(&mut client, 0, 100);
    agent.wait_log("left out of group g1 for 200 ms, no other works");
    wait(true, || agent.get("/healthz").1.matches("failed").count() == 2);
    assert_eq!(agent.get("/healthz").0, 503);
    agent.make_folder("out2");
    agent.wait_lines("out2", 100);
    wait(true, || agent.get("/healthz").1.matches("failed").count() == 1);
    assert_eq!(agent.get("/healthz").0, 200);
    agent.stop();
    assert_once(&agent, &["out2"], 100);
}

#[test]
fn a_stop_with_a_dead_primary_delivers_everything() {
    for dead in ["out1", "out2"] {
        let (alive, penalty) = if dead == "out1" { ("out2", "60000") } else { ("out1", "100") };
        let keys = ["type = failover", "priority.k1 = 1", &format!("maxpenalty = {penalty}")];
        let mut agent = pair(&keys).folder(alive).start();
        agent.wait_log("; left out of group g1 for ");
        let mut client = agent.connect("r1");
        client.send((0..5000).map(|i| format!("{i}\n")).collect::<String>());
        for _ in 0..5000 {
            assert_eq!(client.answer(), "OK\n");
        }
        // Exit code 0.
        let log = agent.stop();
        assert_eq!(shutdown_metric(&log, "CHANNEL.c1", "EventLostAtStopCount"), 0);
        assert_once(&agent, &[alive], 5000);
    }
}

#[test]
fn a_group_is_reloaded_under_load() {
    let all = |conf: Conf| conf.folder("out1").folder("out2");
    let mut agent = all(pair(FAILOVER)).start();
    let mut client = agent.connect("r1");
    let sender = std::thread::spawn(move || send(&mut client, 0, 4000));
    let alone = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 100000"])
        .files_later("k1", "c1", "out1", &[])
        .files_later("k2", "c1", "out2", &[]);
    let bigger = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 100000"])
        .files_later("k1", "c1", "out1", &["sink.batchSize = 50"])
        .files_later("k2", "c1", "out2", &[]);
    let other_first = ["type = failover", "priority.k1 = 1", "priority.k2 = 5"];
    let balanced = ["type = load_balance", "backoff = true"];
    for conf in [pair(&other_first), pair(&balanced), alone, group(bigger, &balanced), pair(FAILOVER)] {
        let before = ["out1", "out2"].map(|f| count(&agent, f));
        let outcome = agent.reload(&conf);
        assert!(outcome.starts_with("applied"), "{outcome}");
        wait(true, || sender.is_finished() || ["out1", "out2"].map(|f| count(&agent, f)) != before);
    }
    sender.join().unwrap();
    // A change of one sink begins both anew; a change of the processor, none.
    let log = agent.log();
    let changes: Vec<&str> =
        log.lines().filter_map(|l| l.split_once("configuration version ")).map(|l| l.1).collect();
    let anew = |k: &str| format!("sink {k} begins anew for sink group g1");
    let one = format!("sink k1 changed, {}", anew("k2"));
    assert_eq!(
        changes,
        [
            "2: sink group g1 changed",
            "3: sink group g1 changed",
            &format!("4: {}, {}", anew("k1"), anew("k2")),
            &format!("5: {one}"),
            &format!("6: {one}"),
        ]
    );
    wait(200, || agent.get("/healthz").0);
    agent.stop();
    assert_once(&agent, &["out1", "out2"], 4000);
}

#[test]
fn sinks_on_different_channels_do_not_wait_for_each_other() {
    let conf = Conf::new()
        .source("r1", "netcat", "c1 c2", &[])
        .channel("c1", &[])
        .channel("c2", &[])
        .files_later("k1", "c1", "out1", &[])
        .files("k2", "c2", "out2");
    let mut agent = group(conf, FAILOVER).start();
    agent.wait_log("its sinks read from different channels");
    let mut client = agent.connect("r1");
    send(&mut client, 0, 10);
    agent.wait_lines("out2", 10);
    agent.make_folder("out1");
    agent.wait_lines("out1", 10);
    agent.stop();
}

#[test]
fn mistakes_are_refused_with_their_place() {
    let folder = Folder::new();
    for (keys, found) in [
        (&[][..], "a1.sinkgroups.g1.processor.type: required key is missing; expected default, failover or"),
        (
            &["type = default"],
            "a1.sinkgroups.g1.sinks: the default processor is for one sink, and there are 2",
        ),
        (&["type = com.example.Mine"], "com.example.Mine is a Java class"),
        (
            &["type = load_balance", "selector = com.example.Mine"],
            "a1.sinkgroups.g1.processor.selector: com.example.Mine is a Java class",
        ),
        (
            &["type = load_balance", "selector.maxTimeOut = soon"],
            "a1.sinkgroups.g1.processor.selector.maxTimeOut: 'soon' is not a whole number",
        ),
    ] {
        std::fs::write(folder.path("a1.conf"), pair(keys).text()).unwrap();
        let (code, out, err) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
        assert!(code == Some(2) && (out.clone() + &err).contains(found), "{keys:?}: {out}{err}");
    }
    let warned =
        ["type = org.apache.flume.sink.FailoverSinkProcessor", "priority.k3 = 1", "maxpenalty = soon"];
    std::fs::write(folder.path("a1.conf"), pair(&warned).text()).unwrap();
    let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
    assert!(code == Some(0) && out.contains("priority.k3: warning: no sink k3 in this group"), "{out}");
    assert!(out.contains("a1.sinkgroups.g1.processor.maxpenalty: warning: 'soon'"), "{out}");
}
