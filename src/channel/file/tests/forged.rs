//! Frames whose checksums are right and whose content cannot be: nobody wrote them, and yet they must not hang, panic or
//! take memory. `make fuzz` finds such.

use super::super::frame::HEADER;
use super::super::fs::Fs;
use super::super::tool::{check, repair, stats, Place};
use super::super::window::Window;
use super::*;

/// Changes a frame of a segment and puts its checksums right.
fn forge(fs: &SimFs, segment: &str, at: usize, change: impl FnOnce(&mut [u8])) {
    fs.overwrite(ours("/d0").join(segment), |b| {
        let len = b[at + 44..at + 48].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
        change(&mut b[at..at + HEADER + len]);
        let crc = crc32fast::hash(&b[at + HEADER..at + HEADER + len]);
        b[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&b[at + 4..at + HEADER]);
        b[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    });
}

/// Where the put frames of a segment are.
fn puts(fs: &SimFs, segment: &str) -> Vec<usize> {
    let b = fs.content(ours("/d0").join(segment));
    let is_put = |at: &usize| b[at + 16..at + 24] == b[16..24] && b[at + 48] == 1;
    (128..b.len() - HEADER).step_by(8).filter(is_put).collect()
}

/// Twenty puts of five events, more than a segment holds; closed with a checkpoint.
fn closed() -> SimFs {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    for n in 0..20 {
        put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
    }
    c.close();
    fs
}

#[test]
fn a_number_that_no_event_has_yet_is_damage() {
    let fs = closed();
    forge(&fs, "segment-1", puts(&fs, "segment-1")[1], |b| b[32..40].copy_from_slice(&4000u64.to_le_bytes()));
    let c = open(&fs, 1);
    assert_eq!(drain(&c, 7), [bodies(0..5), bodies(10..100)].concat());
    assert_eq!((c.file_counters.damaged.get(), c.backlog()), (5, 0));
    c.close();
}

#[test]
fn a_segment_ends_nowhere_beyond_all_sizes() {
    let fs = closed();
    // Its first frame says where the one before ends.
    forge(&fs, "segment-2", 128, |b| b[HEADER..].copy_from_slice(&(u64::MAX - 7).to_le_bytes()));
    let place = Place { data_dirs: vec!["/d0".into()], ..Place::default() };
    let mut out = Vec::new();
    stats::run(&fs, &place, &mut out).unwrap();
    assert!(!check::run(&fs, &place, &mut out).unwrap(), "{}", String::from_utf8_lossy(&out));
    repair::run(&fs, &place, true, &mut out).unwrap();
    let c = open(&fs, 1);
    assert_eq!(drain(&c, 7), bodies(0..100));
    c.close();
}

#[test]
fn a_damaged_frame_without_events_is_told_of() {
    let fs = closed();
    for name in fs.files(ours("/chk")).iter().filter(|n| n.starts_with("checkpoint")) {
        fs.overwrite(ours("/chk").join(name), |b| b.fill(0));
    }
    let at = puts(&fs, "segment-1")[0];
    // The header is whole, the payload is not.
    forge(&fs, "segment-1", at, |b| b[32..44].fill(0));
    fs.overwrite(ours("/d0").join("segment-1"), |b| b[at + HEADER] ^= 1);
    let place = Place { data_dirs: vec!["/d0".into()], ..Place::default() };
    let mut out = Vec::new();
    assert!(check::run(&fs, &place, &mut out).unwrap());
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("a frame without events"), "{said}");
    let c = open(&fs, 1);
    assert_eq!(drain(&c, 7), bodies(5..100));
    c.close();
}

#[test]
fn a_length_that_the_file_has_not_takes_no_memory() {
    let fs = closed();
    let at = puts(&fs, "segment-1")[1];
    forge(&fs, "segment-1", at, |b| b[44..48].copy_from_slice(&(1u32 << 29).to_le_bytes()));
    let path = ours("/d0").join("segment-1");
    let b = fs.content(&path);
    let identity = u64::from_le_bytes(b[16..24].try_into().unwrap());
    let file = fs.open(&path, false).unwrap();
    let mut w = Window::new(file.as_ref(), identity, None, vec![0; 4096]);
    let found = w.frame_at(at as u64, 1 << 40).unwrap();
    assert!(found.is_err_and(|h| h.is_some_and(|h| h.len == 1 << 29)));
    assert!(w.into_bytes().0.len() <= 4096);
}
