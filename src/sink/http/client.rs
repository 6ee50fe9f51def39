//! The HTTP client of the sink: `ureq` over our own connections, so that TLS, time-outs and names are those of all sinks.
//!
//! Belongs to its sink's thread; the mutexes are for what ureq demands of types, and never waited for.

use crate::client::{Address, Settings, Stream};
use crate::counters::SinkCounters;
use crate::lock::lock;
use crate::tls;
use std::fmt;
use std::io;
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
    pub counters: Arc<SinkCounters>,
}

impl Dialer {
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

impl Connector<()> for Dialer {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, Error> {
        let stream = self.open().map_err(|why| {
            self.counters.connection_failed.one();
            Error::Other(Box::new(NotConnected(why)))
        })?;
        self.counters.connection_created.one();
        log::info!("sink {}: connected to {}", self.sink, self.address);
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let is_tls = self.tls.is_some();
        Ok(Some(Wire { stream: Mutex::new(stream), buffers, is_tls, counters: self.counters.clone() }))
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
        stream.send(output, until(&timeout)).map_err(|e| failed(e, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let stream = self.stream.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let room = self.buffers.input_append_buf();
        let n = stream.read(room, until(&timeout)).map_err(|e| failed(e, timeout.reason))?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Asked before a connection is used again: one that the server has closed meanwhile is not.
    fn is_open(&mut self) -> bool {
        self.stream().is_quiet()
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
