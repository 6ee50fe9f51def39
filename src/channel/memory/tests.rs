use super::*;
use crate::channel::{Put, Take};
use crate::event::{Batch, Body};
use std::sync::atomic::AtomicUsize;

#[derive(Default)]
struct Calls(AtomicUsize);
impl Wake for Calls {
    fn wake(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

const LIMITS: Limits = Limits {
    capacity: 10,
    transaction_capacity: 5,
    byte_capacity: usize::MAX,
    keep_alive: Duration::from_secs(3),
    durable: false,
};

fn open(limits: Limits) -> Arc<dyn Channel> {
    let c = MemoryChannel::new("c1", limits, ChannelCounters::new("c1"));
    c.open().unwrap();
    c
}

fn batch(bodies: &[&str]) -> Events {
    let mut b = Batch::new();
    for t in bodies {
        b.push(Body::Copy(t.as_bytes()));
    }
    Events::all(Arc::new(b))
}

fn put(c: &Arc<dyn Channel>, bodies: &[&str]) -> Result<Ticket, PutError> {
    let wake: Arc<dyn Wake> = Arc::new(Calls::default());
    let events = batch(bodies);
    Put::reserve(c, Room::of(&events), None)?.append(events, &wake)
}

fn take(c: &Arc<dyn Channel>, max: usize) -> Take {
    Take::begin(c, max, Instant::now(), &AtomicBool::new(false)).unwrap()
}

fn texts(t: &Take) -> Vec<String> {
    t.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect()
}

#[test]
fn first_in_first_out_across_batches() {
    let c = open(LIMITS);
    put(&c, &["a", "b", "c"]).unwrap();
    put(&c, &["d", "e"]).unwrap();
    let t = take(&c, 4);
    assert_eq!(texts(&t), ["a", "b", "c", "d"]);
    t.commit().unwrap();
    assert_eq!(texts(&take(&c, 4)), ["e"]);
}

#[test]
fn a_dropped_take_returns_and_a_dropped_put_was_never_there() {
    let c = open(LIMITS);
    put(&c, &["a", "b"]).unwrap();
    drop(take(&c, 2));
    drop(Put::reserve(&c, Room { events: 5, bytes: 100 }, None).unwrap());
    let t = take(&c, 5);
    assert_eq!(texts(&t), ["a", "b"]);
    t.commit().unwrap();
    assert_eq!(c.backlog(), 0);
    assert_eq!(c.counters().measure().bytes, 0);
}

#[test]
fn what_several_takers_return_comes_back_in_order() {
    let c = open(LIMITS);
    put(&c, &["a", "b", "c"]).unwrap();
    put(&c, &["d", "e", "f"]).unwrap();
    let (one, two, three) = (take(&c, 2), take(&c, 2), take(&c, 1));
    drop(two);
    drop(one);
    assert_eq!(texts(&take(&c, 3)), ["a", "b", "c"]);
    drop(three);
    assert_eq!(texts(&take(&c, 10)), ["a", "b", "c", "d", "e"]);
    let all: Vec<Take> = (0..6).map(|_| take(&c, 1)).collect();
    assert_eq!(all.iter().flat_map(texts).collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_take_makes_room_only_when_it_commits() {
    let c = open(LIMITS);
    put(&c, &["x"; 5]).unwrap();
    put(&c, &["x"; 5]).unwrap();
    assert_eq!(put(&c, &["y"]).unwrap_err(), PutError::Full);
    let t = take(&c, 5);
    assert_eq!(put(&c, &["y"]).unwrap_err(), PutError::Full);
    t.commit().unwrap();
    put(&c, &["y"]).unwrap();
}

#[test]
fn a_batch_above_a_limit_is_refused_for_good() {
    let c = open(Limits { byte_capacity: 1600, ..LIMITS });
    assert!(matches!(put(&c, &["x"; 6]), Err(PutError::TooLarge(w)) if w.contains("transactionCapacity 5")));
    let big = "x".repeat(1601);
    assert!(matches!(put(&c, &[&big]), Err(PutError::TooLarge(w)) if w.contains("byteCapacity")));
}

/// Flume's testByteCapacityOverload: byteCapacity 2000 at 20 %, three bodies of 405 fit, the next two do not.
#[test]
fn bytes_are_bounded_as_in_flume() {
    let c = open(Limits { byte_capacity: 1600, ..LIMITS });
    let body = "x".repeat(405);
    for _ in 0..3 {
        put(&c, &[&body]).unwrap();
    }
    assert_eq!(put(&c, &[&body]).unwrap_err(), PutError::Full);
    assert_eq!(put(&c, &[&body]).unwrap_err(), PutError::Full);
    take(&c, 1).commit().unwrap();
    put(&c, &[&body]).unwrap();
}

#[test]
fn who_waits_is_woken_when_a_take_commits_and_is_not_passed() {
    let c = open(LIMITS);
    put(&c, &["x"; 5]).unwrap();
    put(&c, &["x"; 5]).unwrap();
    let calls = Arc::new(Calls::default());
    let long_ago = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let w = Waiter::new(long_ago, calls.clone());
    c.enqueue(&w);
    assert_eq!(calls.0.load(Relaxed), 0);
    take(&c, 5).commit().unwrap();
    assert_eq!(calls.0.load(Relaxed), 1);
    assert_eq!(put(&c, &["y"]).unwrap_err(), PutError::Full, "nobody passes the head");
    let events = batch(&["z"]);
    Put::reserve(&c, Room::of(&events), Some(&w)).unwrap();
    put(&c, &["y"]).unwrap();
}

#[test]
fn a_waiting_taker_gets_the_next_commit_and_obeys_its_stop_flag() {
    let c = open(LIMITS);
    let stop = Arc::new(AtomicBool::new(false));
    let far = Instant::now() + Duration::from_secs(60);
    let (c2, stop2) = (c.clone(), stop.clone());
    let taker = std::thread::spawn(move || {
        let first = Take::begin(&c2, 5, far, &stop2).unwrap();
        let got = texts(&first);
        first.commit().unwrap();
        (got, Take::begin(&c2, 5, far, &stop2).unwrap().len())
    });
    put(&c, &["a"]).unwrap();
    while c.backlog() > 0 {
        std::thread::yield_now();
    }
    stop.store(true, Relaxed);
    c.interrupt_takers();
    assert_eq!(taker.join().unwrap(), (vec!["a".to_owned()], 0));
}

#[test]
fn a_closed_channel_refuses_counts_and_wakes() {
    let c = open(LIMITS);
    put(&c, &["a", "b"]).unwrap();
    let calls = Arc::new(Calls::default());
    c.enqueue(&Waiter::new(Instant::now(), calls.clone()));
    let before = calls.0.load(Relaxed);
    assert_eq!(c.close(), 2);
    assert!(calls.0.load(Relaxed) > before);
    assert!(matches!(put(&c, &["c"]), Err(PutError::Down(_))));
    assert_eq!(c.counters().lost_at_stop.get(), 2);
    assert!(take(&c, 1).is_empty());
}

/// Random puts, takes, commits and rollbacks against a plain model: every event comes out exactly once, room
/// is conserved. (Flume leaked permits under the same schedule: FLUME-2812.)
#[test]
fn room_is_conserved_over_random_schedules() {
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut random = |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n as u64) as usize
    };
    let c = open(LIMITS);
    let (mut next, mut seen, mut open_takes) = (0u32, Vec::new(), Vec::<Take>::new());
    for _ in 0..20_000 {
        match random(4) {
            0 | 1 => {
                let names: Vec<String> = (0..1 + random(5)).map(|i| (next + i as u32).to_string()).collect();
                let refs: Vec<&str> = names.iter().map(String::as_str).collect();
                if put(&c, &refs).is_ok() {
                    next += names.len() as u32;
                }
            }
            2 => open_takes.push(take(&c, 1 + random(5))),
            _ if !open_takes.is_empty() => {
                let t = open_takes.swap_remove(random(open_takes.len()));
                if random(2) == 0 {
                    seen.extend(texts(&t).iter().map(|s| s.parse::<u32>().unwrap()));
                    t.commit().unwrap();
                }
            }
            _ => {}
        }
    }
    open_takes.clear();
    while c.backlog() > 0 {
        let t = take(&c, 5);
        seen.extend(texts(&t).iter().map(|s| s.parse::<u32>().unwrap()));
        t.commit().unwrap();
    }
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..next), "seen {} of {next}", seen.len());
    let m = c.counters().measure();
    assert_eq!((m.size, m.bytes), (0, 0));
}
