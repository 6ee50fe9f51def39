//! Reload: what has changed is taken over, what has not is not touched, a mistake changes nothing, nothing is lost.

use crate::util::{wait, Agent, Client, Conf};
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

const CHANNEL: &[&str] = &["capacity = 1000", "transactionCapacity = 100"];

fn netcat_to_files(source: &[&str], sink: &[&str]) -> Conf {
    Conf::new()
        .source("r1", "netcat", "c1", source)
        .channel("c1", CHANNEL)
        .files_later("k1", "c1", "out", sink)
}

#[test]
fn a_hundred_reloads_under_load_break_no_connection_and_lose_nothing() {
    let sizes = ["sink.batchSize = 10", "sink.batchSize = 20"];
    let conf =
        |i: usize| netcat_to_files(&[], &[sizes[i % 2]]).source("r2", "syslogtcp", "c1", &[]).folder("out");
    let mut agent = conf(0).start();
    let done = Arc::new(AtomicBool::new(false));
    let lines = agent.connect("r1");
    let until = done.clone();
    let asking = std::thread::spawn(move || {
        let mut client = lines;
        let mut n = 0;
        while !until.load(Relaxed) {
            assert_eq!(client.ask(&format!("n {n}")), "OK\n");
            n += 1;
        }
        n
    });
    let mut socket = agent.connect("r2").socket;
    let until = done.clone();
    let telling = std::thread::spawn(move || {
        let mut n = 0;
        while !until.load(Relaxed) {
            let text: String = (n..n + 10).map(|i| format!("<13>Oct 11 22:14:15 h s {i}\n")).collect();
            socket.write_all(text.as_bytes()).unwrap();
            n += 10;
        }
        n
    });
    for i in 1..=100 {
        assert_eq!(agent.reload(&conf(i)), "applied");
    }
    done.store(true, Relaxed);
    let (asked, told) = (asking.join().unwrap(), telling.join().unwrap());
    wait(told, || agent.metric("SOURCE.r2", "EventAcceptedCount"));
    let log = agent.stop();
    let all = agent.lines("out");
    let of = |head: &str| -> Vec<usize> {
        all.iter().filter_map(|l| l.strip_prefix(head)?.parse().ok()).collect()
    };
    assert_eq!(of("n "), (0..asked).collect::<Vec<_>>());
    assert_eq!(of("s "), (0..told).collect::<Vec<_>>());
    assert_eq!(log.matches("sink k1 changed").count(), 100);
    assert!(log.contains("configuration version 101: "));
}

#[test]
fn a_mistake_changes_nothing() {
    let mut agent = netcat_to_files(&[], &[]).folder("out").start();
    let mut client = agent.connect("r1");
    let wrong = [
        netcat_to_files(&["max-line-length = many"], &[]),
        netcat_to_files(&[], &["sink.batchSize = 101"]),
        netcat_to_files(&[], &[]).lines("a1.sources = r1 r2\n"),
    ];
    for w in &wrong {
        assert_eq!(agent.reload(w), "refused");
    }
    assert!(agent.wait_log("reload refused").contains("version 1 of the configuration keeps running"));
    agent.wait_log("a1.conf:8: a1.sources.r1.max-line-length: 'many' is not a whole number");
    assert_eq!(client.ask("still here"), "OK\n");
    let all = agent.metrics();
    assert_eq!(all["AGENT.a1"]["ReloadRefusedCount"], "3");
    assert!(all["AGENT.a1"]["LastReloadError"].as_str().unwrap().contains("1 error"));
    assert_eq!(agent.reload(&netcat_to_files(&[], &[])), "unchanged");
    assert_eq!(agent.metrics()["AGENT.a1"]["LastReloadError"], "");
    agent.stop();
    assert_eq!(agent.lines("out"), ["still here"]);
}

