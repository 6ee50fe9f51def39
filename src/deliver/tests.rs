use super::*;
use crate::channel::scripted::Scripted;
use crate::channel::{Limits, Take};
use crate::event::{Body, Key};
use crate::interceptor::Interceptor;
use crate::selector::replicating;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

struct Woken(AtomicUsize);
impl Wake for Woken {
    fn wake(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn wake() -> (Arc<Woken>, Arc<dyn Wake>) {
    let w = Arc::new(Woken(AtomicUsize::new(0)));
    (w.clone(), w)
}

fn channel(name: &str, capacity: usize) -> Arc<Scripted> {
    let keep_alive = Duration::from_secs(3);
    let byte_capacity = usize::MAX;
    let l = Limits { capacity, transaction_capacity: capacity, byte_capacity, keep_alive, durable: true };
    Scripted::new(name, l)
}

fn deliver(channels: &[&Arc<Scripted>], optional: &[usize], chain: Chain) -> Deliver {
    let list = channels.iter().map(|c| (*c).clone() as Arc<dyn Channel>).collect();
    Deliver::new(SourceCounters::new("r1"), chain, replicating::for_tests(channels.len(), optional), list)
}

fn batch(n: usize) -> Batch {
    let mut b = Batch::new();
    for i in 0..n {
        b.push(Body::Copy(i.to_string().as_bytes()));
    }
    b
}

fn drain(c: &Arc<Scripted>) -> usize {
    let c: Arc<dyn Channel> = c.clone();
    let t = Take::begin(&c, 100, Instant::now(), &AtomicBool::new(false)).unwrap();
    let n = t.len();
    t.commit().unwrap();
    n
}

#[test]
fn all_or_none_when_a_second_channel_is_full() {
    let (one, two) = (channel("c1", 10), channel("c2", 10));
    two.script.lock().unwrap().reserve_left = Some(0);
    let d = deliver(&[&one, &two], &[], Chain::default());
    let (_, w) = wake();
    let waiter = Waiter::new(Instant::now(), w.clone());
    let mut batch = d.prepare(batch(3));
    assert!(matches!(batch.attempt(&d, Some(&waiter), &w), Attempt::Full(c) if c.name() == "c2"));
    assert_eq!((one.backlog(), two.backlog()), (0, 0), "nothing stored, nothing reserved");
    two.script.lock().unwrap().reserve_left = None;
    assert!(matches!(batch.attempt(&d, Some(&waiter), &w), Attempt::Stored));
    assert_eq!((drain(&one), drain(&two)), (3, 3));
}

#[test]
fn a_channel_that_fills_between_two_reservations_leaves_nothing_behind() {
    let (one, two) = (channel("c1", 10), channel("c2", 10));
    one.script.lock().unwrap().reserve_left = Some(1);
    let d = deliver(&[&one, &two], &[], Chain::default());
    let (_, w) = wake();
    assert!(matches!(d.prepare(batch(2)).attempt(&d, None, &w), Attempt::Stored));
    assert!(matches!(d.prepare(batch(2)).attempt(&d, None, &w), Attempt::Full(_)));
    assert_eq!((one.backlog(), two.backlog()), (2, 2));
}

#[test]
fn a_failed_append_refuses_the_batch_and_counts_the_copy_elsewhere() {
    let (one, two) = (channel("c1", 10), channel("c2", 10));
    two.script.lock().unwrap().append_fails = vec![Some("disk gone".into())];
    let d = deliver(&[&one, &two], &[], Chain::default());
    let (_, w) = wake();
    let mut b = d.prepare(batch(2));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Refused(PutError::Down(why)) if why == "disk gone"));
    assert_eq!(d.counters.partly_stored.get(), 1);
    assert_eq!((one.backlog(), two.backlog()), (2, 0));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored), "the same batch can be tried again");
}

