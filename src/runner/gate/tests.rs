//! Groups of real sink threads over a channel in memory, with sinks that do as they are told.

use super::*;
use crate::channel::scripted::Scripted;
use crate::channel::{Limits, Put, Room, Take, Wake};
use crate::component::{Sink, SinkError};
use crate::config::testing::{context, Known};
use crate::counters::{SinkCounters, State};
use crate::event::{Batch, Body, Events};
use crate::lifecycle::Stop;
use crate::runner::{Budget, SinkRunner};
use crate::sink::testing::TempDir;
use std::thread::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

struct Nobody;
impl Wake for Nobody {
    fn wake(&self) {}
}

/// What a sink does at present.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Works,
    /// Has no thread.
    Missing,
    Fails,
    /// Delivers when it is told something else.
    Hangs,
    Panics,
    RefusesStart,
    /// Starts when it is told something else.
    HangsInStart,
    /// Fails on any batch with event 5.
    Picky,
    PanicsInTick,
    FailsInTick,
    /// Any of them but the hanging, one time in two.
    Random(u64),
}

#[derive(Default)]
struct World {
    modes: Mutex<Vec<Mode>>,
    told: Condvar,
    /// Who delivered what.
    delivered: Mutex<Vec<(usize, String)>>,
}

impl World {
    fn tell(&self, sink: usize, mode: Mode) {
        lock(&self.modes)[sink] = mode;
        self.told.notify_all();
    }

    /// What it is to do in a call.
    fn asks(&self, sink: usize) -> Mode {
        let mode = &mut lock(&self.modes)[sink];
        let Mode::Random(seed) = mode else { return *mode };
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        use Mode::*;
        [Works, Fails, Works, Works, Panics, RefusesStart, Works, FailsInTick][(*seed % 8) as usize]
    }

    fn by(&self, sink: usize) -> Vec<String> {
        lock(&self.delivered).iter().filter(|(k, _)| *k == sink).map(|(_, e)| e.clone()).collect()
    }

    fn count(&self) -> usize {
        lock(&self.delivered).len()
    }
}

struct Fake {
    world: Arc<World>,
    me: usize,
}

impl Fake {
    /// Until it is told to do something else.
    fn hang(&self, mode: Mode) {
        let modes = lock(&self.world.modes);
        drop(self.world.told.wait_while(modes, |m| m[self.me] == mode));
    }
}

