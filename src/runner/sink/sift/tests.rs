use super::*;
use crate::channel::scripted::Scripted;
use crate::channel::{Channel, Limits, Put, Room, Wake};
use crate::clock::Backoff;
use crate::component::Sink;
use crate::counters::SinkCounters;
use crate::event::{Batch, Body, Events};
use crate::lifecycle::Stop;
use crate::lock::lock;
use crate::sink::testing::TempDir;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

struct Nobody;
impl Wake for Nobody {
    fn wake(&self) {}
}

/// What a destination does with an event it does not take.
#[derive(Clone, Copy)]
enum Poison {
    Unknown,
    Events,
    Panic,
}

/// A destination, and what has come of it.
#[derive(Default)]
struct World {
    poison: Vec<(String, Poison)>,
    /// This many deliveries fail, whatever they hold.
    down: usize,
    down_for: Option<Fault>,
    /// Some deliveries fail, by this state of a random generator.
    flaky: Option<u64>,
    /// After this many deliveries more it is down for a while, once.
    falters: Option<(usize, Duration)>,
    down_until: Option<Instant>,
    delivered: Vec<String>,
    /// How many events each call had.
    calls: Vec<usize>,
}

struct Picky {
    world: Arc<Mutex<World>>,
    batch_size: usize,
}

