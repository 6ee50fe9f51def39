//! AvroFlumeEvent in both directions: a map of string headers, then the body.
//!
//! Decoded events are spans of the message, which becomes the batch's own memory: no event is copied.

use super::wire::{put_bytes, put_long, Input, Malformed};
use crate::codec::rpc::{text, Events, Excess};
use crate::event::{Batch, EventRef};

/// Why a message's events are not a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum NoBatch {
    Malformed(Malformed),
    Excess(Excess),
}

impl From<Malformed> for NoBatch {
    fn from(m: Malformed) -> NoBatch {
        NoBatch::Malformed(m)
    }
}

impl From<Excess> for NoBatch {
    fn from(e: Excess) -> NoBatch {
        NoBatch::Excess(e)
    }
}

/// Reads one event, the whole of the input.
pub fn one(events: &mut Events, input: &mut Input<'_>, batch: &mut Batch) -> Result<(), NoBatch> {
    events.begin_message();
    events.expect(1, usize::MAX, batch)?;
    event(events, input, batch)
}

/// Reads an array of at most `most` events.
pub fn array(
    events: &mut Events,
    input: &mut Input<'_>,
    most: usize,
    batch: &mut Batch,
) -> Result<(), NoBatch> {
    events.begin_message();
    loop {
        // The end of the headers and the length of the body, at least.
        let n = input.block(2)?;
        if n == 0 {
            return Ok(());
        }
        events.expect(n, most, batch)?;
        for _ in 0..n {
            event(events, input, batch)?;
        }
    }
}

fn event(events: &mut Events, input: &mut Input<'_>, batch: &mut Batch) -> Result<(), NoBatch> {
    events.begin();
    loop {
        let n = input.block(2)?;
        if n == 0 {
            break;
        }
        events.expect_headers(n)?;
        for _ in 0..n {
            let (name, value) = (input.span()?, input.span()?);
            events.header(input.all(), name, value, batch);
        }
    }
    let body = input.span()?;
    Ok(events.end(input.all(), body, batch)?)
}

