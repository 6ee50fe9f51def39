//! For tests: runs a decoder the way the event loop does.
//!
//! Each piece is put behind what was left over, in a fresh buffer; a full batch means another call with a
//! new batch. Every call is checked: `used` stays within the chunk and a full batch is progress.

use super::{Chunk, Decoded, Fault, Then};
use crate::event::{Batch, Buffer, EventRef};

/// An event as tests compare it: body and headers as text, invalid UTF-8 shown as U+FFFD.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Seen {
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Seen {
    pub fn all(batch: &Batch) -> Vec<Seen> {
        let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
        let headers = |e: &EventRef<'_>| e.headers().map(|(k, v)| (k.name().to_owned(), text(v))).collect();
        batch.iter().map(|e| Seen { body: e.body().to_vec(), headers: headers(&e) }).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// All events and the fault, if any, of feeding these pieces and then the end of input.
pub fn pieces(
    mut decode: impl FnMut(&Chunk<'_>, bool, &mut Batch) -> Decoded,
    pieces: &[&[u8]],
) -> (Vec<Seen>, Option<Fault>) {
    let mut seen = Vec::new();
    let mut left: Vec<u8> = Vec::new();
    for (i, piece) in pieces.iter().chain([&&[][..]]).enumerate() {
        let eof = i == pieces.len();
        left.extend_from_slice(piece);
        // Bytes in front, as if they belonged to what was read before.
        let buffer = Buffer::owned([b"xyz", &left[..]].concat());
        let mut from = 3;
        loop {
            let mut batch = Batch::new();
            let chunk = Chunk { buffer: &buffer, from, to: buffer.len() };
            let done = decode(&chunk, eof, &mut batch);
            assert!(done.used <= buffer.len() - from, "used more than the chunk");
            assert!(done.then != Then::Full || !batch.is_empty(), "full without an event");
            from += done.used;
            seen.extend(Seen::all(&batch));
            match done.then {
                Then::NeedMore => break,
                Then::Pause | Then::Full | Then::Call(_) | Then::Work(_) => {}
                Then::Fail(fault) => return (seen, Some(fault)),
            }
        }
        left.drain(..from - 3);
    }
    assert_eq!(left, b"", "left over at the end");
    (seen, None)
}

/// Feeds `input` whole, one byte at a time, and cut in two at every offset; all must agree.
pub fn every_cut<D: FnMut(&Chunk<'_>, bool, &mut Batch) -> Decoded>(
    mut decoder: impl FnMut() -> D,
    input: &[u8],
) -> (Vec<Seen>, Option<Fault>) {
    let whole = pieces(decoder(), &[input]);
    let single: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(pieces(decoder(), &single), whole, "byte by byte: {input:?}");
    for at in 0..input.len() {
        assert_eq!(pieces(decoder(), &[&input[..at], &input[at..]]), whole, "cut at {at}: {input:?}");
    }
    whole
}

/// Small seeded generator (xorshift), for mutated inputs.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }

    /// One of `vectors`, with a few bytes replaced, removed, repeated or cut off.
    pub fn mutate(&mut self, vectors: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + self.below(3) {
            bytes.extend_from_slice(vectors[self.below(vectors.len())]);
        }
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                1 if !bytes.is_empty() => bytes[at] = b"<>0-:. \n\rTZ+"[self.below(12)],
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                3 => bytes.insert(at, self.below(256) as u8),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }

    /// `bytes` in pieces of random length.
    pub fn split<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(1 + self.below(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}
