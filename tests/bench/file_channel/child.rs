//! One run, in a process of its own: what it does there, and how it is asked to and ended here.
//!
//! The child prints its figures as a line of JSON. One that is to `hold` then waits with the channel open: to be killed,
//! or let go, which closes the channel.

use crate::driver::{self, Keys};
use crate::figures::{Figures, Found};
use crate::machine::{cpu_seconds, peak_mib, resident_mib, Written};
use crate::Plan;
use flumed::channel::Channel;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of bodies of a round that brings every segment into use.
const ROUND: usize = 512 << 20;
/// Rounds until it is given up to have no file grow.
const ROUNDS: usize = 4;
/// The load runs for so long before it is measured.
const LEAD: Duration = Duration::from_millis(300);
/// What may wait between committers and the taker under load.
const QUEUED_BYTES: usize = 64 << 20;
const QUEUED: (usize, usize) = (20_000, 100_000);
/// Transactions under way while a backlog is built, and their events.
const BUILDERS: (usize, usize) = (8, 1024);
const BUILDING: usize = 8000;
/// Checkpoints are taken when the bench wants one, not by the clock.
const NEVER_MS: u64 = 1 << 40;
/// The shortest interval there is.
const SOON_MS: u64 = 1000;

/// What a child is asked to do.
struct Job(Value);

impl Job {
    fn n(&self, key: &str) -> usize {
        self.0[key].as_u64().unwrap_or(0) as usize
    }
    fn is(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or(false)
    }
    fn dir(&self) -> &Path {
        Path::new(self.0["dir"].as_str().expect("a directory"))
    }
}

/// The child's side.
pub fn main(job: &str) -> Result<(), String> {
    let job = Job(serde_json::from_str(job).map_err(|e| e.to_string())?);
    let (channel, found) = match job.0["kind"].as_str() {
        Some("load") => load(&job),
        Some("build") => build(&job),
        Some("open") => open(&job),
        kind => return Err(format!("{kind:?}: no such job")),
    };
    println!("{}", serde_json::json!(found));
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    if job.is("hold") {
        let _ = std::io::stdin().read(&mut [0]);
    }
    channel.close();
    Ok(())
}

type Done = (Arc<dyn Channel>, Figures);