impl Sink for Picky {
    fn start(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
    fn batch_size(&self) -> usize {
        self.batch_size
    }
    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        let mut w = lock(&self.world);
        w.calls.push(batch.len());
        if w.down > 0 {
            w.down -= 1;
            let fault = w.down_for.unwrap_or(Fault::Unknown);
            return Err(SinkError { why: "down".into(), fault });
        }
        if w.down_until.is_some_and(|at| Instant::now() < at) {
            return Err(SinkError::unknown("falters"));
        }
        if w.flaky.as_mut().is_some_and(|state| random(state, 3) == 0) {
            return Err(SinkError::unknown("flaky"));
        }
        let bodies: Vec<String> =
            batch.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect();
        let hit = w.poison.iter().find(|(p, _)| bodies.contains(p)).cloned();
        match hit {
            None => {
                w.delivered.extend(bodies);
                match &mut w.falters {
                    Some((0, _)) | None => {}
                    Some((n, time)) => {
                        *n -= 1;
                        if *n == 0 {
                            w.down_until = Some(Instant::now() + *time);
                        }
                    }
                }
            }
            Some((p, Poison::Events)) => return Err(SinkError::events(format!("no {p} here"))),
            Some((_, Poison::Panic)) => {
                drop(w);
                panic!("planned");
            }
            Some((p, Poison::Unknown)) => return Err(SinkError::unknown(format!("refused: {p}"))),
        }
        Ok(())
    }
    fn stop(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A channel, a destination and a file, for sinks to run between.
struct Rig {
    channel: Arc<dyn Channel>,
    world: Arc<Mutex<World>>,
    dir: TempDir,
    file: PathBuf,
    counters: Arc<SinkCounters>,
    put: usize,
}

type Running = (JoinHandle<()>, Arc<Stop>);

impl Rig {
    fn new(poison: &[usize], kind: Poison) -> Rig {
        let limits = Limits {
            capacity: 1000,
            transaction_capacity: 1000,
            byte_capacity: usize::MAX,
            keep_alive: Duration::ZERO,
            durable: false,
        };
        let dir = TempDir::new();
        let world =
            World { poison: poison.iter().map(|p| (p.to_string(), kind)).collect(), ..World::default() };
        Rig {
            channel: Scripted::new("c1", limits),
            world: Arc::new(Mutex::new(world)),
            file: dir.path().join("dead"),
            dir,
            counters: SinkCounters::new("k1"),
            put: 0,
        }
    }

    /// More events; each is the next number.
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

    fn runner(&self, batch_size: usize, attempts: usize) -> SinkRunner {
        let catalog = crate::registry::catalog();
        let null = catalog.find(crate::config::Kind::Sink, "null").unwrap();
        let (attempts, file) = (attempts.to_string(), self.file.to_str().unwrap());
        let keys = [("maxDeliveryAttempts", attempts.as_str()), ("deadLetterFile", file)];
        let ctx = crate::config::testing::context(null, catalog, &keys).unwrap();
        let world = self.world.clone();
        SinkRunner {
            name: "k1".into(),
            make: Box::new(move || Box::new(Picky { world: world.clone(), batch_size })),
            channel: self.channel.clone(),
            counters: self.counters.clone(),
            stop: Arc::default(),
            budget: Budget::new(&ctx),
            member: None,
        }
    }

    fn start(&self, batch_size: usize, attempts: usize) -> Running {
        let mut runner = self.runner(batch_size, attempts);
        if let Some(b) = &mut runner.budget {
            b.pauses = Backoff::new(Duration::from_micros(10), Duration::from_micros(10));
        }
        let stop = runner.stop.clone();
        (runner.spawn().unwrap(), stop)
    }

    fn take(&self, n: usize) -> Take {
        let stop = std::sync::atomic::AtomicBool::new(false);
        Take::begin(&self.channel, n, Instant::now(), &stop).unwrap()
    }

    /// Takes a batch of so many events that has failed too often apart, without a thread.
    fn sift(&self, n: usize, attempts: usize) -> Result<(), SinkError> {
        let mut runner = self.runner(4, attempts);
        let mut at_work = AtWork { sink: (runner.make)(), is_up: true };
        let mut budget = runner.budget.take().unwrap();
        let sift = Sift::new(&runner, &mut at_work, &mut budget);
        sift.run(self.take(n), SinkError::unknown("x"))
    }

    /// Has a sink drain the channel to the end.
    fn drain(&self, (thread, stop): Running) {
        stop.drain();
        self.channel.interrupt_takers();
        thread.join().unwrap();
        assert_eq!((self.channel.backlog(), self.channel.counters().measure().bytes), (0, 0));
    }

    fn halt(&self, (thread, stop): Running) {
        stop.halt();
        self.channel.interrupt_takers();
        thread.join().unwrap();
    }

    fn delivered(&self) -> Vec<usize> {
        lock(&self.world).delivered.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn letters(&self) -> Vec<usize> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let body = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["body"].clone();
        text.lines().map(|l| body(l).as_str().unwrap().parse().unwrap()).collect()
    }

    /// Everything but these was delivered in order; these are in the file, in order.
    fn assert_dead(&self, poison: &[usize]) {
        let others: Vec<usize> = (0..self.put).filter(|n| !poison.contains(n)).collect();
        assert_eq!((self.delivered(), self.letters()), (others, poison.to_vec()));
        assert_eq!(self.counters.dead_letters.get(), poison.len() as u64);
    }
}

/// A number below `n`.
fn random(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*state >> 33) % n
}

fn wait(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn only_the_poison_is_put_aside_wherever_it_stands() {
    let cases: [&[usize]; 9] =
        [&[], &[0], &[5], &[8], &[9], &[0, 1, 2, 3], &[3, 4], &[1, 6, 8], &[0, 2, 4, 6, 8]];
    for poison in cases {
        for kind in [Poison::Unknown, Poison::Events, Poison::Panic] {
            let mut rig = Rig::new(poison, kind);
            rig.put(10);
            rig.drain(rig.start(4, 1));
            rig.assert_dead(poison);
        }
    }
}

#[test]
fn any_poison_in_batches_of_any_size() {
    for seed in 1..200u64 {
        println!("seed {seed}");
        let mut state = seed;
        let mut next = |n: u64| random(&mut state, n);
        let (share, size) = (2 + next(20), 1 + next(30) as usize);
        let n = 1 + next(100) as usize;
        let poison: Vec<usize> = (0..n).filter(|_| next(share) == 0).collect();
        let mut rig = Rig::new(&poison, Poison::Unknown);
        rig.put(n / 2);
        rig.put(n - n / 2);
        // Somebody has to vouch for the destination in the end.
        rig.put(1);
        rig.drain(rig.start(size, 1));
        rig.assert_dead(&poison);
    }
}

#[test]
fn a_batch_is_whole_until_its_budget_is_used_up() {
    let mut rig = Rig::new(&[0], Poison::Unknown);
    rig.put(4);
    rig.drain(rig.start(4, 3));
    rig.assert_dead(&[0]);
    // Three times whole; halves; the first alone, the second is delivered; the first again until it failed 3 times.
    assert_eq!(lock(&rig.world).calls, [4, 4, 4, 2, 1, 1, 1, 1, 2]);
}

#[test]
fn a_destination_that_is_down_for_long_costs_nothing() {
    let mut rig = Rig::new(&[], Poison::Unknown);
    lock(&rig.world).down = 60;
    rig.put(10);
    rig.drain(rig.start(5, 2));
    let mut all = rig.delivered();
    // It comes back in the midst of a search; those that were held then are late.
    all.sort_unstable();
    assert_eq!((all, rig.letters()), ((0..10).collect(), vec![]));
    assert_eq!(rig.counters.dead_letters.get(), 0);
}

#[test]
fn what_the_sink_says_is_the_destination_is_not_counted() {
    let mut rig = Rig::new(&[7], Poison::Unknown);
    (lock(&rig.world).down, lock(&rig.world).down_for) = (3, Some(Fault::Destination));
    rig.put(10);
    rig.drain(rig.start(5, 1));
    rig.assert_dead(&[7]);
    assert_eq!(lock(&rig.world).calls[..5], [5, 5, 5, 5, 5]);
}

#[test]
fn the_destination_going_down_in_a_search_ends_it() {
    let mut rig = Rig::new(&[0], Poison::Unknown);
    rig.put(2);
    (lock(&rig.world).down, lock(&rig.world).down_for) = (1, Some(Fault::Destination));
    let e = rig.sift(2, 2).unwrap_err();
    assert_eq!((e.why.as_str(), e.fault), ("down", Fault::Destination));
    assert_eq!((rig.channel.backlog(), rig.letters()), (2, vec![]));
}

#[test]
fn with_nothing_to_compare_one_event_goes_and_no_more() {
    let mut rig = Rig::new(&[1, 2], Poison::Unknown);
    let running = rig.start(4, 2);
    rig.put(1);
    wait(|| rig.delivered() == [0]);
    rig.put(1);
    wait(|| rig.counters.dead_letters.get() == 1);
    rig.put(1);
    // Twice its limit.
    let failed = rig.counters.event_write_fail.get();
    wait(|| rig.counters.event_write_fail.get() >= failed + 4);
    assert_eq!(rig.letters(), [1]);
    // Every other failure says so.
    wait(|| rig.counters.last_error().is_some_and(|(_, why)| why.contains("perhaps it is the destination")));
    rig.put(1);
    rig.drain(running);
    rig.assert_dead(&[1, 2]);
}

#[test]
fn more_poison_in_a_row_than_can_be_told_from_a_dead_destination_stays() {
    let mut rig = Rig::new(&(0..100).collect::<Vec<_>>(), Poison::Unknown);
    rig.put(101);
    assert!(rig.sift(4, 1).unwrap_err().why.contains("perhaps it is the destination"));
    assert_eq!(lock(&rig.world).calls.len(), LONGEST_RUN);
    assert_eq!((rig.channel.backlog(), rig.letters()), (101, vec![]));
    let all = rig.take(101);
    let bodies: Vec<String> = all.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect();
    assert_eq!(bodies, (0..101).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_event_that_cannot_be_written_down_is_not_passed() {
    let mut rig = Rig::new(&[1], Poison::Unknown);
    rig.file = rig.dir.path().join("later/dead");
    rig.put(3);
    let running = rig.start(4, 1);
    wait(|| rig.counters.last_error().is_some_and(|(_, e)| e.contains("later/dead: No such file")));
    assert_eq!((rig.counters.dead_letters.get(), rig.channel.backlog()), (0, 1));
    assert!(matches!(rig.counters.health.state(), crate::counters::State::Failed(_)));
    std::fs::create_dir(rig.dir.path().join("later")).unwrap();
    rig.put(1);
    rig.drain(running);
    rig.assert_dead(&[1]);
}

#[test]
fn sinks_that_share_a_channel_lose_and_repeat_nothing() {
    let poison = [3, 10, 11, 12, 29, 30, 57];
    let mut rig = Rig::new(&poison, Poison::Unknown);
    rig.put(40);
    let both = [rig.start(6, 2), rig.start(7, 2)];
    rig.put(40);
    wait(|| rig.channel.backlog() == 0);
    both.into_iter().for_each(|r| rig.drain(r));
    let (mut delivered, mut dead) = (rig.delivered(), rig.letters());
    delivered.sort_unstable();
    dead.sort_unstable();
    assert_eq!(delivered, (0..80).filter(|n| !poison.contains(n)).collect::<Vec<_>>());
    assert_eq!(dead, poison);
}

#[test]
fn a_halt_ends_a_search_and_all_events_stay() {
    let mut rig = Rig::new(&[], Poison::Unknown);
    lock(&rig.world).down = usize::MAX;
    rig.put(50);
    let running = rig.start(50, 1);
    wait(|| lock(&rig.world).calls.len() > 10);
    rig.halt(running);
    assert_eq!((rig.channel.backlog(), rig.letters()), (50, vec![]));
}

#[test]
fn a_destination_that_fails_now_and_then_loses_and_repeats_nothing() {
    for seed in 1..6u64 {
        println!("seed {seed}");
        let mut rig = Rig::new(&[3, 4, 20, 33], Poison::Unknown);
        lock(&rig.world).flaky = Some(seed);
        rig.put(20);
        rig.put(20);
        rig.drain(rig.start(8, 2));
        let (mut all, dead) = (rig.delivered(), rig.letters());
        assert!([3, 4, 20, 33].iter().all(|p| dead.contains(p)), "{dead:?}");
        all.extend(&dead);
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        assert_eq!(rig.counters.dead_letters.get(), dead.len() as u64);
    }
}

#[test]
fn what_the_sink_says_of_an_event_is_no_guess() {
    let mut rig = Rig::new(&[0, 1, 2], Poison::Events);
    let running = rig.start(1, 1);
    for n in 0..3 {
        rig.put(1);
        wait(|| rig.counters.dead_letters.get() == n + 1);
    }
    lock(&rig.world).poison = vec![("3".into(), Poison::Unknown)];
    rig.put(1);
    rig.drain(running);
    rig.assert_dead(&[0, 1, 2, 3]);
}

/// It took one event, and that vouches for nothing that comes a moment later.
#[test]
fn a_destination_that_falters_after_one_event_costs_nothing() {
    let mut rig = Rig::new(&[], Poison::Unknown);
    // The halves of the batch, and the first two events.
    lock(&rig.world).down = 4;
    lock(&rig.world).falters = Some((1, Duration::from_millis(50)));
    rig.put(4);
    rig.sift(4, 2).unwrap();
    let mut all = rig.delivered();
    all.sort_unstable();
    assert_eq!((all, rig.letters(), rig.channel.backlog()), (vec![0, 1, 2, 3], vec![], 0));
}

#[test]
fn a_destination_that_goes_down_after_one_event_costs_nothing() {
    let mut rig = Rig::new(&[], Poison::Unknown);
    lock(&rig.world).down = 1;
    lock(&rig.world).falters = Some((1, Duration::from_secs(3600)));
    rig.put(3);
    // The first half is one event and fails; the second is split by a failure of its own.
    lock(&rig.world).poison = vec![("2".into(), Poison::Unknown)];
    let e = rig.sift(3, 2).unwrap_err();
    assert!(e.why.contains("2 events fail alone"), "{e}");
    assert_eq!((rig.delivered(), rig.letters(), rig.channel.backlog()), (vec![1], vec![], 2));
}
