//! TLS of the sources, the hops and the metrics: who gets in, what is told of those who do not, and that nobody else is
//! disturbed. Certificates are made by `pki`.

use crate::pki::{Certified, Pki};
use crate::util::{rss, wait, Agent, Client as Lines, Conf, Folder, PATIENCE};
use crate::wire::{batch, Rpc, Wire, OK};
use flumed::codec::avro;
use flumed::codec::thrift::Encoding;
use flumed::tls::{Client, Identity, Lists, Options, StoreFile, Trust};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An authority, and a server's certificate of it, in a folder.
struct Keys {
    folder: Folder,
    pki: Pki,
}

impl Keys {
    fn new() -> Keys {
        let keys = Keys { folder: Folder::new(), pki: Pki::new("ca") };
        keys.file("server.p12", keys.pki.issue(&["127.0.0.1"]).pkcs12("secret"));
        keys.file("ca.pem", keys.pki.certificate());
        keys
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn key(&self, key: &str, file: &str) -> String {
        format!("{key} = {}", self.folder.path(file).display())
    }

    fn server(&self) -> Vec<String> {
        vec![
            "ssl = true".to_owned(),
            self.key("keystore", "server.p12"),
            "keystore-password = secret".to_owned(),
        ]
    }

    fn asking(&self) -> Vec<String> {
        [self.server(), vec!["client-auth = need".to_owned(), self.key("truststore", "ca.pem")]].concat()
    }

    /// A client that trusts the authority, and has this certificate.
    fn client(&self, own: Option<&Certified>) -> Client {
        let store = |path| StoreFile { path, password: String::new() };
        let trust = Trust::Store(store(self.folder.path("ca.pem")));
        let identity = own.map(|c| Identity::Store(store(self.file("client.pem", c.pem()))));
        Client::new("test", Options { identity, trust, ..Options::default() }).unwrap()
    }

    fn rpc(&self, agent: &Agent) -> Rpc {
        rpc(agent.address("r1"), &self.client(None))
    }
}

fn rpc(to: SocketAddr, client: &Client) -> Rpc {
    Rpc::over(Wire::tls(to, client).unwrap(), Encoding::Compact)
}

fn source(kind: &str, keys: &[String], more: &[&str]) -> Conf {
    let host = if kind == "syslogtcp" { "host = 127.0.0.1" } else { "bind = 127.0.0.1" };
    let keys =
        [host, "port = 0"].into_iter().chain(keys.iter().map(String::as_str)).chain(more.iter().copied());
    let keys: Vec<&str> = keys.collect();
    Conf::new().source_anywhere("r1", kind, "c1", &keys).channel("c1", &["transactionCapacity = 100"])
}

fn thrift(keys: &[String], more: &[&str]) -> Conf {
    source("thrift", keys, more).files("k1", "c1", "out")
}

/// TLS 1.0's hello: its version, no extensions.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 1];
    hello.extend([1; 32]);
    hello.extend([0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0]);
    hello
}

/// The first flight of a client.
fn hello(client: &Client) -> Vec<u8> {
    let mut records = Vec::new();
    client.connect("127.0.0.1").unwrap().take_records(&mut records);
    records
}

/// Sends, and reads to the end.
fn send(to: SocketAddr, bytes: &[u8]) {
    let mut wire = Wire::plain(to);
    wire.write(bytes);
    while !wire.is_closed() {}
}

/// Repeats what is told once a second at most, until it is told.
fn told(agent: &Agent, why: &str, mut attempt: impl FnMut()) -> String {
    wait(true, || {
        attempt();
        agent.log().contains(why)
    });
    agent.wait_log(why)
}

