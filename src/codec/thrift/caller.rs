//! The client's side of a connection: calls out, answers in, matched by their numbers.

use super::frame::{Frame, Frames, LARGEST};
use super::input::{self, Input, Lengths, Malformed};
use super::{output, status, Encoding};
use crate::codec::rpc::{Reply, ReplyError};
use crate::event::EventRef;
use std::cell::Cell;
use std::sync::Arc;
use thrift::protocol::{TMessageType, TType};

/// More than any answer has, were it an error with a long text.
const LONGEST_REPLY: usize = 4 << 20;
/// What a message's head, a field's, a struct's end, a map's or a length take, at most.
const HEAD: usize = 64;
const PIECE: usize = 8;

pub struct Caller {
    encoding: Encoding,
    frames: Frames,
    number: i32,
    events: output::Events,
}

impl Caller {
    pub fn new(encoding: Encoding) -> Caller {
        let frames = Frames::with(LONGEST_REPLY, Arc::default());
        Caller { encoding, frames, number: 0, events: output::Events::default() }
    }

    /// Adds a call with one event; returns its number, or `None` for one that Flume takes no frame of.
    pub fn append(&mut self, event: EventRef<'_>, out: &mut Vec<u8>) -> Option<i32> {
        if HEAD + size(event) > LARGEST {
            return None;
        }
        let number = self.next();
        output::put(out, self.encoding, (TMessageType::Call, "append", number), |p| {
            output::field(p, (1, TType::Struct), |p| self.events.put(p, event))
        });
        Some(number)
    }

    /// Adds a call with the first `n` of what `events` gives; `None`, and nothing added, if they take more than Flume
    /// takes at once.
    pub fn append_some<'a, I: Iterator<Item = EventRef<'a>>>(
        &mut self,
        n: usize,
        events: impl Fn() -> I,
        out: &mut Vec<u8>,
    ) -> Option<i32> {
        if events().take(n).map(size).sum::<usize>() + HEAD > LARGEST {
            return None;
        }
        let number = self.next();
        output::put(out, self.encoding, (TMessageType::Call, "appendBatch", number), |p| {
            output::field(p, (1, TType::List), |p| {
                p.write_list_begin(&output::list(n))?;
                for e in events().take(n) {
                    self.events.put(p, e)?;
                }
                p.write_list_end()
            })
        });
        Some(number)
    }

    fn next(&mut self) -> i32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// Takes what it can of `bytes`: how many, and an answer with its number if one is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Result<Option<(i32, Reply)>, ReplyError>) {
        let (used, got) = self.frames.feed(bytes);
        let reply = match got {
            Ok(None) => Ok(None),
            Ok(Some(Frame::Message(message))) => reply(&message).map(Some),
            Ok(Some(Frame::TooLarge(_, n))) => Err(ReplyError::Nonsense(format!("an answer of {n} bytes"))),
            Err(why) => Err(ReplyError::Nonsense(why)),
        };
        (used, reply)
    }
}

/// A bound on what an event takes on the wire, in either encoding.
fn size(e: EventRef<'_>) -> usize {
    let headers = e.headers().map(|(key, value)| key.name().len() + value.len() + 2 * PIECE);
    // Bytes that are no UTF-8 become up to three each.
    let headers: usize = headers.map(|n| 3 * n).sum();
    headers + e.body().len() + 5 * PIECE
}

fn reply(message: &[u8]) -> Result<(i32, Reply), ReplyError> {
    let at = Cell::new(0);
    let read = match input::encoding(message) {
        Some(Encoding::Compact) => outcome(&mut Input::compact(message, &at)),
        Some(Encoding::Binary) => outcome(&mut Input::binary(message, &at)),
        None => Err(Malformed("a frame without a message".to_owned())),
    };
    read.map_err(|Malformed(why)| ReplyError::Nonsense(format!("an answer that makes no sense: {why}")))
}

fn outcome<P: Lengths>(input: &mut Input<'_, P>) -> input::Result<(i32, Reply)> {
    let head = input.message()?;
    let (mut got, mut text) = (None, None);
    let is_exception = match head.message_type {
        TMessageType::Reply => false,
        TMessageType::Exception => true,
        other => return Err(Malformed(format!("a message that is no answer: {other:?}"))),
    };
    input.fields(|input, id, ty| {
        match (id, ty) {
            (0, TType::I32) if !is_exception => got = Some(input.int()?),
            (1, TType::String) if is_exception => {
                let text_at = input.bytes()?;
                text = Some(String::from_utf8_lossy(&input.all()[text_at]).into_owned());
            }
            _ => return Ok(false),
        }
        Ok::<_, Malformed>(true)
    })?;
    if is_exception {
        return Ok((head.sequence_number, Reply::Error(text.unwrap_or_default())));
    }
    let status = got.and_then(status).ok_or_else(|| Malformed(format!("a status of {got:?}")))?;
    Ok((head.sequence_number, Reply::Status(status)))
}
