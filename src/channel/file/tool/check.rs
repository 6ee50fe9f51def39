//! `flumed tool channel check`: is everything there, and whole?
//!
//! Reads all segments and says of each directory what is in it and what is wrong with it; of each checkpoint whether it
//! is whole, fits the segments, and leads to the same live events. What a crash leaves is in order: a torn tail, a
//! transaction without its end, a checkpoint that was being written. Changes nothing.

use super::super::checkpoint::{Checkpoint, Position};
use super::super::frame::Kind;
use super::super::fs::{Fs, RealFs};
use super::super::identity::{self, short};
use super::super::intervals::Intervals;
use super::super::scan::{Damage, ScanError, Scanned};
use super::super::segment::{segment_name, NotASegment, BEGIN};
use super::marker::ImportState;
use super::{common, count, failed, less, Checkpoints, DirFound, Opened, Place, Replayed, Result};
use std::io::Write;

/// Prints what there is. `true`: there is damage.
pub fn check(place: &Place, out: &mut dyn Write) -> Result<bool> {
    run(&RealFs, place, out)
}

pub(in crate::channel::file) fn run(fs: &dyn Fs, place: &Place, out: &mut dyn Write) -> Result<bool> {
    let all = Opened::open(fs, place)?;
    if let Some(why) = all.dirs.iter().flat_map(|d| &d.listed.refused).find(|e| is_locked(e)) {
        // Nothing can be said of what cannot be read.
        return failed(why.to_string());
    }
    let mut frames = 0u64;
    let whole = all.replay(None, &mut |_, _, _| {
        frames += 1;
        true
    })?;
    let mut c = Check { all: &all, whole: &whole, live: whole.live.clone(), troubles: 0, out };
    c.compare_dirs()?;
    for d in &all.dirs {
        if let Ok(Some(ImportState::Begun { .. })) = ImportState::read(fs, &d.path) {
            writeln!(
                c.out,
                "note: an import of Flume's events was cut short; 'import --resume' goes on with it"
            )?;
        }
    }
    let mut lines = Vec::new();
    for store in &all.checkpoints {
        lines.push(c.store(store)?);
    }
    for (d, s) in all.dirs.iter().zip(&whole.scanned) {
        c.dir(d, s)?;
    }
    for line in lines.concat() {
        writeln!(c.out, "{line}")?;
    }
    if all.checkpoints.is_empty() {
        writeln!(c.out, "checkpoints: not looked at (--checkpoint names their directory)")?;
    }
    let (live, troubles) = (c.live.count(), c.troubles);
    let segments: usize = all.dirs.iter().map(|d| d.listed.files.len()).sum();
    let verdict = match troubles {
        0 => "no damage".to_owned(),
        n => count(n, "damage"),
    };
    let (dirs, segments) = (count(all.dirs.len() as u64, "data dir"), count(segments as u64, "segment"));
    writeln!(
        c.out,
        "{dirs}, {segments}, {}, {}: {verdict}",
        count(frames, "frame"),
        count(live, "live event")
    )?;
    Ok(troubles > 0)
}

fn is_locked(e: &ScanError) -> bool {
    matches!(e, ScanError::NoKey(_))
}

struct Check<'a> {
    all: &'a Opened,
    whole: &'a Replayed,
    /// What recovery would find to be live.
    live: Intervals,
    troubles: u64,
    out: &'a mut dyn Write,
}

