//! A body on its way in that does not lie whole in what was read: put together piece by piece, chunks and codings undone.
//!
//! One growing piece of memory holds what was made so far. Nothing that is declared sizes it beyond 1 MiB, nothing that
//! comes beyond the source's limit, compressed or not: a bomb is refused (413) when it has filled that. What is inflated
//! in one turn is bounded. Belongs to one request.

use super::chunked::{Chunks, Next};
use super::head::{Coding, Length, Refused};
use crate::event::Spares;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, Write};
use std::sync::Arc;

/// For so much of a declared body there is room before it is there.
const BELIEVED: u64 = 1 << 20;
/// What is inflated in one turn, or a little more.
const TURN: usize = 256 << 10;
/// What is inflated at once.
const PIECE: usize = 32 << 10;
/// What an inflating stream takes beside what it makes: a window, tables, and its buffer.
const STATE: usize = 80 << 10;

/// What there is of it.
pub struct Body {
    length: Length,
    chunks: Chunks,
    sink: Sink,
    most: usize,
    spares: Arc<Spares>,
}

enum Sink {
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<Deflate>),
}

/// zlib as RFC 9110 has it, or a raw deflate stream, as some send it.
struct Deflate {
    /// Made when the first two bytes are there, which tell the one from the other.
    stream: Option<Decompress>,
    first: Option<u8>,
    has_ended: bool,
    made: Vec<u8>,
}

/// What came of the bytes that were given.
#[derive(Debug, PartialEq, Eq)]
pub enum Fed {
    NeedMore,
    /// Enough for this turn.
    Pause,
    End,
}

impl Body {
    pub fn new(length: Length, coding: Coding, most: usize, spares: &Arc<Spares>) -> Body {
        let believed = match length {
            Length::Bytes(n) => n.min(BELIEVED) as usize,
            Length::Chunked => 0,
        };
        let made = spares.take(believed.min(most));
        let sink = match coding {
            Coding::Identity => Sink::Plain(made),
            Coding::Gzip => Sink::Gzip(Box::new(MultiGzDecoder::new(made))),
            Coding::Deflate => {
                Sink::Deflate(Box::new(Deflate { stream: None, first: None, has_ended: false, made }))
            }
        };
        Body { length, chunks: Chunks::default(), sink, most, spares: spares.clone() }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        match &self.sink {
            Sink::Plain(made) => made.len(),
            Sink::Gzip(gzip) => STATE + gzip.get_ref().len(),
            Sink::Deflate(deflate) => STATE + deflate.made.len(),
        }
    }

    /// Takes what it can of `bytes`: how many, and what is to follow.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Fed), Refused> {
        let (mut used, before) = (0, self.held());
        loop {
            let missing = match &mut self.length {
                Length::Bytes(n) => *n,
                Length::Chunked => match self.chunks.next(&bytes[used..])? {
                    (n, Next::NeedMore) => return Ok((used + n, Fed::NeedMore)),
                    (n, Next::End) => return Ok((used + n, Fed::End)),
                    (n, Next::Data(missing)) => {
                        used += n;
                        missing
                    }
                },
            };
            if missing == 0 {
                return Ok((used, Fed::End));
            }
            let rest = &bytes[used..];
            let here = rest.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            if here == 0 {
                return Ok((used, Fed::NeedMore));
            }
            let room = TURN.saturating_sub(self.held() - before);
            if room == 0 && !matches!(self.sink, Sink::Plain(_)) {
                return Ok((used, Fed::Pause));
            }
            let took = self.push(&rest[..here], here as u64 == missing)?;
            used += took;
            match &mut self.length {
                Length::Bytes(n) => *n -= took as u64,
                Length::Chunked => self.chunks.took(took),
            }
        }
    }

    /// Takes some bytes of the body, of a coded one perhaps not all.
    fn push(&mut self, bytes: &[u8], is_all: bool) -> Result<usize, Refused> {
        let took = match &mut self.sink {
            Sink::Plain(made) => {
                if bytes.len() > self.most - made.len() {
                    return Err(too_large(self.most));
                }
                let needed = made.len() + bytes.len();
                if needed > made.capacity() {
                    let room = if is_all { needed } else { (needed * 2).min(self.most) };
                    let mut larger = self.spares.take(room);
                    larger.extend_from_slice(made);
                    self.spares.give_back(std::mem::replace(made, larger));
                }
                made.extend_from_slice(bytes);
                bytes.len()
            }
            Sink::Gzip(gzip) => {
                let took = gzip.write(bytes).map_err(broken)?;
                if took == 0 {
                    return Err(Refused::new(400, "the gzip stream ends before the body"));
                }
                took
            }
            Sink::Deflate(deflate) => deflate.push(bytes)?,
        };
        self.check()?;
        Ok(took)
    }

    fn check(&self) -> Result<(), Refused> {
        let made = match &self.sink {
            Sink::Plain(made) => made,
            Sink::Gzip(gzip) => gzip.get_ref(),
            Sink::Deflate(deflate) => &deflate.made,
        };
        match made.len() > self.most {
            true => Err(too_large(self.most)),
            false => Ok(()),
        }
    }

    /// The whole body, once it has come to its end.
    pub fn finish(mut self) -> Result<Vec<u8>, Refused> {
        if let Sink::Gzip(gzip) = &mut self.sink {
            gzip.try_finish().map_err(broken)?;
        }
        self.check()?;
        if let Sink::Deflate(deflate) = &mut self.sink {
            // What was taken in may not all have come out.
            while !deflate.has_ended && deflate.goes_on()? {
                if deflate.made.len() > self.most {
                    return Err(too_large(self.most));
                }
            }
        }
        let mut made = match self.sink {
            Sink::Plain(made) => made,
            Sink::Gzip(mut gzip) => std::mem::take(gzip.get_mut()),
            Sink::Deflate(deflate) if deflate.has_ended => deflate.made,
            Sink::Deflate(_) => return Err(Refused::new(400, "the body ends within its deflate stream")),
        };
        if made.capacity() / 2 > made.len() {
            made.shrink_to_fit();
        }
        Ok(made)
    }
}

