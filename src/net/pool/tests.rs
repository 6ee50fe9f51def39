use super::*;
use std::sync::mpsc::{channel, Receiver, Sender};

const PATIENCE: Duration = Duration::from_secs(20);

/// Jobs that say when they begin and end when they are told to.
struct Bench {
    pool: Pool,
    began: Receiver<(u32, Option<String>)>,
    begins: Sender<(u32, Option<String>)>,
    ends: BTreeMap<u32, Sender<()>>,
    counters: Arc<SourceCounters>,
}

impl Bench {
    fn new(max: usize) -> Bench {
        let (begins, began) = channel();
        let counters = SourceCounters::new("r1");
        Bench { pool: Pool::new(max), began, begins, ends: BTreeMap::new(), counters }
    }

    fn submit(&mut self, source: u32, job: u32) {
        let (end, told) = channel();
        self.ends.insert(job, end);
        let begins = self.begins.clone();
        let run = move || {
            let _ = begins.send((job, std::thread::current().name().map(str::to_owned)));
            let _ = told.recv_timeout(PATIENCE);
        };
        self.pool.submit(SourceId(source), &self.counters, run).unwrap();
    }

    fn end(&mut self, job: u32) {
        drop(self.ends.remove(&job));
    }

    /// The next job that begins.
    fn next(&self) -> u32 {
        self.began.recv_timeout(PATIENCE).expect("a job begins").0
    }

    /// Jobs that wait.
    fn waiting(&self) -> usize {
        lock(&self.pool.0.state).lines.values().map(|l| l.waiting.len()).sum()
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn threads_start_with_the_jobs_up_to_the_limit_and_are_used_again() {
    let mut b = Bench::new(2);
    assert_eq!(b.pool.threads(), 0);
    (1..=3).for_each(|job| b.submit(1, job));
    let mut names = [b.began.recv().unwrap().1.unwrap(), b.began.recv().unwrap().1.unwrap()];
    names.sort();
    assert_eq!((names, b.pool.threads(), b.waiting()), (["pool:0".to_owned(), "pool:1".to_owned()], 2, 1));
    b.end(1);
    assert_eq!(b.next(), 3);
    (2..=3).for_each(|job| b.end(job));
    b.submit(1, 4);
    assert_eq!((b.next(), b.pool.threads()), (4, 2));
}

#[test]
fn jobs_of_a_source_begin_in_order() {
    let mut b = Bench::new(1);
    (1..=5).for_each(|job| b.submit(1, job));
    for job in 1..=5 {
        assert_eq!(b.next(), job);
        b.end(job);
    }
}

/// Jobs that hang hold up no other source.
#[test]
fn a_source_finds_a_thread_though_others_have_them_all() {
    let mut b = Bench::new(2);
    (1..=4).for_each(|job| b.submit(1, job));
    assert_eq!([b.next(), b.next()].iter().sum::<u32>(), 3);
    b.submit(2, 10);
    assert_eq!((b.next(), b.pool.threads()), (10, 3));
    // One is its right; a second has to find a thread.
    b.submit(2, 11);
    b.submit(3, 20);
    assert_eq!((b.next(), b.waiting()), (20, 3));
    b.end(10);
    assert_eq!(b.next(), 11, "it had none running then");
    b.end(11);
    b.end(20);
    until("the threads above the limit are gone", || b.pool.threads() == 2);
    assert_eq!(b.waiting(), 2, "the two that are left are at the jobs that hang");
}

#[test]
fn a_free_thread_is_for_who_has_the_fewest() {
    let mut b = Bench::new(4);
    (1..=6).for_each(|job| b.submit(1, job));
    (0..4).for_each(|_| assert!(b.next() <= 4));
    b.submit(2, 10);
    b.submit(2, 11);
    assert_eq!(b.next(), 10);
    b.end(1);
    b.end(2);
    assert_eq!(b.next(), 11, "one was running beside two of the first source");
}

#[test]
fn the_limit_can_be_changed() {
    let mut b = Bench::new(1);
    (1..=3).for_each(|job| b.submit(1, job));
    assert_eq!(b.next(), 1);
    b.pool.set_max(3);
    assert_eq!([b.next(), b.next()].iter().sum::<u32>(), 5);
    b.pool.set_max(1);
    (1..=3).for_each(|job| b.end(job));
    until("the others are gone", || b.pool.threads() == 1);
    b.submit(1, 4);
    assert_eq!(b.next(), 4);
}

#[test]
fn a_panic_ends_no_thread() {
    let mut b = Bench::new(1);
    b.pool.submit(SourceId(1), &b.counters, || panic!("planned")).unwrap();
    b.submit(1, 1);
    assert_eq!((b.next(), b.pool.threads()), (1, 1));
}

#[test]
fn threads_end_with_the_pool_but_for_those_that_hang() {
    let mut b = Bench::new(4);
    (1..=2).for_each(|job| b.submit(1, job));
    assert_eq!([b.next(), b.next()].iter().sum::<u32>(), 3);
    b.end(1);
    let Bench { pool, ends, .. } = b;
    let shared = pool.0.clone();
    drop(pool);
    until("the free one is gone", || lock(&shared.state).threads() == 1);
    drop(ends);
    until("the other one too", || lock(&shared.state).threads() == 0);
}

#[test]
fn a_slow_job_is_told_of() {
    let mut b = Bench::new(1);
    (1..=3).for_each(|job| b.submit(1, job));
    assert_eq!(b.next(), 1);
    let mut s = lock(&b.pool.0.state);
    let now = Instant::now();
    assert_eq!(s.slow(now), None);
    let told = s.slow(now + SLOW + Duration::from_millis(500)).expect("long enough");
    assert_eq!(told, "source r1: a job has been running for 10 s; 1 run, 2 wait for a thread");
    assert_eq!(s.slow(now + SLOW + Duration::from_millis(600)), None, "not at once again");
}
