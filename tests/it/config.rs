//! Commands, exit codes, and what a wrong configuration is answered with.

use crate::util::{findings, flumed, Agent, Folder};

const TEN_MISTAKES: &str = "\
a1.sources = good r1 r2 r3 r4 r5 r6
a1.channels = c1 c2
a1.sinks = k1 k2 k3 k4
a1.channels.c1.type = memory
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = .
a1.sinks.k1.channel = c1
a1.sources.good.type = netcat
a1.sources.good.bind = 127.0.0.1
a1.sources.good.port = 0
a1.sources.good.channels = c1
# No such type.
a1.sources.r1.type = netcatt
a1.sources.r1.channels = c1
# No port.
a1.sources.r2.type = syslogtcp
a1.sources.r2.channels = c1
# Not a port.
a1.sources.r3.type = netcat
a1.sources.r3.bind = 127.0.0.1
a1.sources.r3.port = 66000
a1.sources.r3.channels = c1
# No such channel.
a1.sources.r4.type = syslogudp
a1.sources.r4.port = 0
a1.sources.r4.channels = nowhere
# TLS without a certificate.
a1.sources.r5.type = syslogtcp
a1.sources.r5.port = 0
a1.sources.r5.ssl = true
a1.sources.r5.channels = c1
# The source r6 is listed and nothing more.
# A type of Flume that flumed does not have.
a1.channels.c2.type = jdbc
# No channel.
a1.sinks.k2.type = logger
# No directory.
a1.sinks.k3.type = file_roll
a1.sinks.k3.channel = c1
# No type.
a1.sinks.k4.channel = c1
";

const TEN_FINDINGS: [&str; 10] = [
    "a1.conf:1: a1.sources.r6: ",
    "a1.conf:3: a1.sinks.k4.type: ",
    "a1.conf:13: a1.sources.r1.type: ",
    "a1.conf:16: a1.sources.r2.port: ",
    "a1.conf:21: a1.sources.r3.port: ",
    "a1.conf:26: a1.sources.r4.channels: ",
    "a1.conf:28: a1.sources.r5.keystore: ",
    "a1.conf:34: a1.channels.c2.type: ",
    "a1.conf:36: a1.sinks.k2.channel: ",
    "a1.conf:38: a1.sinks.k3.sink.directory: ",
];

fn assert_ten_findings(text: &str) {
    let found = findings(text);
    assert_eq!(found.len(), 11, "{text}");
    for (found, expected) in found.iter().zip(TEN_FINDINGS) {
        assert!(found.starts_with(expected) && found.len() > expected.len() + 10, "{found}: {expected}");
    }
    assert_eq!(found[10], "10 errors, 0 warnings");
}

