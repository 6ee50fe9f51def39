//! The spillable memory channel: what spills, what survives which end.

use crate::util::{shutdown_metric, wait, Conf, Folder, PATIENCE};

/// Memory for 20 events, files in a folder that outlives the agent.
fn conf(files: &Folder, timeout: u32) -> Conf {
    let checkpoint = format!("checkpointDir = {}", files.path("checkpoint").display());
    let data = format!("dataDirs = {}", files.path("data").display());
    let timeout = format!("overflowTimeout = {timeout}");
    let keys =
        [&checkpoint, &data, timeout.as_str(), "memoryCapacity = 20", "minimumRequiredSpace = 1048576"];
    Conf::new()
        .source("r1", "netcat", "c1", &[])
        .source("r2", "syslogtcp", "c1", &[])
        .channel_of("c1", "SPILLABLEMEMORY", &keys)
        .arg("-Dflumed.shutdownTimeout=1")
}

fn lines(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

#[test]
fn a_kill_loses_what_was_in_memory_and_nothing_of_the_overflow() {
    let files = Folder::new();
    let mut agent = conf(&files, 0).files_later("k1", "c1", "missing", &[]).start();
    let mut client = agent.connect("r1");
    lines(0..100).iter().for_each(|l| assert_eq!(client.ask(l), "OK\n"));
    let metric = |key| agent.metric("CHANNEL.c1", key);
    assert_eq!((metric("MemorySize"), metric("OverflowSize"), metric("ChannelSize")), (20, 80, 100));
    assert_eq!((metric("SpillCount"), metric("SpilledEventCount"), metric("Spilling")), (1, 80, 1));
    agent.signal("KILL");
    agent.wait_exit(PATIENCE);
    let mut agent = conf(&files, 0).files("k1", "c1", "out").start();
    assert_eq!(agent.wait_lines("out", 80), lines(20..100));
    assert_eq!(agent.connect("r1").ask("line 100"), "OK\n");
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    agent.stop();
    assert_eq!(agent.lines("out"), lines(20..101));
}

#[test]
fn a_stop_with_a_sink_that_is_down_loses_nothing() {
    let files = Folder::new();
    let mut agent = conf(&files, 0).files_later("k1", "c1", "missing", &[]).start();
    let mut client = agent.connect("r1");
    lines(0..50).iter().for_each(|l| assert_eq!(client.ask(l), "OK\n"));
    agent.signal("TERM");
    let (code, log) = agent.wait_exit(PATIENCE);
    assert_eq!(code, Some(3), "the sink was waited for: {log}");
    assert_eq!(shutdown_metric(&log, "CHANNEL.c1", "EventLostAtStopCount"), 0);
    let told =
        "channel c1: 20 events that were in memory are written to the overflow, order changed: 20 of them";
    assert!(log.contains(told), "{log}");
    let mut agent = conf(&files, 0).files("k1", "c1", "out").start();
    assert_eq!(agent.wait_lines("out", 50), [lines(20..50), lines(0..20)].concat());
    agent.stop();
}

#[test]
fn a_stop_delivers_what_is_in_memory() {
    let files = Folder::new();
    let mut agent = conf(&files, 0).files_later("k1", "c1", "out", &[]).start();
    let mut client = agent.connect("r1");
    lines(0..20).iter().for_each(|l| assert_eq!(client.ask(l), "OK\n"));
    agent.wait_log("sink k1: cannot start");
    agent.make_folder("out");
    agent.stop();
    assert_eq!(agent.lines("out"), lines(0..20));
}

/// Of its two sources one has a protocol that can refuse, and tries by itself; the other waits to be woken.
#[test]
fn sources_wait_for_memory_and_then_spill() {
    let files = Folder::new();
    let mut agent = conf(&files, 1).files_later("k1", "c1", "missing", &[]).start();
    let mut client = agent.connect("r1");
    lines(0..20).iter().for_each(|l| assert_eq!(client.ask(l), "OK\n"));
    let began = std::time::Instant::now();
    agent.connect("r2").send("<13>Oct 11 22:14:15 host1 text\n".repeat(30));
    wait(30, || agent.metric("SOURCE.r2", "EventAcceptedCount"));
    assert!(began.elapsed().as_millis() >= 1000);
    assert_eq!(client.ask("line 20"), "OK\n");
    assert_eq!(agent.metric("CHANNEL.c1", "OverflowSize"), 31);
    agent.signal("KILL");
    agent.wait_exit(PATIENCE);
    // One that can refuse is not refused before.
    let mut agent = conf(&files, 1).files_later("k1", "c1", "missing", &[]).start();
    let mut client = agent.connect("r1");
    lines(0..25).iter().for_each(|l| assert_eq!(client.ask(l), "OK\n"));
    agent.signal("KILL");
    agent.wait_exit(PATIENCE);
}
