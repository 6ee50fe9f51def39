//! Interceptors: change, drop or add to the events of a batch before a selector routes them.
//!
//! A chain runs once per batch, in the listed order, on the thread that delivers; each interceptor sees the
//! whole batch. A batch that waits for room afterwards is kept as the chain left it. For connections and datagrams that
//! thread is the event loop's, or a pool's where one of the chain, or the selector, may block.
//!
//! An interceptor cannot fail: an event it can do nothing with passes unchanged, which its `Failures` count.
//! Patterns work on text. A body's bytes that are no UTF-8 stand for U+FFFD while a pattern looks at them, as in
//! Flume, so an event with such bytes can be found, kept and changed like any other.

use crate::config::{Context, Default, Key as ConfigKey, Spec, Type};
use crate::counters::SourceCounters;
use crate::event::{Batch, Key};
use std::sync::Arc;

mod extractor_serializer;
mod failures;
mod host;
mod regex_extractor;
mod regex_filter;
mod remove_header;
mod search_replace;
mod static_header;
#[cfg(test)]
mod testing;
mod timestamp;
mod uuid;

pub use extractor_serializer::{ExtractorSerializer, ExtractorSerializerSpec, Serialized};
use failures::Failures;

/// One value serves all connections of a source. A panic ends the connection that the batch came by; its events are not
/// stored.
pub trait Interceptor: Send + Sync {
    fn intercept(&self, batch: &mut Batch);

    /// Whether it may wait for something (a file, a name, another server). The interceptors and the selector of its source
    /// are then run by a thread of a small pool: the batches of one connection, or of a datagram socket, in their order,
    /// those of several connections at the same time. Asked once, when the source is built. A polled source runs them on
    /// its own thread in any case.
    fn may_block(&self) -> bool {
        false
    }
}

/// Builds an interceptor of the source with these counters.
pub type Build = fn(&Context, &Arc<SourceCounters>) -> Box<dyn Interceptor>;
pub type InterceptorSpec = Spec<Build>;

/// Every interceptor type.
pub static ALL: &[&InterceptorSpec] = &[
    &timestamp::SPEC,
    &host::SPEC,
    &static_header::SPEC,
    &uuid::SPEC,
    &remove_header::SPEC,
    &search_replace::SPEC,
    &regex_filter::SPEC,
    &regex_extractor::SPEC,
];

/// Every serializer of regex_extractor, by its name in `serializers.<s>.type`.
pub static EXTRACTOR_SERIALIZERS: &[&ExtractorSerializerSpec] = extractor_serializer::ALL;

/// The interceptors of one source, in order.
#[derive(std::default::Default)]
pub struct Chain(Vec<Box<dyn Interceptor>>);

impl Chain {
    pub fn new(list: Vec<Box<dyn Interceptor>>) -> Chain {
        Chain(list)
    }

    pub fn may_block(&self) -> bool {
        self.0.iter().any(|i| i.may_block())
    }

    /// Runs the chain; an emptied batch ends it.
    pub fn run(&self, batch: &mut Batch) {
        for i in &self.0 {
            if batch.is_empty() {
                return;
            }
            i.intercept(batch);
        }
    }
}

/// The key by which an interceptor that sets a header is told to keep one already there.
const fn preserve_existing(default: &'static str) -> ConfigKey {
    ConfigKey::new(
        "preserveExisting",
        Type::Bool,
        Default::Is(default),
        "whether to keep a header already there",
    )
}

/// Gives every event this header; `preserve` leaves those alone that have it. The value is stored once.
fn set_all(batch: &mut Batch, key: Key, value: &[u8], preserve: bool) {
    let value = batch.store(value);
    for i in 0..batch.len() {
        if !preserve || batch.get(i).header(key).is_none() {
            batch.set_header(i, key, value);
        }
    }
}
