//! The payload of a put frame: a table of header names, then the events.
//!
//! ```text
//! 2  how many header names, then each: 2 length, the name
//! then each event:
//!    4  length of the body    2  how many headers
//!    then each header: 2 place of its name in the table, 4 length of the value, the value
//!    the body
//! ```
//!
//! Values and bodies are read where they stand: a decoded event is spans of the buffer that the file was read into.
//! Bytes only; no locks but the table of header names'.

use super::frame::{self, frame_size, HEADER};
use crate::event::{Batch, Body, Events, Key};

/// One put frame to be written: room for its header, the payload, padding.
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub payload: usize,
    pub crc: u32,
    pub events: Events,
}

/// The most events of one frame.
const MOST: usize = 1 << 20;

/// Encodes events into frames; `None` when one of them is of no size that a frame can say. `tail`: bytes that sealing
/// will add to each payload. `buffer` gives empty buffers.
pub fn encode(
    mut events: Events,
    tail: usize,
    mut buffer: impl FnMut(usize) -> Vec<u8>,
) -> Option<Vec<Encoded>> {
    const MOST_NAMES: usize = u16::MAX as usize;
    let mut out = Vec::with_capacity(1);
    while !events.is_empty() {
        let mut size = 0;
        let mut n = 0;
        let mut keys: Vec<Key> = Vec::new();
        for e in events.iter() {
            let mut its = 6 + e.body().len();
            let known = keys.len();
            if e.headers().len() > MOST_NAMES {
                return None;
            }
            for (k, v) in e.headers() {
                its += 6 + v.len();
                if !keys.contains(&k) {
                    keys.push(k);
                    its += 2 + k.name().len();
                    if k.name().len() > MOST_NAMES {
                        return None;
                    }
                }
            }
            if n > 0 && (size + its > frame::TARGET || n == MOST || keys.len() > MOST_NAMES) {
                keys.truncate(known);
                break;
            }
            size += its;
            n += 1;
        }
        if size + tail + 2 > frame::LARGEST {
            return None;
        }
        let part = if n == events.len() { events.clone() } else { events.clone().split_to(n) };
        events.split_to(n);
        out.push(one(part, &keys, 2 + size, tail, &mut buffer));
    }
    Some(out)
}

fn one(
    events: Events,
    keys: &[Key],
    payload: usize,
    tail: usize,
    buffer: &mut impl FnMut(usize) -> Vec<u8>,
) -> Encoded {
    let whole = frame_size(payload + tail) as usize;
    let mut b = buffer(whole);
    b.resize(HEADER, 0);
    b.extend_from_slice(&(keys.len() as u16).to_le_bytes());
    for k in keys {
        let name = k.name().as_bytes();
        b.extend_from_slice(&(name.len() as u16).to_le_bytes());
        b.extend_from_slice(name);
    }
    for e in events.iter() {
        let (body, headers) = (e.body(), e.headers());
        let mut head = [0; 6];
        head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&(headers.len() as u16).to_le_bytes());
        b.extend_from_slice(&head);
        for (k, v) in headers {
            let at = keys.iter().position(|x| *x == k).unwrap_or(0);
            let mut head = [0; 6];
            head[..2].copy_from_slice(&(at as u16).to_le_bytes());
            head[2..].copy_from_slice(&(v.len() as u32).to_le_bytes());
            b.extend_from_slice(&head);
            b.extend_from_slice(v);
        }
        b.extend_from_slice(body);
    }
    let payload = b.len() - HEADER;
    let crc = if tail == 0 { crc32fast::hash(&b[HEADER..]) } else { 0 };
    b.resize(whole, 0);
    Encoded { bytes: b, payload, crc, events }
}

/// Names met before, so that a frame of one event costs no look-up in the table of all names.
#[derive(Default)]
pub struct Names(Vec<Key>);

impl Names {
    fn key(&mut self, name: &[u8]) -> Option<Key> {
        if let Some(k) = self.0.iter().find(|k| k.name().as_bytes() == name) {
            return Some(*k);
        }
        let key = Key::intern_own(std::str::from_utf8(name).ok()?)?;
        if self.0.len() < 64 {
            self.0.push(key);
        }
        Some(key)
    }
}