#[test]
fn what_comes_over_tls_is_stored() {
    let keys = Keys::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let only = format!("include-protocols = {version}");
        let agent = thrift(&keys.server(), &[&only]).start();
        let mut rpc = keys.rpc(&agent);
        assert_eq!(rpc.ask(&["one", "two"]), OK);
        (0..100).for_each(|i| rpc.send(&[&format!("{i}")]));
        (0..100).for_each(|i| assert_eq!(rpc.answer(), Some((i + 2, OK))));
        assert_eq!(agent.wait_lines("out", 102)[..3], ["one", "two", "0"]);
        // The client has said all it has to say, and gets what is left to be answered.
        (0..20).for_each(|i| rpc.send(&[&format!("last {i}")]));
        rpc.wire.end();
        (0..20).for_each(|i| assert_eq!(rpc.answer(), Some((i + 102, OK))));
        assert_eq!(rpc.answer(), None);
        assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 0);
        assert!(!agent.log().contains(" WARN"), "{}", agent.log());
    }
    let agent = source("syslogtcp", &keys.server(), &[]).files("k1", "c1", "out").start();
    let mut wire = Wire::tls(agent.address("r1"), &keys.client(None)).unwrap();
    wire.write(b"<13>Oct 11 22:14:15 host1 one\n<13>Oct 11 22:14:15 host1 two\n");
    assert_eq!(agent.wait_lines("out", 2), ["one", "two"]);
    wire.end();
    assert!(wire.is_closed());
}

#[test]
fn what_is_no_handshake_is_told_and_others_are_served() {
    let keys = Keys::new();
    for kind in ["thrift", "avro", "syslogtcp"] {
        let agent = source(kind, &keys.server(), &[]).files("k1", "c1", "out").start();
        let to = agent.address("r1");
        let mut other = (kind == "thrift").then(|| keys.rpc(&agent));
        let whole = hello(&keys.client(None));
        let cases = [
            (b"<13>Oct 11 22:14:15 host1 plain text\n".to_vec(), "no TLS: the peer sends plain text"),
            ([1i32, 1, 1].map(i32::to_be_bytes).concat(), "no TLS: the peer sends plain text"),
            (old_hello(), "the peer has no TLS version that is allowed here"),
            ([whole.clone(), vec![0x17, 3, 3, 0, 4, 9, 9, 9, 9]].concat(), "connection from 127.0.0.1"),
        ];
        for (i, (bytes, why)) in cases.iter().enumerate() {
            let before = agent.metric("SOURCE.r1", "EventReadFail");
            let line = told(&agent, why, || send(to, bytes));
            assert!(
                line.contains("source r1: connection from 127.0.0.1:") && line.contains(" WARN"),
                "{line}"
            );
            assert!(agent.metric("SOURCE.r1", "EventReadFail") > before, "{why}");
            if let Some(other) = &mut other {
                assert_eq!(other.ask(&[&format!("{i}")]), OK);
            }
        }
        // One that goes within.
        for part in [&whole[..3], &whole[..whole.len() - 1], &whole] {
            let before = agent.metric("SOURCE.r1", "EventReadFail");
            TcpStream::connect(to).unwrap().write_all(part).unwrap();
            wait(before + 1, || agent.metric("SOURCE.r1", "EventReadFail"));
        }
        told(&agent, "it closed within the TLS handshake", || {
            TcpStream::connect(to).unwrap().write_all(&whole[..50]).unwrap();
        });
        assert_eq!(agent.metric("SOURCE.r1", "EventReceivedCount"), other.map_or(0, |_| cases.len()));
    }
}

