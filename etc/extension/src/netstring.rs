//! The netstring source, an event-driven one: each netstring is an event, and is answered by one once it is stored.
//!
//! ```text
//!   netstring = length ":" bytes ","      length: decimal, without leading zeros
//!   answer    = "2:OK," / netstring of "FAILED: " reason
//! ```
//!
//! Runs on flumed's event loop, which reads, stores, waits for room and answers: nothing here may block. A session belongs
//! to its connection, and is called by one thread at a time.

use flumed::codec::{BatchLimits, Chunk, Decoded, Fault, Then};
use flumed::component::{Source, SourceSpec};
use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use flumed::event::{Batch, Body};
use flumed::net::{After, Endpoint, Outcome, Peer, Protocol, Session, Wire};
use flumed::source_tls;
use std::sync::Arc;

const KEYS: &[Key] = &[
    Key::new("bind", Type::Text, Default::Is("127.0.0.1"), "host name or address to listen on"),
    Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
    Key::new(
        "maxLength",
        Type::Int(1, 1 << 26),
        Default::Is("65536"),
        "bytes of a body; a longer one ends the connection",
    ),
];

pub static SPEC: SourceSpec = Spec::new(
    Declared::new(Kind::Source, "netstring", "Netstrings over TCP, each answered with one")
        .class("com.acme.flume.NetstringSource")
        .keys(&[KEYS, source_tls::KEYS, source_tls::IDENTITY, source_tls::TRUST, source_tls::LISTS])
        .check(source_tls::check)
        .advice(source_tls::advice),
    build,
);

fn build(ctx: &Context) -> Source {
    let port = ctx.int("port").and_then(|p| u16::try_from(p).ok()).expect("is required and bounded");
    Source::Stream {
        endpoint: Endpoint { host: ctx.text("bind").map(str::to_owned), port },
        protocol: Arc::new(Netstring {
            longest: ctx.size("maxLength"),
            wire: Wire::tls(source_tls::server(ctx, false)),
        }),
    }
}

struct Netstring {
    longest: usize,
    wire: Wire,
}

impl Protocol for Netstring {
    /// A full channel is waited for as long as its keep-alive says; then the answer tells.
    fn can_refuse(&self) -> bool {
        true
    }

    fn longest(&self) -> usize {
        self.longest + DIGITS + 2
    }

    /// TLS, where the configuration has `ssl = true`; sessions do not see it.
    fn wire(&self) -> Wire {
        self.wire.clone()
    }

    fn open(&self, _: &Peer) -> Box<dyn Session> {
        Box::new(Netstrings { longest: self.longest })
    }
}

struct Netstrings {
    longest: usize,
}

/// Room in a batch's byte limit for what an event takes beside its body.
const EVENT_BYTES: usize = 64;
/// Of the greatest `maxLength`.
const DIGITS: usize = 8;

/// What the bytes begin with: a body from here to there, or why there will never be one; `None`: more bytes will tell.
fn front(bytes: &[u8], longest: usize) -> Option<Result<(usize, usize), &'static str>> {
    let digits = bytes.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    let is_number = digits > 0 && digits <= DIGITS && (digits == 1 || bytes[0] != b'0');
    match bytes.get(digits) {
        None if digits <= DIGITS && (digits < 2 || is_number) => return None,
        Some(b':') if is_number => {}
        _ => return Some(Err("a netstring begins with its length and a colon")),
    }
    let len = bytes[..digits].iter().fold(0, |n, b| n * 10 + usize::from(b - b'0'));
    if len > longest {
        return Some(Err("a netstring is longer than maxLength"));
    }
    let (from, to) = (digits + 1, digits + 1 + len);
    match bytes.get(to)? {
        b',' => Some(Ok((from, to))),
        _ => Some(Err("a netstring ends in a comma")),
    }
}

impl Session for Netstrings {
    fn decode(&mut self, chunk: &Chunk<'_>, eof: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
        let (bytes, mut used) = (chunk.bytes(), 0);
        let fail = |used, reason: &str| {
            let mut answer = Vec::new();
            put(&format!("FAILED: {reason}"), &mut answer);
            Decoded { used, then: Then::Fail(Fault { reason: reason.to_owned(), answer }) }
        };
        loop {
            let (from, to) = match front(&bytes[used..], self.longest) {
                Some(Ok((from, to))) => (used + from, used + to),
                Some(Err(reason)) => return fail(used, reason),
                None if eof && used < bytes.len() => return fail(used, "the connection ends in a netstring"),
                None => return Decoded { used, then: Then::NeedMore },
            };
            let is_much = batch.weight() + (to - from) + EVENT_BYTES > limits.bytes;
            if batch.len() >= limits.events || (!batch.is_empty() && is_much) {
                return Decoded { used, then: Then::Full };
            }
            // The body stays where the loop has read it.
            let segment = batch.attach(chunk.buffer);
            batch.push(Body::At(batch.span_of(segment, chunk.from + from, chunk.from + to)));
            used = to + 1;
        }
    }

    fn answer(&mut self, events: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
        let text = match outcome {
            Outcome::Stored => "OK".to_owned(),
            Outcome::Refused(why) | Outcome::TooLarge(why) => format!("FAILED: {why}"),
        };
        (0..events).for_each(|_| put(&text, out));
        After::Continue
    }
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:{text},", text.len()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::testing::{settings, talk_cut, Talk};
    use flumed::Flumed;

    fn said(bytes: &[u8], refused: Option<&str>) -> Talk {
        let settings = settings(&Flumed::new(), &SPEC.declared, "port = 0\nmaxLength = 12").unwrap();
        let Source::Stream { protocol, .. } = build(&settings) else { panic!("it is on the loop") };
        let peer = Peer { addr: "127.0.0.1:1".parse().unwrap(), name: None, is_local: true };
        talk_cut(|| protocol.open(&peer), bytes, refused)
    }

    #[test]
    fn each_netstring_is_an_event_and_gets_an_answer() {
        let talk = said(b"5:hello,0:,12:hello world!,", None);
        assert_eq!(talk.events, ["hello", "", "hello world!"]);
        assert_eq!((talk.answers.as_str(), talk.ended), ("2:OK,2:OK,2:OK,", None));
        assert_eq!(said(b"1:a,", Some("no room")).answers, "15:FAILED: no room,");
    }

    #[test]
    fn what_is_no_netstring_ends_the_connection_behind_what_was_right() {
        for (bytes, why) in [
            (&b"1:a,hello"[..], "a netstring begins with its length and a colon"),
            (b"1:a,:", "a netstring begins with its length and a colon"),
            (b"1:a,01:a,", "a netstring begins with its length and a colon"),
            (b"1:a,999999999", "a netstring begins with its length and a colon"),
            (b"1:a,13:", "a netstring is longer than maxLength"),
            (b"1:a,99999999:", "a netstring is longer than maxLength"),
            (b"1:a,1:ab", "a netstring ends in a comma"),
            (b"1:a,5:hell", "the connection ends in a netstring"),
        ] {
            let talk = said(bytes, None);
            assert_eq!((talk.events.join(" "), talk.ended.as_deref()), ("a".to_owned(), Some(why)));
            assert_eq!(talk.answers, format!("2:OK,{}:FAILED: {why},", why.len() + 8));
        }
    }
}
