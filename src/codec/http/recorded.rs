//! What real clients put on the wire: tests/data/http, where a README tells how it was recorded.
//!
//! A connection each, of which the requests and the bodies of their events are known. The loop's ways to cut it must not
//! change what is read.

use super::{Got, Most, Request, Server};
use crate::codec::Chunk;
use crate::event::Buffer;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/http").join(name)
}

/// A request line, and what its body has to hold.
struct Expected {
    line: String,
    parts: Vec<String>,
}

/// The connections, by the names of their files.
fn recorded() -> Vec<(String, Vec<Expected>)> {
    let mut all: Vec<(String, Vec<Expected>)> = Vec::new();
    for text in std::fs::read_to_string(data("expected.txt")).unwrap().lines() {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "file" => all.push((rest.to_owned(), Vec::new())),
            "request" => {
                let expected = Expected { line: rest.to_owned(), parts: Vec::new() };
                all.last_mut().unwrap().1.push(expected);
            }
            "event" => {
                let body = rest.split_once("| ").map_or("", |(_, body)| body);
                all.last_mut().unwrap().1.last_mut().unwrap().parts.push(body.to_owned());
            }
            "body" => all.last_mut().unwrap().1.last_mut().unwrap().parts.push(rest.to_owned()),
            other => panic!("{other}"),
        }
    }
    all
}

/// Method and target of each request, and its body.
fn read(stream: &[u8], step: usize) -> Vec<(String, String)> {
    let mut server = Server::new(Most { head: 8192, body: 1 << 20 }, Arc::default());
    let (mut from, mut seen) = (0, Vec::new());
    for to in (step.min(stream.len())..stream.len()).step_by(step).chain([stream.len()]) {
        let buffer = Buffer::owned(stream[..to].to_vec());
        loop {
            let take = |r: &Request<'_>| {
                let target =
                    if r.query.is_empty() { r.path.to_owned() } else { format!("{}?{}", r.path, r.query) };
                (format!("{} {target}", r.method), String::from_utf8_lossy(r.body.bytes()).into_owned())
            };
            let (used, got) = server.decode(&Chunk { buffer: &buffer, from, to }, take);
            from += used;
            match got {
                Got::Request(request, _) => seen.push(request),
                Got::Continue | Got::Pause => {}
                Got::NeedMore => break,
                Got::Refused(r, _) | Got::Broken(r, _) => panic!("{r:?}"),
            }
        }
    }
    assert_eq!(from, stream.len());
    seen
}

/// What a body says, whatever its JSON escapes.
fn plain(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => json.to_string(),
        Err(_) => text.to_owned(),
    }
}

#[test]
fn recorded_clients_are_read_as_they_meant_it() {
    let all = recorded();
    assert!(all.len() > 10);
    for (file, requests) in all {
        let stream = std::fs::read(data(&format!("{file}.bin"))).unwrap();
        for step in [stream.len(), 1, 7, 100] {
            let seen = read(&stream, step);
            assert_eq!(seen.len(), requests.len(), "{file} by {step}");
            for ((line, body), expected) in seen.iter().zip(&requests) {
                assert!(expected.line.starts_with(&format!("{line} HTTP/1.")), "{file}: {line}");
                for part in &expected.parts {
                    let quoted = serde_json::Value::from(part.as_str()).to_string();
                    let body = plain(body);
                    assert!(body.contains(&quoted) || body == plain(part), "{file}: {part} in {body}");
                }
            }
        }
    }
}
