//! HEADER_AND_TEXT: `{k1=v1, k2=v2} body` and, unless told otherwise, a line feed; `{}` when there are no headers.
//!
//! Headers come in the order of Flume's hash map (`java_order`), so that output is the same byte for byte.
//! Nothing is escaped: a file is for people, not for parsing. Belongs to the thread of its sink; holds a
//! buffer that is empty between calls.

use super::{java_order, tail, Output, Serializer, SerializerSpec, APPEND_NEWLINE};
use crate::config::{Context, Declared, Kind, Spec};
use crate::event::EventRef;

pub static SPEC: SerializerSpec = Spec {
    declared: Declared {
        kind: Kind::Serializer,
        name: "HEADER_AND_TEXT",
        class: "org.apache.flume.serialization.HeaderAndBodyTextEventSerializer$Builder",
        help: "headers in braces and the body, a line each",
        keys: &[&[APPEND_NEWLINE]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build,
};

fn build(ctx: &Context) -> Box<dyn Serializer> {
    Box::new(HeaderText { tail: tail(ctx), front: Vec::new() })
}

struct HeaderText {
    tail: &'static [u8],
    /// The printed headers of one event.
    front: Vec<u8>,
}

impl Serializer for HeaderText {
    fn write(&mut self, event: EventRef<'_>, out: &mut dyn Output) {
        self.front.clear();
        java_order::print(&event, &mut self.front);
        self.front.push(b' ');
        out.put(&self.front);
        out.put(event.body());
        out.put(self.tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Body, Key};

    fn written(tail: &'static [u8]) -> String {
        let mut b = Batch::new();
        b.push(Body::Copy(b"event 1"));
        for (k, v) in [("header1", "value1"), ("header2", "value2")] {
            let v = b.store(v.as_bytes());
            b.push_header(Key::intern(k).unwrap(), v);
        }
        b.push(Body::Copy(b"event 2"));
        let mut out = Vec::new();
        HeaderText { tail, front: Vec::new() }.write_all(&mut b.iter(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn output_is_flumes_byte_for_byte() {
        assert_eq!(written(b"\n"), "{header2=value2, header1=value1} event 1\n{} event 2\n");
        assert_eq!(written(b""), "{header2=value2, header1=value1} event 1{} event 2");
    }
}
