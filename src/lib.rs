//! flumed: an event-collection agent that runs Apache Flume configurations.
//!
//! As a library it is for two things: an agent with components of one's own (begin with the [`guide`]; [`Flumed`] is the
//! program), and sending events to agents ([`client`]).
//!
//! The data path, top to bottom:
//!
//! ```text
//!   net (event loop)            bytes of a connection
//!     codec                     -> messages, as spans of the read buffer, in a Batch
//!       deliver                 interceptors -> selector -> room in every channel -> append -> tickets
//!         channel               transactional queue, takes whole batches
//!           runner, processor   one thread per sink: take, deliver, commit; in a group, one after the other
//!             sink, serializer  -> files, other agents
//! ```
//!
//! `config` turns a properties file into checked settings, `registry` knows every component type, `agent` builds
//! and runs the graph, `monitor` shows the `counters`, `cli` is the command line, `program` puts them together.

pub mod channel;
pub mod client;
pub mod clock;
pub mod codec;
pub mod component;
pub mod config;
pub mod counters;
pub mod event;
pub mod guide;
pub mod interceptor;
pub mod lifecycle;
pub mod net;
mod program;
pub mod selector;
pub mod serializer;
pub mod testing;

pub use program::Flumed;
pub use sink::file_roll::{PathManager, PathManagerSpec};

/// TLS for a source of one's own on the event loop: the keys of flumed's own sources, and what they come to.
///
/// The groups of keys [`KEYS`](source_tls::KEYS), [`IDENTITY`](source_tls::IDENTITY), [`TRUST`](source_tls::TRUST) and
/// [`LISTS`](source_tls::LISTS) go into the declaration, [`check`](source_tls::check) and
/// [`advice`](source_tls::advice) beside or into its own, and [`server`](source_tls::server), called by `build`, into
/// [`Protocol::wire`](net::Protocol::wire).
pub mod source_tls {
    pub use crate::source::tls::{advice, check, server, KEYS};
    pub use crate::tls_keys::{IDENTITY, LISTS, TRUST};
}

// Of the program, and of its own tests, fuzzers and benchmarks: no part of what is kept stable for others.
#[doc(hidden)]
pub mod agent;
#[doc(hidden)]
pub mod registry;
#[doc(hidden)]
pub mod tls;

mod cli;
mod deliver;
mod lock;
mod monitor;
mod outage;
mod processor;
mod runner;
mod sink;
mod source;
mod tls_keys;
mod unsupported;
