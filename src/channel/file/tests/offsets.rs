//! A small log, cut and changed at every offset. Each event that was acknowledged comes out, or is counted and named as
//! damaged; what is not put never comes out. Only of the last group nobody can tell: its bytes may be torn.

use super::*;
use std::collections::BTreeSet;

struct Log {
    fs: SimFs,
    /// Where the frame of the last group begins: its segment, and the offset.
    last_at: (String, usize),
    /// The events of the last group, which a change may cut off without a word.
    last: BTreeSet<String>,
    all: BTreeSet<String>,
}

/// A channel that was killed: two segments, takes, no checkpoint or one.
fn log(has_checkpoint: bool) -> Log {
    let fs = SimFs::new(2);
    let c = try_open(&fs, fixed(1), Settings { segment_size: 2048, ..settings() }).unwrap();
    let mut all = BTreeSet::new();
    let mut last_at = Default::default();
    for n in 0..11 {
        let at = lock(&engine(&c).dirs[0].writer).position();
        last_at = (segment::segment_name(at.seq), at.offset as usize);
        put(&c, &bodies(n * 3..n * 3 + 3)).unwrap();
        all.extend(bodies(n * 3..n * 3 + 3));
        if n == 5 && has_checkpoint {
            upkeep::Upkeep::new(true).checkpoint(&engine(&c));
        }
        if n == 7 {
            let t = take(&c, 4).unwrap();
            texts(&t).iter().for_each(|t| {
                all.remove(t);
            });
            t.commit().unwrap();
        }
    }
    let last = bodies(30..33).into_iter().collect();
    let image = fs.kill();
    c.close();
    assert_eq!(last_at.0, *segments(&image).last().unwrap(), "the last group is in the last segment");
    Log { fs: image, last_at, last, all }
}

/// `is_blind`: nothing is left behind the change by which it could be told from a log that ends there.
fn check(log: &Log, image: &SimFs, case: &str, taken: &BTreeSet<String>, is_blind: bool) {
    let c = match try_open(image, fixed(1), settings()) {
        Ok(c) => c,
        Err(e) => panic!("{case}: does not open: {e}"),
    };
    let got: Vec<String> = drain(&c, 5);
    let seen: BTreeSet<String> = got.iter().cloned().collect();
    assert_eq!(seen.len(), got.len(), "{case}: twice");
    for text in &seen {
        assert!(log.all.contains(text) || taken.contains(text), "{case}: nobody put {text}");
    }
    let lost: Vec<&String> = log.all.difference(&seen).filter(|t| !log.last.contains(*t)).collect();
    let is_told = c.file_counters.damaged.get() + c.file_counters.damaged_bytes.get() > 0
        || image.files(ours("/d0")).iter().any(|n| n.starts_with("damaged-"));
    assert!(lost.is_empty() || is_told || is_blind, "{case}: lost without a word: {lost:?}");
    // What comes is then what was there at an earlier moment.
    let number = |t: &String| t.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap();
    let first_lost = lost.iter().map(|t| number(t)).min();
    assert!(
        is_told || first_lost.is_none_or(|n| seen.iter().all(|t| number(t) < n || log.last.contains(t))),
        "{case}: a hole"
    );
    // A frame at most is lost, or what a header damaged at the start of a segment takes along.
    put(&c, &["event 5000 after".to_owned()]).unwrap_or_else(|e| panic!("{case}: {e}"));
    assert_eq!(drain(&c, 5), ["event 5000 after"], "{case}");
    c.close();
}

fn segments(fs: &SimFs) -> Vec<String> {
    let mut all: Vec<String> =
        fs.files(ours("/d0")).into_iter().filter(|n| n.starts_with("segment-")).collect();
    all.sort();
    all
}