#[test]
fn a_batch_is_done_when_its_last_ticket_is_however_they_end() {
    let (one, two) = (channel("c1", 10), channel("c2", 10));
    for c in [&one, &two] {
        c.script.lock().unwrap().late = true;
    }
    let d = deliver(&[&one, &two], &[], Chain::default());
    let (woken, w) = wake();
    let mut b = d.prepare(batch(1));
    let mut later = d.prepare(batch(1));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored));
    assert!(matches!(later.attempt(&d, None, &w), Attempt::Stored));
    one.end(1, Ok(()));
    two.end(1, Ok(()));
    assert_eq!((b.settle(&d), later.settle(&d)), (TicketState::Open, TicketState::Done), "out of order");
    two.end(0, Err("sync failed".into()));
    assert_eq!(b.settle(&d), TicketState::Open, "a failure waits for the others");
    one.end(0, Ok(()));
    assert_eq!(b.settle(&d), TicketState::Failed("sync failed".into()));
    assert_eq!(d.counters.partly_stored.get(), 1);
    assert_eq!(woken.0.load(Relaxed), 4);
}

#[test]
fn optional_channels_neither_wait_nor_refuse() {
    let (must, may) = (channel("c1", 10), channel("c2", 2));
    let d = deliver(&[&may, &must], &[0], Chain::default());
    assert_eq!(d.limits().events, 10, "an optional channel bounds nothing");
    let (_, w) = wake();
    assert!(matches!(d.prepare(batch(3)).attempt(&d, None, &w), Attempt::Stored));
    assert_eq!((must.backlog(), may.backlog()), (3, 2), "what fits, in transactions of its size");
    assert_eq!(d.counters.optional_failed.get(), 1);
    assert_eq!(drain(&may), 2);
    may.script.lock().unwrap().late = true;
    let mut b = d.prepare(batch(1));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored));
    assert_eq!(b.settle(&d), TicketState::Done, "its ticket is not awaited");
}

struct Mark(AtomicUsize);
impl Interceptor for Mark {
    fn intercept(&self, batch: &mut Batch) {
        self.0.fetch_add(1, Relaxed);
        batch.retain(|e| e.body() != b"0");
        for i in 0..batch.len() {
            let x = batch.store(b"x");
            batch.set_header(i, Key::ID, x);
        }
    }
}

struct Waits;
impl Interceptor for Waits {
    fn intercept(&self, _: &mut Batch) {}
    fn may_block(&self) -> bool {
        true
    }
}
impl crate::selector::Selector for Waits {
    fn route(&self, _: &Arc<Batch>) -> crate::selector::Routed {
        Default::default()
    }
    fn may_require(&self) -> Vec<usize> {
        Vec::new()
    }
    fn may_block(&self) -> bool {
        true
    }
}

#[test]
fn one_that_may_block_is_enough() {
    let mark = || Box::new(Mark(AtomicUsize::new(0)));
    let c = channel("c1", 10);
    assert!(!deliver(&[&c], &[], Chain::new(vec![mark(), mark()])).may_block());
    assert!(deliver(&[&c], &[], Chain::new(vec![mark(), Box::new(Waits)])).may_block());
    let list = || vec![c.clone() as Arc<dyn Channel>];
    let selected =
        |chain| Deliver::new(SourceCounters::new("r1"), chain, Box::new(Waits), list()).may_block();
    assert!(selected(Chain::default()));
}

#[test]
fn interceptors_run_once_however_often_a_batch_is_tried() {
    let c = channel("c1", 10);
    c.script.lock().unwrap().reserve_left = Some(0);
    let d = deliver(&[&c], &[], Chain::new(vec![Box::new(Mark(AtomicUsize::new(0)))]));
    let (_, w) = wake();
    let mut b = d.prepare(batch(3));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Full(_)));
    c.script.lock().unwrap().reserve_left = None;
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored));
    assert_eq!(b.events(), 2);
    let c: Arc<dyn Channel> = c;
    let t = Take::begin(&c, 10, Instant::now(), &AtomicBool::new(false)).unwrap();
    assert_eq!(t.events().map(|e| e.headers().count()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn an_emptied_batch_is_a_success() {
    let c = channel("c1", 10);
    c.script.lock().unwrap().reserve_left = Some(0);
    let d = deliver(&[&c], &[], Chain::new(vec![Box::new(Mark(AtomicUsize::new(0)))]));
    let (_, w) = wake();
    let mut b = d.prepare(batch(1));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored));
    assert_eq!((b.events(), b.settle(&d)), (0, TicketState::Done));
}

