//! What is printed and kept: the table, and inputs that failed with the command that runs them again.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

/// What came of one target.
#[derive(Default)]
pub struct Line {
    pub inputs: u64,
    pub time: Duration,
    /// Kinds of outcome that were seen.
    pub signatures: usize,
    /// The most bytes allocated at once, and of how large an input.
    pub peak: (usize, usize),
    pub slowest: Duration,
    pub has_failed: bool,
}

pub fn header() {
    println!(
        "{:20} {:>10} {:>9} {:>10} {:>10} {:>9} {:>9}",
        "target", "inputs", "inputs/s", "signatures", "peak KiB", "of bytes", "slowest"
    );
}

pub fn line(target: &str, l: &Line) {
    println!(
        "{target:20} {:10} {:9.0} {:10} {:10} {:9} {:6} ms{}",
        l.inputs,
        l.inputs as f64 / l.time.as_secs_f64().max(0.001),
        l.signatures,
        l.peak.0.div_ceil(1024),
        l.peak.1,
        l.slowest.as_millis(),
        if l.has_failed { "  FAILED" } else { "" }
    );
}

/// Keeps the input and says so.
pub fn failed(target: &str, input: &[u8], why: &str) {
    let mut hash = DefaultHasher::new();
    input.hash(&mut hash);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let path = dir.join(format!("{target}-{:016x}", hash.finish()));
    println!("{target}: an input of {} bytes {why}", input.len());
    match std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&path, input)) {
        Ok(()) => println!("  cargo test --test fuzz -- --target {target} --replay {}", path.display()),
        Err(e) => println!("  it cannot be kept in {}: {e}", path.display()),
    }
}
