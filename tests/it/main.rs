//! System tests on the real binary: each starts its own agent, on ports the kernel chooses, in a folder of its own.
//! Waits are on a condition with a deadline; see `util`.

mod avro;
mod avro_client;
mod badinput;
mod config;
mod docs;
mod downstream;
mod examples;
mod exec;
mod extension;
mod file;
mod flow;
mod full;
mod groups;
mod hop;
mod http;
mod http_sink;
mod interceptors;
mod letters;
mod limits;
mod monitor;
mod origin;
// The unit tests use more of it.
#[allow(dead_code)]
#[path = "../pki.rs"]
mod pki;
mod reload;
mod retry;
mod rpc_sinks;
mod scale;
mod script;
mod selectors;
mod spill;
mod stop;
mod syslog;
mod thrift;
mod tiers;
mod tls;
mod tls_keys;
mod tool;
mod util;
mod wire;
