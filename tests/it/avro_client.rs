//! `flumed avro-client` against an agent with an avro source, and against a server that says nothing.

use crate::util::{flumed, wait, Agent, Conf, Folder, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn agent() -> Agent {
    Conf::new()
        .source_anywhere("r1", "avro", "c1", &["bind = 127.0.0.1", "port = 0"])
        .channel("c1", &["capacity = 10000"])
        .files("k1", "c1", "out")
        .start()
}

/// The client with a pipe to its standard input.
fn spawn(port: u16) -> Child {
    Command::new(env!("CARGO_BIN_EXE_flumed"))
        .args(["avro-client", "-H", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code and standard error.
fn end(mut child: Child) -> (Option<i32>, String) {
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn interrupt(child: &Child) {
    let script = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[test]
fn a_file_arrives_whole() {
    let agent = agent();
    let folder = Folder::new();
    let text: String = (0..2500).map(|i| format!("größe {i}\r\n")).collect();
    std::fs::write(folder.path("lines"), text).unwrap();
    let port = agent.address("r1").port().to_string();
    let (code, out, err) =
        flumed(&folder.path(""), &["avro-client", "-H", "localhost", "--port", &port, "-F", "lines"]);
    assert_eq!((code, out, err), (Some(0), String::new(), String::new()));
    let expected: Vec<String> = (0..2500).map(|i| format!("größe {i}")).collect();
    assert_eq!(agent.wait_lines("out", 2500), expected);
    assert_eq!(agent.metric("SOURCE.r1", "AppendBatchAcceptedCount"), 25);
}

#[test]
fn a_directory_by_failover_properties() {
    let agent = agent();
    let folder = Folder::new();
    std::fs::create_dir(folder.path("in")).unwrap();
    for name in ["a", "b"] {
        std::fs::write(folder.path(&format!("in/{name}")), format!("of {name}\n")).unwrap();
    }
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let properties = format!(
        "client.type = default_failover\nhosts = dead live\nhosts.dead = {dead}\nhosts.live = {}\n",
        agent.address("r1")
    );
    std::fs::write(folder.path("rpc"), properties).unwrap();
    let args = ["avro-client", "--rpcProps=rpc", "-dirname", "in"];
    let (code, out, err) = flumed(&folder.path(""), &args);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(0), "", 1), "{err}");
    assert!(err.contains(&format!("{dead} has failed, {} stands in for it: ", agent.address("r1"))), "{err}");
    let mut lines = agent.wait_lines("out", 2);
    lines.sort();
    assert_eq!(lines, ["of a", "of b"]);
    assert!(folder.path("in/a.COMPLETED").exists() && folder.path("in/b.COMPLETED").exists());
}

#[test]
fn a_dead_host_among_balanced_ones_is_told_once() {
    let agent = agent();
    let folder = Folder::new();
    std::fs::write(folder.path("lines"), "x\n".repeat(20)).unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let properties = format!(
        "client.type = default_loadbalance\nhosts = dead live\nhosts.dead = {dead}\nhosts.live = {}\nbatch-size = 1\n",
        agent.address("r1")
    );
    std::fs::write(folder.path("rpc"), properties).unwrap();
    let (code, _, err) = flumed(&folder.path(""), &["avro-client", "-P", "rpc", "-F", "lines"]);
    assert_eq!((code, err.matches(&format!("{dead} has failed")).count()), (Some(0), 1), "{err}");
    agent.wait_lines("out", 20);
}

#[test]
fn a_line_does_not_wait_for_the_next_and_an_interrupt_says_how_far_it_came() {
    let agent = agent();
    let mut child = spawn(agent.address("r1").port());
    let mut input = child.stdin.take().unwrap();
    for (i, line) in ["one", "two"].iter().enumerate() {
        writeln!(input, "{line}").unwrap();
        wait(i + 1, || agent.metric("SOURCE.r1", "EventAcceptedCount"));
    }
    agent.wait_lines("out", 2);
    writeln!(input, "three").unwrap();
    agent.wait_lines("out", 3);
    // Only the client knows when it has read the answer to the last one.
    drop(input);
    let (code, said) = end(child);
    assert_eq!((code, said), (Some(0), String::new()));

    // A server that takes the connection and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = spawn(listener.local_addr().unwrap().port());
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "one").unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 100]).unwrap() > 0);
    interrupt(&child);
    let (code, said) = end(child);
    assert_eq!(code, Some(1));
    assert!(said.contains("Interrupted: events acknowledged: 0"), "{said}");
}

