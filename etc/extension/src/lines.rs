//! The lines handler of the http source: each line of a text is an event.
//!
//! | answer | when |
//! |---|---|
//! | 200 | all lines are stored |
//! | 400 | the text is no UTF-8, or a parameter that is asked for is missing |
//! | 413 | it has more lines than `maxLines`, or than the channels take at once |
//! | 415 | it is no `text/plain`, or in another charset |
//! | 500 | nobody can say whether the file `hold` is there |
//! | 503 | it is: with `retryAfter` |
//!
//! One value serves all connections of its source. With `hold` it looks at the file system, which may block: then it is
//! called by the threads of a pool, else by the event loop's.

use flumed::codec::http::Request;
use flumed::codec::BatchLimits;
use flumed::component::{HandlerError, HandlerSpec, HttpHandler};
use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use flumed::event::{self, Batch, Body};
use std::path::PathBuf;
use std::time::Duration;

const KEYS: &[Key] = &[
    Key::new("maxLines", Type::Int(1, i32::MAX as i64), Default::Is("10000"), "lines of a request, at most"),
    Key::new(
        "parameters",
        Type::List,
        Default::None,
        "parameters of the query that become headers; a request has to have them",
    ),
    Key::new("hold", Type::Path, Default::None, "as long as this file is there nothing is taken"),
    Key::new(
        "retryAfter",
        Type::Seconds(1, 86_400),
        Default::Is("30"),
        "seconds that senders are told to wait then",
    ),
];

pub static SPEC: HandlerSpec = Spec::new(
    Declared::new(Kind::HttpHandler, "lines", "Each line of a text is an event")
        .class("com.acme.flume.LinesHandler")
        .keys(&[KEYS])
        .check(check),
    |ctx| Box::new(Lines::new(ctx)),
);

/// What no key shows by itself.
fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let is_idle = ctx.is_given("retryAfter") && ctx.text("hold").is_none();
    is_idle.then(|| ("retryAfter", "means nothing without hold".to_owned())).into_iter().collect()
}

struct Lines {
    max_lines: usize,
    parameters: Vec<(String, event::Key)>,
    hold: Option<PathBuf>,
    retry_after: Duration,
}

impl Lines {
    fn new(ctx: &Context) -> Lines {
        let header = |name: &String| Some((name.clone(), event::Key::intern_own(name)?));
        Lines {
            max_lines: ctx.size("maxLines"),
            parameters: ctx.list("parameters").iter().filter_map(header).collect(),
            hold: ctx.text("hold").map(PathBuf::from),
            retry_after: ctx.duration("retryAfter").expect("has a default"),
        }
    }

    fn held(&self) -> Result<(), HandlerError> {
        let Some(hold) = &self.hold else { return Ok(()) };
        match hold.try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => {
                let why = "nothing is taken at present".to_owned();
                Err(HandlerError::Unavailable { why, retry_after: self.retry_after })
            }
            Err(e) => Err(HandlerError::Internal(format!("{}: {e}", hold.display()))),
        }
    }
}

impl HttpHandler for Lines {
    fn may_block(&self) -> bool {
        self.hold.is_some()
    }

