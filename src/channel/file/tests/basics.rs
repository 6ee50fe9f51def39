//! What the channel does when nothing goes wrong.

use super::*;

#[test]
fn first_in_first_out_and_again_after_a_restart() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..3)).unwrap();
    put(&c, &bodies(3..10)).unwrap();
    let t = take(&c, 4).unwrap();
    assert_eq!(texts(&t), bodies(0..4));
    t.commit().unwrap();
    c.close();
    let c = open(&fs, 1);
    assert_eq!(c.backlog(), 6);
    assert_eq!(drain(&c, 4), bodies(4..10));
    assert_eq!((c.backlog(), c.counters().measure().bytes), (0, 0));
    c.close();
    assert_eq!(drain(&open(&fs, 1), 4), Vec::<String>::new());
}

#[test]
fn what_is_rolled_back_comes_first_and_in_order() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..8)).unwrap();
    let (a, b, third) = (take(&c, 2).unwrap(), take(&c, 3).unwrap(), take(&c, 1).unwrap());
    assert_eq!(texts(&third), bodies(5..6));
    drop(b);
    drop(a);
    assert_eq!(texts(&take(&c, 4).unwrap()), bodies(0..4));
    third.commit().unwrap();
    c.close();
    let left: Vec<String> = bodies(0..8).into_iter().filter(|b| !bodies(5..6).contains(b)).collect();
    assert_eq!(drain(&open(&fs, 1), 3), left);
}

#[test]
fn several_directories_give_one_order() {
    let fs = SimFs::new(1);
    let c = open(&fs, 3);
    for n in 0..60 {
        put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
    }
    assert_eq!(drain(&c, 7)[..], bodies(0..300)[..]);
    for n in 0..60 {
        put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
    }
    for d in 0..3 {
        assert!(fs.files(ours(&format!("/d{d}"))).iter().any(|n| n.starts_with("segment-")));
    }
    c.close();
    assert_eq!(drain(&open(&fs, 3), 7), bodies(0..300));
}

#[test]
fn a_backlog_is_read_from_disk_and_joins_what_is_in_memory() {
    let fs = SimFs::new(1);
    let c = try_open(&fs, fixed(2), Settings { segment_size: 1 << 20, ..settings() }).unwrap();
    let large = |n: u64| format!("{n} {}", "y".repeat(60_000));
    let n = 2 * state::RECENT as u64 / 60_000;
    for i in 0..n {
        put(&c, &[large(i)]).unwrap();
    }
    assert!(lock(&engine(&c).state).is_behind(), "more than is kept in memory");
    for i in 0..n {
        // What comes meanwhile goes behind.
        put(&c, &[large(n + i)]).unwrap();
        let t = take(&c, 1).unwrap();
        assert_eq!(texts(&t), [large(i)]);
        t.commit().unwrap();
    }
    let rest = drain(&c, 3);
    assert_eq!(rest.len() as u64, n);
    assert!(rest.iter().zip(n..).all(|(t, i)| *t == large(i)));
    assert!(!lock(&engine(&c).state).is_behind());
}

#[test]
fn drained_segments_are_freed_and_used_again() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    let names = || fs.files(ours("/d0")).into_iter().filter(|n| n.starts_with("segment-")).count();
    let mut upkeep = upkeep::Upkeep::new(true);
    let mut most = 0;
    for round in 0..30 {
        for n in 0..20 {
            put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
        }
        assert_eq!(drain(&c, 100), bodies(0..100), "round {round}");
        upkeep.checkpoint(&engine(&c));
        most = most.max(names());
    }
    assert!(most <= 8, "{most} segments at once");
    let begun = engine(&c).dirs[0].dir.pool.lock().unwrap().next_seq;
    assert!(begun > 30, "{begun} segments in all");
    c.close();
    assert_eq!(drain(&open(&fs, 1), 10), Vec::<String>::new());
}

#[test]
fn one_event_held_back_pins_only_its_segment() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..1)).unwrap();
    let held = take(&c, 1).unwrap();
    let mut upkeep = upkeep::Upkeep::new(true);
    for _ in 0..40 {
        for n in 0..20 {
            put(&c, &bodies(n * 5..n * 5 + 5)).unwrap();
        }
        assert_eq!(drain(&c, 100), bodies(0..100));
        upkeep.checkpoint(&engine(&c));
    }
    let left = fs.files(ours("/d0")).into_iter().filter(|n| n.starts_with("segment-")).count();
    assert!(left <= 6, "{left} segments");
    drop(held);
    c.close();
    assert_eq!(drain(&open(&fs, 1), 10), bodies(0..1));
}