/// `reach`: how many bytes a change covers.
fn everywhere(has_checkpoint: bool, reach: usize, change: impl Fn(&mut Vec<u8>, usize)) {
    let log = log(has_checkpoint);
    let taken: BTreeSet<String> = bodies(0..4).into_iter().collect();
    let names = segments(&log.fs);
    assert!(names.len() >= 2, "{names:?}");
    check(&log, &log.fs.copy(), "unchanged", &taken, false);
    for name in names {
        let path = ours("/d0").join(&name);
        let used = log.fs.content(&path).iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
        for at in 0..used {
            let image = log.fs.copy();
            image.overwrite(&path, |content| change(content, at));
            // A change that takes the last group's header along, and with it the mark.
            let is_blind = name == log.last_at.0 && at.saturating_add(reach) > log.last_at.1;
            check(&log, &image, &format!("{name} at {at}, checkpoint {has_checkpoint}"), &taken, is_blind);
        }
    }
}

#[test]
fn a_changed_byte_costs_one_frame_and_is_told() {
    for has_checkpoint in [false, true] {
        everywhere(has_checkpoint, 1, |content, at| content[at] ^= 0x41);
    }
}

#[test]
fn a_zeroed_sector_is_told() {
    everywhere(false, 512, |content, at| {
        let end = content.len().min(at + 512);
        content[at..end].fill(0);
    });
}

#[test]
fn a_cut_file_is_told_or_was_the_last_group() {
    for has_checkpoint in [false, true] {
        everywhere(has_checkpoint, usize::MAX, |content, at| content.truncate(at));
    }
}

#[test]
fn a_damaged_event_does_not_stop_a_running_channel() {
    let fs = SimFs::new(1);
    let c = try_open(&fs, fixed(1), Settings { segment_size: 8192, ..settings() }).unwrap();
    for n in 0..60 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    c.close();
    let c = open(&fs, 1);
    let path = ours("/d0").join(&segments(&fs)[0]);
    let at = fs.content(&path).windows(9).position(|w| w == b"event 20 ").unwrap();
    fs.overwrite(&path, |content| content[at] = b'E');
    let mut expected = bodies(0..60);
    expected.remove(20);
    assert_eq!(drain(&c, 7), expected);
    assert_eq!((c.file_counters.damaged.get(), c.backlog()), (1, 0));
    assert!(fs.files(ours("/d0")).iter().any(|n| n.starts_with("damaged-1-")));
}

#[test]
fn a_missing_segment_is_told_with_its_events() {
    for has_checkpoint in [true, false] {
        let log = log(has_checkpoint);
        let image = log.fs.copy();
        let first = &segments(&image)[0];
        image.remove(&ours("/d0").join(first)).unwrap();
        let c = open(&image, 1);
        let got: BTreeSet<String> = drain(&c, 5).into_iter().collect();
        assert!(got.is_subset(&log.all) && got.len() < log.all.len());
        // Without a checkpoint nobody knows that it was there.
        assert_eq!(c.file_counters.damaged.get() > 0, has_checkpoint);
    }
}

#[test]
fn files_that_are_none_of_ours_are_named() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..3)).unwrap();
    c.close();
    let segment = ours("/d0").join("segment-1");
    let newer = |image: &SimFs| {
        image.overwrite(&segment, |b| {
            b[12] = 9;
            let crc = crc32fast::hash(&b[12..128]);
            b[8..12].copy_from_slice(&crc.to_le_bytes());
        });
    };
    let image = fs.copy();
    newer(&image);
    let why = try_open(&image, fixed(1), settings()).err().unwrap();
    assert!(why.contains("segment-1 has format version 9, this flumed knows 1"), "{why}");
    let image = fs.copy();
    image.overwrite(&segment, |b| {
        b[32] ^= 1;
        let crc = crc32fast::hash(&b[12..128]);
        b[8..12].copy_from_slice(&crc.to_le_bytes());
    });
    let why = try_open(&image, fixed(1), settings()).err().unwrap();
    assert!(why.contains("belongs to another channel"), "{why}");
    let image = fs.copy();
    image.overwrite(ours("/d0").join("channel"), |b| b[20] ^= 1);
    let why = try_open(&image, fixed(1), settings()).err().unwrap();
    assert!(why.contains("channel: is damaged"), "{why}");
}
