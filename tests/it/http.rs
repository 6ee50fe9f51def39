//! The http source as its clients meet it: statuses, framing, patience, and what one client's misbehaviour costs others.

use crate::pki::Pki;
use crate::util::{rss, wait, Agent, Conf, Folder, PATIENCE};
use crate::wire::Wire;
use flate2::write::GzEncoder;
use flumed::tls::{Client as TlsClient, Options, StoreFile, Trust};
use nix::sys::resource::{getrlimit, setrlimit, Resource::RLIMIT_NOFILE};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// A client: sends bytes as they are, reads answers one by one.
struct Http {
    wire: Wire,
    unread: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Http {
    fn new(agent: &Agent) -> Http {
        Http::over(Wire::plain(agent.address("r1")))
    }

    fn over(wire: Wire) -> Http {
        Http { wire, unread: Vec::new() }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write(bytes.as_ref());
    }

    /// The next answer; `None`: the agent has closed. `is_head`: it has no body.
    fn next(&mut self, is_head: bool) -> Option<Answer> {
        loop {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let lines = head.lines().filter_map(|l| l.split_once(": "));
                let length = lines
                    .clone()
                    .find(|(k, _)| *k == "Content-Length")
                    .map_or(0, |(_, v)| v.parse().unwrap());
                let length: usize = if is_head { 0 } else { length };
                if rest.len() >= length {
                    self.unread.drain(..head.len() + 4 + length);
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return Some(Answer { status, head: head.to_owned(), body: rest[..length].to_owned() });
                }
            }
            let mut piece = [0; 4096];
            match self.wire.read(&mut piece) {
                Ok(0) => {
                    assert!(self.unread.is_empty(), "half an answer");
                    return None;
                }
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                n => self.unread.extend_from_slice(&piece[..n.unwrap()]),
            }
        }
    }

    fn answer(&mut self) -> Answer {
        self.next(false).expect("an answer")
    }

    fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes);
        self.answer()
    }

    fn is_closed(&mut self) -> bool {
        self.next(false).is_none()
    }
}

fn source(keys: &[&str]) -> Conf {
    Conf::new().source_anywhere("r1", "http", "c1", &[&["bind = 127.0.0.1", "port = 0"], keys].concat())
}

fn http(keys: &[&str]) -> Conf {
    source(keys).channel("c1", &["transactionCapacity = 100"]).files("k1", "c1", "out")
}

fn request(line: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    [format!("{line} HTTP/1.1\r\nHost: a\r\n{length}{more}\r\n").as_bytes(), body].concat()
}

fn events(bodies: &[&str]) -> Vec<u8> {
    let all: Vec<String> = bodies.iter().map(|b| format!("{{\"body\":\"{b}\"}}")).collect();
    format!("[{}]", all.join(",")).into_bytes()
}

fn post(bodies: &[&str]) -> Vec<u8> {
    request("POST /", "Content-Type: application/json\r\n", &events(bodies))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut z = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    z.write_all(text).unwrap();
    z.finish().unwrap()
}

