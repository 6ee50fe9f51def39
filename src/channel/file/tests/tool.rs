//! The tool on channels that are whole, damaged, and half repaired; imports of Flume's fixtures, cut short anywhere.

use super::super::fs::sim::Fault;
use super::super::tool::{self, check, dump, import, repair, stats};
use super::super::tool::{Dump, Import, ImportState, Imported, Place, Repeat};
use super::*;
use crate::sink::testing::TempDir;
use nix::libc;
use std::path::PathBuf;

fn place(dirs: usize) -> Place {
    let f = fixed(dirs);
    Place { data_dirs: f.data_dirs, checkpoint_dir: Some(f.checkpoint_dir), ..Place::default() }
}

fn checked(fs: &SimFs, place: &Place) -> (bool, String) {
    let mut out = Vec::new();
    let is_damaged = check::run(fs, place, &mut out).unwrap();
    (is_damaged, String::from_utf8(out).unwrap())
}

fn dumped(fs: &SimFs, what: Dump) -> Vec<String> {
    let mut out = Vec::new();
    dump::run(fs, &place(1), &what, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn repaired(fs: &SimFs, place: &Place) -> String {
    let mut out = Vec::new();
    repair::run(fs, place, true, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Offset of each frame of a kind, by the tool itself.
fn offsets(fs: &SimFs, kind: &str) -> Vec<usize> {
    let lines = dumped(fs, Dump::default());
    let words = lines.iter().map(|l| l.split(' ').collect::<Vec<_>>());
    words.filter(|w| w[2] == kind).map(|w| w[1].parse().unwrap()).collect()
}

fn flip(fs: &SimFs, file: &str, at: usize) {
    fs.overwrite(ours("/d0").join(file), |b| b[at] ^= 0x20);
}

/// Ten puts of five, seven events taken; killed.
fn killed() -> SimFs {
    let fs = SimFs::new(1);
    let c = try_open(&fs, fixed(1), Settings { segment_size: 1 << 20, ..settings() }).unwrap();
    for n in 0..10 {
        put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
    }
    take(&c, 7).unwrap().commit().unwrap();
    settle(&engine(&c));
    let left = fs.kill();
    c.close();
    left
}

#[test]
fn a_whole_channel_is_clean_and_nothing_is_written() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..40 {
        put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
    }
    take(&c, 21).unwrap().commit().unwrap();
    let mut out = Vec::new();
    let why = check::run(&fs, &place(2), &mut out).unwrap_err().to_string();
    assert!(why.contains("stop the agent first"), "{why}");
    c.close();
    let before = fs.operations();
    let (is_damaged, text) = checked(&fs, &place(2));
    assert!(!is_damaged, "{text}");
    assert!(text.contains(": whole, fits, the same live events as a full replay"), "{text}");
    assert!(text.contains("2 data dirs, ") && text.contains(" 179 live events: no damage"), "{text}");
    let inner = Place { data_dirs: vec![ours("/d0"), ours("/d1")], ..Place::default() };
    assert!(checked(&fs, &inner).1.contains("checkpoints: not looked at"));
    let one = Place { data_dirs: vec!["/d0".into()], ..Place::default() };
    let (_, text) = checked(&fs, &one);
    assert!(text.contains("note: the channel has another data directory, /d1"), "{text}");
    stats::run(&fs, &place(2), &mut Vec::new()).unwrap();
    let missing = Place { data_dirs: vec!["/d7".into()], ..Place::default() };
    let why = check::run(&fs, &missing, &mut Vec::new()).unwrap_err().to_string();
    assert!(why.contains("/d7/flumed: is not there"), "{why}");
    assert_eq!(fs.operations(), before);
}

#[test]
fn frames_and_events_are_printed_as_asked() {
    let fs = killed();
    let frames = dumped(&fs, Dump::default());
    assert_eq!(frames.len(), 12, "{frames:?}");
    assert!(frames[0].starts_with("segment-1 128 start - - "), "{}", frames[0]);
    assert!(frames[1].starts_with("segment-1 200 put - 0-4 20"), "{}", frames[1]);
    assert!(frames[11].contains(" take - 0-6 "), "{}", frames[11]);
    let live = dumped(&fs, Dump { live: true, ..Dump::default() });
    let events: Vec<&String> = live.iter().filter(|l| l.starts_with("  ")).collect();
    assert_eq!((live.len(), events.len()), (9 + 43, 43));
    assert_eq!(events[0], "  7 live {host=h\u{e4}} event 7 xxxxxxx");
    let all = dumped(&fs, Dump { events: true, ..Dump::default() });
    assert!(all.contains(&"  0 taken {host=h\u{e4}} event 0 ".to_owned()), "{all:?}");
    let some =
        dumped(&fs, Dump { events: true, hex: true, from: Some(12), limit: Some(2), ..Dump::default() });
    assert_eq!(some[1..].iter().map(|l| &l[..12]).collect::<Vec<_>>(), ["  12 live {h", "  13 live {h"]);
    assert!(some[1].ends_with(" 6576656e7420313220787878787878787878787878"), "{}", some[1]);
    assert_eq!(dumped(&fs, Dump { segment: Some(2), ..Dump::default() }).len(), 0);
    for limit in [0, 3] {
        assert_eq!(dumped(&fs, Dump { limit: Some(limit), ..Dump::default() }).len(), limit as usize);
    }
}

#[test]
fn figures_are_right() {
    let fs = killed();
    let mut out = Vec::new();
    stats::run(&fs, &place(1), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let bytes: usize = bodies(7..50).iter().map(|b| b.len() + 7).sum();
    for line in [
        "live events: 43",
        &format!("live bytes: {bytes}"),
        "put frames: 10, take frames: 1",
        "events: 50, 5.0 a put frame",
        "event sizes: min 15, median 40, p99 65, max 65 bytes",
        "header host: 50",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.contains("could be freed: no, 43 live"), "{text}");
}

#[test]
fn damage_is_named_and_passed_over() {
    let fs = killed();
    let third = offsets(&fs, "put")[2];
    flip(&fs, "segment-1", third + 70);
    let (is_damaged, text) = checked(&fs, &place(1));
    assert!(is_damaged && text.contains("a put of 5 events: numbers 10-14"), "{text}");
    assert!(text.ends_with(" 38 live events: 1 damage\n"), "{text}");
    assert_eq!(dumped(&fs, Dump::default())[3].split(' ').nth(2), Some("damaged"));
    let said = repaired(&fs, &place(1));
    let copy = format!("damaged-1-{third}");
    assert!(said.starts_with("keep a copy of the damage") && fs.files(ours("/d0")).contains(&copy), "{said}");
    assert_eq!(repaired(&fs, &place(1)), "nothing to repair\n");
    let left: Vec<String> = bodies(7..50).into_iter().filter(|b| !bodies(10..15).contains(b)).collect();
    assert_eq!(drain(&open(&fs, 1), 9), left);
}

#[test]
fn a_torn_tail_is_no_damage_and_is_cut_with_a_copy() {
    let fs = killed();
    let last = offsets(&fs, "take")[0];
    flip(&fs, "segment-1", last + 64);
    let (is_damaged, text) = checked(&fs, &place(1));
    assert!(!is_damaged && text.contains(&format!("torn tail: segment-1 from byte {last} on")), "{text}");
    let blind = Place { checkpoint_dir: None, ..place(1) };
    assert!(repaired(&fs, &blind).contains("is cut off if --checkpoint is given"));
    let mut plan = Vec::new();
    repair::run(&fs, &place(1), false, &mut plan).unwrap();
    let plan = String::from_utf8(plan).unwrap();
    assert!(
        plan.starts_with("would cut ") && plan.ends_with("nothing was changed; --yes does it\n"),
        "{plan}"
    );
    let whole = fs.content(ours("/d0").join("segment-1"));
    let said = repaired(&fs, &place(1));
    assert!(said.contains(&format!("the bytes are kept in /d0/flumed/torn-1-{last}")), "{said}");
    assert_eq!(fs.content(ours("/d0").join(format!("torn-1-{last}"))), whole[last..]);
    assert_eq!(fs.content(ours("/d0").join("segment-1")), whole[..last]);
    assert_eq!(repaired(&fs, &place(1)), "nothing to repair\n");
    assert_eq!(drain(&open(&fs, 1), 9), bodies(0..50), "the take was in it");
}

#[test]
fn what_keeps_a_channel_from_starting_is_mended() {
    for cut in [false, true] {
        let fs = SimFs::new(1);
        let c = open(&fs, 2);
        for n in 0..60 {
            put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
        }
        c.close();
        let segments: Vec<String> =
            fs.files(ours("/d0")).into_iter().filter(|n| n.starts_with("segment-")).collect();
        flip(&fs, &segments[0], 20);
        flip(&fs, "channel", 30);
        fs.remove(&ours("/d1").join("channel")).unwrap();
        fs.create(&ours("/d1").join("channel.tmp")).unwrap();
        for name in fs.files(ours("/chk")).iter().filter(|n| n.starts_with("checkpoint-")) {
            fs.overwrite(ours("/chk").join(name), |b| b[30] ^= 1);
        }
        let last = segments.iter().max_by_key(|n| n["segment-".len()..].parse::<u64>().unwrap()).unwrap();
        fs.overwrite(ours("/d0").join(last), |b| *b.last_mut().unwrap() ^= 1);
        let why = try_open(&fs, fixed(2), settings()).err().unwrap();
        assert!(why.contains("'flumed tool channel repair' writes it anew"), "{why}");
        let (is_damaged, text) = checked(&fs, &place(2));
        assert!(is_damaged, "{text}");
        for what in
            ["'channel' is missing", "'channel' is damaged", "has no whole header", "is no whole checkpoint"]
        {
            assert!(text.contains(what), "{what}: {text}");
        }
        let fs = if cut { cut_short(&fs) } else { fs };
        repaired(&fs, &place(2));
        assert_eq!(repaired(&fs, &place(2)), "nothing to repair\n");
        assert!(!checked(&fs, &place(2)).0);
        let files = [fs.files(ours("/d0")), fs.files(ours("/chk"))].concat();
        for kept in [&format!("damaged-{}", segments[0])[..], "damaged-channel", "damaged-checkpoint-2"] {
            assert!(files.iter().any(|n| n.starts_with(kept)), "{kept}: {files:?}");
        }
        let c = open(&fs, 2);
        let left = drain(&c, 9);
        assert!(left.len() > 200 && left.iter().all(|b| bodies(0..300).contains(b)), "{}", left.len());
        c.close();
    }
}

/// A repair that dies at each of its operations, one after the other, each time going on with what a kill leaves.
fn cut_short(fs: &SimFs) -> SimFs {
    let mut fs = fs.copy();
    for at in 0.. {
        fs.crash_at(at);
        if repair::run(&fs, &place(2), true, &mut Vec::new()).is_ok() {
            break;
        }
        fs = fs.power_cut(at);
        assert!(at < 200, "it never ends");
    }
    fs.kill()
}

/// Whatever byte is wrong: no command panics, what check counts as live is what the channel delivers, and what it does
/// not deliver was named as damage, but for the last group, which looks like one that was never synced.
#[test]
fn what_is_found_live_is_what_comes_out() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..40 {
        put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
        if n == 20 {
            take(&c, 33).unwrap().commit().unwrap();
        }
    }
    c.close();
    let c = open(&fs, 2);
    take(&c, 10).unwrap().commit().unwrap();
    put(&c, &bodies(200..204)).unwrap();
    settle(&engine(&c));
    let image = fs.kill();
    c.close();
    let in_all = 204 - 43;
    let names: Vec<PathBuf> = ["/d0", "/d1", "/chk"]
        .iter()
        .flat_map(|d| image.files(ours(d)).into_iter().map(|n| ours(d).join(n)))
        .filter(|p| !image.content(p).is_empty())
        .collect();
    let mut random = 7u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % below
    };
    for round in 0..300 {
        let fs = image.copy();
        let name = &names[next(names.len())];
        let at = next(fs.content(name).len());
        match next(4) {
            0 => fs.overwrite(name, |b| b.truncate(at)),
            _ => fs.overwrite(name, |b| b[at] ^= 1 << (at % 8)),
        }
        let what = format!("round {round}: {} at {at}", name.display());
        let (is_damaged, text) = checked(&fs, &place(2));
        let _ = dump::run(&fs, &place(2), &Dump { events: true, ..Dump::default() }, &mut Vec::new());
        let _ = stats::run(&fs, &place(2), &mut Vec::new());
        // Most of it the channel copes with alone.
        let alone = if round % 2 == 0 { try_open(&fs, fixed(2), settings()).ok() } else { None };
        let c = alone.unwrap_or_else(|| {
            repaired(&fs, &place(2));
            open(&fs, 2)
        });
        let live: usize = {
            let (_, rest) = text.rsplit_once(" frames, ").unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let out = drain(&c, 9).len();
        assert_eq!(out, live, "{what}: {text}");
        assert!(is_damaged || out >= in_all - 4, "{what}: {out} of {in_all}, {text}");
    }
}

#[test]
fn segments_of_others_and_of_newer_versions_are_left_alone() {
    let fs = killed();
    let header = |change: &dyn Fn(&mut [u8])| {
        fs.overwrite(ours("/d0").join("segment-1"), |b| {
            change(&mut b[12..128]);
            let crc = crc32fast::hash(&b[12..128]);
            b[8..12].copy_from_slice(&crc.to_le_bytes());
        });
    };
    header(&|b| b[24] ^= 1);
    let (is_damaged, text) = checked(&fs, &place(1));
    assert!(is_damaged && text.contains("segment-1 belongs to another channel"), "{text}");
    header(&|b| (b[0], b[24]) = (2, b[24] ^ 1));
    let (is_damaged, text) = checked(&fs, &place(1));
    assert!(is_damaged && text.contains("has format version 2, this flumed knows 1"), "{text}");
    let before = fs.operations();
    for yes in [false, true] {
        let why = repair::run(&fs, &place(1), yes, &mut Vec::new()).unwrap_err().to_string();
        assert!(why.contains("format version 2"), "{why}");
    }
    assert!(dump::run(&fs, &place(1), &Dump::default(), &mut Vec::new()).is_err());
    assert_eq!(fs.operations(), before);
}

#[test]
fn a_checkpoint_that_knows_more_is_believed() {
    let fs = killed();
    open(&fs, 1).close();
    // All that was put is behind the damage, and a checkpoint says that it was synced.
    let first = offsets(&fs, "put")[0];
    fs.overwrite(ours("/d0").join("segment-1"), |b| b.truncate(first));
    let (is_damaged, text) = checked(&fs, &place(1));
    assert!(is_damaged && text.contains("43 events live by it in no segment: 7-49"), "{text}");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flume-channel").join(name)
}

/// An import of a fixture into a channel of one directory.
fn job(name: &str, dirs: &[&str], with_checkpoint: bool, repeat: Repeat) -> Import {
    let mut job = Import::into(&place(1)).unwrap();
    let at = |dir: &&str| fixture(name).join(dir);
    job.from(dirs.iter().map(at).collect(), with_checkpoint.then(|| at(&"checkpoint")));
    (job.repeat, job.batch, job.settings.segment_size) = (repeat, 9, 4096);
    job
}

fn imported(fs: &SimFs, job: Import) -> Result<(Imported, String), String> {
    let mut out = Vec::new();
    let how = import::run(Arc::new(fs.clone()), job, &mut |_| {}, &mut out).map_err(|e| e.to_string())?;
    Ok((how, String::from_utf8(out).unwrap()))
}

/// What the channel delivers, as Flume wrote it to expected.txt.
fn delivered(fs: &SimFs) -> Vec<String> {
    let c = open(fs, 1);
    let mut lines = Vec::new();
    loop {
        let t = take(&c, 100).unwrap();
        if t.is_empty() {
            return lines;
        }
        lines.extend(t.events().map(|e| {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            let headers: Vec<String> =
                e.headers().map(|(k, v)| format!("{}={}", k.name(), text(v))).collect();
            format!("{{{}}} {}", headers.join(", "), text(e.body()))
        }));
        t.commit().unwrap();
    }
}

fn expected(name: &str) -> Vec<String> {
    std::fs::read_to_string(fixture(name).join("expected.txt")).unwrap().lines().map(String::from).collect()
}

#[test]
fn flumes_events_are_taken_over() {
    for (name, dirs) in [("closed", &["data"][..]), ("killed", &["data"]), ("two-dirs", &["data", "data2"])] {
        for with_checkpoint in [true, false] {
            let fs = SimFs::new(1);
            let (how, text) = imported(&fs, job(name, dirs, with_checkpoint, Repeat::Refuse)).unwrap();
            assert_eq!(how, Imported::All, "{text}");
            let checkpoint = if with_checkpoint { "used" } else { "not given, everything was replayed" };
            assert!(text.contains(&format!("Flume's checkpoint: {checkpoint}")), "{text}");
            let (_, text) = imported(&fs, job(name, dirs, true, Repeat::Refuse)).unwrap();
            assert!(text.starts_with("done already"), "{text}");
            assert_eq!(delivered(&fs), expected(name), "{name}");
            let (_, text) = imported(&fs, job(name, dirs, true, Repeat::Again)).unwrap();
            assert!(text.starts_with("imported "), "{text}");
        }
    }
}

#[test]
fn an_import_cut_short_anywhere_is_resumed_without_loss_or_repeat() {
    let new = |repeat| job("killed", &["data"], true, repeat);
    let counting = SimFs::new(1);
    imported(&counting, new(Repeat::Refuse)).unwrap();
    let all = counting.operations();
    assert!(all > 60, "{all}");
    for at in 0..all + 5 {
        let fs = SimFs::new(at);
        fs.crash_at(at);
        let whole = imported(&fs, new(Repeat::Refuse)).is_ok();
        let after = if at % 2 == 0 { fs.kill() } else { fs.power_cut(at) };
        match imported(&after.copy(), new(Repeat::Refuse)) {
            Ok((_, text)) => assert!(!whole || text.starts_with("done already"), "{at}: {text}"),
            Err(why) => {
                assert!(
                    !whole && why.contains("was cut short when ") && why.contains("--resume"),
                    "{at}: {why}"
                );
                let other = imported(&after.copy(), job("killed", &["data"], false, Repeat::Resume));
                assert!(other.err().unwrap().contains("cannot be resumed"));
            }
        }
        imported(&after, new(Repeat::Resume)).unwrap();
        assert_eq!(delivered(&after), expected("killed"), "cut short at {at}");
    }
}

#[test]
fn an_import_that_fails_anywhere_is_resumed_without_loss_or_repeat() {
    let new = |repeat| {
        let mut job = Import::into(&place(2)).unwrap();
        job.from(vec![fixture("killed/data")], None);
        (job.repeat, job.batch, job.settings.segment_size) = (repeat, 9, 4096);
        job
    };
    let counting = SimFs::new(1);
    imported(&counting, new(Repeat::Refuse)).unwrap();
    let mut failures = 0;
    for at in 0..counting.operations() {
        for fault in [Fault::Error(libc::EIO), Fault::Torn, Fault::SyncLost] {
            let fs = SimFs::new(at);
            fs.fail_at(at, fault);
            let first = imported(&fs, new(Repeat::Refuse));
            failures += u32::from(first.is_err());
            let after = if at % 2 == 0 { fs } else { fs.power_cut(at) };
            imported(&after, new(Repeat::Resume)).unwrap();
            let c = open(&after, 2);
            let bodies: Vec<String> =
                expected("killed").iter().map(|l| l.split_once(' ').unwrap().1.to_owned()).collect();
            let t = take(&c, 1000).unwrap();
            let got: Vec<String> =
                t.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect();
            assert_eq!(got, bodies, "{fault:?} at {at}: {:?}", first.map(|(_, text)| text));
        }
    }
    assert!(failures > 20, "{failures}");
}

#[test]
fn other_files_than_before_are_not_imported_by_mistake() {
    let fs = SimFs::new(1);
    imported(&fs, job("closed", &["data"], true, Repeat::Refuse)).unwrap();
    let why = imported(&fs, job("killed", &["data"], true, Repeat::Refuse)).err().unwrap();
    assert!(why.contains("12 events were imported before") && why.contains("--again"), "{why}");
    let why = imported(&fs, job("closed", &["checkpoint"], true, Repeat::Refuse)).err().unwrap();
    assert!(why.contains("no data files of Flume's"), "{why}");
}

#[test]
fn damage_in_flumes_files_is_told_and_the_rest_imported() {
    let dir = TempDir::new();
    let data = dir.path().to_owned();
    for name in ["log-1", "log-1.meta"] {
        std::fs::copy(fixture("closed").join("data").join(name), data.join(name)).unwrap();
    }
    let mut log = std::fs::read(data.join("log-1")).unwrap();
    let body = "l\u{ef}ne 7";
    let at = log.windows(body.len()).position(|w| w == body.as_bytes()).unwrap();
    log[at] ^= 1;
    std::fs::write(data.join("log-1"), &log).unwrap();
    let fs = SimFs::new(1);
    let mut job = Import::into(&place(1)).unwrap();
    job.from(vec![data.clone()], None);
    let (how, text) = imported(&fs, job).unwrap();
    assert_eq!(how, Imported::WithDamage);
    assert!(text.contains("damage: ") && text.contains("could not be read: lost"), "{text}");
    let left: Vec<String> = expected("closed").into_iter().filter(|l| !l.ends_with(body)).collect();
    assert_eq!(delivered(&fs), left);
    assert_eq!(
        tool::undelivered_in_flume(&fixture("closed/checkpoint"), &[fixture("closed/data")]).unwrap(),
        12
    );
    assert_eq!(tool::undelivered_in_flume(Path::new("/nowhere"), &["/nowhere/else".into()]).unwrap(), 0);
    // Encrypted: as `channel::flume` has it.
    let mut meta = std::fs::read(data.join("log-1.meta")).unwrap();
    meta[0] += 5;
    meta.extend(b"\x2a\x03\x0a\x01x");
    std::fs::write(data.join("log-1.meta"), meta).unwrap();
    let mut job = Import::into(&place(1)).unwrap();
    job.from(vec![data], None);
    let why = imported(&SimFs::new(1), job).err().unwrap();
    assert!(why.contains("drain it with Flume first"), "{why}");
}

#[test]
fn the_note_of_an_import_is_read_as_written() {
    let dir = TempDir::new();
    assert_eq!(tool::import_state(dir.path()).unwrap(), None);
    std::fs::create_dir(dir.path().join("flumed")).unwrap();
    let note = |text: &str| {
        std::fs::write(dir.path().join("flumed/import"), text).unwrap();
        tool::import_state(dir.path())
    };
    let files = vec!["data log-1 5 1.0".to_owned()];
    let begun = note("flumed import 1\nbegun 7\ndata log-1 5 1.0\nend\n").unwrap();
    assert_eq!(begun, Some(ImportState::Begun { next: 7, files }));
    for wrong in [
        "",
        "flumed import 1\nbegun 7\n",
        "flumed import 2\nbegun 7\nend\n",
        "flumed import 1\nbegan 7\nend\n",
    ] {
        assert!(note(wrong).is_err(), "{wrong}");
    }
}