impl Deflate {
    fn push(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        if self.has_ended {
            return Err(Refused::new(400, "the deflate stream ends before the body"));
        }
        if self.stream.is_none() {
            let (first, second) = match (self.first, bytes) {
                (Some(first), [second, ..]) => (first, *second),
                (None, [first, rest @ ..]) => match rest.first() {
                    Some(second) => (*first, *second),
                    None => {
                        self.first = Some(*first);
                        return Ok(1);
                    }
                },
                (_, []) => return Ok(0),
            };
            // RFC 1950, 2.2: the method, and a checksum of both bytes.
            let is_zlib = first & 15 == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31);
            self.stream = Some(Decompress::new(is_zlib));
            if let Some(first) = self.first.take() {
                self.inflate(&[first])?;
            }
        }
        self.inflate(bytes)
    }

    /// Whether more comes out although nothing more goes in.
    fn goes_on(&mut self) -> Result<bool, Refused> {
        let before = self.made.len();
        match self.step(&[]) {
            Ok(_) => Ok(self.has_ended || self.made.len() > before),
            Err(refused) => Err(refused),
        }
    }

    fn inflate(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let before = self.made.len();
        let took = self.step(bytes)?;
        match took == 0 && self.made.len() == before && !self.has_ended {
            true => Err(Refused::new(400, "the body is no deflate stream: it does not go on")),
            false => Ok(took),
        }
    }

    /// Inflates a piece; how many bytes went in.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        self.made.reserve(PIECE);
        let before = stream.total_in();
        let room = self.made.len();
        // A vector may have more room than is to be filled at once.
        self.made.resize(room + PIECE, 0);
        let from = stream.total_out();
        let status = stream
            .decompress(bytes, &mut self.made[room..], FlushDecompress::None)
            .map_err(|e| Refused::new(400, format!("the body is no deflate stream: {e}")))?;
        self.made.truncate(room + (stream.total_out() - from) as usize);
        self.has_ended = status == Status::StreamEnd;
        Ok((stream.total_in() - before) as usize)
    }
}

fn too_large(most: usize) -> Refused {
    Refused::new(413, format!("a body of more than {most} bytes: see the source's maxRequestBytes"))
}

