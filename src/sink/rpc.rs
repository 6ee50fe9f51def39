//! What the avro and thrift sinks are: batches to a source of the next agent, each in one call, committed when its answer
//! says that it is stored.
//!
//! One connection, opened at the start, and anew for the next batch when it failed, when the server has closed it, or
//! every so often if told so. Where no answer comes a batch may be stored although it is sent again: that is logged and
//! counted. Called by its sink thread only, for at most the two time-outs at a time; no locks.

use crate::channel::Take;
use crate::client::{self, Address, Connection, Connector, Error, Outcome, Protocol};
use crate::component::{Sink, SinkError, SinkParts};
use crate::config::{Context, Default, Key, Type};
use crate::counters::SinkCounters;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The keys that are not of the connection.
pub const KEYS: &[Key] = &[
    Key::new("hostname", Type::Text, Default::Required, "the server's name or address"),
    Key::new("port", Type::Int(1, 65535), Default::Required, "the server's port"),
    Key::new(
        "reset-connection-interval",
        Type::Seconds(0, i32::MAX as i64),
        Default::Is("0"),
        "seconds after which it connects anew, for load balancers between; 0: never",
    )
    .or_default_if_out_of_range(),
];

pub fn build(ctx: &Context, parts: SinkParts, protocol: Protocol) -> Box<dyn Sink> {
    Box::new(RpcSink::new(ctx, parts, protocol))
}

struct RpcSink {
    name: String,
    address: Address,
    connector: Connector,
    /// `None`: never.
    reset_after: Option<Duration>,
    batch_size: usize,
    counters: Arc<SinkCounters>,
    /// With the time since when.
    open: Option<(Connection, Instant)>,
}

impl RpcSink {
    fn new(ctx: &Context, parts: SinkParts, protocol: Protocol) -> RpcSink {
        let port = ctx.int("port").and_then(|p| u16::try_from(p).ok()).expect("is required, and a port");
        RpcSink {
            name: ctx.name().to_owned(),
            address: Address::new(ctx.text("hostname").expect("is required"), port),
            connector: Connector::new(&format!("sink {}", ctx.name()), client::settings(ctx, protocol)),
            reset_after: ctx.duration("reset-connection-interval").filter(|d| !d.is_zero()),
            batch_size: ctx.size("batch-size"),
            counters: parts.counters,
            open: None,
        }
    }

    /// The connection, opened if there is none that can be used.
    fn connection(&mut self) -> Result<&mut Connection, Error> {
        if let Some((connection, since)) = &mut self.open {
            let is_due = self.reset_after.is_some_and(|after| since.elapsed() >= after);
            if is_due {
                log::debug!("sink {}: reset-connection-interval is over", self.name);
            }
            if is_due || !connection.is_usable() {
                self.close();
            }
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let connection = self
                    .connector
                    .open(&self.address)
                    .inspect_err(|_| self.counters.connection_failed.one())?;
                self.counters.connection_created.one();
                log::info!("sink {}: connected to {}", self.name, self.address);
                (connection, Instant::now())
            }
        };
        Ok(&mut self.open.insert(open).0)
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.counters.connection_closed.one();
            log::info!("sink {}: the connection to {} has ended", self.name, self.address);
        }
    }

    /// Notes what a failed call may have left at the server.
    fn note(&mut self, e: &Error) {
        if matches!(e.outcome, Outcome::Unknown | Outcome::NotSent) {
            self.close();
        }
        let n = e.maybe_stored();
        if n > 0 {
            self.counters.possibly_repeated.add(n);
            log::warn!(
                "sink {}: {n} events may be stored at {} already and will be sent again: {e}",
                self.name,
                self.address
            );
        }
    }
}

impl Sink for RpcSink {
    /// One that cannot connect has not started: it is tried again, and in a group another takes meanwhile.
    fn start(&mut self) -> Result<(), SinkError> {
        self.connection().map(|_| ()).map_err(|e| SinkError::destination(e.why))
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        let sent =
            self.connection().and_then(|c| c.append_events(batch.len(), |from| batch.events().skip(from)));
        let Err(e) = sent else { return Ok(()) };
        self.note(&e);
        Err(match e.outcome {
            Outcome::NotSent | Outcome::Unknown => SinkError::destination(e.why),
            Outcome::Refused => SinkError::unknown(e.why),
            Outcome::TooLarge => SinkError::events(e.why),
        })
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
