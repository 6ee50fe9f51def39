//! Who waits for memory, for how long, and what ends the wait.

use super::*;

fn ago(d: Duration) -> Instant {
    Instant::now().checked_sub(d).unwrap()
}

fn reserve(c: &Arc<SpillableChannel>, n: u64, waiter: Option<&Waiter>) -> Result<(), PutError> {
    let c = dynamic(c);
    let put = Put::reserve(&c, room(n), waiter)?;
    put.append(events(0..n), &nobody()).map(drop)
}

fn wait(mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "it takes too long");
        std::thread::yield_now();
    }
}

#[test]
fn a_waiter_spills_when_its_time_is_up_and_then_all_do() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    let (young, old) = (Waiter::new(Instant::now(), nobody()), Waiter::new(ago(FAR), nobody()));
    assert_eq!(reserve(&c, 1, Some(&young)), Err(PutError::Full));
    assert_eq!(reserve(&c, 1, None), Err(PutError::Full), "will come again, and stand in line");
    reserve(&c, 1, Some(&old)).unwrap();
    assert!(is_spilling(&c));
    reserve(&c, 1, Some(&young)).unwrap();
    reserve(&c, 1, None).unwrap();
}

#[test]
fn without_a_timeout_nobody_waits() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { timeout: Duration::ZERO, ..settings() });
    put(&c, 0..10).unwrap();
    reserve(&c, 1, None).unwrap();
    assert_eq!((is_spilling(&c), c.limits().keep_alive), (true, Duration::ZERO));
}

#[test]
fn the_head_of_the_line_is_woken_when_its_time_is_up() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { timeout: Duration::from_millis(50), ..settings() });
    put(&c, 0..10).unwrap();
    let (calls, others) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
    let first = Waiter::new(Instant::now(), calls.clone());
    let second = Waiter::new(Instant::now(), others.clone());
    [&first, &second].into_iter().for_each(|w| c.enqueue(w));
    wait(|| calls.0.load(SeqCst) > 0);
    assert!(first.since.elapsed() >= Duration::from_millis(50));
    assert_eq!(calls.0.load(SeqCst), 1, "once");
    // Its success is the next one's turn.
    reserve(&c, 1, Some(&first)).unwrap();
    wait(|| others.0.load(SeqCst) > 0);
    reserve(&c, 1, Some(&second)).unwrap();
}

#[test]
fn who_gets_room_in_memory_leaves_the_timer_to_the_next() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { timeout: Duration::from_millis(30), ..settings() });
    put(&c, 0..10).unwrap();
    let calls = Arc::new(Calls::default());
    let first = Waiter::new(Instant::now(), calls.clone());
    c.enqueue(&first);
    wait(|| calls.0.load(SeqCst) == 1);
    take(&c, 1).commit().unwrap();
    let others = Arc::new(Calls::default());
    let second = Waiter::new(Instant::now(), others.clone());
    c.enqueue(&second);
    reserve(&c, 1, Some(&first)).unwrap();
    assert!(!is_spilling(&c));
    wait(|| others.0.load(SeqCst) > 0);
}

#[test]
fn a_take_makes_room_in_memory_for_the_head() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    let calls = Arc::new(Calls::default());
    let w = Waiter::new(ago(Duration::from_secs(1)), calls.clone());
    assert_eq!(reserve(&c, 2, Some(&w)), Err(PutError::Full));
    c.enqueue(&w);
    take(&c, 2).commit().unwrap();
    assert_eq!(calls.0.load(SeqCst), 1);
    assert_eq!(reserve(&c, 1, None), Err(PutError::Full), "nobody passes the head");
    reserve(&c, 2, Some(&w)).unwrap();
    assert!(!is_spilling(&c));
}

#[test]
fn one_that_never_waits_spills_past_those_who_wait_for_memory() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    let calls = Arc::new(Calls::default());
    let w = Waiter::new(ago(Duration::from_secs(1)), calls.clone());
    c.enqueue(&w);
    reserve(&c, 1, Some(&late())).unwrap();
    assert!(calls.0.load(SeqCst) > 0, "it may spill as well");
    reserve(&c, 1, Some(&w)).unwrap();
}

#[test]
fn room_in_a_full_overflow_is_told_to_the_head() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { overflow: Some(4), ..settings() });
    put(&c, 0..10).unwrap();
    put(&c, 10..14).unwrap();
    let calls = Arc::new(Calls::default());
    let w = Waiter::new(ago(FAR), calls.clone());
    c.enqueue(&w);
    assert_eq!(reserve(&c, 3, Some(&w)), Err(PutError::Full));
    let (memory, overflow) = (take(&c, 10), take(&c, 4));
    let before = calls.0.load(SeqCst);
    overflow.commit().unwrap();
    assert!(calls.0.load(SeqCst) > before);
    reserve(&c, 3, Some(&w)).unwrap();
    drop(memory);
    assert_eq!(take(&c, 20).len(), 10);
}

#[test]
fn a_waiting_taker_gets_what_comes_on_either_side_and_obeys_its_stop_flag() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    let stop = Arc::new(AtomicBool::new(false));
    let (its, its_stop) = (dynamic(&c), stop.clone());
    let taker = std::thread::spawn(move || {
        let mut got = Vec::new();
        loop {
            let t = Take::begin(&its, 5, Instant::now() + FAR, &its_stop).unwrap();
            if t.is_empty() {
                return got;
            }
            got.extend(numbers(&t));
            t.commit().unwrap();
        }
    });
    let mut n = 0;
    while c.shared.spilled.get() < 100 {
        put(&c, n..n + 7).unwrap();
        n += 7;
    }
    wait(|| c.backlog() == 0);
    stop.store(true, SeqCst);
    c.interrupt_takers();
    assert_eq!(taker.join().unwrap(), list(0..n));
}
