//! A conversation of the http source: requests to the handler, answers in their order.
//!
//! Called by its connection's loop thread; what it leaves to the pool shares a cell with it, which is set once. The
//! answer to a request is made when it is known what became of its events.

use crate::clock::now_ms;
use crate::codec::http::{self, Date, Got, Manner, Most, Refused, Request, Server, Whole};
use crate::codec::{BatchLimits, Call, CallKind, Chunk, Decoded, Fault, Refusal, Then, Work};
use crate::component::{HandlerError, HttpHandler};
use crate::event::{Batch, Spares};
use crate::net::{After, Outcome, Session};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A larger body is given to the handler on the pool: other connections would wait for it.
const LONG: usize = 1 << 20;
/// When to try again what found no room: a channel's sinks may have made some by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Open answers that there is room for while there are none.
const FEW: usize = 4;

pub struct Conversation {
    handler: Arc<dyn HttpHandler>,
    server: Server,
    open: VecDeque<Open>,
    date: Date,
}

/// A request without its answer.
struct Open {
    manner: Manner,
    said: Said,
}

/// What its answer says.
enum Said {
    /// What became of its events.
    Outcome,
    Error(HandlerError),
    /// What the handler says, which runs on the pool; as long as that is nothing, what became of its events.
    OfWork(Arc<OnceLock<HandlerError>>),
    Refused(Refused),
    /// That the body may come. The request's answer is another one.
    Continue,
}

/// What was made of a request at once.
enum Taken {
    Events(Result<(), HandlerError>),
    /// Nothing yet.
    Long(Whole, usize),
}

impl Conversation {
    pub fn new(handler: Arc<dyn HttpHandler>, most: Most, spares: Arc<Spares>) -> Conversation {
        let (open, date) = (VecDeque::new(), Date::default());
        Conversation { handler, server: Server::new(most, spares), open, date }
    }

    fn queue(&mut self, manner: Manner, said: Said) {
        self.open.push_back(Open { manner, said });
    }

    fn taken(&mut self, taken: Taken, manner: Manner, limits: BatchLimits, batch: &mut Batch) -> Then {
        match taken {
            Taken::Events(Ok(())) => {
                self.queue(manner, Said::Outcome);
                Then::Call(stored())
            }
            Taken::Events(Err(e)) => {
                *batch = Batch::new();
                let call = refused(&e);
                self.queue(manner, Said::of(e));
                Then::Call(call)
            }
            Taken::Long(request, bytes) => {
                let (handler, cell) = (self.handler.clone(), Arc::new(OnceLock::new()));
                self.queue(manner, Said::OfWork(cell.clone()));
                let run = move |batch: &mut Batch| {
                    let Err(e) = request.lend(|r| handler.handle(r, limits, batch)) else { return stored() };
                    *batch = Batch::new();
                    let call = refused(&e);
                    if !matches!(e, HandlerError::TooLarge(_)) {
                        let _ = cell.set(e);
                    }
                    call
                };
                Then::Work(Work { bytes, run: Box::new(run) })
            }
        }
    }

    /// An answer at the end of the connection.
    fn last(&mut self, refused: &Refused, manner: Manner) -> Vec<u8> {
        let mut answer = Vec::new();
        let manner = Manner { close: true, ..manner };
        http::put(refused.status, &refused.why, "", manner, self.date.at(now_ms()), &mut answer);
        answer
    }
}

impl Said {
    /// What is too large for the channels is refused as their own refusal is.
    fn of(e: HandlerError) -> Said {
        match e {
            HandlerError::TooLarge(_) => Said::Outcome,
            e => Said::Error(e),
        }
    }
}

fn stored() -> Call {
    Call { kind: CallKind::AppendBatch, refused: None }
}

fn refused(e: &HandlerError) -> Call {
    let is_fault = !matches!(e, HandlerError::TooLarge(_));
    let refusal = Refusal { why: format!("{}: {e}", e.status()), events: 0, is_fault };
    let why = if is_fault { refusal.why } else { e.why().to_owned() };
    Call { kind: CallKind::AppendBatch, refused: Some(Refusal { why, ..refusal }) }
}

