//! The framing of Avro's Netty transceiver: messages in chunks (reference, wire.md 1.4).
//!
//! ```text
//!   frame = serial:int32  n:int32  n * ( length:int32  bytes )      big-endian; the chunks make one message
//! ```
//! Chunk boundaries have no meaning and a chunk may be empty. A message is put together in memory of its own: one copy,
//! for which no length above 1 MiB is believed before its bytes are there. The client chooses serials, the answer repeats them.

use crate::event::Spares;
use std::sync::Arc;

/// More chunks than this have no sender that means well: Java cuts at 8 KiB.
const MAX_CHUNKS: i32 = 1 << 16;
const INT: usize = 4;
/// For so much of a chunk there is room before it is there. Memory that is not written to costs nothing.
const BELIEVED: usize = 1 << 20;

/// A message and the number its answer will have.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub serial: i32,
    pub bytes: Vec<u8>,
}

/// Puts messages together from the bytes of one direction of a connection.
pub struct Frames {
    max: usize,
    serial: i32,
    chunks: i32,
    /// Bytes missing of the chunk at hand.
    missing: usize,
    message: Vec<u8>,
    spares: Arc<Spares>,
    is_inside: bool,
    /// A message has begun: it is Avro that is spoken here.
    is_avro: bool,
}

impl Frames {
    /// Messages above `max` bytes are refused.
    pub fn new(max: usize) -> Frames {
        Frames::with(max, Arc::default())
    }

    /// The same, with memory that others use as well.
    pub fn with(max: usize, spares: Arc<Spares>) -> Frames {
        Frames {
            max,
            serial: 0,
            chunks: 0,
            missing: 0,
            message: Vec::new(),
            spares,
            is_inside: false,
            is_avro: false,
        }
    }

    /// Bytes held of a message that is not complete. What is behind them is not touched yet, and so not there.
    pub fn held(&self) -> usize {
        self.message.len()
    }

    /// Where a message's memory goes back to.
    pub fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Messages above `max` bytes are refused from now on. What is held of one stays within its bound.
    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(self.message.len());
    }

    /// Takes what it can of `bytes`: how many, and the message if one is complete. Some of a number that is cut short
    /// is left.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Result<Option<Message>, String>) {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if self.missing > 0 {
                let n = self.missing.min(rest.len());
                if n == 0 {
                    return (at, Ok(None));
                }
                if self.message.len() + n > self.message.capacity() {
                    self.grow(rest);
                }
                self.message.extend_from_slice(&rest[..n]);
                self.missing -= n;
                at += n;
            } else if self.is_inside && self.chunks == 0 {
                self.is_inside = false;
                let mut bytes = std::mem::take(&mut self.message);
                if bytes.capacity() / 2 > bytes.len() {
                    bytes.shrink_to_fit();
                }
                return (at, Ok(Some(Message { serial: self.serial, bytes })));
            } else if self.is_inside {
                if rest.len() < INT {
                    return (at, Ok(None));
                }
                let length = int(rest);
                match usize::try_from(length) {
                    Ok(n) if n <= self.max - self.message.len() => self.missing = n,
                    Ok(_) => return (at, Err(format!("a message of more than {} bytes", self.max))),
                    Err(_) => return (at, Err(format!("a chunk of {length} bytes"))),
                }
                self.chunks -= 1;
                at += INT;
            } else {
                // The same whether it comes at once or in drops; a later message's number may look like anything.
                if let Some(other) = guess(rest).filter(|_| !self.is_avro) {
                    return (at, Err(other));
                }
                if rest.len() < 2 * INT {
                    return (at, Ok(None));
                }
                (self.serial, self.chunks) = (int(rest), int(&rest[INT..]));
                if !(1..=MAX_CHUNKS).contains(&self.chunks) {
                    return (at, Err(format!("no Avro RPC: a message of {} chunks", self.chunks)));
                }
                (self.is_inside, self.is_avro) = (true, true);
                at += 2 * INT;
            }
        }
    }

    /// Makes room for what is in `rest` of the message, and for the rest of its chunk up to a size that may be believed.
    fn grow(&mut self, rest: &[u8]) {
        let here = self.foreseen(rest);
        let claimed = self.missing.min(BELIEVED);
        let more =
            if here < self.missing || self.chunks > 0 && here == rest.len() { self.message.len() } else { 0 };
        let room = (self.message.len() + here.max(claimed) + more).min(self.max);
        let mut larger = self.spares.take(room);
        larger.extend_from_slice(&self.message);
        self.spares.give_back(std::mem::replace(&mut self.message, larger));
    }

    /// Bytes of the message that are in `rest`, which begins within a chunk: all of them, most of the time.
    fn foreseen(&self, mut rest: &[u8]) -> usize {
        let (mut total, mut chunk, mut chunks) = (0, self.missing, self.chunks);
        loop {
            let n = chunk.min(rest.len());
            total += n;
            rest = &rest[n..];
            if chunks == 0 || rest.len() < INT {
                return total;
            }
            chunk = usize::try_from(int(rest)).unwrap_or(0);
            rest = &rest[INT..];
            chunks -= 1;
        }
    }
}

/// The number at the beginning of at least four bytes.
fn int(bytes: &[u8]) -> i32 {
    bytes.first_chunk().map_or(0, |b| i32::from_be_bytes(*b))
}

