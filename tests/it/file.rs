//! The file channel under the real agent: kills, stops, reloads, full disks, counters.

use crate::util::{shutdown_metric, wait, Client, Conf};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod damage;

/// Netcat into a file channel, and a sink whose folder the test makes.
fn conf(channel: &[&str]) -> Conf {
    Conf::new().source("r1", "netcat", "c1", &[]).file_channel("c1", channel).files_later(
        "k1",
        "c1",
        "out",
        &["sink.batchSize = 10"],
    )
}

fn lines(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n} {}", "x".repeat(40))).collect()
}

/// Sends lines and waits until they are stored.
fn send(client: &mut Client, range: std::ops::Range<usize>) {
    let text: String = lines(range.clone()).iter().map(|l| format!("{l}\n")).collect();
    client.send(text);
    for _ in range {
        assert_eq!(client.answer(), "OK\n");
    }
}

/// What a sink wrote, file by file. A kill may leave a piece of a line at the end of one.
fn files(folder: &Path) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    let read = |p: PathBuf| {
        let text = std::fs::read_to_string(&p).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        (p.file_name().unwrap().to_str().unwrap().to_owned(), whole.lines().map(str::to_owned).collect())
    };
    all.into_iter().map(read).collect()
}

/// Numbers that a seed decides.
struct Random(u64);

impl Random {
    /// The seed is printed; FLUMED_SEED replays it.
    fn new() -> Random {
        let given = std::env::var("FLUMED_SEED").ok().map(|s| s.parse().expect("a number"));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.unwrap_or(now) | 1;
        eprintln!("FLUMED_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Sends lines `<name> <n>` from `next` on, some at a time, until the agent is gone: how many were sent, and how many
/// of them acknowledged, which are the first.
fn talk(mut client: Client, name: &str, next: usize, stored: &AtomicUsize) -> (usize, usize) {
    use std::io::Write;
    let (mut sent, mut told) = (next, next);
    loop {
        let some = 1 + sent % 17;
        let text: String = (sent..sent + some).map(|n| format!("{name} {n}\n")).collect();
        sent += some;
        if client.socket.write_all(text.as_bytes()).is_err() {
            return (sent, told);
        }
        for _ in 0..some {
            match client.try_answer().as_deref() {
                Some("OK\n") => told += 1,
                // The agent is gone; a piece of an answer is none.
                None | Some("" | "O" | "OK") => return (sent, told),
                Some(other) => panic!("{name} heard {other}"),
            }
            stored.fetch_add(1, SeqCst);
        }
    }
}

/// The oracle's part that concerns repeats: the lines of each run of the agent, of which all but the last were killed.
/// A line comes again only if a killed run delivered it among its last, in a batch whose take was not committed.
fn repeats(runs: &[Vec<String>], batch: usize) -> usize {
    let mut seen: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut repeated = 0;
    for (r, run) in runs.iter().enumerate() {
        let mut of_this = BTreeSet::new();
        let mut again = 0;
        for (i, line) in run.iter().enumerate() {
            assert!(of_this.insert(line), "'{line}' came twice in run {r}");
            if let Some((before, place)) = seen.insert(line, (r, i)) {
                let behind = runs[before].len() - place;
                assert!(behind <= batch, "'{line}' came again: {behind} lines before kill {before}");
                again += 1;
            }
        }
        assert!(again <= batch * r, "run {r} repeats {again} lines");
        repeated += again;
    }
    repeated
}

#[test]
fn acknowledged_lines_survive_kills() {
    const CLIENTS: usize = 3;
    const ROUNDS: usize = 5;
    let mut random = Random::new();
    let conf = || conf(&["maxFileSize = 65536", "checkpointInterval = 1000"]).folder("out");
    let mut agent = conf().start();
    let mut state = [(0, 0); CLIENTS];
    let mut acknowledged = BTreeSet::new();
    let mut sent = BTreeSet::new();
    let mut ends = Vec::new();
    for round in 0..ROUNDS {
        if round > 0 {
            agent.start_again(&conf());
        }
        let stored = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                let (client, stored, next) = (agent.connect("r1"), stored.clone(), state[i].0);
                std::thread::spawn(move || talk(client, &format!("client{i}"), next, &stored))
            })
            .collect();
        let most = random.below(3000) as usize;
        wait(true, || stored.load(SeqCst) >= most);
        agent.kill();
        for (i, t) in clients.into_iter().enumerate() {
            let (all, told) = t.join().unwrap();
            acknowledged.extend((state[i].0..told).map(|n| format!("client{i} {n}")));
            sent.extend((state[i].0..all).map(|n| format!("client{i} {n}")));
            state[i] = (all, told);
        }
        ends.push(files(&agent.folder.path("out")).len());
    }
    agent.start_again(&conf());
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    agent.stop();
    let all = files(&agent.folder.path("out"));
    ends.push(all.len());
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let run = |(from, to): (usize, usize)| all[from..to].iter().flat_map(|(_, l)| l.clone()).collect();
    let runs: Vec<Vec<String>> = begins.zip(ends.iter().copied()).map(run).collect();
    let delivered: BTreeSet<String> = runs.concat().into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&delivered).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {:?}", lost.len(), acknowledged.len(), lost[0]);
    assert!(delivered.is_subset(&sent), "nobody sent {:?}", delivered.difference(&sent).next());
    let repeated = repeats(&runs, 10);
    assert!(repeated <= 10 * ROUNDS, "{repeated} lines came again");
    let mut last = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in runs.iter().flatten().filter(|l| seen.insert(*l)) {
        let (name, n) = line.split_once(' ').unwrap();
        let n: usize = n.parse().unwrap();
        let before = last.insert(name, n);
        assert!(before.is_none_or(|b| b < n), "{line} after {before:?}");
    }
    eprintln!("{} acknowledged, {} delivered, {repeated} again", acknowledged.len(), delivered.len());
}