#[test]
fn one_that_only_looks_whether_somebody_listens_is_not_told() {
    let keys = Keys::new();
    let mut agent = thrift(&keys.server(), &[]).start();
    for _ in 0..50 {
        drop(TcpStream::connect(agent.address("r1")).unwrap());
        let ended = TcpStream::connect(agent.address("r1")).unwrap();
        ended.shutdown(std::net::Shutdown::Write).unwrap();
        let reset = TcpStream::connect(agent.address("r1")).unwrap();
        socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // A handshake and nothing else is as good.
    Wire::tls(agent.address("r1"), &keys.client(None)).unwrap().end();
    assert_eq!(keys.rpc(&agent).ask(&["one"]), OK);
    wait(0, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 0);
    let log = agent.stop();
    assert!(!log.contains(" WARN") && !log.contains(" ERROR"), "{log}");
}

#[test]
fn who_is_who_is_told_when_it_is_not_believed() {
    let keys = Keys::new();
    let agent = thrift(&keys.asking(), &[]).start();
    let to = agent.address("r1");
    let mut good = rpc(to, &keys.client(Some(&keys.pki.issue(&["c"]))));
    assert_eq!(good.ask(&["before"]), OK);
    let nobody_there = Options {
        trust: Trust::Store(StoreFile {
            path: keys.file("other.pem", Pki::new("other").certificate()),
            password: String::new(),
        }),
        ..Options::default()
    };
    let old = Lists { include_protocols: vec!["TLSv1.2".to_owned()], ..Lists::default() };
    let distrusts = Client::new("test", nobody_there.clone()).unwrap();
    let distrusts_old = Client::new("test", Options { lists: old, ..nobody_there }).unwrap();
    for (client, why) in [
        (keys.client(None), "the client has sent no certificate, and client-auth = need"),
        (
            keys.client(Some(&Certified::self_signed(&["c"]))),
            "nobody who is trusted (truststore) has signed it",
        ),
        (
            keys.client(Some(&keys.pki.issue_expired(&["c"]))),
            "the peer's certificate is not accepted: it has expired",
        ),
        (distrusts, "the peer does not trust our certificate"),
        (distrusts_old, "the peer does not trust our certificate"),
    ] {
        let before = agent.metric("SOURCE.r1", "EventReadFail");
        let line = told(&agent, why, || {
            if let Ok(mut wire) = Wire::tls(to, &client) {
                assert!(wire.is_closed(), "{why}");
            }
        });
        assert!(line.contains("source r1: connection from 127.0.0.1:"), "{line}");
        wait(true, || agent.metric("SOURCE.r1", "EventReadFail") > before);
        assert_eq!(good.ask(&["meanwhile"]), OK);
    }
    assert_eq!(agent.metric("SOURCE.r1", "ConnectionRefusedCount"), 0);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
}

#[test]
fn rules_come_before_the_handshake() {
    let keys = Keys::new();
    let rules = ["ipFilter = true", "ipFilterRules = deny:ip:127.*"];
    let agent = source("avro", &keys.server(), &rules).files("k1", "c1", "out").start();
    assert!(Wire::tls(agent.address("r1"), &keys.client(None)).is_err());
    agent.wait_log("refused by ipFilterRules: deny:ip:127.*");
    assert_eq!(agent.metric("SOURCE.r1", "ConnectionRefusedCount"), 1);
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 0);
}

#[test]
fn a_handshake_that_does_not_go_on_is_ended() {
    let keys = Keys::new();
    let agent = thrift(&keys.server(), &[]).arg("-Dflumed.messageTimeout=1").start();
    let to = agent.address("r1");
    let mut other = keys.rpc(&agent);
    let whole = hello(&keys.client(None));
    for (i, part) in [&whole[..], &whole[..whole.len() / 2], &whole[..1]].iter().enumerate() {
        let mut stalled = Wire::plain(to);
        stalled.write(part);
        while !stalled.is_closed() {}
        let ended = "ended: the TLS handshake did not come to its end within messageTimeout";
        wait(true, || agent.log().matches(ended).count() > i);
        assert_eq!(other.ask(&["goes on"]), OK);
    }
    // One after the other does not keep it alive.
    let mut slow = Wire::plain(to);
    slow.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begun = Instant::now();
    let mut bytes = whole.iter();
    loop {
        match slow.read(&mut [0; 100]) {
            Ok(0) => break,
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&e.kind()) => {}
            Err(_) => break,
            Ok(_) => panic!("it was answered"),
        }
        assert!(begun.elapsed() < PATIENCE, "still open");
        let _ = slow.try_write(&[*bytes.next().unwrap()]);
    }
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
}