/// What each channel would get, as text.
fn shares(d: &Delivery) -> Vec<(usize, bool, Vec<String>)> {
    let body = |e: crate::event::EventRef<'_>| String::from_utf8_lossy(e.body()).into_owned();
    d.parts.iter().map(|p| (p.channel, p.required, p.events.iter().map(body).collect())).collect()
}

#[test]
fn halves_hold_for_every_channel_what_it_gets_of_their_events() {
    let mut random = crate::codec::feed::Random(0x5eed);
    for _ in 0..2000 {
        let n = 1 + random.below(12);
        let events = Arc::new(batch(n));
        let mut whole = Delivery { events: n, charge: 1000, ..Delivery::default() };
        for channel in 0..random.below(4) {
            let picked: Vec<u32> = (0..n as u32).filter(|_| random.below(3) > 0).collect();
            let all = random.below(4) == 0;
            let mut part =
                if all { Events::all(events.clone()) } else { Events::picked(events.clone(), picked) };
            let picks = part.picks().map(|all| Picks { all, from: 0 });
            if random.below(3) == 0 {
                // Parked meanwhile: copied, with numbers of its own.
                part = part.compact();
            }
            whole.add(Part { channel, events: part, required: channel != 2 }, picks);
        }
        let expected = shares(&whole);
        // Into single events, in any order of halving.
        let mut pieces = std::collections::VecDeque::from([whole]);
        let mut done: Vec<Delivery> = Vec::new();
        while let Some(mut d) = pieces.pop_front() {
            match d.split() {
                Some(rest) => {
                    assert_eq!(rest.first, d.first + d.events);
                    pieces.push_front(rest);
                    pieces.push_front(d);
                }
                None => done.push(d),
            }
        }
        assert_eq!(done.len(), n);
        for (channel, required, bodies) in expected {
            let got: Vec<String> = done
                .iter()
                .flat_map(|d| shares(d).into_iter().filter(|s| (s.0, s.1) == (channel, required)))
                .flat_map(|s| s.2)
                .collect();
            assert_eq!(got, bodies);
        }
        for (i, d) in done.iter().enumerate() {
            assert!(d.parts.iter().all(|p| p.events.len() == 1), "empty parts are left out");
            assert!(shares(d).iter().all(|s| s.2 == [i.to_string()]), "{i}: {:?}", shares(d));
        }
    }
}

/// A batch of 64 events that fill a buffer of 65,536 bytes, for three channels.
#[test]
fn what_waits_is_charged_for_all_that_it_keeps_alive() {
    let buffer = crate::event::Buffer::owned(vec![b'x'; 65_536]);
    let charge = |share: &dyn Fn(usize) -> Vec<u32>, used: usize| {
        let mut b = Batch::new();
        let s = b.attach(&buffer);
        (0..64).for_each(|i| b.push(Body::At(b.span_of(s, i * 1024, i * 1024 + used))));
        let b = Arc::new(b);
        let mut d = Delivery { events: 64, ..Delivery::default() };
        for channel in 0..3 {
            let picked = share(channel);
            let all = picked.len() == 64;
            let events = if all { Events::all(b.clone()) } else { Events::picked(b.clone(), picked) };
            let picks = events.picks().map(|all| Picks { all, from: 0 });
            d.add(Part { channel, events, required: true }, picks);
        }
        d.compact();
        let first = d.charge();
        d.compact();
        assert_eq!(d.charge(), first, "again, and there is nothing left to do");
        first
    };
    let all: Vec<u32> = (0..64).collect();
    let spread = |c: usize| all.iter().copied().filter(|i| *i as usize % 3 == c).collect::<Vec<u32>>();
    let same = |_: usize| all[..48].to_vec();
    let (spread, same, whole) = (charge(&spread, 1024), charge(&same, 1024), charge(&|_| all.clone(), 1024));
    assert!((65_536..70_000).contains(&spread), "three copies of a third: {spread}");
    assert!((65_536..70_000).contains(&same), "one buffer, whose three quarters each channel gets: {same}");
    assert_eq!(same, whole);
    let few = charge(&|_| all.clone(), 16);
    assert!((1024..5_000).contains(&few), "one copy for all three: {few}");
}

