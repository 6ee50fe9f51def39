//! The framing of Avro's Netty transceiver: messages in chunks (reference, wire.md 1.4).
//!
//! ```text
//!   frame = serial:int32  n:int32  n * ( length:int32  bytes )      big-endian; the chunks make one message
//! ```
//! Chunk boundaries have no meaning and a chunk may be empty. A message is put together in memory of its own: one copy,
//! for which no length above 1 MiB is believed before its bytes are there. The client chooses serials, the answer repeats them.
//! A server passes over a message that is too large, all but its beginning: it can be answered then.

use crate::event::Spares;
use std::sync::Arc;

/// More chunks than this have no sender that means well: Java cuts at 8 KiB.
const MAX_CHUNKS: i32 = 1 << 16;
const INT: usize = 4;
/// For so much of a chunk there is room before it is there. Memory that is not written to costs nothing.
const BELIEVED: usize = 1 << 20;
/// A message that claims more is not waited for by anybody.
pub const LARGEST: usize = 1 << 30;
/// So much is kept of a message that is too large: a handshake with the protocol's text, and the name of the call.
const KEPT: usize = 64 << 10;

/// Of what is no frame, so much is shown: a line, most of the time.
const SHOWN: usize = 40;

/// A message and the number its answer will have.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub serial: i32,
    pub bytes: Vec<u8>,
    /// How large it was, if that was too large. Then `bytes` are its first ones.
    pub too_large: Option<usize>,
}

/// Puts messages together from the bytes of one direction of a connection.
pub struct Frames {
    max: usize,
    passes_over: bool,
    serial: i32,
    chunks: i32,
    /// Bytes missing of the chunk at hand.
    missing: usize,
    message: Vec<u8>,
    spares: Arc<Spares>,
    is_inside: bool,
    /// Bytes claimed so far by the message at hand, if it is too large.
    too_large: Option<usize>,
    /// A message has begun: it is Avro that is spoken here.
    is_avro: bool,
}

impl Frames {
    /// A message above `max` bytes is an error.
    pub fn new(max: usize) -> Frames {
        Frames { passes_over: false, ..Frames::passing_over(max, Arc::default()) }
    }

    /// A message above `max` bytes is passed over, unless it claims to be above 1 GiB. With memory that others use as
    /// well.
    pub fn passing_over(max: usize, spares: Arc<Spares>) -> Frames {
        Frames {
            max,
            passes_over: true,
            serial: 0,
            chunks: 0,
            missing: 0,
            message: Vec::new(),
            spares,
            is_inside: false,
            too_large: None,
            is_avro: false,
        }
    }

