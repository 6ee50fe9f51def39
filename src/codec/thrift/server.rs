//! The server's side of a connection: calls in, answers out, in their order.
//!
//! Every call becomes a batch of its own, and gets its answer when the session is told what became of that. What makes no
//! sense within its frame is answered with an exception, and the connection goes on (Flume closes it); a frame that holds
//! no Thrift message ends it. An answer is encoded as its call was.

use super::frame::{Frame, Frames};
use super::input::{self, Input, Lengths, Malformed};
use super::{exception, number, output, Encoding};
use crate::codec::rpc::{too_large, Events, Excess, Status};
use crate::codec::{Call, CallKind, Chunk, Decoded, Fault, Refusal, Then};
use crate::event::{Batch, Own, Spares};
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use thrift::protocol::{TMessageIdentifier, TMessageType, TType};

/// Of an unknown method's name, this much is repeated.
const SHOWN: usize = 100;
/// No method's name is longer. It is kept until the answer, which repeats it.
const LONGEST_NAME: usize = 1024;
const APPEND: &str = "append";
const APPEND_BATCH: &str = "appendBatch";

pub struct Server {
    frames: Frames,
    events: Events,
    open: VecDeque<Open>,
}

/// A call without its answer.
struct Open {
    encoding: Encoding,
    name: String,
    number: i32,
    answer: Answer,
}

enum Answer {
    /// What became of its events.
    Outcome,
    Exception(i32, String),
}

/// Why a call has no events.
enum No {
    Malformed(Malformed),
    Exception(i32, String),
    Excess(Excess),
}

impl From<Excess> for No {
    fn from(e: Excess) -> No {
        No::Excess(e)
    }
}

impl From<Malformed> for No {
    fn from(m: Malformed) -> No {
        No::Malformed(m)
    }
}

impl Server {
    /// Refuses messages above `max` bytes. `spares`: memory that other connections use as well.
    pub fn new(max: usize, spares: Arc<Spares>) -> Server {
        Server { frames: Frames::with(max, spares), events: Events::default(), open: VecDeque::new() }
    }

    fn frame(&mut self, frame: Frame, most: usize, batch: &mut Batch) -> Result<Call, String> {
        let (message, whole) = match frame {
            Frame::Message(message) => (message, None),
            Frame::TooLarge(beginning, length) => (beginning, Some(length)),
        };
        let at = Cell::new(0);
        let encoding = input::encoding(&message).ok_or("no Thrift: a frame without a message")?;
        let call = match encoding {
            Encoding::Compact => {
                self.message(&mut Input::compact(&message, &at), encoding, whole, most, batch)
            }
            Encoding::Binary => self.message(&mut Input::binary(&message, &at), encoding, whole, most, batch),
        }?;
        if batch.is_empty() {
            self.frames.spares().give_back(message);
        } else {
            let memory = self.events.memory(message);
            batch.set_own(Own::of(memory, self.frames.spares()));
        }
        Ok(call)
    }

    /// `whole`: the length of a message of which only the beginning is here.
    fn message<P: Lengths>(
        &mut self,
        input: &mut Input<'_, P>,
        encoding: Encoding,
        whole: Option<usize>,
        most: usize,
        batch: &mut Batch,
    ) -> Result<Call, String> {
        let head = input.message().map_err(|Malformed(why)| format!("no Thrift message: {why}"))?;
        let TMessageIdentifier { name, message_type, sequence_number: number } = head;
        if !matches!(message_type, TMessageType::Call | TMessageType::OneWay) {
            return Err(format!("a Thrift message that is no call: {message_type:?}"));
        }
        if name.len() > LONGEST_NAME {
            return Err(format!("no Thrift message: a method's name of {} bytes", name.len()));
        }
        let kind = match name.as_str() {
            APPEND => CallKind::Append,
            APPEND_BATCH => CallKind::AppendBatch,
            _ => CallKind::Question,
        };
        self.events.begin_message();
        let done = match (kind, whole) {
            (_, Some(length)) => {
                Err(No::Exception(exception::PROTOCOL_ERROR, too_large(length, self.frames.max())))
            }
            (CallKind::Append, _) => self.append(input, batch),
            (CallKind::AppendBatch, _) => self.append_batch(input, most, batch),
            (CallKind::Question, _) => {
                let shown: String = name.chars().take(SHOWN).collect();
                Err(No::Exception(exception::UNKNOWN_METHOD, format!("Invalid method name: '{shown}'")))
            }
        };
        let (answer, refused) = match done {
            Ok(()) => (Answer::Outcome, None),
            Err(No::Malformed(Malformed(why))) => self.exception(exception::PROTOCOL_ERROR, why),
            Err(No::Exception(number, why)) => self.exception(number, why),
            Err(No::Excess(excess @ Excess::Events(_))) => {
                let (why, events) = (excess.text(), self.events.claimed());
                (Answer::Outcome, Some(Refusal { why, events, is_fault: false }))
            }
            Err(No::Excess(excess)) => self.exception(exception::INTERNAL_ERROR, excess.text()),
        };
        if refused.is_some() {
            *batch = Batch::new();
        }
        let call = Call { kind, refused };
        self.open.push_back(Open { encoding, name, number, answer });
        Ok(call)
    }

