//! What is said at the end of an import.

use super::import::{Import, Imported};
use super::{count, Result};
use crate::channel::flume::{CheckpointUse, Undelivered};
use std::io::Write;

/// Places with damage that are printed.
const LISTED: usize = 20;

/// Prints it; says how the import ended. `skip`: events of an import that was cut short.
pub fn summary(
    job: &Import,
    theirs: &Undelivered,
    stored: u64,
    skip: u64,
    out: &mut dyn Write,
) -> Result<Imported> {
    let r = theirs.report();
    writeln!(out, "imported {}", count(stored, "event"))?;
    if skip > 0 {
        writeln!(out, "  of which {skip} were stored by the import that was cut short")?;
    }
    let checkpoint = match &r.checkpoint {
        CheckpointUse::NotGiven => "not given, everything was replayed".to_owned(),
        CheckpointUse::Used => "used".to_owned(),
        CheckpointUse::Bad(why) => format!("not used, everything was replayed: {why}"),
    };
    writeln!(out, "  Flume's checkpoint: {checkpoint}")?;
    writeln!(
        out,
        "  read: {}, {} bytes, {} puts, {} takes",
        count(r.files as u64, "file"),
        r.bytes,
        r.puts,
        r.takes
    )?;
    if r.open.transactions > 0 {
        writeln!(
            out,
            "  {} under way when Flume ended: {} put were never acknowledged and are left out, {} being delivered come \
             again",
            count(r.open.transactions, "transaction"),
            count(r.open.puts, "event"),
            count(r.open.takes, "event")
        )?;
    }
    let odd = [
        (r.unmatched_takes, "takes of events that are gone"),
        (r.blanked, "records blanked by Flume's own tool"),
    ];
    for (n, what) in odd.iter().filter(|(n, _)| *n > 0) {
        writeln!(out, "  {n} {what}")?;
    }
    for (list, what) in [(&r.torn, "unfinished end"), (&r.damage, "damage")] {
        for d in list.listed.iter().take(LISTED) {
            let (path, offset, bytes, why) = (d.path.display(), d.offset, d.bytes, d.why);
            writeln!(out, "  {what}: {path}, {bytes} bytes from {offset} on: {why}")?;
        }
        if list.regions > LISTED as u64 {
            let (n, bytes) = (list.regions, list.bytes);
            writeln!(out, "  {what}: {n} places in all, {bytes} bytes")?;
        }
    }
    if r.unreadable_events > 0 {
        writeln!(out, "  {} could not be read: lost", count(r.unreadable_events, "event"))?;
    }
    writeln!(out, "Flume's files are as they were; when the agent runs well these can be deleted by hand:")?;
    for dir in &job.data_dirs {
        let dir = dir.display();
        writeln!(out, "  {dir}/log-* {dir}/in_use.lock")?;
    }
    if let Some(dir) = &job.checkpoint_dir {
        let dir = dir.display();
        writeln!(
            out,
            "  {dir}/checkpoint {dir}/checkpoint.meta {dir}/inflight* {dir}/queueset {dir}/in_use.lock"
        )?;
    }
    let is_damaged = r.damage.regions > 0 || r.unreadable_events > 0;
    Ok(if is_damaged { Imported::WithDamage } else { Imported::All })
}