#[test]
fn a_port_in_use_refuses_the_reload() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("port = {}", taken.local_addr().unwrap().port());
    let mut agent = netcat_to_files(&[], &[]).folder("out").start();
    let mut client = agent.connect("r1");
    let moved = Conf::new()
        .source_anywhere("r1", "netcat", "c1", &["bind = 127.0.0.1", &port])
        .channel("c1", CHANNEL)
        .files_later("k1", "c1", "out", &[]);
    assert_eq!(agent.reload(&moved), "refused");
    let said = agent.metrics()["AGENT.a1"]["LastReloadError"].as_str().unwrap().to_owned();
    assert!(said.contains("source r1: cannot listen on 127.0.0.1") && said.contains("in use"), "{said}");
    assert_eq!(client.ask("a"), "OK\n");
    drop(taken);
    assert_eq!(agent.reload(&moved), "applied");
    assert_eq!(client.ask("b"), "OK\n", "connections are carried over");
    let at = format!("127.0.0.1:{}", &port["port = ".len()..]);
    assert_eq!(Client::new(at.parse().unwrap()).ask("c"), "OK\n");
    agent.stop();
    assert_eq!(agent.lines("out"), ["a", "b", "c"]);
}

#[test]
fn a_changed_source_hands_its_listener_over() {
    let mut agent = netcat_to_files(&[], &[]).folder("out").start();
    let address = agent.address("r1");
    let done = Arc::new(AtomicBool::new(false));
    let until = done.clone();
    // Every connect succeeds, every line that was answered is stored; an unanswered one may be sent again.
    let asking = std::thread::spawn(move || {
        let mut n = 0;
        while !until.load(Relaxed) {
            if Client::new(address).try_ask(&format!("{n}")).as_deref() == Some("OK\n") {
                n += 1;
            }
        }
        n
    });
    for i in 0..20 {
        let longest = format!("max-line-length = {}", 600 + i);
        assert_eq!(agent.reload(&netcat_to_files(&[&longest], &[])), "applied");
    }
    done.store(true, Relaxed);
    let asked = asking.join().unwrap();
    assert!(asked > 0);
    agent.stop();
    let mut got: Vec<usize> = agent.lines("out").iter().map(|l| l.parse().unwrap()).collect();
    got.dedup();
    assert_eq!(got[..asked], (0..asked).collect::<Vec<_>>());
}

#[test]
fn limits_of_a_full_channel_change_live() {
    let conf = |capacity: usize| {
        let capacity = [format!("capacity = {capacity}"), format!("transactionCapacity = {capacity}")];
        Conf::new()
            .source("r1", "syslogtcp", "c1", &[])
            .channel("c1", &[&capacity[0], &capacity[1]])
            .files_later("k1", "c1", "out", &["sink.batchSize = 2"])
    };
    let mut agent = conf(4).start();
    let mut client = agent.connect("r1");
    let text: String = (0..9).map(|i| format!("<13>Oct 11 22:14:15 h {i}\n")).collect();
    client.send(&text);
    wait(4, || agent.metric("SOURCE.r1", "EventAcceptedCount"));
    wait(1, || agent.metric("SOURCE.r1", "ParkedConnectionCount"));
    assert_eq!(agent.reload(&conf(100)), "applied");
    wait(9, || agent.metric("SOURCE.r1", "EventAcceptedCount"));
    // And down again, below what is in it: what waits then is cut to fit.
    client.send(text.repeat(11));
    wait(1, || agent.metric("SOURCE.r1", "ParkedConnectionCount"));
    assert_eq!(agent.reload(&conf(2)), "applied");
    agent.make_folder("out");
    assert_eq!(agent.wait_lines("out", 108).len(), 108);
    agent.stop();
    let expected: Vec<String> = (0..12).flat_map(|_| 0..9).map(|i| i.to_string()).collect();
    assert_eq!(agent.lines("out"), expected);
}

#[test]
fn a_channel_that_goes_is_drained_first() {
    let both = |sink: &[&str]| {
        Conf::new()
            .source("r1", "netcat", "c1 c2", &[])
            .channel("c1", CHANNEL)
            .files_later("k1", "c1", "one", sink)
            .channel("c2", CHANNEL)
            .files_later("k2", "c2", "two", &[])
    };
    let one = || {
        Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", CHANNEL).files_later(
            "k1",
            "c1",
            "one",
            &[],
        )
    };
    let mut agent = both(&[]).folder("one").start();
    let mut client = agent.connect("r1");
    assert_eq!(client.ask("a"), "OK\n");
    assert_eq!(agent.reload(&one()), "applied");
    assert_eq!(client.ask("b"), "OK\n");
    assert_eq!(agent.metric("CHANNEL.c2", "ChannelSize"), 1);
    agent.make_folder("two");
    agent.wait_log("channel c2 is empty and gone");
    wait(true, || agent.metrics()["CHANNEL.c2"].is_null());
    agent.stop();
    assert_eq!((agent.lines("one").join(" "), agent.lines("two").join(" ")), ("a b".into(), "a".into()));
}