/// Of three events each, one goes to the first channel, one to the second, one nowhere.
struct Thirds;
impl Selector for Thirds {
    fn route(&self, batch: &Arc<Batch>) -> crate::selector::Routed {
        let third = |n| (0..batch.len() as u32).filter(|i| i % 3 == n).collect::<Vec<u32>>();
        let part = |n: usize| Part {
            channel: n,
            events: Events::picked(batch.clone(), third(n as u32)),
            required: true,
        };
        crate::selector::Routed { parts: vec![part(0), part(1)], unrouted: third(2) }
    }
    fn may_require(&self) -> Vec<usize> {
        vec![0, 1]
    }
}

fn bodies(c: &Arc<Scripted>) -> Vec<String> {
    let c: Arc<dyn Channel> = c.clone();
    let mut all = Vec::new();
    while c.backlog() > 0 {
        let t = Take::begin(&c, 100, Instant::now(), &AtomicBool::new(false)).unwrap();
        all.extend(t.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()));
        t.commit().unwrap();
    }
    all
}

fn thirds(two: &Arc<Scripted>) -> (Arc<Scripted>, Deliver) {
    let one = channel("c1", 100);
    let list: Vec<Arc<dyn Channel>> = vec![one.clone(), two.clone()];
    (one, Deliver::new(SourceCounters::new("r1"), Chain::default(), Box::new(Thirds), list))
}

#[test]
fn what_goes_nowhere_is_counted_when_the_others_are_stored() {
    let two = channel("c2", 100);
    two.script.lock().unwrap().reserve_left = Some(0);
    let (one, d) = thirds(&two);
    let (_, w) = wake();
    let mut b = d.prepare(batch(7));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Full(_)));
    assert_eq!((d.counters.event_unrouted.get(), one.backlog()), (0, 0));
    two.script.lock().unwrap().reserve_left = None;
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored));
    assert!(matches!(b.attempt(&d, None, &w), Attempt::Stored), "as after a failed ticket");
    assert_eq!(d.counters.event_unrouted.get(), 2, "once");
}

/// The first channel takes all of its share at once, the second two events.
#[test]
fn a_part_that_is_too_large_for_its_channel_goes_in_halves() {
    let keep_alive = Duration::ZERO;
    let l = Limits {
        capacity: 100,
        transaction_capacity: 2,
        byte_capacity: usize::MAX,
        keep_alive,
        durable: false,
    };
    let two = Scripted::new("c2", l);
    let (one, d) = thirds(&two);
    let (_, w) = wake();
    let mut waiting = vec![d.prepare(batch(30))];
    let mut stored = Vec::new();
    while let Some(mut b) = waiting.pop() {
        match b.attempt(&d, None, &w) {
            Attempt::Stored => stored.push((b.events(), d.counters.event_unrouted.get())),
            Attempt::Refused(PutError::TooLarge(_)) => {
                b.compact();
                let rest = b.split().expect("a single event is not too large");
                waiting.extend([rest, b]);
            }
            _ => panic!("neither stored nor too large"),
        }
    }
    let third = |n: usize| (0..30).filter(|i| i % 3 == n).map(|i| i.to_string()).collect::<Vec<_>>();
    assert_eq!((bodies(&one), bodies(&two)), (third(0), third(1)));
    let mut events = 0;
    for (n, unrouted) in stored {
        events += n;
        assert_eq!(unrouted, (0..events as u64).filter(|i| i % 3 == 2).count() as u64, "of {events}");
    }
    assert_eq!(events, 30);
}