#[test]
fn large_transactions_are_chains_and_large_events_have_their_own_segments() {
    let fs = SimFs::new(1);
    let c = try_open(&fs, fixed(1), Settings { segment_size: 1 << 20, ..settings() }).unwrap();
    let large: Vec<String> = (0..5).map(|n| format!("{n}").repeat(5 << 20)).collect();
    put(&c, &large).unwrap();
    assert!(take(&c, 5).unwrap().len() < 5, "a take holds some 16 MiB at most");
    c.close();
    let c = open(&fs, 1);
    assert!(drain(&c, 5) == large);
    let too_much = Settings { max_transaction: 1 << 20, ..settings() };
    c.live.set(too_much);
    assert!(matches!(begin_put(&c, &large), Err(PutError::TooLarge(_))));
}

#[test]
fn a_full_channel_says_so_and_a_smaller_capacity_is_no_obstacle() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..100)).unwrap();
    c.close();
    let limits = Limits { capacity: 50, transaction_capacity: 20, ..settings().limits };
    let c = try_open(&fs, fixed(1), Settings { limits, ..settings() }).unwrap();
    assert_eq!(begin_put(&c, &bodies(0..1)).err(), Some(PutError::Full));
    let t = take(&c, 20).unwrap();
    t.commit().unwrap();
    assert_eq!(drain(&c, 20).len(), 80);
    put(&c, &bodies(0..20)).unwrap();
    assert!(matches!(begin_put(&c, &bodies(0..21)), Err(PutError::TooLarge(_))));
}

#[test]
fn nothing_is_reserved_for_good() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    for _ in 0..100 {
        drop(Put::reserve(&dynamic(&c), Room { events: 1000, bytes: 1000 }, None).unwrap());
        drop(take(&c, 10).unwrap());
    }
    assert_eq!(c.backlog(), 0);
    put(&c, &bodies(0..2)).unwrap();
    for _ in 0..100 {
        drop(take(&c, 1).unwrap());
    }
    assert_eq!((c.backlog(), drain(&c, 10)), (2, bodies(0..2)));
}

#[test]
fn a_directory_is_used_by_one_channel() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    let second = try_open(&fs, fixed(1), settings()).err().unwrap();
    assert!(second.contains("/chk/flumed"), "{second}");
    put(&c, &bodies(0..1)).unwrap();
    put(&c, &bodies(1..2)).unwrap();
    c.close();
    // A failed start lets go of what it had locked.
    let missing = try_open(&fs, fixed(1), settings()).err().unwrap();
    assert!(missing.contains("data directory /d1 of this channel is not there"), "{missing}");
    assert_eq!(drain(&open(&fs, 2), 5), bodies(0..2));
    // One that holds nothing can be left out.
    let c = try_open(&fs, fixed(1), settings()).unwrap();
    put(&c, &bodies(0..1)).unwrap();
}

#[test]
fn directories_may_change_places_but_not_channels() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..10 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    c.close();
    let mut swapped = fixed(2);
    swapped.data_dirs.reverse();
    let c = try_open(&fs, swapped, settings()).unwrap();
    assert_eq!(drain(&c, 3), bodies(0..10));
    c.close();
    let other = Fixed { data_dirs: vec!["/other".into()], checkpoint_dir: "/otherchk".into(), ..fixed(1) };
    try_open(&fs, other, settings()).unwrap().close();
    let mixed = Fixed { data_dirs: vec!["/d0".into(), "/d1".into(), "/other".into()], ..fixed(1) };
    let why = try_open(&fs, mixed, settings()).err().unwrap();
    assert!(why.contains("/other/flumed belongs to channel"), "{why}");
}

#[test]
fn a_directory_that_was_left_out_brings_nothing_back() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..10 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    assert_eq!(drain(&c, 3), bodies(0..10));
    c.close();
    let other = Fixed { data_dirs: vec!["/d1".into(), "/d9".into()], ..fixed(2) };
    let c = try_open(&fs, other, settings()).unwrap();
    for n in 10..40 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    let mut upkeep = upkeep::Upkeep::new(true);
    assert_eq!(drain(&c, 3), bodies(10..40));
    for _ in 0..3 {
        upkeep.checkpoint(&engine(&c));
    }
    c.close();
    let c = open(&fs, 2);
    assert_eq!((c.backlog(), drain(&c, 3)), (0, Vec::<String>::new()));
    put(&c, &bodies(40..42)).unwrap();
    c.close();
    assert_eq!(drain(&open(&fs, 2), 3), bodies(40..42));
}

#[test]
fn bytes_do_not_grow_with_every_kill() {
    let mut fs = SimFs::new(1);
    let mut c = open(&fs, 1);
    for n in 0..100 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    for _ in 0..5 {
        take(&c, 18).unwrap().commit().unwrap();
        let before = c.counters.measure().bytes;
        let image = fs.kill();
        c.close();
        (c, fs) = (open(&image, 1), image);
        let after = c.counters.measure().bytes;
        assert!(after.abs_diff(before) < before / 4 + 200, "{before} became {after}");
    }
}

