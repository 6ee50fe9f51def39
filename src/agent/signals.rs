//! Signals: SIGHUP reads the configuration anew, the first SIGTERM or SIGINT stops the agent in order, the second ends
//! it at once.
//!
//! A thread of their own, `signals`, because the main thread may be waiting for sinks when the second one comes.

use super::Asked;
use crate::lifecycle::CUT_SHORT;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::Sender;

/// `tx` hears of the first signal to stop, and of every one to reload.
pub fn watch(tx: Sender<Asked>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2])?;
    let body = move || {
        let mut stopping = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                let _ = tx.send(Asked::Reload);
            } else if [SIGQUIT, SIGUSR1, SIGUSR2].contains(&signal) {
                // A JVM prints its threads on SIGQUIT and lives on; the habit must not cost a memory channel here.
                log::warn!("signal {signal} ignored: /metrics and /healthz tell the agent's state");
            } else if std::mem::replace(&mut stopping, true) {
                log::error!("second signal: ended at once, what is in memory is lost");
                std::process::exit(i32::from(CUT_SHORT));
            } else {
                let _ = tx.send(Asked::Stop);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(body)?;
    Ok(())
}
