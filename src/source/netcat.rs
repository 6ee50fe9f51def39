//! The netcat source: lines over TCP, each answered `OK` when it is stored.
//!
//! Runs on the event loop. Delivery: a line is stored before its `OK` goes out; a full channel is waited for as long
//! as its keep-alive says, then answered `FAILED: <why>`. With `ack-every-event = false` there are no answers, and the
//! connection waits for its channel instead (Flume then drops the event and sends `FAILED` all the same).

use crate::codec::beginning::Beginning;
use crate::codec::charset::Charset;
use crate::codec::line::LineDecoder;
use crate::codec::{BatchLimits, Chunk, Decoded};
use crate::component::{Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Batch;
use crate::net::{After, Outcome, Peer, Protocol, Session};
use std::sync::Arc;

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "netcat",
        class: "org.apache.flume.source.NetcatSource",
        help: "Lines over TCP, each answered with OK",
        keys: &[&[
            Key::new("bind", Type::Text, Default::Required, "host name or address to listen on"),
            Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
            Key::new(
                "max-line-length",
                Type::Int(1, 1 << 26),
                Default::Is("512"),
                "characters of a line, newline included; a longer one ends the connection",
            ),
            Key::new(
                "ack-every-event",
                Type::Bool,
                Default::Is("true"),
                "answer each line; otherwise the connection waits when a channel is full",
            ),
            Key::new(
                "encoding",
                Type::Text,
                Default::Is("utf-8"),
                "charset of lines and answers; bodies are UTF-8",
            ),
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[
            "bytes that are no UTF-8 are passed through; Flume closes the connection",
            "an unterminated last line at the end of a connection is an event; Flume drops it",
            "a connection that begins with a TLS handshake is ended; Flume takes that for lines",
            "with ack-every-event = false and a full channel the connection waits; Flume drops the event",
        ],
    },
    build,
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let name = ctx.text("encoding").unwrap_or_default();
    match Charset::named(name) {
        Some(_) => Vec::new(),
        None => vec![("encoding", format!("'{name}' is not a known charset"))],
    }
}

fn build(ctx: &Context) -> Source {
    let charset = ctx.text("encoding").and_then(Charset::named).expect("check has seen the charset");
    let endpoint = super::endpoint(ctx.text("bind"), ctx);
    let netcat =
        Netcat { longest: ctx.size("max-line-length"), answers: ctx.flag("ack-every-event"), charset };
    Source::Stream { endpoint, protocol: Arc::new(netcat) }
}

struct Netcat {
    longest: usize,
    answers: bool,
    charset: Charset,
}

impl Protocol for Netcat {
    fn can_refuse(&self) -> bool {
        self.answers
    }

    fn open(&self, _: &Peer) -> Box<dyn Session> {
        let lines = LineDecoder::new(self.longest, self.charset);
        let beginning = Beginning::default();
        Box::new(Lines { beginning, lines, answers: self.answers, charset: self.charset })
    }
}

struct Lines {
    beginning: Beginning,
    lines: LineDecoder,
    answers: bool,
    charset: Charset,
}

impl Session for Lines {
    fn decode(&mut self, chunk: &Chunk<'_>, eof: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
        let fault = self.beginning.fault(chunk.bytes());
        fault.unwrap_or_else(|| self.lines.decode(chunk, eof, limits, batch))
    }

    fn memory(&self) -> usize {
        self.lines.held()
    }

    fn answer(&mut self, events: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
        if self.answers {
            let line = match outcome {
                Outcome::Stored => self.charset.encode("OK\n"),
                Outcome::Refused(why) | Outcome::TooLarge(why) => {
                    self.charset.encode(&format!("FAILED: {why}\n"))
                }
            };
            for _ in 0..events {
                out.extend_from_slice(&line);
            }
        }
        After::Continue
    }
}
