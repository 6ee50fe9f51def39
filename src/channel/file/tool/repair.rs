//! `flumed tool channel repair`: what keeps a channel from starting, or will never be read, is taken out of the way.
//!
//! - A torn tail is cut off: only where the checkpoints were looked at, as they may know that it was synced.
//! - A segment without a whole header, a damaged identity file and damaged checkpoints are renamed to `damaged-<name>`.
//! - An identity file that is damaged or missing is written anew, from the headers of the segments.
//! - Temporary files that a crash left are removed; one that is a whole checkpoint is not.
//! - Damage inside a segment stays, the channel passes over it; a copy is kept, as the channel does.
//!
//! Frames are never touched. All is planned first; each step is made durable before the next one begins, and a repair
//! that was cut short is done by another one.

use super::super::checkpoint::Checkpoint;
use super::super::fs::{Fs, RealFs};
use super::super::identity::{self, Identity};
use super::super::salvage;
use super::super::scan::File;
use super::super::segment::{segment_name, Id, NotASegment};
use super::{at, failed, DirFound, Opened, Place, Result, ToolError};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

const TEMPORARY: &str = ".tmp";
/// A temporary file that the channel can use.
const CHECKPOINT: &str = "checkpoint.tmp";

/// One step. Names are in `dir`.
struct Step<'a> {
    dir: &'a Path,
    does: Action<'a>,
}

enum Action<'a> {
    /// Keeps a copy of the end of a segment, and cuts it off.
    Cut(&'a File, Range<u64>),
    /// Keeps a copy of damaged bytes.
    Copy(&'a File, Range<u64>),
    SetAside(String),
    /// Keeps a copy of a file that will be written over.
    Keep(String),
    Identify(Identity),
    Remove(String),
}

/// Prints what is to be done and, if `does`, does it.
pub fn repair(place: &Place, does: bool, out: &mut dyn Write) -> Result<()> {
    run(&RealFs, place, does, out)
}

pub(in crate::channel::file) fn run(
    fs: &dyn Fs,
    place: &Place,
    does: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let all = Opened::open(fs, place)?;
    all.refuse_strangers()?;
    let mut steps = Vec::new();
    for d in &all.dirs {
        identify(&all, place, d, &mut steps)?;
    }
    segments(&all, &mut steps, out)?;
    for c in &all.checkpoints {
        for (name, why) in &c.bad {
            match why {
                NotASegment::Newer(v) => {
                    let path = c.path.join(name);
                    return failed(format!("{} has format version {v}, of a newer flumed", path.display()));
                }
                NotASegment::Damaged => {
                    steps.push(Step { dir: &c.path, does: Action::SetAside(name.clone()) })
                }
            }
        }
    }
    let data = all.dirs.iter().map(|d| (&d.path, &d.names));
    for (dir, names) in data.chain(all.checkpoints.iter().map(|c| (&c.path, &c.names))) {
        for name in names.iter().filter(|n| n.ends_with(TEMPORARY)) {
            if name != CHECKPOINT || !is_checkpoint(fs, &dir.join(name))? {
                steps.push(Step { dir, does: Action::Remove(name.clone()) });
            }
        }
    }
    for step in &steps {
        match does {
            false => writeln!(out, "would {}", step.words())?,
            true => {
                let kept = step.take(fs)?;
                writeln!(out, "{}{kept}", step.words())?;
            }
        }
    }
    match (steps.is_empty(), does) {
        (true, _) => writeln!(out, "nothing to repair")?,
        (false, false) => writeln!(out, "nothing was changed; --yes does it")?,
        (false, true) => {}
    }
    Ok(())
}

fn is_checkpoint(fs: &dyn Fs, path: &Path) -> Result<bool> {
    let file = fs.open(path, false).map_err(at(path))?;
    let mut bytes = vec![0; file.len().map_err(at(path))?.min(1 << 30) as usize];
    let n = super::super::segment::read_full(file.as_ref(), &mut bytes, 0).map_err(at(path))?;
    Ok(!matches!(Checkpoint::decode(&bytes[..n]), Err(NotASegment::Damaged)))
}

/// Torn tails, damage, and segments that are none.
fn segments<'a>(all: &'a Opened, steps: &mut Vec<Step<'a>>, out: &mut dyn Write) -> Result<()> {
    let good = all.good_checkpoints();
    let whole = all.replay(None, &mut |_, _, _| true)?;
    let by_newest = match good.iter().find(|c| all.fits(c)) {
        Some(c) => Some(all.replay(Some(c), &mut |_, _, _| true)?),
        None => None,
    };
    for (i, d) in all.dirs.iter().enumerate() {
        let file = |seq: u64| d.listed.files.iter().find(|f| f.seq == seq);
        for name in &d.listed.bad {
            steps.push(Step { dir: &d.path, does: Action::SetAside(name.clone()) });
        }
        for damage in &whole.scanned[i].damage {
            let is_kept = d.names.contains(&format!("damaged-{}-{}", damage.seq, damage.range.start));
            if let (Some(f), false) = (file(damage.seq), is_kept) {
                steps.push(Step { dir: &d.path, does: Action::Copy(f, damage.range.clone()) });
            }
        }
        let scanned = by_newest.as_ref().map_or(&whole.scanned[i], |r| &r.scanned[i]);
        let Some((seq, range)) = &scanned.torn else { continue };
        let Some(f) = file(*seq) else { continue };
        let is_known = |c: &&&Checkpoint| {
            let mut its = c.dirs.iter().filter(|of| d.ids.is_some_and(|ids| ids.1 == of.id));
            its.any(|of| of.position.seq == *seq && of.position.offset > range.start)
        };
        if all.checkpoints.is_empty() {
            let (path, from) = (f.path.display(), range.start);
            writeln!(out, "{path} has a torn tail at byte {from}; it is cut off if --checkpoint is given")?;
        } else if good.iter().find(is_known).is_none() {
            steps.push(Step { dir: &d.path, does: Action::Cut(f, range.clone()) });
        }
    }
    Ok(())
}

