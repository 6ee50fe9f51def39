//! Channels that real Flume left (tests/data/flume-channel), whole and damaged. What Flume itself delivered from each
//! stands in its expected.txt.

mod made;

use super::window::Window;
use super::*;
use crate::sink::testing::TempDir;
use std::fs;

const ALL: usize = usize::MAX;

/// A fixture: its directories for data, and whether Flume's order is that of the puts.
const FIXTURES: [(&str, &[&str], bool); 4] = [
    ("closed", &["data"], true),
    ("killed", &["data"], true),
    ("two-dirs", &["data", "data2"], true),
    // Flume puts takes that were under way back in no order.
    ("in-flight", &["data"], false),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flume-channel").join(name)
}

/// A channel in a directory of its own, to be damaged.
struct Channel {
    dir: TempDir,
    data: Vec<PathBuf>,
}

impl Channel {
    fn copy(name: &str) -> Channel {
        let dir = TempDir::new();
        let dirs = FIXTURES.iter().find(|(n, ..)| *n == name).unwrap().1;
        for d in ["checkpoint"].iter().chain(dirs) {
            fs::create_dir(dir.path().join(d)).unwrap();
            for file in fs::read_dir(fixture(name).join(d)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), dir.path().join(d).join(file.file_name())).unwrap();
            }
        }
        let data = dirs.iter().map(|d| dir.path().join(d)).collect();
        Channel { dir, data }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn read(&self, checkpoint: bool) -> Result<Undelivered, FlumeError> {
        let dir = self.path("checkpoint");
        read(Some(&dir).filter(|_| checkpoint).map(|d| d.as_path()), &self.data, &mut |_, _| {})
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = fs::read(self.path(file)).unwrap();
        change(&mut content);
        fs::write(self.path(file), content).unwrap();
    }
}

/// Everything, as Flume's header_and_text writes it.
fn drain(undelivered: &mut Undelivered) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(batch) = undelivered.next_batch(7, ALL).unwrap() {
        assert!(batch.len() <= 7);
        for event in batch.iter() {
            let headers: Vec<String> = event
                .headers()
                .map(|(name, value)| format!("{}={}", name.name(), String::from_utf8_lossy(value)))
                .collect();
            lines.push(format!("{{{}}} {}", headers.join(", "), String::from_utf8_lossy(event.body())));
        }
    }
    let report = undelivered.report();
    assert_eq!(lines.len() as u64 + report.unreadable_events, undelivered.len() as u64);
    lines
}