#[test]
fn a_stop_leaves_the_backlog_to_the_next_start() {
    let mut agent = conf(&[]).start();
    send(&mut agent.connect("r1"), 0..5000);
    agent.wait_log("sink k1: cannot start");
    let began = Instant::now();
    let log = agent.stop();
    assert!(began.elapsed() < Duration::from_secs(8), "a durable channel is not waited for: {log}");
    assert_eq!(shutdown_metric(&log, "CHANNEL.c1", "EventLostAtStopCount"), 0);
    agent.start_again(&conf(&[]).folder("out"));
    agent.wait_log("Queue Size after replay: 5000 [channel=c1]; checkpoint ");
    assert_eq!(agent.connect("r1").ask("line 5000"), "OK\n");
    agent.wait_lines("out", 5001);
    agent.stop();
    assert_eq!(agent.lines("out"), [lines(0..5000), vec!["line 5000".to_owned()]].concat());
}

#[test]
fn two_agents_on_one_directory_are_told_and_take_turns() {
    let mut first = conf(&[]).start();
    assert_eq!(first.connect("r1").ask("line 0"), "OK\n");
    let data = format!("dataDirs = {}", first.folder.path("c1-data").display());
    let checkpoint = format!("checkpointDir = {}", first.folder.path("c1-checkpoint").display());
    let mut second = conf(&[&data, &checkpoint, "keep-alive = 0"]).folder("out").start();
    let line = second.wait_log("channel c1: ");
    assert!(line.contains("/flumed: is in use by another flumed") && line.contains("next try"), "{line}");
    let (status, text) = second.get("/healthz");
    assert!(status == 503 && text.contains("channel c1 failed: ") && text.contains("in use by"), "{text}");
    let answer = second.connect("r1").ask("too early");
    assert!(answer.starts_with("FAILED: "), "{answer}");
    assert_eq!(first.connect("r1").ask("line 1"), "OK\n");
    first.stop();
    wait(200, || second.get("/healthz").0);
    assert_eq!(second.connect("r1").ask("line 2"), "OK\n");
    second.wait_lines("out", 3);
    second.stop();
    assert_eq!(second.lines("out"), ["line 0", "line 1", "line 2"]);
}

#[test]
fn a_full_disk_refuses_puts_until_there_is_room() {
    let with = |space: &str| {
        let space = format!("minimumRequiredSpace = {space}");
        conf(&["keep-alive = 0", &space]).source("r2", "syslogtcp", "c1", &[])
    };
    let (little, most) = ("1048576", "1152921504606846976");
    let mut agent = with(little).start();
    let mut client = agent.connect("r1");
    send(&mut client, 0..50);
    assert_eq!(agent.reload(&with(most)), "applied");
    let mut stored = 50;
    let mut answer = String::new();
    wait(true, || {
        answer = client.ask(&lines(stored..stored + 1)[0]);
        stored += usize::from(answer == "OK\n");
        answer != "OK\n"
    });
    assert_eq!(answer, "FAILED: channel c1 takes nothing: its disk is full\n");
    agent.wait_log("channel c1: the disk is full, nothing is put: c1-data/flumed: ");
    let line = agent.wait_log("channel c1 is full: the disk is full: ");
    assert!(line.contains("minimumRequiredSpace is 1152921504606846976"), "{line}");
    assert_eq!(agent.metric("CHANNEL.c1", "DiskFull"), 1);
    let (status, health) = agent.get("/healthz");
    assert!(status == 503 && health.contains("channel c1 failed: the disk is full"), "{health}");
    // One whose protocol cannot refuse waits.
    agent.connect("r2").send("<13>Oct 11 22:14:15 host1 patient\n");
    wait(1, || agent.metric("SOURCE.r2", "ParkedConnectionCount"));
    agent.make_folder("out");
    agent.wait_lines("out", stored);
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    assert!(client.ask("still none").starts_with("FAILED"));
    assert_eq!(agent.reload(&with(little)), "applied");
    agent.wait_log("channel c1: c1-data/flumed has room again");
    agent.wait_lines("out", stored + 1);
    assert_eq!(client.ask("room again"), "OK\n");
    agent.wait_lines("out", stored + 2);
    assert_eq!(agent.metric("CHANNEL.c1", "DiskFull"), 0);
    agent.stop();
    let last = vec!["patient".to_owned(), "room again".to_owned()];
    assert_eq!(agent.lines("out"), [lines(0..stored), last].concat());
}

