//! The sources exec and netcatudp: no line is lost, no process is left behind, no command can do the agent harm.

use crate::util::{shutdown_metric, wait, Agent, Conf, PATIENCE};
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

/// A source r1 that runs a script, and a sink that writes to `out`.
fn script(text: &str, keys: &[&str]) -> Conf {
    let command = format!("command = {text}");
    Conf::new()
        .source_anywhere("r1", "exec", "c1", &[&["shell = /bin/sh -c", &command], keys].concat())
        .channel("c1", &["capacity = 10000", "transactionCapacity = 1000"])
        .files("k1", "c1", "out")
}

/// The process is there, and no zombie.
fn lives(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

fn zombies(agent: &Agent) -> usize {
    let parent = format!(" {} ", agent.id());
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let stats = all.filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    stats.filter(|s| s.contains(&format!(") Z{parent}"))).count()
}

/// A file that the script writes, once it is there.
fn written(agent: &Agent, name: &str) -> String {
    let path = agent.folder.path(name);
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    wait(true, || read().ends_with('\n'));
    read().trim().to_owned()
}

/// Resident memory in KiB.
fn memory(agent: &Agent) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn tail_waits_for_a_full_channel_and_nothing_is_lost() {
    const LINES: usize = 50_000;
    let line = |i: usize| format!("{i} {}", "x".repeat(50));
    let block = |from: usize, to: usize| (from..to).map(|i| line(i) + "\n").collect::<String>();
    let mut agent = Conf::new()
        .source_anywhere("r1", "exec", "c1", &["command = tail -n +1 -F growing"])
        .channel("c1", &["capacity = 500", "transactionCapacity = 100"])
        .files_later("k1", "c1", "out", &["sink.batchSize = 100"])
        .start();
    let growing = agent.folder.path("growing");
    let append = |text: String| {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&growing).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(block(0, LINES / 2));
    agent.wait_log("source r1 waits, channel c1 is full: ");
    append(block(LINES / 2, LINES));
    // The batch that waits is one of at most 20.
    let size = agent.metric("CHANNEL.c1", "ChannelSize");
    assert!((481..=500).contains(&size), "{size}");
    agent.make_folder("out");
    let lines = agent.wait_lines("out", LINES);
    assert!(lines.iter().enumerate().all(|(i, l)| *l == line(i)), "another order");
    let log = agent.stop();
    assert_eq!(agent.lines("out").len(), LINES);
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventAcceptedCount"), LINES);
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventDroppedCount"), 0);
    assert!(log.contains("source r1: the command has ended, signal: 15 (SIGTERM), after "), "{log}");
}

#[test]
fn the_whole_group_ends_with_the_agent() {
    let text = "(trap '' TERM; sleep 600 & echo $! >child; wait) & echo $$ >leader; echo up; wait";
    let mut agent = script(text, &[]).start();
    agent.wait_lines("out", 1);
    let ids = [written(&agent, "leader"), written(&agent, "child")];
    assert!(ids.iter().all(|id| lives(id)));
    assert_eq!(zombies(&agent), 0);
    let began = Instant::now();
    let log = agent.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{log}");
    assert!(!ids.iter().any(|id| lives(id)), "{log}");
}

#[test]
fn who_left_the_group_and_holds_the_pipe_does_not_hold_up_the_stop() {
    let text = "setsid sh -c 'printf \"up\\\\ntail\"; exec sleep 8' & wait";
    let mut agent = script(text, &[]).start();
    agent.wait_lines("out", 1);
    let began = Instant::now();
    let log = agent.stop();
    assert!(began.elapsed() < Duration::from_secs(6), "{log}");
    assert!(log.contains("holds its output open; it is not read on"), "{log}");
    assert_eq!(agent.lines("out"), ["up", "tail"]);
}

#[test]
fn a_stop_with_a_full_channel_counts_what_the_command_had_written() {
    let mut agent = Conf::new()
        .source_anywhere("r1", "exec", "c1", &["command = seq 1 1000"])
        .channel("c1", &["capacity = 100", "transactionCapacity = 100"])
        .files_later("k1", "c1", "out", &[])
        .arg("-Dflumed.shutdownTimeout=2")
        .start();
    agent.wait_log("source r1 waits, channel c1 is full: ");
    agent.signal("TERM");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert_eq!(code, Some(3), "{log}");
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventAcceptedCount"), 100);
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventDroppedCount"), 900);
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventReceivedCount"), 1000);
}

#[test]
fn a_command_that_cannot_be_run_is_told_and_shown() {
    let conf = |restart: &str| {
        Conf::new()
            .source_anywhere("r1", "exec", "c1", &["command = ./tool -x", restart, "restartThrottle = 200"])
            .channel("c1", &[])
            .files("k1", "c1", "out")
            .start()
    };
    let mut agent = conf("restart = true");
    agent
        .wait_log("source r1: cannot run ./tool: No such file or directory (os error 2); next try in 200 ms");
    wait(503, || agent.get("/healthz").0);
    let tool = agent.folder.path("tool");
    std::fs::write(&tool, "#!/bin/sh\necho here \"$@\"; sleep 600\n").unwrap();
    agent.wait_log("source r1: cannot run ./tool: Permission denied (os error 13)");
    executable(&tool);
    assert_eq!(agent.wait_lines("out", 1), ["here -x"]);
    agent.wait_log("source r1 works again");
    assert_eq!(agent.get("/healthz").0, 200);
    agent.stop();

    let mut agent = conf("restart = false");
    agent.wait_log("No such file or directory (os error 2); it is not tried again (restart = false)");
    let (status, text) = agent.get("/healthz");
    assert!(status == 503 && text.contains("cannot run ./tool"), "{text}");
    agent.stop();
}

fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_command_that_dies_at_once_is_run_again_at_its_pace() {
    let keys = ["restart = true", "restartThrottle = 0"];
    let began = Instant::now();
    let mut agent = script("echo line; echo 'no luck' >&2; exit 3", &keys).start();
    let lines = agent.wait_lines("out", 5);
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert!(lines.iter().all(|l| l == "line"));
    let log = agent.wait_log("the command has ended, exit status: 3, after ");
    assert!(log.contains("; it is run again in 100 ms; the last line of its stderr: no luck"), "{log}");
    assert!(agent.metric("SOURCE.r1", "RestartCount") >= 4);
    wait(0, || zombies(&agent));
    let log = agent.stop();
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventAcceptedCount"), agent.lines("out").len());
}

#[test]
fn a_command_that_is_done_is_waited_for_and_told() {
    let mut agent = script("echo \"$0\"; echo 'a  b'", &[]).start();
    assert_eq!(agent.wait_lines("out", 2), ["/bin/sh", "a  b"]);
    agent.wait_log("the command has ended, exit status: 0, after ");
    agent.wait_log("; it is not run again (restart = false)");
    assert_eq!((agent.get("/healthz").0, zombies(&agent)), (200, 0));
    agent.stop();
}

#[test]
fn a_command_that_failed_and_is_not_run_again_is_shown() {
    let mut agent = script("echo last; exit 3", &[]).start();
    agent.wait_lines("out", 1);
    wait(503, || agent.get("/healthz").0);
    let text = agent.get("/healthz").1;
    assert!(text.contains("the command has ended, exit status: 3; it is not run again"), "{text}");
    agent.stop();
}

#[test]
fn a_flood_of_stderr_is_not_the_logs() {
    let text = "yes 'much ado about nothing' | head -n 1000000 >&2; echo done";
    let mut agent = script(text, &["logStdErr = true"]).start();
    agent.wait_lines("out", 1);
    assert!(memory(&agent) < 100_000, "{} KiB", memory(&agent));
    let log = agent.stop();
    let told = log.lines().filter(|l| l.contains("stderr: much ado")).count();
    assert!((100..10_000).contains(&told), "{told}");
    assert!(log.contains("lines of stderr were not logged"), "{told}");
}

#[test]
fn a_line_without_an_end_is_cut() {
    let text = "head -c 50000000 /dev/zero | tr '\\\\0' x; sleep 600";
    let mut agent = Conf::new()
        .source_anywhere("r1", "exec", "c1", &["shell = /bin/sh -c", &format!("command = {text}")])
        .channel("c1", &["byteCapacity = 8000000"])
        .sink("k1", "null", "c1", &[])
        .start();
    wait(47, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    assert!(memory(&agent) < 100_000, "{} KiB", memory(&agent));
    agent.wait_log("source r1: 1 lines above 1048576 bytes are cut");
    let log = agent.stop();
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "LineCutCount"), 1);
    // With the rest, which the stop makes an event.
    assert_eq!(shutdown_metric(&log, "SINK.k1", "EventDrainSuccessCount"), 48);
}