    /// A call that is answered with an exception.
    fn exception(&self, number: i32, why: String) -> (Answer, Option<Refusal>) {
        let refusal = Refusal { why: why.clone(), events: self.events.claimed(), is_fault: true };
        (Answer::Exception(number, why), Some(refusal))
    }

    fn append<P: Lengths>(&mut self, input: &mut Input<'_, P>, batch: &mut Batch) -> Result<(), No> {
        let mut got = false;
        input.fields(|input, id, ty| match (id, ty) {
            (1, TType::Struct) if !got => {
                got = true;
                self.events.expect(1, usize::MAX, batch)?;
                self.event(input, batch).map(|()| true)
            }
            _ => Ok(false),
        })?;
        got.then_some(()).ok_or_else(|| missing_argument(APPEND))
    }

    fn append_batch<P: Lengths>(
        &mut self,
        input: &mut Input<'_, P>,
        most: usize,
        batch: &mut Batch,
    ) -> Result<(), No> {
        let mut got = false;
        input.fields(|input, id, ty| {
            if (id, ty, got) != (1, TType::List, false) {
                return Ok(false);
            }
            got = true;
            let (n, of) = input.list()?;
            if of != TType::Struct && n > 0 {
                return Err(No::Malformed(Malformed("the events are no list of structs".to_owned())));
            }
            self.events.expect(n, most, batch)?;
            for _ in 0..n {
                self.event(input, batch)?;
            }
            Ok(true)
        })?;
        got.then_some(()).ok_or_else(|| missing_argument(APPEND_BATCH))
    }

    fn event<P: Lengths>(&mut self, input: &mut Input<'_, P>, batch: &mut Batch) -> Result<(), No> {
        self.events.begin();
        let mut got_headers = false;
        let mut body: Option<Range<usize>> = None;
        input.fields(|input, id, ty| {
            match (id, ty) {
                (1, TType::Map) => {
                    let (n, is_text) = input.map()?;
                    got_headers = is_text;
                    self.events.expect_headers(n)?;
                    for _ in 0..n {
                        let (name, value) = (input.bytes()?, input.bytes()?);
                        self.events.header(input.all(), name, value, batch);
                    }
                }
                (2, TType::String) => body = Some(input.bytes()?),
                _ => return Ok(false),
            }
            Ok::<_, No>(true)
        })?;
        let missing = |field| {
            No::Malformed(Malformed(format!("required field '{field}' is missing in ThriftFlumeEvent")))
        };
        if !got_headers {
            return Err(missing("headers"));
        }
        Ok(self.events.end(input.all(), body.ok_or_else(|| missing("body"))?, batch)?)
    }

    /// Bytes held of a message that is not complete.
    pub fn held(&self) -> usize {
        self.frames.held()
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.frames.is_inside()
    }

    /// Decodes at most one call. `most`: the events that it may have.
    pub fn decode(&mut self, chunk: &Chunk<'_>, most: usize, batch: &mut Batch) -> Decoded {
        let (used, got) = self.frames.feed(chunk.bytes());
        let fail = |reason| Then::Fail(Fault { reason, answer: Vec::new() });
        let then = match got {
            Ok(None) => Then::NeedMore,
            Ok(Some(frame)) => self.frame(frame, most, batch).map_or_else(fail, Then::Call),
            Err(reason) => fail(reason),
        };
        Decoded { used, then }
    }

    /// Messages above `max` bytes are passed over from the next one on.
    pub fn set_max(&mut self, max: usize) {
        self.frames.set_max(max);
    }

    /// Adds the answer to the call that is longest without one.
    pub fn answer(&mut self, status: Status, out: &mut Vec<u8>) {
        if let Some(open) = self.open.pop_front() {
            open.put(status, out);
        }
        if self.open.is_empty() {
            self.open.shrink_to(4);
        }
    }
}

fn missing_argument(method: &str) -> No {
    No::Exception(exception::INTERNAL_ERROR, format!("Internal error processing {method}"))
}

impl Open {
    fn put(&self, status: Status, out: &mut Vec<u8>) {
        match &self.answer {
            Answer::Outcome => {
                let head = (TMessageType::Reply, self.name.as_str(), self.number);
                output::put(out, self.encoding, head, |p| {
                    output::field(p, (0, TType::I32), |p| p.write_i32(number(status)))
                });
            }
            Answer::Exception(ty, text) => {
                let head = (TMessageType::Exception, self.name.as_str(), self.number);
                output::put(out, self.encoding, head, |p| {
                    output::field(p, (1, TType::String), |p| p.write_string(text))?;
                    output::field(p, (2, TType::I32), |p| p.write_i32(*ty))
                });
            }
        }
    }
}