fn broken(e: io::Error) -> Refused {
    Refused::new(400, format!("the body is no gzip stream: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use flate2::Compression;

    /// The body made of these pieces, by turns; the status it is refused with, or `None` if it has no end.
    fn read(length: Length, coding: Coding, most: usize, pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, u16> {
        let mut body = Body::new(length, coding, most, &Arc::default());
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let held = body.held();
                let (used, fed) = body.feed(rest).map_err(|r| r.status)?;
                assert!(body.held() - held <= TURN + 2 * PIECE || coding == Coding::Identity);
                rest = &rest[used..];
                match fed {
                    Fed::NeedMore => {
                        assert!(rest.is_empty());
                        break;
                    }
                    Fed::Pause => assert!(!rest.is_empty()),
                    Fed::End => return body.finish().map(Some).map_err(|r| r.status),
                }
            }
        }
        Ok(None)
    }

    fn coded(coding: Coding, is_raw: bool, text: &[u8]) -> Vec<u8> {
        let level = Compression::new(6);
        let mut out = Vec::new();
        match (coding, is_raw) {
            (Coding::Identity, _) => out.extend_from_slice(text),
            (Coding::Gzip, _) => GzEncoder::new(&mut out, level).write_all(text).unwrap(),
            (Coding::Deflate, true) => DeflateEncoder::new(&mut out, level).write_all(text).unwrap(),
            (Coding::Deflate, false) => ZlibEncoder::new(&mut out, level).write_all(text).unwrap(),
        }
        out
    }

    fn noise(n: u32) -> Vec<u8> {
        (0..n).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect()
    }

    #[test]
    fn every_coding_in_every_cut() {
        let text = noise(3000);
        for (coding, is_raw) in [
            (Coding::Identity, false),
            (Coding::Gzip, false),
            (Coding::Deflate, false),
            (Coding::Deflate, true),
        ] {
            let sent = coded(coding, is_raw, &text);
            let length = Length::Bytes(sent.len() as u64);
            let single: Vec<&[u8]> = sent.chunks(1).collect();
            assert_eq!(read(length, coding, 3000, &single), Ok(Some(text.clone())), "{coding:?}");
            for at in 0..sent.len() {
                let got = read(length, coding, 3000, &[&sent[..at], &sent[at..]]);
                assert_eq!(got, Ok(Some(text.clone())), "{coding:?} at {at}");
            }
            assert_eq!(read(length, coding, 2999, &[&sent]), Err(413));
            // The same in chunks.
            let chunks: Vec<u8> = sent
                .chunks(700)
                .flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
                .chain(*b"0\r\n\r\n")
                .collect();
            assert_eq!(read(Length::Chunked, coding, 3000, &[&chunks]), Ok(Some(text.clone())));
            assert_eq!(read(Length::Chunked, coding, 2999, &[&chunks]), Err(413));
        }
    }

    #[test]
    fn streams_that_end_too_early_or_too_late_are_refused() {
        for (coding, is_raw) in [(Coding::Gzip, false), (Coding::Deflate, false), (Coding::Deflate, true)] {
            let sent = coded(coding, is_raw, b"some text");
            for to in 0..sent.len() {
                let got = read(Length::Bytes(to as u64), coding, 100, &[&sent[..to]]);
                let is_nothing = coding == Coding::Gzip && to == 0;
                assert!(got == Err(400) || is_nothing, "{coding:?} {is_raw} {to}: {got:?}");
            }
            let more = [&sent[..], b"more"].concat();
            assert_eq!(read(Length::Bytes(more.len() as u64), coding, 100, &[&more]), Err(400), "{coding:?}");
            assert_eq!(read(Length::Bytes(20), coding, 100, &[b"no such stream, this"]), Err(400));
        }
        let two = [coded(Coding::Gzip, false, b"one "), coded(Coding::Gzip, false, b"two")].concat();
        let got = read(Length::Bytes(two.len() as u64), Coding::Gzip, 100, &[&two]);
        assert_eq!(got, Ok(Some(b"one two".to_vec())), "members");
    }

    #[test]
    fn a_bomb_is_inflated_by_turns_and_to_the_limit() {
        let zeros = vec![0; 8 << 20];
        for (coding, is_raw) in [(Coding::Gzip, false), (Coding::Deflate, true)] {
            let bomb = coded(coding, is_raw, &zeros);
            assert!(bomb.len() < 10 << 10);
            assert_eq!(read(Length::Bytes(bomb.len() as u64), coding, 2 << 20, &[&bomb]), Err(413));
            let whole = read(Length::Bytes(bomb.len() as u64), coding, 8 << 20, &[&bomb]);
            assert!(whole.unwrap().unwrap() == zeros);
        }
    }

    #[test]
    fn nothing_declared_sizes_memory() {
        let body = Body::new(Length::Bytes(10 << 30), Coding::Identity, 1 << 30, &Arc::default());
        let Sink::Plain(made) = &body.sink else { panic!() };
        assert!(made.capacity() as u64 <= BELIEVED);
    }

    /// The input may be used up while output waits within the stream.
    #[test]
    fn what_goes_in_comes_out_whatever_its_size() {
        let sizes = (1..4).flat_map(|n| (0..40).map(move |more| n * PIECE - 20 + more * 7));
        for size in sizes {
            let text = vec![b'a'; size];
            let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
            raw.write_all(&text).unwrap();
            zlib.write_all(&text).unwrap();
            for bytes in [raw.finish().unwrap(), zlib.finish().unwrap()] {
                let (all, single): (_, Vec<&[u8]>) = ([&bytes[..]], bytes.chunks(1).collect());
                for pieces in [&all[..], &single] {
                    let length = Length::Bytes(bytes.len() as u64);
                    let got = read(length, Coding::Deflate, 1 << 20, pieces);
                    assert!(got == Ok(Some(text.clone())), "{size}");
                }
                let cut = &bytes[..bytes.len() - 2];
                let got = read(Length::Bytes(cut.len() as u64), Coding::Deflate, 1 << 20, &[cut]);
                assert!(got == Err(400), "{size}, cut");
            }
        }
    }
}
