//! Syslog, as the syslog sources take it (reference, wire.md 3).
//!
//! ```text
//!   stream  = texts as in `frames`             datagram = [ text ] [ LF anything ]
//!   line    = [ text ] [ CR ] LF               empty lines vanish
//!   text    = "<" 1*3DIGIT ">" message         anything else is Invalid: its body is the whole text
//!   message = RFC 5424 or RFC 3164, see `parts`; if neither, an event without host and timestamp
//! ```
//!
//! multiport_syslogtcp takes texts apart by rules of its own, see `multiport`. A text that reaches `event_size` bytes is cut
//! there and marked Incomplete; what follows is taken as a new one. Where we differ from Flume on purpose: octets may be counted
//! (RFC 6587); the CR of CRLF senders is not part of the text; a newline ends a line even within `<pri`; nothing is carried over
//! from one event to the next; an unterminated tail is delivered; bytes that are not UTF-8 pass through.
//! Bodies and header values are spans of the read buffer. Texts that repeat (facility, severity, the
//! timestamp) are stored once per call, because a span belongs to one batch.

mod frames;
mod headers;
mod multiport;
mod own;
mod parts;
mod stamp;
mod structured;

pub use multiport::Port;
pub use own::OwnFormat;
pub use structured::{Names, Structured};

use super::{BatchLimits, Chunk, Decoded, Then};
use crate::event::{Batch, Body, Key, Span};
use frames::Frames;
use headers::{Headers, Slot, Stored};
use jiff::tz::TimeZone;
use memchr::memchr;
use parts::{Part, Parts};
use stamp::Stamps;
use std::borrow::Cow;
use std::sync::Arc;
use structured::Field;

/// The least `event_size`: the longest `<pri>` must fit.
pub const MIN_EVENT_SIZE: usize = 10;

/// The most events a batch gets room for when its first line is seen.
const RESERVED: usize = 512;

/// Room in a batch's byte limit for what an event takes beside its text: its record, headers and their values.
const EVENT_BYTES: usize = 256;

/// Which fields of the original line stay in the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeepFields {
    None,
    All,
    Some { priority: bool, version: bool, timestamp: bool, hostname: bool },
}

impl KeepFields {
    /// Reads `keepFields`. Names count wherever they occur in the text, as in Flume.
    pub fn parse(text: &str) -> KeepFields {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "none" | "false" => KeepFields::None,
            "all" | "true" => KeepFields::All,
            _ => KeepFields::Some {
                priority: text.contains("priority"),
                version: text.contains("version"),
                timestamp: text.contains("timestamp"),
                hostname: text.contains("hostname"),
            },
        }
    }
}

/// What all connections of a source share.
#[derive(Clone)]
pub struct Settings {
    /// The most bytes of an event; at least [`MIN_EVENT_SIZE`].
    pub event_size: usize,
    pub keep_fields: KeepFields,
    /// `format.*`: tried before the RFCs.
    pub format: Option<OwnFormat>,
    /// For times that name no zone.
    pub zone: TimeZone,
    /// Where the structured data of RFC 5424 goes.
    pub structured: Structured,
    /// Those of its parameters.
    pub names: Arc<structured::Names>,
    /// A port of multiport_syslogtcp: its parser, and what is the port's own.
    pub port: Option<Port>,
}

/// Headers about the peer: address and host name, each under its configured key.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Client {
    pub ip: Option<(Key, String)>,
    pub host: Option<(Key, String)>,
}

/// A datagram without a line, or with a lone `<`: Flume counts it as EventReadFail.
#[derive(Debug, PartialEq, Eq)]
pub struct NoEvent;

pub struct SyslogDecoder {
    settings: Arc<Settings>,
    client: Client,
    /// The client's keys include one of ours; the client's value wins, as in Flume.
    client_overrides: bool,
    frames: Frames,
    stamps: Stamps,
    stored: Stored,
    /// Where a body is put together that is no span of the line.
    scratch: Vec<u8>,
}

/// How a text ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Newline,
    /// The end of the stream or datagram.
    Input,
    /// `event_size` was reached, or the stream ended within what was counted.
    Cut,
}

