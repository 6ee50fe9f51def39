//! Crashes at every operation, and what a power cut may leave of the disk then. One oracle: every event that was
//! acknowledged and whose take was not committed comes out, in order; nothing comes that was not put; only what was
//! delivered shortly before may come again; and every image opens.

use super::model::seeds;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;

/// What the test knows when the process dies.
#[derive(Default)]
struct Known {
    /// Everything that was ever handed to the channel, by number.
    put: BTreeMap<u64, String>,
    acknowledged: BTreeSet<u64>,
    /// Their take was committed, or was about to be.
    delivered: BTreeSet<u64>,
}

fn number(text: &str) -> u64 {
    text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Puts, takes and checkpoints until it is through, or the file system has crashed.
fn work(fs: &SimFs, fixed: &Fixed, settings: Settings, rounds: u64, known: &mut Known) {
    let Ok(c) = try_open(fs, fixed.clone(), settings) else { return };
    let mut upkeep = upkeep::Upkeep::new(true);
    for round in 0..rounds {
        // Two transactions at a time, so that groups have more than one.
        let mut tickets = Vec::new();
        for k in 0..2 {
            let from = known.put.len() as u64;
            let texts = bodies(from..from + 1 + (round + k) % 4);
            known.put.extend(texts.iter().map(|t| (number(t), t.clone())));
            if let Ok(t) = begin_put(&c, &texts) {
                tickets.push((t, texts));
            }
        }
        for (t, texts) in tickets {
            if settled(&t).is_ok() {
                known.acknowledged.extend(texts.iter().map(|t| number(t)));
            }
        }
        if round % 3 == 1 {
            if let Ok(t) = take(&c, 5) {
                // It may be written although the commit fails.
                known.delivered.extend(texts(&t).iter().map(|t| number(t)));
                let _ = t.commit();
            }
        }
        if round % 5 == 3 {
            upkeep.checkpoint(&engine(&c));
        }
    }
    c.close();
}

fn check(image: &SimFs, fixed: &Fixed, settings: Settings, known: &Known, case: &str) {
    let c = try_open(image, fixed.clone(), settings).unwrap_or_else(|e| panic!("{case}: does not open: {e}"));
    let got = drain(&c, 7);
    let numbers: Vec<u64> = got.iter().map(|t| number(t)).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{case}: out of order or twice: {numbers:?}");
    for text in &got {
        assert_eq!(known.put.get(&number(text)), Some(text), "{case}: nobody put this");
    }
    let got: BTreeSet<u64> = numbers.into_iter().collect();
    let lost: Vec<&u64> =
        known.acknowledged.iter().filter(|n| !known.delivered.contains(n) && !got.contains(n)).collect();
    assert!(lost.is_empty(), "{case}: acknowledged and lost: {lost:?}");
    assert_eq!(c.file_counters.damaged.get(), 0, "{case}: taken for damage");
    // It goes on from there.
    put(&c, &bodies(100_000..100_003)).unwrap_or_else(|e| panic!("{case}: takes nothing: {e}"));
    assert_eq!(drain(&c, 9), bodies(100_000..100_003), "{case}");
    c.close();
}

/// Crashes at every `stride`-th operation of the work; cuts the power in several ways each time. Returns how many images
/// there were.
fn cut_everywhere(
    fixed: &Fixed,
    settings: Settings,
    rounds: u64,
    stride: u64,
    cuts: u64,
    seed: u64,
) -> usize {
    let fs = SimFs::new(seed);
    work(&fs, fixed, settings, rounds, &mut Known::default());
    let operations = fs.operations() + 10;
    let images = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| loop {
                let at = next.fetch_add(stride as usize, SeqCst) as u64;
                if at >= operations {
                    return;
                }
                let fs = SimFs::new(seed * 1_000_000 + at);
                fs.crash_at(at);
                let mut known = Known::default();
                work(&fs, fixed, settings, rounds, &mut known);
                for cut in 0..cuts {
                    let case = format!("seed {seed}, operation {at}, cut {cut}");
                    let image = fs.power_cut(at * 64 + cut);
                    if cut == 2 {
                        // The recovery is cut short as well.
                        let again = image.copy();
                        again.crash_at((at * 7 + cut) % 40);
                        let _ = try_open(&again, fixed.clone(), settings).map(|c| c.close());
                        check(&again.power_cut(at + cut), fixed, settings, &known, &format!("{case}, twice"));
                        images.fetch_add(1, SeqCst);
                    }
                    check(&image, fixed, settings, &known, &case);
                    images.fetch_add(1, SeqCst);
                }
                check(&fs.kill(), fixed, settings, &known, &format!("seed {seed}, killed at operation {at}"));
                images.fetch_add(1, SeqCst);
            });
        }
    });
    images.load(SeqCst)
}

/// `FLUMED_SEEDS=20 cargo test --release --lib power_cut` goes over more than ten thousand images.
#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let small = Settings { segment_size: 1024, ..settings() };
    let mut images = 0;
    for seed in seeds(1) {
        let dual = Fixed { backup_dir: Some("/bak".into()), compresses_backup: true, ..fixed(1) };
        images += cut_everywhere(&fixed(1), small, 24, 2, 4, seed);
        images += cut_everywhere(&fixed(2), small, 16, 3, 4, seed + 1000);
        images += cut_everywhere(&dual, settings(), 12, 5, 4, seed + 2000);
    }
    eprintln!("{images} images, 0 events lost, 0 foreign, all opened");
}

#[cfg(feature = "encryption")]
#[test]
fn no_power_cut_loses_what_was_encrypted() {
    let path = std::env::temp_dir().join(format!("flumed-crash-key-{}", std::process::id()));
    std::fs::write(&path, [9; 32]).unwrap();
    let encrypted = Fixed { key_file: Some(path.clone()), ..fixed(1) };
    let images = cut_everywhere(&encrypted, Settings { segment_size: 1024, ..settings() }, 10, 4, 4, 77);
    eprintln!("{images} images");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn chains_are_whole_or_not_there() {
    let fs = SimFs::new(5);
    let c = try_open(&fs, fixed(1), Settings { segment_size: 64 << 10, ..settings() }).unwrap();
    put(&c, &bodies(0..2)).unwrap();
    let before = fs.copy();
    let large: Vec<String> = (2..5).map(|n| format!("event {n} {}", "L".repeat(5 << 20))).collect();
    put(&c, &large).unwrap();
    c.close();
    let writes = fs.operations() - before.operations();
    assert!(writes > 6);
    for at in 0..12 {
        let image = before.kill();
        let c = try_open(&image, fixed(1), Settings { segment_size: 64 << 10, ..settings() }).unwrap();
        image.crash_at(at);
        let stored = put(&c, &large).is_ok();
        c.close();
        for cut in 0..6 {
            let c = open(&image.power_cut(cut), 1);
            let got = drain(&c, 9);
            assert!(
                got.len() == 5 || (got.len() == 2 && !stored),
                "{} events, operation {at}, cut {cut}",
                got.len()
            );
            c.close();
        }
    }
}
