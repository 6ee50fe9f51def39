//! A message that is complete, read: which call it is, its events into a batch, or what is wrong with it.
//!
//! On the thread of its connection, or on another where it takes long: then with a decoder of its own.

use super::input::{Input, Lengths, Malformed};
use super::server::Answer;
use super::{exception, Encoding};
use crate::codec::rpc::{too_large, Events, Excess};
use crate::codec::{Call, CallKind, Refusal};
use crate::event::{Batch, Own, Spares};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use thrift::protocol::{TMessageIdentifier, TMessageType, TType};

/// Of an unknown method's name, this much is repeated.
const SHOWN: usize = 100;
/// No method's name is longer. It is kept until the answer, which repeats it.
const LONGEST_NAME: usize = 1024;
const APPEND: &str = "append";
const APPEND_BATCH: &str = "appendBatch";

/// Reads messages that are complete.
pub struct Decoder {
    pub events: Events,
    /// What a message may have.
    pub max: usize,
}

/// A message as far as it was read.
pub struct Message {
    pub name: String,
    pub number: i32,
    /// `None`: it is to be decoded on another thread.
    pub call: Option<(Call, Answer)>,
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

impl Decoder {
    /// `whole`: the length of a message of which only the beginning is here.
    pub fn message(
        &mut self,
        message: &[u8],
        encoding: Encoding,
        whole: Option<usize>,
        most: usize,
        batch: &mut Batch,
    ) -> Result<Message, String> {
        let at = Cell::new(0);
        match encoding {
            Encoding::Compact => self.read(&mut Input::compact(message, &at), whole, most, batch),
            Encoding::Binary => self.read(&mut Input::binary(message, &at), whole, most, batch),
        }
    }

    /// Gives the batch of a call its memory: the message.
    pub fn finish(&mut self, message: Vec<u8>, spares: &Arc<Spares>, batch: &mut Batch) {
        if batch.is_empty() {
            spares.give_back(message);
        } else {
            batch.set_own(Own::of(self.events.memory(message), spares));
        }
    }

    fn read<P: Lengths>(
        &mut self,
        input: &mut Input<'_, P>,
        whole: Option<usize>,
        most: usize,
        batch: &mut Batch,
    ) -> Result<Message, String> {
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
            (_, Some(length)) => Err(No::Exception(exception::PROTOCOL_ERROR, too_large(length, self.max))),
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
            Err(No::Excess(Excess::Long)) => {
                *batch = Batch::new();
                return Ok(Message { name, number, call: None });
            }
            Err(No::Excess(excess @ Excess::Events(_))) => {
                let (why, events) = (excess.text(), self.events.claimed());
                (Answer::Outcome, Some(Refusal { why, events, is_fault: false }))
            }
            Err(No::Excess(excess)) => self.exception(exception::INTERNAL_ERROR, excess.text()),
        };
        if refused.is_some() {
            *batch = Batch::new();
        }
        Ok(Message { name, number, call: Some((Call { kind, refused }, answer)) })
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
}

fn missing_argument(method: &str) -> No {
    No::Exception(exception::INTERNAL_ERROR, format!("Internal error processing {method}"))
}
