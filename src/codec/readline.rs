//! Lines as Java's `readLine` takes them: what the exec source makes events of (reference, sources.md 4).
//!
//! ```text
//!   event = *( any byte but CR and LF ) ( LF / CR [LF] / end of input )
//! ```
//!
//! An empty line is an empty event; at the end of input a line without an end is an event. A CR ends its line at once,
//! so that nothing waits for the byte behind it. Flume decodes a line and encodes it again with the same charset; where
//! CR and LF cannot be part of other characters the result is the line itself, so bodies are spans of the read buffer
//! and bytes the charset does not know pass through. UTF-16 is decoded and encoded. A line above the limit becomes
//! several events, cut between UTF-8 characters.

use super::charset::{Charset, Decoder};
use super::{BatchLimits, Chunk, Decoded, Then};
use crate::event::{Batch, Body};
use memchr::memchr2;

/// Room in a batch's byte limit for what an event takes beside its body.
const EVENT_BYTES: usize = 64;

pub struct ReadLine {
    charset: Charset,
    lines: Lines,
    text: Option<Text>,
}

/// Decoded text, of which the first `taken` bytes are in batches already.
struct Text {
    decoder: Decoder,
    bytes: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl ReadLine {
    /// Lines of more than `longest` bytes are cut.
    pub fn new(longest: usize, charset: Charset) -> ReadLine {
        let text = (!charset.shows_line_ends()).then(|| Text {
            decoder: charset.decoder(),
            bytes: Vec::new(),
            taken: 0,
            ended: false,
        });
        let lines = Lines { longest, seen: 0, after_cr: false, in_cut: false, cut: 0 };
        ReadLine { charset, lines, text }
    }

    /// How many lines were cut since the last time this was asked.
    pub fn take_cut(&mut self) -> usize {
        std::mem::take(&mut self.lines.cut)
    }

    /// Puts the complete lines of the chunk into the batch; `eof` when no more bytes will come.
    pub fn decode(
        &mut self,
        chunk: &Chunk<'_>,
        eof: bool,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Decoded {
        let ReadLine { charset, lines, text } = self;
        let Some(text) = text else {
            let mut segment = None;
            return lines.take(chunk.bytes(), eof, limits, batch, |batch, from, to| {
                let segment = *segment.get_or_insert_with(|| batch.attach(chunk.buffer));
                batch.push(Body::At(batch.span_of(segment, chunk.from + from, chunk.from + to)));
            });
        };
        if !text.ended {
            text.decoder.decode(chunk.bytes(), eof, &mut text.bytes);
            text.ended = eof;
        }
        let source = &text.bytes[text.taken..];
        let decoded = lines.take(source, text.ended, limits, batch, |batch, from, to| {
            // A decoder writes UTF-8, which is cut between its characters.
            let line = String::from_utf8_lossy(&source[from..to]);
            batch.push(Body::Copy(&charset.encode(&line)));
        });
        text.taken += decoded.used;
        if decoded.then != Then::Full {
            text.bytes.drain(..text.taken);
            text.taken = 0;
        }
        Decoded { used: chunk.bytes().len(), ..decoded }
    }
}

/// Cuts bytes into lines. All positions are relative to the first byte not taken yet.
struct Lines {
    longest: usize,
    /// Bytes known to hold no line end.
    seen: usize,
    /// The last line ended in CR: a LF now belongs to it.
    after_cr: bool,
    /// A part of the line is an event already.
    in_cut: bool,
    cut: usize,
}

impl Lines {
    fn take(
        &mut self,
        bytes: &[u8],
        eof: bool,
        limits: BatchLimits,
        batch: &mut Batch,
        mut put: impl FnMut(&mut Batch, usize, usize),
    ) -> Decoded {
        let mut at = 0;
        loop {
            if self.after_cr && at < bytes.len() {
                at += usize::from(bytes[at] == b'\n');
                self.after_cr = false;
            }
            // No further than where it would be cut: short pieces of much text must not be searched again and again.
            let rest = &bytes[at..];
            let rest = &rest[..rest.len().min(self.longest.saturating_add(1))];
            let end = memchr2(b'\n', b'\r', &rest[self.seen.min(rest.len())..]).map(|i| i + self.seen);
            let len = match end {
                Some(i) => i,
                None if rest.len() > self.longest => whole_characters(rest, self.longest),
                None if eof && !rest.is_empty() => rest.len(),
                None => {
                    self.seen = rest.len();
                    return Decoded { used: at, then: Then::NeedMore };
                }
            };
            if batch.len() >= limits.events
                || (!batch.is_empty() && batch.weight() + len + EVENT_BYTES > limits.bytes)
            {
                self.seen = len;
                return Decoded { used: at, then: Then::Full };
            }
            put(batch, at, at + len);
            let is_cut = end.is_none() && len < rest.len();
            self.cut += usize::from(is_cut && !self.in_cut);
            self.in_cut = is_cut;
            self.after_cr = end.is_some() && rest[len] == b'\r';
            self.seen = 0;
            at += len + usize::from(end.is_some());
        }
    }
}

/// The largest length up to `most` after which no UTF-8 character is cut; `most` where there are none such.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    let is_start = |i: &usize| bytes[*i] & 0xc0 != 0x80;
    (most.saturating_sub(3).max(1)..=most).rev().find(is_start).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::super::feed::{every_cut, pieces, Random};
    use super::*;
    use crate::event::Buffer;

    const WIDE: BatchLimits = BatchLimits { events: 1000, bytes: 1 << 20 };

    fn decoder(longest: usize, charset: &str) -> impl FnMut(&Chunk<'_>, bool, &mut Batch) -> Decoded {
        let mut lines = ReadLine::new(longest, Charset::named(charset).unwrap());
        move |chunk, eof, batch| lines.decode(chunk, eof, WIDE, batch)
    }

    /// The lines of the input, whichever way it is cut.
    fn lines(longest: usize, charset: &str, input: &[u8]) -> Vec<Vec<u8>> {
        let (seen, fault) = every_cut(|| decoder(longest, charset), input);
        assert_eq!(fault, None);
        seen.into_iter().map(|s| s.body).collect()
    }

    #[test]
    fn every_line_end_and_none() {
        assert_eq!(lines(100, "utf-8", b"a\nb\rc\r\nd"), [b"a", b"b", b"c", b"d"]);
        assert_eq!(lines(100, "utf-8", b"\n\r\r\n\n\rx\r"), [&b""[..], b"", b"", b"", b"", b"x"]);
        assert_eq!(lines(100, "utf-8", b""), [b""; 0]);
        assert_eq!(lines(100, "utf-8", b"\xff\xc3\n"), [b"\xff\xc3"]);
        assert_eq!(lines(100, "Shift_JIS", b"\x83\x5c\n\xb1"), [&b"\x83\x5c"[..], b"\xb1"]);
    }

    #[test]
    fn a_cr_ends_its_line_without_the_next_byte() {
        let mut lines = decoder(100, "utf-8");
        let buffer = Buffer::owned(b"a\r".to_vec());
        let mut batch = Batch::new();
        let done = lines(&Chunk { buffer: &buffer, from: 0, to: 2 }, false, &mut batch);
        assert_eq!((done.used, batch.len()), (2, 1));
    }

    #[test]
    fn long_lines_are_cut_between_characters_and_counted_once() {
        assert_eq!(lines(4, "utf-8", b"1234\n12345\r\n"), [&b"1234"[..], b"1234", b"5"]);
        assert_eq!(lines(4, "utf-8", b"12345678\n1"), [&b"1234"[..], b"5678", b"1"]);
        assert_eq!(lines(4, "utf-8", "123\u{e4}5\n".as_bytes()), [&b"123"[..], "\u{e4}5".as_bytes()]);
        assert_eq!(lines(4, "utf-8", &[0x80; 9]), [&[0x80; 4][..], &[0x80; 4], &[0x80]]);
        let mut l = ReadLine::new(4, Charset::UTF_8);
        pieces(|c, eof, b| l.decode(c, eof, WIDE, b), &[b"1234567890\n", b"1\n12345"]);
        assert_eq!((l.take_cut(), l.take_cut()), (2, 0));
    }

    #[test]
    fn utf_16_bodies_stay_utf_16() {
        let utf16 = |t: &str| Charset::named("utf-16le").unwrap().encode(t);
        assert_eq!(lines(100, "utf-16le", &utf16("a\u{e4}\r\n\nz")), [utf16("a\u{e4}"), vec![], utf16("z")]);
        // U+0A0D and U+0D0A are letters, not line ends.
        assert_eq!(lines(100, "utf-16le", &utf16("\u{a0d}\u{d0a}\n")), [utf16("\u{a0d}\u{d0a}")]);
        assert_eq!(
            lines(4, "utf-16le", &utf16("\u{e4}\u{e4}\u{e4}\n")),
            [utf16("\u{e4}\u{e4}"), utf16("\u{e4}")]
        );
    }

    #[test]
    fn full_batches_lose_nothing_however_the_input_comes() {
        for seed in 1..200u64 {
            let mut random = Random(seed * 7919);
            let input: Vec<u8> = (0..random.below(400)).map(|_| b"ab\n\r"[random.below(4)]).collect();
            for charset in ["utf-8", "utf-16be"] {
                let input: Vec<u8> = match charset {
                    "utf-8" => input.clone(),
                    _ => input.iter().flat_map(|b| [0, *b]).collect(),
                };
                let limits = BatchLimits { events: 1 + random.below(4), bytes: 1 + random.below(300) };
                let longest = 2 + random.below(5);
                let mut l = ReadLine::new(longest, Charset::named(charset).unwrap());
                let cut = random.split(&input);
                let got = pieces(|c, eof, b| l.decode(c, eof, limits, b), &cut).0;
                let expected = pieces(decoder(longest, charset), &[&input]).0;
                assert_eq!(got, expected, "seed {seed}, {charset}");
            }
        }
    }
}
