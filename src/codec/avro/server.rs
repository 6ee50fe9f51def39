//! The server's side of a connection: calls in, answers out, in their order.
//!
//! Every call becomes a batch of its own, and gets its answer when the session is told what became of that. A call that
//! is no more than a question (a ping, an unknown message, a handshake to be repeated) is an empty batch: its answer
//! waits for those before it like any other. Parameters that make no sense, and a message that is too large, are
//! answered with an error, and the connection goes on (as Java's does); a frame or handshake that makes none ends it. A
//! call that would take long is decoded on another thread: its answer's place is kept.

use super::event::{self, NoBatch};
use super::frame::{self, Frames, Message};
use super::handshake::{self, Match};
use super::wire::{put_bytes, Input, Malformed};
use super::{byte, Status};
use crate::codec::rpc::{too_large, Events, Excess};
use crate::codec::{Call, CallKind, Chunk, Decoded, Fault, Refusal, Then, Work};
use crate::event::{Batch, Own, Spares};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

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
    /// What the thread says that decodes it; as long as it says nothing, what became of the call.
    OfWork(Arc<OnceLock<Answer>>),
}

/// A call that is to be decoded on another thread.
struct Long;

impl Server {
    /// Refuses calls above `max` bytes.
    pub fn new(max: usize) -> Server {
        Server::with(max, Arc::default())
    }

    /// The same, with memory that other connections use as well.
    pub fn with(max: usize, spares: Arc<Spares>) -> Server {
        let (frames, events) = (Frames::passing_over(max, spares), Events::at_once());
        Server { frames, events, is_shaken: false, open: VecDeque::new() }
    }

