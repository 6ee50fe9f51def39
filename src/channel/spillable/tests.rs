//! The spillable memory channel, its files on a simulated file system.

use super::*;
use crate::channel::file::fs::sim::SimFs;
use crate::channel::{Put, Take};
use crate::event::{Batch, Body};
use crate::lock::lock;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

mod keys;
mod line;
mod model;
mod stop;
mod stress;

const FAR: Duration = Duration::from_secs(3600);

/// 10 events in memory, 20 at once, and an overflow. Who does not wait spills at once.
fn settings() -> Settings {
    Settings {
        capacity: 10,
        byte_capacity: usize::MAX,
        transaction_capacity: 20,
        timeout: FAR,
        threshold: 30,
        overflow: Some(1000),
    }
}

fn fixed(dirs: usize) -> Fixed {
    Fixed {
        checkpoint_dir: "/chk".into(),
        backup_dir: None,
        compresses_backup: false,
        data_dirs: (0..dirs).map(|d| format!("/d{d}").into()).collect(),
        key_file: None,
        old_key_files: Vec::new(),
    }
}

fn of_file(settings: &Settings) -> FileSettings {
    FileSettings {
        limits: Limits {
            capacity: settings.overflow.unwrap_or(0),
            transaction_capacity: settings.transaction_capacity,
            byte_capacity: usize::MAX,
            keep_alive: Duration::ZERO,
            durable: true,
        },
        max_transaction: 256 << 20,
        required_space: 1,
        segment_size: 4096,
        checkpoint_interval: FAR,
        checkpoint_on_close: true,
        sync_interval: None,
        take_sync: Duration::from_millis(100),
    }
}

fn open_in(fs: &SimFs, dirs: usize, settings: Settings) -> Arc<SpillableChannel> {
    let file = settings.overflow.map(|_| (fixed(dirs), of_file(&settings)));
    let c = SpillableChannel::new("c1", settings, file, ChannelCounters::new("c1"), Arc::new(fs.clone()));
    while !c.open().unwrap() {}
    c
}

fn open(fs: &SimFs, settings: Settings) -> Arc<SpillableChannel> {
    open_in(fs, 2, settings)
}

#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn nobody() -> Arc<dyn Wake> {
    Arc::new(Calls::default())
}

fn dynamic(c: &Arc<SpillableChannel>) -> Arc<dyn Channel> {
    c.clone()
}

fn events(range: std::ops::Range<u64>) -> Events {
    let mut b = Batch::new();
    range.for_each(|n| b.push(Body::Copy(n.to_string().as_bytes())));
    Events::all(Arc::new(b))
}

fn room(n: u64) -> Room {
    Room::of(&events(0..n))
}

/// One whose time is up.
fn late() -> Waiter {
    Waiter::hasty(Instant::now(), nobody())
}

fn settled(t: &Ticket) -> Result<(), String> {
    loop {
        match t.state() {
            TicketState::Open => std::thread::yield_now(),
            TicketState::Done => return Ok(()),
            TicketState::Failed(why) => return Err(why),
        }
    }
}

/// Puts where there is room, spilling if need be.
fn put(c: &Arc<SpillableChannel>, range: std::ops::Range<u64>) -> Result<(), PutError> {
    let (events, c) = (events(range), dynamic(c));
    let ticket = Put::reserve(&c, Room::of(&events), Some(&late()))?.append(events, &nobody())?;
    settled(&ticket).map_err(PutError::Down)
}

fn take(c: &Arc<SpillableChannel>, max: usize) -> Take {
    Take::begin(&dynamic(c), max, Instant::now(), &AtomicBool::new(false)).unwrap()
}

fn numbers(t: &Take) -> Vec<u64> {
    t.events().map(|e| std::str::from_utf8(e.body()).unwrap().parse().unwrap()).collect()
}

fn drain(c: &Arc<SpillableChannel>, max: usize) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let t = take(c, max);
        if t.is_empty() {
            return all;
        }
        all.extend(numbers(&t));
        t.commit().unwrap();
    }
}

fn list(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

fn value(c: &Arc<SpillableChannel>, key: &str) -> i64 {
    match c.values().iter().find(|(k, _)| *k == key).unwrap().1 {
        Value::Gauge(n) => n,
        Value::Counter(n) => n as i64,
        _ => panic!("{key} is no number"),
    }
}

fn is_spilling(c: &Arc<SpillableChannel>) -> bool {
    value(c, "Spilling") == 1
}

#[test]
fn memory_first_then_the_overflow_and_out_in_order() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    assert!(!is_spilling(&c));
    put(&c, 10..15).unwrap();
    put(&c, 15..16).unwrap();
    assert!(is_spilling(&c));
    assert_eq!((value(&c, "MemorySize"), value(&c, "OverflowSize"), c.backlog()), (10, 6, 16));
    assert_eq!((value(&c, "SpillCount"), value(&c, "SpilledEventCount"), c.perishable()), (1, 6, 10));
    let m = c.counters().measure();
    assert_eq!((m.size, m.capacity), (16, 1010));
    // Of one side at a time; only the overflow's are durable.
    let (a, b) = (take(&c, 20), take(&c, 20));
    assert_eq!((numbers(&a), a.is_durable()), (list(0..10), false));
    assert_eq!((numbers(&b), b.is_durable()), (list(10..16), true));
    a.commit().unwrap();
    b.commit().unwrap();
    assert_eq!((c.backlog(), c.counters().put_success.get(), c.counters().measure().bytes), (0, 16, 0));
}

