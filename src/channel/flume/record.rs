//! A record of a data file, as bytes.
//!
//! ```text
//! 0x7F | length, 4 bytes, big-endian | header | body | footer (one byte, 0)
//! header: 23 | 0x0D type (1 put, 2 take, 3 rollback, 4 commit), 4 | 0x11 transaction, 8 | 0x19 write order, 8
//! body:   put       length | 0x0A length event | 0x11 checksum, 8: CRC-32 of the event's body
//!           event     { 0x0A length header { 0x0A length name | 0x12 length value } } | 0x12 length body
//!         take      10 | 0x0D file, 4 | 0x15 offset, 4: where the put record is
//!         rollback  0
//!         commit    5 | 0x0D type, 4: 1 = of puts, 2 = of takes
//! ```
//!
//! Header and body are protocol buffers behind a length (varint); their numbers are little-endian. The operation byte
//! is 0x00 for a record that was blanked and 0x80 where the file ends. Nothing but the body of an event has a
//! checksum; that the lengths agree and the footer is where it should be is what else can be checked.

use super::proto::{delimited, varint, Fields, Value};
use super::window::Window;
use std::io;

pub(super) const RECORD: u8 = 0x7f;
const BLANK: u8 = 0;
/// What Flume fills the space behind the last record with.
pub(super) const END: u8 = 0x80;
/// Operation and length.
const FRAME: usize = 5;
/// Frame and header of every record that Flume writes.
pub(super) const RECOGNISABLE: usize = 29;
/// Enough for the frame, the header, the length of a put's body, and all of any other record.
const BEGINNING: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    // In the order in which Flume replays records of the same write order.
    Take,
    Put,
    Rollback,
    Commit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) transaction: i64,
    pub(super) order: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) header: Header,
    /// Of a take: the pointer to the event that is taken. 0 otherwise.
    pub(super) takes: u64,
    /// Where the next record begins.
    pub(super) end: u64,
}

