//! The server's side of a connection: calls in, answers out, in their order.
//!
//! Every call becomes a batch of its own, and gets its answer when the session is told what became of that. What makes no
//! sense within its frame is answered with an exception, and the connection goes on (Flume closes it); a frame that holds
//! no Thrift message ends it. An answer is encoded as its call was. A call that would take long is decoded on another
//! thread: its answer's place is kept.

use super::decoder::{Decoder, Message};
use super::frame::{Frame, Frames};
use super::{input, number, output, Encoding};
use crate::codec::rpc::{Events, Status};
use crate::codec::{Call, Chunk, Decoded, Fault, Then, Work};
use crate::event::{Batch, Spares};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use thrift::protocol::{TMessageType, TType};

pub struct Server {
    frames: Frames,
    decoder: Decoder,
    open: VecDeque<Open>,
}

/// A call without its answer.
struct Open {
    encoding: Encoding,
    name: String,
    number: i32,
    answer: Answer,
}

pub enum Answer {
    /// What became of its events.
    Outcome,
    Exception(i32, String),
    /// What the thread says that decodes it; as long as it says nothing, what became of the call.
    OfWork(Arc<OnceLock<Answer>>),
}

impl Server {
    /// Refuses messages above `max` bytes. `spares`: memory that other connections use as well.
    pub fn new(max: usize, spares: Arc<Spares>) -> Server {
        let decoder = Decoder { events: Events::at_once(), max };
        Server { frames: Frames::with(max, spares), decoder, open: VecDeque::new() }
    }

    fn frame(&mut self, frame: Frame, most: usize, batch: &mut Batch) -> Result<Then, String> {
        let (message, whole) = match frame {
            Frame::Message(message) => (message, None),
            Frame::TooLarge(beginning, length) => (beginning, Some(length)),
        };
        let encoding = input::encoding(&message).ok_or("no Thrift: a frame without a message")?;
        self.decoder.max = self.frames.max();
        let Message { name, number, call } = self.decoder.message(&message, encoding, whole, most, batch)?;
        let (answer, then) = match call {
            Some((call, answer)) => {
                self.decoder.finish(message, self.frames.spares(), batch);
                (answer, Then::Call(call))
            }
            None => {
                let spares = self.frames.spares().clone();
                let (work, answer) = work(message, encoding, self.decoder.max, most, spares);
                (Answer::OfWork(answer), Then::Work(work))
            }
        };
        self.open.push_back(Open { encoding, name, number, answer });
        Ok(then)
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
            Ok(Some(frame)) => self.frame(frame, most, batch).unwrap_or_else(fail),
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

/// The decoding of a message, and where its answer will be.
fn work(
    message: Vec<u8>,
    encoding: Encoding,
    max: usize,
    most: usize,
    spares: Arc<Spares>,
) -> (Work, Arc<OnceLock<Answer>>) {
    let (answer, bytes) = (Arc::new(OnceLock::new()), message.capacity());
    let later = answer.clone();
    let run = move |batch: &mut Batch| {
        let mut decoder = Decoder { events: Events::default(), max };
        let read = decoder.message(&message, encoding, None, most, batch);
        // Its beginning was read before, and nothing is too long here.
        let read = read.ok().and_then(|m| m.call);
        let (call, answer) = read.unwrap_or_else(|| (Call::question(), Answer::Outcome));
        let _ = later.set(answer);
        decoder.finish(message, &spares, batch);
        call
    };
    (Work { bytes, run: Box::new(run) }, answer)
}

impl Open {
    fn put(&self, status: Status, out: &mut Vec<u8>) {
        let answer = match &self.answer {
            Answer::OfWork(answer) => answer.get().unwrap_or(&Answer::Outcome),
            known => known,
        };
        match answer {
            Answer::Outcome | Answer::OfWork(_) => {
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
