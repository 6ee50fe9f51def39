//! The bodies of requests: an event as it is, or several as JSON, one array or one object a line. Pure.

use crate::codec::posted::BODY_ENCODING;
use crate::codec::rpc::text;
use crate::event::EventRef;
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use flate2::write::GzEncoder;
use flate2::Compression;
use std::io::Write;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A request for each event, its body alone: Flume's.
    Event,
    /// The array that the http source's JSON handler reads.
    Json,
    /// The objects of that array, one a line.
    Ndjson,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Event => "text/plain",
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
        }
    }

    /// Puts these events.
    pub fn put<'a>(self, events: impl Iterator<Item = EventRef<'a>>, out: &mut Vec<u8>) {
        match self {
            Format::Event => events.for_each(|e| out.extend_from_slice(e.body())),
            Format::Json => {
                out.push(b'[');
                for (i, event) in events.enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    put_object(event, out);
                }
                out.push(b']');
            }
            Format::Ndjson => events.for_each(|e| {
                put_object(e, out);
                out.push(b'\n');
            }),
        }
    }
}

fn put_object(event: EventRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"headers\":{");
    let mut first = true;
    let mut put = |name: &str, value: &str, out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        put_text(name, out);
        out.push(b':');
        put_text(value, out);
    };
    let body = std::str::from_utf8(event.body());
    for (key, value) in event.headers().filter(|(key, _)| body.is_ok() || key.name() != BODY_ENCODING) {
        put(key.name(), &String::from_utf8_lossy(&text(value)), out);
    }
    if body.is_err() {
        put(BODY_ENCODING, "base64", out);
    }
    out.extend_from_slice(b"},\"body\":");
    match body {
        Ok(body) => put_text(body, out),
        Err(_) => put_text(&STANDARD.encode(event.body()), out),
    }
    out.push(b'}');
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    // Writing into memory does not fail, and a text has no part that cannot be written.
    let _ = serde_json::to_writer(out, text);
}

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4 + 64), Compression::fast());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    // Into memory: there is no error.
    written.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Body, Key};

    fn batch() -> Batch {
        let mut batch = Batch::new();
        batch.push(Body::Copy("größe \"1\"\n".as_bytes()));
        let value = batch.store("wért".as_bytes());
        batch.push_header(Key::HOST, value);
        batch.push(Body::Copy(b"\xff\0"));
        batch.push(Body::Copy(b""));
        batch
    }

    fn put(format: Format) -> String {
        let (batch, mut out) = (batch(), Vec::new());
        format.put(batch.iter(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_as_json() {
        let first = r#"{"headers":{"host":"wért"},"body":"größe \"1\"\n"}"#;
        let second = r#"{"headers":{"flumed.bodyEncoding":"base64"},"body":"/wA="}"#;
        let third = r#"{"headers":{},"body":""}"#;
        assert_eq!(put(Format::Json), format!("[{first},{second},{third}]"));
        assert_eq!(put(Format::Ndjson), format!("{first}\n{second}\n{third}\n"));
    }

    #[test]
    fn an_event_alone_is_its_body() {
        let (batch, mut out) = (batch(), Vec::new());
        Format::Event.put(std::iter::once(batch.get(1)), &mut out);
        assert_eq!(out, b"\xff\0");
    }

    #[test]
    fn gzip_can_be_read() {
        let plain = b"text ".repeat(1000);
        let mut back = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip(&plain)[..]), &mut back).unwrap();
        assert_eq!(back, plain);
    }
}