/// How long a request's handler takes: by its own word, or by the body's size.
fn is_long(handler: &dyn HttpHandler, request: &Request<'_>) -> bool {
    handler.may_block() || request.body.bytes().len() > LONG
}

impl Session for Conversation {
    fn decode(&mut self, chunk: &Chunk<'_>, _: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
        let handler = &*self.handler;
        let (used, got) = self.server.decode(chunk, |request| match is_long(handler, request) {
            true => Taken::Long(Whole::of(request), request.body.buffer.pinned()),
            false => Taken::Events(handler.handle(request, limits, batch)),
        });
        let then = match got {
            Got::NeedMore => Then::NeedMore,
            Got::Pause => Then::Pause,
            Got::Continue => {
                self.queue(Manner::default(), Said::Continue);
                Then::Call(Call::question())
            }
            Got::Request(taken, manner) => self.taken(taken, manner, limits, batch),
            Got::Refused(refused, manner) => {
                self.queue(manner, Said::Refused(refused));
                Then::Call(Call::question())
            }
            Got::Broken(refused, manner) => {
                let answer = self.last(&refused, manner);
                let reason = format!("answered {}: {}", refused.status, refused.why);
                Then::Fail(Fault { reason, answer })
            }
        };
        Decoded { used, then }
    }

    fn memory(&self) -> usize {
        self.server.held()
    }

    fn is_inside(&self) -> bool {
        self.server.is_inside()
    }

    fn is_timed(&self) -> bool {
        self.server.has_begun()
    }

    fn expire(&mut self) -> Vec<u8> {
        let manner = self.server.end();
        self.last(&Refused::new(408, "the request did not come to its end in time"), manner)
    }

    fn stopped(&mut self) -> Vec<u8> {
        let (mut answer, manner) = (Vec::new(), self.server.end());
        http::put(503, "the agent stops", &retry(RETRY_AFTER), manner, self.date.at(now_ms()), &mut answer);
        answer
    }

    fn answer(&mut self, _: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
        let Some(Open { manner, said }) = self.open.pop_front() else { return After::Close };
        if self.open.is_empty() {
            self.open.shrink_to(FEW);
        }
        let date = self.date.at(now_ms());
        let error = |e: &HandlerError, out: &mut Vec<u8>| {
            let more = match e {
                HandlerError::Unavailable { retry_after, .. } => retry(*retry_after),
                _ => String::new(),
            };
            http::put(e.status(), e.why(), &more, manner, date, out);
        };
        match (&said, outcome) {
            (Said::Continue, _) => out.extend_from_slice(http::CONTINUE),
            (Said::Refused(r), _) => {
                let more = match r.status {
                    405 => "Allow: GET, HEAD, POST\r\n",
                    415 => "Accept-Encoding: gzip, deflate\r\n",
                    _ => "",
                };
                http::put(r.status, &r.why, more, manner, date, out);
            }
            (Said::Error(e), _) => error(e, out),
            (Said::OfWork(cell), _) if cell.get().is_some() => {
                cell.get().into_iter().for_each(|e| error(e, out));
            }
            (Said::Outcome | Said::OfWork(_), Outcome::Stored) => http::put_ok(manner, date, out),
            (Said::Outcome | Said::OfWork(_), Outcome::TooLarge(why)) => {
                http::put(413, why, "", manner, date, out);
            }
            (Said::Outcome | Said::OfWork(_), Outcome::Refused(why)) => {
                http::put(503, why, &retry(RETRY_AFTER), manner, date, out);
            }
        }
        match manner.close {
            true => After::Close,
            false => After::Continue,
        }
    }
}

fn retry(after: Duration) -> String {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    format!("Retry-After: {}\r\n", seconds.max(1))
}

#[cfg(test)]
mod tests;