#[test]
fn ten_mistakes_are_ten_findings_with_line_and_key() {
    let folder = Folder::new();
    std::fs::write(folder.path("a1.conf"), TEN_MISTAKES).unwrap();
    let (code, out, err) = flumed(&folder.path(""), &["agent", "-n", "a1", "-f", "a1.conf"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_ten_findings(&err);
    let (code, out, err) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
    assert_eq!((code, err.as_str()), (Some(2), ""));
    assert_ten_findings(&out);
}

#[test]
fn lenient_runs_what_is_sound() {
    let mut agent = Agent::spawn(Folder::new(), TEN_MISTAKES, &["--lenient".to_owned()], None);
    agent.wait_log("agent a1 started");
    agent.wait_log("1 channels, 1 sinks, 1 sources");
    assert_eq!(agent.connect("good").ask("it works"), "OK\n");
    let log = agent.stop();
    for finding in TEN_FINDINGS {
        assert!(log.contains(finding), "{finding} in {log}");
    }
    assert!(log.contains("name: k1. ") && !log.contains("name: k3. "), "{log}");
}

#[test]
fn a_bad_key_hides_no_finding_of_another() {
    let folder = Folder::new();
    let text = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1 k2
a1.channels.c1.type = memory
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.sources.r1.compression-type = snappy
a1.sources.r1.ipFilter = true
a1.sources.r1.ipFilterRules = gizmo
a1.sinks.k1.type = avro
a1.sinks.k1.channel = c1
a1.sinks.k1.hostname = h
a1.sinks.k1.port = 99999
a1.sinks.k1.ssl = true
a1.sinks.k1.batch-size = 1000
a1.sinks.k2.type = null
a1.sinks.k2.channel = c1
a1.sinks.k2.maxDeliveryAttempts = often
a1.sinks.k2.deadLetterFile = dead
a1.sinks.k1.private-key = key.pem
";
    std::fs::write(folder.path("a1.conf"), text).unwrap();
    let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
    assert_eq!(code, Some(2), "{out}");
    for finding in [
        "a1.conf:9: a1.sources.r1.compression-type: ",
        "a1.conf:11: a1.sources.r1.ipFilterRules: ",
        "a1.conf:15: a1.sinks.k1.port: ",
        "a1.conf:22: a1.sinks.k1.private-key: needs certificate",
        "a1.conf:17: a1.sinks.k1.batch-size: 1000 (line 17) is more than ",
        "a1.conf:20: a1.sinks.k2.maxDeliveryAttempts: ",
    ] {
        assert!(out.contains(finding), "{finding} in {out}");
    }
    // What the number decides is not known.
    assert!(!out.contains("deadLetterFile"), "{out}");
}

#[test]
fn unknown_keys_and_other_agents_only_warn() {
    let folder = Folder::new();
    let text =
        "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = netcat\na1.sources.r1.bind = 127.0.0.1\n\
                a1.sources.r1.port = 0\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
                a1.channels.c1.capasity = 5\na2.sources = x\n";
    std::fs::write(folder.path("a1.conf"), text).unwrap();
    let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("a1.conf:8: a1.channels.c1.capasity: warning: "), "{out}");
    assert!(out.contains("did you mean capacity?"), "{out}");
    assert!(out.contains("a1.conf:9: a2: warning: "), "{out}");
    let mut agent = Agent::spawn(folder, text, &[], None);
    agent.wait_log("agent a1 started");
    assert!(agent.stop().contains("capasity"));
}

#[test]
fn seconds_that_look_like_milliseconds_are_told() {
    let folder = Folder::new();
    let check = |value: &str| {
        let text = format!(
            "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
             a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n\
             a1.flumed.shutdownTimeout = {value}\n"
        );
        std::fs::write(folder.path("a1.conf"), text).unwrap();
        let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
        assert_eq!(code, Some(0), "{out}");
        out
    };
    assert!(check("2999").contains("0 warnings"));
    let out = check("3000");
    assert!(
        out.contains("a1.conf:9: a1.flumed.shutdownTimeout: warning: 3000 seconds are 50 minutes"),
        "{out}"
    );
}

#[test]
fn commands_end_with_their_codes() {
    let folder = Folder::new();
    let run = |args: &[&str]| flumed(&folder.path(""), args);

    let (code, out, _) = run(&["version"]);
    assert!(code == Some(0) && out.starts_with(&format!("flumed {}\n", env!("CARGO_PKG_VERSION"))), "{out}");
    let (code, out, _) = run(&["help"]);
    assert!(code == Some(0) && out.starts_with("Usage: flumed <command>"), "{out}");

    for (args, what, usage) in [
        (&["gizmo"][..], "command 'gizmo'", "Usage: flumed <command>"),
        (&[], "command ''", "Usage: flumed <command>"),
        (&["tool", "gizmo"], "command 'gizmo' of 'tool'", "Usage: flumed tool channel"),
        (&["components", "gizmo"], "kind of component 'gizmo'", "Try 'flumed components'."),
        (&["tool", "channel", "check", "--gizmo"], "gizmo", "Try 'flumed tool help'."),
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains(what) && err.contains(usage), "{args:?}: {err}");
    }

    for command in ["agent", "check"] {
        let (code, out, err) = run(&[command, "-n", "a1", "-f", "missing.conf"]);
        let text = out + &err;
        assert!(
            code == Some(2) && text.contains("missing.conf: cannot be read: No such file"),
            "{code:?} {text}"
        );
    }
    let (code, _, err) = run(&["agent", "-n", "a1"]);
    assert!(code == Some(2) && err.contains("Error: "), "{err}");
    let (code, _, err) = run(&["agent", "--gizmo"]);
    assert!(code == Some(2) && err.contains("gizmo"), "{err}");

    std::fs::write(folder.path("a1.conf"), TEN_MISTAKES).unwrap();
    let (code, _, err) = run(&["agent", "-n", "a2", "-f", "a1.conf"]);
    assert!(code == Some(2) && err.contains("no agent named a2; the file has a1"), "{err}");
}

#[test]
fn components_lists_types_and_their_keys() {
    let folder = Folder::new();
    let run = |args: &[&str]| flumed(&folder.path(""), args);
    let (code, out, _) = run(&["components"]);
    assert_eq!(code, Some(0));
    for kind in
        ["source.netcat ", "source.syslogtcp ", "channel.memory ", "sink.file_roll ", "selector.replicating "]
    {
        assert!(out.lines().any(|l| l.starts_with(kind)), "{kind} in {out}");
    }
    let (code, out, _) = run(&["components", "source.netcat"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("org.apache.flume.source.NetcatSource") && out.contains("\nmax-line-length "),
        "{out}"
    );
    let (code, out, err) = run(&["components", "source.netcatt"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("netcat?"), "{err}");
}
