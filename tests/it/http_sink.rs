//! The http sink on the real binary, against a server of our own that answers as each test says.

use crate::pki::Pki;
use crate::util::{wait, Agent, Conf, Folder};
use flate2::read::GzDecoder;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came: its head in small letters, its body, and the number of its connection.
#[derive(Clone)]
struct Request {
    head: String,
    body: Vec<u8>,
    connection: usize,
}

/// What to do with a request.
enum Reply {
    Say(String),
    /// The answer, and the end of the connection, unannounced.
    SayAndEnd(String),
    /// Nothing, ever.
    Nothing,
}

fn status(code: u16) -> Reply {
    Reply::Say(format!("HTTP/1.1 {code} Said So\r\nContent-Length: 4\r\n\r\nwhy\n"))
}

type Answer = Arc<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

/// Answers the n-th request by `answer`; stops with the process.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (all, answer): (_, Answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for (connection, socket) in listener.incoming().enumerate() {
                let (all, answer) = (all.clone(), answer.clone());
                std::thread::spawn(move || serve(socket.unwrap(), connection, &all, &*answer));
            }
        });
        Server { address, seen }
    }

    fn endpoint(&self) -> String {
        format!("endpoint = http://{}/in", self.address)
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<String> {
        self.seen().iter().map(|r| String::from_utf8_lossy(&r.body).into_owned()).collect()
    }

    fn wait_requests(&self, n: usize) {
        wait(true, || self.seen.lock().unwrap().len() >= n);
    }
}

fn serve(
    socket: TcpStream,
    connection: usize,
    all: &Mutex<Vec<Request>>,
    answer: &dyn Fn(usize, &Request) -> Reply,
) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut writer = socket;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let head = head.to_lowercase();
        let length =
            head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = Request { head, body, connection };
        let n = {
            let mut all = all.lock().unwrap();
            all.push(request.clone());
            all.len() - 1
        };
        match answer(n, &request) {
            Reply::Say(text) => writer.write_all(text.as_bytes()).unwrap(),
            Reply::SayAndEnd(text) => return writer.write_all(text.as_bytes()).unwrap(),
            Reply::Nothing => {
                let _ = reader.read(&mut [0; 1]);
                return;
            }
        }
    }
}

fn conf(keys: &[&str]) -> Conf {
    Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).sink("k1", "http", "c1", keys)
}

fn send(agent: &Agent, lines: &[&str]) {
    let mut client = agent.connect("r1");
    lines.iter().for_each(|line| assert_eq!(client.ask(line), "OK\n"));
}

