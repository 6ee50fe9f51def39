//! The rules of the simulation, one a test. Seeds 0 and 1 are the power cuts that lose all and nothing; rules about the
//! others are checked over many seeds: never what must not be, and each thing that may be at least once.

use super::*;
use nix::libc;
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::thread;

const DIR: &str = "/data/flumed";
const LOSES_ALL: u64 = 0;
const LOSES_NOTHING: u64 = 1;

/// A file system with a directory.
fn with_dir() -> SimFs {
    let fs = SimFs::new(7);
    fs.create_dir(Path::new(DIR)).unwrap();
    fs
}

/// With a file in it, whose content and name are durable.
fn with_file(content: &[u8]) -> (SimFs, Arc<dyn FsFile>) {
    let fs = with_dir();
    let file = fs.create(&at("f")).unwrap();
    assert_eq!(write(&*file, 0, content).unwrap(), content.len());
    file.sync().unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
    (fs, file)
}

fn at(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn write(file: &dyn FsFile, at: u64, bytes: &[u8]) -> io::Result<usize> {
    file.write_at(&[IoSlice::new(bytes)], at)
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().unwrap().raw_os_error()
}

fn is_crash<T>(result: io::Result<T>) -> bool {
    result.err().unwrap().to_string().contains("has crashed")
}

/// What the file may hold after a power cut.
fn contents(fs: &SimFs) -> BTreeSet<Vec<u8>> {
    (0..400).map(|seed| fs.power_cut(seed).content(at("f"))).collect()
}

/// What names there may be after a power cut.
fn names(fs: &SimFs) -> BTreeSet<Vec<String>> {
    (0..400).map(|seed| fs.power_cut(seed).files(DIR)).collect()
}

fn sets(all: &[&[&str]]) -> BTreeSet<Vec<String>> {
    all.iter().map(|set| set.iter().map(|s| s.to_string()).collect()).collect()
}

#[test]
fn what_is_written_is_read() {
    let (fs, file) = with_file(b"0123456789");
    let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
    assert_eq!(file.write_at(&pieces, 8).unwrap(), 4);
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 6).unwrap(), 6);
    assert_eq!(&buf[..6], b"67abcd");
    assert_eq!(file.read_at(&mut buf, 12).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, u64::MAX).unwrap(), 0);
    file.set_len(2).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(file.len().unwrap(), 4);
    assert_eq!(fs.content(at("f")), b"01\0\0");
    assert_eq!(code(write(&*file, u64::MAX, b"x")), Some(libc::EFBIG));
    assert_eq!(code(file.set_len(u64::MAX)), Some(libc::EFBIG));
    let reader = fs.open(&at("f"), false).unwrap();
    assert_eq!(code(write(&*reader, 0, b"x")), Some(libc::EBADF));
    assert_eq!(code(reader.set_len(0)), Some(libc::EBADF));
}

#[test]
fn names_are_missing_or_taken() {
    let (fs, _) = with_file(b"f");
    let dir = Path::new(DIR);
    assert_eq!(code(fs.create(&at("f"))), Some(libc::EEXIST));
    assert_eq!(code(fs.create(Path::new("/data/flumed"))), Some(libc::EEXIST));
    assert_eq!(code(fs.create(Path::new("/no/f"))), Some(libc::ENOENT));
    assert_eq!(code(fs.open(&at("g"), false)), Some(libc::ENOENT));
    assert_eq!(code(fs.open(dir, false)), Some(libc::EISDIR));
    assert_eq!(code(fs.remove(&at("g"))), Some(libc::ENOENT));
    assert_eq!(code(fs.rename(&at("g"), &at("h"))), Some(libc::ENOENT));
    assert_eq!(code(fs.rename(&at("f"), Path::new("/no/f"))), Some(libc::ENOENT));
    assert_eq!(code(fs.rename(&at("f"), dir)), Some(libc::EISDIR));
    assert_eq!(code(fs.create_dir(&at("f/sub"))), Some(libc::ENOTDIR));
    assert_eq!(code(fs.list(Path::new("/no"))), Some(libc::ENOENT));
    assert_eq!(code(fs.sync_dir(Path::new("/no"))), Some(libc::ENOENT));
    assert_eq!(code(fs.usable_space(Path::new("/no"))), Some(libc::ENOENT));
    fs.create_dir(dir).unwrap();
    assert_eq!(fs.list(dir).unwrap(), ["f"]);
    assert!(fs.list(Path::new("/data")).unwrap().is_empty());
    assert!(fs.files("/no").is_empty());
}

