//! Batch and its records; views of it are in `events`. Built by one owner, then shared read-only.

use super::{Buffer, Key, Own};
use std::sync::Arc;

mod events;

pub use events::{EventRef, Events};

/// The most segments a batch can name; one more is copied into the batch itself.
const MAX_SEGMENTS: usize = 255;

/// Bytes inside a batch: segment, offset and length. Lengths and offsets are below 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    segment: u16,
    offset: u32,
    len: u32,
}

impl Span {
    pub fn len(&self) -> usize {
        self.len as usize
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes `from..to` of this span.
    pub fn part(self, from: usize, to: usize) -> Span {
        debug_assert!(from <= to && to <= self.len());
        Span { offset: self.offset + from as u32, len: (to - from) as u32, ..self }
    }
}

#[derive(Clone, Copy)]
struct Header {
    key: Key,
    value: Span,
}

/// One event: a run of `headers` and a body. `room` is how long the run may grow in place.
#[derive(Clone, Copy)]
struct Record {
    first_header: u32,
    headers: u32,
    room: u32,
    body: Span,
}

/// A body on its way into a batch: bytes to copy, or a place in an attached buffer.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    Copy(&'a [u8]),
    At(Span),
}

/// Events under construction or, behind an `Arc`, in flight.
#[derive(Default)]
pub struct Batch {
    own: Own,
    shared: Vec<Arc<Buffer>>,
    records: Vec<Record>,
    headers: Vec<Header>,
    /// Bytes of the shared segments that records point at.
    shared_used: usize,
}

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Makes room for this many more events and headers, so that a decoder's batch grows once.
    pub fn reserve(&mut self, events: usize, headers: usize) {
        self.records.reserve(events);
        self.headers.reserve(headers);
    }

    /// Bytes the batch needs when it owns everything: bodies, headers, records. What keeps alive a buffer that is
    /// mostly others' is copied out of it, so a channel is charged at most twice this.
    pub fn weight(&self) -> usize {
        self.shared_used + self.own.len() + self.overhead()
    }

    /// Makes a buffer's bytes nameable by [`span_of`](Batch::span_of). Returns its segment.
    pub fn attach(&mut self, buffer: &Arc<Buffer>) -> u16 {
        if let Some(i) = self.shared.iter().position(|b| Arc::ptr_eq(b, buffer)) {
            return i as u16 + 1;
        }
        if self.shared.len() >= MAX_SEGMENTS {
            self.flatten();
        }
        self.shared.push(buffer.clone());
        self.shared.len() as u16
    }

    /// Names bytes `from..to` of an attached segment.
    pub fn span_of(&self, segment: u16, from: usize, to: usize) -> Span {
        debug_assert!(from <= to && to <= self.shared[segment as usize - 1].len());
        Span { segment, offset: from as u32, len: (to - from) as u32 }
    }

    /// Names bytes of the batch's own memory that [`set_own`](Batch::set_own) will bring.
    pub fn span_of_own(&self, from: usize, to: usize) -> Span {
        debug_assert!(from <= to && to <= u32::MAX as usize);
        Span { segment: 0, offset: from as u32, len: (to - from) as u32 }
    }

    /// Makes these bytes the memory of a batch that has none of its own yet.
    pub fn set_own(&mut self, bytes: Own) {
        debug_assert!(self.own.is_empty());
        self.own = bytes;
    }

    /// Bytes of records and headers.
    pub fn overhead(&self) -> usize {
        self.records.len() * std::mem::size_of::<Record>()
            + self.headers.len() * std::mem::size_of::<Header>()
    }

    /// Copies bytes into the batch.
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let offset = self.own.len() as u32;
        self.own.extend_from_slice(bytes);
        Span { segment: 0, offset, len: bytes.len() as u32 }
    }

    /// Adds an event; headers follow with [`push_header`](Batch::push_header).
    pub fn push(&mut self, body: Body<'_>) {
        let body = match body {
            Body::Copy(b) => self.store(b),
            Body::At(s) => s,
        };
        self.note(body);
        self.records.push(Record { first_header: self.headers.len() as u32, headers: 0, room: 0, body });
    }

    /// Adds a header to the event pushed last. The codecs never set a key twice; anyone who might uses
    /// [`set_header`](Batch::set_header).
    pub fn push_header(&mut self, key: Key, value: Span) {
        self.note(value);
        let r = self.records.last_mut().expect("push_header follows push");
        debug_assert_eq!(r.first_header as usize + r.headers as usize, self.headers.len());
        r.headers += 1;
        r.room = r.headers;
        self.headers.push(Header { key, value });
    }

    /// [`push_header`](Batch::push_header) for several at once, which costs a decoder less.
    pub fn push_headers(&mut self, headers: &[(Key, Span)]) {
        let r = self.records.last_mut().expect("push_headers follows push");
        debug_assert_eq!(r.first_header as usize + r.headers as usize, self.headers.len());
        r.headers += headers.len() as u32;
        r.room = r.headers;
        self.shared_used +=
            headers.iter().filter(|(_, s)| s.segment > 0).map(|(_, s)| s.len()).sum::<usize>();
        self.headers.extend(headers.iter().map(|&(key, value)| Header { key, value }));
    }

    fn note(&mut self, s: Span) {
        if s.segment > 0 {
            self.shared_used += s.len();
        }
    }

    fn forget(&mut self, s: Span) {
        if s.segment > 0 {
            self.shared_used -= s.len();
        }
    }

    /// The bytes of a span of this batch.
    pub fn bytes(&self, s: Span) -> &[u8] {
        let from = s.offset as usize;
        let segment = if s.segment == 0 { &self.own[..] } else { &self.shared[s.segment as usize - 1][..] };
        &segment[from..from + s.len as usize]
    }

    pub fn get(&self, i: usize) -> EventRef<'_> {
        EventRef { batch: self, record: &self.records[i] }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.records.iter().map(|record| EventRef { batch: self, record })
    }

    /// Where the body of event `i` is.
    pub fn body_span(&self, i: usize) -> Span {
        self.records[i].body
    }

    /// Replaces the body of event `i`.
    pub fn set_body(&mut self, i: usize, body: Span) {
        self.note(body);
        let old = std::mem::replace(&mut self.records[i].body, body);
        self.forget(old);
    }

    /// [`store`](Batch::store), unless the batch then held more than a span can name.
    pub fn try_store(&mut self, bytes: &[u8]) -> Option<Span> {
        u32::try_from(self.own.len() + bytes.len()).ok()?;
        Some(self.store(bytes))
    }

    /// Sets a header of event `i`: a repeated key is replaced in its place, a new one goes to the end. The value may
    /// stand in several events, or be a part of a body.
    pub fn set_header(&mut self, i: usize, key: Key, value: Span) {
        self.note(value);
        let r = self.records[i];
        let run = r.first_header as usize..r.first_header as usize + r.headers as usize;
        if let Some(h) = self.headers[run.clone()].iter_mut().find(|h| h.key == key) {
            let old = std::mem::replace(&mut h.value, value);
            self.forget(old);
            return;
        }
        if r.headers == r.room {
            // Two more for an event that had none: a chain seldom sets more.
            let room = r.room + (r.room / 2).max(2);
            let first = self.headers.len();
            self.headers.extend_from_within(run);
            self.headers.resize(first + room as usize, Header { key, value: Span::default() });
            self.records[i] = Record { first_header: first as u32, room, ..r };
        }
        let r = &mut self.records[i];
        self.headers[r.first_header as usize + r.headers as usize] = Header { key, value };
        r.headers += 1;
    }

    /// Removes a header of event `i`, keeping the order of the others.
    pub fn remove_header(&mut self, i: usize, key: Key) {
        let r = &mut self.records[i];
        let from = r.first_header as usize;
        let run = &mut self.headers[from..from + r.headers as usize];
        if let Some(at) = run.iter().position(|h| h.key == key) {
            let old = run[at].value;
            run.copy_within(at + 1.., at);
            r.headers -= 1;
            self.forget(old);
        }
    }

    /// Keeps the events for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(EventRef<'_>) -> bool) {
        let records = std::mem::take(&mut self.records);
        let kept: Vec<Record> =
            records.into_iter().filter(|r| keep(EventRef { batch: self, record: r })).collect();
        self.records = kept;
        let shared = |s: Span| if s.segment > 0 { s.len() } else { 0 };
        let headers = |r: &Record| {
            let from = r.first_header as usize;
            self.headers[from..from + r.headers as usize].iter().map(|h| shared(h.value)).sum::<usize>()
        };
        self.shared_used = self.records.iter().map(|r| shared(r.body) + headers(r)).sum();
    }

    /// Copies what the shared segments hold into the batch and lets go of them.
    fn flatten(&mut self) {
        let mut own = std::mem::take(&mut *self.own);
        let move_in = |s: Span, batch: &Batch, own: &mut Vec<u8>| {
            if s.segment == 0 {
                return s;
            }
            let offset = own.len() as u32;
            own.extend_from_slice(batch.bytes(s));
            Span { segment: 0, offset, len: s.len }
        };
        let mut records = std::mem::take(&mut self.records);
        let mut headers = std::mem::take(&mut self.headers);
        for r in &mut records {
            r.body = move_in(r.body, self, &mut own);
        }
        for h in &mut headers {
            h.value = move_in(h.value, self, &mut own);
        }
        *self.own = own;
        self.shared.clear();
        (self.records, self.headers, self.shared_used) = (records, headers, 0);
    }

    /// Bytes that a copy of event `i` needs.
    fn weight_of(&self, i: usize) -> usize {
        let Record { first_header, headers, body, .. } = self.records[i];
        let run = &self.headers[first_header as usize..][..headers as usize];
        let values: usize = run.iter().map(|h| h.value.len()).sum();
        body.len() + values + std::mem::size_of::<Record>() + std::mem::size_of_val(run)
    }

    /// Bytes that stay allocated while this batch lives.
    pub fn pinned(&self) -> usize {
        self.shared.iter().map(|b| b.pinned()).sum::<usize>() + self.weight() - self.shared_used
    }
}

#[cfg(test)]
mod tests;
