//! `flumed tool channel stats`: how much there is, how old, how large, and which segments it keeps from being freed.
//!
//! Sizes and headers are those of all events in the segments, taken or not; an event's size is that of its body and its
//! headers' names and values. Sizes are kept by how often each occurs, so memory does not follow the backlog. Changes
//! nothing.

use super::super::frame::{Header, Kind};
use super::super::fs::{Fs, RealFs};
use super::super::payload::Names;
use super::super::scan::{scan_with, File};
use super::super::segment::segment_name;
use super::dump::escaped;
use super::{common, events_of, Opened, Place, Replayed, Result};
use crate::clock::now_ms;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Header names that are listed.
const LISTED: usize = 50;

/// Prints figures.
pub fn stats(place: &Place, out: &mut dyn Write) -> Result<()> {
    run(&RealFs, place, out)
}

pub(in crate::channel::file) fn run(fs: &dyn Fs, place: &Place, out: &mut dyn Write) -> Result<()> {
    let all = Opened::open(fs, place)?;
    all.refuse_strangers()?;
    let whole = all.recover()?;
    let mut seen = Seen::default();
    let mut names = Names::default();
    for d in &all.dirs {
        let mut hear = |_: &File, h: &Header, payload: &[u8]| {
            if h.kind == Kind::Put {
                seen.put(h, payload, &whole, &mut names);
            }
            true
        };
        scan_with(&d.listed.files, Default::default(), &BTreeMap::new(), &mut |_| true, &mut hear)?;
    }
    seen.print(&whole, out)?;
    segments(&all, &whole, out)
}

#[derive(Default)]
struct Seen {
    live_bytes: u64,
    /// When the oldest live event was put.
    oldest: Option<u64>,
    /// How many events have a size.
    sizes: BTreeMap<usize, u64>,
    headers: BTreeMap<&'static str, u64>,
    /// Frames whose events cannot be read.
    unreadable: u64,
}

impl Seen {
    fn put(&mut self, h: &Header, payload: &[u8], whole: &Replayed, names: &mut Names) {
        if whole.live.overlaps(h.numbers()) {
            self.oldest = Some(self.oldest.map_or(h.time, |t| t.min(h.time)));
        }
        let Some(batch) = events_of(h, payload, names) else {
            self.unreadable += 1;
            return;
        };
        for (n, e) in h.numbers().zip(batch.iter()) {
            let mut size = e.body().len();
            for (k, v) in e.headers() {
                size += k.name().len() + v.len();
                *self.headers.entry(k.name()).or_default() += 1;
            }
            *self.sizes.entry(size).or_default() += 1;
            if whole.live.covers(n..n + 1) {
                self.live_bytes += size as u64;
            }
        }
    }

    /// The size that this share of the events do not exceed.
    fn size_at(&self, percent: u64) -> usize {
        let all: u64 = self.sizes.values().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut passed = 0;
        let found = self.sizes.iter().find(|(_, n)| {
            passed += **n;
            passed >= wanted
        });
        found.map_or(0, |(size, _)| *size)
    }

    fn print(&self, whole: &Replayed, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "live events: {}", whole.live.count())?;
        writeln!(out, "live bytes: {}", self.live_bytes)?;
        let age = self.oldest.map(|t| Duration::from_millis(now_ms().saturating_sub(t)).as_secs());
        let age = age.map_or_else(|| "-".to_owned(), |s| format!("{s} s"));
        writeln!(out, "oldest live event: {age}")?;
        let (puts, takes) =
            whole.scanned.iter().fold((0, 0), |(p, t), s| (p + s.put_frames, t + s.take_frames));
        let events: u64 = self.sizes.values().sum();
        writeln!(out, "put frames: {puts}, take frames: {takes}")?;
        writeln!(out, "events: {events}, {:.1} a put frame", events as f64 / puts.max(1) as f64)?;
        let (min, max) = (self.sizes.keys().next(), self.sizes.keys().next_back());
        if let (Some(min), Some(max)) = (min, max) {
            let (median, p99) = (self.size_at(50), self.size_at(99));
            writeln!(out, "event sizes: min {min}, median {median}, p99 {p99}, max {max} bytes")?;
        }
        if self.unreadable > 0 {
            writeln!(out, "put frames that cannot be read: {}", self.unreadable)?;
        }
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), **name));
        for (name, n) in headers.iter().take(LISTED) {
            writeln!(out, "header {}: {n}", escaped(name.as_bytes()))?;
        }
        if headers.len() > LISTED {
            writeln!(out, "headers not listed: {}", headers.len() - LISTED)?;
        }
        Ok(())
    }
}

/// Each segment, how full it is, and what keeps it.
fn segments(all: &Opened, whole: &Replayed, out: &mut dyn Write) -> Result<()> {
    let mut keeps = BTreeMap::new();
    for (d, (dir, s)) in all.dirs.iter().zip(&whole.scanned).enumerate() {
        let last = dir.listed.files.last().map(|f| f.seq);
        for (seq, info) in &s.infos {
            let live = match info.puts.0 < info.puts.1 {
                true => common(&whole.live, &s.puts.within(info.puts.0..info.puts.1)).count(),
                false => 0,
            };
            let why = match (live, last == Some(*seq)) {
                (0, false) => None,
                (0, true) => Some("no, it is the last".to_owned()),
                (n, _) => Some(format!("no, {n} live")),
            };
            keeps.insert((d, *seq), (why, info.clone()));
        }
    }
    // What consumes events of a segment that stays must stay, too.
    loop {
        let stays: Vec<(u64, u64)> = keeps.values().filter(|k| k.0.is_some()).map(|k| k.1.puts).collect();
        let before = stays.len();
        for (why, info) in keeps.values_mut().filter(|k| k.0.is_none()) {
            let t = info.takes;
            if t.0 < t.1 && stays.iter().any(|p| p.0 < p.1 && p.0 < t.1 && t.0 < p.1) {
                *why = Some("not yet, it has takes of events in segments that stay".to_owned());
            }
        }
        if keeps.values().filter(|k| k.0.is_some()).count() == before {
            break;
        }
    }
    for (d, dir) in all.dirs.iter().enumerate() {
        writeln!(out, "{}", dir.path.display())?;
        for f in &dir.listed.files {
            let Some((why, info)) = keeps.get(&(d, f.seq)) else { continue };
            let used = info.end.unwrap_or(f.size);
            // Its end is what the next segment says, which may be anything.
            let percent = used.min(f.size) * 100 / f.size.max(1);
            let could = why.as_deref().unwrap_or("yes");
            writeln!(
                out,
                "  {}: {used} of {} bytes ({percent} %), could be freed: {could}",
                segment_name(f.seq),
                f.size
            )?;
        }
    }
    Ok(())
}