#[test]
fn a_reload_that_changes_directories_drains_the_old_ones() {
    let on = |n: usize| {
        let (data, checkpoint) = (format!("dataDirs = data{n}"), format!("checkpointDir = checkpoint{n}"));
        conf(&[&data, &checkpoint])
    };
    let mut agent = on(1).start();
    let mut client = agent.connect("r1");
    send(&mut client, 0..500);
    assert_eq!(agent.reload(&on(2)), "applied");
    send(&mut client, 500..1000);
    assert!(agent.folder.path("data2/flumed/segment-1").exists());
    agent.make_folder("out");
    agent.wait_log("channel c1 is empty and gone");
    agent.wait_lines("out", 1000);
    wait(200, || agent.get("/healthz").0);
    agent.stop();
    let mut found = agent.lines("out");
    found.sort();
    let mut expected = lines(0..1000);
    expected.sort();
    assert_eq!(found, expected);
    // What drained holds nothing any more.
    agent.start_again(&on(1).folder("out"));
    agent.wait_log("Queue Size after replay: 0 [channel=c1]");
    agent.stop();
}

/// The checkpoints' directory has one owner: the new channel waits for the old one.
#[test]
fn a_reload_that_changes_some_directories_waits_for_the_others() {
    let on = |n: usize| conf(&[&format!("dataDirs = data{n}"), "keep-alive = 0"]);
    let mut agent = on(1).start();
    let mut client = agent.connect("r1");
    send(&mut client, 0..500);
    let outcome = agent.reload(&on(2));
    assert_eq!(outcome, "applied");
    let line = agent.wait_log("channel c1: c1-checkpoint/flumed: is in use by");
    assert!(line.contains("another channel of this one"), "{line}");
    let answer = client.ask("refused");
    assert!(answer.starts_with("FAILED: "), "{answer}");
    agent.make_folder("out");
    wait(200, || agent.get("/healthz").0);
    send(&mut client, 500..1000);
    agent.wait_lines("out", 1000);
    let log = agent.stop();
    assert_eq!(agent.lines("out"), lines(0..1000));
    assert!(!log.contains("are lost"), "{log}");
}

#[test]
fn the_channel_shows_its_counters() {
    let mut agent = conf(&[]).folder("out").start();
    send(&mut agent.connect("r1"), 0..100);
    agent.wait_lines("out", 100);
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    // Counted once a second.
    wait(1, || agent.metric("CHANNEL.c1", "SegmentCount"));
    let all = agent.metrics();
    let c = &all["CHANNEL.c1"];
    let text = |key: &str| c[key].as_str().unwrap_or_else(|| panic!("no {key} in {c}")).to_owned();
    let number = |key: &str| text(key).parse::<f64>().unwrap_or_else(|_| panic!("{key} is {}", text(key)));
    assert_eq!((text("Type"), text("Open")), ("CHANNEL".into(), "true".into()));
    for (key, value) in [
        ("ChannelSize", 0.0),
        ("ChannelCapacity", 1e6),
        ("EventPutSuccessCount", 100.0),
        ("EventTakeSuccessCount", 100.0),
        ("EventPutErrorCount", 0.0),
        ("EventTakeErrorCount", 0.0),
        ("CheckpointWriteErrorCount", 0.0),
        ("CheckpointBackupWriteErrorCount", 0.0),
        ("Closed", 0.0),
        ("Unhealthy", 0.0),
        ("SegmentCount", 1.0),
        ("DiskFull", 0.0),
        ("RecoveredEventCount", 0.0),
        ("EventDamagedCount", 0.0),
        ("DamagedBytesCount", 0.0),
    ] {
        assert_eq!(number(key), value, "{key}");
    }
    for key in
        ["SyncCount", "SyncTimeMax", "FramesPerSync", "BytesWrittenCount", "SegmentBytes", "UsableSpace"]
    {
        assert!(number(key) > 0.0, "{key} is {}", text(key));
    }
    assert!(number("SyncTimeMean") <= number("SyncTimeMax") && number("BytesWrittenCount") > 4000.0, "{c}");
    ["RecoveryTime", "CheckpointCount", "LastCheckpointTime"]
        .iter()
        .for_each(|k| assert!(number(k) >= 0.0, "{k}"));
    agent.stop();
}
