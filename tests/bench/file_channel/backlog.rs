//! Rows of events that stay on disk: draining them, opening a channel that has them, the memory they take.

use crate::figures::{Column, Found, Report};
use crate::machine::{self, TempDir};
use crate::{child, Plan};
use serde_json::json;
use std::path::Path;

pub type Rows = fn(&Plan, &Report) -> Result<(), String>;

const M: usize = 1_000_000;

/// A channel on disk whose events are numbered from `first` up to `end`.
struct Backlog<'a> {
    plan: &'a Plan,
    dir: TempDir,
    size: usize,
    batch: usize,
    first: usize,
    end: usize,
}

impl Backlog<'_> {
    /// Builds one and closes it.
    fn build(plan: &Plan, size: usize, batch: usize, events: usize) -> Result<(Backlog<'_>, Found), String> {
        let mut b = Backlog { plan, dir: TempDir::new(&plan.dir), size, batch, first: 0, end: 0 };
        let (found, _) = b.put(events, false)?;
        Ok((b, found))
    }

    fn put(&mut self, events: usize, hold: bool) -> Result<(Found, Option<child::Held>), String> {
        let job = json!({
            "kind": "build", "dir": self.dir.0, "size": self.size, "batch": self.batch, "first": self.end,
            "events": events, "checkpoint": hold, "hold": hold,
        });
        self.end += events;
        child::run(self.plan, &job)
    }

    /// Takes a checkpoint, puts events, and dies.
    fn put_and_kill(&mut self, events: usize) -> Result<(), String> {
        self.put(events, true)?.1.expect("it holds").kill();
        Ok(())
    }

    fn delete_checkpoints(&self) {
        for path in machine::files(&self.dir.0.join("checkpoint")) {
            std::fs::remove_file(path).expect("a checkpoint");
        }
    }

    /// Opens it, takes that many, closes it.
    fn open(&mut self, events: usize) -> Result<Found, String> {
        let job = json!({
            "kind": "open", "dir": self.dir.0, "backlog": self.end - self.first, "first": self.first, "events": events,
        });
        self.first += events;
        Ok(child::run(self.plan, &job)?.0)
    }
}

fn events(n: usize) -> String {
    format!("{} M", n as f64 / M as f64)
}

pub fn drain(plan: &Plan, report: &Report) -> Result<(), String> {
    let columns =
        [Column("rate", 1e-6, 3, "M/s"), Column("cpu", 1.0, 2, "CPU s/M"), Column("peak", 1.0, 0, "MiB")];
    for size in plan.sizes(&[100, 500, 10_240]) {
        for batch in plan.batches(&[1, 1000]) {
            // As many bytes of large events.
            let most = if size > 1000 { M / 10 } else { 2 * M };
            for n in plan.backlogs(&[most]) {
                let mut runs = Vec::new();
                for _ in 0..plan.runs {
                    let (mut b, _) = Backlog::build(plan, size, batch, n)?;
                    runs.push(b.open(n)?);
                }
                let label = format!("{size} B, put by {batch}, {} taken by 1000", events(n));
                report.row("drain", &label, &runs, &columns);
            }
        }
    }
    Ok(())
}

/// How a channel was left.
#[derive(Clone, Copy)]
enum End {
    Closed,
    ClosedWithoutCheckpoint,
    /// So many events after the last checkpoint.
    Killed(usize),
    KilledWithoutCheckpoint(usize),
}

impl End {
    fn label(self) -> String {
        match self {
            End::Closed => "clean".to_owned(),
            End::ClosedWithoutCheckpoint => "clean, no checkpoint".to_owned(),
            End::Killed(n) => format!("killed {} after checkpoint", events(n)),
            End::KilledWithoutCheckpoint(_) => "killed, no checkpoint".to_owned(),
        }
    }
}

/// Prepares the cache for an opening.
type Cache = fn(&Path);

fn cold(_: &Path) {
    machine::drop_caches().expect("it could be dropped before");
}

