//! The channel against a plain model: random puts, takes, commits, rollbacks, checkpoints, restarts, kills and power cuts,
//! from one thread in turn. A seed is printed when it fails, and replays.

use super::*;
use std::collections::BTreeMap;

/// What there should be, by number of the event as the test counts them.
#[derive(Default)]
struct Model {
    next: u64,
    /// Acknowledged and not committed as taken: must come out.
    live: BTreeMap<u64, String>,
    /// Its take is committed, but a power cut may bring it back.
    maybe: BTreeMap<u64, String>,
    /// Taken, by take.
    out: Vec<(Take, Vec<u64>)>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// The number that an event's text begins with.
fn number(text: &str) -> u64 {
    text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

impl Model {
    fn bodies(&mut self, n: u64, random: &mut Random) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..n {
            let len = if random.below(30) == 0 { 3000 } else { random.below(90) } as usize;
            all.push(format!("{} {}", self.next, "z".repeat(len)));
            self.next += 1;
        }
        all
    }

    /// Takes some, and checks that they are what is to come: the lowest that nobody holds, in order.
    fn take(&mut self, c: &Arc<FileChannel>, max: usize) {
        let t = take(c, max).unwrap();
        let got = texts(&t);
        let held: Vec<u64> = self.out.iter().flat_map(|(_, n)| n.iter().copied()).collect();
        let expected: Vec<&String> =
            self.live.iter().filter(|(n, _)| !held.contains(n)).map(|(_, t)| t).take(got.len()).collect();
        assert_eq!(got.iter().collect::<Vec<_>>(), expected);
        if got.is_empty() {
            assert_eq!(self.live.len(), held.len(), "nothing came although there is something");
            return;
        }
        let numbers = got.iter().map(|t| number(t)).collect();
        self.out.push((t, numbers));
    }

    fn commit(&mut self, i: usize) {
        let (t, numbers) = self.out.remove(i);
        t.commit().unwrap();
        for n in numbers {
            let text = self.live.remove(&n).unwrap();
            self.maybe.insert(n, text);
        }
    }

    /// The process ended without a word: takes under way are no more.
    fn crashed(&mut self) {
        self.out.drain(..).for_each(|(t, _)| std::mem::forget(t));
    }

    /// Everything comes out, in order; `cut`: what was taken just before may come again.
    fn check_all(&mut self, c: &Arc<FileChannel>, cut: bool) {
        let mut got = BTreeMap::new();
        let mut last = None;
        loop {
            let t = take(c, 37).unwrap();
            if t.is_empty() {
                break;
            }
            for text in texts(&t) {
                let n = number(&text);
                assert!(last < Some(n), "{n} comes behind {last:?}");
                last = Some(n);
                assert_eq!(got.insert(n, text), None, "{n} comes twice");
            }
            t.commit().unwrap();
        }
        for (n, text) in &self.live {
            assert_eq!(got.remove(n).as_ref(), Some(text), "event {n} is lost or changed");
        }
        for (n, text) in got {
            assert!(cut, "event {n} comes although it was delivered");
            assert_eq!(self.maybe.get(&n), Some(&text), "event {n} was never put");
        }
        // Delivered once more, and again not synced yet.
        self.maybe.append(&mut self.live);
    }
}

fn run(seed: u64, steps: usize, dirs: usize, encrypted: bool) {
    let mut random = Random(seed);
    let mut fs = SimFs::new(seed);
    let mut settings = settings();
    settings.segment_size = [1024, 4096, 20_000][random.below(3) as usize];
    settings.checkpoint_on_close = random.below(2) == 0;
    let key = encrypted.then(|| {
        let path = std::env::temp_dir().join(format!("flumed-model-key-{}", std::process::id()));
        std::fs::write(&path, [5; 32]).unwrap();
        path
    });
    let fixed = Fixed { key_file: key, ..fixed(dirs) };
    let open = |fs: &SimFs| try_open(fs, fixed.clone(), settings).unwrap();
    let mut c = open(&fs);
    let mut upkeep = upkeep::Upkeep::new(true);
    let mut model = Model::default();
    for _ in 0..steps {
        match random.below(100) {
            0..45 => {
                let most = if random.below(8) == 0 { 60 } else { 6 };
                let n = 1 + random.below(most);
                let bodies = model.bodies(n, &mut random);
                put(&c, &bodies).unwrap();
                model.live.extend(bodies.into_iter().map(|t| (number(&t), t)));
            }
            45..65 => {
                let max = 1 + random.below(12) as usize;
                if model.out.len() < 5 {
                    model.take(&c, max);
                }
            }
            65..82 if !model.out.is_empty() => {
                let i = random.below(model.out.len() as u64) as usize;
                model.commit(i);
            }
            82..90 if !model.out.is_empty() => {
                let i = random.below(model.out.len() as u64) as usize;
                drop(model.out.remove(i));
            }
            90..95 => upkeep.checkpoint(&engine(&c)),
            95..97 => {
                model.out.clear();
                c.close();
                model.maybe.clear();
                c = open(&fs);
                upkeep = upkeep::Upkeep::new(true);
            }
            97 => {
                // A kill: all that was written is there.
                let image = fs.kill();
                model.crashed();
                model.maybe.clear();
                c.close();
                (c, fs) = (open(&image), image);
                upkeep = upkeep::Upkeep::new(true);
            }
            98 => {
                let image = fs.power_cut(random.below(1 << 40));
                model.crashed();
                c.close();
                (c, fs) = (open(&image), image);
                upkeep = upkeep::Upkeep::new(true);
                model.check_all(&c, true);
            }
            _ => {}
        }
        let (live, held) = (model.live.len(), c.backlog());
        assert_eq!(live, held, "backlog");
    }
    model.out.clear();
    model.check_all(&c, false);
    assert_eq!((c.backlog(), c.counters().measure().bytes), (0, 0));
}

/// Runs a seed; says which one it was when it fails.
fn seeded(seed: u64, what: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(e) = std::panic::catch_unwind(what) {
        eprintln!("seed {seed}: replay with FLUMED_SEED={seed}");
        std::panic::resume_unwind(e);
    }
}

/// The seeds to run: those of the test, or the one that is asked for.
pub(super) fn seeds(n: u64) -> Vec<u64> {
    match std::env::var("FLUMED_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => vec![seed],
        None => {
            let many = std::env::var("FLUMED_SEEDS").ok().and_then(|s| s.parse().ok());
            (0..many.unwrap_or(n)).collect()
        }
    }
}

#[test]
fn it_does_as_the_model_does() {
    for seed in seeds(60) {
        seeded(seed, move || run(seed, 300, 1 + (seed % 3) as usize, false));
    }
}

#[cfg(feature = "encryption")]
#[test]
fn encrypted_it_does_so_too() {
    for seed in seeds(10) {
        seeded(seed, move || run(seed, 200, 1 + (seed % 2) as usize, true));
    }
}

#[test]
fn many_putters_and_takers_lose_and_repeat_nothing() {
    let fs = SimFs::new(3);
    let c = open(&fs, 2);
    let (putters, each) = (4, 300);
    let done = Arc::new(AtomicBool::new(false));
    let takers: Vec<_> = (0..3)
        .map(|t| {
            let (c, done) = (c.clone(), done.clone());
            std::thread::spawn(move || {
                let (mut got, mut turn) = (Vec::new(), t);
                loop {
                    let until = Instant::now() + Duration::from_millis(20);
                    let take = Take::begin(&dynamic(&c), 7, until, &AtomicBool::new(false)).unwrap();
                    turn += 1;
                    if take.is_empty() {
                        if done.load(SeqCst) && c.backlog() == 0 {
                            return got;
                        }
                    } else if turn % 4 != 0 {
                        got.extend(texts(&take));
                        take.commit().unwrap();
                    }
                }
            })
        })
        .collect();
    let putters: Vec<_> = (0..putters)
        .map(|p| {
            let c = c.clone();
            std::thread::spawn(move || {
                for i in 0..each {
                    let bodies: Vec<String> = (0..1 + i % 5).map(|k| format!("{p} {i} {k}")).collect();
                    put(&c, &bodies).unwrap();
                }
            })
        })
        .collect();
    putters.into_iter().for_each(|t| t.join().unwrap());
    done.store(true, SeqCst);
    let mut got: Vec<String> = takers.into_iter().flat_map(|t| t.join().unwrap()).collect();
    got.sort();
    let mut expected: Vec<String> = (0..4)
        .flat_map(|p| (0..each).flat_map(move |i| (0..1 + i % 5).map(move |k| format!("{p} {i} {k}"))))
        .collect();
    expected.sort();
    assert_eq!(got, expected);
}
