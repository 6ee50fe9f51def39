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
mod post;
mod rules;

use crate::channel::Take;
use crate::client::TLS_CHOICES;
use crate::component::{Sink, SinkError, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::tls_keys;
use body::Format;
use endpoint::Endpoint;
use post::Post;
use rules::{odd_codes, Rules, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;
use ureq::http::header;

const MILLIS: Type = Type::Millis(1, i32::MAX as i64);
const NO_METRICS_KEY: &str = "what is committed is counted";

/// After events were given up.
const GIVEN_UP_PAUSE: Duration = Duration::from_secs(1);
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
    post: Post,
    format: Format,
    batch_size: usize,
    /// Events of batches that came back, and that were delivered.
    delivered: BTreeSet<u64>,
    /// Events of one request, since the server found more too large.
    at_once: usize,
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
        Http {
            post: Post::new(ctx, endpoint, format, parts.counters),
            format,
            batch_size: ctx.size("batchSize"),
            delivered: BTreeSet::new(),
            at_once: usize::MAX,
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
            if let Err(failure) = self.post.send(&body, 1) {
                self.post.note(&failure, 1);
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
            match self.post.send(&body, some.len()) {
                Ok(()) => {
                    self.remember(some.iter().map(|(number, _)| *number));
                    // It may have been one event that was too large.
                    self.at_once = self.at_once.saturating_mul(2);
                    done += some.len();
                }
                Err(failure) if failure.too_large && some.len() > 1 => self.at_once = some.len().div_ceil(2),
                Err(failure) => {
                    self.post.note(&failure, some.len());
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
        self.post.probe()
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        self.post.begin_batch()?;
        let done = match self.format {
            Format::Event => self.deliver_each(batch),
            Format::Json | Format::Ndjson => self.deliver_together(batch),
        };
        if self.post.pauses() && done.is_ok() {
            // No failure: nobody stands in, nothing comes again.
            std::thread::sleep(GIVEN_UP_PAUSE);
        }
        done
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        let n = self.delivered.len();
        if n > 0 {
            self.post.counters.possibly_repeated.add(n);
            log::warn!(
                "sink {}: {n} events were delivered and not committed: they are sent again if the channel keeps them",
                self.post.name
            );
        }
        Ok(())
    }
}