impl Sink for Fake {
    fn start(&mut self) -> Result<(), SinkError> {
        match self.world.asks(self.me) {
            Mode::RefusesStart => return Err(SinkError::destination("no directory")),
            Mode::HangsInStart => self.hang(Mode::HangsInStart),
            _ => {}
        }
        Ok(())
    }
    fn batch_size(&self) -> usize {
        3
    }
    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        match self.world.asks(self.me) {
            Mode::Fails | Mode::RefusesStart => return Err(SinkError::unknown("refused")),
            Mode::Panics => panic!("planned"),
            Mode::Hangs => self.hang(Mode::Hangs),
            Mode::Picky if batch.events().any(|e| e.body() == b"5") => {
                return Err(SinkError::events("none of mine"))
            }
            _ => {}
        }
        let bodies = batch.events().map(|e| (self.me, String::from_utf8_lossy(e.body()).into_owned()));
        lock(&self.world.delivered).extend(bodies);
        Ok(())
    }
    fn tick(&mut self, _: Instant) -> Result<Option<Instant>, SinkError> {
        match self.world.asks(self.me) {
            Mode::PanicsInTick => panic!("planned, in a tick"),
            Mode::FailsInTick => Err(SinkError::unknown("cannot roll")),
            _ => Ok(None),
        }
    }
    fn stop(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A group at work.
struct Group {
    gate: Arc<Gate>,
    channel: Arc<dyn Channel>,
    world: Arc<World>,
    counters: Vec<Arc<SinkCounters>>,
    stops: Vec<Arc<Stop>>,
    threads: Vec<JoinHandle<()>>,
    put: usize,
}

fn processor(name: &str, keys: &[(&str, &str)], sinks: &[String]) -> Box<dyn Processor> {
    let spec = crate::processor::ALL.iter().find(|s| s.declared.name == name).unwrap();
    (spec.build.new)(&context(&spec.declared, &Known, keys).unwrap(), sinks)
}

impl Group {
    /// Sinks k0, k1 and so on, which begin in these modes.
    fn start(name: &str, keys: &[(&str, &str)], modes: &[Mode]) -> Group {
        Group::start_with(name, keys, modes, || None)
    }

    fn start_with(
        name: &str,
        keys: &[(&str, &str)],
        modes: &[Mode],
        budget: impl Fn() -> Option<Budget>,
    ) -> Group {
        let limits = Limits {
            capacity: 100_000,
            transaction_capacity: 1000,
            byte_capacity: usize::MAX,
            keep_alive: Duration::ZERO,
            durable: false,
        };
        let channel: Arc<dyn Channel> = Scripted::new("c1", limits);
        let names: Vec<String> = (0..modes.len()).map(|i| format!("k{i}")).collect();
        let gate = Gate::new("g1", &names, channel.clone(), processor(name, keys, &names));
        let world = Arc::new(World { modes: Mutex::new(modes.to_vec()), ..World::default() });
        let (mut counters, mut stops, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for (me, name) in names.iter().enumerate() {
            let (its, stop) = (world.clone(), Arc::new(Stop::default()));
            counters.push(SinkCounters::new(name));
            stops.push(stop.clone());
            if modes[me] == Missing {
                continue;
            }
            let runner = SinkRunner {
                name: name.clone(),
                make: Box::new(move || Box::new(Fake { world: its.clone(), me })),
                channel: channel.clone(),
                counters: counters[me].clone(),
                stop: stop.clone(),
                budget: budget(),
                member: Member::new(&gate, name, stop),
            };
            threads.push(runner.spawn().unwrap());
        }
        Group { gate, channel, world, counters, stops, threads, put: 0 }
    }

    fn put(&mut self, n: usize) {
        let mut b = Batch::new();
        for i in self.put..self.put + n {
            b.push(Body::Copy(i.to_string().as_bytes()));
        }
        self.put += n;
        let events = Events::all(Arc::new(b));
        let wake: Arc<dyn Wake> = Arc::new(Nobody);
        Put::reserve(&self.channel, Room::of(&events), None).unwrap().append(events, &wake).unwrap();
    }

    fn wait_delivered(&self) {
        wait_until("all is delivered", || self.channel.backlog() == 0);
    }

    fn wait_doing(&self, doing: &[Doing]) {
        wait_until(&format!("{doing:?}"), || lock(&self.gate.inside).doing == doing);
    }

    /// Waits until one looks for events and the others wait for their turns; which one.
    fn wait_idle(&self) -> usize {
        let is_idle = |d: &[Doing]| {
            d.iter().filter(|d| **d == Taking).count() == 1 && d.iter().all(|d| [Taking, Waiting].contains(d))
        };
        wait_until("all are idle", || is_idle(&lock(&self.gate.inside).doing));
        lock(&self.gate.inside).doing.iter().position(|d| *d == Taking).unwrap()
    }

    fn wait_failed(&self, sink: usize) {
        wait_until("it has failed", || matches!(self.counters[sink].health.state(), State::Failed(_)));
    }

    /// Leaves it out for longer than any test takes.
    fn leave_out(&self, sink: usize) {
        (0..12).for_each(|_| lock(&self.gate.inside).processor.failed(sink, Instant::now()));
    }

    fn each(&self, stop: impl Fn(&Stop)) {
        self.stops.iter().for_each(|s| stop(s));
        self.channel.interrupt_takers();
    }

    fn join(self) -> Arc<World> {
        wait_until("all threads end", || self.threads.iter().all(JoinHandle::is_finished));
        self.threads.into_iter().for_each(|t| t.join().unwrap());
        self.world
    }

    /// Everything put is delivered once.
    fn drain(self) -> Arc<World> {
        self.each(Stop::drain);
        let put = self.put;
        let world = self.join();
        let mut all: Vec<usize> = lock(&world.delivered).iter().map(|(_, e)| e.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..put).collect::<Vec<_>>());
        world
    }
}

use Doing::{Delivering, Nothing, Other, Taking, Waiting};
use Mode::*;

const NO_TRIAL: &[(&str, &str)] = &[("maxpenalty", "3000000")];
const SOON: &[(&str, &str)] = &[("maxpenalty", "100")];

#[test]
fn a_trickle_goes_round() {
    let mut g = Group::start("load_balance", &[], &[Works; 3]);
    let first = g.wait_idle();
    for i in 0..9 {
        g.put(1);
        let mut doing = [Waiting; 3];
        doing[(first + i + 1) % 3] = Taking;
        g.wait_doing(&doing);
    }
    let world = g.drain();
    assert_eq!(world.by(first), ["0", "3", "6"]);
    assert_eq!(world.by((first + 2) % 3), ["2", "5", "8"]);
}

#[test]
fn one_that_hangs_does_not_hold_up_its_partner() {
    let mut g = Group::start("load_balance", &[], &[Works; 2]);
    let first = g.wait_idle();
    g.world.tell(first, Hangs);
    g.put(3);
    let mut doing = [Taking; 2];
    doing[first] = Delivering;
    g.wait_doing(&doing);
    g.put(60);
    wait_until("the partner delivers", || g.world.by(1 - first).len() == 60);
    g.world.tell(first, Works);
    let world = g.drain();
    assert_eq!(world.by(first), ["0", "1", "2"]);
}

#[test]
fn one_that_connects_does_not_hold_up_its_partner() {
    let mut g = Group::start("load_balance", &[], &[HangsInStart, Works]);
    g.put(30);
    wait_until("the partner delivers", || g.world.by(1).len() == 30);
    g.world.tell(0, Works);
    g.drain();
}

/// Each sink counts for itself how often a batch failed with it.
#[test]
fn an_event_that_none_takes_is_put_aside_once() {
    for (name, keys) in [("failover", SOON), ("load_balance", &[]), ("load_balance", &[("backoff", "true")])]
    {
        let dir = TempDir::new();
        let file = dir.path().join("dead");
        let catalog = crate::registry::catalog();
        let null = catalog.find(crate::config::Kind::Sink, "null").unwrap();
        let keys_of = [("maxDeliveryAttempts", "2"), ("deadLetterFile", file.to_str().unwrap())];
        let ctx = context(null, catalog, &keys_of).unwrap();
        let mut g = Group::start_with(name, keys, &[Picky; 2], || Budget::new(&ctx));
        g.put(20);
        g.wait_delivered();
        g.each(Stop::drain);
        let world = g.join();
        let mut all: Vec<usize> = lock(&world.delivered).iter().map(|(_, e)| e.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..20).filter(|i| *i != 5).collect::<Vec<_>>());
        let letters = std::fs::read_to_string(&file).unwrap();
        assert!(letters.lines().count() == 1 && letters.contains("\"body\":\"5\""), "{letters}");
    }
}