    /// What a message may have.
    pub fn max(&self) -> usize {
        self.max
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

    /// Whether a message has begun, at any time.
    pub fn has_begun(&self) -> bool {
        self.is_avro
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
                if self.too_large.is_some() {
                    let kept = n.min(KEPT.saturating_sub(self.message.len()));
                    self.message.extend_from_slice(&rest[..kept]);
                } else {
                    if self.message.len() + n > self.message.capacity() {
                        self.grow(rest);
                    }
                    self.message.extend_from_slice(&rest[..n]);
                }
                self.missing -= n;
                at += n;
            } else if self.is_inside && self.chunks == 0 {
                self.is_inside = false;
                let mut bytes = std::mem::take(&mut self.message);
                if bytes.capacity() / 2 > bytes.len() {
                    bytes.shrink_to_fit();
                }
                let too_large = self.too_large.take();
                return (at, Ok(Some(Message { serial: self.serial, bytes, too_large })));
            } else if self.is_inside {
                if rest.len() < INT {
                    return (at, Ok(None));
                }
                let length = int(rest);
                match usize::try_from(length) {
                    Ok(n) => {
                        let so_far = self.too_large.unwrap_or(self.message.len());
                        if let Err(why) = self.expect(so_far + n) {
                            return (at, Err(why));
                        }
                        self.missing = n;
                    }
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
                    let what = match text(&rest[..2 * INT]).filter(|_| !self.is_avro) {
                        Some(text) => format!("it begins with \"{text}\""),
                        None => format!("a message of {} chunks", self.chunks),
                    };
                    return (at, Err(format!("no Avro RPC: {what}")));
                }
                (self.is_inside, self.is_avro) = (true, true);
                at += 2 * INT;
            }
        }
    }

    /// Notes that the message at hand has so many bytes at least.
    fn expect(&mut self, size: usize) -> Result<(), String> {
        if size <= self.max {
            return Ok(());
        }
        let most = if self.passes_over { LARGEST } else { self.max };
        if size > most {
            return Err(format!("a message of more than {most} bytes"));
        }
        self.too_large = Some(size);
        if self.message.capacity() > KEPT {
            let kept = self.message[..self.message.len().min(KEPT)].to_vec();
            self.spares.give_back(std::mem::replace(&mut self.message, kept));
        }
        Ok(())
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

/// The beginning of what is text, for a log.
pub fn text(bytes: &[u8]) -> Option<String> {
    let is_text = |b: &u8| b.is_ascii_graphic() || b" \r\n\t".contains(b);
    let is_so = bytes.iter().take(2 * INT).all(is_text);
    is_so.then(|| bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string())
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
        assert_eq!(whole[0], Message { serial: 7, bytes: b"abcdefgh".to_vec(), too_large: None });
        assert_eq!(whole[1], Message { serial: -1, bytes: Vec::new(), too_large: None });
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
    fn what_is_too_large_is_passed_over_but_for_its_beginning() {
        let whole: Vec<u8> = (0..KEPT + 5000).map(|i| i as u8).collect();
        for chunk in [1000, 8192, whole.len()] {
            let mut bytes = Vec::new();
            put(&mut bytes, 1, &[b"before"]);
            put(&mut bytes, 2, &whole.chunks(chunk).collect::<Vec<_>>());
            put(&mut bytes, 3, &[b"behind"]);
            for cut in [7, 4096, bytes.len()] {
                let mut f = Frames::passing_over(4000, Arc::default());
                let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
                let got = feed(&mut f, &pieces).unwrap();
                assert_eq!(got.iter().map(|m| m.serial).collect::<Vec<_>>(), [1, 2, 3]);
                assert_eq!((got[1].too_large, &got[1].bytes[..]), (Some(whole.len()), &whole[..KEPT]));
                assert_eq!((got[2].too_large, &got[2].bytes[..]), (None, &b"behind"[..]));
            }
            assert!(feed(&mut Frames::new(4000), &[&bytes]).unwrap_err().contains("more than 4000"));
        }
        // What was there before it was too large is given back.
        let mut f = Frames::passing_over(1 << 20, Arc::default());
        let mut bytes = Vec::new();
        put(&mut bytes, 1, &[&vec![1; 1 << 20]]);
        bytes[7] = 2;
        assert_eq!(feed(&mut f, &[&bytes, &1i32.to_be_bytes()]), Ok(Vec::new()));
        assert_eq!((f.held(), f.message.capacity()), (KEPT, KEPT));
    }

    #[test]
    fn nobody_waits_for_a_gigabyte() {
        let frame = |lengths: &[i32]| {
            let begin = [7, lengths.len() as i32, lengths[0]].map(i32::to_be_bytes).concat();
            [
                begin,
                vec![0; lengths[0] as usize % (1 << 20)],
                lengths[1..].iter().flat_map(|l| l.to_be_bytes()).collect(),
            ]
            .concat()
        };
        let mut f = Frames::passing_over(400, Arc::default());
        assert_eq!(feed(&mut f, &[&frame(&[1 << 30])]), Ok(Vec::new()));
        for lengths in [&[(1 << 30) + (1 << 20)][..], &[i32::MAX], &[500, 1 << 30], &[300, 1 << 30]] {
            let got = feed(&mut Frames::passing_over(400, Arc::default()), &[&frame(lengths)]);
            assert_eq!(got, Err("a message of more than 1073741824 bytes".to_owned()), "{lengths:?}");
        }
        let negative = feed(&mut Frames::passing_over(400, Arc::default()), &[&frame(&[500, -1])]);
        assert_eq!(negative, Err("a chunk of -1 bytes".to_owned()));
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
        let why = Frames::new(400).feed(b"<34>Oct 11 22:14:15\n").1.unwrap_err();
        assert_eq!(why, "no Avro RPC: it begins with \"<34>Oct \"");
    }
}
