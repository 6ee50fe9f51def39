//! AvroFlumeEvent in both directions: a map of string headers, then the body.
//!
//! Decoded events are spans of the message, which becomes the batch's own memory: no event is copied. A header that
//! comes twice in one event has its last value, in its first place. A name that cannot be kept as a key (the process has
//! too many, or it is too long) is not lost: it goes with its value, `name=value` and a newline, into one header,
//! [`MORE`]. What a message becomes in memory is bounded: a few bytes of it can be an event or a header.

use super::wire::{put_bytes, put_long, Input, Malformed, Result};
use crate::event::{Batch, Body, EventRef, Key, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// The header of the headers whose names could not be kept.
pub const MORE: &str = "flumed.headers";
/// Names a connection remembers; most senders repeat theirs in the same order.
const RECENT: usize = 16;
/// Above so many headers an event's repeated names are looked up, not searched.
const MANY: usize = 32;
/// Room for more headers than this is not kept for the next event.
const MUCH: usize = 256;
/// What the events of one message may take beside its own bytes.
const MAX_OVERHEAD: usize = 64 << 20;
/// Headers of one event. Those that come twice count twice.
const MOST_OF_EVENT: usize = 64 << 10;
/// Headers of one message: all of it is decoded in one go.
const MOST_OF_MESSAGE: usize = 1 << 20;

/// Why a message's events are not a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum NoBatch {
    Malformed(Malformed),
    /// More events than the channels take at once.
    TooMany,
    /// More than is decoded in one go, or kept for one message; says of what.
    TooMuch(String),
}

impl From<Malformed> for NoBatch {
    fn from(m: Malformed) -> NoBatch {
        NoBatch::Malformed(m)
    }
}

/// Reads events into batches. Belongs to a connection.
#[derive(Default)]
pub struct Events {
    recent: Vec<(Box<[u8]>, Key)>,
    headers: Vec<(Key, Span)>,
    /// Events that the message at hand has, as far as it was read.
    claimed: usize,
    /// Headers that it had.
    headers_read: usize,
    /// Bytes to be put behind the message's.
    more: Vec<u8>,
}

impl Events {
    /// One event, the whole of the input.
    pub fn one(&mut self, input: &mut Input<'_>, batch: &mut Batch) -> std::result::Result<(), NoBatch> {
        self.begin();
        self.claimed = 1;
        self.event(input, batch)
    }

    /// Events of the last message by the counts of its blocks, as far as these were read.
    pub fn claimed(&self) -> usize {
        self.claimed
    }

    fn begin(&mut self) {
        self.more.clear();
        (self.claimed, self.headers_read) = (0, 0);
    }

    /// An array of at most `most` events.
    pub fn array(
        &mut self,
        input: &mut Input<'_>,
        most: usize,
        batch: &mut Batch,
    ) -> std::result::Result<(), NoBatch> {
        self.begin();
        loop {
            // The end of the headers and the length of the body, at least.
            let n = input.block(2)?;
            if n == 0 {
                return Ok(());
            }
            self.claimed += n;
            if n > most - batch.len() {
                return Err(NoBatch::TooMany);
            }
            batch.reserve(n, 0);
            for _ in 0..n {
                self.event(input, batch)?;
                if batch.overhead() > MAX_OVERHEAD {
                    let why =
                        "its events and headers take more than 64 MiB beside their own bytes: lower the \
                               sender's batch size";
                    return Err(NoBatch::TooMuch(why.to_owned()));
                }
            }
        }
    }

    /// What the batch's memory is made of: the message, and what belongs behind it.
    pub fn memory(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        message.append(&mut self.more);
        if self.headers.capacity() > MUCH {
            self.headers = Vec::new();
        }
        message
    }

    fn event(&mut self, input: &mut Input<'_>, batch: &mut Batch) -> std::result::Result<(), NoBatch> {
        self.headers.clear();
        let begin = input.clone();
        let mut places = None;
        let mut kept_apart = Vec::new();
        let mut at = 0;
        loop {
            let n = input.block(2)?;
            if n == 0 {
                break;
            }
            if n > MOST_OF_EVENT - at {
                return Err(NoBatch::TooMuch(format!("an event has more than {MOST_OF_EVENT} headers")));
            }
            self.headers_read += n;
            if self.headers_read > MOST_OF_MESSAGE {
                return Err(NoBatch::TooMuch(format!(
                    "its events have more than {MOST_OF_MESSAGE} headers: lower the sender's batch size"
                )));
            }
            for _ in 0..n {
                let name = input.bytes()?;
                let value = input.bytes()?;
                let end = input.at();
                match self.key(at, name) {
                    Some(key) => self.set(key, batch.span_of_own(end - value.len(), end), &mut places),
                    None => {
                        [name, b"=", value, b"\n"].iter().for_each(|part| kept_apart.extend_from_slice(part))
                    }
                }
                at += 1;
            }
        }
        let body = input.bytes()?;
        let end = input.at();
        if !kept_apart.is_empty() {
            kept_apart.splice(..0, earlier(begin)?);
            let whole = input.at() + input.left();
            let from = whole + self.more.len();
            let span = batch.span_of_own(from, from + kept_apart.len());
            if let Some(key) = Key::intern_own(MORE) {
                self.set(key, span, &mut places);
            }
            self.more.append(&mut kept_apart);
        }
        batch.push(Body::At(batch.span_of_own(end - body.len(), end)));
        if !self.headers.is_empty() {
            batch.push_headers(&self.headers);
        }
        Ok(())
    }