#[test]
fn one_that_fails_pauses_while_the_others_go_on() {
    for mode in [Fails, Panics, RefusesStart, PanicsInTick] {
        for backoff in ["false", "true"] {
            let mut g = Group::start("load_balance", &[("backoff", backoff)], &[mode, Works]);
            wait_until("it has failed", || {
                g.put(1);
                g.wait_delivered();
                matches!(g.counters[0].health.state(), State::Failed(_))
            });
            g.put(30);
            g.wait_delivered();
            assert_eq!(g.drain().by(0).len(), 0, "{mode:?} {backoff}");
        }
    }
}

#[test]
fn a_tick_that_fails_leaves_no_turn_behind() {
    let mut g = Group::start("load_balance", &[], &[FailsInTick, Works]);
    for _ in 0..20 {
        g.put(1);
        g.wait_delivered();
    }
    g.drain();
}

#[test]
fn the_standby_gets_what_the_primary_returns_and_gives_the_lead_back() {
    let mut g = Group::start("failover", SOON, &[Works, Works]);
    g.wait_doing(&[Taking, Waiting]);
    g.put(10);
    g.wait_delivered();
    assert_eq!((g.world.by(0).len(), g.world.by(1).len()), (10, 0));
    for broken in [Fails, Panics, RefusesStart] {
        g.wait_doing(&[Taking, Waiting]);
        let before = g.world.by(1).len();
        g.world.tell(0, broken);
        g.put(7);
        g.wait_delivered();
        // All of them, in order: the one that failed had the first three.
        let got = g.world.by(1).split_off(before);
        assert_eq!(got, (g.put - 7..g.put).map(|i| i.to_string()).collect::<Vec<_>>(), "{broken:?}");
        g.wait_failed(0);
        g.world.tell(0, Works);
        // A trial needs an event.
        wait_until("the primary is tried", || {
            g.put(1);
            g.wait_delivered();
            lock(&g.gate.inside).processor.left_out(0).is_none()
        });
        // The standby is called back from the empty channel.
        g.wait_doing(&[Taking, Waiting]);
        let before = g.world.by(1).len();
        for _ in 0..5 {
            g.put(1);
            g.wait_delivered();
        }
        assert_eq!(g.world.by(1).len(), before);
        assert_eq!(g.counters[0].health.state(), State::Started);
    }
    g.drain();
}

