//! `flumed tool channel dump`: the frames of a channel, a line each, and the events in them.
//!
//! ```text
//! segment-N OFFSET KIND FLAGS NUMBERS TIME BYTES
//!   NUMBER live|taken|dropped {NAME=VALUE, ...} BODY
//! ```
//!
//! Numbers of a put are those of its events, of a take those it took; of a start the segment before, if there was one,
//! and where that ends.
//! Flags: `-`, `goes-on`, `follows`, or both. Damaged places stand where they are. What is live is what recovery would
//! find. The segments are read twice: an event's take may stand anywhere.

use super::super::frame::{decode_take, u64_at, Header, Kind, FOLLOWS, GOES_ON};
use super::super::fs::{Fs, RealFs};
use super::super::intervals::Intervals;
use super::super::payload::Names;
use super::super::scan::{scan_with, Damage, File, ScanError};
use super::super::segment::segment_name;
use super::{events_of, time, Opened, Place, Result, ToolError};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// What to print.
#[derive(Clone, Default, Debug)]
pub struct Dump {
    /// The events of each put, too.
    pub events: bool,
    /// Only puts with events that are not taken, and those events.
    pub live: bool,
    /// Bodies as hexadecimal digits.
    pub hex: bool,
    /// Only this segment.
    pub segment: Option<u64>,
    /// Only events from this number on, and what took such.
    pub from: Option<u64>,
    /// At most so many frames or, with events, so many events.
    pub limit: Option<u64>,
}

/// Prints frames.
pub fn dump(place: &Place, what: &Dump, out: &mut dyn Write) -> Result<()> {
    run(&RealFs, place, what, out)
}

pub(in crate::channel::file) fn run(
    fs: &dyn Fs,
    place: &Place,
    what: &Dump,
    out: &mut dyn Write,
) -> Result<()> {
    let all = Opened::open(fs, place)?;
    all.refuse_strangers()?;
    if what.limit == Some(0) {
        return Ok(());
    }
    let whole = all.recover()?;
    let mut put = Intervals::default();
    whole.scanned.iter().for_each(|s| put.insert_all(&s.puts));
    let mut p = Printer {
        what: Dump { events: what.events || what.live, ..what.clone() },
        live: &whole.live,
        put: &put,
        names: Names::default(),
        left: what.limit.unwrap_or(u64::MAX),
        error: None,
        out,
    };
    for (d, s) in all.dirs.iter().zip(&whole.scanned) {
        if all.dirs.len() > 1 {
            writeln!(p.out, "{}", d.path.display())?;
        }
        let mut damage = s.damage.iter().peekable();
        let mut hear = |f: &File, h: &Header, payload: &[u8]| {
            while let Some(d) = damage.next_if(|d| (d.seq, d.range.start) < (f.seq, h.offset)) {
                p.damage(d);
            }
            p.frame(f, h, payload);
            p.left > 0 && p.error.is_none()
        };
        let ended =
            scan_with(&d.listed.files, Default::default(), &BTreeMap::new(), &mut |_| true, &mut hear);
        let is_cut = match ended {
            Ok(_) => false,
            Err(ScanError::Cancelled) => true,
            Err(e) => return Err(e.into()),
        };
        if !is_cut {
            damage.for_each(|d| p.damage(d));
        }
        if let Some(e) = p.error.take() {
            return Err(ToolError::Output(e));
        }
        if p.left == 0 {
            break;
        }
    }
    Ok(())
}

struct Printer<'a> {
    what: Dump,
    live: &'a Intervals,
    /// Events of whole transactions.
    put: &'a Intervals,
    names: Names,
    left: u64,
    error: Option<std::io::Error>,
    out: &'a mut dyn Write,
}