pub fn recovery(plan: &Plan, report: &Report) -> Result<(), String> {
    let columns = [
        Column("open", 1.0, 3, "s"),
        Column("open_cpu", 1.0, 3, "CPU s"),
        Column("open_peak", 1.0, 0, "MiB"),
    ];
    let mut caches: Vec<(&str, Cache)> = vec![("warm", machine::warm)];
    match machine::drop_caches() {
        Ok(()) => caches.push(("cold", cold)),
        Err(why) => report.say(&format!("recovery: rows with a cold cache are left out: {why}")),
    }
    for size in plan.sizes(&[500]) {
        for n in plan.backlogs(&[M / 10, M, 10 * M]) {
            let (mut b, _) = Backlog::build(plan, size, 1000, n)?;
            let since = n.min(M / 10);
            let mut ends = vec![
                End::Closed,
                End::ClosedWithoutCheckpoint,
                End::KilledWithoutCheckpoint(since),
                End::Killed(0),
            ];
            let mut since = vec![since, n.min(M)];
            since.dedup();
            ends.extend(since.into_iter().map(End::Killed));
            for end in ends {
                for (cache, prepare) in &caches {
                    let run = |_| left(&mut b, end, *prepare);
                    let runs = (0..plan.runs).map(run).collect::<Result<Vec<_>, _>>()?;
                    let label = format!("{} of {size} B, {}, {cache}", events(n), end.label());
                    report.row("recovery", &label, &runs, &columns);
                }
            }
        }
    }
    Ok(())
}

/// Leaves the channel in that way and opens it. It has as many events in the end as before.
fn left(b: &mut Backlog<'_>, end: End, prepare: Cache) -> Result<Found, String> {
    let more = match end {
        End::Closed | End::ClosedWithoutCheckpoint => 0,
        End::Killed(n) | End::KilledWithoutCheckpoint(n) => {
            b.put_and_kill(n)?;
            n
        }
    };
    if matches!(end, End::ClosedWithoutCheckpoint | End::KilledWithoutCheckpoint(_)) {
        b.delete_checkpoints();
    }
    prepare(&b.dir.0);
    b.open(more)
}

/// The memory of an event is what the process has more when they are all there, by their number: it is nothing that each
/// of them needs if it falls as the number grows.
pub fn memory(plan: &Plan, report: &Report) -> Result<(), String> {
    for size in plan.sizes(&[500]) {
        for n in plan.backlogs(&[M, 10 * M]) {
            for batch in plan.batches(&[1, 1000]) {
                let mut runs = Vec::new();
                for _ in 0..plan.runs {
                    runs.push(peaks(plan, size, batch, n)?);
                }
                let columns = [
                    Column("per_event", 1.0, 2, "B an event;"),
                    Column("build", 1.0, 0, "MiB at most building,"),
                    Column("clean", 1.0, 0, "recovering a clean stop,"),
                    Column("replay", 1.0, 0, "without checkpoint,"),
                    Column("drain", 1.0, 0, "draining;"),
                    Column("clean_s", 1.0, 3, "s clean,"),
                    Column("replay_s", 1.0, 3, "s without checkpoint"),
                ];
                report.row(
                    "memory",
                    &format!("{} of {size} B in batches of {batch}", events(n)),
                    &runs,
                    &columns,
                );
            }
        }
    }
    Ok(())
}

fn peaks(plan: &Plan, size: usize, batch: usize, n: usize) -> Result<Found, String> {
    let (mut b, built) = Backlog::build(plan, size, batch, n)?;
    let clean = b.open(0)?;
    b.put_and_kill(0)?;
    b.delete_checkpoints();
    let replayed = b.open(0)?;
    let drained = b.open(n)?;
    let found = [
        ("per_event", built["per_event"]),
        ("build", built["peak"]),
        ("clean", clean["open_peak"]),
        ("clean_s", clean["open"]),
        ("replay", replayed["open_peak"]),
        ("replay_s", replayed["open"]),
        ("drain", drained["peak"]),
    ];
    Ok(found.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}
