//! `json`: Flume's default handler, an array of objects with headers and a body (codec `json`).
//!
//! Called on the loop; does not block, keeps nothing.

use crate::codec::gather::Wrong;
use crate::codec::http::Request;
use crate::codec::json::read;
use crate::codec::posted::{decode, Charset};
use crate::codec::{BatchLimits, Chunk};
use crate::component::{HandlerError, HandlerSpec, HttpHandler};
use crate::config::{Declared, Kind, Spec};
use crate::event::Batch;

pub static SPEC: HandlerSpec = Spec {
    declared: Declared {
        kind: Kind::HttpHandler,
        name: "json",
        class: "org.apache.flume.source.http.JSONHandler",
        help: "a JSON array of events: [{\"headers\":{\"name\":\"value\"},\"body\":\"text\"}, ...]",
        keys: &[],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[
            "without a charset the text is UTF-8, unless its bytes are none; Flume takes it for ISO-8859-1 where Content-Type \
             is not application/json",
            "an empty body, null and [null] are answered 400, a charset other than UTF-8, UTF-16 and UTF-32 415; Flume \
             answers 500",
            "bytes that are no text of the charset they are sent in are answered 400; Flume stores U+FFFD in their place",
            "a header whose value is null is left out; in Flume it breaks the sinks behind",
        ],
    },
    build: |_| Box::new(Json),
};

struct Json;

impl HttpHandler for Json {
    fn handle(
        &self,
        request: &Request<'_>,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Result<(), HandlerError> {
        let charset = match request.charset() {
            None if is_json(request) => Some(Charset::Utf8),
            None => None,
            Some(name) => Some(Charset::named(name).filter(|c| *c != Charset::Latin1).ok_or_else(|| {
                HandlerError::UnsupportedMediaType(format!(
                    "charset '{name}' is not read: UTF-8, UTF-16 or UTF-32 was expected"
                ))
            })?),
        };
        let Chunk { buffer, from, to } = request.body;
        let syntax = |why| HandlerError::BadRequest(format!("Request has invalid JSON Syntax. {why}"));
        if from == to {
            return Err(syntax("there is no body, an array of events was expected".to_owned()));
        }
        let text = decode(charset, Chunk { buffer, from, to }).map_err(syntax)?;
        read(&text, limits.events, batch).map_err(|wrong| match wrong {
            Wrong::Syntax(why) => syntax(why),
            Wrong::Excess(why) => HandlerError::TooLarge(why),
        })
    }
}

fn is_json(request: &Request<'_>) -> bool {
    request.media_type().is_some_and(|t| t.eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, Asked};
    use super::*;

    fn json(content_type: Option<&str>, body: &[u8]) -> Result<Vec<String>, HandlerError> {
        ask(&Json, Asked { content_type, body, ..Asked::default() })
            .map(|events| events.iter().map(|e| String::from_utf8_lossy(&e.body).into_owned()).collect())
    }

    #[test]
    fn charsets_of_the_reference() {
        let utf8 = "[{\"body\":\"é\"}]".as_bytes();
        let latin = b"[{\"body\":\"\xe9\"}]";
        for content_type in
            [None, Some("text/plain"), Some("application/json; charset=UTF-8"), Some("application/json")]
        {
            assert_eq!(json(content_type, utf8), Ok(vec!["é".to_owned()]), "{content_type:?}");
        }
        assert_eq!(json(Some("text/plain"), latin), Ok(vec!["é".to_owned()]));
        assert!(matches!(json(Some("application/json"), latin), Err(HandlerError::BadRequest(_))));
        let other = json(Some("text/plain; charset=iso-8859-1"), latin);
        assert!(matches!(other, Err(HandlerError::UnsupportedMediaType(_))), "{other:?}");
    }

    #[test]
    fn what_is_answered_400_and_413() {
        for body in ["", "null", "[null]", "{}", "[{]", "[{}]x"] {
            let Err(HandlerError::BadRequest(why)) = json(None, body.as_bytes()) else { panic!("{body}") };
            assert!(why.starts_with("Request has invalid JSON Syntax. "), "{why}");
        }
        assert_eq!(json(None, b"[]"), Ok(Vec::new()));
        let many = format!("[{}{{}}]", "{},".repeat(200));
        assert!(matches!(json(None, many.as_bytes()), Err(HandlerError::TooLarge(_))));
    }
}
