//! The HTTP side of the metrics endpoint: a protocol on the loop that stores no events.
//!
//! As Flume: any method but TRACE and OPTIONS (403), `/metrics` in any case, `/` a link to it, 404 for the rest.
//! Ours: `/healthz`, 200 when every component is started, else 503 naming those that are not. A sink of a group that
//! another of it stands in for is named, too, but makes no 503: what kills agents that are not well would kill one that
//! delivers.

use super::{json, prometheus};
use crate::codec::http::{self, Parsed};
use crate::codec::{BatchLimits, Chunk, Decoded, Fault, Then};
use crate::counters::{Registry, Snapshot, State};
use crate::event::Batch;
use crate::net::{After, Outcome, Peer, Protocol, Session, Wire};
use std::sync::Arc;

/// The longest request head, and the longest body to skip.
const LIMIT: usize = 16 << 10;

/// What `/metrics` answers with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Json,
    Prometheus,
}

pub struct Monitor {
    pub registry: Arc<Registry>,
    pub format: Format,
    pub wire: Wire,
}

impl Protocol for Monitor {
    fn can_refuse(&self) -> bool {
        true
    }
    fn wire(&self) -> Wire {
        self.wire.clone()
    }
    fn open(&self, _: &Peer) -> Box<dyn Session> {
        let (registry, format) = (self.registry.clone(), self.format);
        Box::new(Conversation { registry, format, asked: None })
    }
}

struct Conversation {
    registry: Arc<Registry>,
    format: Format,
    /// The request that the next answer is for.
    asked: Option<http::Asked>,
}

impl Session for Conversation {
    fn decode(&mut self, chunk: &Chunk<'_>, _: bool, _: BatchLimits, _: &mut Batch) -> Decoded {
        match http::parse(chunk.bytes(), LIMIT) {
            Parsed::NeedMore => Decoded { used: 0, then: Then::NeedMore },
            Parsed::Refuse(status) => {
                let answer = http::response(status, "text/plain", b"", true);
                let fault = Fault { reason: format!("HTTP request refused with {status}"), answer };
                Decoded { used: chunk.bytes().len(), then: Then::Fail(fault) }
            }
            Parsed::Request(r) => {
                let used = r.used;
                self.asked = Some(r);
                Decoded { used, then: Then::Full }
            }
        }
    }

    fn answer(&mut self, _: usize, _: Outcome<'_>, out: &mut Vec<u8>) -> After {
        let Some(r) = self.asked.take() else { return After::Close };
        let (status, kind, body) = self.page(&r);
        let mut answer = http::response(status, kind, body.as_bytes(), r.close);
        if r.method == "HEAD" {
            answer.truncate(answer.len() - body.len());
        }
        out.extend_from_slice(&answer);
        if r.close {
            After::Close
        } else {
            After::Continue
        }
    }
}

impl Conversation {
    fn page(&self, r: &http::Asked) -> (u16, &'static str, String) {
        const HTML: &str = "text/html;charset=utf-8";
        const TEXT: &str = "text/plain; charset=utf-8";
        if r.method == "TRACE" || r.method == "OPTIONS" {
            return (403, TEXT, String::new());
        }
        match r.path.to_ascii_lowercase().as_str() {
            "/" => (200, HTML, "<html><body><a href=\"./metrics\">metrics</a></body></html>\n".to_owned()),
            "/healthz" => self.health(),
            "/metrics" => {
                let all = self.registry.snapshot();
                match self.format {
                    Format::Json => (200, "application/json;charset=utf-8", json::render(&all)),
                    Format::Prometheus => {
                        (200, "text/plain; version=0.0.4; charset=utf-8", prometheus::render(&all))
                    }
                }
            }
            _ => (404, TEXT, "not found; there are /metrics and /healthz\n".to_owned()),
        }
    }