#[test]
fn events_are_posted_over_one_connection() {
    let server = Server::new(|_, _| status(200));
    let agent =
        conf(&[&server.endpoint(), "contentTypeHeader = text/x-log", "username = u", "password = p"]).start();
    send(&agent, &["one", "", "größe"]);
    server.wait_requests(3);
    assert_eq!(server.bodies(), ["one", "", "größe"]);
    let seen = server.seen();
    assert!(seen.iter().all(|r| r.connection == 0));
    for part in
        ["post /in http/1.1", "content-type: text/x-log", "accept: text/plain", "authorization: basic dtpw"]
    {
        assert!(seen[0].head.contains(part), "{part}: {}", seen[0].head);
    }
    wait(3, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(agent.metric("SINK.k1", "ConnectionCreatedCount"), 1);
}

#[test]
fn an_answer_without_a_body_keeps_the_connection() {
    let server = Server::new(|_, _| Reply::Say("HTTP/1.1 204 No Content\r\n\r\n".into()));
    let agent = conf(&[&server.endpoint()]).start();
    send(&agent, &["one", "two", "three"]);
    wait(3, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(agent.metric("SINK.k1", "ConnectionCreatedCount"), 1);
}

#[test]
fn what_is_refused_comes_again_and_what_was_delivered_does_not() {
    // The second event of a batch is refused twice, by an error and by one that asks to wait.
    let server = Server::new(|n, r| match (n, r.body.as_slice()) {
        (0, _) => status(500),
        (2, b"two") => status(429),
        (3, b"two") => Reply::Say("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".into()),
        _ => status(204),
    });
    let agent = conf(&[&server.endpoint()]).start();
    send(&agent, &["one"]);
    server.wait_requests(1);
    send(&agent, &["two", "three"]);
    wait(3, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(server.bodies(), ["one", "one", "two", "two", "two", "three"]);
    assert!(agent.log().contains("answers 500 Internal Server Error: why"), "{}", agent.log());
    assert!(agent.log().contains("it asks for 1 s"));
    assert_eq!(agent.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
}

#[test]
fn json_batches_are_split_where_they_are_too_large_and_may_be_compressed() {
    let server = Server::new(|_, r| {
        let mut plain = String::new();
        GzDecoder::new(&r.body[..]).read_to_string(&mut plain).unwrap();
        status(if plain.matches("body").count() > 3 { 413 } else { 200 })
    });
    let agent = conf(&[&server.endpoint(), "batchFormat = json", "compression = gzip"]).start();
    let lines: Vec<String> = (0..40).map(|i| format!("line {i}")).collect();
    send(&agent, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    wait(40, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    let mut got = Vec::new();
    for r in server.seen() {
        assert!(
            r.head.contains("content-encoding: gzip") && r.head.contains("content-type: application/json")
        );
        let events: serde_json::Value = serde_json::from_reader(GzDecoder::new(&r.body[..])).unwrap();
        let events = events.as_array().unwrap();
        if events.len() <= 3 {
            got.extend(events.iter().map(|e| e["body"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(got, lines);
    // What was too large once is not for ever.
    let (before, small) = (server.seen().len(), ["a", "b", "c", "d", "e", "f"]);
    send(&agent, &small);
    wait(46, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert!(server.seen().len() - before <= small.len());
}

#[test]
fn ndjson_is_an_object_a_line() {
    let server = Server::new(|_, _| status(200));
    let keys = [&server.endpoint()[..], "batchFormat = ndjson"];
    let agent = conf(&keys).start();
    send(&agent, &["a", "b"]);
    wait(2, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    let all = server.bodies().concat();
    assert_eq!(all, "{\"headers\":{},\"body\":\"a\"}\n{\"headers\":{},\"body\":\"b\"}\n");
}

#[test]
fn a_connection_that_ended_meanwhile_is_no_failure() {
    let server = Server::new(|_, _| Reply::SayAndEnd("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()));
    let agent = conf(&[&server.endpoint()]).start();
    for (i, line) in ["a", "b", "c"].into_iter().enumerate() {
        send(&agent, &[line]);
        wait(i + 1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    }
    assert_eq!(server.bodies(), ["a", "b", "c"]);
    assert_eq!(agent.metric("SINK.k1", "EventWriteFail"), 0);
    assert_eq!(agent.metric("SINK.k1", "ConnectionCreatedCount"), 3);
}

#[test]
fn no_answer_in_time_is_counted_as_perhaps_repeated() {
    let server = Server::new(|n, _| if n == 0 { Reply::Nothing } else { status(200) });
    let agent = conf(&[&server.endpoint(), "requestTimeout = 300"]).start();
    send(&agent, &["once or twice"]);
    wait(1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(server.bodies(), ["once or twice", "once or twice"]);
    assert_eq!(agent.metric("SINK.k1", "EventPossiblyRepeatedCount"), 1);
    assert!(agent.log().contains("has not answered in time"), "{}", agent.log());
}

#[test]
fn answers_that_make_no_sense_are_failures() {
    let nonsense =
        ["HTTP/9.9 huh\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"];
    let server = Server::new(move |n, _| match nonsense.get(n) {
        Some(text) => Reply::SayAndEnd((*text).to_owned()),
        None if n == 3 => Reply::Say(
            "HTTP/1.1 302 Found\r\nLocation: http://else.where/\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        None => status(200),
    });
    let agent = conf(&[&server.endpoint()]).start();
    send(&agent, &["x"]);
    wait(1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(server.bodies(), ["x"; 5]);
    assert!(agent.log().contains("to http://else.where/"), "{}", agent.log());
}

#[test]
fn the_rules_of_the_configuration_go_first() {
    let server = Server::new(|n, _| status(if n == 0 { 200 } else { 404 }));
    let keys = [&server.endpoint()[..], "rollback.200 = true", "rollback.4XX = false"];
    let agent = conf(&keys).start();
    send(&agent, &["x"]);
    wait(1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert_eq!(server.bodies(), ["x", "x"]);
    assert!(agent.log().contains("1 events are given up, as its rollback keys say"), "{}", agent.log());
    assert!(agent.log().contains("a success is rolled back"), "{}", agent.log());
}

#[test]
fn events_that_are_not_taken_become_dead_letters() {
    let server = Server::new(|_, r| status(if r.body == b"bad" { 422 } else { 200 }));
    let agent = conf(&[&server.endpoint(), "maxDeliveryAttempts = 2", "deadLetterFile = dead"]).start();
    send(&agent, &["good", "bad", "fine"]);
    wait(1, || agent.metric("SINK.k1", "DeadLetterCount"));
    wait(2, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    let bodies = server.bodies();
    assert_eq!(bodies.iter().filter(|b| *b == "good").count(), 1, "{bodies:?}");
    assert_eq!(bodies.iter().filter(|b| *b == "fine").count(), 1, "{bodies:?}");
}

#[test]
fn a_group_fails_over() {
    let dead = Server::new(|_, _| status(503));
    let alive = Server::new(|_, _| status(200));
    let agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .sink("k1", "http", "c1", &[&dead.endpoint()])
        .sink("k2", "http", "c1", &[&alive.endpoint()])
        .lines(
            "a1.sinkgroups = g\na1.sinkgroups.g.sinks = k1 k2\na1.sinkgroups.g.processor.type = failover\n\
             a1.sinkgroups.g.processor.priority.k1 = 2\na1.sinkgroups.g.processor.priority.k2 = 1\n",
        )
        .start();
    send(&agent, &["x", "y"]);
    wait(2, || alive.bodies().len());
    assert_eq!(alive.bodies(), ["x", "y"]);
}

#[test]
fn the_http_source_takes_what_it_sends() {
    let target = Conf::new()
        .source_anywhere("r1", "http", "c1", &["bind = 127.0.0.1", "port = 0"])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    let to = format!("endpoint = http://{}/", target.address("r1"));
    let keys = [&to[..], "batchFormat = json", "compression = gzip"];
    let from = Conf::new()
        .source("r1", "syslogtcp", "c1", &[])
        .channel("c1", &[])
        .sink("k1", "http", "c1", &keys)
        .start();
    from.connect("r1").send("<34>1 2003-10-11T22:14:15.003Z host1 größe \"1\"\n");
    let line = target.wait_lines("out", 1).remove(0);
    assert!(line.contains("timestamp=1065910455003") && line.contains("größe \"1\""), "{line}");
}

#[test]
fn https_with_a_trusted_certificate_of_the_right_name() {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    std::fs::write(folder.path("server.p12"), pki.issue(&["localhost"]).pkcs12("secret")).unwrap();
    std::fs::write(folder.path("ca.pem"), pki.certificate()).unwrap();
    let keystore = format!("keystore = {}", folder.path("server.p12").display());
    let tls = ["bind = 127.0.0.1", "port = 0", "ssl = true", "keystore-password = secret", &keystore];
    let target = Conf::new()
        .source_anywhere("r1", "http", "c1", &tls)
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    let port = target.address("r1").port();
    let trust = format!("truststore = {}", folder.path("ca.pem").display());
    let start = |host: &str, keys: &[&str]| {
        let to = format!("endpoint = https://{host}:{port}/");
        let agent = conf(&[&[&to[..], "batchFormat = json"], keys].concat()).start();
        send(&agent, &[host]);
        agent
    };
    let good = start("localhost", &[&trust]);
    assert_eq!(target.wait_lines("out", 1), ["localhost"]);
    wait(1, || good.metric("SINK.k1", "EventDrainSuccessCount"));
    let wrong_name = start("127.0.0.1", &[&trust]);
    wrong_name.wait_log("no TLS with 127.0.0.1");
    let unknown = start("localhost", &[]);
    unknown.wait_log("no TLS with localhost");
    let careless = start("127.0.0.1", &[&trust, "verify-hostname = false"]);
    target.wait_lines("out", 2);
    drop((wrong_name, unknown, careless));
}

/// Retry-After holds it back, and a stop does not wait for that.
#[test]
fn a_stop_does_not_wait_for_the_server() {
    let server = Server::new(|_, _| {
        Reply::Say("HTTP/1.1 503 Busy\r\nRetry-After: 200\r\nContent-Length: 0\r\n\r\n".into())
    });
    let mut agent = conf(&[&server.endpoint()]).lines("a1.flumed.shutdownTimeout = 1\n").start();
    send(&agent, &["x"]);
    agent.wait_log("it asks for 200 s");
    agent.signal("TERM");
    let (_, log) = agent.wait_exit(Duration::from_secs(20));
    assert!(log.contains("agent a1 stopped"), "{log}");
    assert_eq!(server.bodies(), ["x"]);
}
