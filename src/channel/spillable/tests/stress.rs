//! Several sources and sinks at once, on a channel that spills and recovers all the time.

use super::*;

const EACH: u64 = 3000;

/// A source: batches of one to four events, each stored before the next.
fn source(c: Arc<dyn Channel>, from: u64) {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(&self) {
            self.0.unpark();
        }
    }
    let wake: Arc<dyn Wake> = Arc::new(Unpark(std::thread::current()));
    let mut n = from;
    while n < from + EACH {
        let events = events(n..(n + 1 + n % 4).min(from + EACH));
        let len = events.len() as u64;
        let waiter = Waiter::new(Instant::now(), wake.clone());
        let ticket = loop {
            match Put::reserve(&c, Room::of(&events), Some(&waiter)) {
                Ok(put) => break put.append(events, &wake).unwrap(),
                Err(PutError::Full) => c.enqueue(&waiter),
                Err(e) => panic!("{e}"),
            }
            std::thread::park_timeout(Duration::from_millis(5));
        };
        while ticket.state() == TicketState::Open {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert_eq!(ticket.state(), TicketState::Done);
        n += len;
    }
    c.leave(&Waiter::new(Instant::now(), wake));
}

/// A sink that fails now and then; what it delivered.
fn sink(c: Arc<dyn Channel>, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut all = Vec::new();
    for n in 0.. {
        let t = Take::begin(&c, 5, Instant::now() + FAR, &stop).unwrap();
        if t.is_empty() {
            break;
        }
        if n % 7 != 3 {
            all.extend(numbers(&t));
            t.commit().unwrap();
        }
    }
    all
}

fn run(sinks: usize) -> Vec<Vec<u64>> {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { capacity: 5, timeout: Duration::ZERO, overflow: Some(50), ..settings() });
    let stop = Arc::new(AtomicBool::new(false));
    let takers: Vec<_> = (0..sinks)
        .map(|_| {
            let (c, stop) = (dynamic(&c), stop.clone());
            std::thread::spawn(move || sink(c, stop))
        })
        .collect();
    let sources: Vec<_> = (0..3)
        .map(|i| {
            let c = dynamic(&c);
            std::thread::spawn(move || source(c, i * EACH))
        })
        .collect();
    sources.into_iter().for_each(|t| t.join().unwrap());
    while c.backlog() > 0 {
        std::thread::yield_now();
    }
    stop.store(true, SeqCst);
    c.interrupt_takers();
    assert!(c.shared.spilled.get() > 0);
    assert_eq!(c.counters().measure().bytes, 0);
    takers.into_iter().map(|t| t.join().unwrap()).collect()
}

#[test]
fn one_sink_gets_the_events_of_each_source_in_order() {
    let all = run(1).remove(0);
    for i in 0..3 {
        let its: Vec<u64> = all.iter().copied().filter(|n| n / EACH == i).collect();
        assert_eq!(its, list(i * EACH..(i + 1) * EACH));
    }
}

#[test]
fn several_sinks_get_all_events_once() {
    let mut all = run(3).concat();
    all.sort_unstable();
    assert_eq!(all, list(0..3 * EACH));
}