/// Adds an event.
pub fn put_event(out: &mut Vec<u8>, e: EventRef<'_>) {
    let headers = e.headers();
    if headers.len() > 0 {
        put_long(out, headers.len() as i64);
        for (key, value) in headers {
            put_bytes(out, key.name().as_bytes());
            put_bytes(out, &text(value));
        }
    }
    out.push(0);
    put_bytes(out, e.body());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::feed::Seen;
    use crate::codec::rpc::{MORE, MOST_OF_EVENT};
    use crate::event::{Body, Key, Own};

    /// Decodes an array and gives the batch its memory.
    fn read(events: &mut Events, bytes: &[u8], most: usize) -> Result<Vec<Seen>, NoBatch> {
        let mut batch = Batch::new();
        let mut input = Input::new(bytes);
        array(events, &mut input, most, &mut batch)?;
        assert_eq!(input.left(), 0);
        batch.set_own(Own::of(events.memory(bytes.to_vec()), &std::sync::Arc::default()));
        Ok(Seen::all(&batch))
    }

    fn seen(body: &[u8], headers: &[(&str, &str)]) -> Seen {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Seen { body: body.to_vec(), headers }
    }

    fn encode(batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        put_long(&mut out, batch.len() as i64);
        batch.iter().for_each(|e| put_event(&mut out, e));
        out.push(0);
        out
    }

    /// A body and its headers.
    type Plain<'a> = (&'a [u8], &'a [(&'a str, &'a [u8])]);

    fn batch(events: &[Plain<'_>]) -> Batch {
        let mut batch = Batch::new();
        for (body, headers) in events {
            batch.push(Body::Copy(body));
            for (k, v) in *headers {
                let v = batch.store(v);
                batch.push_header(Key::intern(k).unwrap(), v);
            }
        }
        batch
    }

    #[test]
    fn events_survive_the_way_there_and_back() {
        let long = vec![0xf0; 100_000];
        let sent = batch(&[
            (b"hi", &[("k", b"v")]),
            (b"", &[]),
            ("größe ☃".as_bytes(), &[("schlüssel", "wért 𝄞".as_bytes()), ("k", b""), ("z", b"1")]),
            (&long, &[("k", b"v2"), ("other", b"o")]),
        ]);
        let bytes = encode(&sent);
        assert_eq!(read(&mut Events::default(), &bytes, 4), Ok(Seen::all(&sent)));
        for cut in (0..bytes.len()).filter(|c| *c < 80 || *c > bytes.len() - 40) {
            assert!(read(&mut Events::default(), &bytes[..cut], 4).is_err(), "cut at {cut}");
        }
        assert_eq!(read(&mut Events::default(), &bytes, 3), Err(NoBatch::Excess(Excess::Events(3))));
    }

    #[test]
    fn the_bytes_are_those_of_the_reference() {
        assert_eq!(encode(&batch(&[(b"a", &[]), (b"b", &[])])), b"\x04\x00\x02a\x00\x02b\x00");
        let mut one = Vec::new();
        put_event(&mut one, batch(&[(b"hi", &[("k", b"v")])]).get(0));
        assert_eq!(one, b"\x02\x02k\x02v\x00\x04hi");
    }

    #[test]
    fn blocks_with_sizes_and_repeated_names() {
        let bytes = b"\x01\x1a\x02\x02a\x021\x02\x02a\x022\x00\x02x\x02\x00\x02y\x00";
        let got = read(&mut Events::default(), bytes, 9).unwrap();
        assert_eq!(got, [seen(b"x", &[("a", "2")]), seen(b"y", &[])]);
    }

    #[test]
    fn the_last_value_counts_among_many_headers_too() {
        let mut bytes = b"\x02".to_vec();
        put_long(&mut bytes, 200);
        for i in 0..200 {
            put_bytes(&mut bytes, format!("many.{}", i % 50).as_bytes());
            put_bytes(&mut bytes, i.to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\x00\x00\x00");
        let got = read(&mut Events::default(), &bytes, 1).unwrap();
        assert_eq!(got[0].headers.len(), 50);
        assert_eq!((got[0].header("many.0"), got[0].header("many.49")), (Some("150"), Some("199")));
    }

    #[test]
    fn a_name_that_cannot_be_kept_goes_with_its_value_into_one_header() {
        // No other test may have it kept.
        let long = "apart".repeat(60);
        let mut bytes = b"\x04".to_vec();
        for _ in 0..2 {
            put_long(&mut bytes, 3);
            for name in ["a", &long, "b"] {
                put_bytes(&mut bytes, name.as_bytes());
                put_bytes(&mut bytes, b"v");
            }
            bytes.extend_from_slice(b"\x00\x02x");
        }
        bytes.push(0);
        let got = read(&mut Events::default(), &bytes, 2).unwrap();
        let more = format!("{long}=v\n");
        assert_eq!(got[0], seen(b"x", &[("a", "v"), ("b", "v"), (MORE, &more)]));
        assert_eq!(got[1], got[0]);
        // What the agent before this one put there stays.
        let mut bytes = b"\x02\x04".to_vec();
        for (name, value) in [(MORE, "c=v\n"), (&long, "v")] {
            put_bytes(&mut bytes, name.as_bytes());
            put_bytes(&mut bytes, value.as_bytes());
        }
        bytes.extend_from_slice(b"\x00\x02x\x00");
        let got = read(&mut Events::default(), &bytes, 1).unwrap();
        assert_eq!(got, [seen(b"x", &[(MORE, &format!("c=v\n{more}"))])]);
    }

    #[test]
    fn headers_are_bounded_per_event_and_per_message() {
        // Events with so many headers, all without a name and a value; given in blocks.
        let bytes = |events: usize, headers: usize| {
            let mut out = Vec::new();
            put_long(&mut out, events as i64);
            for _ in 0..events {
                for from in (0..headers).step_by(1000) {
                    let n = (headers - from).min(1000);
                    put_long(&mut out, n as i64);
                    out.resize(out.len() + 2 * n, 0);
                }
                out.extend_from_slice(&[0, 0]);
            }
            out.push(0);
            out
        };
        let mut events = Events::default();
        let got = read(&mut events, &bytes(16, MOST_OF_EVENT), 16).unwrap();
        assert_eq!((got.len(), &got[15]), (16, &seen(b"", &[("", "")])));
        for (n, headers, why) in [
            (2, MOST_OF_EVENT + 1, "an event has more than 65536 headers"),
            (17, MOST_OF_EVENT, "its events have more than 1048576 headers"),
        ] {
            let got = read(&mut events, &bytes(n, headers), 17);
            assert!(matches!(&got, Err(NoBatch::Excess(Excess::Other(w))) if w.contains(why)), "{got:?}");
            assert_eq!(events.claimed(), n);
        }
        // The next message begins at zero.
        assert_eq!(read(&mut events, &bytes(1, 1), 1).map(|e| e.len()), Ok(1));
        let mut one = Batch::new();
        let many = &bytes(1, MOST_OF_EVENT + 1)[1..];
        assert!(matches!(super::one(&mut events, &mut Input::new(many), &mut one), Err(NoBatch::Excess(_))));
    }

    #[test]
    fn strings_that_are_no_utf8_are_made_such() {
        let bytes = encode(&batch(&[(b"\xff", &[("k", b"a\xffb")])]));
        let got = read(&mut Events::default(), &bytes, 1).unwrap();
        assert_eq!(got, [seen(b"\xff", &[("k", "a\u{fffd}b")])]);
    }
}