#[test]
fn many_handshakes_at_once_do_not_hold_up_a_flow() {
    let keys = Keys::new();
    let agent = thrift(&keys.server(), &[]).start();
    let (to, client) = (agent.address("r1"), keys.client(None));
    let mut flow = rpc(to, &client);
    let mut asked = 0;
    std::thread::scope(|s| {
        let storms: Vec<_> = (0..10)
            .map(|_| {
                s.spawn(|| (0..50).map(|_| rpc(to, &client)).for_each(|mut r| assert_eq!(r.ask(&["s"]), OK)))
            })
            .collect();
        while !storms.iter().all(|s| s.is_finished()) {
            let at = Instant::now();
            assert_eq!(flow.ask(&["f"]), OK);
            assert!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
            asked += 1;
        }
    });
    assert!(asked > 5, "{asked}");
    assert_eq!(agent.wait_lines("out", 500 + asked).len(), 500 + asked);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 0);
}

#[test]
fn a_connection_that_only_shook_hands_costs_little() {
    let keys = Keys::new();
    let agent = thrift(&keys.server(), &[]).start();
    let (to, client) = (agent.address("r1"), keys.client(None));
    assert_eq!(rpc(to, &client).ask(&["before"]), OK);
    let before = rss(&agent);
    let idle: Vec<Wire> = (0..200).map(|_| Wire::tls(to, &client).unwrap()).collect();
    wait(true, || agent.metric("SOURCE.r1", "OpenConnectionCount") >= idle.len());
    assert_eq!(rpc(to, &client).ask(&["beside"]), OK);
    let after = rss(&agent);
    assert!(after < before + 200 * 60, "{before} KiB, then {after}");
}

#[test]
fn large_calls_over_tls_fit_into_a_small_budget() {
    let keys = Keys::new();
    let most = ["maxMessageBytes = 30000000"];
    let conf = source("avro", &keys.server(), &most).files("k1", "c1", "out");
    let agent = conf.arg("-Dflumed.maxInFlightBytes=1048576").start();
    let (to, client) = (agent.address("r1"), keys.client(None));
    let body = "x".repeat(20_000_000);
    let call = |body: &str| {
        let (mut caller, mut call) = (avro::Caller::default(), Vec::new());
        caller.append_batch(batch(&[body]).iter(), &mut call).unwrap();
        (caller, call)
    };
    let answered = |caller: &mut avro::Caller, wire: &mut Wire| {
        let (mut unread, mut piece) = (Vec::new(), [0; 1000]);
        loop {
            let (used, got) = caller.feed(&unread);
            unread.drain(..used);
            if let Some((_, reply)) = got.unwrap() {
                return assert_eq!(reply, OK);
            }
            let n = wire.read(&mut piece).unwrap();
            assert!(n > 0, "closed");
            unread.extend_from_slice(&piece[..n]);
        }
    };
    let before = rss(&agent);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let mut wire = Wire::tls(to, &client).unwrap();
                let (mut caller, call) = call(&body);
                wire.write(&call);
                answered(&mut caller, &mut wire);
            });
        }
        // A short one goes between.
        let mut wire = Wire::tls(to, &client).unwrap();
        let (mut caller, call) = call("short");
        wire.write(&call);
        answered(&mut caller, &mut wire);
    });
    let lines = agent.wait_lines("out", 4);
    assert_eq!(lines.iter().filter(|l| l.len() == body.len()).count(), 3);
    assert_eq!(agent.metric("SOURCE.r1", "EventReadFail"), 0);
    // Three of them at a time in the channel at most, and one being received.
    let after = rss(&agent);
    assert!(after < before + 200_000, "{before} KiB, then {after}");
}

/// Lines in, to a source at this address.
fn first(kind: &str, to: SocketAddr, sink: &[String]) -> Conf {
    let (host, port) = ("hostname = 127.0.0.1".to_owned(), format!("port = {}", to.port()));
    let keys = [&[host, port], sink].concat();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).sink("k1", kind, "c1", &keys)
}

