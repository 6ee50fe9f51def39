//! The client's side of a connection: calls out, answers in, matched by their serial numbers.
//!
//! The first call carries a handshake and stands alone until that is answered. A server that does not know our hash
//! wants the text: [`Reply::Again`] says that the call, which it has not carried out, is to be made once more. A call is
//! written where it is sent from: events are copied once.

use super::event::put_event;
use super::frame::{self, Frames, Message};
use super::handshake::{self, Match};
use super::protocol::Hash;
use super::status;
use super::wire::{self, put_bytes, put_long, Input, Malformed};
use crate::codec::rpc::{Reply, ReplyError};
use crate::event::EventRef;

/// More than any answer has, were it an error with a long text.
const LONGEST_REPLY: usize = 4 << 20;
/// No server takes more, with the handshake and the call's name.
const LARGEST: usize = frame::LARGEST - (64 << 10);

impl From<Malformed> for ReplyError {
    fn from(Malformed(why): Malformed) -> ReplyError {
        ReplyError::Nonsense(format!("an answer that makes no sense: {why}"))
    }
}

enum Handshake {
    Due,
    /// The server wants our text; its own hash.
    Wanted(Hash),
    Done,
}

pub struct Caller {
    frames: Frames,
    serial: i32,
    handshake: Handshake,
    /// The ping without an answer.
    ping: Option<i32>,
}

impl Default for Caller {
    fn default() -> Caller {
        Caller { frames: Frames::new(LONGEST_REPLY), serial: 0, handshake: Handshake::Due, ping: None }
    }
}

impl Caller {
    /// Whether several calls may be on their way.
    pub fn may_pipeline(&self) -> bool {
        matches!(self.handshake, Handshake::Done)
    }

    /// Adds a call that asks for nothing, to settle the handshake before there is anything to lose; returns its serial
    /// number.
    pub fn ping(&mut self, out: &mut Vec<u8>) -> i32 {
        self.begin("", 1, out);
        self.ping = Some(self.serial);
        self.serial
    }

    /// Adds a call with one event; returns its serial number, or `None` for one that no message holds.
    pub fn append(&mut self, event: EventRef<'_>, out: &mut Vec<u8>) -> Option<i32> {
        self.call("append", LARGEST, out, |out, _| put_event(out, event))
    }

    /// Adds a call with a batch.
    pub fn append_batch<'a>(
        &mut self,
        events: impl ExactSizeIterator<Item = EventRef<'a>>,
        out: &mut Vec<u8>,
    ) -> Option<i32> {
        self.append_some(events.len(), events, LARGEST, out)
    }

    /// Adds a call with the first `n` of `events`; `None`, and nothing added, if they take more than `most` bytes.
    pub fn append_some<'a>(
        &mut self,
        n: usize,
        events: impl Iterator<Item = EventRef<'a>>,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Option<i32> {
        self.call("appendBatch", most.min(LARGEST), out, |out, end| {
            if n > 0 {
                put_long(out, n as i64);
                let mut put = 0;
                for e in events.take(n) {
                    put_event(out, e);
                    put += 1;
                    if out.len() > end {
                        return;
                    }
                }
                debug_assert_eq!(put, n);
            }
            out.push(0);
        })
    }

    /// `put` adds the parameters, and may leave off where they go beyond the place it is given.
    fn call(
        &mut self,
        name: &str,
        most: usize,
        out: &mut Vec<u8>,
        put: impl FnOnce(&mut Vec<u8>, usize),
    ) -> Option<i32> {
        let (before, serial) = (out.len(), self.serial);
        self.begin(name, 2, out);
        let mut size = 0;
        frame::put_chunk(out, |out| {
            let at = out.len();
            put(out, at.saturating_add(most));
            size = out.len() - at;
        });
        if size > most {
            out.truncate(before);
            self.serial = serial;
            return None;
        }
        Some(self.serial)
    }

    /// Adds the beginning of a frame and its first chunk: everything before the parameters.
    fn begin(&mut self, name: &str, chunks: i32, out: &mut Vec<u8>) {
        self.serial = self.serial.wrapping_add(1);
        frame::begin(out, self.serial, chunks);
        frame::put_chunk(out, |out| {
            match &self.handshake {
                Handshake::Due => handshake::put_request(out, None),
                Handshake::Wanted(server) => handshake::put_request(out, Some(server)),
                Handshake::Done => {}
            }
            // No metadata.
            out.push(0);
            put_bytes(out, name.as_bytes());
        });
    }

    /// Takes what it can of `bytes`: how many, and an answer with its serial number if one is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Result<Option<(i32, Reply)>, ReplyError>) {
        let (used, got) = self.frames.feed(bytes);
        let reply = match got {
            Ok(None) => Ok(None),
            Ok(Some(message)) => self.reply(&message).map(|r| Some((message.serial, r))),
            Err(_) if !self.frames.has_begun() => Err(ReplyError::Stranger),
            Err(why) => Err(ReplyError::Nonsense(why)),
        };
        (used, reply)
    }

    fn reply(&mut self, message: &Message) -> Result<Reply, ReplyError> {
        let mut input = Input::new(&message.bytes);
        if !self.may_pipeline() {
            let response = handshake::read_response(&mut input)?;
            response.agrees.map_err(|why| ReplyError::Nonsense(format!("the server speaks {why}")))?;
            match (response.matched, response.server, &self.handshake) {
                (Match::None, Some(server), Handshake::Due) => {
                    self.handshake = Handshake::Wanted(server);
                    return Ok(Reply::Again);
                }
                (Match::None, ..) => {
                    return Err(ReplyError::Nonsense(
                        "the server knows our protocol neither by its hash nor its text".into(),
                    ))
                }
                (Match::Both | Match::Client, ..) => self.handshake = Handshake::Done,
            }
        }
        // Java answers a ping with nothing, avsc with metadata and a null.
        if self.ping.take_if(|p| *p == message.serial).is_some() && matches!(input.rest(), [] | [0, 0]) {
            return Ok(Reply::Pong);
        }
        Ok(outcome(&mut input)?)
    }
}