#[test]
fn every_status_of_the_table() {
    let agent = http(&["maxRequestBytes = 10000", "maxHeaderBytes = 1000"]).start();
    let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(1000);
    let one = events(&["one"]);
    let bomb = gzip(&vec![b' '; 1 << 20]);
    // Status, what its reason has, whether the connection goes on, the request.
    let table: Vec<(u16, &str, bool, Vec<u8>)> = vec![
        (200, "", true, request("POST /any/path?a=b", "", &one)),
        (200, "", true, request("GET /", "", &one)),
        (200, "", true, request("POST /", "", b"[]")),
        (200, "", true, request("POST /", "Content-Encoding: gzip\r\n", &gzip(&one))),
        (400, "JSON", true, request("POST /", "", b"[{")),
        (400, "JSON", true, request("GET /", "", b"")),
        (400, "no Host", false, b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]".to_vec()),
        (400, "two Content-Length", false, request("POST /", "Content-Length: 0\r\n", &one)),
        (400, "beside Transfer-Encoding", false, request("POST /", "Transfer-Encoding: chunked\r\n", &one)),
        (400, "gzip", false, request("POST /", "Content-Encoding: gzip\r\n", &one)),
        (403, "", true, request("OPTIONS *", "", b"")),
        (403, "", true, request("TRACE /", "", b"")),
        (405, "posted", true, request("DELETE /", "", b"")),
        (405, "posted", false, request("PUT /", "", &one)),
        (413, "100", true, post(&many)),
        (413, "maxRequestBytes", false, request("POST /", "", &vec![b' '; 10_001])),
        (413, "maxRequestBytes", false, request("POST /", "Content-Encoding: gzip\r\n", &bomb)),
        (
            413,
            "10737418240",
            false,
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10737418240\r\n\r\n[".to_vec(),
        ),
        (414, "1000", false, request(&format!("GET /{long}"), "", b"")),
        (415, "charset", true, request("POST /", "Content-Type: text/plain; charset=x\r\n", &one)),
        (415, "gzip", false, request("POST /", "Content-Encoding: br\r\n", &one)),
        (417, "100-continue", false, request("POST /", "Expect: 200-ok\r\n", &one)),
        (431, "1000", false, request("POST /", &format!("X: {long}\r\n"), &one)),
        (
            501,
            "transfer coding",
            false,
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_vec(),
        ),
        (505, "HTTP/2", false, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ];
    for (status, why, goes_on, bytes) in &table {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(150)]).into_owned();
        let mut client = Http::new(&agent);
        let answer = client.ask(bytes);
        assert_eq!((answer.status, answer.body.contains(why)), (*status, true), "{shown}: {answer:?}");
        assert_eq!(answer.head.contains("\r\nConnection: close"), !goes_on, "{shown}: {answer:?}");
        assert!(answer.head.contains("\r\nDate: "), "{answer:?}");
        match goes_on {
            true => assert_eq!(client.ask(post(&["next"])).status, 200, "{shown}"),
            false => assert!(client.is_closed(), "{shown}"),
        }
    }
    let answer = Http::new(&agent).ask(request("PUT /", "Accept: application/json\r\n", b""));
    assert!(
        answer.head.contains("\r\nAllow: GET, HEAD, POST") && answer.body.starts_with("{\"error\":"),
        "{answer:?}"
    );
    let mut head = Http::new(&agent);
    head.send(request("HEAD /", "", b"x"));
    let answer = head.next(true).unwrap();
    assert!(answer.status == 400 && !answer.head.contains("Content-Length: 0"), "{answer:?}");
    assert_eq!(head.ask(post(&["next"])).status, 200);
    let stored = 3 + table.iter().filter(|(_, _, goes_on, _)| *goes_on).count() + 1;
    let mut lines = agent.wait_lines("out", stored);
    lines.retain(|l| l != "next");
    assert_eq!(lines, ["one"; 3]);
    let metric = |key| agent.metric("SOURCE.r1", key);
    assert_eq!(metric("EventAcceptedCount"), stored);
    // With the one that has no events.
    assert_eq!(metric("AppendBatchAcceptedCount"), stored + 1);
    assert_eq!(metric("ChannelWriteFail"), 1, "what no channel takes");
    let faults = table.iter().filter(|(s, why, ..)| match s {
        400 | 413 | 414 | 431 | 501 | 505 => *why != "100",
        415 => *why == "charset",
        _ => false,
    });
    assert_eq!(metric("EventReadFail"), faults.count() + 1);
}

