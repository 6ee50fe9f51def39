//! The thrift source: Flume's Thrift RPC, from agents and clients in any language.
//!
//! Runs on the event loop. Delivery is the avro source's: each call is stored whole before its `OK` goes out, calls of one
//! connection in their order. Both protocols are understood on one port: a message's first byte says which it is.

use super::calls::Calls;
use crate::codec::thrift::{Server, LARGEST};
use crate::component::{Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Spares;
use crate::net::{Peer, Protocol, Session, Wire};
use crate::tls_keys;
use std::sync::Arc;

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "thrift",
        class: "org.apache.flume.source.ThriftSource",
        help: "Thrift RPC from Flume agents and clients, each call answered when it is stored",
        keys: &[
            &[
                Key::new("bind", Type::Text, Default::Required, "host name or address to listen on"),
                Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
                Key::new("threads", Type::Int(i32::MIN as i64, i32::MAX as i64), Default::Is("0"), "threads of the server")
                    .ignored("the event loop serves all connections; <agent>.flumed.loopThreads sets its threads"),
                Key::new("protocol", Type::Choice(&["compact", "binary"]), Default::Is("compact"), "Thrift's protocol")
                    .ignored("both are understood, and answered alike"),
                Key::new(
                    "maxMessageBytes",
                    Type::Int(1024, 1 << 30),
                    Default::Is("16384000"),
                    "bytes of the largest call; a larger one is answered with an exception",
                ),
                Key::new("kerberos", Type::Bool, Default::Is("false"), "SASL with Kerberos, which is not supported"),
                Key::new("agent-principal", Type::Text, Default::None, "of Kerberos").ignored(NO_KERBEROS),
                Key::new("agent-keytab", Type::Text, Default::None, "of Kerberos").ignored(NO_KERBEROS),
            ],
            super::tls::KEYS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS,
        ],
        batch_key: None,
        check: Some(check),
        advice: Some(super::tls::advice),
        differs: &[
            "compact and binary protocol are told apart by what comes, whatever protocol says",
            "a call above maxMessageBytes, or with what makes no sense, is answered with an exception and the \
             connection goes on; Flume closes it, or serves nobody any more",
        ],
    },
    build,
};

const NO_KERBEROS: &str = "without kerberos = true they mean nothing";

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = super::tls::check(ctx);
    if ctx.flag("kerberos") {
        wrong.push((
            "kerberos",
            "Kerberos is not supported; ssl = true with client-auth = need proves who clients are".to_owned(),
        ));
    }
    wrong
}

fn build(ctx: &Context) -> Source {
    let thrift = Thrift {
        max: ctx.size("maxMessageBytes"),
        wire: Wire { tls: super::tls::server(ctx, false), deflate: false },
        spares: Arc::default(),
    };
    Source::Stream { endpoint: super::endpoint(ctx.text("bind"), ctx), protocol: Arc::new(thrift) }
}

struct Thrift {
    max: usize,
    wire: Wire,
    /// Memory of large calls.
    spares: Arc<Spares>,
}

impl Protocol for Thrift {
    fn can_refuse(&self) -> bool {
        true
    }

    fn makes_calls(&self) -> bool {
        true
    }

    fn longest(&self) -> usize {
        self.max
    }

    fn wire(&self) -> Wire {
        self.wire.clone()
    }

    fn open(&self, _: &Peer) -> Box<dyn Session> {
        Box::new(Calls::of(Server::new(self.max, self.spares.clone())))
    }
}

const _: () = assert!(LARGEST == 16_384_000, "the default of maxMessageBytes");
