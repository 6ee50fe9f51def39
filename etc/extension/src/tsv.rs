//! The tsv serializer: a line for each event, chosen headers and then the body, with tabs between them.
//!
//! Belongs to the thread of its sink. Tabs, line ends and backslashes within are written `\t`, `\n`, `\r` and `\\`.

use flumed::config::{Declared, Default, Key, Kind, Spec, Type};
use flumed::event::{self, EventRef};
use flumed::serializer::{Output, Serializer, SerializerSpec};

const KEYS: &[Key] = &[Key::new("headers", Type::List, Default::None, "headers that come before the body")];

pub static SPEC: SerializerSpec = Spec::new(
    Declared::new(Kind::Serializer, "tsv", "Headers and body, with tabs between them")
        .class("com.acme.flume.TsvSerializer$Builder")
        .keys(&[KEYS]),
    |ctx| {
        let headers = ctx.list("headers").iter().filter_map(|name| event::Key::intern_own(name)).collect();
        Box::new(Tsv { headers, line: Vec::new() })
    },
);

struct Tsv {
    headers: Vec<event::Key>,
    line: Vec<u8>,
}

impl Tsv {
    fn field(&mut self, bytes: &[u8]) {
        for b in bytes {
            match b {
                b'\t' => self.line.extend_from_slice(b"\\t"),
                b'\n' => self.line.extend_from_slice(b"\\n"),
                b'\r' => self.line.extend_from_slice(b"\\r"),
                b'\\' => self.line.extend_from_slice(b"\\\\"),
                _ => self.line.push(*b),
            }
        }
    }
}

impl Serializer for Tsv {
    fn write(&mut self, event: EventRef<'_>, out: &mut dyn Output) {
        self.line.clear();
        for i in 0..self.headers.len() {
            self.field(event.header(self.headers[i]).unwrap_or_default());
            self.line.push(b'\t');
        }
        self.field(event.body());
        self.line.push(b'\n');
        out.put(&self.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::event::Batch;
    use flumed::testing::{push, settings};
    use flumed::Flumed;

    #[test]
    fn one_line_each_whatever_is_in_it() {
        let settings = settings(&Flumed::new(), &SPEC.declared, "headers = host app").unwrap();
        let mut tsv = (SPEC.build)(&settings);
        let mut batch = Batch::new();
        push(&mut batch, &[("app", "x"), ("host", "a\tb")], "one\ntwo");
        push(&mut batch, &[], "\\");
        let mut out = Vec::new();
        batch.iter().for_each(|e| tsv.write(e, &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), "a\\tb\tx\tone\\ntwo\n\t\t\\\\\n");
    }
}