#[test]
fn keys_of_another_client_are_ignored_with_a_warning() {
    let agent = agent();
    let folder = Folder::new();
    std::fs::write(folder.path("lines"), "one\n").unwrap();
    let properties = format!("hosts = h\nhosts.h = {}\nmaxConnections = 5\n", agent.address("r1"));
    std::fs::write(folder.path("rpc"), properties).unwrap();
    let (code, _, err) = flumed(&folder.path(""), &["avro-client", "-P", "rpc", "-F", "lines"]);
    assert!(
        code == Some(0) && err.contains("rpc:3: maxConnections: it is of Flume's Thrift client"),
        "{err}"
    );
}

#[test]
fn a_directory_that_is_cut_short_names_the_file_and_what_comes_next() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("in")).unwrap();
    std::fs::write(folder.path("in/a.log"), "one\n").unwrap();
    let again = "the next run sends in/a.log again, from its first line";
    // A server that takes the connection and says nothing, or ends it.
    for interrupts in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_flumed"))
            .args(["avro-client", "-H", "127.0.0.1", "-p", &port, "--dirname", "in"])
            .current_dir(folder.path(""))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 100]).unwrap() > 0);
        if interrupts {
            interrupt(&child);
        } else {
            drop(stream);
        }
        let (code, said) = end(child);
        assert!(code == Some(1) && said.contains(again), "{said}");
    }
    // A name that is taken.
    let agent = agent();
    std::fs::write(folder.path("in/a.log.COMPLETED"), "").unwrap();
    let port = agent.address("r1").port().to_string();
    let args = ["avro-client", "-H", "127.0.0.1", "-p", &port, "--dirname", "in"];
    let (code, _, said) = flumed(&folder.path(""), &args);
    assert!(code == Some(1) && said.contains("there is a in/a.log.COMPLETED already: move one of"), "{said}");
    assert!(!said.contains("the next run"), "{said}");
    std::fs::remove_file(folder.path("in/a.log.COMPLETED")).unwrap();
    assert_eq!(flumed(&folder.path(""), &args).0, Some(0));
    assert_eq!(agent.wait_lines("out", 1), ["one"]);
}

#[test]
fn what_goes_wrong_is_an_exit_code() {
    let folder = Folder::new();
    std::fs::write(folder.path("lines"), "one\n").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let run = |args: &[&str]| flumed(&folder.path(""), &[&["avro-client", "-F", "lines"], args].concat());
    let (code, _, err) = run(&["-H", "127.0.0.1", "-p", &dead]);
    assert!(code == Some(1) && err.contains("cannot connect to 127.0.0.1"), "{err}");
    assert!(err.contains("events acknowledged: 0"), "{err}");
    let (code, _, err) = run(&["-H", "127.0.0.1"]);
    assert!(code == Some(2) && err.contains("--port is required"), "{err}");
    assert!(err.contains("Try 'flumed avro-client --help'."), "{err}");
    let to = |args: &[&str]| {
        let (code, _, err) =
            flumed(&folder.path(""), &[&["avro-client", "-H", "h", "-p", "1"], args].concat());
        assert_eq!(code, Some(2), "{err}");
        err
    };
    for (args, what) in [
        (["-F", "missing"], "--filename missing: No such file"),
        (["-F", "."], "--filename .: is a directory"),
        (["--dirname", "missing"], "--dirname missing: No such file"),
        (["--dirname", "lines"], "--dirname lines: Not a directory"),
        (["-R", "missing"], "--headerFile missing: No such file"),
        (["-P", "missing"], "missing: cannot be read"),
    ] {
        let err = to(&args);
        assert!(err.contains(what), "{args:?}: {err}");
    }
    let (code, out, _) = flumed(&folder.path(""), &["avro-client", "--help"]);
    assert!(code == Some(0) && out.contains("--headerFile FILE"), "{out}");
}