#[test]
fn deflate_and_tls_in_both_orders() {
    let keys = Keys::new();
    let mut to =
        source("avro", &keys.server(), &["compression-type = deflate"]).files("k1", "c1", "out").start();
    for (i, order) in ["1.10", "1.9"].iter().enumerate() {
        let sink = ["ssl = true", "verify-hostname = true", "compression-type = deflate"].map(str::to_owned);
        let order = format!("compression-order = {order}");
        let sink = [&sink[..], &[order, keys.key("truststore", "ca.pem")]].concat();
        let mut from = first("avro", to.address("r1"), &sink).start();
        let mut client = from.connect("r1");
        (0..100).for_each(|i| assert_eq!(client.ask(&format!("line {i}")), "OK\n"));
        assert_eq!(to.wait_lines("out", 100 * (i + 1)).last().unwrap(), "line 99");
        wait(100, || from.metric("SINK.k1", "EventDrainSuccessCount"));
        assert_eq!(from.metric("SINK.k1", "ConnectionCreatedCount"), 1);
        assert!(!from.stop().contains(" WARN"));
    }
    // Neither stays away for what is no TLS.
    let line = told(&to, "connection from 127.0.0.1", || send(to.address("r1"), b"plain text, not deflated"));
    assert!(line.contains(" WARN"), "{line}");
    to.stop();
}

#[test]
fn from_agent_to_agent_with_certificates_on_both_ends() {
    let keys = Keys::new();
    keys.file("own.p12", keys.pki.issue(&["first"]).pkcs12("secret"));
    for kind in ["avro", "thrift"] {
        let mut to = source(kind, &keys.asking(), &[]).files("k1", "c1", "out").start();
        let sink = ["ssl = true", "verify-hostname = true", "keystore-password = secret"].map(str::to_owned);
        let sink = [&sink[..], &[keys.key("keystore", "own.p12"), keys.key("truststore", "ca.pem")]].concat();
        let mut from = first(kind, to.address("r1"), &sink).start();
        let mut client = from.connect("r1");
        (0..100).for_each(|i| assert_eq!(client.ask(&format!("größe {i} ☃")), "OK\n"));
        let lines: Vec<String> = (0..100).map(|i| format!("größe {i} ☃")).collect();
        assert_eq!(to.wait_lines("out", 100), lines);
        wait(100, || from.metric("SINK.k1", "EventDrainSuccessCount"));
        assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
        assert!(!from.stop().contains(" WARN") && !to.stop().contains(" WARN"));
        // Without the certificate both ends say why.
        let to = source(kind, &keys.asking(), &[]).files("k1", "c1", "out").start();
        let sink =
            ["ssl = true".to_owned(), "verify-hostname = true".to_owned(), keys.key("truststore", "ca.pem")];
        let from = first(kind, to.address("r1"), &sink).start();
        assert_eq!(from.connect("r1").ask("one"), "OK\n");
        let line = from.wait_log("the peer wants a certificate of ours, and there is none");
        assert!(line.contains("sink k1") && line.contains("127.0.0.1:"), "{line}");
        to.wait_log("the client has sent no certificate, and client-auth = need");
        assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
    }
}

