//! A request to the server, and what its answer comes to.
//!
//! Belongs to its sink's thread.

use super::body::{gzip, Format};
use super::client::{Dialer, Later, NotConnected, Shared};
use super::endpoint::Endpoint;
use super::rules::{Rules, Verdict};
use crate::component::SinkError;
use crate::config::Context;
use crate::counters::SinkCounters;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::http::{header, Response};
use ureq::{Agent, Body, Error, Timeout};

/// Of an answer's body, this much is read to have the connection again, and this much shown.
const READ: u64 = 64 << 10;
const SHOWN: usize = 200;
/// The longest that a server can have the sink wait by Retry-After.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

pub struct Post {
    pub name: String,
    pub counters: Arc<SinkCounters>,
    endpoint: Endpoint,
    agent: Agent,
    dialer: Arc<Dialer>,
    gzip: bool,
    content_type: String,
    rules: Rules,
    /// The server asked not to be asked before.
    wait_until: Option<Instant>,
    /// Events of the batch at hand were given up with a code after which it is to pause.
    pauses: bool,
    /// When it was last said that events are given up.
    told_given_up: Option<Instant>,
}

/// Why a request's events are not delivered.
pub struct Failure {
    pub error: SinkError,
    /// They may have arrived.
    is_open: bool,
    /// The request was too large for the server.
    pub too_large: bool,
}

impl Failure {
    fn known(error: SinkError) -> Failure {
        Failure { error, is_open: false, too_large: false }
    }
}