#[test]
fn a_removed_or_replaced_file_stays_open() {
    let (fs, old) = with_file(b"old");
    let new = fs.create(&at("tmp")).unwrap();
    write(&*new, 0, b"new").unwrap();
    fs.rename(&at("tmp"), &at("f")).unwrap();
    assert_eq!((fs.files(DIR), fs.content(at("f"))), (vec!["f".to_owned()], b"new".to_vec()));
    fs.remove(&at("f")).unwrap();
    assert_eq!((old.len().unwrap(), new.len().unwrap()), (3, 3));
}

#[test]
fn a_sync_makes_writes_and_lengths_durable() {
    let (fs, file) = with_file(b"old");
    write(&*file, 1, b"12345").unwrap();
    file.set_len(4).unwrap();
    assert_eq!(fs.power_cut(LOSES_ALL).content(at("f")), b"old");
    assert_eq!(fs.power_cut(LOSES_NOTHING).content(at("f")), b"o123");
    file.sync().unwrap();
    assert_eq!(contents(&fs), BTreeSet::from([b"o123".to_vec()]));
}

#[test]
fn a_power_cut_keeps_any_of_the_sectors() {
    let (fs, file) = with_file(&[b'a'; 1536]);
    write(&*file, 100, &[b'b'; 1300]).unwrap();
    let seen = contents(&fs);
    // Three sectors, each old or new, and never a mixture.
    assert_eq!(seen.len(), 8);
    for content in seen {
        for (sector, from, to) in [(0, 100, 512), (512, 512, 1024), (1024, 1024, 1400)] {
            let first = content[from];
            assert!(content[from..to].iter().all(|b| *b == first));
            assert!(content[sector..from].iter().chain(&content[to..sector + 512]).all(|b| *b == b'a'));
        }
    }
}

#[test]
fn the_last_surviving_write_to_a_sector_wins() {
    let (fs, file) = with_file(b"aaaa");
    write(&*file, 0, b"bb").unwrap();
    write(&*file, 2, b"cc").unwrap();
    // The sector was written with what the first write had put into it.
    let possible = [b"aaaa".to_vec(), b"bbaa".to_vec(), b"bbcc".to_vec()];
    assert_eq!(contents(&fs), BTreeSet::from(possible));
}

#[test]
fn a_length_survives_or_not() {
    let (fs, file) = with_file(b"aaaa");
    file.set_len(2).unwrap();
    file.set_len(3).unwrap();
    let possible = [b"aaaa".to_vec(), b"aa".to_vec(), b"aaa".to_vec(), b"aa\0".to_vec()];
    assert_eq!(contents(&fs), BTreeSet::from(possible));
}

#[test]
fn a_file_may_have_grown_without_its_data() {
    let (fs, file) = with_file(b"");
    write(&*file, 0, &[b'b'; 600]).unwrap();
    let seen = contents(&fs);
    let second_only = [vec![0; 512], vec![b'b'; 88]].concat();
    for possible in [vec![], vec![0; 600], vec![b'b'; 512], second_only, vec![b'b'; 600]] {
        assert!(seen.contains(&possible));
    }
}