#[test]
fn all_goes_to_the_overflow_until_the_sinks_have_caught_up() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    put(&c, 10..14).unwrap();
    // Memory has room for it, the overflow still waits to be taken.
    take(&c, 10).commit().unwrap();
    put(&c, 14..16).unwrap();
    assert_eq!((value(&c, "MemorySize"), is_spilling(&c)), (0, true));
    assert_eq!(numbers(&take(&c, 20)), list(10..16));
    assert_eq!(drain(&c, 4), list(10..16));
    put(&c, 16..20).unwrap();
    assert_eq!((value(&c, "MemorySize"), is_spilling(&c)), (4, false));
    assert_eq!(drain(&c, 4), list(16..20));
}

#[test]
fn spilling_goes_on_until_memory_has_its_share_free() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    let (held, more) = (take(&c, 8), take(&c, 2));
    put(&c, 10..11).unwrap();
    assert_eq!(drain(&c, 1), [10]);
    more.commit().unwrap();
    put(&c, 11..12).unwrap();
    assert_eq!((drain(&c, 1), is_spilling(&c)), (vec![11], true));
    let [one, rest] = held.split_at(1);
    one.commit().unwrap();
    assert!(!is_spilling(&c), "three of ten are free");
    drop(rest);
    assert_eq!(drain(&c, 20), list(1..8));
}

#[test]
fn the_place_is_that_of_the_reservation() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { capacity: 4, ..settings() });
    let d = dynamic(&c);
    let reserve = || Put::reserve(&d, room(2), Some(&late())).unwrap();
    let append = |p: Put<'_>, n: u64| p.append(events(n..n + 2), &nobody()).unwrap();
    // Memory, memory; overflow, overflow, overflow.
    let mut puts: Vec<Option<Put<'_>>> = (0..5).map(|_| Some(reserve())).collect();
    let last = append(puts[4].take().unwrap(), 8);
    append(puts[1].take().unwrap(), 2);
    assert!(take(&c, 9).is_empty(), "the first place is open");
    append(puts[0].take().unwrap(), 0);
    assert_eq!(drain(&c, 9), list(0..4));
    assert_eq!(last.state(), TicketState::Open, "not before those before it");
    let middle = append(puts[3].take().unwrap(), 6);
    // Memory again has room, and is behind all of that.
    assert!(!is_spilling(&c));
    put(&c, 10..12).unwrap();
    assert!(take(&c, 9).is_empty(), "nothing passes an open place");
    assert_eq!(middle.state(), TicketState::Open);
    drop(puts[2].take());
    assert_eq!((settled(&middle), settled(&last)), (Ok(()), Ok(())));
    assert_eq!(drain(&c, 9), list(6..12));
    assert_eq!(c.backlog(), 0);
}

#[test]
fn what_is_rolled_back_returns_to_its_place_over_both_sides() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    put(&c, 10..16).unwrap();
    let takes: Vec<Take> = (0..8).map(|_| take(&c, 2)).collect();
    let firsts: Vec<u64> = takes.iter().map(|t| t.first().unwrap()).collect();
    // Backwards, and some for good.
    for (i, t) in takes.into_iter().enumerate().rev() {
        if i % 3 == 1 {
            t.commit().unwrap();
        }
    }
    let again = take(&c, 2);
    assert_eq!((again.first(), numbers(&again)), (Some(firsts[0]), list(0..2)), "under the same number");
    drop(again);
    assert_eq!(drain(&c, 3), [0, 1, 4, 5, 6, 7, 10, 11, 12, 13]);
    assert_eq!(c.backlog(), 0);
}

#[test]
fn numbers_are_those_of_one_channel() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    for n in 0..4 {
        put(&c, n * 16..n * 16 + 10).unwrap();
        put(&c, n * 16 + 10..n * 16 + 16).unwrap();
        let (a, b) = (take(&c, 10), take(&c, 6));
        assert_eq!((a.first(), b.first()), (Some(n * 16), Some(n * 16 + 10)));
        a.commit().unwrap();
        b.commit().unwrap();
    }
}