/// What a server's first words look like that are no frame.
pub fn stranger(bytes: &[u8]) -> String {
    match (bytes, frame::text(bytes)) {
        ([0x15 | 0x16, 3, ..], _) => {
            "it answered in TLS: ssl is to be true on both ends or on none".to_owned()
        }
        ([0x78, 0x01 | 0x5e | 0x9c | 0xda, ..], _) => {
            "it answered compressed: compression-type = deflate is to be set on both ends or on none"
                .to_owned()
        }
        (_, Some(text)) => format!("it answered \"{text}\""),
        (_, None) => {
            format!("it answered in another protocol: {}", bytes[..bytes.len().min(8)].escape_ascii())
        }
    }
}

fn outcome(input: &mut Input<'_>) -> wire::Result<Reply> {
    input.skip_map()?;
    if input.take(1)? == [0] {
        let index = input.long()?;
        return status(index).map(Reply::Status).ok_or(Malformed("a status out of range"));
    }
    // The only error there is in the protocol is a string.
    if input.long()? != 0 {
        return Err(Malformed("an error of an unknown type"));
    }
    Ok(Reply::Error(String::from_utf8_lossy(input.bytes()?).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::rpc::Status;
    use crate::event::{Batch, Body};

    fn batch(bodies: &[&str]) -> Batch {
        let mut b = Batch::new();
        bodies.iter().for_each(|t| b.push(Body::Copy(t.as_bytes())));
        b
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    #[test]
    fn calls_have_the_bytes_of_javas() {
        let mut c = Caller::default();
        let mut out = Vec::new();
        let mut event = Batch::new();
        event.push(Body::Copy(b"hi"));
        let v = event.store(b"v");
        event.push_header(crate::event::Key::intern("k").unwrap(), v);
        assert_eq!(c.append(event.get(0), &mut out), Some(1));
        let first = "00000001 00000002 0000002b 86aadae2c45474c0fe93ffd0f2350a65 00
            86aadae2c45474c0fe93ffd0f2350a65 02 00 00 0c 617070656e64 00000009 02 02 6b 02 76 00 04 6869";
        assert_eq!(out, hex(first));
        let reply = hex("00000001 00000003 00000004 00000000 00000001 00 00000002 00 00");
        assert_eq!(c.feed(&reply), (reply.len(), Ok(Some((1, Reply::Status(Status::Ok))))));
        assert!(c.may_pipeline());
        out.clear();
        assert_eq!(c.append_batch(batch(&["a", "b"]).iter(), &mut out), Some(2));
        let second =
            "00000002 00000002 0000000d 00 16 617070656e644261746368 00000008 04 00 02 61 00 02 62 00";
        assert_eq!(out, hex(second));
        let reply = hex("00000002 00000003 00000000 00000001 00 00000002 00 02");
        assert_eq!(c.feed(&reply).1, Ok(Some((2, Reply::Status(Status::Failed)))));
    }

    #[test]
    fn a_server_that_wants_the_text_gets_it_once() {
        let mut c = Caller::default();
        let mut out = Vec::new();
        c.append_batch(batch(&[]).iter(), &mut out);
        let mut none = Vec::new();
        handshake::put_response(&mut none, Match::None);
        let mut frame = Vec::new();
        frame::put(&mut frame, 1, &[&none]);
        assert_eq!(c.feed(&frame).1, Ok(Some((1, Reply::Again))));
        out.clear();
        assert_eq!(c.append_batch(batch(&[]).iter(), &mut out), Some(2));
        assert!(out.windows(18).any(|w| w == b"AvroSourceProtocol"));
        assert!(format!("{:?}", c.feed(&frame).1).contains("neither by its hash nor its text"));
    }

    #[test]
    fn a_ping_settles_the_handshake() {
        let mut c = Caller::default();
        let mut out = Vec::new();
        assert_eq!(c.ping(&mut out), 1);
        let ping = "00000001 00000001 00000025 86aadae2c45474c0fe93ffd0f2350a65 00
            86aadae2c45474c0fe93ffd0f2350a65 02 00 00 00";
        assert_eq!(out, hex(ping));
        let reply = hex("00000001 00000001 00000004 00000000");
        assert_eq!(c.feed(&reply).1, Ok(Some((1, Reply::Pong))));
        assert!(c.may_pipeline());
        out.clear();
        c.ping(&mut out);
        assert_eq!(
            c.feed(&hex("00000002 00000001 00000003 000002")).1.unwrap().unwrap().1,
            Reply::Status(Status::Failed)
        );
    }

    #[test]
    fn what_takes_more_than_it_may_is_not_added() {
        let mut c = Caller { handshake: Handshake::Done, ..Caller::default() };
        let events = batch(&["abc", "defgh"]);
        let mut out = b"before".to_vec();
        assert_eq!(c.append_some(2, events.iter(), 12, &mut out), None);
        assert_eq!(out, b"before");
        assert_eq!(c.append_some(2, events.iter(), 14, &mut out), Some(1));
        assert!(out.ends_with(b"\0\0\0\x0e\x04\0\x06abc\0\x0adefgh\0"));
        assert_eq!(c.append_some(1, events.iter(), 7, &mut out), Some(2));
        assert!(out.ends_with(b"\x02\0\x06abc\0"));
    }

    #[test]
    fn pings_are_answered_with_nothing_or_with_null() {
        for rest in [&b""[..], &[0, 0]] {
            let (mut c, mut out, mut frame) = (Caller::default(), Vec::new(), Vec::new());
            let serial = c.ping(&mut out);
            frame::put(&mut frame, serial, &[&[0, 0, 0, 0], rest]);
            assert_eq!(c.feed(&frame).1, Ok(Some((1, Reply::Pong))));
            assert!(c.may_pipeline());
        }
    }

    #[test]
    fn errors_and_nonsense() {
        let answer = |chunks: &[&[u8]]| {
            let mut c = Caller { handshake: Handshake::Done, ..Caller::default() };
            let mut frame = Vec::new();
            frame::put(&mut frame, 1, chunks);
            c.feed(&frame).1.map(|r| r.map(|(_, r)| r))
        };
        assert_eq!(answer(&[&[0, 0, 4]]), Ok(Some(Reply::Status(Status::Unknown))));
        assert_eq!(answer(&[&[0, 1, 0, 4], b"no"]), Ok(Some(Reply::Error("no".into()))));
        for bad in [&[][..], &[0], &[0, 0], &[0, 0, 6], &[0, 0, 1], &[0, 1, 2, 0], &[0, 1, 0, 4], &[9]] {
            assert!(answer(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_speaks_another_protocol_is_shown() {
        for (bytes, what) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\n"[..],
                "it answered \"HTTP/1.1 400 Bad Request\\r\\nContent-Length\"",
            ),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "it answered \"SSH-2.0-OpenSSH_9.6\\r\\n\""),
            (b"\x15\x03\x03\0\x02\x02\x16", "TLS"),
            (b"\x78\x9c\x62\x60", "deflate"),
            (b"\0\0\0\x18\0\0\0\0\0\0", "another protocol: \\x00\\x00\\x00\\x18\\x00\\x00\\x00\\x00"),
        ] {
            assert_eq!(Caller::default().feed(bytes), (0, Err(ReplyError::Stranger)));
            let why = stranger(bytes);
            assert!(why.contains(what) && !why.contains("chunks"), "{why}");
        }
    }
}
