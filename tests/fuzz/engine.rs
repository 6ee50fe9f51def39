//! The loop of a target: take an input, change it, run it, judge it, keep it if it did something new.
//!
//! Everything follows from the seed and the seeds' order, so a run can be repeated; only where it ends depends on the
//! clock. Runs on the main thread. A panic in any thread fails the input.

use crate::memory;
use crate::random::Random;
use crate::report::{self, Line};
use crate::targets::{tree, Signature, Target};
use crate::watch;
use std::collections::HashSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many inputs are kept to be changed.
const MOST_KEPT: usize = 4096;
/// How long a failing input is made smaller.
const MINIMISING: Duration = Duration::from_secs(5);

/// How to run.
pub struct Plan {
    pub time: Duration,
    pub seed: u64,
    /// More inputs to begin with; what does something new is added there.
    pub corpus: Option<PathBuf>,
    /// Where each input is written before it is run, for one that kills the process.
    pub trace: Option<PathBuf>,
}

/// The last panic, of whatever thread.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

pub fn hear_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = format!("panics: {info}").replace('\n', " ");
        PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }));
}

struct Ran {
    outcome: Result<Signature, String>,
    peak: usize,
    took: Duration,
}

fn run(target: &Target, input: &[u8]) -> Ran {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    watch::begin(target.name, input);
    let (mark, began) = (memory::mark(), Instant::now());
    let done = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let (peak, took) = (mark.peak(), began.elapsed());
    watch::end();
    let limit = target.memory.0 * input.len() + target.memory.1;
    let outcome = match (PANIC.lock().unwrap_or_else(PoisonError::into_inner).take(), done) {
        (Some(panic), _) => Err(panic),
        (None, Err(_)) => Err("panics without a word".to_owned()),
        (None, Ok(Err(why))) => Err(why),
        (None, Ok(Ok(_))) if peak > limit => {
            Err(format!("has {peak} bytes allocated at once, above {limit}"))
        }
        (None, Ok(Ok(s))) => Ok(s),
    };
    Ran { outcome, peak, took }
}

/// Runs one input and says what came of it; `false`: it failed.
pub fn replay(target: &Target, path: &Path) -> bool {
    let input = match std::fs::read(path) {
        Ok(input) => input,
        Err(e) => {
            println!("{}: {e}", path.display());
            return false;
        }
    };
    let ran = run(target, &input);
    let (peak, took) = (ran.peak.div_ceil(1024), ran.took.as_millis());
    let said = ran.outcome.map(|s| format!("signature {:016x}", s.value()));
    println!("{}: {} bytes, peak {peak} KiB, {took} ms: {said:?}", target.name, input.len());
    said.is_ok()
}

/// Inputs that once failed come first, in every run.
fn regressions(target: &Target) -> Vec<Vec<u8>> {
    crate::targets::files_of(&tree("tests/data/fuzz").join(target.name), "")
}

pub fn fuzz(target: &Target, plan: &Plan) -> Line {
    let mut line = Line::default();
    let mut random = Random::new(plan.seed);
    let mut known = HashSet::new();
    let mut first = regressions(target);
    let own = plan.corpus.as_ref().map(|dir| dir.join(target.name));
    first.extend((target.seeds)());
    first.extend(own.iter().flat_map(|dir| crate::targets::files_of(dir, "")));
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    let mut first = first.into_iter();
    let began = Instant::now();
    loop {
        let (input, is_given) = match first.next() {
            Some(given) => (given, true),
            None if began.elapsed() >= plan.time => break,
            None => (next(target, &corpus, &mut random), false),
        };
        if let Some(trace) = &plan.trace {
            // For the one input after which nobody can say anything.
            let _ = std::fs::write(trace, &input);
        }
        let ran = run(target, &input);
        line.inputs += 1;
        line.slowest = line.slowest.max(ran.took);
        if ran.peak > line.peak.0 {
            line.peak = (ran.peak, input.len());
        }
        match ran.outcome {
            Ok(s) => {
                let is_new = known.insert(s.value());
                if is_new && !is_given {
                    keep(own.as_deref(), &s, &input);
                }
                match corpus.len() < MOST_KEPT {
                    true if is_new || is_given => corpus.push(input),
                    false if is_new => {
                        let at = random.below(MOST_KEPT);
                        corpus[at] = input;
                    }
                    _ => {}
                }
            }
            Err(why) => {
                report::failed(target.name, &input, &why);
                let small = minimised(target, input, &why);
                report::failed(target.name, &small, "does so, too");
                line.has_failed = true;
                break;
            }
        }
    }
    line.time = began.elapsed();
    line.signatures = known.len();
    line
}

fn next(target: &Target, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let empty = Vec::new();
    // What came last did something new: every other time one of those.
    let recent = corpus.len().saturating_sub(64);
    let from = if random.one_in(2) { recent } else { 0 };
    let input = random.pick(&corpus[from.min(corpus.len())..]).unwrap_or(&empty);
    let other = random.pick(corpus).unwrap_or(&empty);
    (target.mutate)(random, input, other, target.words, target.longest)
}

/// Adds to the corpus on disk, if there is one.
fn keep(dir: Option<&Path>, s: &Signature, input: &[u8]) {
    let Some(dir) = dir else { return };
    let path = dir.join(format!("{:016x}", s.value()));
    if let Err(e) = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(path, input)) {
        println!("{}: {e}", dir.display());
    }
}

/// A smaller input that fails in the same way, found by leaving pieces out.
fn minimised(target: &Target, mut input: Vec<u8>, why: &str) -> Vec<u8> {
    // Numbers change with the input; what is said around them does not.
    let kind = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).take(60).collect::<String>();
    let fails = |input: &[u8]| run(target, input).outcome.is_err_and(|w| kind(&w) == kind(why));
    let began = Instant::now();
    let mut size = input.len() / 2;
    while size > 0 && began.elapsed() < MINIMISING {
        let mut at = 0;
        while at < input.len() && began.elapsed() < MINIMISING {
            let less = [&input[..at], &input[(at + size).min(input.len())..]].concat();
            match fails(&less) {
                true => input = less,
                false => at += size,
            }
        }
        size /= 2;
    }
    input
}