#[test]
fn a_channel_on_its_way_out_comes_back() {
    let both = |sink: &[&str]| {
        Conf::new()
            .source("r1", "netcat", "c1 c2", &[])
            .channel("c1", CHANNEL)
            .files_later("k1", "c1", "one", &[])
            .channel("c2", CHANNEL)
            .files_later("k2", "c2", "two", sink)
    };
    let one = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", CHANNEL).files_later(
        "k1",
        "c1",
        "one",
        &[],
    );
    let mut agent = both(&[]).folder("one").start();
    assert_eq!(agent.connect("r1").ask("a"), "OK\n");
    assert_eq!(agent.reload(&one), "applied");
    assert_eq!(agent.reload(&both(&["sink.batchSize = 7"])), "applied");
    assert_eq!(agent.connect_again("r1").ask("b"), "OK\n");
    agent.make_folder("two");
    assert_eq!(agent.wait_lines("two", 2), ["a", "b"]);
    agent.stop();
}

#[test]
fn a_channel_nobody_takes_from_does_not_go_with_events_in_it() {
    let filled =
        Conf::new().source("r1", "netcat", "c1 c2", &[]).channel("c1", CHANNEL).channel("c2", CHANNEL);
    let one = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", CHANNEL);
    let mut agent =
        filled.lines("a1.sinks = k1\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n").start();
    assert_eq!(agent.connect("r1").ask("a"), "OK\n");
    assert_eq!(
        agent.reload(&one.lines("a1.sinks = k1\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n")),
        "refused"
    );
    agent.wait_log("channel c2 would go with 1 events that no sink takes");
    agent.signal("KILL");
    agent.wait_exit(crate::util::PATIENCE);
}

#[test]
fn sources_and_sinks_come_and_go_and_swap_ports() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (a, b) = (free(), free());
    let at = |p: std::net::SocketAddr| format!("port = {}", p.port());
    let conf = |r1: &str, r2: &str| {
        Conf::new()
            .source_anywhere("r1", "netcat", "c1", &["bind = 127.0.0.1", r1])
            .source_anywhere("r2", "netcat", "c2", &["bind = 127.0.0.1", r2])
            .channel("c1", CHANNEL)
            .channel("c2", CHANNEL)
            .files_later("k1", "c1", "one", &[])
            .files_later("k2", "c2", "two", &[])
    };
    let mut agent = conf(&at(a), &at(b)).folder("one").folder("two").start();
    assert_eq!(Client::new(a).ask("1"), "OK\n");
    assert_eq!(agent.reload(&conf(&at(b), &at(a))), "applied");
    assert_eq!((Client::new(a).ask("2"), Client::new(b).ask("3")), ("OK\n".into(), "OK\n".into()));
    let less = Conf::new()
        .source_anywhere("r1", "netcat", "c1", &["bind = 127.0.0.1", &at(b)])
        .channel("c1", CHANNEL)
        .files_later("k1", "c1", "one", &[]);
    assert_eq!(agent.reload(&less), "applied");
    wait(true, || std::net::TcpStream::connect(a).is_err());
    assert_eq!(Client::new(b).ask("4"), "OK\n");
    wait(true, || agent.metrics()["SOURCE.r2"].is_null());
    agent.stop();
    assert_eq!((agent.lines("one").join(" "), agent.lines("two").join(" ")), ("1 3 4".into(), "2".into()));
}

#[test]
fn a_changed_file_is_noticed() {
    let conf = |n: &str| {
        Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", CHANNEL).sink(
            "k1",
            "null",
            "c1",
            &[&format!("batchSize = {n}")],
        )
    };
    let mut agent: Agent = conf("1").arg("--poll-interval").arg("1").start();
    std::fs::write(agent.folder.path("a1.conf"), conf("2").text()).unwrap();
    agent.wait_log("configuration version 2: sink k1 changed");
    agent.stop();
}

