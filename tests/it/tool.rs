//! `flumed tool` on channels that the agent wrote, and imports of channels that Flume wrote.

use crate::util::{flumed, Conf, Folder};
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;
use std::path::Path;

const KEYS: &[&str] = &["dataDirs = d", "checkpointDir = c", "minimumRequiredSpace = 1048576"];

fn conf(keys: &[&str]) -> Conf {
    Conf::new().source("r1", "netcat", "c1", &[]).channel_of("c1", "file", keys)
}

/// Sends lines `from..to` to an agent and waits until they are stored.
fn send(client: &mut crate::util::Client, lines: std::ops::Range<u32>) {
    let text: String = lines.clone().map(|n| format!("line {n} {}\n", "x".repeat(40))).collect();
    client.send(text);
    for _ in lines {
        assert_eq!(client.answer(), "OK\n");
    }
}

/// Runs `flumed tool channel`; the words are separated by spaces.
fn tool(folder: &Path, words: &str) -> (Option<i32>, String, String) {
    let mut args = vec!["tool", "channel"];
    args.extend(words.split(' '));
    flumed(folder, &args)
}

#[track_caller]
fn expect(folder: &Path, words: &str, code: i32, text: &str) -> String {
    let (found, out, err) = tool(folder, words);
    assert_eq!(found, Some(code), "{words}\n{out}{err}");
    assert!(out.contains(text) || err.contains(text), "{words}: no '{text}' in\n{out}{err}");
    out
}

#[test]
fn a_stopped_channel_is_looked_into_and_a_running_one_is_not() {
    let mut agent = conf(KEYS).start();
    send(&mut agent.connect("r1"), 0..2000);
    let folder = agent.folder.path("");
    for command in ["check", "dump", "stats", "repair", "import"] {
        let dirs = if command == "import" { "--into d" } else { "d" };
        let (code, out, err) = tool(&folder, &format!("{command} --checkpoint c {dirs}"));
        if command == "import" {
            // There is nothing of Flume's: it does not come to that.
            assert_eq!((code, out.contains("nothing to import")), (Some(0), true), "{out}{err}");
            continue;
        }
        assert_eq!(code, Some(1), "{out}{err}");
        assert!(err.contains("in use by another flumed") && err.contains("stop the agent first"), "{err}");
    }
    agent.stop();
    expect(&folder, "check d --checkpoint c", 0, " 2000 live events: no damage");
    expect(&folder, "check d/flumed", 0, "checkpoints: not looked at");
    expect(&folder, "check -n a1 -f a1.conf --channel c1", 0, "whole, fits, the same live events");
    let (code, out, err) = flumed(&folder, &["tool", "fcintegritytool", "-l", "d"]);
    assert!(code == Some(0) && out.contains("no damage") && err.contains("changes nothing"), "{out}{err}");
    let out = expect(&folder, "dump d --events --limit 2", 0, "segment-1 128 start");
    assert!(out.contains(&format!("\n  0 live {{}} line 0 {}\n", "x".repeat(40))), "{out}");
    assert_eq!(out.lines().filter(|l| l.starts_with("  ")).count(), 2);
    let out = expect(&folder, "stats d --checkpoint c", 0, "live events: 2000");
    assert!(out.contains("\nevents: 2000, ") && out.contains("could be freed: no, 2000 live"), "{out}");
    expect(&folder, "repair d --checkpoint c", 0, "nothing to repair");
    // Who stops reading is no failure.
    let script = "(\"$0\" tool channel dump d --events; echo $? >code) | head -n 1";
    let sh = |script: &str| {
        let mut sh = std::process::Command::new("sh");
        sh.args(["-c", script, env!("CARGO_BIN_EXE_flumed")]).current_dir(&folder).output().unwrap()
    };
    assert!(sh(script).stdout.starts_with(b"segment-1 128 start"));
    assert_eq!(std::fs::read_to_string(folder.join("code")).unwrap(), "0\n");
}

