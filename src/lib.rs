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

pub mod agent;
pub mod channel;
pub mod cli;
pub mod client;
pub mod clock;
pub mod codec;
pub mod component;
pub mod config;
pub mod counters;
pub mod deliver;
pub mod event;
pub mod interceptor;
pub mod lifecycle;
pub mod lock;
pub mod monitor;
pub mod net;
pub mod outage;
pub mod processor;
pub mod registry;
pub mod runner;
pub mod selector;
pub mod serializer;
pub mod sink;
pub mod source;
pub mod tls;
pub mod tls_keys;
pub mod unsupported;
