//! Lines of text, as the netcat source takes them (reference, sources.md 9).
//!
//! ```text
//!   event = *( any byte but LF ) LF        body: the bytes before LF, CR included; may be empty
//! ```
//!
//! The limit counts Java characters (UTF-16 units) with the LF, so a body may have `limit - 1`; a longer
//! one ends the connection after the lines before it are stored. A tail without LF is an event when the
//! input ends (Flume drops it silently). UTF-8 is not decoded, bodies are spans of the read buffer and
//! invalid bytes pass through; other charsets are decoded into a text of our own and copied from there.
//! The decoder remembers how far it looked, so a line that comes in drops costs no more than its length.

use super::charset::{Charset, Decoder};
use super::{BatchLimits, Chunk, Decoded, Fault, Then};
use crate::event::{Batch, Body};
use memchr::memchr;

/// Room in a batch's byte limit for what an event takes beside its body.
const EVENT_BYTES: usize = 64;

pub struct LineDecoder {
    charset: Charset,
    lines: Lines,
    /// For charsets that must be decoded; boxed because most connections have none.
    text: Option<Box<Text>>,
}

/// Decoded text, of which the first `taken` bytes are in batches already.
struct Text {
    decoder: Decoder,
    bytes: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl LineDecoder {
    /// `max_line_length` counts the newline too.
    pub fn new(max_line_length: usize, charset: Charset) -> LineDecoder {
        let text = (!charset.is_plain()).then(|| {
            Box::new(Text { decoder: charset.decoder(), bytes: Vec::new(), taken: 0, ended: false })
        });
        LineDecoder { charset, lines: Lines { limit: max_line_length, seen: 0, counted: 0, units: 0 }, text }
    }

    /// Bytes of decoded text that wait for the end of their line.
    pub fn held(&self) -> usize {
        self.text.as_ref().map_or(0, |t| t.bytes.capacity())
    }

    /// Puts the complete lines of the chunk into the batch; `eof` when no more bytes will come.
    pub fn decode(
        &mut self,
        chunk: &Chunk<'_>,
        eof: bool,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Decoded {
        let LineDecoder { charset, lines, text } = self;
        let Some(text) = text else {
            let mut segment = None;
            return lines.take(chunk.bytes(), eof, limits, *charset, batch, |batch, from, to| {
                let segment = *segment.get_or_insert_with(|| batch.attach(chunk.buffer));
                batch.push(Body::At(batch.span_of(segment, chunk.from + from, chunk.from + to)));
            });
        };
        if !text.ended {
            text.decoder.decode(chunk.bytes(), eof, &mut text.bytes);
            text.ended = eof;
        }
        let source = &text.bytes[text.taken..];
        let decoded = lines.take(source, text.ended, limits, *charset, batch, |batch, from, to| {
            batch.push(Body::Copy(&source[from..to]));
        });
        text.taken += decoded.used;
        if decoded.then != Then::Full {
            text.bytes.drain(..text.taken);
            text.taken = 0;
        }
        Decoded { used: chunk.bytes().len(), ..decoded }
    }
}

/// Cuts bytes at newlines. All positions are relative to the first byte not taken yet.
struct Lines {
    limit: usize,
    /// Bytes known to hold no newline.
    seen: usize,
    /// Bytes whose characters are in `units`; only a line with more bytes than `limit` is counted.
    counted: usize,
    units: usize,
}

impl Lines {
    fn take(
        &mut self,
        bytes: &[u8],
        eof: bool,
        limits: BatchLimits,
        charset: Charset,
        batch: &mut Batch,
        mut put: impl FnMut(&mut Batch, usize, usize),
    ) -> Decoded {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let newline = memchr(b'\n', &rest[self.seen.min(rest.len())..]).map(|i| i + self.seen);
            let len = newline.unwrap_or(rest.len());
            if self.is_too_long(&rest[..len]) {
                return Decoded { used: at, then: Then::Fail(self.fault(charset)) };
            }
            if newline.is_none() && !(eof && len > 0) {
                self.seen = len;
                return Decoded { used: at, then: Then::NeedMore };
            }
            if batch.len() >= limits.events
                || (!batch.is_empty() && batch.weight() + len + EVENT_BYTES > limits.bytes)
            {
                self.seen = len;
                return Decoded { used: at, then: Then::Full };
            }
            put(batch, at, at + len);
            at = bytes.len().min(at + len + 1);
            (self.seen, self.counted, self.units) = (0, 0, 0);
        }
    }

    /// Whether a line, or its beginning, has no room for a newline within the limit. A character is at
    /// least one byte and, where the bytes are valid, at most three bytes a unit.
    fn is_too_long(&mut self, line: &[u8]) -> bool {
        if line.len() < self.limit {
            return false;
        }
        if line.len() >= self.limit.saturating_mul(3) {
            return true;
        }
        for b in &line[self.counted..] {
            // Continuation bytes add nothing, the lead of a four-byte character stands for two units.
            self.units += usize::from(b & 0xc0 != 0x80) + usize::from(*b >= 0xf0);
        }
        self.counted = line.len();
        self.units >= self.limit
    }

    fn fault(&self, charset: Charset) -> Fault {
        let reason = format!("Event exceeds the maximum length ({} chars, including newline)", self.limit);
        Fault { answer: charset.encode(&format!("FAILED: {reason}\n")), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::{every_cut, pieces, Random, Seen};
    use super::*;
    use crate::event::Buffer;

    const WIDE: BatchLimits = BatchLimits { events: 1000, bytes: 1 << 20 };

    fn decoder(
        limit: usize,
        charset: &str,
        limits: BatchLimits,
    ) -> impl FnMut(&Chunk<'_>, bool, &mut Batch) -> Decoded {
        let mut lines = LineDecoder::new(limit, Charset::named(charset).unwrap());
        move |chunk, eof, batch| lines.decode(chunk, eof, limits, batch)
    }

    fn bodies(seen: &[Seen]) -> Vec<&[u8]> {
        seen.iter().map(|s| &s.body[..]).collect()
    }

    /// Bodies and whether it failed, fed in every way, by large and by small batches.
    fn lines(limit: usize, charset: &str, input: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let (seen, fault) = every_cut(|| decoder(limit, charset, WIDE), input);
        for limits in [BatchLimits { events: 1, bytes: 1000 }, BatchLimits { events: 9, bytes: 1 }] {
            assert_eq!(every_cut(|| decoder(limit, charset, limits), input), (seen.clone(), fault.clone()));
        }
        (seen.into_iter().map(|s| s.body).collect(), fault.is_some())
    }

    #[test]
    fn each_line_is_an_event() {
        assert_eq!(lines(512, "utf-8", b""), (vec![], false));
        assert_eq!(lines(512, "utf-8", b"a\nbc\n"), (vec![b"a".to_vec(), b"bc".to_vec()], false));
        assert_eq!(lines(512, "utf-8", b"a\r\n\n"), (vec![b"a\r".to_vec(), vec![]], false));
        assert_eq!(lines(512, "utf-8", b"a\ntail"), (vec![b"a".to_vec(), b"tail".to_vec()], false));
        assert_eq!(lines(512, "utf-8", b"\xff\x00\n"), (vec![b"\xff\x00".to_vec()], false));
    }

    #[test]
    fn the_limit_counts_the_newline() {
        assert_eq!(lines(5, "utf-8", b"1234\n"), (vec![b"1234".to_vec()], false));
        assert_eq!(lines(5, "utf-8", b"ok\n12345\nno\n"), (vec![b"ok".to_vec()], true));
        assert_eq!(lines(5, "utf-8", b"ok\n12345"), (vec![b"ok".to_vec()], true));
        assert_eq!(lines(1, "utf-8", b"\n\n"), (vec![vec![], vec![]], false));
        let (_, fault) = pieces(decoder(5, "utf-8", WIDE), &[b"12345"]);
        let answer = b"FAILED: Event exceeds the maximum length (5 chars, including newline)\n";
        assert_eq!(fault.unwrap().answer, answer);
    }

    #[test]
    fn the_limit_counts_characters_not_bytes() {
        let four = "\u{e4}\u{20ac}\u{e4}\u{20ac}\n".as_bytes();
        assert_eq!(lines(5, "utf-8", four), (vec![four[..four.len() - 1].to_vec()], false));
        assert!(lines(4, "utf-8", four).1);
        // One character beyond the basic plane is two of Java's.
        assert!(!lines(3, "utf-8", "\u{1f600}\n".as_bytes()).1);
        assert!(lines(2, "utf-8", "\u{1f600}\n".as_bytes()).1);
        // Bytes that never make a character are bounded too.
        assert!(lines(5, "utf-8", &[0x80; 15]).1);
        assert!(!lines(5, "utf-8", &[0x80; 14]).1);
    }

    #[test]
    fn other_charsets_become_utf_8() {
        let (seen, bad) = lines(5, "latin1", b"\xe4\xf6\nx");
        assert_eq!((seen, bad), (vec!["\u{e4}\u{f6}".into(), b"x".to_vec()], false));
        let (seen, bad) = lines(5, "utf-16", b"\xff\xfea\0\n\0\n\0b\0");
        assert_eq!((seen, bad), (vec![b"a".to_vec(), vec![], b"b".to_vec()], false));
        let (_, fault) = pieces(decoder(3, "utf-16be", WIDE), &[b"\0a\0b\0c"]);
        assert!(fault.unwrap().answer.starts_with(b"\0F\0A\0I\0L"));
    }

    #[test]
    fn bodies_are_spans_of_the_read_buffer() {
        let buffer = Buffer::owned(b"one\ntwo\n".to_vec());
        let mut batch = Batch::new();
        let chunk = Chunk { buffer: &buffer, from: 0, to: 8 };
        let decoded = LineDecoder::new(512, Charset::UTF_8).decode(&chunk, false, WIDE, &mut batch);
        assert_eq!(decoded, Decoded { used: 8, then: Then::NeedMore });
        assert_eq!(batch.get(1).body().as_ptr(), buffer[4..].as_ptr());
    }

    #[test]
    fn a_full_batch_leaves_the_rest_for_the_next_call() {
        let buffer = Buffer::owned(b"a\nb\nc\n".to_vec());
        let chunk = Chunk { buffer: &buffer, from: 0, to: 6 };
        let limits = BatchLimits { events: 2, bytes: 100 };
        let mut batch = Batch::new();
        let decoded = LineDecoder::new(512, Charset::UTF_8).decode(&chunk, false, limits, &mut batch);
        assert_eq!(decoded, Decoded { used: 4, then: Then::Full });
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn no_input_panics() {
        let vectors: [&[u8]; 4] = [b"a line\n", b"\n\n", "\u{20ac}\u{1f600}\r\n".as_bytes(), b"\xff\xfe\0\n"];
        let mut random = Random(7);
        for round in 0..4000 {
            let input = random.mutate(&vectors);
            let charset = ["utf-8", "latin1", "utf-16", "shift_jis"][round % 4];
            let limits = BatchLimits { events: 1 + random.below(4), bytes: random.below(40) };
            let limit = 1 + random.below(30);
            let whole = pieces(decoder(limit, charset, limits), &[&input]);
            let parts = pieces(decoder(limit, charset, limits), &random.split(&input));
            assert_eq!(bodies(&parts.0), bodies(&whole.0), "{charset} {limit} {input:?}");
            assert_eq!(parts.1, whole.1);
        }
    }
}
