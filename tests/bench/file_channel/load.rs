//! Rows of committers under load: with a taker on segments used before, without syncs, and alone on growing files.

use crate::figures::{Column, Found, Report};
use crate::machine::TempDir;
use crate::{child, limits, Plan};
use serde_json::json;

const BATCHES: [usize; 3] = [1, 100, 1000];

pub fn rows(plan: &Plan, report: &Report, wants: impl Fn(&str) -> bool) -> Result<(), String> {
    for part in ["steady", "unsynced", "growing"] {
        if !wants(part) {
            continue;
        }
        let is_slow = plan.slowsync.is_some();
        let sizes = if part == "steady" && !is_slow { &[100, 500, 10_240][..] } else { &[500] };
        let batches = if is_slow { &BATCHES[..2] } else { &BATCHES };
        let committers = if is_slow { [1, 8, 64] } else { [1, 4, 8] };
        for size in plan.sizes(sizes) {
            for batch in plan.batches(batches) {
                for committers in plan.committers(&committers) {
                    row(plan, report, part, (size, batch, committers))?;
                }
            }
        }
    }
    Ok(())
}

fn row(
    plan: &Plan,
    report: &Report,
    part: &str,
    (size, batch, committers): (usize, usize, usize),
) -> Result<(), String> {
    let mut runs: Vec<Found> = Vec::new();
    for _ in 0..plan.runs {
        let dir = TempDir::new(&plan.dir);
        let job = json!({
            "kind": "load", "dir": dir.0, "size": size, "batch": batch, "committers": committers,
            "threads": plan.threads, "look_us": plan.look_us, "seconds": plan.seconds, "unsynced": part == "unsynced", "grows": part == "growing",
        });
        let mut found = child::run(plan, &job)?.0;
        let mut share = |name: &str, of: f64| found.insert(name.to_owned(), found["rate"] / of * 100.0);
        if let Some((_, us)) = plan.slowsync {
            share("of_ceiling", (committers * batch) as f64 * 1e6 / us as f64);
        }
        if let Some(limit) = (part == "steady" && plan.has_limits)
            .then(|| limits::commit(plan, size, batch, committers))
            .flatten()
        {
            share("of_limit", limit);
            found.insert("limit".to_owned(), limit);
        }
        runs.push(found);
    }
    let mut columns = vec![
        Column("rate", 1e-6, 3, "M/s"),
        Column("cpu", 1.0, 2, "CPU s/M"),
        Column("peak", 1.0, 0, "MiB"),
        Column("syncs", 1.0, 0, "syncs/s"),
        Column("frames", 1.0, 1, "frames/sync"),
    ];
    let has = |name: &str| runs.iter().all(|r| r.contains_key(name));
    if has("of_ceiling") {
        columns.push(Column("of_ceiling", 1.0, 0, "% of committers x batch per sync's delay"));
    }
    if has("of_limit") {
        columns.push(Column("limit", 1e-6, 3, "M/s bare group commit,"));
        columns.push(Column("of_limit", 1.0, 0, "% of it"));
    }
    if part != "growing" {
        // Not 0: files grew although all was to be used before.
        columns.push(Column("grown", 1.0, 0, "MiB grown"));
    }
    let who = if committers == 1 { "committer" } else { "committers" };
    report.row(part, &format!("{size} B, batch {batch}, {committers} {who}"), &runs, &columns);
    Ok(())
}
