//! What the disk can do, by tests/bench/loadgen: synced appends, and a bare group commit.

use crate::child::slow;
use crate::figures::{Column, Found, Report};
use crate::machine::TempDir;
use crate::Plan;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const BUILD: &str = "cargo build --release --manifest-path tests/bench/loadgen/Cargo.toml";
/// Seconds of a measurement.
const SECONDS: &str = "1";

/// The load generator, if it was built: in a shared target directory or in its own.
fn program() -> Option<PathBuf> {
    let shared = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/loadgen/target");
    let at = |dir: PathBuf| dir.join("release/loadgen");
    shared.into_iter().chain([own]).map(at).find(|p| p.exists())
}

/// The figures that loadgen prints, or none where it was not built.
fn loadgen(plan: &Plan, words: &[&str]) -> Option<Found> {
    let dir = TempDir::new(&plan.dir);
    let mut command = Command::new(program()?);
    command.args(words).args(["--max-secs", SECONDS, "--out"]).arg(dir.0.join("limit"));
    slow(&mut command, plan);
    let out = command.output().ok()?;
    let printed: Value = serde_json::from_slice(&out.stdout).ok()?;
    let number = |(k, v): (&String, &Value)| Some((k.clone(), v.as_f64()?));
    Some(printed.as_object()?.iter().filter_map(number).collect())
}

/// Events per second of a bare group commit on a file written before: the most a row can have.
pub fn commit(plan: &Plan, size: usize, batch: usize, committers: usize) -> Option<f64> {
    let [size, batch, committers] = [size, batch, committers].map(|n| n.to_string());
    let words = ["commit", "--how", "zeroed", "--size", &size, "--batch", &batch, "--conns", &committers];
    loadgen(plan, &words)?.get("events_per_s").copied()
}

pub fn rows(plan: &Plan, report: &Report) -> Result<(), String> {
    if program().is_none() {
        report.say(&format!("limits: left out, loadgen is not built: {BUILD}"));
        return Ok(());
    }
    let mut sizes = vec![4096];
    for size in plan.sizes(&[500]) {
        sizes.extend(plan.batches(&[100, 1000]).iter().map(|batch| batch * size));
    }
    let columns = [
        Column("ops_per_s", 1.0, 0, "syncs/s"),
        Column("mb_per_s", 1.0, 0, "MB/s"),
        Column("p50_us", 1.0, 0, "us median"),
        Column("p99_us", 1.0, 0, "us p99"),
    ];
    for (how, words) in [("written before", "zeroed"), ("growing", "append")] {
        for size in &sizes {
            let size = size.to_string();
            let run = |_| loadgen(plan, &["disk", "--how", words, "--size", &size]);
            let runs: Option<Vec<Found>> = (0..plan.runs).map(run).collect();
            let runs = runs.ok_or("loadgen found nothing")?;
            report.row("limits", &format!("synced appends of {size} B, {how}"), &runs, &columns);
        }
    }
    Ok(())
}
