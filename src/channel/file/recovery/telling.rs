//! What recovery says of what it found: damage with its events, what is missing, and how it went. Damaged bytes are copied
//! aside here.

use super::super::checkpoint::Checkpoint;
use super::super::frame::Kind;
use super::super::intervals::Intervals;
use super::super::salvage;
use super::super::scan::Scanned;
use super::super::segment::segment_name;
use super::{Found, Recovery};
use std::time::Duration;

impl Recovery {
    /// Of what is live, takes out what no segment has.
    pub(super) fn less_missing(
        &self,
        c: Option<&Checkpoint>,
        scanned: &[Scanned],
        live: Intervals,
    ) -> Intervals {
        let mut there = Intervals::default();
        scanned.iter().for_each(|s| there.insert_all(&s.puts));
        let mut lost = live.clone();
        lost.remove_all(&there);
        if !lost.is_empty() {
            self.counters.damaged.add(lost.count() as usize);
            let (n, as_of) = (lost.count(), c.map_or(0, |c| c.seq));
            log::error!(
                "channel {}: {n} events are lost with missing segments: numbers {lost} (by checkpoint {as_of})",
                self.name
            );
        }
        let mut left = live;
        left.remove_all(&lost);
        left
    }

    pub(super) fn tell_damage(&self, found: &[Found], scanned: &[Scanned]) {
        for (f, s) in found.iter().zip(scanned) {
            for d in &s.damage {
                let Some(file) = f.files.iter().find(|x| x.seq == d.seq) else { continue };
                let fs = self.fs.as_ref();
                salvage::copy_aside(fs, &f.path, d.seq, file.file.as_ref(), d.range.clone(), &self.counters);
                let what = match &d.header {
                    Some(h) if h.kind == Kind::Put && h.count > 0 => {
                        self.counters.damaged.add(h.count as usize);
                        format!("{} events are lost: numbers {}-{}", h.count, h.first, h.numbers().end - 1)
                    }
                    Some(h) if h.kind == Kind::Take => {
                        "it said that events were taken: they may be delivered again".to_owned()
                    }
                    Some(_) => "it held no events".to_owned(),
                    None => "what it held cannot be told".to_owned(),
                };
                let (from, to) = (d.range.start, d.range.end);
                log::error!(
                    "channel {}: {} is damaged from byte {from} to {to}; {what}",
                    self.name,
                    file.path.display()
                );
            }
            if let Some((seq, r)) = &s.torn {
                let (name, path) = (segment_name(*seq), f.path.display());
                let at = r.start;
                log::info!(
                    "channel {}: {path}/{name} ends in a torn write at byte {at}, which is cut off",
                    self.name
                );
            }
        }
    }

    /// Numbers between those that were put which nothing says were taken. Without a checkpoint nobody knows whether they
    /// were delivered and their segments freed, or whether a segment is missing.
    pub(super) fn tell_gaps(&self, scanned: &[Scanned]) {
        let (mut puts, mut known) = (Intervals::default(), Intervals::default());
        scanned.iter().for_each(|s| puts.insert_all(&s.puts));
        scanned.iter().for_each(|s| known.insert_all(&s.takes));
        known.insert_all(&puts);
        let mut gaps = Intervals::default();
        gaps.insert(puts.iter().next().map_or(0, |r| r.start)..puts.end());
        gaps.remove_all(&known);
        if !gaps.is_empty() {
            log::warn!(
                "channel {}: of numbers {gaps} nothing is found: those events were refused, or delivered and their segments freed, or they are lost with missing segments; without a checkpoint that cannot be told",
                self.name
            );
        }
    }

    pub(super) fn tell(&self, took: Duration, c: Option<&Checkpoint>, scanned: &[Scanned], live: u64) {
        self.counters.recovery_ms.set(took.as_millis() as i64);
        self.counters.recovered.set(live as i64);
        let read: u64 = scanned.iter().map(|s| s.scanned_bytes).sum();
        let (puts, takes) = scanned.iter().fold((0, 0), |(p, t), s| (p + s.put_frames, t + s.take_frames));
        let base = c.map_or_else(|| "no checkpoint".to_owned(), |c| format!("checkpoint {}", c.seq));
        // Flume's words, which operators look for.
        log::info!(
            "Queue Size after replay: {live} [channel={}]; {base}, {puts} puts and {takes} takes in {read} bytes read, {:.3} s",
            self.name,
            took.as_secs_f64()
        );
    }
}