impl Post {
    pub fn new(ctx: &Context, endpoint: Endpoint, format: Format, counters: Arc<SinkCounters>) -> Post {
        let text = |key: &str| ctx.text(key).map(str::to_owned);
        let millis = |key| ctx.duration(key).unwrap_or(Duration::from_secs(5));
        let (connect, request) = (millis("connectTimeout"), millis("requestTimeout"));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("flumed/", env!("CARGO_PKG_VERSION")))
            .accept(text("acceptHeader").unwrap_or_default())
            .accept_encoding("identity")
            .timeout_connect(Some(connect))
            .timeout_global(Some(connect + request))
            .timeout_send_request(Some(request))
            .timeout_send_body(Some(request))
            .timeout_recv_response(Some(request))
            .timeout_recv_body(Some(request))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(Duration::from_secs(86_400))
            .build();
        let dialer = Arc::new(Dialer {
            sink: ctx.name().to_owned(),
            address: endpoint.address.clone(),
            connect_timeout: connect,
            tls: endpoint.is_tls.then(|| crate::client::tls_options(ctx)),
            made: Mutex::default(),
            spare: Mutex::default(),
            counters: counters.clone(),
            sent_all: Arc::default(),
        });
        Post {
            name: ctx.name().to_owned(),
            counters,
            endpoint,
            agent: Agent::with_parts(config, Shared(dialer.clone()), Later),
            dialer,
            gzip: ctx.text("compression") == Some("gzip"),
            content_type: text("contentTypeHeader").unwrap_or_else(|| format.content_type().to_owned()),
            rules: Rules::new(ctx),
            wait_until: None,
            pauses: false,
            told_given_up: None,
        }
    }

    /// Whether there is a server to send to.
    pub fn probe(&mut self) -> Result<(), SinkError> {
        self.held_back()?;
        self.dialer.probe().map_err(SinkError::destination)
    }

    /// Requests of another batch follow.
    pub fn begin_batch(&mut self) -> Result<(), SinkError> {
        self.pauses = false;
        self.held_back()
    }

    /// Whether there is to be a pause after the batch.
    pub fn pauses(&self) -> bool {
        self.pauses
    }

    /// Until when the server is not to be asked.
    fn held_back(&mut self) -> Result<(), SinkError> {
        match self.wait_until.filter(|until| *until > Instant::now()) {
            Some(_) => {
                Err(SinkError::destination(format!("{} is left alone for a while", self.endpoint.shown)))
            }
            None => {
                self.wait_until = None;
                Ok(())
            }
        }
    }

    /// Posts a body with `n` events.
    pub fn send(&mut self, body: &[u8], n: usize) -> Result<(), Failure> {
        let mut request =
            self.agent.post(&self.endpoint.url).header(header::CONTENT_TYPE, &self.content_type);
        if let Some(authorization) = &self.endpoint.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let result = match self.gzip {
            true => request.header(header::CONTENT_ENCODING, "gzip").send(&gzip(body)[..]),
            false => request.send(body),
        };
        match result {
            Ok(answer) => self.judge(answer, n),
            Err(e) => Err(self.failure(&e)),
        }
    }

    fn judge(&mut self, mut answer: Response<Body>, n: usize) -> Result<(), Failure> {
        let status = answer.status();
        let text = |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (location, retry_after) = (text(header::LOCATION), text(header::RETRY_AFTER));
        // What is left unread ends the connection; the answer is known all the same.
        let verdict = self.rules.verdict(status.as_u16());
        // A body that only the end of the connection ends is not waited for where the code says it all.
        let is_framed = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
            .iter()
            .any(|name| answer.headers().contains_key(name));
        let said = match is_framed || verdict != Verdict::Delivered {
            true => answer.body_mut().with_config().limit(READ).read_to_vec().unwrap_or_default(),
            false => Vec::new(),
        };
        if verdict == Verdict::Delivered {
            return Ok(());
        }
        let mut why = format!("{} answers {status}", self.endpoint.shown);
        if let Some(to) = location.filter(|_| status.is_redirection()) {
            why += &format!(", to {to}: set endpoint to that, requests are not sent on");
        }
        let said =
            String::from_utf8_lossy(&said[..said.len().min(SHOWN)]).trim().replace(char::is_control, " ");
        if !said.is_empty() {
            why += &format!(": {said}");
        }
        match verdict {
            Verdict::Delivered => Ok(()),
            Verdict::GivenUp => {
                self.tell_given_up(n, &why);
                self.pauses |= self.rules.pauses(status.as_u16());
                Ok(())
            }
            Verdict::Unclear => Err(Failure::known(SinkError::unknown(why))),
            Verdict::NotThese => {
                Err(Failure { too_large: status.as_u16() == 413, ..Failure::known(SinkError::events(why)) })
            }
            Verdict::NotNow => {
                let seconds = retry_after.as_deref().and_then(seconds);
                if let Some(seconds) = seconds.filter(|_| matches!(status.as_u16(), 429 | 503)) {
                    self.wait_until = Some(Instant::now() + Duration::from_secs(seconds).min(LONGEST_WAIT));
                    why += &format!(" (it asks for {seconds} s)");
                }
                Err(Failure::known(SinkError::destination(why)))
            }
        }
    }

    /// Events that are not sent again, as the configuration has it: at most a line each ten seconds.
    fn tell_given_up(&mut self, n: usize, why: &str) {
        self.counters.event_write_fail.add(n);
        let now = Instant::now();
        if self.told_given_up.is_none_or(|at| now.duration_since(at) >= Duration::from_secs(10)) {
            self.told_given_up = Some(now);
            log::warn!("sink {}: {n} events are given up, as its rollback keys say: {why}", self.name);
        }
    }

    fn failure(&self, e: &Error) -> Failure {
        let shown = &self.endpoint.shown;
        let not_sent = |why: String| Failure::known(SinkError::destination(why));
        // What was not sent as a whole cannot have been taken.
        let is_open = self.dialer.has_sent_all();
        match e {
            Error::Other(why) if why.is::<NotConnected>() => not_sent(why.to_string()),
            Error::ConnectionFailed
            | Error::HostNotFound
            | Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                not_sent(format!("cannot connect to {shown}: {e}"))
            }
            Error::Timeout(_) => Failure {
                error: SinkError::destination(format!("{shown} has not answered in time: {e}")),
                is_open,
                too_large: false,
            },
            e => {
                Failure { error: SinkError::destination(format!("{shown}: {e}")), is_open, too_large: false }
            }
        }
    }

    /// Notes what a failed request may have left there.
    pub fn note(&self, failure: &Failure, n: usize) {
        if failure.is_open {
            self.counters.possibly_repeated.add(n);
            log::warn!(
                "sink {}: {n} events may have arrived already and will be sent again: {}",
                self.name,
                failure.error
            );
        }
    }
}

/// Retry-After: seconds, or a moment (RFC 9110, 10.2.3).
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
    u64::try_from(at - jiff::Timestamp::now().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_again() {
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), None, "long ago");
        let later = jiff::Timestamp::now() + Duration::from_secs(1000);
        let text = later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert!(seconds(&text).is_some_and(|s| (900..=1000).contains(&s)), "{text}");
    }
}