    fn handle(
        &self,
        request: &Request<'_>,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Result<(), HandlerError> {
        self.held()?;
        if request.media_type().is_some_and(|t| !t.eq_ignore_ascii_case("text/plain")) {
            return Err(HandlerError::UnsupportedMediaType("text/plain is what is read here".to_owned()));
        }
        let is_known = |c: &str| ["utf-8", "us-ascii"].iter().any(|known| c.eq_ignore_ascii_case(known));
        if let Some(other) = request.charset().filter(|c| !is_known(c)) {
            return Err(HandlerError::UnsupportedMediaType(format!("charset {other} is not read here")));
        }
        let bad = |why: &str| HandlerError::BadRequest(why.to_owned());
        let text = std::str::from_utf8(request.body.bytes()).map_err(|_| bad("the text is no UTF-8"))?;

        let given: Vec<_> = request.parameters().collect();
        let mut headers = Vec::new();
        for (name, key) in &self.parameters {
            let found = given.iter().find(|(n, _)| n == name);
            let (_, value) = found.ok_or_else(|| bad(&format!("parameter {name} is missing")))?;
            // Stored once, for all events.
            headers.push((*key, batch.store(value.as_bytes())));
        }

        let most = self.max_lines.min(limits.events);
        let segment = batch.attach(request.body.buffer);
        // Where a line begins in the buffer: its event points there.
        let mut from = request.body.from;
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches(['\r', '\n']);
            if !body.is_empty() {
                if batch.len() >= most {
                    return Err(HandlerError::TooLarge(format!("more than {most} lines")));
                }
                batch.push(Body::At(batch.span_of(segment, from, from + body.len())));
                batch.push_headers(&headers);
            }
            from += line.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::testing::{handle, settings, WIDE};
    use flumed::Flumed;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    /// The events, or the status and its text.
    fn answer(
        lines: &str,
        target: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<Vec<String>, (u16, String)> {
        let handler = Lines::new(&settings(&Flumed::new(), &SPEC.declared, lines).unwrap());
        let done = handle(&handler, "POST", target, headers, body, WIDE);
        done.map_err(|e| (e.status(), e.why().to_owned()))
    }

    #[test]
    fn lines_become_events_with_the_parameters() {
        let text: Headers<'_> = &[("Content-Type", "text/plain; charset=UTF-8")];
        assert_eq!(answer("", "/", text, b"a\r\n\nb").unwrap(), ["a", "b"]);
        assert_eq!(answer("", "/", &[], b"").unwrap(), [""; 0]);
        let headers = answer("parameters = app", "/x?app=a%20b&c=d", &[], b"1\n2\n").unwrap();
        assert_eq!(headers, ["app=a b: 1", "app=a b: 2"]);
    }

    #[test]
    fn every_error_has_its_status() {
        let here = "hold = Cargo.toml\nretryAfter = 7";
        for (lines, kind, body, status, why) in [
            ("", "text/plain", &b"\xff"[..], 400, "the text is no UTF-8"),
            ("parameters = app", "text/plain", b"a", 400, "parameter app is missing"),
            ("maxLines = 1", "text/plain", b"a\nb", 413, "more than 1 lines"),
            ("", "application/json", b"[]", 415, "text/plain is what is read here"),
            ("", "text/plain; charset=utf-16", b"a", 415, "charset utf-16 is not read here"),
            ("hold = Cargo.toml/x", "text/plain", b"a", 500, "Cargo.toml/x: Not a directory (os error 20)"),
            (here, "text/plain", b"a", 503, "nothing is taken at present"),
        ] {
            let said = answer(lines, "/", &[("content-type", kind)], body);
            assert_eq!(said, Err((status, why.to_owned())), "{lines}");
        }
        let held = Lines::new(&settings(&Flumed::new(), &SPEC.declared, here).unwrap());
        let wait = HandlerError::Unavailable {
            why: "nothing is taken at present".to_owned(),
            retry_after: Duration::from_secs(7),
        };
        assert_eq!(handle(&held, "POST", "/", &[], b"a", WIDE), Err(wait));
    }

    #[test]
    fn only_a_look_at_a_file_may_block() {
        let blocks =
            |lines| Lines::new(&settings(&Flumed::new(), &SPEC.declared, lines).unwrap()).may_block();
        assert!(!blocks("") && blocks("hold = here"));
    }

    #[test]
    fn keys_that_contradict_are_told() {
        let wrong = settings(&Flumed::new(), &SPEC.declared, "retryAfter = 5").unwrap_err();
        assert_eq!(wrong, ["test:1: lines.retryAfter: means nothing without hold"]);
    }
}