#[test]
fn a_trial_that_hangs_does_not_hold_up_the_active_one() {
    let mut g = Group::start("failover", SOON, &[Fails, Works]);
    g.put(1);
    g.wait_delivered();
    g.wait_failed(0);
    g.world.tell(0, Hangs);
    wait_until("the primary has a batch on trial", || {
        g.put(1);
        std::thread::yield_now();
        lock(&g.gate.inside).doing[0] == Delivering
    });
    let before = g.world.by(1).len();
    g.put(30);
    wait_until("the standby goes on", || g.world.by(1).len() >= before + 30);
    g.world.tell(0, Works);
    g.drain();
}

#[test]
fn a_primary_that_has_not_failed_yet_is_waited_for() {
    let mut g = Group::start("failover", &[("priority.k1", "1")], &[Works, Hangs]);
    g.wait_doing(&[Waiting, Taking]);
    g.put(2);
    g.wait_doing(&[Waiting, Delivering]);
    g.put(5);
    g.world.tell(1, Works);
    g.wait_delivered();
    assert_eq!(g.drain().by(1).len(), 7);
}

#[test]
fn another_processor_decides_about_those_that_wait() {
    let names = ["k0", "k1"].map(str::to_owned);
    let mut g = Group::start("failover", NO_TRIAL, &[Fails, RefusesStart]);
    g.put(3);
    (0..2).for_each(|i| g.wait_failed(i));
    (0..2).for_each(|i| g.world.tell(i, Works));
    // Nobody is left out for an hour any more, nor waits for what would end then.
    g.gate.adopt(processor("failover", &[("priority.k1", "1")], &names));
    g.wait_delivered();
    g.wait_doing(&[Waiting, Taking]);
    g.gate.adopt(processor("failover", &[("priority.k0", "1")], &names));
    g.wait_doing(&[Taking, Waiting]);
    g.put(3);
    g.wait_delivered();
    assert!(g.drain().by(0).len() >= 3);
}

#[test]
fn a_primary_that_starts_is_waited_for_and_not_for_long() {
    let mut g = Group::start("failover", &[], &[HangsInStart, Works]);
    g.put(2);
    let began = Instant::now();
    g.wait_doing(&[Other, Waiting]);
    wait_until("the standby delivers", || g.world.by(1).len() == 2);
    let took = began.elapsed();
    assert!(super::PATIENCE - Duration::from_millis(500) < took, "{took:?}");
    g.wait_doing(&[Nothing, Taking]);
    g.world.tell(0, Works);
    // It leads as soon as it has started, and the standby is called back from the empty channel.
    g.wait_doing(&[Taking, Waiting]);
    g.put(3);
    g.wait_delivered();
    assert_eq!(g.drain().by(0).len(), 3);
}

