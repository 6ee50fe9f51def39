//! Durable put and take of the file channel without network: what the channel itself costs, and how near that is to what
//! the disk can do.
//!
//! `cargo bench --bench file_channel -- [PART...] [OPTIONS]`, `--help` lists both. Every run is a child process of its
//! own (CPU time and peak memory are the run's, a kill is a real one) in a new directory on a real disk; a row is the
//! median of the runs, with their range.
//!
//! How a committer works: it has one transaction under way, looks at its ticket (for `--look-us`), yields once, then parks
//! until the channel wakes it, and puts the next. With `--threads` some share a thread, as connections share a loop: 64
//! threads on two cores are woken one after the other. Events are built beforehand: building them is a source's cost, not
//! the channel's.

mod backlog;
mod child;
mod driver;
mod figures;
mod limits;
mod load;
mod machine;

use figures::Report;
use getopts::{Matches, Options};
use std::path::PathBuf;
use std::process::ExitCode;

const PARTS: &str = "Parts (all of them, unless some are named):
  limits    what the disk and the file system do: synced appends, and a bare group commit (loadgen)
  steady    committers and a taker, every segment used before
  unsynced  the same with fsyncPerTransaction = false
  growing   committers alone, on files that grow
  drain     a taker alone, on a backlog on disk; count and order are checked
  recovery  opening a backlog: after a clean close and a kill, with and without checkpoints, cache warm and cold
  memory    of a queued event, and peaks while a backlog is built, recovered and drained, in batches of 1 and 1000
";

/// What is measured, and how.
pub struct Plan {
    parts: Vec<String>,
    pub dir: PathBuf,
    pub runs: usize,
    pub seconds: f64,
    /// Lists that were asked for; each part has its own otherwise.
    sizes: Vec<usize>,
    batches: Vec<usize>,
    committers: Vec<usize>,
    backlogs: Vec<usize>,
    /// Threads the committers share; 0: each has its own.
    pub threads: usize,
    /// How long a committer looks at its ticket before it gives the core away.
    pub look_us: u64,
    /// A library that slows syncs, and by how many microseconds.
    pub slowsync: Option<(PathBuf, u64)>,
    pub has_limits: bool,
}

impl Plan {
    fn of(m: &Matches) -> Result<Plan, String> {
        let dir = m.opt_str("dir").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let us = number(m, "slowsync-us", 1000.0)? as u64;
        Ok(Plan {
            parts: m.free.clone(),
            dir,
            runs: (number(m, "runs", 5.0)? as usize).max(1),
            seconds: number(m, "seconds", 2.0)?,
            sizes: numbers(m, "sizes")?,
            batches: numbers(m, "batches")?,
            committers: numbers(m, "committers")?,
            backlogs: numbers(m, "backlogs")?,
            threads: number(m, "threads", 0.0)? as usize,
            look_us: number(m, "look-us", 0.0)? as u64,
            slowsync: m.opt_str("slowsync").map(|lib| (PathBuf::from(lib), us)),
            has_limits: !m.opt_present("no-limits"),
        })
    }

    fn wants(&self, part: &str) -> bool {
        match self.parts.is_empty() {
            // A slower sync is of interest where commits wait for it.
            true => self.slowsync.is_none() || part == "steady",
            false => self.parts.iter().any(|p| p == part),
        }
    }

    pub fn sizes(&self, default: &[usize]) -> Vec<usize> {
        chosen(&self.sizes, default)
    }
    pub fn batches(&self, default: &[usize]) -> Vec<usize> {
        chosen(&self.batches, default)
    }
    pub fn committers(&self, default: &[usize]) -> Vec<usize> {
        chosen(&self.committers, default)
    }
    pub fn backlogs(&self, default: &[usize]) -> Vec<usize> {
        chosen(&self.backlogs, default)
    }
}

fn chosen(asked: &[usize], default: &[usize]) -> Vec<usize> {
    if asked.is_empty() { default } else { asked }.to_vec()
}

