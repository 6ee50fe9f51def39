//! What the agent asks of a source and of a sink. Implementations live in `source` and `sink`; the threads
//! that call them in `net` (event-driven sources) and `runner` (polled sources, sinks).

use crate::channel::Take;
use crate::codec::BatchLimits;
use crate::config::{Context, GroupCheck, Spec};
use crate::counters::{SinkCounters, SourceCounters};
use crate::event::Batch;
use crate::lifecycle::Stop;
use crate::net::{DatagramProtocol, Endpoint, Protocol};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod handler;

pub use handler::{BuildHandler, HandlerError, HandlerSpec, HttpHandler};

/// Delivers events onward. Called by one thread, `sink:<name>`, which owns the transaction: it takes a batch,
/// calls [`deliver`](Sink::deliver), and commits when that succeeds, else rolls back and tries again later. It may block,
/// with a deadline of its own: it holds its channel up meanwhile, and a stop. Where it panics, one that is built anew takes
/// its place and gets the batch.
pub trait Sink: Send {
    /// Acquires what delivering needs. Called again, with growing pauses, until it succeeds.
    fn start(&mut self) -> Result<(), SinkError>;

    /// The most events one transaction should hold.
    fn batch_size(&self) -> usize;

    /// Delivers all events of the batch, or fails. Whatever a failed call already handed on will be handed on
    /// again, so an implementation takes back what it can. It says where the [`Fault`] lies if it knows: what is said
    /// to be the destination's never makes a dead letter.
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
pub struct SinkError {
    pub why: String,
    pub fault: Fault,
}

/// Where a failed delivery's fault lies: what a sink's limit of attempts goes by, see `runner`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The destination cannot be reached, or is not in order: the same events will do when it is. Never counted.
    Destination,
    /// Some event of the batch is not one that this destination takes.
    Events,
    /// The sink cannot tell.
    Unknown,
}

impl SinkError {
    pub fn destination(why: impl Into<String>) -> SinkError {
        SinkError { why: why.into(), fault: Fault::Destination }
    }

    pub fn events(why: impl Into<String>) -> SinkError {
        SinkError { why: why.into(), fault: Fault::Events }
    }

    pub fn unknown(why: impl Into<String>) -> SinkError {
        SinkError { why: why.into(), fault: Fault::Unknown }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for SinkError {}

/// What a sink is built with, beside its settings.
#[non_exhaustive]
pub struct SinkParts {
    pub counters: Arc<SinkCounters>,
}

impl SinkParts {
    pub fn new(counters: Arc<SinkCounters>) -> SinkParts {
        SinkParts { counters }
    }
}

pub type BuildSink = fn(&Context, SinkParts) -> Box<dyn Sink>;
pub type SinkSpec = Spec<BuildSink>;

/// Decides which sink of a group takes events next. Pure: called under the lock of the group's gate (`runner::gate`),
/// with the time passed in. The group's sinks that share a channel have one of their own; they are known by their place
/// in the group's list.
pub trait Processor: Send {
    /// One of those that wait, to be let take. Called again until it names none, whenever something has happened or a
    /// time that [`left_out`](Processor::left_out) names has come.
    fn choose(&mut self, doing: &[Doing], now: Instant) -> Option<usize>;

    /// The one that takes while all is well, where there is one. Another that waits on the empty channel is called back.
    fn leader(&self, _doing: &[Doing]) -> Option<usize> {
        None
    }

    /// A sink has events of the channel now, and will succeed or fail.
    fn taken(&mut self, _member: usize) {}

    fn succeeded(&mut self, _member: usize) {}

    /// It could not start, deliver or commit, or panicked. What it had taken is in the channel again.
    fn failed(&mut self, _member: usize, _now: Instant) {}

    /// From when on a sink that failed may be tried again; `None`: it works, as far as is known.
    fn left_out(&self, _member: usize) -> Option<Instant> {
        None
    }
}

/// What a sink of a group is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Its thread is not there.
    Nothing,
    /// It starts, does what is due, or pauses.
    Other,
    /// It waits to be let take.
    Waiting,
    /// It has been let, and has no events yet.
    Taking,
    Delivering,
}

/// How a processor judges a group, and is built for its sinks, given by name in the order of the group's list.
pub struct BuildProcessor {
    pub check: GroupCheck,
    pub new: fn(&Context, &[String]) -> Box<dyn Processor>,
}

pub type ProcessorSpec = Spec<BuildProcessor>;

/// A source that is asked for events. Called by one thread, `source:<name>`, which stores what it gets and waits where
/// a channel is full: nothing is polled meanwhile. Where it panics, one that is built anew is started in its place.
pub trait PollableSource: Send {
    /// Acquires what polling needs. Called again, with growing pauses, until it succeeds.
    fn start(&mut self, parts: &SourceParts) -> Result<(), SourceError>;

    /// Adds what there is to an empty batch, within the limits. Being called again means that the events of the last
    /// call are in every required channel. May wait for events, but not once its `stop` has changed.
    fn poll(&mut self, limits: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError>;

    /// The source is to end: takes up nothing new. `true` when polls will bring what is left, until one says
    /// [`Polled::Finished`] or there is no more time.
    fn wind_down(&mut self) -> bool {
        false
    }

    /// Whether events of the last poll that could not be stored are still where they came from. Where they are not,
    /// they are counted as dropped.
    fn can_repeat(&self) -> bool;

    /// Releases everything.
    fn stop(&mut self);
}

/// What a polled source works with, beside its settings.
#[non_exhaustive]
pub struct SourceParts {
    /// Tells the thread to end: a poll that waits has to watch it.
    pub stop: Arc<Stop>,
    pub counters: Arc<SourceCounters>,
}

impl SourceParts {
    pub fn new(stop: Arc<Stop>, counters: Arc<SourceCounters>) -> SourceParts {
        SourceParts { stop, counters }
    }
}

/// What a poll came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled {
    /// There may be more: poll again at once.
    Ready,
    /// There was nothing: poll again after a pause.
    Idle,
    /// There will never be more. The source's health stays what it is: it may have ended in failure.
    Finished,
}

/// Why a source could not start or be polled.
#[derive(Debug)]
pub struct SourceError(pub String);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}

/// Flume's back-off of pollable sources: n idle polls in a row cost a pause of n times `step`, at most `most`.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    pub step: Duration,
    pub most: Duration,
}

/// What a source is to those who run it.
pub enum Source {
    /// Connections accepted at an endpoint; on the event loop.
    Stream { endpoint: Endpoint, protocol: Arc<dyn Protocol> },
    /// The same at several endpoints, each with a protocol of its own. One that cannot be listened on is tried again and
    /// the source counts as failed, while the others work.
    Streams(Vec<(Endpoint, Arc<dyn Protocol>)>),
    /// Datagrams received at an endpoint; on the event loop.
    Datagram {
        endpoint: Endpoint,
        protocol: Box<dyn DatagramProtocol>,
        /// Bytes that may wait in the kernel, if it is said.
        receive_buffer: Option<usize>,
    },
    /// Polled by a thread of its own.
    Polled { source: Box<dyn PollableSource>, pauses: Pauses },
}

/// Makes a source from checked settings. Called again for every try to start it, and to see of which kind it is, on the main
/// thread or the source's own: it acquires nothing, and does not wait.
pub type BuildSource = fn(&Context) -> Source;
pub type SourceSpec = Spec<BuildSource>;