#[test]
fn room_given_back_is_room_again_and_leaves_no_place() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    for _ in 0..100 {
        drop(Put::reserve(&dynamic(&c), room(10), None).unwrap());
    }
    put(&c, 0..10).unwrap();
    for _ in 0..100 {
        drop(Put::reserve(&dynamic(&c), room(20), Some(&late())).unwrap());
    }
    assert_eq!((c.backlog(), drain(&c, 20)), (10, list(0..10)));
    // Flume raises a NullPointerException here.
    drop(take(&c, 1));
    assert_eq!(c.backlog(), 0);
}

#[test]
fn a_batch_that_memory_never_fits_goes_to_the_overflow_without_a_wait() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { byte_capacity: 1000, ..settings() });
    let d = dynamic(&c);
    assert!(Put::reserve(&d, Room { events: 11, bytes: 10 }, None).is_ok());
    assert!(Put::reserve(&d, Room { events: 1, bytes: 1001 }, None).is_ok());
    assert!(!is_spilling(&c), "others still go to memory");
    let wrong = Put::reserve(&d, Room { events: 21, bytes: 10 }, None).err();
    assert!(matches!(wrong, Some(PutError::TooLarge(w)) if w.contains("transactionCapacity 20")));
    let big = Room { events: 1, bytes: usize::MAX / 2 };
    assert!(matches!(Put::reserve(&d, big, None).err(), Some(PutError::TooLarge(_))));
}

#[test]
fn without_an_overflow_it_is_a_memory_channel() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { overflow: None, byte_capacity: 5000, ..settings() });
    put(&c, 0..10).unwrap();
    assert_eq!(put(&c, 10..11), Err(PutError::Full));
    assert!(matches!(put(&c, 10..21), Err(PutError::TooLarge(w)) if w.contains("memoryCapacity 10")));
    let big = Put::reserve(&dynamic(&c), Room { events: 1, bytes: 5001 }, None).err();
    assert!(matches!(big, Some(PutError::TooLarge(w)) if w.contains("byteCapacity 5000")));
    assert_eq!(drain(&c, 3), list(0..10));
    put(&c, 10..12).unwrap();
    assert_eq!((c.close(), c.counters().lost_at_stop.get()), (2, 2));
    assert!(fs.files("/d0/flumed").is_empty());
}

#[test]
fn without_memory_it_is_a_file_channel() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { capacity: 0, ..settings() });
    let d = dynamic(&c);
    let ticket = Put::reserve(&d, room(2), None).unwrap().append(events(0..2), &nobody()).unwrap();
    settled(&ticket).unwrap();
    assert!(take(&c, 2).is_durable() && c.limits().durable && !is_spilling(&c));
    assert_eq!(c.perishable(), 0);
    assert_eq!(drain(&open(&fs.kill(), settings()), 2), list(0..2));
}

#[test]
fn both_sides_full_is_full() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { overflow: Some(5), ..settings() });
    put(&c, 0..10).unwrap();
    put(&c, 10..15).unwrap();
    assert_eq!(put(&c, 15..16), Err(PutError::Full));
    // The overflow has no room, memory has.
    take(&c, 4).commit().unwrap();
    put(&c, 15..18).unwrap();
    assert_eq!((value(&c, "MemorySize"), is_spilling(&c)), (9, true));
    assert_eq!(drain(&c, 20), list(4..18));
}

#[test]
fn a_failed_sync_takes_its_place_out_of_the_order() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    fs.fail_always("/d", 5);
    let why = put(&c, 10..13).unwrap_err();
    assert!(matches!(&why, PutError::Down(_)), "{why}");
    fs.heal();
    assert_eq!(numbers(&take(&c, 9)), list(0..9));
    // The log finds its way back by itself.
    while put(&c, 13..14).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(drain(&c, 20), [list(0..10), list(13..14)].concat());
    assert_eq!(c.backlog(), 0);
}

#[test]
fn a_damaged_backlog_is_passed_over() {
    let fs = SimFs::new(1);
    let c = open_in(&fs, 1, Settings { capacity: 0, ..settings() });
    (0..60).for_each(|n| put(&c, n..n + 1).unwrap());
    c.close();
    let name = fs.files("/d0/flumed").into_iter().find(|n| n.starts_with("segment-")).unwrap();
    fs.overwrite(std::path::Path::new("/d0/flumed").join(name), |bytes| {
        let at = bytes.len() / 3;
        bytes[at..at + 100].fill(0x55);
    });
    let c = open_in(&fs, 1, settings());
    // Memory, and the overflow again, behind it.
    put(&c, 60..70).unwrap();
    put(&c, 70..75).unwrap();
    let got = drain(&c, 7);
    assert!(got.len() < 75 && got.len() > 60, "{got:?}");
    assert_eq!((&got[got.len() - 15..], c.backlog()), (&list(60..75)[..], 0));
    assert!(got.is_sorted());
}
