//! flumed: an event-collection agent that runs Apache Flume configurations.
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
//! and runs the graph, `monitor` shows the `counters`, `cli` is the command line.

pub mod channel;
pub mod client;
pub mod clock;
pub mod codec;
pub mod component;
pub mod config;
pub mod counters;
pub mod event;
pub mod interceptor;
pub mod lifecycle;
pub mod net;
mod program;
pub mod selector;
pub mod serializer;
pub mod testing;

pub use program::Flumed;
pub use sink::file_roll::{PathManager, PathManagerSpec};

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
