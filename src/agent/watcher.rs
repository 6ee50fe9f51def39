//! The thread `reload`: looks now and then whether the configuration has changed, reads it when it has or when asked
//! to, and hands the result to the main thread.
//!
//! A thread of its own because reading may wait: for a web server, for a command that knows a password.

use super::Asked;
use crate::config::{Loader, Problems};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::time::Duration;

/// How long after the first sign of a change the configuration is read: whoever writes it may not be through.
const SETTLE: Duration = Duration::from_millis(500);

/// What is sent to the result has the configuration read at once. `every`: how often to look; `None`: never.
pub fn watch(mut loader: Loader, every: Option<Duration>, to: Sender<Asked>) -> io::Result<Sender<()>> {
    let (ask, asked) = channel();
    let body = move || loop {
        let wanted = match every {
            Some(every) => asked.recv_timeout(every),
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let again = match wanted {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => {
                let changed = loader.has_changed();
                if changed {
                    std::thread::park_timeout(SETTLE);
                }
                changed
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if again {
            let mut problems = Problems::default();
            let loaded = catch_unwind(AssertUnwindSafe(|| loader.load(&mut problems)));
            let plan = loaded.unwrap_or_else(|_| {
                log::error!("a panic while the configuration was read");
                None
            });
            let _ = to.send(Asked::Apply(plan.map(Box::new), problems));
        }
    };
    std::thread::Builder::new().name("reload".into()).spawn(body)?;
    Ok(ask)
}
