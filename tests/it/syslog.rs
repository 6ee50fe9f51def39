//! The syslog family on the real binary: several ports, counted octets, structured data, and what the kernel drops.

use crate::util::{wait, Agent, Client, Conf};
use std::net::{TcpListener, UdpSocket};

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|i| held[i].local_addr().unwrap().port())
}

fn conf(keys: &[&str]) -> Conf {
    let keys = [&["host = 127.0.0.1"], keys].concat();
    Conf::new()
        .source_anywhere("r1", "multiport_syslogtcp", "c1", &keys)
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
}

fn client(agent: &Agent, port: u16) -> Client {
    agent.wait_log(&format!("source r1 started, listening on 127.0.0.1:{port}"));
    Client::new(([127, 0, 0, 1], port).into())
}

#[test]
fn every_port_has_its_header_and_its_charset() {
    let [one, two] = free_ports();
    let charset = format!("charset.port.{two} = ISO-8859-1");
    let agent = conf(&[&format!("ports = {one} {two}"), "portHeader = port", &charset]).start();
    client(&agent, one).send("<34>1 2003-10-11T22:14:15.003Z h1 größe\n");
    let line = agent.wait_lines("out", 1).remove(0);
    for header in
        ["Priority=34", "Version=1", "Facility=4", "Severity=2", "timestamp=1065910455003", "host=h1"]
    {
        assert!(line.contains(header), "{header}: {line}");
    }
    assert!(line.contains(&format!("port={one}")) && line.ends_with("} größe"), "{line}");
    client(&agent, two).send(b"<34>- h\xf6st 24 octets\n33 <34>- h two lines,\nin one message\n");
    wait(true, || agent.bytes("out").ends_with(b"in one message\n"));
    let out = String::from_utf8_lossy(&agent.bytes("out")).into_owned();
    assert!(out.contains("host=höst") && out.contains("} two lines,\nin one message\n"), "{out}");
    assert!(!out.contains("Invalid"), "{out}");
}

#[test]
fn a_port_that_cannot_be_had_does_not_stop_the_others() {
    let [free] = free_ports();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let agent = conf(&[&format!("ports = {port} {free}")]).start();
    agent.wait_log(&format!("cannot listen on 127.0.0.1:{port}"));
    client(&agent, free).send("<34>- h first\n");
    agent.wait_lines("out", 1);
    let (status, said) = agent.get("/healthz");
    assert_eq!(status, 503);
    assert!(said.contains("r1") && said.contains(&port.to_string()), "{said}");
    drop(taken);
    client(&agent, port).send("<34>- h second\n");
    assert!(agent.wait_lines("out", 2)[1].ends_with("second"));
    assert_eq!(agent.get("/healthz").0, 200);
    assert_eq!(agent.metric("SOURCE.r1", "EventAcceptedCount"), 2);
}

#[test]
fn a_reload_that_adds_and_removes_ports_keeps_the_connections_of_the_others() {
    let [stays, goes, comes] = free_ports();
    let agent = conf(&[&format!("ports = {stays} {goes}"), "portHeader = port"]).start();
    let (mut kept, mut ended) = (client(&agent, stays), client(&agent, goes));
    kept.send("<34>- h 1\n");
    agent.wait_lines("out", 1);
    ended.send("<34>- h 2\n");
    agent.wait_lines("out", 2);
    agent.reload(&conf(&[&format!("ports = {comes} {stays}"), "portHeader = port"]));
    kept.send("<34>- h 3\n");
    let lines = agent.wait_lines("out", 3);
    assert!(lines[2].contains(&format!("port={stays}")), "{lines:?}");
    assert!(ended.is_closed());
    client(&agent, comes).send("<34>- h 4\n");
    assert!(agent.wait_lines("out", 4)[3].contains(&format!("port={comes}")));
    assert!(std::net::TcpStream::connect(("127.0.0.1", goes)).is_err());
}

#[test]
fn lines_and_counted_octets_come_on_one_connection() {
    let agent = Conf::new()
        .source("r1", "syslogtcp", "c1", &["structuredData = headers"])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    let framed = "<165>1 2003-10-11T22:14:15Z h app - ID1 [x@1 a=\"1\"] counted";
    agent.connect("r1").send(format!("{} {framed}<13>Oct 11 22:14:15 h app: a line\n", framed.len()));
    let lines = agent.wait_lines("out", 2);
    assert!(lines[0].contains("sd.x@1.a=1") && lines[0].ends_with("} counted"), "{lines:?}");
    assert!(lines[1].ends_with("} app: a line"), "{lines:?}");
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let agent = Conf::new()
        .source("r1", "syslogudp", "c1", &["receiveBufferBytes = 4096"])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    let to = agent.address("r1");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.signal("STOP");
    for i in 0..200 {
        udp.send_to(format!("<13>Oct 11 22:14:15 h {}{i}", "x".repeat(500)).as_bytes(), to).unwrap();
    }
    agent.signal("CONT");
    wait(200, || {
        agent.metric("SOURCE.r1", "KernelDropCount") + agent.metric("SOURCE.r1", "EventAcceptedCount")
    });
    assert!(agent.metric("SOURCE.r1", "KernelDropCount") > 100);
    agent.wait_log("datagrams dropped by the kernel");
}
