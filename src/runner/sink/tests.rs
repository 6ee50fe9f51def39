use super::*;
use crate::channel::scripted::Scripted;
use crate::channel::{Limits, Put, Room, Wake};
use crate::event::{Batch, Body, Events};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Mutex;

struct Nobody;
impl Wake for Nobody {
    fn wake(&self) {}
}

fn scripted() -> Arc<Scripted> {
    let keep_alive = Duration::from_secs(3);
    Scripted::new(
        "c1",
        Limits {
            capacity: 100,
            transaction_capacity: 100,
            byte_capacity: usize::MAX,
            keep_alive,
            durable: false,
        },
    )
}

fn put(c: &Arc<dyn Channel>, n: usize) {
    let mut b = Batch::new();
    for i in 0..n {
        b.push(Body::Copy(i.to_string().as_bytes()));
    }
    let events = Events::all(Arc::new(b));
    let wake: Arc<dyn Wake> = Arc::new(Nobody);
    Put::reserve(c, Room::of(&events), None).unwrap().append(events, &wake).unwrap();
}

/// What the next calls of the sink do.
#[derive(Clone, Copy)]
enum Act {
    RefuseStart,
    Fail,
    Panic,
}

struct Fake {
    plan: Arc<Mutex<Vec<Act>>>,
    delivered: Sender<Vec<String>>,
}

impl Fake {
    fn next_is(&self, wanted: fn(&Act) -> bool) -> bool {
        let mut plan = self.plan.lock().unwrap_or_else(|e| e.into_inner());
        let hit = plan.first().is_some_and(wanted);
        if hit {
            plan.remove(0);
        }
        hit
    }
}

impl Sink for Fake {
    fn start(&mut self) -> Result<(), SinkError> {
        if self.next_is(|a| matches!(a, Act::RefuseStart)) {
            return Err(SinkError::destination("no directory"));
        }
        Ok(())
    }
    fn batch_size(&self) -> usize {
        3
    }
    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        if self.next_is(|a| matches!(a, Act::Panic)) {
            panic!("planned");
        }
        if self.next_is(|a| matches!(a, Act::Fail)) {
            return Err(SinkError::unknown("refused"));
        }
        let bodies = batch.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect();
        self.delivered.send(bodies).map_err(|e| SinkError::unknown(e.to_string()))
    }
    fn stop(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

type Running = (JoinHandle<()>, Arc<Stop>, Arc<SinkCounters>, Receiver<Vec<String>>);

fn run(channel_: &Arc<dyn Channel>, plan: Vec<Act>) -> Running {
    let (tx, rx) = channel();
    let plan = Arc::new(Mutex::new(plan));
    let counters = SinkCounters::new("k1");
    let stop = Arc::new(Stop::default());
    let runner = SinkRunner {
        name: "k1".into(),
        make: Box::new(move || Box::new(Fake { plan: plan.clone(), delivered: tx.clone() })),
        channel: channel_.clone(),
        counters: counters.clone(),
        stop: stop.clone(),
        budget: None,
        member: None,
    };
    (runner.spawn().unwrap(), stop, counters, rx)
}

fn drain(r: Running, c: &Arc<dyn Channel>) -> (Vec<String>, Arc<SinkCounters>) {
    let (thread, stop, counters, rx) = r;
    stop.drain();
    c.interrupt_takers();
    thread.join().unwrap();
    (rx.try_iter().flatten().collect(), counters)
}

#[test]
fn a_drain_delivers_everything_in_order() {
    let c: Arc<dyn Channel> = scripted();
    put(&c, 7);
    let (got, counters) = drain(run(&c, vec![]), &c);
    assert_eq!(got, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!((counters.batch_complete.get(), counters.batch_underflow.get()), (2, 1));
    assert_eq!((counters.drain_attempt.get(), counters.drain_success.get()), (7, 7));
    assert_eq!(counters.health.state(), State::Stopped);
}

#[test]
fn a_trickle_is_delivered_without_waiting_for_more() {
    let c: Arc<dyn Channel> = scripted();
    let r = run(&c, vec![]);
    put(&c, 1);
    assert_eq!(r.3.recv_timeout(Duration::from_secs(20)).unwrap(), ["0"]);
    drain(r, &c);
}

#[test]
fn failures_and_panics_lose_and_repeat_nothing() {
    let c: Arc<dyn Channel> = scripted();
    put(&c, 4);
    let plan = vec![Act::RefuseStart, Act::Fail, Act::Panic, Act::RefuseStart, Act::Fail];
    let (got, counters) = drain(run(&c, plan), &c);
    assert_eq!(got, ["0", "1", "2", "3"]);
    // The panic is one of them.
    assert_eq!(counters.event_write_fail.get(), 3);
    assert!(counters.last_error().unwrap().1.contains("refused"));
}

#[test]
fn a_halt_ends_a_sink_that_cannot_deliver_and_the_events_stay() {
    let c: Arc<dyn Channel> = scripted();
    put(&c, 2);
    let (thread, stop, counters, _rx) = run(&c, vec![Act::Fail; 1000]);
    while counters.event_write_fail.get() == 0 {
        std::thread::yield_now();
    }
    stop.halt();
    c.interrupt_takers();
    thread.join().unwrap();
    assert_eq!(c.backlog(), 2);
}

#[test]
fn that_it_works_again_is_known_when_another_has_delivered_what_it_could_not() {
    let c: Arc<dyn Channel> = scripted();
    put(&c, 1);
    let r = run(&c, vec![Act::Fail; 1000]);
    let never = AtomicBool::new(false);
    wait_for("another has the event", || {
        let take = Take::begin(&c, 1, Instant::now(), &never).unwrap();
        !take.is_empty() && r.2.event_write_fail.get() > 0 && take.commit().is_ok()
    });
    wait_for("it works again", || r.2.health.state() == State::Started);
    drain(r, &c);
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::yield_now();
    }
}