#[test]
fn a_flipped_byte_is_found_and_passed_over() {
    let mut agent = conf(KEYS).start();
    let mut client = agent.connect("r1");
    for n in 0..10 {
        send(&mut client, n..n + 1);
    }
    let folder = agent.folder.path("");
    agent.stop();
    let text = expect(&folder, "dump d", 0, " put - 4 ");
    let frame = text.lines().find(|l| l.contains(" put - 4 ")).unwrap().split(' ').nth(1).unwrap();
    let offset: usize = frame.parse().unwrap();
    let segment = folder.join("d/flumed/segment-1");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[offset + 80] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    expect(&folder, "check d", 4, "a put of 1 event: numbers 4-4");
    expect(&folder, "repair d --checkpoint c", 0, "would keep a copy of the damage");
    assert!(!folder.join(format!("d/flumed/damaged-1-{offset}")).exists());
    expect(&folder, "repair d --checkpoint c --yes", 0, "keep a copy of the damage");
    assert!(folder.join(format!("d/flumed/damaged-1-{offset}")).exists());
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
    // The rest is delivered.
    let again = conf(KEYS).folder("out").files_later("k1", "c1", "../out", &[]);
    std::fs::create_dir(folder.join("out")).unwrap();
    let text = again.text().replace("../out", "out");
    let mut agent =
        crate::util::Agent::spawn(std::mem::replace(&mut agent.folder, Folder::new()), &text, &[], None);
    agent.wait_log("agent a1 started");
    let lines = agent.wait_lines("out", 9);
    let left: Vec<String> =
        (0..10).filter(|n| *n != 4).map(|n| format!("line {n} {}", "x".repeat(40))).collect();
    assert_eq!(lines, left);
    agent.stop();
}

#[cfg(feature = "encryption")]
#[test]
fn an_encrypted_channel_needs_its_key() {
    let folder = Folder::new();
    std::fs::write(folder.path("key"), [7; 32]).unwrap();
    let text = conf(&[KEYS, &["encryption.keyFile = key"]].concat()).text();
    let mut agent = crate::util::Agent::spawn(folder, &text, &[], None);
    agent.wait_log("agent a1 started");
    send(&mut agent.connect("r1"), 0..3);
    agent.stop();
    let folder = agent.folder.path("");
    for command in ["check", "dump", "stats", "repair"] {
        expect(&folder, &format!("{command} d"), 1, "is encrypted with a key that is neither");
    }
    expect(&folder, "check d --key-file key --checkpoint c", 0, " 3 live events: no damage");
    expect(&folder, "dump d --live --old-key-file key", 0, "  2 live {} line 2 ");
    expect(&folder, "check -n a1 -f a1.conf --channel c1", 0, "no damage");
}

/// A folder with a copy of a channel of Flume's, and a configuration that names its directories.
fn flumes(name: &str, dirs: &[&str]) -> (Folder, String) {
    let folder = Folder::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flume-channel").join(name);
    for dir in ["checkpoint"].iter().chain(dirs) {
        std::fs::create_dir(folder.path(dir)).unwrap();
        for file in std::fs::read_dir(from.join(dir)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path(dir).join(file.file_name())).unwrap();
        }
    }
    let text = Conf::new()
        .channel_of(
            "c1",
            "file",
            &[
                &format!("dataDirs = {}", dirs.join(", ")),
                "checkpointDir = checkpoint",
                "capacity = 20",
                "transactionCapacity = 10",
                "minimumRequiredSpace = 1048576",
            ],
        )
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT", "sink.batchSize = 10"])
        .text();
    std::fs::write(folder.path("a1.conf"), text).unwrap();
    std::fs::create_dir(folder.path("out")).unwrap();
    let expected = std::fs::read_to_string(from.join("expected.txt")).unwrap();
    (folder, expected)
}

const CONFIGURED: &str = "import -n a1 -f a1.conf --channel c1";

/// Has an agent deliver everything, and compares.
fn deliver(folder: Folder, expected: &str) {
    let text = std::fs::read_to_string(folder.path("a1.conf")).unwrap();
    let mut agent = crate::util::Agent::spawn(folder, &text, &[], None);
    agent.wait_log("agent a1 started");
    let lines = agent.wait_lines("out", expected.lines().count());
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    agent.stop();
}

#[test]
fn flumes_channels_are_taken_over_and_delivered() {
    for (name, dirs) in [("closed", &["data"][..]), ("killed", &["data"]), ("two-dirs", &["data", "data2"])] {
        let (folder, expected) = flumes(name, dirs);
        let n = format!("imported {} events\n  Flume's checkpoint: used", expected.lines().count());
        let out = expect(&folder.path(""), CONFIGURED, 0, &n);
        assert!(out.contains("data/log-* "), "{out}");
        expect(&folder.path(""), CONFIGURED, 0, "done already: ");
        deliver(folder, &expected);
    }
}

