//! What the agent asks of a source and of a sink. Implementations live in `source` and `sink`; the threads
//! that call them in `net` (event-driven sources) and `runner` (sinks).

use crate::channel::Take;
use crate::config::{Context, Spec};
use crate::counters::SinkCounters;
use crate::net::{DatagramProtocol, Endpoint, Protocol};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Delivers events onward. Called by one thread, `sink:<name>`, which owns the transaction: it takes a batch,
/// calls [`deliver`](Sink::deliver), and commits when that succeeds, else rolls back and tries again later.
pub trait Sink: Send {
    /// Acquires what delivering needs. Called again, with growing pauses, until it succeeds.
    fn start(&mut self) -> Result<(), SinkError>;

    /// The most events one transaction should hold.
    fn batch_size(&self) -> usize;

    /// Delivers all events of the batch, or fails. Whatever a failed call already handed on will be handed on
    /// again, so an implementation takes back what it can.
    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError>;

    /// Does what is due by now (rolls, idle closes) and returns when it wants to be called next.
    /// Called between batches and when that time has come.
    fn tick(&mut self, _now: Instant) -> Result<Option<Instant>, SinkError> {
        Ok(None)
    }

    /// Releases everything; all delivered events are at their destination when it returns `Ok`.
    fn stop(&mut self) -> Result<(), SinkError>;
}

/// Why a sink could not start, deliver or stop. The batch stays in the channel.
#[derive(Debug)]
pub struct SinkError(pub String);

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SinkError {}

/// What a sink is built with, beside its settings.
pub struct SinkParts {
    pub counters: Arc<SinkCounters>,
}

pub type BuildSink = fn(&Context, SinkParts) -> Box<dyn Sink>;
pub type SinkSpec = Spec<BuildSink>;

/// What a source gives the event loop to serve.
pub enum Source {
    /// Connections accepted at an endpoint.
    Stream { endpoint: Endpoint, protocol: Arc<dyn Protocol> },
    /// Datagrams received at an endpoint.
    Datagram { endpoint: Endpoint, protocol: Box<dyn DatagramProtocol> },
}

/// Makes a source from checked settings. Called again for every try to start it.
pub type BuildSource = fn(&Context) -> Source;
pub type SourceSpec = Spec<BuildSource>;