/// A bounds-checked reader.
struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let part = self.all.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }
    fn u16(&mut self) -> Option<usize> {
        self.take(2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
    }
    fn u32(&mut self) -> Option<usize> {
        self.take(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    }
    /// Where the next `n` bytes are.
    fn skip(&mut self, n: usize) -> Option<(usize, usize)> {
        let from = self.at;
        self.take(n)?;
        Some((from, self.at))
    }
}

/// Adds the events of a payload to a batch: those for whose place in the frame `wants` says so. The payload stands at
/// `base` of the buffer that is the batch's `segment`. `None`, and the batch is not to be used, when the payload is not
/// of this form; its checksum was right, so nobody but another version wrote that.
pub fn decode(
    payload: &[u8],
    count: u32,
    base: usize,
    segment: u16,
    names: &mut Names,
    batch: &mut Batch,
    mut wants: impl FnMut(usize) -> bool,
) -> Option<()> {
    let mut b = Bytes { all: payload, at: 0 };
    let n = b.u16()?;
    let mut keys = Vec::with_capacity(n.min(64));
    for _ in 0..n {
        let len = b.u16()?;
        keys.push(names.key(b.take(len)?)?);
    }
    for i in 0..count as usize {
        let (body, headers) = (b.u32()?, b.u16()?);
        let from = b.at;
        for _ in 0..headers {
            b.u16()?;
            let len = b.u32()?;
            b.skip(len)?;
        }
        let values = b.at;
        let (f, t) = b.skip(body)?;
        if !wants(i) {
            continue;
        }
        batch.push(Body::At(batch.span_of(segment, base + f, base + t)));
        let mut h = Bytes { all: &payload[..values], at: from };
        for _ in 0..headers {
            let key = *keys.get(h.u16()?)?;
            let len = h.u32()?;
            let (f, t) = h.skip(len)?;
            let value = batch.span_of(segment, base + f, base + t);
            batch.push_header(key, value);
        }
    }
    (b.at == payload.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Buffer;
    use std::sync::Arc;

    fn sample() -> Events {
        let mut b = Batch::new();
        let (x, host) = (Key::intern("x").unwrap(), Key::HOST);
        b.push(Body::Copy(b"first"));
        let v = b.store("wert \u{e4}".as_bytes());
        b.push_header(x, v);
        let v = b.store(b"");
        b.push_header(host, v);
        b.push(Body::Copy(b""));
        b.push(Body::Copy(b"third"));
        let v = b.store(b"h");
        b.push_header(host, v);
        Events::all(Arc::new(b))
    }

    fn texts<'a>(all: impl Iterator<Item = crate::event::EventRef<'a>>) -> Vec<String> {
        all.map(|e| {
            let h: Vec<String> =
                e.headers().map(|(k, v)| format!("{}={}", k.name(), String::from_utf8_lossy(v))).collect();
            format!("{} {}", h.join(","), String::from_utf8_lossy(e.body()))
        })
        .collect()
    }

    fn read(payload: &[u8], count: u32, wants: impl FnMut(usize) -> bool) -> Option<Batch> {
        let buffer = Buffer::owned(payload.to_vec());
        let mut batch = Batch::new();
        let segment = batch.attach(&buffer);
        decode(payload, count, 0, segment, &mut Names::default(), &mut batch, wants).map(|()| batch)
    }

    #[test]
    fn events_come_back_as_they_were() {
        let frames = encode(sample(), 0, Vec::with_capacity).unwrap();
        assert_eq!(frames.len(), 1);
        let f = &frames[0];
        let payload = &f.bytes[HEADER..HEADER + f.payload];
        assert_eq!(f.bytes.len() % 8, 0);
        assert_eq!(f.crc, crc32fast::hash(payload));
        let batch = read(payload, 3, |_| true).unwrap();
        assert_eq!(texts(batch.iter()), texts(sample().iter()));
        let some = read(payload, 3, |i| i != 1).unwrap();
        assert_eq!(texts(some.iter()), ["x=wert \u{e4},host= first", "host=h third"]);
    }

    #[test]
    fn no_cut_or_change_panics() {
        let f = encode(sample(), 0, Vec::with_capacity).unwrap().remove(0);
        let payload = &f.bytes[HEADER..HEADER + f.payload];
        for cut in 0..payload.len() {
            assert!(read(&payload[..cut], 3, |_| true).is_none(), "cut at {cut}");
        }
        for at in 0..payload.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = payload.to_vec();
                changed[at] = value;
                read(&changed, 3, |_| true);
            }
        }
        assert!(read(payload, u32::MAX, |_| true).is_none());
    }

    #[test]
    fn what_a_frame_cannot_say_is_refused() {
        let mut b = Batch::new();
        b.push(Body::Copy(b"x"));
        let v = b.store(b"v");
        let key = Key::intern_own(&"n".repeat(70_000)).unwrap();
        b.push_header(key, v);
        assert!(encode(Events::all(Arc::new(b)), 0, Vec::with_capacity).is_none());
    }

    #[test]
    fn a_large_transaction_becomes_several_frames() {
        let mut b = Batch::new();
        let body = vec![b'x'; 3 << 20];
        for _ in 0..7 {
            b.push(Body::Copy(&body));
        }
        b.push(Body::Copy(&vec![b'y'; 9 << 20]));
        let frames = encode(Events::all(Arc::new(b)), 16, Vec::with_capacity).unwrap();
        assert_eq!(frames.iter().map(|f| f.events.len()).collect::<Vec<_>>(), [2, 2, 2, 1, 1]);
        assert!(frames.iter().all(|f| f.bytes.len() as u64 == frame_size(f.payload + 16)));
    }
}
