//! Framed transport: each message behind its length (reference, wire.md 2).
//!
//! A message is put together in memory of its own: one copy, for which no length above 1 MiB is believed before its bytes
//! are there. A frame that is too large is passed over, holding its beginning, so that its sender can be told.

use crate::event::Spares;
use std::sync::Arc;

/// What Flume takes, and so what is sent to it.
pub const LARGEST: usize = 16_384_000;
const INT: usize = 4;
/// For so much of a message there is room before it is there. Memory that is not written to costs nothing.
const BELIEVED: usize = 1 << 20;
/// Of a message that is too large, this much is kept: its name and number are in it, and it is enough for its time to be
/// taken (`messageTimeout`).
const KEPT: usize = 8 << 10;
/// Nobody means a length above this.
const ABSURD: usize = 1 << 30;

#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Message(Vec<u8>),
    /// The beginning of a message that was too large, and its length.
    TooLarge(Vec<u8>, usize),
}

/// Takes messages out of the bytes of one direction of a connection.
pub struct Frames {
    max: usize,
    /// From the next message on.
    next_max: usize,
    /// Bytes missing of the message at hand, and its length.
    missing: usize,
    length: usize,
    is_inside: bool,
    /// A message has come: it is Thrift that is spoken here.
    is_thrift: bool,
    message: Vec<u8>,
    spares: Arc<Spares>,
}

impl Frames {
    /// Messages above `max` bytes are passed over.
    pub fn with(max: usize, spares: Arc<Spares>) -> Frames {
        Frames {
            max,
            next_max: max,
            missing: 0,
            length: 0,
            is_inside: false,
            is_thrift: false,
            message: Vec::new(),
            spares,
        }
    }

    /// Bytes held of a message that is not complete.
    pub fn held(&self) -> usize {
        self.message.len()
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Where a message's memory goes back to.
    pub fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// Bytes of the largest message that is not passed over.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Messages above `max` bytes are passed over from the next one on.
    pub fn set_max(&mut self, max: usize) {
        self.next_max = max;
    }

    /// Takes what it can of `bytes`: how many, and what came to its end.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Result<Option<Frame>, String>) {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if !self.is_inside {
                if let Some(other) = guess(rest).filter(|_| !self.is_thrift) {
                    return (at, Err(other));
                }
                let Some(length) = rest.first_chunk() else { return (at, Ok(None)) };
                let length = i32::from_be_bytes(*length);
                self.max = self.next_max;
                match usize::try_from(length) {
                    Ok(n) if n <= ABSURD.max(self.max) => (self.length, self.missing) = (n, n),
                    _ => return (at, Err(format!("a frame of {length} bytes"))),
                }
                self.is_inside = true;
                at += INT;
                continue;
            }
            let n = self.missing.min(rest.len());
            let keep = if self.length > self.max { KEPT } else { self.length };
            let kept = n.min(keep.saturating_sub(self.message.len()));
            self.keep(&rest[..kept]);
            at += n;
            self.missing -= n;
            if self.missing > 0 {
                return (at, Ok(None));
            }
            (self.is_inside, self.is_thrift) = (false, true);
            let message = std::mem::take(&mut self.message);
            let frame = match self.length > self.max {
                true => Frame::TooLarge(message, self.length),
                false => Frame::Message(message),
            };
            return (at, Ok(Some(frame)));
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.message.len() + bytes.len();
        if needed > self.message.capacity() {
            // The whole of a small one; of a large one what is here, and as much again.
            let room = self.length.min(self.max).min(needed.max(BELIEVED).max(2 * self.message.len()));
            let mut larger = self.spares.take(room.max(needed));
            larger.extend_from_slice(&self.message);
            self.spares.give_back(std::mem::replace(&mut self.message, larger));
        }
        self.message.extend_from_slice(bytes);
    }
}

/// What a first message is that is no frame at all, by no more bytes than a length has.
fn guess(bytes: &[u8]) -> Option<String> {
    let looks_like = |what: &str| Some(format!("no framed Thrift: it looks like {what}"));
    match bytes {
        [0x16, 3, 0..=4, ..] => looks_like("TLS, which this port does not speak"),
        [0x15, 3, 0..=4, ..] => looks_like("a TLS alert; ssl is to be true on both ends or on none"),
        [0x82, 0x21, ..] | [0x80, 1, ..] => looks_like("Thrift without frames (TFramedTransport)"),
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] => looks_like("HTTP"),
        // The first call's number; no message has one byte.
        [0, 0, 0, 1, ..] => looks_like("Avro RPC"),
        _ => None,
    }
}

/// Adds a frame of what `put` adds.
pub fn put(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; INT]);
    put(out);
    let length = (out.len() - at - INT) as i32;
    out[at..at + INT].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds pieces as a connection does: what is left of one is put before the next.
    fn feed(frames: &mut Frames, pieces: &[&[u8]]) -> Result<Vec<Frame>, String> {
        let (mut all, mut left) = (Vec::new(), Vec::new());
        for piece in pieces {
            left.extend_from_slice(piece);
            loop {
                let (used, got) = frames.feed(&left);
                left.drain(..used);
                match got? {
                    Some(m) => all.push(m),
                    None => break,
                }
            }
        }
        Ok(all)
    }

    fn frames(max: usize) -> Frames {
        Frames::with(max, Arc::default())
    }

    #[test]
    fn messages_survive_any_cut() {
        let mut bytes = Vec::new();
        let large = [8; KEPT + 500];
        for message in [&b"abc"[..], b"", &[9; 300], &large] {
            put(&mut bytes, |out| out.extend_from_slice(message));
        }
        let whole = feed(&mut frames(400), &[&bytes]).unwrap();
        let kept = Frame::TooLarge(vec![8; KEPT], large.len());
        assert_eq!(
            whole,
            [Frame::Message(b"abc".to_vec()), Frame::Message(vec![]), Frame::Message(vec![9; 300]), kept]
        );
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(feed(&mut frames(400), &single).unwrap(), whole);
        for cut in 0..bytes.len() {
            assert_eq!(feed(&mut frames(400), &[&bytes[..cut], &bytes[cut..]]).unwrap(), whole);
        }
    }

    #[test]
    fn what_lies_about_its_size_holds_nothing() {
        for length in [-1, i32::MIN, i32::MAX] {
            let mut f = frames(400);
            assert!(feed(&mut f, &[&length.to_be_bytes()]).unwrap_err().contains("a frame of"));
            assert_eq!(f.held(), 0);
        }
        let mut f = frames(1 << 30);
        assert_eq!(feed(&mut f, &[&(1i32 << 30).to_be_bytes(), &[1; 1000]]), Ok(Vec::new()));
        assert!(f.held() <= 1000 && f.is_inside());
        let mut f = frames(400);
        assert_eq!(feed(&mut f, &[&(1i32 << 30).to_be_bytes(), &[1; KEPT + 500]]), Ok(Vec::new()));
        assert_eq!(f.held(), KEPT);
    }

    #[test]
    fn other_protocols_are_named() {
        for (bytes, what) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00"[..], "TLS"),
            (b"\x82\x21\x01\x06append", "without frames"),
            (b"POST / HTTP/1.1\r\n", "HTTP"),
            (b"\0\0\0\x01\0\0\0\x04", "Avro"),
        ] {
            assert!(frames(400).feed(bytes).1.unwrap_err().contains(what));
        }
    }
}
