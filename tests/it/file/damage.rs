//! Files that are damaged, missing, newer, or not to be read, and directories that are none.

use super::{conf, lines, send};
use crate::util::{wait, Agent, Conf, Folder, PATIENCE};
use std::path::Path;

/// Changes a byte in the one place of a file that holds this text.
fn flip(file: &Path, text: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_flipped_byte_costs_the_event_it_is_in() {
    for is_killed in [false, true] {
        let mut agent = conf(&[]).start();
        let mut client = agent.connect("r1");
        // A frame each.
        (0..20).for_each(|n| send(&mut client, n..n + 1));
        match is_killed {
            true => agent.kill(),
            false => drop(agent.stop()),
        }
        flip(&agent.folder.path("c1-data/flumed/segment-1"), "line 7 x");
        agent.start_again(&conf(&[]).folder("out"));
        agent.wait_lines("out", 19);
        wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
        assert_eq!(agent.metric("CHANNEL.c1", "EventDamagedCount"), 1, "killed: {is_killed}");
        let log = agent.stop();
        assert_eq!(agent.lines("out"), [lines(0..7), lines(8..20)].concat());
        let damaged = |l: &&str| l.contains("segment-1") && l.contains(" is damaged from byte ");
        assert!(log.lines().any(|l| damaged(&l)), "{log}");
        assert!(log.contains("lost: numbers 7-7") || log.contains("lost to damage: numbers 7"), "{log}");
        let kept = std::fs::read_dir(agent.folder.path("c1-data/flumed")).unwrap();
        let name = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        assert!(kept.map(name).any(|n| n.starts_with("damaged-1-")));
    }
}

#[test]
fn without_checkpoints_all_segments_are_read() {
    for is_killed in [false, true] {
        let mut agent = conf(&["maxFileSize = 65536"]).start();
        send(&mut agent.connect("r1"), 0..5000);
        match is_killed {
            true => agent.kill(),
            false => drop(agent.stop()),
        }
        std::fs::remove_dir_all(agent.folder.path("c1-checkpoint")).unwrap();
        agent.start_again(&conf(&["maxFileSize = 65536"]).folder("out"));
        agent.wait_log("channel c1: there is no checkpoint; all segments are read");
        agent.wait_log("Queue Size after replay: 5000 [channel=c1]; no checkpoint");
        agent.wait_lines("out", 5000);
        agent.stop();
        assert_eq!(agent.lines("out"), lines(0..5000));
    }
}

#[test]
fn a_missing_data_directory_is_waited_for() {
    for dirs in ["dataDirs = one", "dataDirs = one, two"] {
        let mut agent = conf(&[dirs, "keep-alive = 0"]).start();
        let mut client = agent.connect("r1");
        (0..40).for_each(|n| send(&mut client, n..n + 1));
        agent.stop();
        let (there, away) = (agent.folder.path("one"), agent.folder.path("away"));
        std::fs::rename(&there, &away).unwrap();
        agent.start_again(&conf(&[dirs, "keep-alive = 0"]).folder("out"));
        let line = agent.wait_log("not mounted, or ");
        assert!(line.contains("channel c1: ") && line.contains("dataDirs"), "{line}");
        let (status, text) = agent.get("/healthz");
        assert!(status == 503 && text.contains("channel c1 failed: "), "{text}");
        if dirs.contains("two") {
            assert!(line.contains("data directory one of this channel is not there"), "{line}");
        }
        // As a mount would: what a try has made in its place is covered.
        wait(true, || {
            let _ = std::fs::remove_dir_all(&there);
            std::fs::rename(&away, &there).is_ok()
        });
        wait(200, || agent.get("/healthz").0);
        agent.wait_lines("out", 40);
        agent.stop();
        assert_eq!(agent.lines("out"), lines(0..40));
    }
}

#[test]
fn the_order_of_data_directories_does_not_matter() {
    let mut agent = conf(&["dataDirs = one, two"]).start();
    let mut client = agent.connect("r1");
    (0..100).for_each(|n| send(&mut client, n..n + 1));
    agent.stop();
    agent.start_again(&conf(&["dataDirs = two, one"]).folder("out"));
    send(&mut agent.connect("r1"), 100..200);
    agent.wait_lines("out", 200);
    agent.stop();
    assert_eq!(agent.lines("out"), lines(0..200));
    // One that is no longer named holds nothing now.
    agent.start_again(&conf(&["dataDirs = two"]));
    wait(200, || agent.get("/healthz").0);
    agent.stop();
}

/// A segment is deleted by hand: what was in it is counted, everything else is delivered.
fn lose_a_segment(is_killed: bool) {
    const KEYS: &[&str] = &["maxFileSize = 65536"];
    let mut agent = conf(KEYS).start();
    let mut client = agent.connect("r1");
    (0..50).for_each(|n| send(&mut client, n * 100..(n + 1) * 100));
    match is_killed {
        true => agent.kill(),
        false => drop(agent.stop()),
    }
    std::fs::remove_file(agent.folder.path("c1-data/flumed/segment-2")).unwrap();
    agent.start_again(&conf(KEYS).folder("out"));
    wait(0, || agent.metric("CHANNEL.c1", "ChannelSize"));
    let lost = agent.metric("CHANNEL.c1", "EventDamagedCount");
    let log = agent.stop();
    if is_killed {
        // No checkpoint knows of it: it may have been freed.
        assert!(
            agent.lines("out").len() < 5000
                && log.contains("of numbers ")
                && log.contains(" nothing is found"),
            "{log}"
        );
        return;
    }
    assert_eq!(agent.lines("out").len() + lost, 5000, "{log}");
    assert!(lost > 0 && log.contains("events are lost with missing segments: numbers "), "{log}");
}

#[test]
fn a_segment_that_is_gone_is_told() {
    lose_a_segment(false);
}

#[test]
fn a_segment_that_is_gone_is_told_without_a_checkpoint() {
    lose_a_segment(true);
}

/// Starts an agent whose channel cannot start, and checks that its log says this; ends it.
fn refused(folder: Folder, conf: &Conf, texts: &[&str]) -> Folder {
    let mut agent = Agent::spawn(folder, &conf.text(), &[], None);
    let line = agent.wait_log("channel c1: ");
    texts.iter().for_each(|t| assert!(line.contains(t), "no '{t}' in {line}"));
    let (status, health) = agent.get("/healthz");
    assert!(status == 503 && health.contains("channel c1 failed: "), "{health}");
    agent.signal("TERM");
    assert_eq!(agent.wait_exit(PATIENCE).0, Some(0), "an agent whose channel never opened stops");
    std::mem::replace(&mut agent.folder, Folder::new())
}

#[test]
fn what_is_no_directory_is_named() {
    let folder = Folder::new();
    std::fs::write(folder.path("file"), "").unwrap();
    let folder = refused(folder, &conf(&["dataDirs = file"]), &["file/flumed: ", "next try in"]);
    let folder = refused(folder, &conf(&["dataDirs = file/below"]), &["file/below/flumed: "]);
    let folder = refused(folder, &conf(&["checkpointDir = file"]), &["file/flumed: "]);
    std::fs::create_dir(folder.path("data")).unwrap();
    std::fs::write(folder.path("data/flumed"), "").unwrap();
    refused(folder, &conf(&["dataDirs = data"]), &["data/flumed: "]);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = Folder::new();
    std::fs::create_dir(folder.path("data")).unwrap();
    if std::fs::metadata(folder.path("data")).unwrap().uid() == 0 {
        eprintln!("skipped: root may write everywhere");
        return;
    }
    let set = |folder: &Folder, mode| {
        std::fs::set_permissions(folder.path("data"), PermissionsExt::from_mode(mode)).unwrap();
    };
    set(&folder, 0o500);
    let folder = refused(folder, &conf(&["dataDirs = data"]), &["data/flumed: ", "denied"]);
    set(&folder, 0o700);
}

/// Writes another format version into a file's header of this many bytes, with the right checksum.
fn set_version(file: &Path, len: Option<usize>, version: u32) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[12..16].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&bytes[12..len.unwrap_or(bytes.len())]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_newer_format_is_left_alone() {
    let mut agent = conf(&[]).start();
    send(&mut agent.connect("r1"), 0..10);
    agent.stop();
    let mut folder = std::mem::replace(&mut agent.folder, Folder::new());
    for (name, len, version) in [("segment-1", Some(128), "7, this flumed knows 1"), ("channel", None, "7")] {
        let file = folder.path("c1-data/flumed").join(name);
        let before = std::fs::read(&file).unwrap();
        set_version(&file, len, 7);
        let newer = std::fs::read(&file).unwrap();
        folder = refused(folder, &conf(&[]), &[name, &format!("has format version {version}")]);
        assert!(std::fs::read(&file).unwrap() == newer, "{name} was touched");
        std::fs::write(&file, before).unwrap();
    }
    let text = conf(&[]).folder("out").text();
    std::fs::create_dir(folder.path("out")).unwrap();
    let mut agent = Agent::spawn(folder, &text, &[], None);
    assert_eq!(agent.wait_lines("out", 10), lines(0..10));
    agent.stop();
}

/// Data of one channel beside the checkpoints of another. Recovery takes them for its own: all is delivered, but events
/// that never were are told as lost.
#[test]
fn checkpoints_that_were_swapped_lose_nothing() {
    let both = |a: usize, b: usize| {
        let checkpoint = |n: usize| format!("checkpointDir = checkpoint{n}");
        Conf::new()
            .source("r1", "netcat", "c1", &[])
            .source("r2", "netcat", "c2", &[])
            .file_channel("c1", &[&checkpoint(a)])
            .file_channel("c2", &[&checkpoint(b)])
            .files_later("k1", "c1", "one", &[])
            .files_later("k2", "c2", "two", &[])
    };
    let mut agent = both(1, 2).start();
    send(&mut agent.connect("r1"), 0..300);
    send(&mut agent.connect("r2"), 1000..1100);
    agent.stop();
    agent.start_again(&both(2, 1).folder("one").folder("two"));
    wait(200, || agent.get("/healthz").0);
    agent.wait_lines("one", 300);
    agent.wait_lines("two", 100);
    let damaged = ["c1", "c2"].map(|c| agent.metric(&format!("CHANNEL.{c}"), "EventDamagedCount"));
    let log = agent.stop();
    assert_eq!((agent.lines("one"), agent.lines("two")), (lines(0..300), lines(1000..1100)));
    assert_eq!(damaged, [0, 0], "nothing was lost: {log}");
}

#[cfg(feature = "encryption")]
#[test]
fn an_encrypted_channel_hides_bodies_and_wants_its_key() {
    let folder = Folder::new();
    std::fs::write(folder.path("key"), [7; 32]).unwrap();
    std::fs::write(folder.path("other"), [8; 32]).unwrap();
    let mut agent = Agent::spawn(folder, &conf(&["encryption.keyFile = key"]).text(), &[], None);
    agent.wait_log("agent a1 started");
    send(&mut agent.connect("r1"), 0..500);
    agent.stop();
    let mut segments = 0;
    for entry in std::fs::read_dir(agent.folder.path("c1-data/flumed")).unwrap() {
        let path = entry.unwrap().path();
        segments += usize::from(path.file_name().unwrap().to_str().unwrap().starts_with("segment-"));
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|w| w == b"xxxxxxxx"), "{} shows bodies", path.display());
    }
    assert!(segments > 0);
    let mut folder = std::mem::replace(&mut agent.folder, Folder::new());
    let names = ["c1-data/flumed/segment-1", "encryption.keyFile", "encryption.oldKeyFiles"];
    for keys in [&[][..], &["encryption.keyFile = other"]] {
        folder = refused(folder, &conf(keys), &names);
    }
    folder = refused(folder, &conf(&["encryption.keyFile = gone"]), &["key file gone: "]);
    std::fs::create_dir(folder.path("out")).unwrap();
    let rotated = conf(&["encryption.keyFile = other", "encryption.oldKeyFiles = key"]);
    let mut agent = Agent::spawn(folder, &rotated.text(), &[], None);
    assert_eq!(agent.wait_lines("out", 500), lines(0..500));
    agent.stop();
}