#[test]
fn an_import_goes_from_and_to_any_directory() {
    let (folder, _) = flumes("closed", &["data"]);
    let path = folder.path("");
    let out = expect(&path, "import --from data --into new --checkpoint new-chk", 0, "imported 12 events");
    assert!(out.contains("checkpoint: not given, everything was replayed"), "{out}");
    expect(&path, "check new --checkpoint new-chk", 0, " 12 live events: no damage");
    assert!(!path.join("data/flumed").exists());
    expect(
        &path,
        "import --from data --flume-checkpoint checkpoint --into other --checkpoint other",
        0,
        "used",
    );
}

#[test]
fn an_import_that_was_cut_short_is_resumed_or_repeated() {
    let (folder, expected) = flumes("closed", &["data"]);
    let path = folder.path("");
    expect(&path, CONFIGURED, 0, "imported 12 events");
    // As a crash before the last step leaves it.
    let note = path.join("data/flumed/import");
    let text = std::fs::read_to_string(&note).unwrap();
    std::fs::write(&note, text.replace("done 12", "begun 0")).unwrap();
    let (data, away) = (path.join("data/log-1"), path.join("log-1"));
    std::fs::rename(&data, &away).unwrap();
    expect(&path, CONFIGURED, 1, "Flume's files are gone: delete data/flumed/import");
    std::fs::rename(&away, &data).unwrap();
    expect(&path, CONFIGURED, 1, "was cut short when 12 events had been stored: --resume goes on");
    expect(
        &path,
        &format!("{CONFIGURED} --resume"),
        0,
        "of which 12 were stored by the import that was cut short",
    );
    assert_eq!(std::fs::read_to_string(&note).unwrap(), text);
    expect(&path, CONFIGURED, 0, "done already");
    expect(&path, &format!("{CONFIGURED} --again"), 0, "imported 12 events");
    deliver(folder, &expected.repeat(2));
}

#[test]
fn what_cannot_be_imported_is_refused() {
    let (folder, _) = flumes("closed", &["data"]);
    let path = folder.path("");
    let lock = path.join("data/in_use.lock");
    std::fs::write(&lock, "").unwrap();
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&lock).unwrap();
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&held, FcntlArg::F_SETLK(&whole)).unwrap();
    expect(&path, CONFIGURED, 1, "is in use by a running Flume agent (process ");
    assert!(!path.join("data/flumed").exists(), "nothing is made before that");
    drop(held);
    let meta = path.join("data/log-1.meta");
    let whole = std::fs::read(&meta).unwrap();
    let mut encrypted = whole.clone();
    encrypted[0] += 5;
    encrypted.extend(b"\x2a\x03\x0a\x01x");
    std::fs::write(&meta, encrypted).unwrap();
    expect(&path, CONFIGURED, 1, "the channel is encrypted, and encrypted channels cannot be imported");
    std::fs::write(&meta, whole).unwrap();
    expect(&path, CONFIGURED, 0, "imported 12 events");
}

#[test]
fn damage_makes_an_import_end_with_4() {
    let (folder, expected) = flumes("closed", &["data"]);
    let path = folder.path("");
    let log = path.join("data/log-1");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(6).position(|w| w == "\u{ef}ne 7".as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    expect(&path, CONFIGURED, 4, "1 event could not be read: lost");
    let left: String = expected.lines().filter(|l| !l.ends_with(" 7")).map(|l| format!("{l}\n")).collect();
    deliver(folder, &left);
}

#[test]
fn wrong_words_are_told() {
    let (folder, _) = flumes("closed", &["data"]);
    let path = folder.path("");
    for (words, text) in [
        ("check", "which channel?"),
        ("check d --gizmo", "gizmo"),
        ("dump d --limit x", "--limit is a number"),
        ("check -n a1 -f a1.conf", "--channel is required"),
        ("check -n a1 -f a1.conf --channel c2", "no usable channel c2"),
        ("check -n a1 -f a1.conf --channel c1 d", "not from both"),
        ("import --from data --into d", "--checkpoint is required"),
        ("import -n a1 -f a1.conf --channel c1 --again --resume", "exclude each other"),
    ] {
        expect(&path, words, 2, text);
    }
    expect(&path, "gizmo", 2, "Unknown or unspecified command");
    expect(&path, "check nowhere", 1, "nowhere/flumed: is not there");
    expect(&path, "import --from nowhere --into d --checkpoint c", 1, "no data files of Flume's");
    assert!(!path.join("nowhere").exists() && !path.join("d").exists());
    let (code, _, err) = flumed(&path, &["tool", "fcintegritytool", "-l", "data", "-e", "x.Y"]);
    assert!(code == Some(2) && err.contains("Java classes"), "{err}");
}
