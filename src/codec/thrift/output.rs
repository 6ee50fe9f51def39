//! Writing messages in either protocol, by the crate's writers into memory.

use super::frame;
use super::Encoding;
use crate::codec::rpc::text;
use crate::event::EventRef;
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier, TMapIdentifier,
    TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier, TType,
};

/// Adds a framed message: its head, and the struct that `body` fills.
pub fn put(
    out: &mut Vec<u8>,
    encoding: Encoding,
    (kind, name, number): (TMessageType, &str, i32),
    body: impl FnOnce(&mut dyn TOutputProtocol) -> thrift::Result<()>,
) {
    let head = TMessageIdentifier::new(name, kind, number);
    frame::put(out, |out| {
        let write = |p: &mut dyn TOutputProtocol| {
            p.write_message_begin(&head)?;
            p.write_struct_begin(&TStructIdentifier::new(""))?;
            body(p)?;
            p.write_field_stop()?;
            p.write_struct_end()?;
            p.write_message_end()
        };
        let written = match encoding {
            Encoding::Compact => write(&mut TCompactOutputProtocol::new(out)),
            Encoding::Binary => write(&mut TBinaryOutputProtocol::new(out, true)),
        };
        debug_assert!(written.is_ok(), "memory takes everything: {written:?}");
    });
}

/// Writes a field.
pub fn field(
    p: &mut dyn TOutputProtocol,
    (id, ty): (i16, TType),
    value: impl FnOnce(&mut dyn TOutputProtocol) -> thrift::Result<()>,
) -> thrift::Result<()> {
    p.write_field_begin(&TFieldIdentifier::new("", ty, id))?;
    value(p)?;
    p.write_field_end()
}

/// Writes events; made once for many.
pub struct Events {
    event: TStructIdentifier,
    headers: TFieldIdentifier,
    body: TFieldIdentifier,
}

impl Default for Events {
    fn default() -> Events {
        Events {
            event: TStructIdentifier::new(""),
            headers: TFieldIdentifier::new("", TType::Map, 1),
            body: TFieldIdentifier::new("", TType::String, 2),
        }
    }
}

impl Events {
    pub fn put(&self, p: &mut dyn TOutputProtocol, e: EventRef<'_>) -> thrift::Result<()> {
        p.write_struct_begin(&self.event)?;
        p.write_field_begin(&self.headers)?;
        let headers = e.headers();
        p.write_map_begin(&TMapIdentifier::new(TType::String, TType::String, headers.len() as i32))?;
        for (key, value) in headers {
            p.write_bytes(key.name().as_bytes())?;
            p.write_bytes(&text(value))?;
        }
        p.write_map_end()?;
        p.write_field_end()?;
        p.write_field_begin(&self.body)?;
        p.write_bytes(e.body())?;
        p.write_field_end()?;
        p.write_field_stop()?;
        p.write_struct_end()
    }
}

/// The list that `n` events follow.
pub fn list(n: usize) -> TListIdentifier {
    TListIdentifier::new(TType::Struct, n as i32)
}
