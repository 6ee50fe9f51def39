//! Fuzzing of every decoder that sees the wire or a file, on the stable toolchain and without instrumentation.
//!
//! `cargo test` runs each target for a moment, always with the same seed; `make fuzz` runs each for FUZZ_SECONDS. By hand:
//!
//! ```text
//!   cargo test --release --test fuzz -- --target syslog --seconds 60 --seed 1 --corpus DIR
//!   cargo test --test fuzz -- --target syslog --replay FILE
//! ```
//!
//! An input fails when a thread panics, a promise of the decoder is broken, too much memory is allocated at once
//! (`memory`) or it takes too long (`watch`). It is kept, made smaller, and the exit status is 1. Once the fault is mended
//! it belongs into `tests/data/fuzz/<target>`, from where it is run first ever after. A new decoder: see `targets`.

mod engine;
mod feed;
mod files;
mod memory;
mod mutate;
mod random;
mod report;
mod targets;
mod watch;

use engine::Plan;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use targets::Target;

fn options() -> getopts::Options {
    let mut o = getopts::Options::new();
    o.optmulti("", "target", "only this one (default: all)", "NAME")
        .optopt("", "seconds", "for each target (default: 0.8)", "S")
        .optopt("", "seed", "another one gives other inputs (default: 1)", "N")
        .optopt("", "corpus", "inputs to begin with, and where new ones go", "DIR")
        .optopt("", "trace", "write each input here before it is run", "FILE")
        .optopt("", "replay", "run this input only", "FILE")
        .optopt("", "share", "of N processes this is number I: run every N-th target", "I/N")
        .optflag("", "list", "print the names of the targets")
        .optflag("h", "help", "print this");
    o.optmulti("", "skip", "leave out those with this in their names", "TEXT");
    // What cargo test hands to every test there is.
    for flag in ["nocapture", "quiet", "exact", "ignored", "include-ignored", "show-output"] {
        o.optflag("", flag, "for cargo test: no effect");
    }
    o.optopt("", "test-threads", "for cargo test: no effect", "N");
    o
}

fn main() -> ExitCode {
    let options = options();
    let parsed = options.parse(std::env::args().skip(1)).map_err(|e| e.to_string()).and_then(|m| {
        let run = Run::of(&m)?;
        Ok((m, run))
    });
    let (matches, run) = match parsed {
        Ok(both) => both,
        Err(why) => {
            eprintln!("fuzz: {why}");
            return ExitCode::from(2);
        }
    };
    if matches.opt_present("help") {
        print!("{}", options.usage("Usage: cargo test --test fuzz -- [options] [part of a target's name]"));
        return ExitCode::SUCCESS;
    }
    if matches.opt_present("list") {
        run.targets.iter().for_each(|t| println!("{}", t.name));
        return ExitCode::SUCCESS;
    }
    engine::hear_panics();
    watch::start();
    let is_good = match &run.replay {
        Some(path) => run.targets.iter().all(|t| engine::replay(t, path)),
        None => all(&run.targets, &run.plan),
    };
    files::remove_all();
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Run {
    targets: Vec<&'static Target>,
    replay: Option<PathBuf>,
    plan: Plan,
}

impl Run {
    fn of(m: &getopts::Matches) -> Result<Run, String> {
        let number = |name: &str, default: f64| match m.opt_str(name) {
            Some(text) => {
                text.parse::<f64>().ok().filter(|n| *n >= 0.0).ok_or(format!("--{name}: no number: {text}"))
            }
            None => Ok(default),
        };
        let names = m.opt_strs("target");
        if let Some(unknown) = names.iter().find(|n| !targets::ALL.iter().any(|t| t.name == **n)) {
            return Err(format!("no target {unknown}; see --list"));
        }
        let is_wanted = |t: &&Target| {
            (names.is_empty() || names.iter().any(|n| n == t.name))
                && !m.opt_strs("skip").iter().any(|part| t.name.contains(part.as_str()))
                && (m.free.is_empty() || m.free.iter().any(|part| t.name.contains(part.as_str())))
        };
        let (share, of) = match m.opt_str("share").as_deref().map(|s| s.split_once('/')) {
            None => (0, 1),
            Some(both) => both
                .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok().filter(|n| *n > 0)?)))
                .ok_or("--share: expected I/N, such as 0/2")?,
        };
        let wanted = targets::ALL.iter().copied().filter(is_wanted);
        let targets: Vec<&Target> = wanted.skip(share).step_by(of).collect();
        let replay = m.opt_str("replay").map(PathBuf::from);
        if replay.is_some() && names.len() != 1 {
            return Err("--replay needs one --target".to_owned());
        }
        let path = |name: &str| m.opt_str(name).as_deref().map(Path::new).map(Path::to_owned);
        let plan = Plan {
            time: Duration::from_secs_f64(number("seconds", 0.8)?),
            seed: number("seed", 1.0)? as u64,
            corpus: path("corpus"),
            trace: path("trace"),
        };
        Ok(Run { targets, replay, plan })
    }
}

/// Fuzzes these, one after the other; `false`: one failed.
fn all(targets: &[&Target], plan: &Plan) -> bool {
    if targets.is_empty() {
        return true;
    }
    report::header();
    let mut is_good = true;
    for target in targets {
        let line = engine::fuzz(target, plan);
        report::line(target.name, &line);
        is_good &= !line.has_failed;
    }
    is_good
}
