//! Event serializers: events to the bytes of a file. Pure; used by the sinks that write files.
//!
//! A serializer speaks to an [`Output`], which cannot fail: a sink whose disk refuses bytes remembers that and
//! fails the batch when the serializer is through with it. So a serializer is always called for whole batches
//! and, between two of them, holds nothing back; what became of the bytes is not its concern. Belongs to the
//! thread of its sink; no locks.

use crate::config::{Context, Default, Key, Spec, Type};
use crate::event::EventRef;

mod header_text;
pub mod java_order;
mod text;

/// Takes bytes in order. Pieces may be of any length; an output gathers small ones and need not copy long ones.
pub trait Output {
    fn put(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Turns events into bytes. One value serves one open file at a time. Belongs to its sink's thread; a panic is one of the sink,
/// which is built anew and gets the batch again.
pub trait Serializer: Send {
    /// Puts what stands at the beginning of a new file.
    fn begin(&mut self, _out: &mut dyn Output) {}
    /// Puts one event.
    fn write(&mut self, event: EventRef<'_>, out: &mut dyn Output);
    /// Puts the events of a batch. For serializers that can do better than one at a time.
    fn write_all<'a>(&mut self, events: &mut dyn Iterator<Item = EventRef<'a>>, out: &mut dyn Output) {
        for event in events {
            self.write(event, out);
        }
    }
    /// Puts whatever was held back, at the end of every batch.
    fn end_batch(&mut self, _out: &mut dyn Output) {}
    /// Puts what stands at the end of a file.
    fn end(&mut self, _out: &mut dyn Output) {}
}

pub type Build = fn(&Context) -> Box<dyn Serializer>;
pub type SerializerSpec = Spec<Build>;

/// Every serializer, by its name in `sink.serializer`.
pub static ALL: &[&SerializerSpec] = &[&text::SPEC, &header_text::SPEC];

/// The key of the serializers that write text.
const APPEND_NEWLINE: Key =
    Key::new("appendNewline", Type::Bool, Default::Is("true"), "whether each event ends in a line feed");

/// What follows every body.
fn tail(ctx: &Context) -> &'static [u8] {
    if ctx.flag(APPEND_NEWLINE.name) {
        b"\n"
    } else {
        b""
    }
}

/// The serializer that these settings are for.
pub fn build(ctx: &Context) -> Box<dyn Serializer> {
    (ctx.spec(ALL).expect("a context is made from a spec").build)(ctx)
}
