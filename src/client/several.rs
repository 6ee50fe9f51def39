//! A client for one host or several: Flume's `default`, `default_failover`, `default_loadbalance`
//! and `thrift`.
//!
//! A failed connection is opened anew with the next batch, a failed host is not given up for good. A batch is sent to
//! one host after another until one has stored it, so it may be stored at two: that is logged where it may be so. A host
//! that others stand in for is told once, until it works again.

use super::balance::Balance;
use super::connection::Connection;
use super::connector::{Connector, Settings};
use super::dial::Address;
use super::error::{Error, Outcome};
use super::options::{Options, Way};
use crate::config::{properties, Place, Problems, Property};
use crate::event::{Batch, EventRef};
use std::path::Path;
use std::time::Instant;

const BATCH_SIZE: usize = 100;

/// Sends events to Avro sources, or to a Thrift source.
pub struct Client {
    hosts: Vec<Host>,
    choice: Choice,
    connector: Connector,
    batch_size: usize,
}

struct Host {
    address: Address,
    open: Option<Connection>,
    /// It has failed where others have not, and that was said.
    is_told: bool,
}

enum Choice {
    /// The host in use, and how often a batch is sent.
    Failover {
        at: usize,
        attempts: usize,
    },
    Balanced(Balance),
}

impl Client {
    /// A client for one server.
    pub fn new(server: Address, settings: Settings) -> Client {
        Client::of(Options {
            hosts: vec![server],
            way: Way::Failover { attempts: 1 },
            settings,
            batch_size: BATCH_SIZE,
        })
    }

    /// A client as these properties of Flume's SDK say, or all that is wrong with them.
    pub fn from_properties<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Client, Vec<String>> {
        let place = Place { file: "client".into(), line: 0 };
        Options::parse(pairs.into_iter().map(|(k, v)| Property::new(k, v, place.clone())).collect())
            .map(Client::of)
    }

    /// [`from_properties`](Client::from_properties) with those of a file.
    pub fn from_file(file: &Path) -> Result<Client, Vec<String>> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|e| vec![format!("{name}: cannot be read: {e}")])?;
        let mut problems = Problems::default();
        let found = properties::parse(&name.into(), &bytes, &mut problems);
        if problems.errors() > 0 {
            return Err(problems.sorted().iter().map(|p| p.to_string()).collect());
        }
        Options::parse(found).map(Client::of)
    }

    fn of(options: Options) -> Client {
        let Options { hosts, way, settings, batch_size } = options;
        let choice = match way {
            Way::Failover { attempts } => Choice::Failover { at: 0, attempts },
            Way::Balanced { random, backoff } => Choice::Balanced(Balance::new(hosts.len(), random, backoff)),
        };
        let hosts = hosts.into_iter().map(|address| Host { address, open: None, is_told: false }).collect();
        Client { hosts, choice, connector: Connector::new("client", settings), batch_size }
    }

    /// Events of one call, at most.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Sends an event alone.
    pub fn append(&mut self, event: EventRef<'_>) -> Result<(), Error> {
        self.deliver(|c| c.append(event))
    }

    /// Sends a batch; one of more than [`batch_size`](Client::batch_size) events in several calls. The error says how
    /// many of its events were acknowledged before.
    pub fn append_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        for from in (0..batch.len()).step_by(self.batch_size) {
            let n = self.batch_size.min(batch.len() - from);
            self.deliver(|c| c.append_events(n, |at| batch.iter().skip(from + at)))
                .map_err(|e| Error { acknowledged: from + e.acknowledged, ..e })?;
        }
        Ok(())
    }

    /// Ends all connections. The next call opens one.
    pub fn close(&mut self) {
        self.hosts.iter_mut().for_each(|h| h.open = None);
    }

    fn deliver(&mut self, send: impl Fn(&mut Connection) -> Result<(), Error>) -> Result<(), Error> {
        let Client { hosts, choice, connector, .. } = self;
        let mut tries = Tries::default();
        match choice {
            Choice::Failover { at, attempts } => {
                for _ in 0..*attempts {
                    // Connecting is no attempt: all hosts are looked at for one.
                    let mut reached = false;
                    for _ in 0..hosts.len() {
                        if let Err(e) = hosts[*at].connect(connector) {
                            tries.failed(*at, e);
                            *at = (*at + 1) % hosts.len();
                            continue;
                        }
                        reached = true;
                        break;
                    }
                    if !reached {
                        break;
                    }
                    if tries.send(hosts, *at, &send) {
                        return Ok(());
                    }
                    *at = (*at + 1) % hosts.len();
                    if tries.is_hopeless() {
                        break;
                    }
                }
            }
            Choice::Balanced(balance) => {
                for i in balance.order(Instant::now()) {
                    let is_sent = match hosts[i].connect(connector) {
                        Ok(()) => tries.send(hosts, i, &send),
                        Err(e) => {
                            tries.failed(i, e);
                            false
                        }
                    };
                    if is_sent {
                        balance.succeeded(i);
                        return Ok(());
                    }
                    if tries.is_hopeless() {
                        break;
                    }
                    balance.failed(i, Instant::now());
                }
            }
        }
        Err(tries.into_error())
    }
}