#[test]
fn one_end_with_tls_and_one_without_say_so() {
    let keys = Keys::new();
    for kind in ["avro", "thrift"] {
        // Plain text to TLS.
        let to = source(kind, &keys.server(), &[]).files("k1", "c1", "out").start();
        let from = first(kind, to.address("r1"), &[]).start();
        assert_eq!(from.connect("r1").ask("one"), "OK\n");
        to.wait_log("no TLS: the peer sends plain text");
        let line = from.wait_log("ssl is to be true on both ends or on none");
        assert!(line.contains("sink k1: ") && line.contains("127.0.0.1:"), "{line}");
        assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
        // TLS to plain text.
        let to = source(kind, &[], &[]).files("k1", "c1", "out").start();
        let sink =
            ["ssl = true".to_owned(), "verify-hostname = true".to_owned(), keys.key("truststore", "ca.pem")];
        let from = first(kind, to.address("r1"), &sink).start();
        assert_eq!(from.connect("r1").ask("one"), "OK\n");
        let line = to.wait_log("connection from 127.0.0.1");
        assert!(line.contains("it looks like TLS"), "{line}");
        from.wait_log("no TLS with 127.0.0.1");
        assert_eq!(from.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
    }
}

#[test]
fn certificates_are_read_again_and_what_is_of_no_use_changes_nothing() {
    let keys = Keys::new();
    let mut agent = thrift(&keys.server(), &[]).start();
    let to = agent.address("r1");
    let client = keys.client(None);
    let mut open = rpc(to, &client);
    assert_eq!(open.ask(&["before"]), OK);
    // Broken: the old one stays.
    keys.file("server.p12", "half");
    agent.signal("HUP");
    let line = agent.wait_log("certificates cannot be read again, those read before stay");
    assert!(line.contains("source r1") && line.contains(" ERROR") && line.contains("server.p12"), "{line}");
    assert_eq!(rpc(to, &client).ask(&["the old one"]), OK);
    // Another authority's.
    let other = Pki::new("other");
    keys.file("server.p12", other.issue(&["127.0.0.1"]).pkcs12("secret"));
    agent.signal("HUP");
    agent.wait_log("source r1: certificates read again, for connections from now on");
    assert!(Wire::tls(to, &client).is_err());
    keys.file("ca.pem", other.certificate());
    assert_eq!(rpc(to, &keys.client(None)).ask(&["the new one"]), OK);
    assert_eq!(open.ask(&["goes on"]), OK);
    assert_eq!(agent.wait_lines("out", 4), ["before", "the old one", "the new one", "goes on"]);
    agent.stop();
}

#[test]
fn a_stop_does_not_wait_for_handshakes() {
    let keys = Keys::new();
    let mut agent = thrift(&keys.server(), &[]).lines("a1.flumed.shutdownTimeout = 20\n").start();
    let (to, client) = (agent.address("r1"), keys.client(None));
    let whole = hello(&client);
    let stalled: Vec<TcpStream> = (0..60)
        .map(|i| {
            let mut socket = TcpStream::connect(to).unwrap();
            socket.write_all(&whole[..[0, 50, whole.len()][i % 3]]).unwrap();
            socket
        })
        .collect();
    assert_eq!(rpc(to, &client).ask(&["one"]), OK);
    wait(true, || agent.metric("SOURCE.r1", "OpenConnectionCount") >= stalled.len());
    let begun = Instant::now();
    let log = agent.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}: {log}", begun.elapsed());
    assert_eq!(agent.lines("out"), ["one"]);
}

#[test]
fn metrics_over_tls() {
    let keys = Keys::new();
    let arg = |key: &str| format!("-Dflume.monitoring.{}", key.replace(" = ", "="));
    let conf = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).files("k1", "c1", "out");
    let agent = keys.server().iter().fold(conf, |conf, key| conf.arg(&arg(key))).start();
    let line = agent.wait_log("monitor metrics started, listening on ");
    let to: SocketAddr = line.rsplit(' ').next().unwrap().parse().unwrap();
    let client = keys.client(None);
    for (path, holds) in [("/metrics", "\"SOURCE.r1\""), ("/healthz", "200 OK")] {
        let mut wire = Wire::tls(to, &client).unwrap();
        wire.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = wire.read(&mut piece) {
            text.extend_from_slice(&piece[..n]);
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains(holds), "{text}");
    }
    let mut plain = Lines::new(to);
    plain.send("GET /metrics HTTP/1.1\r\n\r\n");
    let mut answer = Vec::new();
    let _ = plain.socket.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&0x15), "an alert");
    // The same by keys of the agent.
    let lines = keys.server().iter().map(|k| format!("a1.flumed.monitoring.{k}\n")).collect::<String>();
    let conf = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).files("k1", "c1", "out");
    let agent = conf.lines(&lines).start();
    let line = agent.wait_log("monitor metrics started, listening on ");
    assert!(Wire::tls(line.rsplit(' ').next().unwrap().parse().unwrap(), &client).is_ok());
}

