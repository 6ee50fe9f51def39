//! Events and the batches they travel in.
//!
//! A [`Batch`] is what one read of a connection (or one poll of a source) completed: records of a few
//! words each, whose header values and bodies are spans of a handful of byte segments. Segment 0 belongs
//! to the batch; the others are reference-counted [`Buffer`]s, normally the very buffers the event loop
//! read into, so an event that passes through unchanged is never copied. A batch is built and changed by
//! one owner (codec, then interceptors); once a channel holds it, it sits in an `Arc` and nobody writes.
//!
//! [`Events`] is a view of some events of a shared batch: what channels queue, split and hand to sinks.
//!
//! Any thread may hold any of these types. The only locks are those of the two pools and of the key table, all leaves.

mod batch;
mod key;
mod pool;
mod spares;

pub use batch::{Batch, Body, EventRef, Events, Span};
pub use key::Key;
pub use pool::{Buffer, BufferPool};
pub use spares::{Own, Spares};
