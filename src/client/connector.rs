//! What opens connections: how to talk to servers, and the certificates that belong to it, read once.
//!
//! Files are read with the first connection, not before: what is wrong with them is a failed connect, tried again like any
//! other, as in Flume. Afterwards they are read again when all are ([`tls::reread`]). Belongs to one thread; no locks.

use super::caller::Protocol;
use super::connection::Connection;
use super::dial::Address;
use super::error::{Error, Outcome};
use super::layers::Order;
use crate::tls::{self, Identity, What};
use std::time::Duration;

/// How to talk to a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub protocol: Protocol,
    /// For names, connecting and the handshakes together.
    pub connect_timeout: Duration,
    /// For a call and its answer.
    pub request_timeout: Duration,
    /// The level of compression-type = deflate.
    pub deflate: Option<u32>,
    pub tls: Option<tls::Options>,
    /// Of both.
    pub order: Order,
}

impl Default for Settings {
    fn default() -> Settings {
        let timeout = Duration::from_secs(20);
        Settings {
            protocol: Protocol::Avro,
            connect_timeout: timeout,
            request_timeout: timeout,
            deflate: None,
            tls: None,
            order: Order::default(),
        }
    }
}

pub struct Connector {
    owner: String,
    settings: Settings,
    /// Made when it is needed first.
    tls: Option<tls::Client>,
}

impl Connector {
    /// `owner`: whose connections they are, for messages about certificates.
    pub fn new(owner: &str, settings: Settings) -> Connector {
        Connector { owner: owner.to_owned(), settings, tls: None }
    }

    /// Connects, and settles the handshakes.
    pub fn open(&mut self, to: &Address) -> Result<Connection, Error> {
        if let (None, Some(options)) = (&self.tls, &self.settings.tls) {
            let made = tls::Client::new(&self.owner, options.clone()).map_err(|fault| {
                let why = format!("cannot connect to {to}: {}: {}", blamed(fault.what, options), fault.why);
                Error::new(Outcome::NotSent, why)
            })?;
            self.tls = Some(made);
        }
        Connection::open(to, &self.settings, self.tls.as_ref())
    }
}

/// The key that is to blame for a fault.
fn blamed(what: What, options: &tls::Options) -> &'static str {
    match (what, &options.identity) {
        (What::Identity, Some(Identity::Pem { .. })) => "certificate and private-key",
        (What::Identity, _) => "keystore",
        (What::PrivateKey, _) => "private-key",
        (What::Trust, _) => "truststore",
        (What::Protocols, _) => "include-protocols and exclude-protocols",
        (What::Suites, _) => "include-cipher-suites and exclude-cipher-suites",
    }
}
