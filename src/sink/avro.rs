//! The avro sink: batches to an avro source. Called by its sink thread only; no locks.

use super::rpc;
use crate::client::{self, Protocol};
use crate::component::{Sink, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Kind, Spec};
use crate::tls_keys;

pub static SPEC: SinkSpec = Spec {
    declared: Declared {
        kind: Kind::Sink,
        name: "avro",
        class: "org.apache.flume.sink.AvroSink",
        help: "Sends events to an avro source: the next agent, flumed or Flume",
        keys: &[rpc::KEYS, client::CALLS, client::COMPRESSION, client::TLS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS],
        batch_key: Some("batch-size"),
        check: Some(client::check_tls),
        advice: Some(client::advise_tls),
        differs: &[
            "a batch that takes more than 32 MiB is sent in several calls",
            "the name is looked up at each connect, and all its addresses are tried",
            "request-timeout is for the whole call; Flume's is for the answer",
            "a truststore is read with the first connection and when certificates are read again; Flume reads it at each",
        ],
    },
    build,
};

fn build(ctx: &Context, parts: SinkParts) -> Box<dyn Sink> {
    rpc::build(ctx, parts, Protocol::Avro)
}
