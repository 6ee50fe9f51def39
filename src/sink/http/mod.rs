//! The http sink: events in POST requests, one each as in Flume, or many in one as JSON.
//!
//! A batch is committed when its last request is answered with a code that says so (`rules`). Of a batch that failed
//! halfway in requests of an event each, those that were delivered are remembered by their numbers, and not sent again when
//! they come back. Where no answer comes events may have arrived although they are sent again: that is logged and counted.
//! One connection, kept alive, opened anew when it has ended. Called by its sink thread only, for at most the two time-outs for
//! each request.

mod body;
mod client;
mod endpoint;
mod rules;

use crate::channel::Take;
use crate::client::TLS_CHOICES;
use crate::component::{Sink, SinkError, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::counters::SinkCounters;
use crate::tls_keys;
use body::Format;
use client::{Dialer, Later, NotConnected};
use endpoint::Endpoint;
use rules::{odd_codes, Rules, Verdict};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::http::{header, Response};
use ureq::{Agent, Body, Error, Timeout};

const MILLIS: Type = Type::Millis(1, i32::MAX as i64);
const NO_METRICS_KEY: &str = "what is committed is counted";

/// Of an answer's body, this much is read to have the connection again, and this much shown.
const READ: u64 = 64 << 10;
const SHOWN: usize = 200;
/// After events were given up.
const GIVEN_UP_PAUSE: Duration = Duration::from_secs(1);
/// The longest that a server can have the sink wait by Retry-After.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Numbers of events that were delivered and not committed, at most.
const REMEMBERED: usize = 100_000;

pub static SPEC: SinkSpec = Spec {
    declared: Declared {
        kind: Kind::Sink,
        name: "http",
        class: "org.apache.flume.sink.http.HttpSink",
        help: "Posts events to a server, one in each request or many as JSON",
        keys: &[
            &[
                Key::new("endpoint", Type::Text, Default::Required, "http or https URL to post to"),
                Key::new("connectTimeout", MILLIS, Default::Is("5000"), "ms for connecting, with the look-up of the name and TLS"),
                Key::new("requestTimeout", MILLIS, Default::Is("5000"), "ms for a request and its answer"),
                Key::new(
                    "contentTypeHeader",
                    Type::Text,
                    Default::Computed("text/plain, or that of batchFormat"),
                    "Content-Type of the requests",
                ),
                Key::new("acceptHeader", Type::Text, Default::Is("text/plain"), "Accept of the requests"),
                Key::new(
                    "defaultRollback",
                    Type::Bool,
                    Default::Is("true"),
                    "whether events are sent again that are answered with a code that is no success and has no key of its own",
                ),
                Key::new(
                    "rollback.",
                    Type::Prefix,
                    Default::None,
                    "whether they are after this code: 503, or a class of codes: 5XX",
                ),
                Key::new(
                    "defaultBackoff",
                    Type::Bool,
                    Default::Is("true"),
                    "whether to pause a second after a batch with events that are not sent again; after a failure there is \
                     always a pause, which grows",
                ),
                Key::new(
                    "backoff.",
                    Type::Prefix,
                    Default::None,
                    "whether to pause after this code: 404, or a class of codes: 4XX",
                ),
                Key::new("defaultIncrementMetrics", Type::Bool, Default::Is("false"), "whether to count").ignored(NO_METRICS_KEY),
                Key::new("incrementMetrics.", Type::Prefix, Default::None, "whether to count after this code")
                    .ignored(NO_METRICS_KEY),
                Key::new("batchSize", Type::Int(1, 100_000), Default::Is("100"), "events of one transaction, at most"),
                Key::new(
                    "batchFormat",
                    Type::Choice(&["event", "json", "ndjson"]),
                    Default::Is("event"),
                    "event: a request for each event, its body alone, as in Flume; json: one request with an array of \
                     {\"headers\":{..},\"body\":\"..\"}, as the http source takes it; ndjson: with one such object a line",
                ),
                Key::new("compression", Type::Choice(&["none", "gzip"]), Default::Is("none"), "of the requests' bodies"),
                Key::new("username", Type::Text, Default::None, "for Basic authentication; also in the URL"),
                Key::new("password", Type::Text, Default::None, "for Basic authentication"),
            ],
            TLS_CHOICES,
            tls_keys::IDENTITY,
            tls_keys::TRUST,
            tls_keys::LISTS,
        ],
        // A channel that takes fewer at once gives fewer: Flume's sink takes one.
        batch_key: None,
        check: Some(check),
        advice: Some(advice),
        differs: &[
            "a success (2XX) is one unless rollback.2XX or rollback.<code> says otherwise; Flume sends what succeeded again, for \
             ever, unless they are false",
            "a failed delivery is a failure to its group, which fails over; in Flume it is not",
            "an event without a body is posted; Flume drops it",
            "a redirection is a failure that names its target; Java's client follows it with a GET, which brings no event",
            "a server's certificate has to bear the name of the endpoint, unless verify-hostname = false",
        ],
    },
    build: |ctx, parts| Box::new(Http::new(ctx, parts)),
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    match ctx.text("endpoint").map(Endpoint::parse) {
        Some(Err(why)) => wrong.push(("endpoint", why)),
        Some(Ok(to)) if to.is_tls => {
            wrong.extend(crate::client::fault_of_lists(ctx));
            wrong.extend(tls_keys::identity(ctx).err());
        }
        _ => {}
    }
    if ctx.text("password").is_some() && ctx.text("username").is_none() {
        wrong.push(("password", "has no meaning without username".to_owned()));
    }
    for key in ["contentTypeHeader", "acceptHeader"] {
        if ctx.text(key).is_some_and(|v| header::HeaderValue::from_str(v).is_err()) {
            wrong.push((key, "is no value of a header".to_owned()));
        }
    }
    wrong
}

fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut odd = odd_codes(ctx, "rollback.");
    odd.extend(odd_codes(ctx, "backoff."));
    let rules = Rules::new(ctx);
    if [200, 201, 202, 204].iter().any(|code| rules.verdict(*code) != Verdict::Delivered) {
        odd.push((
            "rollback.",
            "a success is rolled back: what was delivered is sent again, for ever".to_owned(),
        ));
    }
    let to = ctx.text("endpoint").and_then(|text| Endpoint::parse(text).ok());
    if to.as_ref().is_some_and(|to| !to.is_tls) {
        let of_tls = [TLS_CHOICES, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS];
        let given = of_tls.iter().flat_map(|keys| keys.iter()).filter(|k| ctx.is_given(k.name));
        odd.extend(
            given.map(|k| (k.name, "has no effect: the endpoint does not begin with https".to_owned())),
        );
    }
    odd
}