#[test]
fn connections_of_a_changed_source_are_carried_over() {
    let conf = |n: usize| {
        let value = format!("interceptors.i.value = v{n}");
        Conf::new()
            .source(
                "r1",
                "syslogtcp",
                "c1",
                &["interceptors = i", "interceptors.i.type = static", "interceptors.i.key = k", &value],
            )
            .channel("c1", CHANNEL)
            .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
            .folder("out")
    };
    let mut agent = conf(0).arg("-Dflumed.loopThreads=2").start();
    let senders: Vec<_> = (0..4)
        .map(|s| {
            let mut socket = agent.connect("r1").socket;
            std::thread::spawn(move || {
                for i in 0..20_000 {
                    // In pieces, so that many a reload comes in the middle of a line.
                    let line = format!("<13>Oct 11 22:14:15 h s{s} {i}\n");
                    let (a, b) = line.split_at(i % line.len());
                    socket.write_all(a.as_bytes()).unwrap();
                    socket.write_all(b.as_bytes()).unwrap();
                }
                socket
            })
        })
        .collect();
    let mut n = 0;
    while !senders.iter().all(|s| s.is_finished()) {
        n += 1;
        assert_eq!(agent.reload(&conf(n)), "applied");
    }
    let mut open: Vec<_> = senders.into_iter().map(|s| s.join().unwrap()).collect();
    wait(80_000, || agent.metric("SOURCE.r1", "EventAcceptedCount"));
    assert_eq!(agent.reload(&conf(n + 1)), "applied");
    open[0].write_all(b"<13>Oct 11 22:14:15 h last\n").unwrap();
    wait(80_001, || agent.metric("SOURCE.r1", "EventAcceptedCount"));
    agent.stop();
    let lines = agent.lines("out");
    assert_eq!(lines.len(), 80_001);
    for s in 0..4 {
        let head = format!("}} s{s} ");
        let of: Vec<usize> = lines.iter().filter_map(|l| l.split_once(&head)?.1.parse().ok()).collect();
        assert_eq!(of, (0..20_000).collect::<Vec<_>>(), "sender {s}");
    }
    assert!(lines.last().unwrap().contains(&format!("k=v{}", n + 1)), "{:?}", lines.last());
}

#[test]
fn an_address_changes_on_the_same_port() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let conf = |bind: &str| {
        let keys = [format!("bind = {bind}"), format!("port = {port}")];
        Conf::new()
            .source_anywhere("r1", "netcat", "c1", &[&keys[0], &keys[1]])
            .channel("c1", CHANNEL)
            .files_later("k1", "c1", "out", &[])
            .folder("out")
    };
    let mut agent = conf("127.0.0.1").start();
    assert_eq!(agent.connect("r1").ask("a"), "OK\n");
    assert_eq!(agent.reload(&conf("0.0.0.0")), "applied");
    agent.wait_log(&format!("source r1 started, listening on 0.0.0.0:{port}"));
    assert_eq!(Client::new(([127, 0, 0, 1], port).into()).ask("b"), "OK\n");
    agent.stop();
    assert_eq!(agent.lines("out"), ["a", "b"]);
}

#[test]
fn a_channel_with_events_keeps_a_sink() {
    let with = |channel: &str| {
        Conf::new()
            .source("r1", "netcat", "c1 c2", &[])
            .channel("c1", CHANNEL)
            .channel("c2", CHANNEL)
            .files_later("k1", channel, "out", &[])
    };
    let mut agent = with("c1").start();
    assert_eq!(agent.connect("r1").ask("a"), "OK\n");
    assert_eq!(agent.reload(&with("c2")), "refused");
    agent.wait_log("channel c1 would stay with 1 events that no sink takes");
    let none = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", CHANNEL);
    assert_eq!(agent.reload(&none), "refused");
    agent.signal("KILL");
    agent.wait_exit(crate::util::PATIENCE);
}

#[test]
fn a_sink_that_moves_leaves_one_behind_for_what_is_there() {
    let on = |channel: &str, folder: &str| {
        Conf::new()
            .source("r1", "netcat", channel, &[])
            .channel(channel, CHANNEL)
            .files_later("k1", channel, folder, &[])
            .folder("new")
    };
    let mut agent = on("c1", "old").start();
    assert_eq!(agent.connect("r1").ask("a"), "OK\n");
    assert_eq!(agent.reload(&on("c2", "new")), "applied");
    assert_eq!(agent.connect_again("r1").ask("b"), "OK\n");
    assert_eq!(agent.wait_lines("new", 1), ["b"]);
    let (status, text) = agent.get("/healthz");
    assert!(status == 503 && text.contains("sink k1.leaving failed"), "{text}");
    assert_eq!(agent.metric("SINK.k1", "EventDrainSuccessCount"), 1);
    agent.make_folder("old");
    agent.wait_log("channel c1 is empty and gone");
    wait(200, || agent.get("/healthz").0);
    agent.stop();
    assert_eq!(agent.lines("old"), ["a"]);
}

