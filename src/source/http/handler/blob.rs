//! The handlers that make one event of a request's whole body, with its query parameters as headers.
//!
//! Flume has two, of the same short meaning: `blob` (of its morphline sink's library) adds `Content-Type` and has a limit,
//! `blob-core` can demand parameters. Called on the loop; they do not block and keep nothing.

use crate::codec::headers::MORE;
use crate::codec::http::Request;
use crate::codec::BatchLimits;
use crate::component::{HandlerError, HandlerSpec, HttpHandler};
use crate::config::{Context, Declared, Default, Key as ConfigKey, Kind, Spec, Type};
use crate::event::{Batch, Body, Key};

pub static BLOB: HandlerSpec = Spec {
    declared: Declared {
        kind: Kind::HttpHandler,
        name: "blob",
        class: "org.apache.flume.sink.solr.morphline.BlobHandler",
        help: "the whole body as one event; its headers are the query parameters and Content-Type",
        keys: &[&[ConfigKey::new(
            "maxBlobLength",
            Type::Int(1, i32::MAX as i64),
            Default::Is("100000000"),
            "bytes of the longest body; a longer one is answered 413",
        )]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &["a body longer than maxBlobLength is answered 413; Flume cuts it there and answers 200"],
    },
    build: |ctx| Box::new(Blob { most: ctx.size("maxBlobLength"), mandatory: Vec::new(), keeps_type: true }),
};

pub static CORE: HandlerSpec = Spec {
    declared: Declared {
        kind: Kind::HttpHandler,
        name: "blob-core",
        class: "org.apache.flume.source.http.BLOBHandler",
        help: "the whole body as one event; its headers are the query parameters",
        keys: &[&[ConfigKey::new(
            "mandatoryParameters",
            Type::Text,
            Default::Is(""),
            "query parameters that have to be there, separated by commas; without one the answer is 400",
        )]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[
            "without mandatoryParameters none is demanded; in Flume every request then fails",
            "a request without a mandatory parameter is answered 400; Flume answers 500",
        ],
    },
    build: |ctx| Box::new(Blob { most: usize::MAX, mandatory: mandatory(ctx), keeps_type: false }),
};

fn mandatory(ctx: &Context) -> Vec<String> {
    let names = ctx.text("mandatoryParameters").unwrap_or("").split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

struct Blob {
    most: usize,
    mandatory: Vec<String>,
    keeps_type: bool,
}

impl HttpHandler for Blob {
    fn handle(&self, request: &Request<'_>, _: BatchLimits, batch: &mut Batch) -> Result<(), HandlerError> {
        let body = &request.body;
        if body.to - body.from > self.most {
            let why =
                format!("a body of {} bytes, more than maxBlobLength = {}", body.to - body.from, self.most);
            return Err(HandlerError::TooLarge(why));
        }
        let missing =
            self.mandatory.iter().find(|name| !request.parameters().any(|(n, _)| n == name.as_str()));
        if let Some(name) = missing {
            return Err(HandlerError::BadRequest(format!("the parameter {name} is missing")));
        }
        let segment = batch.attach(body.buffer);
        batch.push(Body::At(batch.span_of(segment, body.from, body.to)));
        let mut apart = Vec::new();
        let own = request
            .header("content-type")
            .filter(|_| self.keeps_type)
            .map(|value| ("Content-Type".into(), value.into()));
        for (name, value) in request.parameters().chain(own) {
            // The first value of a name stays, as in Flume.
            match Key::intern(&name) {
                Some(key) if batch.get(0).header(key).is_some() => {}
                Some(key) => {
                    let value = batch.store(value.as_bytes());
                    batch.set_header(0, key, value);
                }
                None => apart.extend_from_slice(format!("{name}={value}\n").as_bytes()),
            }
        }
        if let (false, Some(key)) = (apart.is_empty(), Key::intern_own(MORE)) {
            let value = batch.store(&apart);
            batch.set_header(0, key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, Asked};
    use super::*;
    use crate::config::testing::context;

    fn made(spec: &'static HandlerSpec, keys: &[(&str, &str)]) -> Box<dyn HttpHandler> {
        (spec.build)(&context(&spec.declared, crate::registry::catalog(), keys).unwrap())
    }

    #[test]
    fn a_body_is_an_event() {
        let asked =
            || Asked { query: "a=1&b=x%20y&a=2", content_type: Some("image/png"), body: b"\x89PNG\0" };
        let events = ask(&*made(&BLOB, &[]), asked()).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].body, b"\x89PNG\0");
        let headers: Vec<(&str, &str)> =
            events[0].headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(headers, [("a", "1"), ("b", "x y"), ("Content-Type", "image/png")]);
        let events = ask(&*made(&CORE, &[]), asked()).unwrap();
        assert_eq!((events[0].header("b"), events[0].header("Content-Type")), (Some("x y"), None));
        let empty = ask(&*made(&BLOB, &[]), Asked::default()).unwrap();
        assert_eq!((empty.len(), empty[0].body.len()), (1, 0));
    }

    #[test]
    fn a_body_that_is_too_long_is_not_cut() {
        let limited = made(&BLOB, &[("maxBlobLength", "3")]);
        assert!(ask(&*limited, Asked { body: b"abc", ..Asked::default() }).is_ok());
        let refused = ask(&*limited, Asked { body: b"abcd", ..Asked::default() });
        assert!(matches!(refused, Err(HandlerError::TooLarge(_))), "{refused:?}");
    }

    #[test]
    fn parameters_may_be_demanded() {
        let strict = made(&CORE, &[("mandatoryParameters", "a, b")]);
        let with = |query| ask(&*strict, Asked { query, ..Asked::default() });
        assert!(with("b=&a=1").is_ok());
        let missing = with("a=1&c=2");
        assert_eq!(missing, Err(HandlerError::BadRequest("the parameter b is missing".to_owned())));
    }

    #[test]
    fn names_that_cannot_be_kept_go_into_one_header() {
        let long = "blob.".repeat(60);
        let query = format!("a=1&{long}=2");
        let events = ask(&*made(&CORE, &[]), Asked { query: &query, ..Asked::default() }).unwrap();
        assert_eq!(events[0].header(MORE), Some(format!("{long}=2\n").as_str()));
    }
}