impl Check<'_> {
    /// Directories of one channel, and all of them.
    fn compare_dirs(&mut self) -> Result<()> {
        let mut channels: Vec<_> = self.all.dirs.iter().filter_map(|d| Some((d, d.ids?.0))).collect();
        channels.dedup_by_key(|(_, id)| *id);
        if let [(a, first), (b, second), ..] = channels.as_slice() {
            let (a, b) = (a.path.display(), b.path.display());
            return failed(format!("{a} belongs to channel {}, {b} to {}", short(first), short(second)));
        }
        let given: Vec<_> = self.all.dirs.iter().filter_map(|d| Some(d.ids?.1)).collect();
        let known = self.all.dirs.iter().filter_map(|d| d.identity.as_ref()?.as_ref().ok());
        let mut told = Vec::new();
        for (id, path) in known.flat_map(|i| &i.dirs).filter(|(id, _)| !given.contains(id)) {
            if !told.contains(id) {
                told.push(*id);
                writeln!(
                    self.out,
                    "note: the channel has another data directory, {path}; what it says is missing here"
                )?;
            }
        }
        Ok(())
    }

    fn trouble(&mut self, what: &str) -> Result<()> {
        self.troubles += 1;
        Ok(writeln!(self.out, "  damage: {what}")?)
    }

    fn dir(&mut self, d: &DirFound, s: &Scanned) -> Result<()> {
        let whose = d.ids.map(|(c, id)| format!(": directory {} of channel {}", short(&id), short(&c)));
        writeln!(self.out, "{}{}", d.path.display(), whose.unwrap_or_default())?;
        let used: u64 = s.infos.values().filter_map(|i| i.end).sum();
        let size: u64 = d.listed.files.iter().map(|f| f.size).sum();
        let live = common(&s.puts, &self.live).count();
        let (segments, put) = (d.listed.files.len(), s.puts.count());
        writeln!(
            self.out,
            "  segments {segments}, put frames {}, take frames {}",
            s.put_frames, s.take_frames
        )?;
        writeln!(self.out, "  events put {put}, taken {}, live {live}", put - live)?;
        writeln!(self.out, "  bytes used {used} of {size}")?;
        match &d.identity {
            None if d.listed.files.is_empty() => {}
            None => self.trouble("the file 'channel' is missing; 'repair' writes it anew")?,
            Some(Err(NotASegment::Damaged)) => {
                self.trouble("the file 'channel' is damaged; 'repair' writes it anew")?
            }
            Some(Err(NotASegment::Newer(v))) => self.trouble(&format!(
                "the file '{}' has format version {v}, of a newer flumed",
                identity::NAME
            ))?,
            Some(Ok(_)) => {}
        }
        for name in &d.listed.bad {
            self.trouble(&format!("{name} has no whole header: its events cannot be told"))?;
        }
        for why in &d.listed.refused {
            self.trouble(&why.to_string())?;
        }
        for damage in &s.damage {
            self.trouble(&describe(damage))?;
        }
        if s.dropped_chains > 0 {
            let n = count(s.dropped_chains, "transaction");
            writeln!(self.out, "  {n} without an end: never acknowledged, dropped")?;
        }
        if let Some((seq, r)) = &s.torn {
            let name = segment_name(*seq);
            writeln!(
                self.out,
                "  torn tail: {name} from byte {} on; a write that a power cut tore, or damage to the last frames: that cannot be told",
                r.start
            )?;
        }
        Ok(())
    }

    /// What is to be said of a directory of checkpoints; sets what is live.
    fn store(&mut self, store: &Checkpoints) -> Result<Vec<String>> {
        let mut lines = vec![store.path.display().to_string()];
        for (name, why) in &store.bad {
            lines.push(match why {
                NotASegment::Newer(v) => {
                    self.troubles += 1;
                    format!("  damage: {name} has format version {v}, of a newer flumed")
                }
                // One at a time is written over, in place of the oldest.
                NotASegment::Damaged if store.bad.len() == 1 && !store.good.is_empty() => {
                    format!("  {name} is not whole: it was being written, or is damaged; there are others")
                }
                NotASegment::Damaged => {
                    self.troubles += 1;
                    format!("  damage: {name} is no whole checkpoint")
                }
            });
        }
        if store.good.is_empty() && store.bad.is_empty() {
            lines.push("  no checkpoint".to_owned());
        }
        let ours = self.all.good_checkpoints();
        let newest = ours.iter().find(|c| self.all.fits(c)).map(|c| c.seq);
        for c in &store.good {
            if !ours.iter().any(|x| x.channel == c.channel) {
                self.troubles += 1;
                lines.push(format!("  damage: checkpoint {} is of another channel", c.seq));
                continue;
            }
            let (is_good, what) = self.judge(c, newest)?;
            self.troubles += u64::from(!is_good);
            let mark = if is_good { "" } else { "damage: " };
            lines.push(format!("  {mark}checkpoint {}, {}: whole, {what}", c.seq, super::time(c.time)));
        }
        Ok(lines)
    }

    /// Compares a checkpoint with what all segments say.
    fn judge(&mut self, c: &Checkpoint, newest: Option<u64>) -> Result<(bool, String)> {
        let mut there = Intervals::default();
        self.whole.scanned.iter().for_each(|s| there.insert_all(&s.puts));
        if !self.all.fits(c) {
            let mut lost = less(&c.live, &there);
            self.whole.scanned.iter().for_each(|s| lost.remove_all(&s.takes));
            // An older one that does not fit has been overtaken.
            let is_newer = newest.is_none_or(|seq| seq < c.seq);
            return Ok(match is_newer && !lost.is_empty() {
                false => (true, "does not fit the segments, is not used".to_owned()),
                true => {
                    let n = count(lost.count(), "event");
                    (false, format!("does not fit the segments; {n} live by it in no segment: {lost}"))
                }
            });
        }
        let is_newest = newest == Some(c.seq);
        let by_it = self.all.replay(Some(c), &mut |_, _, _| true)?.live;
        let (lost, again) = (less(&by_it, &there), less(&self.whole.live, &by_it));
        let taken = less(&common(&by_it, &there), &self.whole.live);
        if is_newest {
            self.live = less(&by_it, &lost);
        }
        let mut wrong = Vec::new();
        if let Some(at) = self.short_of(c) {
            wrong.push(format!("{} ends before it, at byte {}", segment_name(at.seq), at.offset));
        }
        for (set, what) in [(&lost, "in no segment"), (&taken, "taken by older frames")] {
            if !set.is_empty() {
                wrong.push(format!("{} live by it {what}: {set}", count(set.count(), "event")));
            }
        }
        Ok(match (wrong.is_empty(), again.is_empty()) {
            (true, true) => (true, "fits, the same live events as a full replay".to_owned()),
            (true, false) => {
                let n = count(again.count(), "event");
                (true, format!("fits; without it {n} would be delivered again: {again}"))
            }
            (false, _) => (false, format!("fits, but {}", wrong.join("; "))),
        })
    }

    /// Where a log ends before the position that a checkpoint has in it.
    fn short_of(&self, c: &Checkpoint) -> Option<Position> {
        let ends = self.all.dirs.iter().zip(&self.whole.scanned);
        ends.filter_map(|(d, s)| Some((d.ids?.1, s.end))).find_map(|(id, end)| {
            let there = c.dirs.iter().find(|d| d.id == id)?.position;
            (end < there && there.offset > BEGIN).then_some(end)
        })
    }
}

fn describe(d: &Damage) -> String {
    let (name, from, to) = (segment_name(d.seq), d.range.start, d.range.end);
    let what = match &d.header {
        Some(h) if h.kind == Kind::Put && h.count > 0 => {
            format!(
                "a put of {}: numbers {}-{}",
                count(u64::from(h.count), "event"),
                h.first,
                h.numbers().end - 1
            )
        }
        Some(h) if h.kind == Kind::Take => "it said which events were taken".to_owned(),
        Some(_) => "a frame without events".to_owned(),
        None => "what it held cannot be told".to_owned(),
    };
    format!("{name}, bytes {from} to {to}: {what}")
}