struct Http {
    name: String,
    endpoint: Endpoint,
    agent: Agent,
    format: Format,
    gzip: bool,
    batch_size: usize,
    content_type: String,
    rules: Rules,
    counters: Arc<SinkCounters>,
    /// Events of batches that came back, and that were delivered.
    delivered: BTreeSet<u64>,
    /// The server asked not to be asked before.
    wait_until: Option<Instant>,
    /// Events of one request, since the server found more too large.
    at_once: usize,
    dialer: Arc<Dialer>,
    /// Events of the batch at hand were given up with a code after which it is to pause.
    pauses: bool,
    /// When it was last said that events are given up.
    told_given_up: Option<Instant>,
}

/// Why a request's events are not delivered.
struct Failure {
    error: SinkError,
    /// They may have arrived.
    is_open: bool,
    /// The request was too large for the server.
    too_large: bool,
}

impl Failure {
    fn known(error: SinkError) -> Failure {
        Failure { error, is_open: false, too_large: false }
    }
}

impl Http {
    fn new(ctx: &Context, parts: SinkParts) -> Http {
        let text = |key: &str| ctx.text(key).map(str::to_owned);
        let given = ctx.text("endpoint").expect("is required");
        let mut endpoint = Endpoint::parse(given).expect("was checked");
        if let Some(user) = text("username") {
            endpoint.authorize(&user, &text("password").unwrap_or_default());
        }
        let format = match ctx.text("batchFormat") {
            Some("json") => Format::Json,
            Some("ndjson") => Format::Ndjson,
            _ => Format::Event,
        };
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
            counters: parts.counters.clone(),
            sent_all: Arc::default(),
        });
        Http {
            name: ctx.name().to_owned(),
            agent: Agent::with_parts(config, client::Shared(dialer.clone()), Later),
            endpoint,
            format,
            gzip: ctx.text("compression") == Some("gzip"),
            batch_size: ctx.size("batchSize"),
            content_type: text("contentTypeHeader").unwrap_or_else(|| format.content_type().to_owned()),
            rules: Rules::new(ctx),
            counters: parts.counters,
            delivered: BTreeSet::new(),
            wait_until: None,
            at_once: usize::MAX,
            pauses: false,
            dialer,
            told_given_up: None,
        }
    }

    /// Posts a body with `n` events.
    fn post(&mut self, body: &[u8], n: usize) -> Result<(), Failure> {
        let mut request =
            self.agent.post(&self.endpoint.url).header(header::CONTENT_TYPE, &self.content_type);
        if let Some(authorization) = &self.endpoint.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let result = match self.gzip {
            true => request.header(header::CONTENT_ENCODING, "gzip").send(&body::gzip(body)[..]),
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
    fn note(&self, failure: &Failure, n: usize) {
        if failure.is_open {
            self.counters.possibly_repeated.add(n);
            log::warn!(
                "sink {}: {n} events may have arrived already and will be sent again: {}",
                self.name,
                failure.error
            );
        }
    }

    /// A request for each event that was not delivered before.
    fn deliver_each(&mut self, batch: &Take) -> Result<(), SinkError> {
        let mut body = Vec::new();
        for (number, event) in batch.numbered() {
            if self.delivered.contains(&number) {
                continue;
            }
            body.clear();
            self.format.put(std::iter::once(event), &mut body);
            if let Err(failure) = self.post(&body, 1) {
                self.note(&failure, 1);
                return Err(failure.error);
            }
            self.remember([number]);
        }
        for (number, _) in batch.numbered() {
            self.delivered.remove(&number);
        }
        Ok(())
    }

    fn remember(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.delivered.extend(numbers);
        // The oldest are of batches that others have committed meanwhile.
        while self.delivered.len() > REMEMBERED {
            self.delivered.pop_first();
        }
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

    /// One request, or several where the server finds one too large.
    fn deliver_together(&mut self, batch: &Take) -> Result<(), SinkError> {
        let events: Vec<_> =
            batch.numbered().filter(|(number, _)| !self.delivered.contains(number)).collect();
        let mut done = 0;
        let mut body = Vec::new();
        while done < events.len() {
            let some = &events[done..events.len().min(done.saturating_add(self.at_once))];
            body.clear();
            self.format.put(some.iter().map(|(_, event)| *event), &mut body);
            match self.post(&body, some.len()) {
                Ok(()) => {
                    self.remember(some.iter().map(|(number, _)| *number));
                    // It may have been one event that was too large.
                    self.at_once = self.at_once.saturating_mul(2);
                    done += some.len();
                }
                Err(failure) if failure.too_large && some.len() > 1 => self.at_once = some.len().div_ceil(2),
                Err(failure) => {
                    self.note(&failure, some.len());
                    return Err(failure.error);
                }
            }
        }
        for (number, _) in batch.numbered() {
            self.delivered.remove(&number);
        }
        Ok(())
    }
}

impl Sink for Http {
    /// One that cannot connect has not started: it is tried again, and in a group another takes meanwhile.
    fn start(&mut self) -> Result<(), SinkError> {
        self.held_back()?;
        self.dialer.probe().map_err(SinkError::destination)
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        self.held_back()?;
        self.pauses = false;
        let done = match self.format {
            Format::Event => self.deliver_each(batch),
            Format::Json | Format::Ndjson => self.deliver_together(batch),
        };
        if self.pauses && done.is_ok() {
            // No failure: nobody stands in, nothing comes again.
            std::thread::sleep(GIVEN_UP_PAUSE);
        }
        done
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        let n = self.delivered.len();
        if n > 0 {
            self.counters.possibly_repeated.add(n);
            log::warn!(
                "sink {}: {n} events were delivered and not committed: they are sent again if the channel keeps them",
                self.name
            );
        }
        Ok(())
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