/// Committers, with a taker beside them unless files are to grow.
fn load(job: &Job) -> Done {
    let (size, batch, committers) = (job.n("size"), job.n("batch"), job.n("committers"));
    let (dir, grows) = (job.dir(), job.is("grows"));
    let queued = (QUEUED_BYTES / size.max(1)).clamp(QUEUED.0, QUEUED.1);
    let capacity = if grows { i64::MAX as usize } else { queued };
    let c = driver::open(
        dir,
        &[("capacity", capacity.to_string()), ("fsyncPerTransaction", (!job.is("unsynced")).to_string())],
    );
    let threads = if job.n("threads") == 0 { committers } else { job.n("threads").min(committers) };
    let look = Duration::from_micros(job.n("look_us") as u64);
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (stored, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut found = Figures::new();
    std::thread::scope(|s| {
        if !grows {
            s.spawn(|| driver::take_on(&c, &over, &taken));
            found.insert("settled", f64::from(u8::from(settle(&c, dir, size))));
        }
        for i in 0..threads {
            // The first ones have one more where they do not come out even.
            let slots = committers / threads + usize::from(i < committers % threads);
            let (c, stop, stored) = (&c, &stop, &stored);
            let events = driver::numbered(0, batch, size);
            s.spawn(move || {
                let next = || (!stop.load(Relaxed)).then(|| events.clone());
                driver::put(c, slots, look, stored, next);
            });
        }
        std::thread::sleep(LEAD);
        let files = Written::below(dir);
        let now = || {
            let syncs = driver::count(&c, "SyncCount");
            let frames = driver::count(&c, "FramesPerSync") * syncs;
            let counted = [stored.load(Relaxed) as f64, taken.load(Relaxed) as f64, syncs, frames];
            (Instant::now(), cpu_seconds(), counted)
        };
        let before = now();
        std::thread::sleep(Duration::from_secs_f64(job.0["seconds"].as_f64().unwrap_or(1.0)));
        let after = now();
        stop.store(true, Relaxed);
        let secs = (after.0 - before.0).as_secs_f64();
        let [events, taken, syncs, frames] = std::array::from_fn(|i| after.2[i] - before.2[i]);
        found.extend([
            ("rate", events / secs),
            ("taken", taken / secs),
            ("cpu", (after.1 - before.1) / events.max(1.0) * 1e6),
            ("syncs", syncs / secs),
            ("frames", frames / syncs.max(1.0)),
            ("peak", peak_mib()),
            ("grown", Written::below(dir).since(&files) as f64 / f64::from(1 << 20)),
        ]);
        over.store(true, Relaxed);
    });
    (c, found)
}

/// Fills segments until no file is new and none has grown since the round before. Whether it came to that.
fn settle(c: &Arc<dyn Channel>, dir: &Path, size: usize) -> bool {
    let batch = ((1 << 20) / size.max(1)).clamp(1, driver::TAKE);
    let events = driver::numbered(0, batch, size);
    let mut files = Written::below(dir);
    for _ in 0..ROUNDS {
        let mut left = ROUND / size.max(1) / batch;
        let next = || {
            left = left.saturating_sub(1);
            (left > 0).then(|| events.clone())
        };
        driver::put(c, BUILDERS.0, Duration::ZERO, &AtomicU64::new(0), next);
        let now = Written::below(dir);
        // Checkpoints are files, too.
        if now.since(&files) < 1 << 20 {
            return true;
        }
        files = now;
    }
    false
}

fn backlog_keys(interval_ms: u64, batch: usize) -> [(&'static str, String); 3] {
    [
        ("capacity", i64::MAX.to_string()),
        ("checkpointInterval", interval_ms.to_string()),
        // Frames are the same, and small batches come in a time one can wait for.
        ("fsyncPerTransaction", (batch >= 100).to_string()),
    ]
}

/// Puts numbered events, after all those that are there. With `checkpoint`, one is taken first.
fn build(job: &Job) -> Done {
    let (first, events, batch, size) = (job.n("first"), job.n("events"), job.n("batch"), job.n("size"));
    let c = driver::open(job.dir(), &backlog_keys(NEVER_MS, batch));
    if job.is("checkpoint") {
        checkpoint(&c, job.dir(), &backlog_keys(SOON_MS, batch), &backlog_keys(NEVER_MS, batch));
    }
    let (resident, cpu, began) = (resident_mib(), cpu_seconds(), Instant::now());
    let mut at = 0;
    let next = || {
        let n = batch.min(events - at);
        at += n;
        (n > 0).then(|| driver::numbered((first + at - n) as u64, n, size))
    };
    let slots = (BUILDING / batch.max(1)).clamp(BUILDERS.0, BUILDERS.1);
    driver::put(&c, slots, Duration::ZERO, &AtomicU64::new(0), next);
    let found = [
        ("rate", events as f64 / began.elapsed().as_secs_f64()),
        ("cpu", (cpu_seconds() - cpu) / events.max(1) as f64 * 1e6),
        ("per_event", (resident_mib() - resident) * f64::from(1 << 20) / events.max(1) as f64),
        ("peak", peak_mib()),
    ];
    (c, Figures::from(found))
}

/// Has the channel take a checkpoint, if there is anything to say in it.
fn checkpoint(c: &Arc<dyn Channel>, dir: &Path, soon: Keys<'_>, never: Keys<'_>) {
    let before = driver::count(c, "CheckpointCount");
    driver::adapt(c, dir, soon);
    let until = Instant::now() + Duration::from_millis(3 * SOON_MS);
    while driver::count(c, "CheckpointCount") == before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    driver::adapt(c, dir, never);
}

/// Opens what is there, checks how much that is, and takes `events` of it.
fn open(job: &Job) -> Done {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let c = driver::open(job.dir(), &backlog_keys(NEVER_MS, driver::TAKE));
    let mut found = Figures::from([
        ("open", began.elapsed().as_secs_f64()),
        ("open_cpu", cpu_seconds() - cpu),
        ("open_peak", peak_mib()),
    ]);
    assert_eq!(c.backlog(), job.n("backlog"), "events that were recovered");
    let events = job.n("events");
    let (began, cpu) = (Instant::now(), cpu_seconds());
    driver::take_numbered(&c, job.n("first") as u64, events as u64);
    if events > 0 {
        found.extend([
            ("rate", events as f64 / began.elapsed().as_secs_f64()),
            ("cpu", (cpu_seconds() - cpu) / events as f64 * 1e6),
        ]);
    }
    found.insert("peak", peak_mib());
    (c, found)
}

/// A child that holds its channel open.
pub struct Held(Child);

impl Held {
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has a child do a job. What it found, and the child, if it is to hold.
pub fn run(plan: &Plan, job: &Value) -> Result<(Found, Option<Held>), String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(me);
    command.arg("--child").arg(job.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    slow(&mut command, plan);
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let mut line = String::new();
    let out = child.stdout.take().expect("stdout is piped");
    BufReader::new(out).read_line(&mut line).map_err(|e| e.to_string())?;
    let found: BTreeMap<String, f64> =
        serde_json::from_str::<BTreeMap<String, f64>>(&line).map_err(|_| format!("a run failed: {job}"))?;
    if job["hold"] == true {
        return Ok((found, Some(Held(child))));
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("a run ended with {status}: {job}"));
    }
    Ok((found, None))
}

/// Slows the syncs of a program, where that is asked for.
pub fn slow(command: &mut Command, plan: &Plan) {
    if let Some((library, us)) = &plan.slowsync {
        command.env("LD_PRELOAD", library).env("SLOWSYNC_US", us.to_string());
    }
}
