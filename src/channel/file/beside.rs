//! What a Flume agent left in the same directories: its files are never touched, and a channel does not start over events
//! that they still hold.
//!
//! Starting anyway would strand those events without a word. `flumed tool channel import` takes them over and leaves a
//! marker; with that, or when nothing is left to deliver, they are left alone. Called by recovery, under the locks.

use super::settings::Fixed;
use super::tool::{import_state, undelivered_in_flume, ImportState};
use crate::channel::flume::is_flume_dir;
use std::io;

/// `Err`: why the channel must not start.
pub fn look(name: &str, fixed: &Fixed) -> Result<(), String> {
    let dirs = &fixed.data_dirs;
    let listed = || dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(",");
    let why = |e: io::Error| format!("{}: {e}", listed());
    let mut is_there = false;
    for dir in dirs {
        is_there |= is_flume_dir(dir).map_err(why)?;
    }
    for dir in dirs {
        match import_state(dir).map_err(why)? {
            Some(ImportState::Begun { .. }) => {
                return Err(format!(
                    "an import of Apache Flume's files into {} was cut short: 'flumed tool channel import --resume' \
                     finishes it",
                    listed()
                ));
            }
            Some(done) if is_there && done.is_of(dirs).map_err(why)? => {
                log::info!(
                    "channel {name}: the files of Apache Flume in {} are imported, and left alone",
                    listed()
                );
                return Ok(());
            }
            _ => {}
        }
    }
    if !is_there {
        return Ok(());
    }
    match undelivered_in_flume(&fixed.checkpoint_dir, dirs) {
        Ok(0) => {
            log::info!("channel {name}: a file channel of Apache Flume in {} is drained, and left alone", listed());
            Ok(())
        }
        Ok(n) => Err(format!(
            "{} hold {n} events that Apache Flume has not delivered: 'flumed tool channel import' takes them over",
            listed()
        )),
        Err(e) => Err(format!(
            "the files of Apache Flume in {} cannot be read: {e}; let Flume deliver them, or move them away",
            listed()
        )),
    }
}
