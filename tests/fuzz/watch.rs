//! The watchdog: ends the process when an input takes too long, or more memory than there may be.
//!
//! A thread of its own looks every few milliseconds at what is being run. It saves the input, prints how to run it again
//! and exits, because a thread that hangs cannot be ended otherwise. One lock, held for a copy of the input.

use crate::memory;
use crate::report;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No input may take longer, on the slowest machine and without optimisation.
const LONGEST: Duration = Duration::from_secs(10);

struct Running {
    target: &'static str,
    input: Vec<u8>,
    began: Instant,
    is_on: bool,
}

static NOW: Mutex<Option<Running>> = Mutex::new(None);

pub fn start() {
    std::thread::spawn(|| loop {
        std::thread::sleep(Duration::from_millis(20));
        let now = NOW.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(r) = now.as_ref().filter(|r| r.is_on) else { continue };
        let why = match (memory::is_above_ceiling(), r.began.elapsed() > LONGEST) {
            (true, _) => "asks for more memory than any input may".to_owned(),
            (_, true) => format!("takes longer than {} s", LONGEST.as_secs()),
            _ => continue,
        };
        report::failed(r.target, &r.input, &why);
        crate::files::remove_all();
        std::process::exit(1);
    });
}

/// An input is about to be run.
pub fn begin(target: &'static str, input: &[u8]) {
    let mut now = NOW.lock().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    let r = now.get_or_insert_with(|| Running { target, input: Vec::new(), began, is_on: true });
    (r.target, r.began, r.is_on) = (target, began, true);
    r.input.clear();
    r.input.extend_from_slice(input);
}

/// It has come back.
pub fn end() {
    if let Some(r) = NOW.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        r.is_on = false;
    }
}
