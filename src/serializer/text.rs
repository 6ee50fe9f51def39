//! TEXT: the body of each event and, unless told otherwise, a line feed. Newlines in bodies stay as they are.
//!
//! Lines that came in one read still stand side by side in the read buffer, each with the very line feed we
//! would add. Such neighbours are put as one piece, which the output may write without copying it.
//! Belongs to the thread of its sink; no state.

use super::{tail, Output, Serializer, SerializerSpec, APPEND_NEWLINE};
use crate::config::{Context, Declared, Kind, Spec};
use crate::event::EventRef;

pub static SPEC: SerializerSpec = Spec {
    declared: Declared {
        kind: Kind::Serializer,
        name: "TEXT",
        class: "org.apache.flume.serialization.BodyTextEventSerializer$Builder",
        help: "bodies, a line each; headers are left out",
        keys: &[&[APPEND_NEWLINE]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build,
};

fn build(ctx: &Context) -> Box<dyn Serializer> {
    Box::new(Text { tail: tail(ctx) })
}

struct Text {
    tail: &'static [u8],
}

impl Serializer for Text {
    fn write(&mut self, event: EventRef<'_>, out: &mut dyn Output) {
        out.put(event.body());
        out.put(self.tail);
    }

    fn write_all<'a>(&mut self, events: &mut dyn Iterator<Item = EventRef<'a>>, out: &mut dyn Output) {
        // Memory from the first body of the piece to the end of its segment, and how much of it is the piece.
        let (mut memory, mut piece): (&[u8], usize) = (&[], 0);
        for event in events {
            let body = event.body();
            let mut end = None;
            if body.as_ptr() == memory[piece..].as_ptr() {
                end = self.end_of_line(memory, piece, body.len());
            }
            if end.is_none() {
                out.put(&memory[..piece]);
                (memory, piece) = (event.body_and_rest(), 0);
                end = self.end_of_line(memory, 0, body.len());
            }
            match end {
                Some(end) => piece = end,
                None => {
                    self.write(event, out);
                    memory = &[];
                }
            }
        }
        out.put(&memory[..piece]);
    }
}

impl Text {
    /// Where the line that starts at `from` ends, if `memory` holds it together with its tail. An address
    /// alone does not prove that a body lies in `memory` (it may begin where `memory` ends); its end inside does.
    fn end_of_line(&self, memory: &[u8], from: usize, body: usize) -> Option<usize> {
        let end = from + body;
        // Byte by byte: comparing slices of one byte is a call, at every event.
        match self.tail.first() {
            None => (end <= memory.len()).then_some(end),
            Some(last) => (memory.get(end) == Some(last)).then_some(end + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Body, Buffer};

    /// Remembers the pieces it is given.
    #[derive(std::default::Default)]
    struct Pieces(Vec<Vec<u8>>);

    impl Output for Pieces {
        fn put(&mut self, bytes: &[u8]) {
            if !bytes.is_empty() {
                self.0.push(bytes.to_vec());
            }
        }
    }

    fn pieces(tail: &'static [u8], b: &Batch) -> Vec<String> {
        let (mut fast, mut slow) = (Pieces::default(), Vec::new());
        let mut s = Text { tail };
        s.write_all(&mut b.iter(), &mut fast);
        b.iter().for_each(|e| s.write(e, &mut slow));
        assert_eq!(fast.0.concat(), slow, "a piece is what its events are one by one");
        fast.0.into_iter().map(|p| String::from_utf8(p).unwrap()).collect()
    }

    /// A batch of these spans of one buffer.
    fn spans(bytes: &str, at: &[(usize, usize)]) -> Batch {
        let mut b = Batch::new();
        let s = b.attach(&Buffer::owned(bytes.as_bytes().to_vec()));
        for (from, to) in at {
            b.push(Body::At(b.span_of(s, *from, *to)));
        }
        b
    }

    #[test]
    fn neighbouring_lines_are_one_piece() {
        let b = spans("one\n\nthree\n", &[(0, 3), (4, 4), (5, 10)]);
        assert_eq!(pieces(b"\n", &b), ["one\n\nthree\n"]);
    }

    #[test]
    fn what_is_not_side_by_side_or_lacks_its_line_feed_is_put_alone() {
        // Out of order, dropped in between, carriage returns, and a last line whose end was not read yet.
        let b = spans("one\ntwo\nsix\n", &[(4, 7), (0, 3)]);
        assert_eq!(pieces(b"\n", &b), ["two\n", "one\n"]);
        let b = spans("one\ntwo\nsix\n", &[(0, 3), (8, 11)]);
        assert_eq!(pieces(b"\n", &b), ["one\n", "six\n"]);
        let b = spans("a\r\nb\r\n", &[(0, 1), (3, 4)]);
        assert_eq!(pieces(b"\n", &b), ["a", "\n", "b", "\n"]);
        let b = spans("one\ntwo", &[(0, 3), (4, 7)]);
        assert_eq!(pieces(b"\n", &b), ["one\n", "two", "\n"]);
        let b = spans("one\n", &[(0, 3), (4, 4), (4, 4)]);
        assert_eq!(pieces(b"\n", &b), ["one\n", "\n", "\n"]);
    }

    #[test]
    fn runs_do_not_cross_buffers() {
        let mut b = Batch::new();
        for _ in 0..3 {
            let s = b.attach(&Buffer::owned(b"ab\ncd\n".to_vec()));
            b.push(Body::At(b.span_of(s, 0, 2)));
            b.push(Body::At(b.span_of(s, 3, 5)));
        }
        assert_eq!(pieces(b"\n", &b), ["ab\ncd\n"; 3]);
    }

    #[test]
    fn without_a_line_feed_bodies_touch() {
        let b = spans("onetwo\n", &[(0, 3), (3, 6), (6, 6)]);
        assert_eq!(pieces(b"", &b), ["onetwo"]);
        assert!(pieces(b"\n", &Batch::new()).is_empty());
    }

    #[test]
    fn copied_bodies_are_bodies_too() {
        let mut b = Batch::new();
        b.push(Body::Copy(b"x"));
        b.push(Body::Copy(b"\n"));
        b.push(Body::Copy(b""));
        assert_eq!(pieces(b"\n", &b).concat(), "x\n\n\n\n");
    }
}