    /// Sets a header of the event at hand. `places`: where each key is, once there are many.
    fn set(&mut self, key: Key, value: Span, places: &mut Option<HashMap<Key, usize>>) {
        let headers = &mut self.headers;
        let place = if headers.len() < MANY {
            headers.iter().position(|(k, _)| *k == key)
        } else {
            let place = |(i, (k, _)): (usize, &(Key, Span))| (*k, i);
            let places = places.get_or_insert_with(|| headers.iter().enumerate().map(place).collect());
            let next = headers.len();
            Some(*places.entry(key).or_insert(next)).filter(|i| *i < next)
        };
        match place {
            Some(i) => headers[i].1 = value,
            None => headers.push((key, value)),
        }
    }

    /// The key of the `at`th header's name, if it can be kept.
    fn key(&mut self, at: usize, name: &[u8]) -> Option<Key> {
        let at = at % RECENT;
        if let Some((_, key)) = self.recent.get(at).filter(|(recent, _)| **recent == *name) {
            return Some(*key);
        }
        let key = Key::intern(&String::from_utf8_lossy(name))?;
        match self.recent.get_mut(at) {
            Some(old) => *old = (name.into(), key),
            None => self.recent.push((name.into(), key)),
        }
        Some(key)
    }
}

/// What an agent before this one has put into [`MORE`] of the event that begins here.
fn earlier(mut input: Input<'_>) -> Result<Vec<u8>> {
    let mut value = Vec::new();
    loop {
        let n = input.block(2)?;
        if n == 0 {
            return Ok(value);
        }
        for _ in 0..n {
            let (name, its) = (input.bytes()?, input.bytes()?);
            if name == MORE.as_bytes() {
                value = its.to_vec();
            }
        }
    }
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

/// A string on the wire is UTF-8.
fn text(value: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(value) {
        Ok(_) => Cow::Borrowed(value),
        Err(_) => Cow::Owned(String::from_utf8_lossy(value).into_owned().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::feed::Seen;
    use crate::event::Own;

    /// Decodes an array and gives the batch its memory.
    fn array(events: &mut Events, bytes: &[u8], most: usize) -> std::result::Result<Vec<Seen>, NoBatch> {
        let mut batch = Batch::new();
        let mut input = Input::new(bytes);
        events.array(&mut input, most, &mut batch)?;
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
        assert_eq!(array(&mut Events::default(), &bytes, 4), Ok(Seen::all(&sent)));
        for cut in (0..bytes.len()).filter(|c| *c < 80 || *c > bytes.len() - 40) {
            assert!(array(&mut Events::default(), &bytes[..cut], 4).is_err(), "cut at {cut}");
        }
        assert_eq!(array(&mut Events::default(), &bytes, 3), Err(NoBatch::TooMany));
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
        let got = array(&mut Events::default(), bytes, 9).unwrap();
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
        let got = array(&mut Events::default(), &bytes, 1).unwrap();
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
        let got = array(&mut Events::default(), &bytes, 2).unwrap();
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
        let got = array(&mut Events::default(), &bytes, 1).unwrap();
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
        let got = array(&mut events, &bytes(16, MOST_OF_EVENT), 16).unwrap();
        assert_eq!((got.len(), &got[15]), (16, &seen(b"", &[("", "")])));
        for (n, headers, why) in [
            (2, MOST_OF_EVENT + 1, "an event has more than 65536 headers"),
            (17, MOST_OF_EVENT, "its events have more than 1048576 headers"),
        ] {
            let got = array(&mut events, &bytes(n, headers), 17);
            assert!(matches!(&got, Err(NoBatch::TooMuch(w)) if w.contains(why)), "{got:?}");
            assert_eq!(events.claimed(), n);
        }
        // The next message begins at zero.
        assert_eq!(array(&mut events, &bytes(1, 1), 1).map(|e| e.len()), Ok(1));
        let mut one = Batch::new();
        let many = &bytes(1, MOST_OF_EVENT + 1)[1..];
        assert!(matches!(events.one(&mut Input::new(many), &mut one), Err(NoBatch::TooMuch(_))));
    }

    #[test]
    fn strings_that_are_no_utf8_are_made_such() {
        let bytes = encode(&batch(&[(b"\xff", &[("k", b"a\xffb")])]));
        let got = array(&mut Events::default(), &bytes, 1).unwrap();
        assert_eq!(got, [seen(b"\xff", &[("k", "a\u{fffd}b")])]);
    }
}