#[test]
fn pipelined_requests_of_every_form_are_answered_in_their_order() {
    let agent = http(&[]).start();
    let mut client = Http::new(&agent);
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        8;x=y\r\n[{\"body\"\r\n9\r\n:\"chunks\"\r\n2\r\n}]\r\n0\r\nTrailer: t\r\n\r\n";
    let waits = |n: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {n}\r\n\r\n")
    };
    let large = events(&[&"y".repeat(200_000)]);
    // More than is inflated in a turn, and than is decoded on the loop.
    let inflates = events(&[&"z".repeat(100_000)[..]; 30]);
    let last = events(&["last"]);
    client.send(
        [
            &post(&["first", "second"])[..],
            chunked,
            &request("DELETE /", "", b""),
            &request("POST /", "Content-Encoding: gzip\r\n", &gzip(&events(&["zipped"]))),
            &request("POST /", "", &large),
            &request("POST /", "Content-Encoding: gzip\r\n", &gzip(&inflates)),
            waits(last.len()).as_bytes(),
        ]
        .concat(),
    );
    let statuses: Vec<u16> = (0..7).map(|_| client.answer().status).collect();
    assert_eq!(statuses, [200, 200, 405, 200, 200, 200, 100]);
    client.send(&last);
    assert_eq!(client.answer().status, 200);
    // What is refused is said at once, and not that the body may come.
    let answer = client.ask(waits(10 << 30));
    assert_eq!(answer.status, 413);
    assert!(client.is_closed());
    let lines = agent.wait_lines("out", 36);
    assert_eq!(lines[..4], ["first", "second", "chunks", "zipped"]);
    assert!(lines[4].len() == 200_000 && lines[5..35].iter().all(|l| l.len() == 100_000));
    assert_eq!(lines[35], "last");

    let mut old = Http::new(&agent);
    let answer = old.ask(b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n[]");
    assert!(answer.status == 200 && answer.head.contains("\r\nConnection: keep-alive"), "{answer:?}");
    let answer = old.ask(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n[]");
    assert!(answer.status == 200 && answer.head.contains("\r\nConnection: close"), "{answer:?}");
    assert!(old.is_closed());
}

#[test]
fn nothing_is_served_behind_what_could_be_read_in_two_ways() {
    let agent = http(&[]).start();
    for head in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 0,4\r\n",
        "X: y\r\n Content-Length: 4\r\n",
        "X: y\nContent-Length: 4\r\n",
    ] {
        let mut client = Http::new(&agent);
        let bytes =
            [format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n0\r\n\r\n").as_bytes(), &post(&["smuggled"])]
                .concat();
        let answer = client.ask(bytes);
        assert!([400, 501].contains(&answer.status), "{head}: {answer:?}");
        assert!(client.is_closed(), "{head}");
    }
    assert_eq!(Http::new(&agent).ask(post(&["fair"])).status, 200);
    assert_eq!(agent.wait_lines("out", 1), ["fair"]);
}

#[test]
fn a_full_channel_says_when_to_try_again_and_a_free_one_takes_it() {
    let agent = source(&[])
        .channel("c1", &["capacity = 2", "transactionCapacity = 2", "keep-alive = 0"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 2"])
        .start();
    let mut client = Http::new(&agent);
    // The sink holds none: its folder is not there.
    assert_eq!(client.ask(post(&["a", "b"])).status, 200);
    let answer = client.ask(post(&["c"]));
    assert!(answer.status == 503 && answer.head.contains("\r\nRetry-After: "), "{answer:?}");
    assert_eq!(answer.body, "channel c1 is full\n");
    assert_eq!(client.ask(post(&["c", "d", "e"])).status, 413);
    assert_eq!(agent.metric("SOURCE.r1", "ChannelWriteFail"), 2);
    agent.make_folder("out");
    wait(200, || client.ask(post(&["c"])).status);
    assert_eq!(agent.wait_lines("out", 3), ["a", "b", "c"]);
}

#[test]
fn a_crowd_of_slow_clients_costs_little_and_ends_and_others_are_served() {
    let (_, hard) = getrlimit(RLIMIT_NOFILE).unwrap();
    setrlimit(RLIMIT_NOFILE, hard, hard).unwrap();
    let n = hard.saturating_sub(400).clamp(100, 2000) as usize;
    let agent = http(&[]).arg("-Dflumed.messageTimeout=4").start();
    let mut good = Http::new(&agent);
    assert_eq!(good.ask(post(&["before"])).status, 200);
    let before = rss(&agent);
    let beginnings: [&[u8]; 3] = [
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n[",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[",
    ];
    let to: SocketAddr = agent.address("r1");
    let mut slow: Vec<Http> = (0..n)
        .map(|i| {
            let mut client = Http::over(Wire::plain(to));
            client.send(beginnings[i % 3]);
            client
        })
        .collect();
    for (i, client) in slow.iter_mut().enumerate() {
        // Drops do not win them time.
        let _ = client.wire.try_write(b"1");
        if i % 10 == 0 {
            assert_eq!(good.ask(post(&["beside"])).status, 200);
        }
    }
    let grown = rss(&agent) - before;
    assert!(grown < 16 << 10, "{grown} KiB for {n} connections");
    for client in &mut slow {
        let answer = client.answer();
        assert!(answer.status == 408 && answer.head.contains("\r\nConnection: close"), "{answer:?}");
    }
    agent.wait_log("a message did not come to its end within messageTimeout");
    assert_eq!(good.ask(post(&["after"])).status, 200, "who is idle is not slow");
    wait(n, || agent.metric("SOURCE.r1", "EventReadFail"));
    drop(slow);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
}

/// Halves of requests may fill what there is for messages; who sends small ones is served all the same, also on a new
/// connection.
#[test]
fn a_crowd_that_fills_the_budget_leaves_small_requests_alone() {
    let agent = http(&[]).arg("-Dflumed.maxInFlightBytes=4194304").start();
    let to: SocketAddr = agent.address("r1");
    let mut good = Http::new(&agent);
    assert_eq!(good.ask(post(&["before"])).status, 200);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(7000));
    let body =
        [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n[", &[b' '; 30_000][..]].concat();
    let halves: [&[u8]; 2] = [head.as_bytes(), &body];
    let crowd: Vec<Http> = (0..300)
        .map(|i| {
            let mut client = Http::over(Wire::plain(to));
            client.send(halves[i % 2]);
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(good.ask(post(&["beside"])).status, 200);
        assert_eq!(Http::new(&agent).ask(post(&["anew"])).status, 200);
    }
    drop(crowd);
    wait(1, || agent.metric("SOURCE.r1", "OpenConnectionCount"));
    assert_eq!(good.ask(post(&["after"])).status, 200);
}

/// Large bodies are read as far as the budget goes, though each connection could bring a little more.
#[test]
fn halves_of_large_bodies_take_no_more_than_the_budget() {
    let agent = http(&[]).arg("-Dflumed.maxInFlightBytes=4194304").start();
    let to: SocketAddr = agent.address("r1");
    let mut good = Http::new(&agent);
    assert_eq!(good.ask(post(&["before"])).status, 200);
    let before = rss(&agent);
    let piece = [b' '; 4 << 10];
    let crowd: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut client = TcpStream::connect(to).unwrap();
            client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n[").unwrap();
            client.set_nonblocking(true).unwrap();
            client
        })
        .collect();
    for _ in 0..80 {
        for mut client in &crowd {
            // What its socket has no room for is not sent.
            let _ = client.write(&piece);
        }
        assert_eq!(good.ask(post(&["beside"])).status, 200);
    }
    let grown = rss(&agent) - before;
    assert!(grown < 24 << 10, "{grown} KiB");
}

#[test]
fn a_stop_tells_whose_request_it_cuts_off() {
    let mut agent = http(&[]).start();
    let mut half = Http::new(&agent);
    half.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n[");
    let mut idle = Http::new(&agent);
    assert_eq!(idle.ask(post(&["x"])).status, 200);
    agent.signal("TERM");
    let answer = half.answer();
    assert!(answer.status == 503 && answer.head.contains("\r\nRetry-After: "), "{answer:?}");
    assert!(half.is_closed() && idle.is_closed());
    let (code, log) = agent.wait_exit(std::time::Duration::from_secs(20));
    assert_eq!(code, Some(0));
    assert!(log.contains("its source stops"), "{log}");
}

#[test]
fn strangers_are_told_and_counted() {
    let agent = http(&[]).start();
    let mut tls = Http::new(&agent);
    tls.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(tls.answer().status, 400);
    assert!(tls.is_closed());
    agent.wait_log("it looks like TLS, which this port does not speak");
    let mut cut = Http::new(&agent);
    cut.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n[");
    cut.wire.end();
    assert!(cut.is_closed());
    wait(2, || agent.metric("SOURCE.r1", "EventReadFail"));
}

#[test]
fn tls_by_the_keys_of_today_and_of_old() {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    std::fs::write(folder.path("server.p12"), pki.issue(&["127.0.0.1"]).pkcs12("secret")).unwrap();
    std::fs::write(folder.path("ca.pem"), pki.certificate()).unwrap();
    let keystore = format!("keystore = {}", folder.path("server.p12").display());
    for keys in [
        ["ssl = true", &keystore, "keystore-password = secret", "exclude-protocols = SSLv3"],
        ["enableSSL = true", &keystore, "keystorePassword = secret", "excludeProtocols = SSLv3"],
    ] {
        let agent = http(&keys).start();
        let trust = Trust::Store(StoreFile { path: folder.path("ca.pem"), password: String::new() });
        let client = TlsClient::new("test", Options { trust, ..Options::default() }).unwrap();
        let mut http = Http::over(Wire::tls(agent.address("r1"), &client).unwrap());
        for _ in 0..3 {
            assert_eq!(http.ask(post(&["safe"])).status, 200);
        }
        assert_eq!(agent.wait_lines("out", 3), ["safe"; 3]);
        let mut slow = Http::over(Wire::tls(agent.address("r1"), &client).unwrap());
        assert_eq!(slow.ask(request("PUT /", "", b"x")).status, 405);
        assert!(slow.is_closed());
    }
}

#[test]
fn a_reload_keeps_connections_and_what_has_begun_comes_to_its_end() {
    let conf = |keys: &[&str]| source(keys).channel("c1", &[]).files_later("k1", "c1", "out", &[]);
    let agent = conf(&["maxRequestBytes = 100"]).folder("out").start();
    let (mut idle, mut busy) = (Http::new(&agent), Http::new(&agent));
    let long = request("POST /", "", &[b' '; 101]);
    assert_eq!(idle.ask(post(&["one"])).status, 200);
    let body = events(&["two"]);
    busy.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(busy.answer().status, 100);
    assert_eq!(agent.reload(&conf(&["maxRequestBytes = 200"])), "applied");
    assert_eq!(busy.ask(&body).status, 200);
    for client in [&mut idle, &mut busy] {
        let answer = client.ask(&long);
        assert_eq!(
            (answer.status, answer.body.contains("JSON")),
            (400, true),
            "by the new limit: {answer:?}"
        );
        assert_eq!(client.ask(post(&["three"])).status, 200);
    }
    assert_eq!(agent.wait_lines("out", 4), ["one", "two", "three", "three"]);
}

#[test]
fn an_idle_time_of_its_own_and_other_beans_of_jetty() {
    let agent = http(&["ServerConnector.idleTimeout = 300", "QueuedThreadPool.maxThreads = 9"]).start();
    let mut client = Http::new(&agent);
    assert_eq!(client.ask(post(&["one"])).status, 200);
    client.wire.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(client.is_closed());
    agent.wait_log("nothing happened on it for idleTimeout");
}