#[test]
fn a_command_that_moves_to_another_channel_ends_before_it_begins_again() {
    let on = |channel: &str| {
        let command = "command = trap 'sleep 0.3; echo last of '$$'; exit' TERM; echo first of $$; while :; do sleep 0.05; done";
        Conf::new()
            .source_anywhere("r1", "exec", channel, &["shell = /bin/sh -c", command])
            .channel(channel, CHANNEL)
            .files_later("k1", channel, channel, &[])
            .folder("c1")
            .folder("c2")
    };
    let mut agent = on("c1").start();
    agent.wait_lines("c1", 1);
    assert_eq!(agent.reload(&on("c2")), "applied");
    agent.wait_lines("c2", 1);
    agent.wait_log("channel c1 is empty and gone");
    let log = agent.stop();
    let (one, two) = (agent.lines("c1"), agent.lines("c2"));
    let pid = |l: &str| l.rsplit(' ').next().unwrap().to_owned();
    assert_eq!((one.len(), two.len()), (2, 2), "{one:?} {two:?}");
    assert_eq!(one, [format!("first of {}", pid(&one[0])), format!("last of {}", pid(&one[0]))]);
    assert_ne!(pid(&one[0]), pid(&two[0]));
    assert!(!log.contains("not open"), "{log}");
}

#[test]
fn a_batch_that_waits_is_cut_to_limits_that_were_lowered() {
    let conf = |n: usize| {
        let keys = [format!("batchSize = {n}"), format!("transactionCapacity = {n}")];
        Conf::new()
            .source_anywhere("r1", "seq", "c1", &[&keys[0], "totalEvents = 1000"])
            .source("r2", "netcat", "c1", &[])
            .channel("c1", &["capacity = 100", &keys[1]])
            .files_later("k1", "c1", "out", &["sink.batchSize = 20"])
    };
    let mut agent = conf(80).start();
    wait(1, || agent.metric("SOURCE.r1", "ParkedConnectionCount"));
    assert_eq!(agent.reload(&conf(20)), "applied");
    agent.make_folder("out");
    agent.wait_lines("out", 1000);
    wait(true, || agent.connect("r2").ask("here") == "OK\n");
    agent.stop();
}

#[test]
fn a_refused_reload_is_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("port = {}", taken.local_addr().unwrap().port());
    let conf = |keys: &[&str]| {
        Conf::new()
            .source_anywhere("r1", "netcat", "c1", &[&["bind = 127.0.0.1"], keys].concat())
            .channel("c1", CHANNEL)
            .sink("k1", "null", "c1", &[])
    };
    let mut agent = conf(&["port = 0"]).arg("--poll-interval").arg("1").start();
    std::fs::write(agent.folder.path("a1.conf"), conf(&[&port]).text()).unwrap();
    agent.wait_log("reload refused: source r1: cannot listen on");
    drop(taken);
    agent.wait_log("configuration version 2: source r1 changed");
    let log = agent.stop();
    assert_eq!(log.matches("reload refused").count(), 1, "told once: {log}");
}

#[test]
fn who_was_let_in_without_the_tls_that_is_asked_for_now_is_not_kept() {
    let pki = crate::pki::Pki::new("ca");
    let conf = |tls: &[&str]| netcat_to_files(&[], &[]).source("r2", "syslogtcp", "c1", tls).folder("out");
    let agent = conf(&[]).start();
    std::fs::write(agent.folder.path("server.pem"), pki.issue(&["localhost"]).pem()).unwrap();
    let mut plain = agent.connect("r2");
    plain.send("<13>Oct 11 22:14:15 h s before\n");
    wait(1, || agent.metric("SOURCE.r2", "EventAcceptedCount"));
    let keystore = format!("keystore = {}", agent.folder.path("server.pem").display());
    assert_eq!(agent.reload(&conf(&["ssl = true", &keystore])), "applied");
    assert!(plain.is_closed());
    agent.wait_log("its source asks for other TLS now");
    assert_eq!(agent.metric("SOURCE.r2", "EventAcceptedCount"), 1);
}