    fn message(&mut self, message: Message, most: usize, batch: &mut Batch) -> Result<Then, Fault> {
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
                return Ok(Then::Call(Call::question()));
            }
            self.is_shaken = true;
        }
        let from = message.bytes.len() - input.left();
        let read = match message.too_large {
            Some(size) => Ok(self.too_large(&mut input, size)),
            None => call(&mut self.events, &mut input, most, batch),
        };
        let (call, answer) = match read {
            Ok(read) => read,
            Err(Long) => {
                *batch = Batch::new();
                let (work, answer) = work(message.bytes, from, most, self.frames.spares().clone());
                open.answer = Answer::OfWork(answer);
                self.open.push_back(open);
                return Ok(Then::Work(work));
            }
        };
        open.answer = answer;
        self.open.push_back(open);
        finish(&call, &mut self.events, message.bytes, self.frames.spares(), batch);
        Ok(Then::Call(call))
    }

    /// What is said to a call of which there is but the beginning.
    fn too_large(&self, input: &mut Input<'_>, size: usize) -> (Call, Answer) {
        let kind = name(input).unwrap_or(CallKind::Question);
        let events = match kind {
            CallKind::Question => 0,
            CallKind::Append => 1,
            // Senders put all of them into one block.
            CallKind::AppendBatch => {
                let n = input.long().map_or(0, i64::unsigned_abs);
                usize::try_from(n).ok().filter(|n| *n <= size / 2).unwrap_or(0)
            }
        };
        let why = too_large(size, self.frames.max());
        wrong(kind, RUNTIME, why, events)
    }

    /// Bytes held of a message that is not complete.
    pub fn held(&self) -> usize {
        self.frames.held()
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.frames.is_inside()
    }

    /// Messages above `max` bytes are refused from the next one on.
    pub fn set_max(&mut self, max: usize) {
        self.frames.set_max(max);
    }

    /// Decodes at most one call. `most`: the events that it may have.
    pub fn decode(&mut self, chunk: &Chunk<'_>, most: usize, batch: &mut Batch) -> Decoded {
        let (used, got) = self.frames.feed(chunk.bytes());
        let then = match got {
            Ok(None) => Then::NeedMore,
            Ok(Some(message)) => match self.message(message, most, batch) {
                Ok(then) => then,
                Err(fault) => Then::Fail(fault),
            },
            Err(reason) => Then::Fail(Fault { reason, answer: Vec::new() }),
        };
        Decoded { used, then }
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

/// Decodes what stands behind the handshake.
fn call(
    events: &mut Events,
    input: &mut Input<'_>,
    most: usize,
    batch: &mut Batch,
) -> Result<(Call, Answer), Long> {
    let kind = match name(input) {
        Ok(kind) => kind,
        Err(no_call) => return Ok(no_call),
    };
    let read = match kind {
        CallKind::Question => return Ok((Call::question(), Answer::Nothing)),
        CallKind::Append => event::one(events, input, batch),
        CallKind::AppendBatch => event::array(events, input, most, batch),
    };
    Ok(match read {
        Ok(()) => (Call { kind, refused: None }, Answer::Outcome),
        Err(NoBatch::Malformed(why)) => malformed(kind, why, batch.len()),
        Err(NoBatch::Excess(Excess::Long)) => return Err(Long),
        Err(NoBatch::Excess(excess @ Excess::Other(_))) => {
            wrong(kind, RUNTIME, excess.text(), events.claimed())
        }
        Err(NoBatch::Excess(excess)) => {
            let refusal = Refusal { why: excess.text(), events: events.claimed(), is_fault: false };
            (Call { kind, refused: Some(refusal) }, Answer::Outcome)
        }
    })
}

/// Gives the batch of a call its memory: the message.
fn finish(call: &Call, events: &mut Events, message: Vec<u8>, spares: &Arc<Spares>, batch: &mut Batch) {
    if call.refused.is_some() {
        *batch = Batch::new();
    }
    if !batch.is_empty() {
        batch.set_own(Own::of(events.memory(message), spares));
    }
}

/// The decoding of what stands in `message` from there on, and where its answer will be.
fn work(message: Vec<u8>, from: usize, most: usize, spares: Arc<Spares>) -> (Work, Arc<OnceLock<Answer>>) {
    let (answer, bytes) = (Arc::new(OnceLock::new()), message.capacity());
    let later = answer.clone();
    let run = move |batch: &mut Batch| {
        let (mut events, mut input) = (Events::default(), Input::new(&message));
        let read = match input.take(from) {
            Ok(_) => call(&mut events, &mut input, most, batch),
            Err(why) => Ok(malformed(CallKind::Question, why, 0)),
        };
        // Nothing is too long here.
        let (call, answer) = read.unwrap_or_else(|Long| (Call::question(), Answer::Nothing));
        let _ = later.set(answer);
        finish(&call, &mut events, message, &spares, batch);
        call
    };
    (Work { bytes, run: Box::new(run) }, answer)
}

const RUNTIME: &str = "org.apache.avro.AvroRuntimeException";

/// Reads which call it is, or says what is wrong with it.
fn name(input: &mut Input<'_>) -> Result<CallKind, (Call, Answer)> {
    let kind = CallKind::Question;
    match input.skip_map().and_then(|()| input.bytes()) {
        Ok(b"") => Ok(kind),
        Ok(b"append") => Ok(CallKind::Append),
        Ok(b"appendBatch") => Ok(CallKind::AppendBatch),
        Ok(other) => {
            let name = String::from_utf8_lossy(&other[..other.len().min(SHOWN)]);
            Err(wrong(kind, RUNTIME, format!("No such remote message: {}", name.escape_debug()), 0))
        }
        Err(why) => Err(malformed(kind, why, 0)),
    }
}

fn malformed(kind: CallKind, Malformed(why): Malformed, events: usize) -> (Call, Answer) {
    wrong(kind, "java.io.EOFException", why.to_owned(), events)
}

/// A call that is answered with an error of this Java class.
fn wrong(kind: CallKind, class: &str, why: String, events: usize) -> (Call, Answer) {
    let answer = Answer::Error(format!("{class}: {why}"));
    (Call { kind, refused: Some(Refusal { why, events, is_fault: true }) }, answer)
}

impl Open {
    fn put(&self, status: Status, out: &mut Vec<u8>) {
        let mut handshake = Vec::new();
        if let Some(m) = self.handshake {
            handshake::put_response(&mut handshake, m);
        }
        let answer = match &self.answer {
            Answer::OfWork(answer) => answer.get().unwrap_or(&Answer::Outcome),
            known => known,
        };
        match answer {
            Answer::Outcome | Answer::OfWork(_) => {
                frame::put(out, self.serial, &[&handshake, &[0], &[0, byte(status)]])
            }
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