#[test]
fn tls_to_lines_without_it_is_told() {
    let keys = Keys::new();
    for kind in ["syslogtcp", "netcat"] {
        let agent = source(kind, &[], &[]).files("k1", "c1", "out").start();
        let client = keys.client(None);
        let line = told(&agent, "it looks like TLS", || {
            assert!(Wire::tls(agent.address("r1"), &client).is_err());
        });
        assert!(line.contains("connection from 127.0.0.1"), "{line}");
        assert!(agent.metric("SOURCE.r1", "EventReadFail") > 0);
        assert_eq!(agent.metric("SOURCE.r1", "EventReceivedCount"), 0);
    }
}

#[test]
fn a_reload_keeps_the_connections_that_the_new_keys_would_let_in() {
    let keys = Keys::new();
    let agent = thrift(&[], &[]).start();
    let mut plain = Rpc::new(agent.address("r1"));
    assert_eq!(plain.ask(&["plain"]), OK);
    assert_eq!(agent.reload(&thrift(&keys.server(), &[])), "applied");
    let to = agent.address("r1");
    assert_eq!(plain.answer(), None, "a source with TLS has no plain connections");
    let mut mine = rpc(to, &keys.client(None));
    let call = mine.call(&["across"]);
    mine.wire.write(&call[..20]);
    assert_eq!(agent.reload(&thrift(&keys.server(), &["maxMessageBytes = 100000"])), "applied");
    mine.wire.write(&call[20..]);
    assert_eq!(mine.answer(), Some((1, OK)));
    // Another certificate, and clients are asked for theirs.
    let other = Keys::new();
    assert_eq!(agent.reload(&thrift(&other.asking(), &[])), "applied");
    assert_eq!(mine.answer(), None);
    agent.wait_log("its source asks for other TLS now");
    assert!(Wire::tls(to, &keys.client(None)).is_err());
    let certified = other.client(Some(&other.pki.issue(&["c"])));
    let mut new = rpc(to, &certified);
    assert_eq!(new.ask(&["new"]), OK);
    // What cannot be read changes nothing.
    assert_eq!(
        agent.reload(&thrift(&["ssl = true".to_owned(), other.key("keystore", "none")], &[])),
        "refused"
    );
    assert_eq!([rpc(to, &certified).ask(&["newer"]), new.ask(&["and on"])], [OK, OK]);
    let lines = ["plain", "across", "new", "newer", "and on"];
    assert_eq!(agent.wait_lines("out", lines.len()), lines);
}

#[test]
fn half_a_record_is_ended_as_half_a_message_is() {
    let keys = Keys::new();
    let agent = thrift(&keys.server(), &[]).arg("-Dflumed.messageTimeout=1").start();
    let mut other = keys.rpc(&agent);
    let mut half = Wire::tls(agent.address("r1"), &keys.client(None)).unwrap();
    let record = half.record(&[0; 16_000]);
    half.socket.write_all(&record[..10_000]).unwrap();
    while !half.is_closed() {}
    agent.wait_log("a message did not come to its end within messageTimeout");
    assert_eq!(other.ask(&["goes on"]), OK);
    // What is complete, or small, may stay.
    let mut small = Wire::tls(agent.address("r1"), &keys.client(None)).unwrap();
    let record = small.record(&[0; 2000]);
    small.socket.write_all(&record[..1000]).unwrap();
    wait(true, || {
        assert_eq!(other.ask(&["goes on"]), OK);
        agent.log().matches("messageTimeout").count() == 1
            && agent.metric("SOURCE.r1", "EventReceivedCount") > 100
    });
    assert_eq!(agent.metric("SOURCE.r1", "OpenConnectionCount"), 2);
}