/// The identity file of a directory, if that is not in order.
fn identify<'a>(all: &'a Opened, place: &Place, d: &'a DirFound, steps: &mut Vec<Step<'a>>) -> Result<()> {
    match &d.identity {
        Some(Ok(_)) => return Ok(()),
        Some(Err(NotASegment::Newer(v))) => {
            let path = d.path.join(identity::NAME);
            return failed(format!("{} has format version {v}, of a newer flumed", path.display()));
        }
        Some(Err(NotASegment::Damaged)) => {}
        None if d.listed.files.is_empty() => return Ok(()),
        None => {}
    }
    let whole = || all.dirs.iter().filter_map(|d| d.identity.as_ref()?.as_ref().ok());
    let configured = |of: &DirFound| {
        let path = all.dirs.iter().position(|x| x.path == of.path).and_then(|i| place.data_dirs.get(i));
        path.map_or_else(String::new, |p| p.display().to_string())
    };
    // Of a directory without segments only the others know.
    let by_others = || {
        let path = configured(d);
        whole().find_map(|i| i.dirs.iter().find(|(_, p)| *p == path).map(|(id, _)| (i.channel, *id)))
    };
    let name = identity::NAME.to_owned();
    let Some((channel, dir)) = d.ids.or_else(by_others) else {
        // Empty and unknown to all: it gets an identity at the next start.
        steps.push(Step { dir: &d.path, does: Action::SetAside(name) });
        return Ok(());
    };
    if d.identity.is_some() {
        steps.push(Step { dir: &d.path, does: Action::Keep(name) });
    }
    let listed = whole().find(|i| i.dirs.iter().any(|(id, _)| *id == dir)).map(|i| i.dirs.clone());
    let given =
        || -> Vec<(Id, String)> { all.dirs.iter().filter_map(|x| Some((x.ids?.1, configured(x)))).collect() };
    let dirs = listed.unwrap_or_else(given);
    steps.push(Step { dir: &d.path, does: Action::Identify(Identity { channel, dir, dirs }) });
    Ok(())
}

