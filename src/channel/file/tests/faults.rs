//! The n-th operation goes wrong, in each way, for every n: what was acknowledged comes out, what was refused was told,
//! and the channel goes on by itself.

use super::fs::sim::Fault;
use super::*;
use std::collections::BTreeSet;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Puts one event until it is stored. Only a test that fails waits long.
fn put_at_last(c: &Arc<FileChannel>, text: &str) {
    let until = Instant::now() + Duration::from_secs(30);
    while let Err(e) = put(c, &[text.to_owned()]) {
        assert!(Instant::now() < until, "the channel does not come back: {e}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Returns the operations made. `fault`: at which of them, and how.
fn work(fs: &SimFs, dirs: usize, fault: Option<(u64, Fault)>) -> u64 {
    let case = format!("{fault:?}");
    let c = open(fs, dirs);
    let before = fs.operations();
    if let Some((at, fault)) = fault {
        fs.fail_at(at, fault);
    }
    let (mut stored, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let (mut delivered, mut upkeep) = (Vec::new(), upkeep::Upkeep::new(true));
    for round in 0..12 {
        let texts = bodies(round * 10..round * 10 + 4);
        match put(&c, &texts) {
            Ok(()) => stored.extend(texts),
            Err(_) => refused.extend(texts),
        }
        if round % 2 == 1 {
            let t = take(&c, 3).unwrap_or_else(|e| panic!("{case}: {e}"));
            let got = super::texts(&t);
            if t.commit().is_ok() {
                delivered.extend(got);
            }
        }
        if round % 4 == 3 {
            upkeep.checkpoint(&engine(&c));
        }
    }
    put_at_last(&c, "event 999 the last");
    stored.insert("event 999 the last".to_owned());
    let operations = fs.operations() - before;
    // A process that is killed here; and this one, which goes on.
    for image in [Some(fs.kill()), Some(fs.power_cut(0)), None] {
        let is_cut = image.is_some();
        let c = image.map_or_else(|| c.clone(), |image| open(&image, dirs));
        let rest = drain_at_last(&c);
        let mut all: Vec<String> = rest.clone();
        if !is_cut {
            all.extend(delivered.iter().cloned());
        }
        let seen: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(seen.len(), all.len(), "{case}: something comes twice");
        let missing: Vec<_> =
            stored.iter().filter(|t| !seen.contains(*t) && !delivered.contains(t)).collect();
        assert!(missing.is_empty(), "{case}: lost {missing:?}");
        let strange: Vec<_> = seen.iter().filter(|t| !stored.contains(*t)).collect();
        // After a crash what was refused may be there: its sender was told to try again.
        assert!(is_cut || strange.is_empty(), "{case}: was refused and comes: {strange:?}");
        assert!(strange.iter().all(|t| refused.contains(*t)), "{case}: nobody put {strange:?}");
        assert_eq!(c.file_counters.damaged.get(), 0, "{case}");
        c.close();
    }
    operations
}

/// Everything that is left; the fault may come as late as here.
fn drain_at_last(c: &Arc<FileChannel>) -> Vec<String> {
    let (mut all, until) = (Vec::new(), Instant::now() + Duration::from_secs(30));
    loop {
        assert!(Instant::now() < until, "the channel does not come back");
        let Ok(t) = take(c, 5) else { continue };
        if t.is_empty() {
            return all;
        }
        let got = texts(&t);
        if t.commit().is_ok() {
            all.extend(got);
        }
    }
}

#[test]
fn any_operation_may_fail_in_any_way() {
    for dirs in [1, 2] {
        let operations = work(&SimFs::new(1), dirs, None) + 5;
        for fault in [Fault::Error(EIO), Fault::Error(ENOSPC), Fault::Short, Fault::Torn, Fault::SyncLost] {
            for at in (0..operations).step_by(if dirs == 1 { 2 } else { 5 }) {
                work(&SimFs::new(at), dirs, Some((at, fault)));
            }
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_left_out_until_it_can() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..4 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    fs.fail_always("/d0/", EIO);
    let mut next = 4;
    // Some are refused until that is noticed; then all go to the other one.
    while lock(&engine(&c).state).dirs[0].down.is_none() {
        let _ = put(&c, &bodies(1000..1001));
    }
    for _ in 0..10 {
        put(&c, &bodies(next..next + 1)).unwrap();
        next += 1;
    }
    fs.heal();
    engine(&c).nudge();
    let until = Instant::now() + Duration::from_secs(30);
    while lock(&engine(&c).state).dirs[0].down.is_some() {
        assert!(Instant::now() < until);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    for _ in 0..4 {
        put(&c, &bodies(next..next + 1)).unwrap();
        next += 1;
    }
    let got: Vec<String> = drain(&c, 5).into_iter().filter(|t| !bodies(1000..1001).contains(t)).collect();
    assert_eq!(got, bodies(0..next));
}

#[test]
fn a_directory_that_cannot_be_read_does_not_hold_up_the_others() {
    let fs = SimFs::new(1);
    let c = open(&fs, 2);
    for n in 0..20 {
        put(&c, &bodies(n..n + 1)).unwrap();
    }
    c.close();
    let c = open(&fs, 2);
    fs.fail_always("/d0/flumed/segment", EIO);
    let mut got = Vec::new();
    let until = Instant::now() + Duration::from_secs(30);
    while got.len() < 10 {
        assert!(Instant::now() < until, "{} of 10", got.len());
        if let Ok(t) = take(&c, 3) {
            got.extend(texts(&t));
            std::mem::forget(t);
        }
    }
    assert!(take(&c, 3).is_err(), "what is left cannot be read");
    assert_eq!(c.file_counters.damaged.get(), 0);
    fs.heal();
    while got.len() < 20 {
        assert!(Instant::now() < until, "{} of 20", got.len());
        if let Ok(t) = take(&c, 3) {
            got.extend(texts(&t));
            std::mem::forget(t);
        }
    }
    got.sort();
    let mut all = bodies(0..20);
    all.sort();
    assert_eq!(got, all);
}

#[test]
fn a_failed_sync_fails_whoever_syncs_next() {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new("/d")).unwrap();
    let file = fs.create(Path::new("/d/x")).unwrap();
    let syncs = writer::Synced::new(file.clone());
    segment::write_all(file.as_ref(), b"x", 0).unwrap();
    fs.fail_at(0, Fault::SyncLost);
    assert!(syncs.sync().is_err());
    assert!(file.sync().is_ok(), "the system tells of it once");
    assert!(syncs.sync().unwrap_err().to_string().contains("an earlier sync failed"));
}

#[test]
fn nothing_is_written_after_the_end() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..3)).unwrap();
    let (engine, held) = (engine(&c), take(&c, 2).unwrap());
    c.close();
    let before = fs.operations();
    assert!(lock(&engine.dirs[0].writer).take(&[(0, 2)], 10).is_err());
    assert!(held.commit().is_err());
    assert_eq!(fs.operations(), before);
    assert_eq!(drain(&open(&fs, 1), 5), bodies(0..3));
}

#[test]
fn a_panic_in_a_log_thread_leaves_nobody_waiting() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..3)).unwrap();
    // A frame that is no frame.
    let unit = state::Unit {
        frames: vec![payload::Encoded {
            bytes: Vec::new(),
            payload: 9,
            crc: 0,
            events: events(&bodies(3..4)),
        }],
        first: 1000,
        count: 1,
        bytes: 0,
        time: 0,
        ticket: Ticket::open(),
        wake: waker(),
    };
    let ticket = unit.ticket.clone();
    let engine = engine(&c);
    lock(&engine.state).dirs[0].queue.push_back(unit);
    engine.dirs[0].queued.fetch_add(1, SeqCst);
    engine.dirs[0].work.notify_all();
    assert!(settled(&ticket).unwrap_err().contains("panicked"));
    while lock(&engine.state).is_open {
        std::thread::yield_now();
    }
    assert!(matches!(begin_put(&c, &bodies(4..5)), Err(PutError::Down(_))));
    assert!(c.counters.trouble().unwrap().contains("panicked"));
    c.close();
    assert_eq!(drain(&open(&fs, 1), 5), bodies(0..3));
}

#[test]
fn a_start_that_fails_is_made_up_for() {
    let fs = SimFs::new(1);
    let c = open(&fs, 1);
    put(&c, &bodies(0..3)).unwrap();
    c.close();
    fs.fail_always("/d0/", EIO);
    let c = FileChannel::new("c1", fixed(1), settings(), ChannelCounters::new("c1"), Arc::new(fs.clone()));
    assert!(c.open().is_err() && c.open().is_err());
    fs.heal();
    assert!(c.open().unwrap());
    assert_eq!(drain(&c, 5), bodies(0..3));
}