#[test]
fn lost_data_directories_are_noticed_by_the_checkpoint() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..4)).unwrap();
    c.close();
    let elsewhere = Fixed { data_dirs: vec!["/empty".into()], ..fixed(1) };
    let why = try_open(&fs, elsewhere, settings()).err().unwrap();
    assert!(why.contains("4 events, but no data directory holds any"), "{why}");
    assert_eq!(drain(&open(&fs, 1), 9), bodies(0..4));
}

#[test]
fn without_checkpoints_everything_is_found() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..50 {
        put(&c, &bodies(n * 4..n * 4 + 4)).unwrap();
        if n % 3 == 2 {
            take(&c, 5).unwrap().commit().unwrap();
        }
    }
    let taken = 16 * 5;
    c.close();
    for name in fs.files(ours("/chk")) {
        fs.remove(&ours("/chk").join(name)).unwrap();
    }
    assert_eq!(drain(&open(&fs, 2), 9), bodies(taken..200));
}

#[test]
fn a_backup_is_used_when_the_checkpoints_are_gone() {
    let fs = SimFs::new(1);
    for compresses_backup in [false, true] {
        let dual = Fixed { backup_dir: Some("/bak".into()), compresses_backup, ..fixed(1) };
        let c = try_open(&fs, dual.clone(), settings()).unwrap();
        put(&c, &bodies(0..40)).unwrap();
        c.close();
        for name in fs.files(ours("/chk")) {
            fs.remove(&ours("/chk").join(name)).unwrap();
        }
        let c = try_open(&fs, dual, settings()).unwrap();
        assert_eq!(engine(&c).replayed, 0, "a clean end leaves nothing to read");
        assert_eq!(drain(&c, 9), bodies(0..40));
        c.close();
    }
}

#[cfg(feature = "encryption")]
#[test]
fn encrypted_segments_need_their_keys() {
    let key = |n: u8| {
        let path = std::env::temp_dir().join(format!("flumed-file-key-{}-{n}", std::process::id()));
        std::fs::write(&path, [n; 32]).unwrap();
        path
    };
    let (one, two) = (key(1), key(2));
    let fs = SimFs::new(1);
    let with = |k: Option<&std::path::PathBuf>, old: &[&std::path::PathBuf]| Fixed {
        key_file: k.cloned(),
        old_key_files: old.iter().map(|p| (*p).clone()).collect(),
        ..fixed(1)
    };
    let c = try_open(&fs, with(Some(&one), &[]), settings()).unwrap();
    for n in 0..40 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    take(&c, 3).unwrap().commit().unwrap();
    c.close();
    for name in fs.files(ours("/d0")) {
        let content = fs.content(ours("/d0").join(&name));
        assert!(!content.windows(6).any(|w| w == b"event "), "{name} can be read");
    }
    for wrong in [with(None, &[]), with(Some(&two), &[])] {
        let why = try_open(&fs, wrong, settings()).err().unwrap();
        assert!(why.contains("neither encryption.keyFile nor"), "{why}");
    }
    // The master key is rotated; what was written before is still read.
    let c = try_open(&fs, with(Some(&two), &[&one]), settings()).unwrap();
    put(&c, &bodies(40..50)).unwrap();
    assert_eq!(drain(&c, 7), bodies(3..50));
    c.close();
    std::fs::remove_file(one).unwrap();
    std::fs::remove_file(two).unwrap();
}

#[test]
fn without_a_sync_per_transaction_a_checkpoint_still_covers_only_what_is_synced() {
    let fs = SimFs::new(1);
    let lazy = Settings { sync_interval: Some(Duration::from_secs(3600)), ..settings() };
    let c = try_open(&fs, fixed(1), lazy).unwrap();
    put(&c, &bodies(0..5)).unwrap();
    assert_eq!(drain(&open(&fs.power_cut(0), 1), 9), Vec::<String>::new(), "the price of it");
    assert_eq!(drain(&open(&fs.kill(), 1), 9), bodies(0..5));
    upkeep::Upkeep::new(true).checkpoint(&engine(&c));
    assert_eq!(drain(&open(&fs.power_cut(0), 1), 9), bodies(0..5));
}

#[test]
fn a_close_while_opening_or_twice_is_no_trouble() {
    let fs = SimFs::new(1);
    let c = FileChannel::new("c1", fixed(1), settings(), ChannelCounters::new("c1"), Arc::new(fs.clone()));
    c.close();
    assert!(c.open().unwrap());
    put(&c, &bodies(0..3)).unwrap();
    assert_eq!((c.close(), c.close()), (0, 0));
    assert!(matches!(begin_put(&c, &bodies(0..1)), Err(PutError::Down(_))));
    assert!(take(&c, 1).unwrap().is_empty());
    while !c.open().unwrap() {}
    assert_eq!(drain(&c, 9), bodies(0..3));
}
