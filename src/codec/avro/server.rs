//! The server's side of a connection: calls in, answers out, in their order.
//!
//! Every call becomes a batch of its own, and gets its answer when the session is told what became of that. A call that
//! is no more than a question (a ping, an unknown message, a handshake to be repeated) is an empty batch: its answer
//! waits for those before it like any other. Parameters that make no sense are answered with an error, and the
//! connection goes on (as Java's does); a frame or handshake that makes none ends it.

use super::event::{Events, NoBatch};
use super::frame::{self, Frames, Message};
use super::handshake::{self, Match};
use super::wire::{self, put_bytes, Input, Malformed};
use super::{byte, Status};
use crate::codec::{Call, CallKind, Chunk, Decoded, Fault, Then};
use crate::event::{Batch, Own, Spares};
use std::collections::VecDeque;
use std::sync::Arc;

/// Of an unknown message's name, this much is repeated.
const SHOWN: usize = 100;

pub struct Server {
    frames: Frames,
    events: Events,
    /// The first call with a handshake that fits is behind us.
    is_shaken: bool,
    open: VecDeque<Open>,
}

/// A call without its answer.
struct Open {
    serial: i32,
    /// What its answer begins with.
    handshake: Option<Match>,
    answer: Answer,
}

enum Answer {
    /// What became of its events.
    Outcome,
    Error(String),
    /// Nothing beyond the handshake.
    Nothing,
}

impl Server {
    /// Refuses messages above `max` bytes.
    pub fn new(max: usize) -> Server {
        Server::with(max, Arc::default())
    }

    /// The same, with memory that other connections use as well.
    pub fn with(max: usize, spares: Arc<Spares>) -> Server {
        let (frames, events) = (Frames::with(max, spares), Events::default());
        Server { frames, events, is_shaken: false, open: VecDeque::new() }
    }

    /// Bytes held of a message that is not complete.
    pub fn held(&self) -> usize {
        self.frames.held()
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.frames.is_inside()
    }

    /// Refuses messages above `max` bytes from the next one on. To be called between two messages.
    pub fn set_max(&mut self, max: usize) {
        self.frames.set_max(max);
    }

    /// Decodes at most one call. `most`: the events that it may have.
    pub fn decode(&mut self, chunk: &Chunk<'_>, most: usize, batch: &mut Batch) -> Decoded {
        let (used, got) = self.frames.feed(chunk.bytes());
        let then = match got {
            Ok(None) => Then::NeedMore,
            Ok(Some(message)) => match self.message(message, most, batch) {
                Ok(call) => Then::Call(call),
                Err(fault) => Then::Fail(fault),
            },
            Err(reason) => Then::Fail(Fault { reason, answer: Vec::new() }),
        };
        Decoded { used, then }
    }

    fn message(&mut self, message: Message, most: usize, batch: &mut Batch) -> Result<Call, Fault> {
        let mut input = Input::new(&message.bytes);
        let mut open = Open { serial: message.serial, handshake: None, answer: Answer::Nothing };
        if !self.is_shaken {
            let end = |reason: String, answer| Fault { reason: format!("Avro handshake: {reason}"), answer };
            let (matched, agrees) =
                handshake::serve(&mut input).map_err(|Malformed(why)| end(why.to_owned(), Vec::new()))?;
            open.handshake = Some(matched);
            if let Err(why) = agrees {
                open.answer = Answer::Error(why.clone());
                let mut answer = Vec::new();
                open.put(Status::Failed, &mut answer);
                return Err(end(format!("the client speaks {why}"), answer));
            }
            if matched == Match::None {
                self.open.push_back(open);
                return Ok(Call::question());
            }
            self.is_shaken = true;
        }
        let (call, answer) = match self.call(&mut input, most, batch) {
            Ok(done) => done,
            Err(Malformed(why)) => {
                *batch = Batch::new();
                (Call::question(), Answer::Error(format!("java.io.EOFException: {why}")))
            }
        };
        open.answer = answer;
        self.open.push_back(open);
        if !batch.is_empty() {
            let memory = self.events.memory(message.bytes);
            batch.set_own(Own::of(memory, self.frames.spares()));
        }
        Ok(call)
    }

    fn call(
        &mut self,
        input: &mut Input<'_>,
        most: usize,
        batch: &mut Batch,
    ) -> wire::Result<(Call, Answer)> {
        input.skip_map()?;
        let kind = match input.bytes()? {
            b"" => return Ok((Call::question(), Answer::Nothing)),
            b"append" => CallKind::Append,
            b"appendBatch" => CallKind::AppendBatch,
            other => {
                let name = String::from_utf8_lossy(&other[..other.len().min(SHOWN)]);
                let why = format!("org.apache.avro.AvroRuntimeException: No such remote message: {name}");
                return Ok((Call::question(), Answer::Error(why)));
            }
        };
        let refused = match kind {
            CallKind::Append => self.events.one(input, batch).map(|()| None)?,
            _ => match self.events.array(input, most, batch) {
                Ok(()) => None,
                Err(NoBatch::Malformed(m)) => return Err(m),
                Err(NoBatch::TooMany) => Some(too_many(most)),
            },
        };
        Ok((Call { kind, refused }, Answer::Outcome))
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

fn too_many(most: usize) -> String {
    format!(
        "it has more events than the channels take at once ({most}): raise their transactionCapacity, or lower the \
         sender's batch size"
    )
}

impl Open {
    fn put(&self, status: Status, out: &mut Vec<u8>) {
        let mut handshake = Vec::new();
        if let Some(m) = self.handshake {
            handshake::put_response(&mut handshake, m);
        }
        match &self.answer {
            Answer::Outcome => frame::put(out, self.serial, &[&handshake, &[0], &[0, byte(status)]]),
            Answer::Nothing => frame::put(out, self.serial, &[&handshake]),
            Answer::Error(text) => {
                let mut error = vec![1, 0];
                put_bytes(&mut error, text.as_bytes());
                frame::put(out, self.serial, &[&handshake, &[0], &error]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
