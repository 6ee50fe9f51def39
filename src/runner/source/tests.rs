use super::*;
use crate::channel::scripted::Scripted;
use crate::channel::{Channel, Limits, Take};
use crate::codec::BatchLimits;
use crate::component::SourceError;
use crate::counters::SourceCounters;
use crate::event::Body;
use crate::interceptor::{Chain, Interceptor};
use crate::selector::replicating;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Mutex;

fn scripted(capacity: usize) -> Arc<Scripted> {
    let keep_alive = Duration::ZERO;
    let transaction_capacity = capacity.min(10);
    let limits =
        Limits { capacity, transaction_capacity, byte_capacity: usize::MAX, keep_alive, durable: false };
    Scripted::new("c1", limits)
}

/// What a poll does.
enum Act {
    Give(usize),
    Fail,
    Panic,
    Say(Polled),
}

/// Does one act per poll, tells of each, and counts on in what it gives.
struct Fake {
    acts: Arc<Mutex<Vec<Act>>>,
    next: usize,
    polled: Sender<()>,
    winds_down: bool,
}

impl PollableSource for Fake {
    fn start(&mut self, _: &SourceParts) -> Result<(), SourceError> {
        Ok(())
    }
    fn poll(&mut self, limits: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError> {
        let _ = self.polled.send(());
        let mut acts = self.acts.lock().unwrap_or_else(|e| e.into_inner());
        let act = if acts.is_empty() { Act::Say(Polled::Finished) } else { acts.remove(0) };
        drop(acts);
        match act {
            Act::Give(n) => {
                for _ in 0..n.min(limits.events) {
                    batch.push(Body::Copy(self.next.to_string().as_bytes()));
                    self.next += 1;
                }
                Ok(Polled::Ready)
            }
            Act::Fail => Err(SourceError("no luck".into())),
            Act::Panic => panic!("as the test wants"),
            Act::Say(p) => Ok(p),
        }
    }
    fn wind_down(&mut self) -> bool {
        self.winds_down
    }
    fn can_repeat(&self) -> bool {
        false
    }
    fn stop(&mut self) {}
}

struct Run {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    polled: Receiver<()>,
    counters: Arc<SourceCounters>,
}

fn run(c: &Arc<Scripted>, acts: Vec<Act>, winds_down: bool) -> Run {
    run_with(Chain::default(), c, acts, winds_down)
}

fn run_with(chain: Chain, c: &Arc<Scripted>, acts: Vec<Act>, winds_down: bool) -> Run {
    let counters = SourceCounters::new("r1");
    let channel_: Arc<dyn Channel> = c.clone();
    let deliver = Deliver::new(counters.clone(), chain, replicating::for_tests(1, &[]), vec![channel_]);
    let (tx, polled) = channel();
    let (acts, tx) = (Arc::new(Mutex::new(acts)), Mutex::new(tx));
    let make = move || Source::Polled {
        source: Box::new(Fake {
            acts: acts.clone(),
            next: 0,
            polled: tx.lock().unwrap().clone(),
            winds_down,
        }),
        pauses: Pauses { step: Duration::ZERO, most: Duration::ZERO },
    };
    let stop = Arc::new(Stop::default());
    let runner = SourceRunner::new(Arc::new(make), Arc::new(deliver), stop.clone());
    Run { thread: Some(runner.spawn().unwrap()), stop, polled, counters }
}

impl Run {
    fn wait_polls(&self, n: usize) {
        for _ in 0..n {
            self.polled.recv_timeout(Duration::from_secs(20)).expect("a poll");
        }
    }
    fn end(&mut self) {
        self.stop.drain();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Takes `n` events for good, waiting for them.
fn take(c: &Arc<Scripted>, n: usize) -> Vec<String> {
    let c: Arc<dyn Channel> = c.clone();
    let mut all = Vec::new();
    while all.len() < n {
        let until = Instant::now() + Duration::from_secs(20);
        let t = Take::begin(&c, n - all.len(), until, &AtomicBool::new(false)).unwrap();
        assert!(!t.is_empty(), "{} of {n} events", all.len());
        all.extend(t.events().map(|e| String::from_utf8(e.body().to_vec()).unwrap()));
        t.commit().unwrap();
    }
    all
}

fn numbers(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

#[test]
fn a_full_channel_stops_the_polling_and_loses_nothing() {
    let c = scripted(5);
    let mut r = run(&c, vec![Act::Give(4), Act::Give(4), Act::Give(4)], false);
    r.wait_polls(2);
    assert!(r.polled.recv_timeout(Duration::from_millis(50)).is_err(), "the second batch waits for room");
    assert_eq!(r.counters.parked.get(), 1);
    assert_eq!(take(&c, 12), numbers(12));
    r.wait_polls(2);
    r.end();
    let k = &r.counters;
    assert_eq!((k.event_received.get(), k.event_accepted.get(), k.event_dropped.get()), (12, 12, 0));
    assert_eq!(k.parked.get(), 0);
}

#[test]
fn a_batch_above_the_limits_is_split() {
    let c = scripted(100);
    let mut r = run(&c, vec![Act::Give(8)], false);
    r.wait_polls(2);
    r.end();
    assert_eq!(take(&c, 8), numbers(8));
}

#[test]
fn errors_and_panics_are_survived() {
    let c = scripted(100);
    let mut r = run(&c, vec![Act::Fail, Act::Give(2), Act::Panic, Act::Give(1)], false);
    assert_eq!(take(&c, 3), ["0", "1", "0"], "a new source begins anew");
    r.wait_polls(5);
    r.end();
    assert_eq!((r.counters.event_read_fail.get(), r.counters.health.state()), (1, State::Stopped));
}

#[test]
fn a_batch_that_the_channel_did_not_keep_is_stored_again() {
    let c = scripted(100);
    c.script.lock().unwrap().append_fails = vec![Some("disk".into())];
    let mut r = run(&c, vec![Act::Give(3)], false);
    assert_eq!(take(&c, 3), numbers(3));
    r.wait_polls(2);
    r.end();
    assert_eq!((r.counters.event_accepted.get(), r.counters.channel_write_fail.get()), (3, 1));
}

#[test]
fn what_winds_down_is_polled_to_its_end() {
    let c = scripted(100);
    let acts = vec![Act::Say(Polled::Finished), Act::Give(2), Act::Give(3), Act::Say(Polled::Finished)];
    let mut r = run(&c, acts, true);
    r.wait_polls(1);
    r.end();
    assert_eq!(take(&c, 5), numbers(5));
}

#[test]
fn what_cannot_be_stored_in_time_is_counted() {
    let c = scripted(2);
    let mut r = run(&c, vec![Act::Give(2), Act::Give(2)], false);
    r.wait_polls(2);
    r.stop.drain();
    r.stop.halt();
    r.thread.take().unwrap().join().unwrap();
    assert_eq!((r.counters.event_accepted.get(), r.counters.event_dropped.get()), (2, 2));
}

/// Panics at the first batch.
struct Bomb(AtomicBool);

impl Interceptor for Bomb {
    fn intercept(&self, _: &mut Batch) {
        assert!(self.0.swap(true, Relaxed), "as the test wants");
    }
}

#[test]
fn what_a_panic_takes_with_it_is_counted() {
    let c = scripted(100);
    let chain = Chain::new(vec![Box::new(Bomb(AtomicBool::new(false)))]);
    let mut r = run_with(chain, &c, vec![Act::Give(4), Act::Give(3)], false);
    assert_eq!(take(&c, 3), numbers(3));
    r.wait_polls(3);
    r.end();
    let k = &r.counters;
    assert_eq!((k.event_received.get(), k.event_accepted.get(), k.event_dropped.get()), (7, 3, 4));
}