impl Printer<'_> {
    fn wants(&self, seq: u64) -> bool {
        self.what.segment.is_none_or(|s| s == seq)
    }

    fn line(&mut self, text: &str) {
        if self.error.is_none() {
            self.error = writeln!(self.out, "{text}").err();
        }
    }

    fn damage(&mut self, d: &Damage) {
        if self.wants(d.seq) && self.what.from.is_none() && !self.what.live {
            let (name, from, bytes) = (segment_name(d.seq), d.range.start, d.range.end - d.range.start);
            let numbers = match &d.header {
                Some(h) if h.kind == Kind::Put => numbers(h, &[]),
                _ => "-".to_owned(),
            };
            self.line(&format!("{name} {from} damaged - {numbers} - {bytes}"));
        }
    }

    /// Whether a frame is to be shown.
    fn chooses(&self, f: &File, h: &Header, payload: &[u8]) -> bool {
        let from = self.what.from;
        let is_late = match h.kind {
            Kind::Put => from.is_none_or(|n| h.numbers().end > n),
            Kind::Take => {
                let mut all = decode_take(payload, h.count).into_iter().flatten();
                from.is_none_or(|n| all.any(|r| r.end > n))
            }
            Kind::Start => from.is_none(),
        };
        let is_live = !self.what.live || h.kind == Kind::Put && self.live.overlaps(h.numbers());
        self.wants(f.seq) && is_late && is_live
    }

    fn frame(&mut self, f: &File, h: &Header, payload: &[u8]) {
        if !self.chooses(f, h, payload) {
            return;
        }
        let kind = match h.kind {
            Kind::Put => "put",
            Kind::Take => "take",
            Kind::Start => "start",
        };
        let flags = match (h.flags & FOLLOWS != 0, h.flags & GOES_ON != 0) {
            (false, false) => "-",
            (true, false) => "follows",
            (false, true) => "goes-on",
            (true, true) => "follows,goes-on",
        };
        let (name, at, bytes) = (segment_name(f.seq), h.offset, h.size());
        let numbers = numbers(h, payload);
        self.line(&format!("{name} {at} {kind} {flags} {numbers} {} {bytes}", time(h.time)));
        match self.what.events {
            false => self.left -= 1,
            true if h.kind == Kind::Put => self.events(h, payload),
            true => {}
        }
    }

    fn events(&mut self, h: &Header, payload: &[u8]) {
        let Some(batch) = events_of(h, payload, &mut self.names) else {
            return self.line("  its events cannot be read: another version wrote them");
        };
        for (n, e) in h.numbers().zip(batch.iter()) {
            let is_live = self.live.covers(n..n + 1);
            if self.what.from.is_some_and(|from| n < from) || self.what.live && !is_live {
                continue;
            }
            if self.left == 0 || self.error.is_some() {
                return;
            }
            self.left -= 1;
            let state = match (is_live, self.put.covers(n..n + 1)) {
                (true, _) => "live",
                (false, true) => "taken",
                (false, false) => "dropped",
            };
            let headers: Vec<String> = e
                .headers()
                .map(|(k, v)| format!("{}={}", escaped(k.name().as_bytes()), escaped(v)))
                .collect();
            let body = if self.what.hex { hex(e.body()) } else { escaped(e.body()) };
            self.line(&format!("  {n} {state} {{{}}} {body}", headers.join(", ")));
        }
    }
}

fn numbers(h: &Header, payload: &[u8]) -> String {
    match h.kind {
        Kind::Start => {
            let end = if payload.len() == 8 { u64_at(payload, 0) } else { 0 };
            if h.first == 0 {
                return "-".to_owned();
            }
            format!("{}:{end}", segment_name(h.first))
        }
        Kind::Put => range(h.numbers()),
        Kind::Take => {
            let all: Vec<String> = decode_take(payload, h.count).into_iter().flatten().map(range).collect();
            if all.is_empty() {
                "-".to_owned()
            } else {
                all.join(",")
            }
        }
    }
}

fn range(r: std::ops::Range<u64>) -> String {
    match r.end.saturating_sub(r.start) {
        0 => "-".to_owned(),
        1 => r.start.to_string(),
        _ => format!("{}-{}", r.start, r.end - 1),
    }
}

/// Text as it is; what would break a line, or is no text, with a backslash.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
