//! Channels that version 1 of the format left behind (tests/data/file-channel): every later version has to open them.
//!
//! `FLUMED_WRITE_GOLDEN=1 cargo test --lib golden` makes them anew, which is for a new version of the format only: into a
//! directory of its own, beside those that are there.

use super::fs::RealFs;
use super::*;
use std::path::PathBuf;

const VERSION: &str = "1";

struct Case {
    name: &'static str,
    dirs: usize,
    encrypted: bool,
    /// Only the compressed backup of the checkpoints is left.
    backup_only: bool,
    closed: bool,
}

const CASES: &[Case] = &[
    Case { name: "killed", dirs: 1, encrypted: false, backup_only: false, closed: false },
    Case { name: "closed", dirs: 2, encrypted: false, backup_only: false, closed: true },
    Case { name: "encrypted", dirs: 1, encrypted: true, backup_only: false, closed: false },
    Case { name: "backup", dirs: 1, encrypted: false, backup_only: true, closed: true },
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/file-channel").join(VERSION)
}

fn fixed_in(root: &Path, case: &Case) -> Fixed {
    Fixed {
        checkpoint_dir: root.join("checkpoint"),
        backup_dir: case.backup_only.then(|| root.join("backup")),
        compresses_backup: true,
        data_dirs: (0..case.dirs).map(|d| root.join(format!("data{d}"))).collect(),
        key_file: case.encrypted.then(|| root.join("key")),
        old_key_files: Vec::new(),
    }
}

fn open_in(root: &Path, case: &Case) -> Arc<FileChannel> {
    let (fixed, counters) = (fixed_in(root, case), ChannelCounters::new("c1"));
    let c = FileChannel::new("c1", fixed, settings(), counters, Arc::new(RealFs));
    while !c.open().unwrap() {}
    c
}

/// What is in each of them: a hundred events less the first nine, and less two that were taken behind eleven more.
fn expected() -> Vec<String> {
    [bodies(9..20), bodies(22..100)].concat()
}

fn write(root: &Path, case: &Case) {
    std::fs::create_dir_all(root).unwrap();
    if case.encrypted {
        std::fs::write(root.join("key"), "07".repeat(32)).unwrap();
    }
    let c = open_in(root, case);
    let mut next = 0;
    for n in 0..60u64 {
        let n = 1 + n % 3;
        let to = (next + n).min(100);
        if next < to {
            put(&c, &bodies(next..to)).unwrap();
        }
        next = to;
    }
    take(&c, 9).unwrap().commit().unwrap();
    let held = take(&c, 11).unwrap();
    take(&c, 2).unwrap().commit().unwrap();
    upkeep::Upkeep::new(true).checkpoint(&engine(&c));
    drop(held);
    match case.closed {
        true => drop(c.close()),
        // As a kill leaves it; the threads end with the test.
        false => std::mem::forget(c),
    }
    if case.backup_only {
        std::fs::remove_dir_all(root.join("checkpoint")).unwrap();
    }
    // What only takes room.
    for dir in std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for file in std::fs::read_dir(dir.join("flumed")).unwrap().map(|e| e.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let content = std::fs::read(&file).unwrap();
            let used = content.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
            match name.as_str() {
                "lock" => std::fs::remove_file(&file).unwrap(),
                n if n.starts_with("spare") || used == 0 => std::fs::remove_file(&file).unwrap(),
                n if n.starts_with("checkpoint") => std::fs::write(&file, &content[..used]).unwrap(),
                _ => {}
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for e in std::fs::read_dir(from).unwrap().map(|e| e.unwrap().path()) {
        let target = to.join(e.file_name().unwrap());
        match e.is_dir() {
            true => copy(&e, &target),
            false => drop(std::fs::copy(&e, &target).unwrap()),
        }
    }
}

#[test]
fn golden_channels_open() {
    if std::env::var_os("FLUMED_WRITE_GOLDEN").is_some() {
        for case in CASES {
            // Made elsewhere: the channel's files name their directory.
            let root = std::env::temp_dir().join("flumed-golden").join(case.name);
            write(&root, case);
            copy(&root, &data().join(case.name));
            std::fs::remove_dir_all(&root).unwrap();
        }
    }
    let cases = CASES.iter().filter(|c| cfg!(feature = "encryption") || !c.encrypted);
    for case in cases {
        let root = std::env::temp_dir().join(format!("flumed-golden-{}-{}", std::process::id(), case.name));
        copy(&data().join(case.name), &root);
        let c = open_in(&root, case);
        assert_eq!(c.backlog(), expected().len(), "{}", case.name);
        assert_eq!(drain(&c, 7), expected(), "{}", case.name);
        assert_eq!(c.file_counters.damaged.get(), 0);
        // And go on from there.
        put(&c, &bodies(500..503)).unwrap();
        c.close();
        assert_eq!(drain(&open_in(&root, case), 7), bodies(500..503), "{}", case.name);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
