//! The keys that Flume hands on to the beans of its HTTP server, Jetty: what two of them come to here, and that the others
//! change nothing. Plain data.

use crate::config::{Context, Default, Key, Type};
use std::time::Duration;

const HEAD: &str = "HttpConfiguration.requestHeaderSize";
const IDLE: &str = "ServerConnector.idleTimeout";
const NO_JETTY: &str = "there is no Jetty here, and no bean of it";

pub const KEYS: &[Key] = &[
    Key::new(HEAD, Type::Int(256, 1 << 20), Default::Is("8192"), "Jetty's name of maxHeaderBytes"),
    Key::new(
        IDLE,
        Type::Millis(i64::MIN, i64::MAX),
        Default::None,
        "milliseconds after which a connection is closed on which nothing happens; 0 or less: never; without it the agent's \
         idleTimeout holds",
    ),
    Key::new("HttpConfiguration.", Type::Prefix, Default::None, "settings of Jetty's answers and heads")
        .ignored(NO_JETTY),
    Key::new("ServerConnector.", Type::Prefix, Default::None, "settings of Jetty's listener").ignored(NO_JETTY),
    Key::new("QueuedThreadPool.", Type::Prefix, Default::None, "settings of Jetty's threads")
        .ignored("the event loop serves all connections; <agent>.flumed.loopThreads sets its threads"),
    Key::new("SslContextFactory.", Type::Prefix, Default::None, "settings of Jetty's TLS")
        .ignored("keystore, include-protocols and include-cipher-suites, and their like, say what there is of TLS"),
];

/// Bytes of the largest head.
pub fn head(ctx: &Context) -> usize {
    let of = |key| ctx.int(key).and_then(|n| usize::try_from(n).ok());
    of("maxHeaderBytes").or_else(|| of(HEAD)).unwrap_or(8192)
}

pub fn idle(ctx: &Context) -> Option<Duration> {
    match ctx.int(IDLE)? {
        // Of Jetty's own meaning: never. A year is as good.
        n if n <= 0 => Some(Duration::from_secs(366 * 86_400)),
        n => Some(Duration::from_millis(n.unsigned_abs().min(366 * 86_400_000))),
    }
}

pub fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let both = ctx.is_given("maxHeaderBytes") && ctx.is_given(HEAD);
    both.then(|| (HEAD, "means nothing beside maxHeaderBytes".to_owned())).into_iter().collect()
}
