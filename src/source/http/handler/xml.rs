//! `xml`: events as XML, in the form of the book "Using Flume" or with other names (codec `xml`).
//!
//! Called on the loop; does not block, keeps nothing.

use crate::clock::now_ms;
use crate::codec::gather::Wrong;
use crate::codec::http::Request;
use crate::codec::posted::{decode, Charset};
use crate::codec::xml::{declared_encoding, read, Shape};
use crate::codec::{BatchLimits, Chunk};
use crate::component::{HandlerError, HandlerSpec, HttpHandler};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Batch;

pub static SPEC: HandlerSpec = Spec {
    declared: Declared {
        kind: Kind::HttpHandler,
        name: "xml",
        class: "usingflume.ch03.HTTPSourceXMLHandler",
        help: "an XML document of events: <events><event><headers><name>value</name></headers><body>text</body></event></events>",
        keys: &[&[
            Key::new("rootElement", Type::Text, Default::Is("events"), "name of the root element, in any case"),
            Key::new("eventElement", Type::Text, Default::Is("event"), "name of an event's element"),
            Key::new("headersElement", Type::Text, Default::Is("headers"), "name of the element whose elements are headers"),
            Key::new("bodyElement", Type::Text, Default::Is("body"), "name of the element whose text is the body"),
            Key::new("headerPrefix", Type::Text, Default::Is(""), "put before the name of every header"),
            Key::new(
                "attributesAsHeaders",
                Type::Bool,
                Default::Is("false"),
                "whether the attributes of an event's element are headers, too; otherwise they are passed over",
            ),
            Key::new(
                "insertTimestamp",
                Type::Bool,
                Default::Is("false"),
                "whether an event without a header timestamp gets one, of now",
            ),
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[
            "without a charset and an encoding declaration the text is UTF-8",
            "two bodies of an event, markup within a body or header, and text between elements are answered 400",
            "document types are answered 400, and so are entities other than XML's own five",
        ],
    },
    build: |ctx| Box::new(Xml { shape: shape(ctx), insert_timestamp: ctx.flag("insertTimestamp") }),
};

fn shape(ctx: &Context) -> Shape {
    let text = |key| ctx.text(key).unwrap_or("").to_owned();
    Shape {
        root: text("rootElement"),
        event: text("eventElement"),
        headers: text("headersElement"),
        body: text("bodyElement"),
        prefix: text("headerPrefix"),
        attributes: ctx.flag("attributesAsHeaders"),
    }
}

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let shape = shape(ctx);
    let mut wrong = Vec::new();
    for (key, name) in [
        ("rootElement", &shape.root),
        ("eventElement", &shape.event),
        ("headersElement", &shape.headers),
        ("bodyElement", &shape.body),
    ] {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "<>&/='\"".contains(c)) {
            wrong.push((key, format!("'{name}' is no name of an element")));
        }
    }
    if shape.headers == shape.body {
        wrong.push(("bodyElement", "headersElement has the same name".to_owned()));
    }
    wrong
}

struct Xml {
    shape: Shape,
    insert_timestamp: bool,
}

impl HttpHandler for Xml {
    fn handle(
        &self,
        request: &Request<'_>,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Result<(), HandlerError> {
        let bad =
            |why| HandlerError::BadRequest(format!("Request could not be parsed into valid XML: {why}"));
        let Chunk { buffer, from, to } = request.body;
        let chunk = Chunk { buffer, from, to };
        let bytes = &buffer[from..to];
        // The parameter of Content-Type goes before what the document says (RFC 7303, 3).
        let said = request.charset();
        let is_marked = bytes.starts_with(b"\xfe\xff") || bytes.starts_with(b"\xff\xfe");
        let charset = match said.or_else(|| declared_encoding(bytes)) {
            None if is_marked => Charset::Utf16,
            None => Charset::Utf8,
            Some(name) => Charset::named(name).ok_or_else(|| {
                HandlerError::UnsupportedMediaType(format!(
                    "charset '{name}' is not read: UTF-8, UTF-16, UTF-32 or ISO-8859-1 was expected"
                ))
            })?,
        };
        let text = decode(Some(charset), chunk).map_err(bad)?;
        let text = if said.is_some() { text } else { text.with_bodies_in(Charset::Utf8) };
        let timestamp = self.insert_timestamp.then(now_ms);
        read(&text, &self.shape, timestamp, limits.events, batch).map_err(|wrong| match wrong {
            Wrong::Syntax(why) => bad(why),
            Wrong::Excess(why) => HandlerError::TooLarge(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, Asked};
    use super::*;
    use crate::codec::feed::Seen;
    use crate::config::testing::context;
    use crate::registry::catalog;

    fn xml(
        keys: &[(&str, &str)],
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<Seen>, HandlerError> {
        let handler = (SPEC.build)(&context(&SPEC.declared, catalog(), keys).unwrap());
        ask(&*handler, Asked { content_type, body, ..Asked::default() })
    }

    #[test]
    fn bodies_are_utf8_unless_content_type_says_otherwise() {
        let latin =
            b"<?xml version='1.0' encoding='ISO-8859-1'?><events><event><body>\xe9</body></event></events>";
        assert_eq!(xml(&[], None, latin).unwrap()[0].body, "é".as_bytes());
        let plain = b"<events><event><body>\xe9</body></event></events>";
        assert_eq!(xml(&[], Some("text/xml; charset=iso-8859-1"), plain).unwrap()[0].body, b"\xe9");
        assert!(matches!(xml(&[], None, plain), Err(HandlerError::BadRequest(_))));
        let marked = Charset::Utf16.encode("<events><event><body>é</body></event></events>");
        assert_eq!(xml(&[], None, &marked).unwrap()[0].body, "é".as_bytes());
        let koi = xml(&[], Some("text/xml; charset=koi8-r"), plain);
        assert!(matches!(koi, Err(HandlerError::UnsupportedMediaType(_))), "{koi:?}");
    }

    #[test]
    fn keys_name_the_elements() {
        let keys = [
            ("rootElement", "log"),
            ("eventElement", "e"),
            ("bodyElement", "m"),
            ("insertTimestamp", "true"),
        ];
        let got = xml(&keys, None, b"<Log><e><m>x</m></e></Log>").unwrap();
        assert_eq!(got[0].body, b"x");
        assert!(got[0].header("timestamp").is_some_and(|t| t.parse::<u64>().is_ok()));
        let refused = xml(&keys, None, b"<events/>");
        assert!(
            matches!(&refused, Err(HandlerError::BadRequest(why)) if why.contains("log was expected")),
            "{refused:?}"
        );
        for wrong in [("bodyElement", "headers"), ("eventElement", "a b"), ("rootElement", "")] {
            assert!(context(&SPEC.declared, catalog(), &[wrong]).is_err(), "{wrong:?}");
        }
    }
}