/// What a first message is that is no frame at all.
fn guess(bytes: &[u8]) -> Option<String> {
    let looks_like = |what: &str| Some(format!("no Avro RPC: it looks like {what}"));
    match bytes {
        [0x16, 3, 0..=4, ..] => looks_like("TLS, which this port does not speak"),
        [0x15, 3, 0..=4, ..] => looks_like("a TLS alert; ssl is to be true on both ends or on none"),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            looks_like("compression-type = deflate, which is to be set on both ends or on none")
        }
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] => looks_like("HTTP"),
        [0x82, 0x21, ..] | [_, _, _, _, 0x82, 0x21, ..] | [_, _, _, _, 0x80, 1, 0, 1] => looks_like("Thrift"),
        _ => None,
    }
}

/// Adds a frame of these chunks.
pub fn put(out: &mut Vec<u8>, serial: i32, chunks: &[&[u8]]) {
    out.reserve(2 * INT + chunks.iter().map(|c| c.len() + INT).sum::<usize>());
    begin(out, serial, chunks.len() as i32);
    for c in chunks {
        put_chunk(out, |out| out.extend_from_slice(c));
    }
}

/// Begins a frame; so many [`put_chunk`] follow.
pub fn begin(out: &mut Vec<u8>, serial: i32, chunks: i32) {
    out.extend_from_slice(&serial.to_be_bytes());
    out.extend_from_slice(&chunks.to_be_bytes());
}

/// Adds the chunk that `put` writes, in its place.
pub fn put_chunk(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
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
    fn feed(frames: &mut Frames, pieces: &[&[u8]]) -> Result<Vec<Message>, String> {
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

    #[test]
    fn messages_survive_any_cut() {
        let mut bytes = Vec::new();
        put(&mut bytes, 7, &[b"abc", b"", b"defgh"]);
        put(&mut bytes, -1, &[b""]);
        put(&mut bytes, 8, &[&[9; 300], b"x"]);
        let whole = feed(&mut Frames::new(400), &[&bytes]).unwrap();
        assert_eq!(whole[0], Message { serial: 7, bytes: b"abcdefgh".to_vec() });
        assert_eq!(whole[1], Message { serial: -1, bytes: Vec::new() });
        assert_eq!((whole[2].serial, whole[2].bytes.len()), (8, 301));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(feed(&mut Frames::new(400), &single).unwrap(), whole);
        for cut in 0..bytes.len() {
            assert_eq!(feed(&mut Frames::new(400), &[&bytes[..cut], &bytes[cut..]]).unwrap(), whole);
        }
    }

    #[test]
    fn what_lies_about_its_size_is_refused_and_holds_nothing() {
        let frame = |n: i32, length: i32| [7, n, length].map(i32::to_be_bytes).concat();
        for (n, length, why) in [
            (0, 0, "0 chunks"),
            (-5, 0, "-5 chunks"),
            (i32::MAX, 0, "chunks"),
            (1, -1, "a chunk of -1 bytes"),
            (1, i32::MAX, "more than 400"),
            (1, 401, "more than 400"),
        ] {
            let mut f = Frames::new(400);
            let got = feed(&mut f, &[&frame(n, length)]);
            assert!(got.as_ref().is_err_and(|e| e.contains(why)), "{n} {length}: {got:?}");
            assert_eq!(f.held(), 0);
        }
        let mut f = Frames::new(1 << 30);
        assert_eq!(feed(&mut f, &[&frame(1, 1 << 30), &[1; 1000]]), Ok(Vec::new()));
        assert!(f.held() <= 2000, "{}", f.held());
        let two = [&frame(2, 300)[..], &[0; 300], &300i32.to_be_bytes()].concat();
        let mut f = Frames::new(400);
        assert!(feed(&mut f, &[&two]).is_err(), "together");
        assert!(f.held() <= 400, "{}", f.held());
    }

    #[test]
    fn a_message_in_hand_gets_memory_of_its_size() {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, &[&[1; 100], &[2; 8192], &[3; 8192]]);
        let message = feed(&mut Frames::new(1 << 20), &[&bytes]).unwrap().remove(0);
        assert_eq!((message.bytes.len(), message.bytes.capacity()), (16_484, 16_484));
    }

    #[test]
    fn only_the_first_message_can_be_another_protocol() {
        let mut bytes = Vec::new();
        for serial in [1, 0x789c_0000, 0x1603_0100, 0x4745_5420] {
            put(&mut bytes, serial, &[b"x"]);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(feed(&mut Frames::new(400), &single).unwrap().len(), 4);
        assert_eq!(feed(&mut Frames::new(400), &[&bytes]).unwrap().len(), 4);
        let (_, other) = bytes.split_at(13);
        for pieces in [&[other][..], &other.chunks(1).collect::<Vec<_>>()] {
            assert!(feed(&mut Frames::new(400), pieces).unwrap_err().contains("deflate"));
        }
    }

    #[test]
    fn other_protocols_are_named() {
        for (bytes, what) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00"[..], "TLS"),
            (b"\x78\x9c\x62\x60", "deflate"),
            (b"GET / HTTP/1.1\r\n", "HTTP"),
            (b"\x00\x00\x00\x18\x82\x21\x01\x06", "Thrift"),
        ] {
            assert!(Frames::new(400).feed(bytes).1.unwrap_err().contains(what));
        }
        assert!(Frames::new(400).feed(b"<34>Oct 11 22:14:15").1.unwrap_err().contains("no Avro RPC"));
    }
}
