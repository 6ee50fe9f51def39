//! Sends events to Avro and Thrift sources: flumed's, or Flume's own. Blocking; for programs, and for the sinks.
//!
//! A [`Connection`] is one connection to one server, ended by its first failure other than a refusal; a [`Connector`]
//! opens them, with TLS if its [`Settings`] say so. Whoever calls is
//! told what it can rely on, see [`Outcome`]. Everything here belongs to the thread that calls it; names are resolved on
//! threads of their own, because that wait cannot be given a limit.
//!
//! A [`Client`] is for one or several servers, by the properties of Flume's SDK:
//!
//! ```no_run
//! use flumed::client::{Client, Outcome};
//! use flumed::event::{Batch, Body, Key};
//!
//! let mut client = Client::from_properties([
//!     ("client.type", "default_failover"),
//!     ("hosts", "h1 h2"),
//!     ("hosts.h1", "collector1.example.com:4141"),
//!     ("hosts.h2", "[2001:db8::1]:4141"),
//! ])
//! .expect("these are good");
//!
//! let mut batch = Batch::new();
//! batch.push(Body::Copy(b"hello"));
//! let value = batch.store(b"web1");
//! batch.push_header(Key::HOST, value);
//!
//! match client.append_batch(&batch) {
//!     Ok(()) => println!("stored"),
//!     Err(e) if e.outcome == Outcome::Unknown => println!("sent again, it may be stored twice: {e}"),
//!     Err(e) => println!("not stored: {e}"),
//! }
//! ```

mod balance;
mod caller;
mod connection;
mod connector;
mod dial;
mod error;
mod keys;
mod layers;
mod options;
mod several;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod tls_keys;

pub use caller::Protocol;
pub use connection::Connection;
pub use connector::{Connector, Settings};
pub use dial::Address;
pub use error::{Error, Outcome};
pub use keys::{check_thrift, settings, thrift, CALLS, COMPRESSION, THRIFT};
pub use layers::Order;
pub use several::Client;
pub use stream::Stream;
pub use tls_keys::{
    advice as advise_tls, check as check_tls, fault_of_lists, https_options as tls_options,
    HTTPS as TLS_CHOICES, TLS,
};
