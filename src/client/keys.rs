//! The keys of whatever connects to an Avro source, and what they come to. Plain data.

use super::connection::Settings;
use crate::config::{Context, Default, Key, Type};

const TIMEOUT: Type = Type::Millis(1000, i64::MAX);
const NO_TLS: &str = "TLS is not in this version yet";

pub const CONNECTION: &[Key] = &[
    Key::new(
        "batch-size",
        Type::Int(1, i32::MAX as i64),
        Default::Is("100"),
        "events of one call, and of a transaction, at most",
    )
    .or_default(),
    Key::new(
        "connect-timeout",
        TIMEOUT,
        Default::Is("20000"),
        "ms for connecting, with the look-up of the name and the handshake; 1000 at least",
    )
    .or_default(),
    Key::new(
        "request-timeout",
        TIMEOUT,
        Default::Is("20000"),
        "ms for a call, from its first byte to its answer's last; 1000 at least",
    )
    .or_default(),
    Key::new(
        "compression-type",
        Type::Choice(&["none", "deflate"]),
        Default::Is("none"),
        "must be the server's",
    )
    .or_default(),
    Key::new(
        "compression-level",
        Type::Int(0, 9),
        Default::Is("6"),
        "from 0, not compressed, to 9, smallest",
    )
    .or_default(),
    Key::new("maxIoWorkers", Type::Text, Default::None, "threads of Java's client")
        .ignored("a connection is used by one thread"),
];

pub const TLS: &[Key] = &[
    Key::new("ssl", Type::Bool, Default::Is("false"), NO_TLS),
    Key::new("trust-all-certs", Type::Bool, Default::Is("false"), NO_TLS),
    Key::new("truststore", Type::Text, Default::None, NO_TLS),
    Key::new("truststore-password", Type::Text, Default::None, NO_TLS),
    Key::new("truststore-type", Type::Text, Default::None, NO_TLS),
    Key::new("include-protocols", Type::Text, Default::None, NO_TLS),
    Key::new("exclude-protocols", Type::Text, Default::None, NO_TLS),
    Key::new("include-cipher-suites", Type::Text, Default::None, NO_TLS),
    Key::new("exclude-cipher-suites", Type::Text, Default::None, NO_TLS),
];

/// Refuses what asks for TLS: a connection without it must not be taken for one with it. The other keys mean nothing
/// without `ssl = true`, as in Flume.
pub fn check_tls(ctx: &Context) -> Vec<(&'static str, String)> {
    ctx.flag("ssl").then(|| ("ssl", NO_TLS.to_owned())).into_iter().collect()
}

/// Warns of keys of TLS without it: who gives them may believe that the connection is safe.
pub fn advise_tls(ctx: &Context) -> Vec<(&'static str, String)> {
    let told = |k: &Key| {
        (k.name, "means nothing, the connection is not encrypted: ssl = true is missing".to_owned())
    };
    TLS.iter().filter(|k| k.ty != Type::Bool && ctx.is_given(k.name) && !ctx.flag("ssl")).map(told).collect()
}

pub fn settings(ctx: &Context) -> Settings {
    let timeout = |key| ctx.duration(key).expect("has a default");
    let level = ctx.int("compression-level").and_then(|l| u32::try_from(l).ok());
    Settings {
        connect_timeout: timeout("connect-timeout"),
        request_timeout: timeout("request-timeout"),
        deflate: level.filter(|_| ctx.text("compression-type") == Some("deflate")),
    }
}
