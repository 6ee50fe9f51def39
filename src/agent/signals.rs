//! Signals: SIGHUP reads the configuration anew, the first SIGTERM or SIGINT stops the agent in order, the second ends
//! it at once. SIGXFSZ is survived: the write that went past a limit on file sizes fails, whose it is says so.
//!
//! A thread of their own, `signals`, because the main thread may be waiting for sinks when the second one comes. It takes
//! no lock and does not log by itself: a log that nobody reads holds up who writes to it, and must not hold up an end. A
//! thread more, `watchdog`, ends a stop that outlasts its deadline by far, whatever it is that hangs.

use super::Asked;
use crate::lifecycle::CUT_SHORT;
use nix::libc::SIGXFSZ;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// For a line to reach the log.
const LOGGED: Duration = Duration::from_millis(100);
/// What a stop may take beyond its deadline.
const GRACE: Duration = Duration::from_secs(3);
/// How often the watchdog looks at the clock: the limit may change.
const LOOK: Duration = Duration::from_millis(200);

/// Milliseconds that an ordered stop may take. Signals are the process's, and so is this.
static LIMIT: AtomicU64 = AtomicU64::new(3_600_000);

/// An ordered stop ends by itself within this time. May be changed at any time.
pub fn limit_stop(limit: Duration) {
    LIMIT.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), SeqCst);
}

/// `tx` hears of the first signal to stop, and of every one to reload.
pub fn watch(tx: Sender<Asked>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXFSZ])?;
    let body = move || {
        let mut stopping = false;
        let mut said = None;
        for signal in signals.forever() {
            if signal == SIGXFSZ {
                // To be handled is enough: the call returns EFBIG.
            } else if signal == SIGHUP {
                let _ = tx.send(Asked::Reload);
            } else if [SIGQUIT, SIGUSR1, SIGUSR2].contains(&signal) {
                // A JVM prints its threads on SIGQUIT and lives on; the habit must not cost a memory channel here.
                say(&mut said, move || {
                    log::warn!("signal {signal} ignored: /metrics and /healthz tell the agent's state");
                });
            } else if std::mem::replace(&mut stopping, true) {
                end(&mut said, "second signal: ended at once, what is in memory is lost");
            } else {
                let _ = tx.send(Asked::Stop);
                let watchdog = std::thread::Builder::new().name("watchdog".into());
                if let Err(e) = watchdog.spawn(|| guard(Instant::now())) {
                    say(&mut said, move || log::warn!("no thread to end a stop that hangs: {e}"));
                }
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(body)?;
    Ok(())
}

/// Ends the process when its stop does not.
fn guard(began: Instant) {
    while began.elapsed() < Duration::from_millis(LIMIT.load(SeqCst)).saturating_add(GRACE) {
        std::thread::sleep(LOOK);
    }
    end(&mut None, "the stop hangs beyond its deadline: ended at once, what is in memory is lost");
}

/// Ends the process: no hook at its exit may hang.
fn end(said: &mut Option<Receiver<()>>, why: &'static str) -> ! {
    say(said, move || log::error!("{why}"));
    low_level::exit(i32::from(CUT_SHORT))
}

/// Logs on a thread that may hang; waits for it a moment. One at most hangs.
fn say(said: &mut Option<Receiver<()>>, line: impl FnOnce() + Send + 'static) {
    if said.as_ref().is_some_and(|s| s.recv_timeout(LOGGED) == Err(RecvTimeoutError::Timeout)) {
        return;
    }
    let (tx, rx) = channel();
    let body = move || {
        line();
        drop(tx);
    };
    if std::thread::Builder::new().name("signals:log".into()).spawn(body).is_ok() {
        let _ = rx.recv_timeout(LOGGED);
        *said = Some(rx);
    }
}
