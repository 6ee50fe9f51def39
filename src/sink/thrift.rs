//! The thrift sink: batches to a thrift source. Called by its sink thread only; no locks.

use super::rpc;
use crate::client;
use crate::component::{Sink, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Kind, Spec};
use crate::tls_keys;

pub static SPEC: SinkSpec = Spec {
    declared: Declared {
        kind: Kind::Sink,
        name: "thrift",
        class: "org.apache.flume.sink.ThriftSink",
        help: "Sends events to a thrift source: the next agent, flumed or Flume",
        keys: &[rpc::KEYS, client::CALLS, client::THRIFT, client::TLS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS],
        batch_key: Some("batch-size"),
        check: Some(check),
        advice: Some(client::advise_tls),
        differs: &[
            "a batch that takes more than 16,384,000 bytes, Flume's largest frame, is sent in several calls",
            "connect-timeout holds; Flume's sink has none",
            "protocol = BINARY is binary; Flume takes it for compact unless all of it is in lower case",
            "trust-all-certs holds; Flume's sink does not know it",
            "the name is looked up at each connect, and all its addresses are tried",
            "a truststore is read with the first connection and when certificates are read again; Flume reads it at each",
        ],
    },
    build,
};

fn build(ctx: &Context, parts: SinkParts) -> Box<dyn Sink> {
    rpc::build(ctx, parts, client::thrift(ctx))
}

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    [client::check_tls(ctx), client::check_thrift(ctx)].concat()
}
