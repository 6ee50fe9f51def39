//! Event serializers: events to the bytes of a file. Pure; used by the sinks that write files.

use crate::config::{Context, Spec};
use crate::event::EventRef;

/// Turns events into bytes. One value serves one open file at a time.
pub trait Serializer: Send {
    /// Appends what stands at the beginning of a new file.
    fn begin(&mut self, _out: &mut Vec<u8>) {}
    /// Appends one event.
    fn write(&mut self, event: EventRef<'_>, out: &mut Vec<u8>);
    /// Appends what ends a batch, before its transaction is committed.
    fn end_batch(&mut self, _out: &mut Vec<u8>) {}
    /// Appends what stands at the end of a file.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

pub type Build = fn(&Context) -> Box<dyn Serializer>;
pub type SerializerSpec = Spec<Build>;

/// Every serializer, by its name in `sink.serializer`.
pub static ALL: &[&SerializerSpec] = &[];