impl SyslogDecoder {
    pub fn new(settings: Arc<Settings>, client: Client) -> SyslogDecoder {
        let stamps = Stamps::new(settings.zone.clone());
        let mut decoder = SyslogDecoder {
            settings,
            client: Client::default(),
            client_overrides: false,
            frames: Frames::default(),
            stamps,
            stored: Stored::default(),
            scratch: Vec::new(),
        };
        decoder.set_client(client);
        decoder
    }

    /// Changes whose messages follow: for datagrams.
    pub fn set_client(&mut self, client: Client) {
        const OURS: [Key; 7] = [
            Key::FACILITY,
            Key::SEVERITY,
            Key::PRIORITY,
            Key::VERSION,
            Key::TIMESTAMP,
            Key::HOST,
            Key::SYSLOG_STATUS,
        ];
        self.client = client;
        if let (Some((ip, _)), Some((host, _))) = (&self.client.ip, &self.client.host) {
            if ip == host {
                self.client.ip = None;
            }
        }
        let of_port = self.settings.port.as_ref().map(|p| [p.priority, p.version]);
        self.client_overrides = OURS.iter().chain(of_port.iter().flatten()).any(|k| self.is_client_key(*k));
    }

    fn is_client_key(&self, key: Key) -> bool {
        [&self.client.ip, &self.client.host].into_iter().flatten().any(|(k, _)| *k == key)
    }