impl Host {
    /// Makes sure that there is a connection.
    fn connect(&mut self, connector: &mut Connector) -> Result<(), Error> {
        if !self.open.as_mut().is_some_and(Connection::is_usable) {
            self.open = None;
            self.open = Some(connector.open(&self.address)?);
        }
        Ok(())
    }
}

/// How the tries to send one batch went.
#[derive(Default)]
struct Tries {
    /// With the hosts.
    failed: Vec<(usize, Error)>,
}

impl Tries {
    /// `true`: it is stored.
    fn send(
        &mut self,
        hosts: &mut [Host],
        at: usize,
        send: impl Fn(&mut Connection) -> Result<(), Error>,
    ) -> bool {
        let host = &mut hosts[at];
        let Some(connection) = &mut host.open else { return false };
        let Err(e) = send(connection) else {
            host.is_told = false;
            let before = self.errors().map(Error::maybe_stored).max().unwrap_or(0);
            if before > 0 {
                log::warn!("{before} events that {} has stored may be stored elsewhere, too", host.address);
            }
            self.tell(hosts, at);
            return true;
        };
        if e.outcome != Outcome::Refused && e.outcome != Outcome::TooLarge {
            host.open = None;
        }
        self.failed(at, e);
        false
    }

    fn failed(&mut self, at: usize, e: Error) {
        log::debug!("{e}");
        self.failed.push((at, e));
    }

    fn errors(&self) -> impl Iterator<Item = &Error> {
        self.failed.iter().map(|(_, e)| e)
    }

    /// Says which hosts the one that has stored the batch stands in for. Nobody hears of them otherwise.
    fn tell(&self, hosts: &mut [Host], stored_at: usize) {
        let by = hosts[stored_at].address.to_string();
        for (at, e) in self.failed.iter().filter(|(at, _)| *at != stored_at) {
            let host = &mut hosts[*at];
            if !std::mem::replace(&mut host.is_told, true) {
                log::warn!("{} has failed, {by} stands in for it: {e}", host.address);
            }
        }
    }

    /// No host will take it.
    fn is_hopeless(&self) -> bool {
        self.failed.last().is_some_and(|(_, e)| e.outcome == Outcome::TooLarge)
    }

    /// One error for all of them: what one host has stored, or may have, is not undone by the refusal of another. They
    /// all had the same batch from its first event on, so how far it came is the furthest that it came at any host.
    fn into_error(self) -> Error {
        let weight = |o: Outcome| match o {
            Outcome::TooLarge => 3,
            Outcome::Unknown => 2,
            Outcome::Refused => 1,
            Outcome::NotSent => 0,
        };
        let mut whys: Vec<&str> = self.errors().map(|e| e.why.as_str()).collect();
        whys.dedup();
        let why = whys.join("; ");
        let end = |e: &Error| e.acknowledged + e.failed;
        let acknowledged = self.errors().map(|e| e.acknowledged).max().unwrap_or(0);
        // What has no answer says nothing where another host has stored that much.
        let is_told = |e: &&Error| e.outcome != Outcome::Unknown || end(e) > acknowledged;
        let outcome = self.errors().filter(is_told).map(|e| e.outcome).max_by_key(|o| weight(*o));
        let outcome = outcome.unwrap_or(Outcome::NotSent);
        let last = self.errors().filter(|e| e.outcome == outcome).map(end).max().unwrap_or(0);
        Error { outcome, why, acknowledged, failed: last.saturating_sub(acknowledged) }
    }
}

#[cfg(test)]
mod tests;