#[test]
fn files_fare_differently() {
    let (fs, f) = with_file(b"");
    let g = fs.create(&at("g")).unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
    for file in [f, g] {
        write(&*file, 0, b"x").unwrap();
    }
    let image = |seed| {
        let image = fs.power_cut(seed);
        (image.content(at("f")) == b"x", image.content(at("g")) == b"x")
    };
    assert_eq!((0..100).map(image).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn a_created_name_may_be_gone_although_the_file_was_synced() {
    let fs = with_dir();
    let file = fs.create(&at("f")).unwrap();
    write(&*file, 0, b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(names(&fs), sets(&[&[], &["f"]]));
    assert_eq!(fs.power_cut(LOSES_NOTHING).content(at("f")), b"x");
    fs.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(names(&fs), sets(&[&["f"]]));
}

#[test]
fn a_remove_may_be_undone() {
    let (fs, _) = with_file(b"x");
    fs.remove(&at("f")).unwrap();
    assert_eq!(names(&fs), sets(&[&[], &["f"]]));
    assert_eq!(fs.power_cut(LOSES_ALL).content(at("f")), b"x");
    fs.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(names(&fs), sets(&[&[]]));
}

#[test]
fn a_rename_happens_or_not() {
    let (fs, _) = with_file(b"old");
    let new = fs.create(&at("tmp")).unwrap();
    write(&*new, 0, b"new").unwrap();
    new.sync().unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
    fs.rename(&at("tmp"), &at("f")).unwrap();
    assert_eq!(names(&fs), sets(&[&["f"], &["f", "tmp"]]));
    assert_eq!(contents(&fs), BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
    let undone = fs.power_cut(LOSES_ALL);
    undone.fail_always("tmp", libc::EIO);
    assert_eq!(code(undone.open(&at("tmp"), false)), Some(libc::EIO));
    assert_eq!(undone.open(&at("f"), false).unwrap().len().unwrap(), 3);
}

#[test]
fn no_file_has_two_names_in_a_directory() {
    let (fs, _) = with_file(b"x");
    fs.rename(&at("f"), &at("g")).unwrap();
    fs.rename(&at("g"), &at("h")).unwrap();
    assert_eq!(names(&fs), sets(&[&["f"], &["g"], &["h"]]));
}

#[test]
fn a_rename_between_directories_is_two_changes() {
    let (fs, _) = with_file(b"x");
    let other = Path::new("/other");
    fs.create_dir(other).unwrap();
    fs.rename(&at("f"), &other.join("f")).unwrap();
    assert_eq!((fs.files(DIR).len(), fs.files(other).len()), (0, 1));
    let image = |seed| {
        let image = fs.power_cut(seed);
        (image.files(DIR).len(), image.files(other).len())
    };
    assert_eq!((0..200).map(image).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn directories_are_durable_at_once() {
    let image = with_dir().power_cut(LOSES_ALL);
    assert!(image.list(Path::new(DIR)).unwrap().is_empty());
    assert!(image.list(Path::new("/data")).unwrap().is_empty());
}

#[test]
fn what_a_power_cut_left_is_durable() {
    let (fs, file) = with_file(b"old");
    write(&*file, 0, b"new").unwrap();
    fs.create(&at("g")).unwrap();
    let image = fs.power_cut(LOSES_NOTHING).power_cut(LOSES_ALL);
    assert_eq!((image.content(at("f")), image.files(DIR).len()), (b"new".to_vec(), 2));
}

#[test]
fn a_kill_loses_nothing_and_syncs_nothing() {
    let (fs, file) = with_file(b"old");
    write(&*file, 0, b"new").unwrap();
    fs.create(&at("g")).unwrap();
    let image = fs.kill();
    assert_eq!((image.content(at("f")), image.files(DIR).len()), (b"new".to_vec(), 2));
    let later = image.power_cut(LOSES_ALL);
    assert_eq!((later.content(at("f")), later.files(DIR).len()), (b"old".to_vec(), 1));
    image.open(&at("f"), true).unwrap().sync().unwrap();
    assert_eq!(image.power_cut(LOSES_ALL).content(at("f")), b"new");
}

#[test]
fn images_and_copies_go_their_own_way() {
    let (fs, file) = with_file(b"old");
    write(&*file, 0, b"new").unwrap();
    fs.remove(&at("f")).unwrap();
    for image in [fs.copy(), fs.kill(), fs.power_cut(LOSES_ALL)] {
        image.create(&at("g")).unwrap();
    }
    assert!(fs.files(DIR).is_empty());
    assert_eq!(fs.copy().power_cut(LOSES_ALL).content(at("f")), b"old");
}

#[test]
fn a_seed_gives_the_same_image_again() {
    let (fs, file) = with_file(&[b'a'; 4096]);
    write(&*file, 0, &[b'b'; 8192]).unwrap();
    for seed in 0..50 {
        let (one, other) = (fs.power_cut(seed), fs.copy().power_cut(seed));
        assert_eq!(one.content(at("f")), other.content(at("f")));
        assert_eq!(one.random().unwrap(), other.random().unwrap());
    }
}

#[test]
fn operations_are_counted() {
    let fs = SimFs::new(0);
    let dir = Path::new(DIR);
    fs.create_dir(dir).unwrap();
    let file = fs.create(&at("f")).unwrap();
    write(&*file, 0, b"x").unwrap();
    file.set_len(0).unwrap();
    file.sync().unwrap();
    fs.rename(&at("f"), &at("g")).unwrap();
    fs.remove(&at("g")).unwrap();
    fs.sync_dir(dir).unwrap();
    assert_eq!(fs.operations(), 8);
    file.len().unwrap();
    file.read_at(&mut [0], 0).unwrap();
    fs.list(dir).unwrap();
    fs.usable_space(dir).unwrap();
    fs.random().unwrap();
    let _held = fs.lock(dir).unwrap();
    fs.open(&at("f"), false).err().unwrap();
    assert_eq!(fs.operations(), 8);
    assert_eq!(fs.kill().operations(), 0);
}

#[test]
fn the_planned_operation_fails_once() {
    let (fs, file) = with_file(b"old");
    fs.fail_at(1, Fault::Error(libc::EIO));
    fs.fail_at(2, Fault::Error(libc::ENOSPC));
    write(&*file, 0, b"a").unwrap();
    assert_eq!(code(write(&*file, 1, b"b")), Some(libc::EIO));
    assert_eq!(code(fs.remove(&at("f"))), Some(libc::ENOSPC));
    write(&*file, 2, b"c").unwrap();
    assert_eq!(fs.content(at("f")), b"alc");
}

#[test]
fn every_kind_of_operation_can_fail() {
    let (fs, file) = with_file(b"old");
    let dir = Path::new(DIR);
    let made: [&dyn Fn() -> io::Result<()>; 8] = [
        &|| fs.create(&at("g")).map(drop),
        &|| write(&*file, 0, b"new").map(drop),
        &|| file.set_len(0),
        &|| file.sync(),
        &|| fs.rename(&at("f"), &at("g")),
        &|| fs.remove(&at("f")),
        &|| fs.sync_dir(dir),
        &|| fs.create_dir(Path::new("/more")),
    ];
    for make in made {
        fs.fail_at(0, Fault::Error(libc::EACCES));
        assert_eq!(code(make()), Some(libc::EACCES));
    }
    assert_eq!((fs.files(DIR), fs.content(at("f"))), (vec!["f".to_owned()], b"old".to_vec()));
}

#[test]
fn a_failed_sync_may_be_made_good_by_the_next() {
    let (fs, file) = with_file(b"old");
    write(&*file, 0, b"new").unwrap();
    fs.fail_at(0, Fault::Error(libc::EIO));
    assert_eq!(code(file.sync()), Some(libc::EIO));
    assert_eq!(fs.power_cut(LOSES_ALL).content(at("f")), b"old");
    file.sync().unwrap();
    assert_eq!(fs.power_cut(LOSES_ALL).content(at("f")), b"new");
}

#[test]
fn a_write_is_short() {
    let (fs, file) = with_file(b"");
    fs.fail_at(0, Fault::Short);
    assert_eq!(write(&*file, 0, b"12345678").unwrap(), 4);
    fs.fail_at(0, Fault::Short);
    assert_eq!(write(&*file, 4, b"5").unwrap(), 1);
    assert_eq!(fs.content(at("f")), b"12345");
    fs.fail_at(0, Fault::Short);
    assert_eq!(code(file.sync()), Some(libc::EIO));
}

#[test]
fn a_write_is_torn() {
    let (fs, file) = with_file(b"");
    fs.fail_at(0, Fault::Torn);
    assert_eq!(code(write(&*file, 0, b"12345678")), Some(libc::EIO));
    assert_eq!(fs.content(at("f")), b"1234");
    fs.fail_at(0, Fault::Torn);
    assert_eq!(code(fs.remove(&at("f"))), Some(libc::EIO));
    assert_eq!(fs.files(DIR), ["f"]);
}

#[test]
fn a_lost_sync_is_not_made_good() {
    let (fs, file) = with_file(b"old");
    write(&*file, 0, b"new").unwrap();
    fs.fail_at(0, Fault::SyncLost);
    assert_eq!(code(file.sync()), Some(libc::EIO));
    assert_eq!(fs.content(at("f")), b"new");
    write(&*file, 2, b"xy").unwrap();
    file.sync().unwrap();
    assert_eq!(fs.kill().content(at("f")), b"nexy");
    assert_eq!(fs.kill().power_cut(LOSES_NOTHING).content(at("f")), b"olxy");
    fs.fail_at(0, Fault::SyncLost);
    assert_eq!(code(fs.sync_dir(Path::new(DIR))), Some(libc::EIO));
}

#[test]
fn after_a_crash_nothing_works() {
    let (fs, file) = with_file(b"old");
    let dir = Path::new(DIR);
    fs.crash_at(1);
    write(&*file, 0, b"n").unwrap();
    assert!(is_crash(fs.remove(&at("f"))));
    assert!(is_crash(fs.create(&at("g"))));
    assert!(is_crash(fs.open(&at("f"), false)));
    assert!(is_crash(fs.list(dir)));
    assert!(is_crash(fs.lock(dir)));
    assert!(is_crash(fs.usable_space(dir)));
    assert!(is_crash(fs.random()));
    assert!(is_crash(file.len()));
    assert!(is_crash(file.read_at(&mut [0], 0)));
    assert!(is_crash(file.sync()));
    fs.heal();
    assert!(is_crash(file.sync()));
    let image = fs.kill();
    image.create(&at("g")).unwrap();
    assert!(image.files(DIR).contains(&"g".to_owned()));
}

#[test]
fn the_operation_that_a_crash_hits_is_done_in_part() {
    let (mut fronts, mut removed, mut synced) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..100 {
        let crashing = |make: &dyn Fn(&SimFs, &dyn FsFile) -> bool| {
            let fs = SimFs::new(seed);
            fs.create_dir(Path::new(DIR)).unwrap();
            let file = fs.create(&at("f")).unwrap();
            fs.sync_dir(Path::new(DIR)).unwrap();
            write(&*file, 0, b"x").unwrap();
            fs.crash_at(0);
            assert!(make(&fs, &*file));
            fs.kill()
        };
        fronts.insert(crashing(&|_, file| is_crash(write(file, 0, b"123"))).content(at("f")));
        removed.insert(crashing(&|fs, _| is_crash(fs.remove(&at("f")))).files(DIR).is_empty());
        let image = crashing(&|_, file| is_crash(file.sync()));
        synced.insert(image.power_cut(LOSES_ALL).content(at("f")) == b"x");
    }
    let possible = [b"x".to_vec(), b"1".to_vec(), b"12".to_vec(), b"123".to_vec()];
    assert_eq!(fronts, BTreeSet::from(possible));
    assert_eq!((removed.len(), synced.len()), (2, 2));
}

#[test]
fn a_path_fails_until_it_is_healed() {
    let (fs, file) = with_file(b"old");
    let dir = Path::new(DIR);
    fs.fail_always("flumed/g", libc::EROFS);
    fs.rename(&at("f"), &at("h")).unwrap();
    assert_eq!(code(fs.rename(&at("h"), &at("g"))), Some(libc::EROFS));
    fs.fail_always("/h", libc::EIO);
    // An open file goes by the name it has now.
    assert_eq!(code(file.len()), Some(libc::EIO));
    assert_eq!(code(file.read_at(&mut [0], 0)), Some(libc::EIO));
    assert_eq!(code(write(&*file, 0, b"x")), Some(libc::EIO));
    assert_eq!(code(file.sync()), Some(libc::EIO));
    assert_eq!(code(fs.open(&at("h"), false)), Some(libc::EIO));
    fs.sync_dir(dir).unwrap();
    fs.fail_always(DIR, libc::EIO);
    assert_eq!(code(fs.list(dir)), Some(libc::EIO));
    assert_eq!(code(fs.lock(dir)), Some(libc::EIO));
    assert_eq!(code(fs.usable_space(dir)), Some(libc::EIO));
    fs.heal();
    write(&*file, 0, b"n").unwrap();
    assert_eq!(fs.content(at("h")), b"nld");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (fs, file) = with_file(b"old");
    let free = || fs.usable_space(Path::new(DIR)).unwrap();
    assert_eq!(free(), u64::MAX / 2);
    fs.set_capacity(3 * 4096);
    assert_eq!(free(), 2 * 4096);
    assert_eq!(write(&*file, 4096, &[1; 3 * 4096]).unwrap(), 2 * 4096);
    assert_eq!(free(), 0);
    assert_eq!(code(write(&*file, 3 * 4096, b"x")), Some(libc::ENOSPC));
    assert_eq!(write(&*file, 3 * 4096 - 1, b"xy").unwrap(), 1);
    assert_eq!(write(&*file, 10, &[2; 4096]).unwrap(), 4096);
    assert_eq!(write(&*file, 1 << 20, b"").unwrap(), 0);
}

#[test]
fn holes_take_no_space() {
    let (fs, file) = with_file(b"");
    let free = || fs.usable_space(Path::new(DIR)).unwrap() / 4096;
    fs.set_capacity(2 * 4096);
    file.set_len(1 << 20).unwrap();
    assert_eq!(free(), 2);
    write(&*file, 8 * 4096, b"x").unwrap();
    assert_eq!(free(), 1);
    file.set_len(8 * 4096 + 1).unwrap();
    assert_eq!(free(), 1);
    file.set_len(8 * 4096).unwrap();
    assert_eq!(free(), 2);
    assert_eq!(write(&*file, 0, &[1; 3 * 4096]).unwrap(), 2 * 4096);
    assert_eq!(code(write(&*file, 2 * 4096, b"x")), Some(libc::ENOSPC));
}

#[test]
fn removed_and_replaced_files_give_space_back() {
    let (fs, _) = with_file(b"old");
    let free = || fs.usable_space(Path::new(DIR)).unwrap() / 4096;
    fs.set_capacity(2 * 4096);
    write(&*fs.create(&at("g")).unwrap(), 0, b"new").unwrap();
    assert_eq!(free(), 0);
    let filled = fs.copy();
    fs.rename(&at("g"), &at("f")).unwrap();
    assert_eq!(free(), 1);
    fs.remove(&at("f")).unwrap();
    assert_eq!(free(), 2);
    // The images have the size, too, and keep what blocks were written.
    assert_eq!(filled.usable_space(Path::new(DIR)).unwrap(), 0);
    assert_eq!(filled.power_cut(LOSES_ALL).usable_space(Path::new(DIR)).unwrap(), 4096);
}

#[test]
fn a_directory_is_locked_once_in_each_image() {
    let fs = with_dir();
    let dir = Path::new(DIR);
    let held = fs.lock(dir).unwrap();
    assert_eq!(fs.clone().lock(dir).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    let _other = fs.lock(Path::new("/data")).unwrap();
    for image in [fs.kill(), fs.power_cut(3), fs.copy()] {
        image.lock(dir).unwrap();
    }
    assert_eq!(code(fs.lock(Path::new("/no"))), Some(libc::ENOENT));
    drop(held);
    fs.lock(dir).unwrap();
}

#[test]
fn random_bytes_never_repeat() {
    let fs = SimFs::new(3);
    let mut seen = BTreeSet::new();
    for image in [fs.clone(), fs.kill(), fs.kill().kill(), fs.power_cut(2), fs.power_cut(3)] {
        assert!((0..100).all(|_| seen.insert(image.random().unwrap())));
    }
}

#[test]
fn damage_is_durable() {
    let (fs, file) = with_file(b"old");
    write(&*file, 3, b"er").unwrap();
    fs.overwrite(at("f"), |bytes| {
        bytes[0] ^= 1;
        bytes.truncate(4);
    });
    assert_eq!(contents(&fs), BTreeSet::from([b"nlde".to_vec()]));
    fs.set_capacity(3 * 4096);
    fs.overwrite(at("f"), |bytes| bytes.resize(4097, 0));
    assert_eq!(fs.usable_space(Path::new(DIR)).unwrap(), 4096);
}

#[test]
fn threads_share_it() {
    let (fs, file) = with_file(b"");
    let threads: Vec<_> = (0..4u8)
        .map(|t| {
            let file = file.clone();
            thread::spawn(move || {
                for i in 0..100 {
                    write(&*file, i * 4 + u64::from(t), &[t]).unwrap();
                    file.sync().unwrap();
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    assert_eq!(fs.power_cut(LOSES_ALL).content(at("f")), [0, 1, 2, 3].repeat(100));
}