    /// Puts the complete lines of the chunk into the batch; `eof` when no more bytes will come.
    pub fn decode(
        &mut self,
        chunk: &Chunk<'_>,
        eof: bool,
        now_ms: u64,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Decoded {
        let bytes = chunk.bytes();
        let size = self.settings.event_size.max(MIN_EVENT_SIZE);
        self.stored = Stored::default();
        let mut segment = None;
        let mut at = 0;
        loop {
            let Some(piece) = self.frames.next(&bytes[at..], size, eof) else {
                return Decoded { used: at, then: Then::NeedMore };
            };
            let text = text(&bytes[at + piece.from..at + piece.to], piece.end);
            if !text.is_empty() {
                if is_full(batch, limits, text.len()) {
                    return Decoded { used: at, then: Then::Full };
                }
                let segment = *segment.get_or_insert_with(|| {
                    let events = (bytes.len() - at).div_ceil(piece.used).min(limits.events).min(RESERVED);
                    batch.reserve(events, events * 6);
                    batch.attach(chunk.buffer)
                });
                let from = chunk.from + at + piece.from;
                let span = batch.span_of(segment, from, from + text.len());
                self.event(text, span, piece.end, now_ms, batch);
            }
            at += piece.used;
            self.frames.took(&piece);
        }
    }

    /// Puts the first line of a datagram into the batch.
    pub fn datagram(&mut self, bytes: &[u8], now_ms: u64, batch: &mut Batch) -> Result<(), NoEvent> {
        self.stored = Stored::default();
        let start = bytes.iter().position(|b| *b != b'\n').ok_or(NoEvent)?;
        let line = &bytes[start..];
        let size = self.settings.event_size.max(MIN_EVENT_SIZE);
        let (len, end) = match memchr(b'\n', line) {
            Some(i) if i < size => (i, End::Newline),
            _ if line.len() >= size => (size, End::Cut),
            _ => (line.len(), End::Input),
        };
        let text = text(&line[..len], end);
        if text.is_empty() || (text == b"<" && end == End::Input) {
            return Err(NoEvent);
        }
        let span = batch.store(text);
        self.event(text, span, end, now_ms, batch);
        Ok(())
    }

    fn event(&mut self, text: &[u8], span: Span, end: End, now_ms: u64, batch: &mut Batch) {
        if self.settings.port.is_some() {
            return self.event_of_port(text, span, end, now_ms, batch);
        }
        let priority = priority(text, end);
        let mut parts = match priority {
            Some(Priority { message_from: Some(from), .. }) => self.parts(text, from, now_ms),
            _ => None,
        };
        let fields = parts.as_mut().and_then(|p| self.structured(text, p)).unwrap_or_default();
        self.body(text, parts.as_ref(), span, batch);
        let mut headers = Headers::new();
        let value = priority.as_ref().map_or(0, |p| p.value);
        headers.add(Key::FACILITY, self.stored.number(batch, value / 8, Slot::Facility));
        headers.add(Key::SEVERITY, self.stored.number(batch, value % 8, Slot::Severity));
        if let Some(p) = parts {
            headers.add_part(Key::PRIORITY, span, p.priority);
            headers.add_part(Key::VERSION, span, p.version);
            if let Some(ms) = p.epoch_ms {
                headers.add(Key::TIMESTAMP, self.stored.time(batch, ms));
            }
            headers.add_part(Key::HOST, span, p.host);
        }
        self.finish(headers, priority.is_some(), end, batch);
        for f in fields {
            let place = batch.len() - 1;
            if batch.get(place).header(f.key).is_none() {
                let value = match f.made {
                    Some(made) => batch.store(&made),
                    None => span.part(f.at.from as usize, f.at.to as usize),
                };
                batch.set_header(place, f.key, value);
            }
        }
    }

    /// The same by the parser of multiport_syslogtcp.
    fn event_of_port(&mut self, text: &[u8], span: Span, end: End, now_ms: u64, batch: &mut Batch) {
        let Some(port) = self.settings.port else { return };
        let decoded = port.charset.strictly(text);
        let found = decoded.as_ref().and_then(|_| multiport::parts(text, &mut self.stamps, now_ms));
        let (priority, parts) = found.unzip();
        self.body(text, parts.as_ref(), span, batch);
        let mut headers = Headers::new();
        if let (Some(p), Some(n)) = (&parts, priority) {
            let (facility, severity) = (n / 8, n % 8);
            let small = |n: i32| u32::try_from(n).ok().filter(|n| *n < 1000);
            let mut number = |n: i32, slot| match small(n) {
                Some(n) => self.stored.number(batch, n, slot),
                None => self.stored.any(batch, n),
            };
            headers.add(Key::FACILITY, number(facility, Slot::Facility));
            headers.add(Key::SEVERITY, number(severity, Slot::Severity));
            headers.add_part(port.priority, span, p.priority);
            headers.add_part(port.version, span, p.version);
            headers.add(Key::TIMESTAMP, self.stored.time(batch, p.epoch_ms.unwrap_or(0)));
            match port.charset.strictly(p.host.of(text)) {
                Some(Cow::Owned(host)) => headers.add(Key::HOST, batch.store(host.as_bytes())),
                _ => headers.add(Key::HOST, part(span, p.host)),
            }
        }
        if let Some((key, number)) = port.header.filter(|(key, _)| !self.is_client_key(*key)) {
            headers.remove(key);
            let stored = &mut self.stored.port;
            headers.add(key, *stored.get_or_insert_with(|| batch.store(number.to_string().as_bytes())));
        }
        self.finish(headers, priority.is_some(), end, batch);
    }

    /// Adds the event with its body: the message, with what is to be kept of the fields before it.
    fn body(&mut self, text: &[u8], parts: Option<&Parts>, span: Span, batch: &mut Batch) {
        match (parts, self.settings.keep_fields) {
            (Some(p), KeepFields::None) if p.body_from < p.body_to => {
                batch.push(Body::At(span.part(p.body_from, p.body_to)));
            }
            (Some(p), KeepFields::Some { .. }) => {
                self.compose(text, p);
                let body = if self.scratch.is_empty() { Body::At(span) } else { Body::Copy(&self.scratch) };
                batch.push(body);
            }
            _ => batch.push(Body::At(span)),
        }
    }

    /// Adds the headers that do not come from the text, and gives the event all of them.
    fn finish(&mut self, mut headers: Headers, is_valid: bool, end: End, batch: &mut Batch) {
        self.add_client(&mut headers, batch);
        let status: &[u8] = match (is_valid, end) {
            (false, _) => b"Invalid",
            (true, End::Cut) => b"Incomplete",
            _ => b"",
        };
        if !status.is_empty() && !self.is_client_key(Key::SYSLOG_STATUS) {
            headers.add(Key::SYSLOG_STATUS, batch.store(status));
        }
        batch.push_headers(headers.all());
    }

    /// The fields of RFC 5424 behind the host, if they are to be headers; the message is then the body, if it is to be.
    fn structured(&self, text: &[u8], parts: &mut Parts) -> Option<Vec<Field>> {
        if self.settings.structured == Structured::Body || parts.version.of(text) != b"1" {
            return None;
        }
        let (fields, message) =
            structured::fields(&text[..parts.body_to], parts.body_from, &self.settings.names)?;
        if self.settings.structured == Structured::Headers {
            parts.body_from = message;
        }
        Some(fields)
    }

    /// The parts of a text whose message begins at `from`: by the own format, or by the RFCs.
    fn parts(&mut self, text: &[u8], from: usize, now_ms: u64) -> Option<Parts> {
        let own = self.settings.format.as_ref().and_then(|f| f.parts(text, &self.settings.zone, now_ms));
        own.or_else(|| Parts::of(text, from, &mut self.stamps, now_ms))
    }

    /// Puts kept fields and the message into `scratch`, in Flume's order and with its `null`.
    fn compose(&mut self, text: &[u8], parts: &Parts) {
        let KeepFields::Some { priority, version, timestamp, hostname } = self.settings.keep_fields else {
            return;
        };
        let out = &mut self.scratch;
        out.clear();
        if priority {
            out.push(b'<');
            out.extend_from_slice(parts.priority.of(text));
            out.push(b'>');
        }
        if version && !parts.version.is_empty() {
            out.extend_from_slice(parts.version.of(text));
            out.push(b' ');
        }
        for (_, part) in
            [(timestamp, parts.stamp), (hostname, parts.host)].into_iter().filter(|(keep, _)| *keep)
        {
            out.extend_from_slice(if part.is_empty() { b"null" } else { part.of(text) });
            out.push(b' ');
        }
        out.extend_from_slice(&text[parts.body_from..parts.body_to]);
    }

    fn add_client(&mut self, headers: &mut Headers, batch: &mut Batch) {
        let SyslogDecoder { client, client_overrides, stored, .. } = self;
        for (header, slot) in [&client.ip, &client.host].into_iter().zip(&mut stored.client) {
            let Some((key, value)) = header else { continue };
            let span = *slot.get_or_insert_with(|| batch.store(value.as_bytes()));
            if *client_overrides {
                headers.remove(*key);
            }
            headers.add(*key, span);
        }
    }
}

fn part(line: Span, part: Part) -> Span {
    line.part(part.from as usize, part.to as usize)
}

/// A line without the CR of a CRLF. Where the line was cut, a CR may be followed by more than a newline.
fn text(line: &[u8], end: End) -> &[u8] {
    match line {
        [text @ .., b'\r'] if end != End::Cut => text,
        _ => line,
    }
}

fn is_full(batch: &Batch, limits: BatchLimits, text: usize) -> bool {
    let need = text + EVENT_BYTES;
    batch.len() >= limits.events || (!batch.is_empty() && batch.weight() + need > limits.bytes)
}

struct Priority {
    value: u32,
    /// Where the message begins; `None` when input ended within `<pri`, which Flume does not call Invalid.
    message_from: Option<usize>,
}

/// The priority at the front of a text; `None`: Invalid.
#[inline]
fn priority(text: &[u8], end: End) -> Option<Priority> {
    let (b'<', rest) = text.split_first()? else { return None };
    let mut value = 0;
    for (i, b) in rest.iter().take(4).enumerate() {
        match b {
            b'>' if i > 0 => return Some(Priority { value, message_from: Some(i + 2) }),
            b'0'..=b'9' if i < 3 => value = value * 10 + u32::from(b - b'0'),
            _ => return None,
        }
    }
    (end == End::Input && !rest.is_empty()).then_some(Priority { value, message_from: None })
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