/// With a socket open and a signal mask of its own, the agent gives its command neither.
#[test]
fn the_command_has_nothing_of_the_agent() {
    let text =
        "readlink /proc/$$/fd/* | grep -c -e socket -e eventpoll; exec grep '^SigBlk' /proc/self/status";
    let mut agent = script(text, &[]).source("r2", "netcat", "c1", &[]).start();
    agent.address("r2");
    assert_eq!(agent.wait_lines("out", 2), ["0", "SigBlk:\t0000000000000000"]);
    agent.stop();
}

#[test]
fn netcatudp_takes_whole_datagrams_with_their_sender() {
    let keys = ["bind = 127.0.0.1", "port = 0", "remoteAddress = from"];
    let mut agent = Conf::new()
        .source_anywhere("r1", "netcatudp", "c1", &keys)
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = header_and_text"])
        .start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = agent.address("r1");
    let long = "x".repeat(60_000);
    for (n, text) in [&format!("{long}\nnot this"), "", "last"].iter().enumerate() {
        socket.send_to(text.as_bytes(), to).unwrap();
        wait(n + 1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    }
    agent.stop();
    let head = format!("{{from=/{}}} ", socket.local_addr().unwrap());
    assert_eq!(agent.lines("out"), [format!("{head}{long}"), head.clone(), format!("{head}last")]);
}

#[test]
fn a_command_with_a_password_in_it_is_not_logged() {
    let mut agent = Conf::new()
        .source_anywhere("r1", "exec", "c1", &["command = ls ${env:HOME}/hush"])
        .channel("c1", &[])
        .sink("k1", "null", "c1", &[])
        .start();
    agent.wait_log("source r1: runs '(hidden)' as process");
    // What ls says of it has the path.
    agent.wait_log("(restart = false) (its stderr is not shown: the command holds hidden values)");
    let log = agent.stop();
    assert!(!log.contains("hush"), "{log}");
}
