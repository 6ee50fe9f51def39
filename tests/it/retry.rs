//! Components that cannot start at first: tried again while the others work, shown by /healthz.

use crate::util::{wait, Conf};
use std::net::TcpListener;

#[test]
fn a_port_in_use_is_tried_again_while_others_work() {
    // An address of its own, so that no other test is given the port when it is free.
    let taken = TcpListener::bind("127.0.0.77:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut agent = Conf::new()
        .source_anywhere("r1", "netcat", "c1", &["bind = 127.0.0.77", &format!("port = {port}")])
        .source("r2", "netcat", "c1", &[])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    let line = agent.wait_log("source r1: cannot listen on ");
    assert!(line.contains(&format!("127.0.0.77:{port}: Address already in use")), "{line}");
    assert!(line.contains("; next try in 200 ms"), "{line}");
    assert_eq!(agent.connect("r2").ask("the other one runs"), "OK\n");
    wait(true, || !agent.get("/healthz").1.contains("sink"));
    let (status, text) = agent.get("/healthz");
    assert_eq!(status, 503);
    assert!(text.starts_with("source r1 failed: cannot listen on 127.0.0.77:"), "{text}");
    drop(taken);
    assert_eq!(agent.connect("r1").ask("now this one too"), "OK\n");
    assert_eq!(agent.get("/healthz"), (200, "ok\n".to_owned()));
    agent.stop();
    assert_eq!(agent.lines("out").len(), 2);
}

#[test]
fn a_host_that_is_not_this_machine_is_a_failed_start_only() {
    let mut agent = Conf::new()
        .source_anywhere("r1", "syslogtcp", "c1", &["host = 192.0.2.1", "port = 0"])
        .source_anywhere("r2", "syslogudp", "c1", &["host = 192.0.2.1", "port = 0"])
        .channel("c1", &[])
        .files("k1", "c1", "out")
        .start();
    agent.wait_log("source r1: cannot listen on 192.0.2.1:0: ");
    agent.wait_log("source r2: cannot listen on 192.0.2.1:0: ");
    agent.stop();
}

#[test]
fn a_missing_directory_holds_the_events_until_it_is_there() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .files_later("k1", "c1", "out", &[])
        .start();
    let mut client = agent.connect("r1");
    assert_eq!(client.ask("kept"), "OK\n");
    let line = agent.wait_log("sink k1: cannot start: ");
    assert!(line.contains("out") && line.contains("; next try in "), "{line}");
    let (status, text) = agent.get("/healthz");
    assert!(status == 503 && text.starts_with("sink k1 failed: cannot start: "), "{text}");
    agent.make_folder("out");
    assert_eq!(agent.wait_lines("out", 1), ["kept"]);
    wait(200, || agent.get("/healthz").0);
    assert_eq!(client.ask("goes on"), "OK\n");
    agent.stop();
    assert_eq!(agent.lines("out"), ["kept", "goes on"]);
}

#[test]
fn a_directory_that_is_a_file_is_no_reason_to_end() {
    let agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .files_later("k1", "c1", "a1.conf", &[])
        .start();
    assert_eq!(agent.connect("r1").ask("kept"), "OK\n");
    agent.wait_log("sink k1: cannot start: ");
    std::fs::remove_file(agent.folder.path("a1.conf")).unwrap();
    agent.make_folder("a1.conf");
    assert_eq!(agent.wait_lines("a1.conf", 1), ["kept"]);
}

#[test]
fn a_directory_that_goes_away_and_comes_back_loses_nothing() {
    let agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.rollInterval = 1"])
        .start();
    let mut client = agent.connect("r1");
    assert_eq!(client.ask("first"), "OK\n");
    agent.wait_lines("out", 1);
    let (here, there) = (agent.folder.path("out"), agent.folder.path("gone"));
    std::fs::rename(&here, &there).unwrap();
    // The next file cannot be made; what comes meanwhile goes into the old one or waits.
    let mut sent = vec!["first".to_owned()];
    wait(true, || {
        sent.push(format!("line {}", sent.len()));
        assert_eq!(client.ask(sent.last().unwrap()), "OK\n");
        agent.log().contains("ERROR")
    });
    std::fs::rename(&there, &here).unwrap();
    assert_eq!(agent.wait_lines("out", sent.len()), sent);
    wait(200, || agent.get("/healthz").0);
}
