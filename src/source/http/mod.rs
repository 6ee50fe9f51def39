//! The http source: requests whose bodies a handler makes events of.
//!
//! Runs on the event loop. Delivery: the events of a request are stored together, in every required channel, before its
//! 200 goes out; a full channel is waited for as long as its keep-alive says, then the answer is 503 and says when to try
//! again. Requests of one connection are stored and answered in their order, pipelined ones too. A handler that may block,
//! or gets a large body, runs on the pool.
//!
//! What is not complete is bounded: a head by `maxHeaderBytes`, a body by `maxRequestBytes` (with its coding undone, too),
//! the time for both by the agent's `messageTimeout`, from the first byte on.

pub mod handler;
mod jetty;
mod session;

use crate::codec::http::Most;
use crate::component::{HttpHandler, Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Spares;
use crate::net::{Peer, Protocol, Session, Wire};
use crate::tls_keys;
use std::sync::Arc;
use std::time::Duration;

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "http",
        class: "org.apache.flume.source.http.HTTPSource",
        help: "HTTP/1.1 requests, of which a handler makes events, each answered when they are stored",
        keys: &[&[
            Key::new("bind", Type::Text, Default::Is("0.0.0.0"), "host name or address to listen on"),
            Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
            Key::new(
                "handler",
                Type::Component(Kind::HttpHandler),
                Default::Is("org.apache.flume.source.http.JSONHandler"),
                "what makes events of a request",
            ),
            Key::new(
                "maxRequestBytes",
                Type::Int(1, 1 << 30),
                Default::Is("67108864"),
                "bytes of the largest body, as sent and inflated; a larger one is answered 413",
            ),
            Key::new(
                "maxHeaderBytes",
                Type::Int(256, 1 << 20),
                Default::Computed("HttpConfiguration.requestHeaderSize"),
                "bytes of the largest request head, which may have 128 header lines; a larger one is answered 431, or 414 where its \
                 first line is that long",
            ),
        ], super::tls::KEYS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS, OLD, jetty::KEYS],
        batch_key: None,
        check: Some(super::tls::check),
        advice: Some(advice),
        differs: &[
            "a batch above a channel's transactionCapacity or maxTransactionBytes is answered 413; Flume answers 503, and its \
             sender tries for ever",
            "503 says when to try again (Retry-After)",
            "the answer's body is the reason, as text, or as JSON for who accepts that; Flume's is its server's HTML page",
            "a body above maxRequestBytes (64 MiB) is answered 413; Flume takes it into its memory",
            "gzip and deflate bodies (Content-Encoding) are inflated; Flume's handlers get them as they are",
            "requests whose length could be read in two ways are answered 400 and end the connection: two Content-Length, \
             even equal ones, or one beside Transfer-Encoding, lines that end without CR",
            "a request that has begun and does not end within messageTimeout (60 s) is answered 408",
            "idle connections stay, unless ServerConnector.idleTimeout or <agent>.flumed.idleTimeout is set; Flume closes \
             them after 30 s",
        ],
    },
    build,
};

/// What keys were named before Flume 1.9.
const OLD: &[Key] = &[
    Key::new("enableSSL", Type::Text, Default::None, "older name of ssl").renamed("ssl"),
    Key::new("keystorePassword", Type::Text, Default::None, "older name of keystore-password")
        .renamed("keystore-password"),
    Key::new("excludeProtocols", Type::Text, Default::None, "older name of exclude-protocols")
        .renamed("exclude-protocols"),
];

fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    [super::tls::advice(ctx), jetty::advice(ctx)].concat()
}

fn build(ctx: &Context) -> Source {
    let http = Http {
        handler: build_handler(ctx.component("handler")).into(),
        most: Most { head: jetty::head(ctx), body: ctx.size("maxRequestBytes") },
        idle: jetty::idle(ctx),
        wire: Wire { tls: super::tls::server(ctx, false), deflate: false },
        spares: Arc::default(),
    };
    Source::Stream { endpoint: super::endpoint(ctx.text("bind"), ctx), protocol: Arc::new(http) }
}

fn build_handler(ctx: &Context) -> Box<dyn HttpHandler> {
    (ctx.spec(handler::ALL).expect("a context is made from a spec").build)(ctx)
}

struct Http {
    handler: Arc<dyn HttpHandler>,
    most: Most,
    idle: Option<Duration>,
    wire: Wire,
    /// Memory of large bodies.
    spares: Arc<Spares>,
}

impl Protocol for Http {
    fn can_refuse(&self) -> bool {
        true
    }

    fn makes_calls(&self) -> bool {
        true
    }

    fn longest(&self) -> usize {
        self.most.body
    }

    fn idle(&self) -> Option<Duration> {
        self.idle
    }

    fn wire(&self) -> Wire {
        self.wire.clone()
    }

    fn open(&self, _: &Peer) -> Box<dyn Session> {
        Box::new(session::Conversation::new(self.handler.clone(), self.most, self.spares.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::context;
    use crate::registry::catalog;

    fn of(keys: &[(&str, &str)]) -> Context {
        context(&SPEC.declared, catalog(), &[&[("port", "0")], keys].concat()).unwrap()
    }

    #[test]
    fn keys_of_jetty_that_mean_something() {
        assert_eq!((jetty::head(&of(&[])), jetty::idle(&of(&[]))), (8192, None));
        let jettys = ("HttpConfiguration.requestHeaderSize", "9000");
        assert_eq!(jetty::head(&of(&[jettys])), 9000);
        let both = of(&[jettys, ("maxHeaderBytes", "1000")]);
        assert_eq!(jetty::head(&both), 1000);
        assert_eq!(advice(&both).len(), 1);
        let idle = |ms| jetty::idle(&of(&[("ServerConnector.idleTimeout", ms)])).unwrap();
        assert_eq!(idle("1500"), Duration::from_millis(1500));
        assert!(idle("-1") > Duration::from_secs(1 << 24), "never");
        assert!(idle("9223372036854775807") > Duration::from_secs(1 << 24));
    }

    #[test]
    fn older_names_are_read_as_those_of_today() {
        let old = of(&[("keystorePassword", "a"), ("excludeProtocols", "SSLv3")]);
        assert_eq!(old.text("keystore-password"), Some("a"));
        assert_eq!(old.text("exclude-protocols"), Some("SSLv3"));
        let both = of(&[("keystorePassword", "a"), ("keystore-password", "b")]);
        assert_eq!(both.text("keystore-password"), Some("b"));
        let wrong = context(&SPEC.declared, catalog(), &[("port", "0"), ("enableSSL", "true")]).unwrap_err();
        assert!(wrong[0].contains("keystore"), "{wrong:?}");
    }
}
