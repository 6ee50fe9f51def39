//! The logger sink: a log line at INFO per event, in Flume's form: headers, then a hex dump of the first bytes.
//!
//! ```text
//! Event: { headers:{host=h1} body: 68 65 6C 6C 6F                                  hello }
//! ```
//!
//! A dump of more than 16 bytes goes on in further lines, which keep the offset that the first one lacks.
//! Flume logs an event per transaction; this sink takes up to 100, which shows only when a commit fails: all
//! of them are then logged again. Called by its sink thread only; no locks.

use crate::channel::Take;
use crate::component::{Sink, SinkError, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::EventRef;
use crate::serializer::java_order;
use std::fmt::Write;

const BATCH: usize = 100;
/// Bytes in a line of a dump.
const LINE: usize = 16;

pub static SPEC: SinkSpec = Spec {
    declared: Declared {
        kind: Kind::Sink,
        name: "logger",
        class: "org.apache.flume.sink.LoggerSink",
        help: "Logs every event: for tests and demonstrations",
        keys: &[&[Key::new(
            "maxBytesToLog",
            Type::Int(0, i32::MAX as i64),
            Default::Is("16"),
            "how many bytes of a body are shown",
        )
        .or_default()]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build,
};

fn build(ctx: &Context, _: SinkParts) -> Box<dyn Sink> {
    Box::new(Logger { max_bytes: ctx.size("maxBytesToLog") })
}

struct Logger {
    max_bytes: usize,
}

impl Sink for Logger {
    fn start(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn batch_size(&self) -> usize {
        BATCH
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        if log::log_enabled!(log::Level::Info) {
            for event in batch.events() {
                log::info!("Event: {}", describe(&event, self.max_bytes));
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn describe(event: &EventRef<'_>, max_bytes: usize) -> String {
    let mut headers = Vec::new();
    java_order::print(event, &mut headers);
    let body = &event.body()[..event.body().len().min(max_bytes)];
    let mut text = format!("{{ headers:{} body:", String::from_utf8_lossy(&headers));
    dump(body, &mut text);
    text + " }"
}

/// Appends the dump, without the first offset and the last line end.
fn dump(bytes: &[u8], text: &mut String) {
    for (i, line) in bytes.chunks(LINE).enumerate() {
        if i > 0 {
            let _ = write!(text, "\n{:08X}", i * LINE);
        }
        text.push(' ');
        for b in line {
            let _ = write!(text, "{b:02X} ");
        }
        text.extend(std::iter::repeat_n("   ", LINE - line.len()));
        text.extend(line.iter().map(|b| if (b' '..0x7F).contains(b) { char::from(*b) } else { '.' }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Body, Key as Name};
    use crate::sink::testing::build;

    fn described(body: &[u8], max: usize) -> String {
        let mut b = Batch::new();
        b.push(Body::Copy(body));
        describe(&b.get(0), max)
    }

    #[test]
    fn the_line_is_flumes() {
        let gap = " ".repeat(11 * 3);
        assert_eq!(described(b"hello", 16), format!("{{ headers:{{}} body: 68 65 6C 6C 6F {gap}hello }}"));
        assert_eq!(
            described(b"Hello world!\r", 16),
            "{ headers:{} body: 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 0D          Hello world!. }"
        );
        assert_eq!(described(b"", 16), "{ headers:{} body: }");
        assert_eq!(described(b"abc", 0), "{ headers:{} body: }");
    }

    #[test]
    fn further_lines_keep_their_offset() {
        let text = described(b"0123456789abcdef0123456789ABCDEF~\x7f\xff!", 35);
        assert_eq!(
            text,
            "{ headers:{} body: 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 0123456789abcdef\n\
             00000010 30 31 32 33 34 35 36 37 38 39 41 42 43 44 45 46 0123456789ABCDEF\n\
             00000020 7E 7F FF                                        ~.. }"
        );
    }

    #[test]
    fn headers_stand_in_javas_order() {
        let mut b = Batch::new();
        b.push(Body::Copy(b""));
        for (k, v) in [("header1", "value1"), ("header2", "value2")] {
            let v = b.store(v.as_bytes());
            b.push_header(Name::intern(k).unwrap(), v);
        }
        assert_eq!(describe(&b.get(0), 16), "{ headers:{header2=value2, header1=value1} body: }");
    }

    #[test]
    fn a_bad_limit_means_the_default() {
        for bad in ["many", "-5"] {
            let ctx = crate::sink::testing::context(&SPEC, &[("maxBytesToLog", bad)]);
            assert_eq!(ctx.size("maxBytesToLog"), 16);
        }
        assert_eq!(build(&SPEC, &[]).0.batch_size(), BATCH);
    }
}