impl Step<'_> {
    fn words(&self) -> String {
        let dir = self.dir.display();
        match &self.does {
            Action::Cut(f, r) => {
                format!("cut {dir}/{} off at byte {}, a torn tail", segment_name(f.seq), r.start)
            }
            Action::Copy(f, r) => {
                format!(
                    "keep a copy of the damage in {dir}/{}, bytes {} to {}",
                    segment_name(f.seq),
                    r.start,
                    r.end
                )
            }
            Action::SetAside(name) => format!("set {dir}/{name} aside, which is damaged"),
            Action::Keep(name) => format!("keep a copy of {dir}/{name}, which is damaged"),
            Action::Identify(i) => {
                format!("write {dir}/{} for channel {}", identity::NAME, identity::short(&i.channel))
            }
            Action::Remove(name) => format!("remove {dir}/{name}, which a crash left"),
        }
    }

    /// Does it; what there is to be said of copies.
    fn take(&self, fs: &dyn Fs) -> Result<String> {
        let dir = self.dir;
        match &self.does {
            Action::Cut(f, r) => {
                let kept = keep(fs, dir, f, r, "torn")?;
                let file = fs.open(&f.path, true).map_err(at(&f.path))?;
                file.set_len(r.start).and_then(|()| file.sync()).map_err(at(&f.path))?;
                Ok(format!("; the bytes are kept in {}", kept.display()))
            }
            Action::Copy(f, r) => Ok(format!(": {}", keep(fs, dir, f, r, "damaged")?.display())),
            Action::SetAside(name) => {
                let to = free(fs, dir, &format!("damaged-{name}"))?;
                fs.rename(&dir.join(name), &to)
                    .and_then(|()| fs.sync_dir(dir))
                    .map_err(at(&dir.join(name)))?;
                Ok(format!("; it is kept as {}", to.display()))
            }
            Action::Keep(name) => {
                let (path, to) = (dir.join(name), free(fs, dir, &format!("damaged-{name}"))?);
                let file = fs.open(&path, false).map_err(at(&path))?;
                let all = 0..file.len().map_err(at(&path))?;
                salvage::copy(fs, &to, file.as_ref(), &all)
                    .and_then(|()| fs.sync_dir(dir))
                    .map_err(at(&to))?;
                Ok(format!(": {}", to.display()))
            }
            Action::Identify(i) => {
                i.write(fs, dir).map_err(at(&dir.join(identity::NAME)))?;
                Ok(String::new())
            }
            Action::Remove(name) => {
                match fs.remove(&dir.join(name)) {
                    // The identity's is written over by now.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    done => done.and_then(|()| fs.sync_dir(dir)).map_err(at(&dir.join(name)))?,
                }
                Ok(String::new())
            }
        }
    }
}

/// A name that nothing has yet.
fn free(fs: &dyn Fs, dir: &Path, name: &str) -> Result<PathBuf> {
    let taken = fs.list(dir).map_err(at(dir))?;
    let mut others = (2..).map(|n| format!("{name}-again-{n}"));
    let mut name = name.to_owned();
    while taken.contains(&name) {
        name =
            others.next().ok_or_else(|| ToolError::Failed(format!("{}: too many copies", dir.display())))?;
    }
    Ok(dir.join(name))
}

/// Copies bytes of a segment, durably.
fn keep(fs: &dyn Fs, dir: &Path, f: &File, r: &Range<u64>, what: &str) -> Result<PathBuf> {
    let path = free(fs, dir, &format!("{what}-{}-{}", f.seq, r.start))?;
    salvage::copy(fs, &path, f.file.as_ref(), r).and_then(|()| fs.sync_dir(dir)).map_err(at(&path))?;
    Ok(path)
}