pub(super) enum Found {
    Record(Record),
    Blank { end: u64 },
    Bad(&'static str),
}

/// A pointer to an event: the number of its file above the offset of its record.
pub(super) fn pointer(file: u32, offset: u64) -> u64 {
    u64::from(file) << 32 | (offset & 0xffff_ffff)
}

pub(super) fn file_of(pointer: u64) -> u32 {
    (pointer >> 32) as u32
}

pub(super) fn offset_of(pointer: u64) -> u64 {
    pointer & 0xffff_ffff
}

/// Looks at the record at `offset`: its frame, header and footer, and its body unless it is a put.
pub(super) fn examine(window: &mut Window, offset: u64) -> io::Result<Found> {
    let limit = window.end();
    let beginning = window.at(offset, BEGINNING)?;
    let Some((frame, payload)) = beginning.split_first_chunk::<FRAME>() else {
        return Ok(Found::Bad("the file ends inside the record"));
    };
    let len = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
    let end = offset + FRAME as u64 + u64::from(len);
    match frame[0] {
        RECORD | BLANK if end > limit => {
            return Ok(Found::Bad("the record is longer than the rest of the file"))
        }
        RECORD => {}
        BLANK if len == 0 => return Ok(Found::Bad("zero bytes where a record should begin")),
        BLANK => return Ok(Found::Blank { end }),
        _ => return Ok(Found::Bad("no record begins here")),
    }
    let payload = &payload[..payload.len().min(len as usize)];
    let mut rest = payload;
    let header = match delimited(&mut rest).and_then(header) {
        Some(header) => header,
        None => return Ok(Found::Bad("the header of the record is unreadable")),
    };
    let Some(body) = varint(&mut rest) else {
        return Ok(Found::Bad("the body of the record has no length"));
    };
    let before = (FRAME + payload.len() - rest.len()) as u64;
    // One byte is left for the footer, and it is 0.
    if before.checked_add(body).and_then(|b| b.checked_add(1)) != Some(end - offset) {
        return Ok(Found::Bad("the lengths in the record disagree"));
    }
    let mut takes = 0;
    if header.kind != Kind::Put {
        let Some(taken) = rest.get(..body as usize).and_then(|b| small_body(header.kind, b)) else {
            return Ok(Found::Bad("the body of the record is unreadable"));
        };
        takes = taken;
    }
    if window.at(end - 1, 1)? != [0] {
        return Ok(Found::Bad("the record does not end as it should"));
    }
    Ok(Found::Record(Record { header, takes, end }))
}

/// Whether bytes look like the beginning of a record; `left` is what the file has from there on.
pub(super) fn recognisable(bytes: &[u8], left: u64) -> bool {
    let Some(b) = bytes.first_chunk::<RECOGNISABLE>() else { return false };
    let len = u64::from(u32::from_be_bytes([b[1], b[2], b[3], b[4]]));
    let header = b[0] == RECORD && b[5] == 23 && b[6] == 0x0d && b[11] == 0x11 && b[20] == 0x19;
    header && (1..=4).contains(&b[7]) && b[8..11] == [0, 0, 0] && len + FRAME as u64 <= left
}

fn header(message: &[u8]) -> Option<Header> {
    let (mut kind, mut transaction, mut order) = (None, None, None);
    for field in Fields::of(message) {
        match field.ok()? {
            (1, Value::Fixed32(n)) => {
                kind = Some(match n {
                    1 => Kind::Put,
                    2 => Kind::Take,
                    3 => Kind::Rollback,
                    4 => Kind::Commit,
                    _ => return None,
                })
            }
            (2, Value::Fixed64(n)) => transaction = Some(n as i64),
            (3, Value::Fixed64(n)) => order = Some(n as i64),
            (1..=3, _) => return None,
            _ => {}
        }
    }
    Some(Header { kind: kind?, transaction: transaction?, order: order? })
}

/// Checks the body of a record other than a put; of a take, what it points at.
fn small_body(kind: Kind, message: &[u8]) -> Option<u64> {
    let mut numbers = [None; 3];
    for field in Fields::of(message) {
        match field.ok()? {
            (n @ 1..=2, Value::Fixed32(value)) => numbers[n as usize] = Some(value),
            (1..=2, _) => return None,
            _ => {}
        }
    }
    match (kind, numbers) {
        (Kind::Take, [_, Some(file), Some(offset)]) => Some(pointer(file, u64::from(offset))),
        (Kind::Commit, [_, Some(1 | 2), _]) | (Kind::Rollback, _) => Some(0),
        _ => None,
    }
}

/// An event as its put record has it.
#[derive(Debug)]
pub(super) struct Event<'a> {
    message: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Event<'a> {
    /// Names and values; an absent value is empty, as Flume has it.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        Fields::of(self.message).filter_map(|field| match field {
            Ok((1, Value::Bytes(header))) => name_and_value(header),
            _ => None,
        })
    }
}

/// The event of a whole put record that [`examine`] found in order.
pub(super) fn event(record: &[u8]) -> Result<Event<'_>, &'static str> {
    let mut rest = record.get(FRAME..).ok_or("the record is cut")?;
    let put = delimited(&mut rest).and_then(|_| delimited(&mut rest)).ok_or("the record is cut")?;
    let (mut event, mut checksum) = (None, None);
    for field in Fields::of(put) {
        match field {
            Ok((1, Value::Bytes(b))) if event.is_none() => event = Some(b),
            Ok((2, Value::Fixed64(n))) => checksum = Some(n),
            Ok((3.., _)) => {}
            _ => return Err("the put is unreadable"),
        }
    }
    let message = event.ok_or("the put has no event")?;
    let mut body = None;
    for field in Fields::of(message) {
        match field {
            Ok((1, Value::Bytes(b))) if name_and_value(b).is_some() => {}
            Ok((2, Value::Bytes(b))) => body = Some(b),
            Ok((3.., _)) => {}
            _ => return Err("the event is unreadable"),
        }
    }
    let body = body.ok_or("the event has no body")?;
    if checksum.is_some_and(|sum| sum != u64::from(crc32fast::hash(body))) {
        return Err("the checksum of the event's body is wrong");
    }
    Ok(Event { message, body })
}

fn name_and_value(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut name, mut value) = (None, &[][..]);
    for field in Fields::of(header) {
        match field.ok()? {
            (1, Value::Bytes(b)) => name = Some(b),
            (2, Value::Bytes(b)) => value = b,
            (1..=2, _) => return None,
            _ => {}
        }
    }
    Some((name?, value))
}
