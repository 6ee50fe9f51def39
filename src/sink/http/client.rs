//! The HTTP client of the sink: `ureq` over our own connections, so that TLS, time-outs and names are those of all sinks.
//!
//! Belongs to its sink's thread; the mutexes are for what ureq demands of types, and never waited for.

use crate::client::{Address, Settings, Stream};
use crate::counters::SinkCounters;
use crate::lock::lock;
use crate::tls;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// Opens connections to one server.
pub struct Dialer {
    pub sink: String,
    pub address: Address,
    pub connect_timeout: Duration,
    /// Of an endpoint that begins with https.
    pub tls: Option<tls::Options>,
    /// Made with the first connection.
    pub made: Mutex<Option<tls::Client>>,
    /// A connection that was opened to see whether it can be, for the next request.
    pub spare: Mutex<Option<Stream>>,
    pub counters: Arc<SinkCounters>,
    /// Whether no part of the last request failed to be sent.
    pub sent_all: Arc<AtomicBool>,
}

impl Dialer {
    /// Whether there is, or can be, a connection.
    pub fn probe(&self) -> Result<(), String> {
        let mut spare = lock(&self.spare);
        if spare.as_mut().is_none_or(|stream| !stream.is_quiet()) {
            *spare = Some(self.open().inspect_err(|_| self.counters.connection_failed.one())?);
        }
        Ok(())
    }

    /// Whether the last request has left this side whole.
    pub fn has_sent_all(&self) -> bool {
        self.sent_all.load(Relaxed)
    }

    fn open(&self) -> Result<Stream, String> {
        let mut made = lock(&self.made);
        if let (None, Some(options)) = (&*made, &self.tls) {
            let client = tls::Client::new(&format!("sink {}", self.sink), options.clone());
            *made =
                Some(client.map_err(|fault| format!("cannot connect to {}: {}", self.address, fault.why))?);
        }
        let settings = Settings { connect_timeout: self.connect_timeout, ..Settings::default() };
        Stream::connect(&self.address, &settings, made.as_ref(), Instant::now() + self.connect_timeout)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.address)
    }
}

/// Why there is no connection: nothing was sent.
#[derive(Debug)]
pub struct NotConnected(pub String);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotConnected {}

/// The dialer, for ureq.
#[derive(Debug)]
pub struct Shared(pub Arc<Dialer>);

impl Connector<()> for Shared {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, Error> {
        self.0.connect(details)
    }
}

impl Dialer {
    fn connect(&self, details: &ConnectionDetails<'_>) -> Result<Option<Wire>, Error> {
        let spare = lock(&self.spare).take().and_then(|mut stream| stream.is_quiet().then_some(stream));
        let opened = spare.map_or_else(|| self.open(), Ok);
        let stream = opened.map_err(|why| {
            self.counters.connection_failed.one();
            Error::Other(Box::new(NotConnected(why)))
        })?;
        self.counters.connection_created.one();
        log::info!("sink {}: connected to {}", self.sink, self.address);
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let is_tls = self.tls.is_some();
        let (counters, sent_all) = (self.counters.clone(), self.sent_all.clone());
        Ok(Some(Wire { stream: Mutex::new(stream), buffers, is_tls, counters, sent_all, failed: None }))
    }
}

/// Leaves the look-up to who connects.
#[derive(Debug)]
pub struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut nowhere = self.empty();
        nowhere.push(([0, 0, 0, 0], 0).into());
        Ok(nowhere)
    }
}

/// A connection.
pub struct Wire {
    stream: Mutex<Stream>,
    buffers: LazyBuffers,
    is_tls: bool,
    counters: Arc<SinkCounters>,
    sent_all: Arc<AtomicBool>,
    /// Why the rest of a request could not be sent: the server may have answered before.
    failed: Option<Error>,
}

impl Wire {
    fn stream(&mut self) -> &mut Stream {
        self.stream.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn until(timeout: &NextTimeout) -> Instant {
    // What never comes is far away.
    let left = (*timeout.after).min(Duration::from_secs(365 * 86_400));
    Instant::now() + left
}

fn failed(e: io::Error, timeout: Timeout) -> Error {
    match e.kind() {
        io::ErrorKind::TimedOut => Error::Timeout(timeout),
        _ => Error::Io(e),
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let stream = self.stream.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let output = &self.buffers.output()[..amount];
        if self.failed.is_some() {
            return Ok(());
        }
        self.sent_all.store(true, Relaxed);
        if let Err(e) = stream.send(output, until(&timeout)) {
            self.sent_all.store(false, Relaxed);
            let error = failed(e, timeout.reason);
            if matches!(error, Error::Timeout(_)) {
                return Err(error);
            }
            // It may have said why, and closed.
            self.failed = Some(error);
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let stream = self.stream.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let room = self.buffers.input_append_buf();
        let read = stream.read(room, until(&timeout)).map_err(|e| failed(e, timeout.reason));
        let n = match (read, self.failed.take()) {
            (Ok(n), None) => n,
            (Ok(n), Some(why)) if n > 0 => {
                // The answer may come in pieces; the connection is of no use after it.
                self.failed = Some(why);
                n
            }
            (Ok(_), Some(why)) | (Err(_), Some(why)) => return Err(why),
            (Err(e), None) => return Err(e),
        };
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Asked before a connection is used again: one that the server has closed meanwhile is not.
    fn is_open(&mut self) -> bool {
        self.failed.is_none() && self.stream().is_quiet()
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stream().close();
        self.counters.connection_closed.one();
    }
}
