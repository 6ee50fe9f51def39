//! The avro source: Flume's Avro RPC, from agents, Flume's client SDK, log4j appenders.
//!
//! Runs on the event loop. Delivery: each call is stored whole, in every required channel, before its `OK` goes out; a
//! full channel is waited for as long as its keep-alive says, then the call is answered `FAILED` and its sender tries
//! again. Calls of one connection are stored and answered in their order (Flume's answers may pass each other). A call
//! is decoded in one turn of the loop. What that may take is bounded by refusing, before its end, a call with more events
//! than the channels take at once, or more headers than the codec takes (64 Ki of an event, 1 Mi of a call).
//!
//! With `compression-type = deflate` a connection takes some 44 KB from its first byte to its end: the window that later
//! calls may refer to. No deadline would set them free, so they are not counted in `maxInFlightBytes`; the number of
//! connections bounds them.

mod ip_filter;

use super::calls::Calls;
use crate::codec::avro::Server;
use crate::component::{Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Spares;
use crate::net::{Peer, Protocol, Session, Wire};
use crate::tls_keys;
use ip_filter::IpFilter;
use std::sync::Arc;

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "avro",
        class: "org.apache.flume.source.AvroSource",
        help: "Avro RPC from Flume agents and clients, each call answered when it is stored",
        keys: &[&[
            Key::new("bind", Type::Text, Default::Required, "host name or address to listen on"),
            Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
            Key::new("threads", Type::Int(i32::MIN as i64, i32::MAX as i64), Default::Is("0"), "threads of the server")
                .ignored("the event loop serves all connections; <agent>.flumed.loopThreads sets its threads"),
            Key::new(
                "compression-type",
                Type::Choice(&["none", "deflate"]),
                Default::Is("none"),
                "deflate: both directions are zlib streams; has to be the same at both ends; 44 KB a connection",
            ),
            Key::new("ipFilter", Type::Bool, Default::Is("false"), "whether ipFilterRules are applied"),
            Key::new(
                "ipFilterRules",
                Type::Text,
                Default::None,
                "who may connect: <allow|deny>:<ip|name>:<pattern>, separated by commas; the first that fits decides",
            ),
            Key::new(
                "maxMessageBytes",
                Type::Int(1024, 1 << 30),
                Default::Is("67108864"),
                "bytes of the largest call; a larger one is refused",
            ),
        ], super::tls::KEYS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS],
        batch_key: None,
        check: Some(check),
        advice: Some(advice),
        differs: &[
            "answers of one connection come in the order of its calls; Flume's may pass each other",
            "a call above maxMessageBytes (64 MiB) is refused with an error; in Flume a tenth of the heap is the limit, and it \
             ends the connection",
            "header names are kept for ever, 65,536 of them at most, of up to 256 bytes; others go with their values \
             into the header flumed.headers",
        ],
    },
    build,
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = super::tls::check(ctx);
    match ctx.text("ipFilterRules") {
        _ if !ctx.flag("ipFilter") => {}
        Some(rules) => wrong.extend(IpFilter::parse(rules).err().map(|why| ("ipFilterRules", why))),
        None => {
            wrong.push(("ipFilterRules", "required key is missing: ipFilter = true applies it".to_owned()))
        }
    }
    wrong
}

fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut told = super::tls::advice(ctx);
    let Some(text) = ctx.text("ipFilterRules") else { return told };
    if !ctx.flag("ipFilter") {
        told.push((
            "ipFilterRules",
            "not applied, everybody may connect: ipFilter = true is missing".to_owned(),
        ));
    } else if let Ok(rules) = IpFilter::parse(text) {
        told.extend(rules.doubts().into_iter().map(|what| ("ipFilterRules", what)));
    }
    told
}

fn build(ctx: &Context) -> Source {
    let rules = ctx.text("ipFilterRules").filter(|_| ctx.flag("ipFilter"));
    let avro = Avro {
        max: ctx.size("maxMessageBytes"),
        wire: Wire {
            deflate: ctx.text("compression-type") == Some("deflate"),
            tls: super::tls::server(ctx, false),
        },
        filter: rules.and_then(|r| IpFilter::parse(r).ok()),
        spares: Arc::default(),
    };
    Source::Stream { endpoint: super::endpoint(ctx.text("bind"), ctx), protocol: Arc::new(avro) }
}

struct Avro {
    max: usize,
    wire: Wire,
    filter: Option<IpFilter>,
    /// Memory of large calls.
    spares: Arc<Spares>,
}

impl Protocol for Avro {
    fn wants_peer_name(&self) -> bool {
        self.filter.as_ref().is_some_and(IpFilter::wants_names)
    }

    fn can_refuse(&self) -> bool {
        true
    }

    fn makes_calls(&self) -> bool {
        true
    }

    fn refuses(&self, peer: &Peer) -> Option<String> {
        let rule = self.filter.as_ref()?.refuses(peer)?;
        Some(format!("refused by ipFilterRules: {rule}"))
    }

    fn longest(&self) -> usize {
        self.max
    }

    fn wire(&self) -> Wire {
        self.wire.clone()
    }

    fn open(&self, _: &Peer) -> Box<dyn Session> {
        Box::new(Calls::of(Server::with(self.max, self.spares.clone())))
    }
}