fn number(m: &Matches, name: &str, default: f64) -> Result<f64, String> {
    match m.opt_str(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("--{name} {text}: not a number")),
    }
}

fn numbers(m: &Matches, name: &str) -> Result<Vec<usize>, String> {
    let text = m.opt_str(name).unwrap_or_default();
    let words = text.split(',').filter(|w| !w.is_empty());
    words
        .map(|w| w.parse().map_err(|_| format!("--{name} {text}: not numbers separated by commas")))
        .collect()
}

fn options() -> Options {
    let mut o = Options::new();
    o.optopt("", "dir", "directory on a real disk (the target directory's tmp)", "DIR");
    o.optopt("", "runs", "runs of a row (5)", "N");
    o.optopt("", "seconds", "measured time of a run under load (2)", "S");
    o.optopt("", "sizes", "bytes of a body (100,500,10240; 500 where it matters less)", "N,...");
    o.optopt("", "batches", "events of a transaction (1,100,1000)", "N,...");
    o.optopt("", "committers", "(1,4,8; with --slowsync 1,8,64)", "N,...");
    o.optopt("", "backlogs", "events on disk (drain 2000000; recovery 100000,1000000,10000000)", "N,...");
    o.optopt("", "threads", "threads that the committers share, as connections do (one each)", "N");
    o.optopt("", "look-us", "how long a committer looks at its ticket before it sleeps (0)", "US");
    o.optopt("", "slowsync", "library built of slowsync.c, preloaded into every run", "FILE");
    o.optopt("", "slowsync-us", "what it adds to a sync (1000)", "US");
    o.optflag("", "no-limits", "leave out the bare group commit beside each steady row");
    o.optflag("", "json", "a line of JSON for each row");
    o.optflag("h", "help", "");
    // Cargo's, and what the runs are told.
    o.optflag("", "bench", "");
    o.optopt("", "child", "", "JOB");
    o
}

fn run() -> Result<(), String> {
    let m = options().parse(std::env::args().skip(1)).map_err(|e| e.to_string())?;
    if m.opt_present("help") {
        print!("{}\n{PARTS}", options().usage("cargo bench --bench file_channel -- [PART...] [OPTIONS]"));
        return Ok(());
    }
    if let Some(job) = m.opt_str("child") {
        return child::main(&job);
    }
    let plan = Plan::of(&m)?;
    if let Some(p) = plan.parts.iter().find(|p| !PARTS.contains(&format!("\n  {p} "))) {
        return Err(format!("{p}: no such part (see --help)"));
    }
    std::fs::create_dir_all(&plan.dir).map_err(|e| format!("{}: {e}", plan.dir.display()))?;
    let file_system = machine::file_system(&plan.dir);
    if ["tmpfs", "ramfs"].contains(&file_system.as_str()) {
        return Err(format!("{} is {file_system}: --dir wants a real disk", plan.dir.display()));
    }
    let report = Report { is_json: m.opt_present("json") };
    report.say(&format!(
        "file channel in {} ({file_system}), medians of {} (min-max), events/s unless said otherwise",
        plan.dir.display(),
        plan.runs
    ));
    if plan.threads > 0 || plan.look_us > 0 {
        report.say(&format!(
            "committers share {} threads (0: none), look for {} us",
            plan.threads, plan.look_us
        ));
    }
    if let Some((lib, us)) = &plan.slowsync {
        report.say(&format!("every sync takes {us} us longer ({})", lib.display()));
    }
    if plan.wants("limits") {
        limits::rows(&plan, &report)?;
    }
    load::rows(&plan, &report, |part| plan.wants(part))?;
    for (part, rows) in [
        ("drain", backlog::drain as backlog::Rows),
        ("recovery", backlog::recovery),
        ("memory", backlog::memory),
    ] {
        if plan.wants(part) {
            rows(&plan, &report)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("file_channel: {why}");
            ExitCode::FAILURE
        }
    }
}