#[test]
fn a_drain_does_not_wait_for_a_primary_that_starts() {
    let mut g = Group::start("failover", &[], &[HangsInStart, Works]);
    g.put(2);
    g.wait_doing(&[Other, Waiting]);
    g.each(Stop::drain);
    wait_until("the standby delivers", || g.world.by(1).len() == 2);
    g.world.tell(0, Works);
    g.drain();
}

#[test]
fn one_that_works_again_is_known_to_although_there_are_no_events() {
    let soon = [("selector.maxTimeOut", "100"), ("backoff", "true")];
    for (name, keys) in [("failover", SOON), ("load_balance", &soon), ("load_balance", &[])] {
        let mut g = Group::start(name, keys, &[Works; 2]);
        g.wait_idle();
        g.world.tell(0, RefusesStart);
        wait_until("it has failed", || {
            g.put(1);
            g.wait_delivered();
            matches!(g.counters[0].health.state(), State::Failed(_))
        });
        wait_until("it is tried", || {
            g.counters[0].last_error().unwrap().1.contains("cannot start: no directory")
        });
        assert!(matches!(g.counters[0].health.state(), State::Failed(_)));
        g.world.tell(0, Works);
        wait_until("it works again", || g.counters[0].health.state() == State::Started);
        wait_until("it leads again", || {
            g.put(1);
            g.wait_delivered();
            !g.world.by(0).is_empty()
        });
        g.drain();
    }
}

#[test]
fn when_all_have_failed_the_first_that_works_again_delivers_soon() {
    for name in ["failover", "load_balance"] {
        let keys = [("maxpenalty", "300"), ("backoff", "true"), ("selector.maxTimeOut", "300")];
        let keys = if name == "failover" { &keys[..1] } else { &keys[1..] };
        let mut g = Group::start(name, keys, &[Fails, RefusesStart]);
        g.put(5);
        (0..2).for_each(|i| g.wait_failed(i));
        assert_eq!(g.world.count(), 0);
        let began = Instant::now();
        g.world.tell(1, Works);
        g.wait_delivered();
        // Its time out is at most 300 ms; the rest is room for a slow machine.
        assert!(began.elapsed() < Duration::from_secs(5), "{name}: {:?}", began.elapsed());
        assert_eq!(g.drain().by(1).len(), 5);
    }
}

#[test]
fn one_without_a_thread_is_waited_for_until_that_cannot_be_had() {
    for gone in [true, false] {
        let mut g = Group::start("failover", NO_TRIAL, &[Missing, Works]);
        g.put(4);
        g.wait_doing(&[Other, Waiting]);
        if gone {
            // Its thread cannot be had: what was to be its own ends here.
            drop(Member::new(&g.gate, "k0", Arc::default()));
        } else {
            g.gate.go_without("k0");
        }
        g.wait_delivered();
        g.wait_doing(&[Nothing, Taking]);
        // When it comes after all, it leads, and the other is called back.
        let member = Member::new(&g.gate, "k0", Arc::default());
        g.wait_doing(&[Other, Waiting]);
        drop(member);
        assert_eq!(g.drain().by(1).len(), 4);
    }
}

#[test]
fn a_stop_ends_those_that_wait_at_the_gate() {
    for name in ["failover", "load_balance", "default"] {
        let modes = &[Works; 3][..if name == "default" { 1 } else { 3 }];
        for stop in [Stop::halt, Stop::drain] {
            let g = Group::start(name, &[], modes);
            g.wait_idle();
            g.each(stop);
            assert_eq!(g.join().count(), 0);
        }
    }
}