fn expected(name: &str) -> Vec<String> {
    fs::read_to_string(fixture(name).join("expected.txt")).unwrap().lines().map(String::from).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn is_clean(report: &Report) -> bool {
    report.damage.regions + report.torn.regions + report.unreadable_events == 0
}

#[test]
fn what_flume_would_deliver_with_a_checkpoint_and_without() {
    for (name, _, in_order) in FIXTURES {
        for checkpoint in [true, false] {
            let channel = Channel::copy(name);
            let mut undelivered = channel.read(checkpoint).unwrap();
            let want = expected(name);
            assert_eq!(undelivered.len(), want.len(), "{name} {checkpoint}");
            let used = if checkpoint { CheckpointUse::Used } else { CheckpointUse::NotGiven };
            assert_eq!(undelivered.report().checkpoint, used);
            let got = drain(&mut undelivered);
            assert!(is_clean(undelivered.report()), "{name}: {:?}", undelivered.report());
            if in_order {
                assert_eq!(got, want, "{name} {checkpoint}");
            } else {
                assert_eq!(sorted(got.clone()), sorted(want), "{name} {checkpoint}");
                let whole = drain(&mut channel.read(false).unwrap());
                assert_eq!(got, whole, "{name}: the order of the puts");
            }
            assert!(undelivered.next_batch(1, 1).unwrap().is_none());
        }
    }
}

#[test]
fn the_report_counts_records_and_open_transactions() {
    let whole = Channel::copy("in-flight").read(false).unwrap();
    let report = whole.report();
    assert_eq!((report.files, report.commits, report.covered), (1, 6, 0));
    assert!(report.puts > 90 && report.takes >= 40 && report.rollbacks > 4, "{report:?}");
    assert_eq!(report.open, OpenTransactions { transactions: 2, puts: 10, takes: 20 });
    let since = Channel::copy("in-flight").read(true).unwrap();
    assert_eq!(since.report().open, report.open);
    assert!(since.report().bytes < report.bytes);
}

#[test]
fn progress_ends_where_it_said() {
    let channel = Channel::copy("two-dirs");
    let mut told = Vec::new();
    read(None, &channel.data, &mut |done, all| told.push((done, all))).unwrap();
    let (done, all) = *told.last().unwrap();
    assert!(done == all && all > 10_000 && told[0] == (0, all), "{told:?}");
}

/// Offset, end and header of every record.
fn records(path: &Path) -> Vec<(u64, record::Record)> {
    let mut window = Window::open(path).unwrap();
    let (mut at, mut all) = (0, Vec::new());
    while at < window.end() {
        let record::Found::Record(r) = record::examine(&mut window, at).unwrap() else { panic!("at {at}") };
        all.push((at, r));
        at = r.end;
    }
    all
}

/// The queue after these records, the plain way.
fn queue_after(records: &[(u64, record::Record)]) -> Vec<u64> {
    let mut queue = Vec::new();
    for (i, (_, commit)) in records.iter().enumerate() {
        let mine = |r: &record::Record| r.header.transaction == commit.header.transaction;
        if commit.header.kind != record::Kind::Commit {
            continue;
        }
        for (at, r) in records[..i].iter().filter(|(_, r)| mine(r)) {
            match r.header.kind {
                record::Kind::Put => queue.push(record::pointer(1, *at)),
                record::Kind::Take => queue.retain(|p| *p != r.takes),
                _ => {}
            }
        }
    }
    queue
}

#[test]
fn a_log_cut_anywhere_gives_what_its_whole_records_say() {
    for (name, step) in [("closed", 1), ("killed", 7), ("in-flight", 3)] {
        let channel = Channel::copy(name);
        let log = channel.path("data/log-1");
        let all = records(&log);
        let content = fs::read(&log).unwrap();
        let used = all.last().unwrap().1.end as usize;
        for cut in (used - 1024..=used).step_by(step) {
            fs::write(&log, &content[..cut]).unwrap();
            let whole: Vec<_> = all.iter().copied().filter(|(_, r)| r.end <= cut as u64).collect();
            let undelivered = channel.read(false).unwrap();
            assert_eq!(undelivered.pointers, queue_after(&whole), "{name} cut at {cut}");
            let torn = &undelivered.report().torn;
            // Bytes of a number in the rest that happen to be the fill belong to it.
            let rest = content[..cut].iter().rposition(|b| *b != 0x80).unwrap() as u64 + 1
                - whole.last().unwrap().1.end;
            assert_eq!((torn.regions, torn.bytes), (u64::from(rest > 0), rest), "{name} cut at {cut}");
            // The preallocated rest of the file makes no difference.
            let mut filled = content[..cut].to_vec();
            filled.resize(cut + 5000, 0x80);
            fs::write(&log, &filled).unwrap();
            assert_eq!(channel.read(false).unwrap().pointers, undelivered.pointers, "{name} cut at {cut}");
            let mut known = channel.read(true).unwrap();
            drain(&mut known);
        }
    }
}

#[test]
fn a_flipped_byte_is_reported_or_without_effect() {
    for (name, step) in [("closed", 1), ("in-flight", 17)] {
        let channel = Channel::copy(name);
        let log = channel.path("data/log-1");
        let content = fs::read(&log).unwrap();
        let want = drain(&mut channel.read(false).unwrap());
        let known_want = drain(&mut channel.read(true).unwrap());
        for (offset, record) in records(&log) {
            let is_put = record.header.kind == record::Kind::Put;
            // Numbers in headers and takes, and the headers of events, have no checksum.
            let unchecked = |at: u64| match at - offset {
                0..=6 | 11 | 20 => false,
                7..=28 => true,
                _ if !is_put => true,
                _ => name == "closed" && at < record.end - 1 - 9 - 8,
            };
            for at in (offset..record.end).step_by(step) {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bad = content.clone();
                    bad[at as usize] ^= flip;
                    fs::write(&log, &bad).unwrap();
                    for (checkpoint, want) in [(false, &want), (true, &known_want)] {
                        let mut undelivered = channel.read(checkpoint).unwrap();
                        let same = drain(&mut undelivered) == *want;
                        let said = !is_clean(undelivered.report());
                        assert!(same || said || unchecked(at), "{name} {checkpoint}: byte {at} ^ {flip:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_flipped_byte_of_the_checkpoint_harms_nothing_but_itself() {
    for file in ["checkpoint", "checkpoint.meta", "inflightputs", "inflighttakes"] {
        let channel = Channel::copy("in-flight");
        let path = format!("checkpoint/{file}");
        let content = fs::read(channel.path(&path)).unwrap();
        let want = sorted(expected("in-flight"));
        for at in 0..content.len() {
            // Of the head of the ring, what is in use, and some of the ring itself.
            if file == "checkpoint" && at > 48 && at % 97 != 0 {
                continue;
            }
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = content.clone();
                bad[at] ^= flip;
                fs::write(channel.path(&path), &bad).unwrap();
                match channel.read(true) {
                    Ok(mut undelivered) => {
                        let got = sorted(drain(&mut undelivered));
                        let bad = matches!(undelivered.report().checkpoint, CheckpointUse::Bad(_));
                        let rest = file == "inflightputs" || file == "inflighttakes";
                        assert!(!bad || got == want, "{file} {at}");
                        assert!(!rest || bad, "{file} {at}: has a checksum");
                    }
                    Err(FlumeError::MissingFile { .. }) => {}
                    Err(e) => panic!("{file} {at}: {e}"),
                }
            }
        }
    }
}

#[test]
fn a_length_that_lies_costs_one_record() {
    let channel = Channel::copy("closed");
    let log = channel.path("data/log-1");
    let content = fs::read(&log).unwrap();
    let want = expected("closed");
    for (offset, record) in records(&log) {
        let len = (record.end - offset - 5) as u32;
        for lie in [0, 1, len - 1, len + 1, len + 20, 0x7fff_ffff, 0x8080_8080, u32::MAX] {
            let mut bad = content.clone();
            bad[offset as usize + 1..offset as usize + 5].copy_from_slice(&lie.to_be_bytes());
            fs::write(&log, &bad).unwrap();
            let mut undelivered = channel.read(false).unwrap();
            let got = drain(&mut undelivered);
            assert_eq!(got.len(), 11, "{offset} {lie:#x}");
            assert!(got.iter().all(|line| want.contains(line)));
            let report = undelivered.report();
            let region = report.damage.listed.iter().chain(&report.torn.listed).next().unwrap();
            assert_eq!((region.offset, region.bytes), (offset, record.end - offset), "{lie:#x}");
        }
    }
}

#[test]
fn zeros_and_blanked_records() {
    let channel = Channel::copy("closed");
    let all = records(&channel.path("data/log-1"));
    let ((first, one), (third, two)) = (all[0], all[4]);
    channel.change("data/log-1", |b| {
        b[first as usize..one.end as usize].fill(0); // a page that never reached the disk
        b[third as usize] = 0; // Flume's integrity tool
    });
    let mut undelivered = channel.read(false).unwrap();
    assert_eq!(drain(&mut undelivered).len(), 10);
    let report = undelivered.report();
    assert_eq!((report.blanked, report.damage.regions, report.damage.bytes), (1, 1, one.end));
    let mut known = channel.read(true).unwrap();
    assert_eq!(drain(&mut known).len(), 10);
    assert_eq!(known.report().unreadable_events, 2);
    assert_eq!(known.report().damage.listed[1].offset, third);
    assert_eq!(known.report().damage.bytes, two.end - third);
}

#[test]
fn encrypted_files_are_refused() {
    let channel = Channel::copy("closed");
    channel.change("data/log-1.meta", |meta| {
        meta[0] += 5;
        meta.extend(b"\x2a\x03\x0a\x01x");
    });
    for checkpoint in [true, false] {
        let e = channel.read(checkpoint).err().unwrap();
        assert!(matches!(&e, FlumeError::Encrypted { path } if path.ends_with("data/log-1")));
        assert!(e.to_string().contains("drain it with Flume first"), "{e}");
    }
}

#[test]
fn other_versions_are_refused() {
    let channel = Channel::copy("closed");
    channel.change("data/log-1.meta", |meta| meta[2] = 4);
    let e = channel.read(true).err().unwrap();
    assert!(matches!(e, FlumeError::Version { found: 4, .. }), "{e}");
    // Version 2 has its metadata in the data file: version, number, position and write order of the checkpoint.
    fs::remove_file(channel.path("data/log-1.meta")).unwrap();
    channel.change("data/log-1", |log| {
        log.splice(0..0, [&[0, 0, 0, 2, 0, 0, 0, 1][..], &[0; 16][..]].concat());
    });
    let e = channel.read(true).err().unwrap();
    assert!(matches!(e, FlumeError::Version { found: 2, .. }), "{e}");
    assert!(e.to_string().contains("version 2") && e.to_string().contains("version 3"), "{e}");
}

#[test]
fn metadata_that_is_missing_or_wrong() {
    let channel = Channel::copy("closed");
    fs::rename(channel.path("data/log-1.meta"), channel.path("data/log-1.meta.tmp")).unwrap();
    assert_eq!(channel.read(true).unwrap().len(), 12, "the rename was lost");
    fs::write(channel.path("data/log-1.meta"), "").unwrap();
    assert_eq!(channel.read(true).unwrap().len(), 12);
    fs::remove_file(channel.path("data/log-1.meta.tmp")).unwrap();
    assert!(matches!(channel.read(true), Err(FlumeError::NoMeta { .. })));
    fs::remove_file(channel.path("data/log-1.meta")).unwrap();
    assert!(matches!(channel.read(true), Err(FlumeError::NoMeta { .. })));
    // Without records it does not matter: the agent ended before there was metadata.
    fs::write(channel.path("data/log-1"), "").unwrap();
    assert_eq!(channel.read(false).unwrap().len(), 0);

    let channel = Channel::copy("closed");
    channel.change("data/log-1.meta", |meta| meta[7] = 9);
    assert!(matches!(channel.read(true), Err(FlumeError::Corrupt { .. })));
    channel.change("data/log-1.meta", |meta| meta.truncate(20));
    assert!(matches!(channel.read(true), Err(FlumeError::Corrupt { .. })));
}

#[test]
fn a_bad_checkpoint_means_replaying_everything() {
    let head = |word: usize, value: u8| move |b: &mut Vec<u8>| b[word * 8 + 7] = value;
    type Change = Box<dyn Fn(&mut Vec<u8>)>;
    let changes: [(&str, Change, &str); 12] = [
        ("checkpoint", Box::new(|b| b.clear()), "missing or empty"),
        ("checkpoint", Box::new(|b| b.truncate(1029 * 8)), "impossible length"),
        ("checkpoint", Box::new(|b| b.push(0)), "impossible length"),
        ("checkpoint", Box::new(head(0, 4)), "version"),
        ("checkpoint", Box::new(head(4, 1)), "ended while it was written"),
        ("checkpoint", Box::new(|b| b[4 * 8] = 1), "ended while it was written"),
        ("checkpoint", Box::new(|b| b[15] ^= 1), "different times"),
        ("checkpoint", Box::new(|b| b[1029 * 8..].fill(0)), "empty place"),
        ("checkpoint.meta", Box::new(|b| b.truncate(30)), "unreadable"),
        ("checkpoint.meta", Box::new(|b| b.clear()), "unreadable"),
        ("inflighttakes", Box::new(|b| b[40] ^= 1), "checksum"),
        ("inflightputs", Box::new(|b| b.truncate(50)), "checksum"),
    ];
    for (file, change, why) in changes {
        let channel = Channel::copy("in-flight");
        channel.change(&format!("checkpoint/{file}"), change);
        let mut undelivered = channel.read(true).unwrap();
        match &undelivered.report().checkpoint {
            CheckpointUse::Bad(said) => assert!(said.contains(why), "{file}: {said}, not {why}"),
            other => panic!("{file} {why}: {other:?}"),
        }
        assert_eq!(sorted(drain(&mut undelivered)), sorted(expected("in-flight")));
    }
    for (file, why) in [
        ("checkpoint", "missing"),
        ("checkpoint.meta", "missing"),
        ("inflightputs", "missing"),
        ("inflighttakes", "missing"),
    ] {
        let channel = Channel::copy("in-flight");
        fs::remove_file(channel.path("checkpoint").join(file)).unwrap();
        let undelivered = channel.read(true).unwrap();
        let said = &undelivered.report().checkpoint;
        assert!(matches!(said, CheckpointUse::Bad(said) if said.contains(why)), "{said:?}");
        assert_eq!(undelivered.len(), 90);
    }
    let channel = Channel::copy("closed");
    fs::remove_dir_all(channel.path("checkpoint")).unwrap();
    assert_eq!(channel.read(true).unwrap().report().checkpoint, CheckpointUse::Bad("there is none".into()));
}

#[test]
fn directories_that_do_not_belong_together() {
    let mut channel = Channel::copy("two-dirs");
    channel.data.push(channel.data[0].clone());
    assert!(matches!(channel.read(true), Err(FlumeError::Twice { .. })));
    channel.data.truncate(1);
    let e = channel.read(true).err().unwrap();
    assert!(matches!(e, FlumeError::MissingFile { events: 1.., .. }), "{e}");
    channel.data[0] = channel.path("nothing");
    assert!(matches!(channel.read(true), Err(FlumeError::Io { .. })));
}

#[test]
fn a_directory_is_known_by_its_files() {
    assert!(is_flume_dir(&fixture("closed/data")).unwrap());
    assert!(!is_flume_dir(&fixture("closed/checkpoint")).unwrap());
    assert!(!is_flume_dir(&fixture("nothing")).unwrap());
    assert!(is_flume_dir(&fixture("closed/expected.txt")).is_err());
}

#[test]
fn batches_keep_to_their_limits() {
    let channel = Channel::copy("killed");
    let mut undelivered = channel.read(true).unwrap();
    let record = 48; // bytes of one with three digits
    assert_eq!(undelivered.next_batch(10, ALL).unwrap().unwrap().len(), 10);
    assert_eq!(undelivered.next_batch(10, 5 * record + 20).unwrap().unwrap().len(), 5);
    assert_eq!(undelivered.next_batch(10, 0).unwrap().unwrap().len(), 1, "one that is larger");
    assert_eq!(undelivered.next_batch(0, ALL).unwrap().unwrap().len(), 1, "always one");
    let rest = undelivered.len() - 17;
    assert_eq!(undelivered.next_batch(ALL, ALL).unwrap().unwrap().len(), rest);
    assert!(undelivered.next_batch(ALL, ALL).unwrap().is_none());
}