    fn health(&self) -> (u16, &'static str, String) {
        let all = self.registry.snapshot();
        let (mut text, mut is_well) = (String::new(), true);
        for s in &all {
            let state = match &s.state {
                State::Started => continue,
                State::Starting => "starting".to_owned(),
                State::Failed(why) => format!("failed: {why}"),
                State::Stopped => "stopped".to_owned(),
            };
            let stands_in = |o: &&Snapshot| o.team == s.team && o.state == State::Started;
            let deputy = s.team.as_ref().and_then(|t| Some((t, all.iter().find(stands_in)?)));
            is_well &= deputy.is_some();
            let and = deputy.map_or(String::new(), |(t, o)| format!("; group {} has {}", t.group, o.name));
            text += &format!("{} {} {state}{and}\n", s.kind.to_ascii_lowercase(), s.name);
        }
        match is_well {
            true => (200, "text/plain; charset=utf-8", format!("ok\n{text}")),
            false => (503, "text/plain; charset=utf-8", text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counted, SinkCounters, SourceCounters, Team};
    use crate::event::Buffer;

    fn ask(registry: &Arc<Registry>, request: &str) -> (String, After) {
        let mut s = Conversation { registry: registry.clone(), format: Format::Json, asked: None };
        let buffer = Buffer::owned(request.as_bytes().to_vec());
        let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
        let limits = BatchLimits { events: 1, bytes: 1 };
        let d = s.decode(&chunk, false, limits, &mut Batch::new());
        let mut out = Vec::new();
        let after = match d.then {
            Then::Fail(f) => {
                out = f.answer;
                After::Close
            }
            Then::Full => s.answer(0, Outcome::Stored, &mut out),
            Then::Call(_) | Then::Work(_) => unreachable!("no RPC"),
            Then::NeedMore | Then::Pause => After::Continue,
        };
        (String::from_utf8(out).unwrap(), after)
    }

    #[test]
    fn health_names_what_is_not_started() {
        let registry = Arc::new(Registry::default());
        let (r, k) = (SourceCounters::new("r1"), SinkCounters::new("k1"));
        registry.set(vec![r.clone(), k.clone()]);
        r.health.set(State::Started);
        k.health.set(State::Failed("cannot start: no directory".into()));
        let (text, after) = ask(&registry, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.ends_with("sink k1 failed: cannot start: no directory\n"), "{text}");
        assert_eq!(after, After::Continue);
        k.health.set_started_again();
        assert!(ask(&registry, "GET /healthz HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn a_sink_that_another_stands_in_for_is_named_and_no_503() {
        let registry = Arc::new(Registry::default());
        let sinks = ["k1", "k2", "k3"].map(SinkCounters::new);
        for (k, channel) in sinks.iter().zip(["c1", "c1", "c2"]) {
            k.set_team(Some(Team { group: "g1".into(), channel: channel.into() }));
            k.health.set(State::Started);
        }
        registry.set(sinks.iter().map(|k| k.clone() as Arc<dyn Counted>).collect());
        let health = || ask(&registry, "GET /healthz HTTP/1.1\r\n\r\n").0;
        sinks[0].health.set(State::Failed("refused".into()));
        assert!(health().starts_with("HTTP/1.1 200 "));
        assert!(health().ends_with("\r\n\r\nok\nsink k1 failed: refused; group g1 has k2\n"), "{}", health());
        // None of another channel stands in.
        sinks[1].health.set(State::Starting);
        assert!(health().starts_with("HTTP/1.1 503 "));
        assert!(health().ends_with("\r\n\r\nsink k1 failed: refused\nsink k2 starting\n"), "{}", health());
        sinks[1].health.set(State::Started);
        sinks[2].health.set(State::Failed("refused".into()));
        assert!(health().starts_with("HTTP/1.1 503 "));
    }

    #[test]
    fn pages_and_methods_as_in_flume() {
        let registry = Arc::new(Registry::default());
        registry.set(vec![SourceCounters::new("r1")]);
        let status = |req: &str| ask(&registry, req).0[9..12].to_owned();
        assert_eq!(status("GET /METRICS HTTP/1.1\r\n\r\n"), "200");
        assert_eq!(status("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"), "200");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "200");
        assert_eq!(status("GET /x HTTP/1.1\r\n\r\n"), "404");
        assert_eq!(status("TRACE /metrics HTTP/1.1\r\n\r\n"), "403");
        assert_eq!(status("OPTIONS / HTTP/1.1\r\n\r\n"), "403");
        assert_eq!(status("nonsense\r\n\r\n"), "400");
        assert!(ask(&registry, "GET /metrics HTTP/1.1\r\n\r\n").0.contains("\"SOURCE.r1\""));
        let head = ask(&registry, "HEAD /metrics HTTP/1.1\r\n\r\n").0;
        assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: "), "{head}");
    }
}
