//! The dead-letter file: one line of JSON for each event that could not be delivered.
//!
//! ```text
//! {"time":1754000000000,"sink":"k1","channel":"c1","error":"...","headers":{"host":"h1"},"body":"hello"}
//! ```
//!
//! `time` is when it was written, in ms since the epoch. Bytes that are no UTF-8 stand in hexadecimal under other
//! names: `bodyHex` in place of `body`, and `headersHex` beside `headers` for the values that are none.
//!
//! The file is opened for each write, so it can be moved away at any time, and synced before the event leaves its
//! channel. A crash in a write leaves a piece of a line: the next record begins on a line of its own, so a reader
//! passes over what is no JSON, and over empty lines. An event whose take is not committed after that comes again.
//! The file is never shortened or removed. Called by the sink's thread; several sinks may name the same file.

use crate::clock::now_ms;
use crate::event::EventRef;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two log lines about dead letters.
const QUIET: Duration = Duration::from_secs(10);

pub struct Letters {
    path: PathBuf,
    /// When a log line last told of some.
    told: Option<Instant>,
    /// Those that none has told of yet: how many, and what was the matter with the first.
    untold: usize,
    why: String,
}

impl Letters {
    pub fn new(path: &str) -> Letters {
        Letters { path: path.into(), told: None, untold: 0, why: String::new() }
    }

    /// Writes whole records and syncs them.
    pub fn append(&self, records: &[u8]) -> Result<(), String> {
        append(&self.path, records).map_err(|e| format!("dead-letter file {}: {e}", self.path.display()))
    }

    /// Takes note of events written, and logs it unless that was done just now.
    pub fn note(&mut self, sink: &str, events: usize, why: &str) {
        if self.untold == 0 {
            self.why = why.to_owned();
        }
        self.untold += events;
        if self.told.is_none_or(|t| t.elapsed() >= QUIET) {
            self.tell(sink);
        }
    }

    /// Logs what has not been logged.
    pub fn tell(&mut self, sink: &str) {
        if self.untold > 0 {
            let (n, file, why) = (self.untold, self.path.display(), &self.why);
            log::warn!("sink {sink}: {n} events cannot be delivered and went to {file}; the first: {why}");
            self.untold = 0;
            self.told = Some(Instant::now());
        }
    }
}

fn append(path: &Path, records: &[u8]) -> io::Result<()> {
    // Read, too: to see the last byte; and so that a pipe without a reader does not hold up the open.
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let is_torn = meta.len() > 0 && {
        let mut last = [0];
        file.read_exact_at(&mut last, meta.len() - 1)?;
        last != *b"\n"
    };
    if !records.is_empty() {
        match is_torn {
            true => file.write_all(&[b"\n", records].concat())?,
            false => file.write_all(records)?,
        }
        file.sync_data()?;
    }
    if meta.len() == 0 {
        // It may be new: its name has to last as well.
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Adds the record of one event.
pub fn record(out: &mut Vec<u8>, sink: &str, channel: &str, error: &str, event: EventRef<'_>) {
    out.extend_from_slice(format!("{{\"time\":{}", now_ms()).as_bytes());
    for (name, value) in [("sink", sink), ("channel", channel), ("error", error)] {
        member(out, name, value);
    }
    let text = |v| std::str::from_utf8(v).ok();
    let headers = event.headers().filter_map(|(k, v)| Some((k.name(), text(v)?.to_owned())));
    object(out, "headers", headers);
    let mut odd =
        event.headers().filter(|(_, v)| text(v).is_none()).map(|(k, v)| (k.name(), hex(v))).peekable();
    if odd.peek().is_some() {
        object(out, "headersHex", odd);
    }
    match text(event.body()) {
        Some(body) => member(out, "body", body),
        None => member(out, "bodyHex", &hex(event.body())),
    }
    out.extend_from_slice(b"}\n");
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!(",\"{name}\":{}", quoted(value)).as_bytes());
}

fn object(out: &mut Vec<u8>, name: &str, members: impl Iterator<Item = (&'static str, String)>) {
    let members: Vec<String> = members.map(|(k, v)| format!("{}:{}", quoted(k), quoted(&v))).collect();
    out.extend_from_slice(format!(",\"{name}\":{{{}}}", members.join(",")).as_bytes());
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Body, Key};
    use crate::sink::testing::TempDir;
    use serde_json::{json, Value};

    fn read_back(body: &[u8], headers: &[(&str, &[u8])]) -> Value {
        let mut b = Batch::new();
        b.push(Body::Copy(body));
        for (k, v) in headers {
            let v = b.store(v);
            b.push_header(Key::intern(k).unwrap(), v);
        }
        let mut out = Vec::new();
        record(&mut out, "k1", "c1", "no \"such\"\nthing", b.get(0));
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        let mut v: Value = serde_json::from_slice(&out).unwrap();
        let time = v.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_u64().unwrap() > 1_700_000_000_000);
        v
    }

    #[test]
    fn an_event_can_be_read_back() {
        let text = read_back("grüße\n\u{0}\"".as_bytes(), &[("host", b"h1"), ("a\"b", b"")]);
        let expected = json!({"sink": "k1", "channel": "c1", "error": "no \"such\"\nthing",
            "headers": {"host": "h1", "a\"b": ""}, "body": "grüße\n\u{0}\""});
        assert_eq!(text, expected);
        let bytes = read_back(b"\x00\xff\x1a", &[("host", b"\xfe"), ("id", b"7")]);
        let expected = json!({"sink": "k1", "channel": "c1", "error": "no \"such\"\nthing",
            "headers": {"id": "7"}, "headersHex": {"host": "fe"}, "bodyHex": "00ff1a"});
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_a_crash_tore_spoils_no_other_record() {
        let dir = TempDir::new();
        let path = dir.path().join("dead");
        let letters = Letters::new(path.to_str().unwrap());
        letters.append(b"").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        letters.append(b"{1}\n").unwrap();
        std::fs::write(&path, b"{1}\n{2").unwrap();
        letters.append(b"{3}\n").unwrap();
        letters.append(b"{4}\n{5}\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{1}\n{2\n{3}\n{4}\n{5}\n");
        // Moved away, as log rotation does.
        std::fs::rename(&path, dir.path().join("dead.1")).unwrap();
        letters.append(b"{6}\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{6}\n");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = TempDir::new();
        for (path, why) in [(Path::new("/dev/null"), "is not a regular file"), (dir.path(), "Is a directory")]
        {
            let e = Letters::new(path.to_str().unwrap()).append(b"{}\n").unwrap_err();
            assert!(e.contains(why), "{e}");
        }
    }

    #[test]
    fn the_log_is_told_of_the_first_and_then_now_and_then() {
        let mut letters = Letters::new("dead");
        letters.note("k1", 3, "first");
        assert_eq!((letters.untold, letters.told.is_some()), (0, true));
        letters.note("k1", 1, "second");
        letters.note("k1", 2, "third");
        assert_eq!((letters.untold, letters.why.as_str()), (3, "second"));
        letters.told = letters.told.map(|t| t - QUIET);
        letters.note("k1", 1, "fourth");
        assert_eq!(letters.untold, 0);
    }
}