#[test]
fn a_halt_ends_those_that_are_left_out() {
    let mut g = Group::start("failover", NO_TRIAL, &[Fails, RefusesStart]);
    g.put(3);
    (0..2).for_each(|i| g.wait_failed(i));
    g.wait_doing(&[Waiting, Other]);
    g.each(Stop::halt);
    let channel = g.channel.clone();
    assert_eq!(g.join().count(), 0);
    assert_eq!(channel.backlog(), 3);
}

#[test]
fn a_drain_is_done_by_who_works() {
    for dead in [Fails, RefusesStart] {
        for [a, b] in [[0, 1], [1, 0]] {
            let mut modes = [Works; 2];
            modes[a] = dead;
            let mut g = Group::start("failover", NO_TRIAL, &modes);
            if a == 1 && dead == Fails {
                // It leads only when the other one fails.
                g.wait_idle();
            } else {
                g.put(3);
                g.wait_delivered();
                g.wait_failed(a);
            }
            g.leave_out(a);
            g.world.tell(b, Hangs);
            g.put(3);
            wait_until("the other has a batch", || lock(&g.gate.inside).doing[b] == Delivering);
            g.put(50);
            g.each(Stop::drain);
            g.world.tell(b, Works);
            assert_eq!(g.drain().by(a).len(), 0, "{dead:?} {a}");
        }
    }
}

#[test]
fn a_drain_does_not_wait_for_a_primary_that_hangs() {
    let mut g = Group::start("failover", NO_TRIAL, &[Works, Works]);
    g.wait_idle();
    g.world.tell(0, Hangs);
    g.put(3);
    g.wait_doing(&[Delivering, Waiting]);
    g.put(3);
    g.each(Stop::drain);
    wait_until("the standby delivers", || g.world.by(1).len() == 3);
    g.world.tell(0, Works);
    assert_eq!(g.drain().by(0).len(), 3);
}

#[test]
fn a_drain_has_trials_only_where_none_works() {
    let names = ["k0", "k1"].map(str::to_owned);
    let now = Instant::now();
    let mut inside = Inside {
        processor: processor("failover", &[], &names),
        doing: vec![Waiting; 2],
        starting: vec![None; 2],
        draining: false,
    };
    inside.processor.failed(0, now);
    let later = now + Duration::from_secs(60);
    inside.doing[1] = Delivering;
    assert_eq!((inside.choose(now), inside.choose(later)), (None, Some(0)));
    inside.draining = true;
    assert_eq!(inside.choose(later), None);
    inside.doing = vec![Waiting; 2];
    assert_eq!(inside.choose(later), Some(1));
    inside.processor.failed(1, now);
    assert_eq!(inside.choose(now), Some(0));
}

#[test]
fn a_drain_tries_all_where_none_works() {
    let mut g = Group::start("failover", NO_TRIAL, &[Fails, RefusesStart]);
    g.put(30);
    (0..2).for_each(|i| g.wait_failed(i));
    (0..2).for_each(|i| g.leave_out(i));
    g.each(Stop::drain);
    g.world.tell(0, Works);
    assert_eq!(g.drain().by(0).len(), 30);
}

#[test]
fn whatever_fails_each_event_is_delivered_once() {
    for (name, keys) in [
        ("failover", &[("maxpenalty", "0"), ("priority.k1", "3")][..]),
        ("load_balance", &[("backoff", "true"), ("selector.maxTimeOut", "1")]),
        ("load_balance", &[("selector", "random"), ("backoff", "true"), ("selector.maxTimeOut", "1")]),
    ] {
        let seeds = [1, 2, 3].map(|n: u64| Random(n << 40 | 0x9E37_79B9));
        let mut g = Group::start(name, keys, &seeds);
        for n in 0..60 {
            g.put(n % 5 + 1);
            std::thread::yield_now();
        }
        wait_until("half is delivered in the midst of failures", || g.world.count() > g.put / 2);
        (0..3).for_each(|i| g.world.tell(i, Works));
        g.drain();
    }
}
