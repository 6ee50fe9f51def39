//! The budget of attempts and the dead-letter file, which every sink has: what a wrong setting is answered with, and
//! that a destination that is away does not fill the file.

use crate::util::{findings, flumed, shutdown_metric, wait, Conf, Folder};

const BUDGET: [&str; 2] = ["maxDeliveryAttempts = 1", "deadLetterFile = dead"];

#[test]
fn one_key_without_the_other_is_a_mistake_with_line_and_key() {
    for sink in ["file_roll", "logger", "null"] {
        let check = |lines: &str| {
            let folder = Folder::new();
            let text = format!(
                "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\n\
                 a1.sources.r1.channels = c1\na1.channels.c1.type = memory\na1.sinks.k1.type = {sink}\n\
                 a1.sinks.k1.channel = c1\n{}{lines}",
                if sink == "file_roll" { "a1.sinks.k1.sink.directory = .\n" } else { "#\n" }
            );
            std::fs::write(folder.path("a1.conf"), text).unwrap();
            let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
            (code, findings(&out)[0].to_owned())
        };
        let (attempts, file) =
            ("a1.sinks.k1.maxDeliveryAttempts = 3\n", "a1.sinks.k1.deadLetterFile = dead\n");
        let both = check(&format!("{attempts}{file}"));
        assert_eq!(both, (Some(0), "0 errors, 0 warnings".to_owned()));
        let (code, found) = check(attempts);
        assert_eq!(code, Some(2));
        assert!(
            found.starts_with("a1.conf:10: a1.sinks.k1.maxDeliveryAttempts: needs deadLetterFile"),
            "{found}"
        );
        let (code, found) = check(file);
        assert_eq!(code, Some(2));
        assert!(found.starts_with("a1.conf:10: a1.sinks.k1.deadLetterFile: is never written to"), "{found}");
        let (code, found) = check("a1.sinks.k1.deadLeterFile = dead\n");
        assert!(code == Some(0) && found.contains("did you mean deadLetterFile?"), "{found}");
    }
}

#[test]
fn a_destination_that_is_away_for_longer_than_the_budget_makes_no_dead_letters() {
    // The file's time is over soon, so that deliveries fail, not only the start.
    let keys = [&["sink.rollInterval = 1"], &BUDGET[..]].concat();
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &keys)
        .start();
    let mut client = agent.connect("r1");
    assert_eq!(client.ask("first"), "OK\n");
    agent.wait_lines("out", 1);
    let (here, there) = (agent.folder.path("out"), agent.folder.path("gone"));
    std::fs::rename(&here, &there).unwrap();
    let mut sent = vec!["first".to_owned()];
    wait(true, || {
        sent.push(format!("line {}", sent.len()));
        assert_eq!(client.ask(sent.last().unwrap()), "OK\n");
        agent.metric("SINK.k1", "EventWriteFail") >= 3
    });
    assert!(agent.metrics()["SINK.k1"]["LastError"].as_str().unwrap().contains("cannot create"));
    std::fs::rename(&there, &here).unwrap();
    assert_eq!(agent.wait_lines("out", sent.len()), sent);
    assert_eq!(std::fs::read(agent.folder.path("dead")).unwrap(), b"");
    let log = agent.stop();
    assert_eq!(shutdown_metric(&log, "SINK.k1", "DeadLetterCount"), 0);
}

#[test]
fn a_dead_letter_file_that_cannot_be_made_is_said_at_start_and_holds_up_nothing() {
    let mut agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["maxDeliveryAttempts = 1", "deadLetterFile = nowhere/dead"])
        .start();
    let line = agent.wait_log("dead-letter file nowhere/dead: ");
    assert!(line.contains("ERROR") && line.contains("No such file or directory"), "{line}");
    assert_eq!(agent.connect("r1").ask("hello"), "OK\n");
    assert_eq!(agent.wait_lines("out", 1), ["hello"]);
    agent.stop();
}
