//! The keys of whatever connects to an Avro or Thrift source, and what they come to; those of TLS stand in `tls_keys`.
//! Plain data.

use super::caller::Protocol;
use super::connector::Settings;
use super::layers::Order;
use super::tls_keys;
use crate::codec::thrift::Encoding;
use crate::config::{Context, Default, Key, Type};

const TIMEOUT: Type = Type::Millis(1000, i64::MAX);
pub const NO_KERBEROS: &str = "there is no Kerberos here";
const DEFLATE: &str = "deflate";
const BINARY: &str = "binary";
const OLD: &str = "1.9";

/// Of both protocols.
pub const CALLS: &[Key] = &[
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
        "ms for connecting, with the look-up of the name and the handshakes; 1000 at least",
    )
    .or_default(),
    Key::new(
        "request-timeout",
        TIMEOUT,
        Default::Is("20000"),
        "ms for a call, from its first byte to its answer's last; 1000 at least",
    )
    .or_default(),
];

/// Of Avro.
pub const COMPRESSION: &[Key] = &[
    Key::new(
        "compression-type",
        Type::Choice(&["none", DEFLATE]),
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
    Key::new(
        "compression-order",
        Type::Choice(&["1.10", OLD]),
        Default::Is("1.10"),
        "with ssl and deflate, the version of Flume there: 1.10 and later deflate what is encrypted, 1.9 encrypts what \
         is deflated; an avro source of flumed takes both",
    ),
    Key::new("maxIoWorkers", Type::Text, Default::None, "threads of Java's client")
        .ignored("a connection is used by one thread"),
];

/// Of Thrift.
pub const THRIFT: &[Key] = &[
    Key::new(
        "protocol",
        Type::Choice(&["compact", BINARY]),
        Default::Is("compact"),
        "must be the server's; in any case of letters",
    )
    .or_default(),
    Key::new("maxConnections", Type::Text, Default::None, "connections of Java's client")
        .ignored("there is one connection, as in Flume's sink"),
    Key::new(
        "kerberos",
        Type::Bool,
        Default::Is("false"),
        "must be false: there is no Kerberos here; use TLS",
    ),
    Key::new("client-principal", Type::Text, Default::None, "of Kerberos").ignored(NO_KERBEROS),
    Key::new("client-keytab", Type::Text, Default::None, "of Kerberos").ignored(NO_KERBEROS),
    Key::new("server-principal", Type::Text, Default::None, "of Kerberos").ignored(NO_KERBEROS),
];

/// Refuses Kerberos: a connection without it must not be taken for one with it.
pub fn check_thrift(ctx: &Context) -> Vec<(&'static str, String)> {
    let why = format!("{NO_KERBEROS}; use TLS, or a network that needs none");
    ctx.flag("kerberos").then_some(("kerberos", why)).into_iter().collect()
}

pub fn thrift(ctx: &Context) -> Protocol {
    Protocol::Thrift(match ctx.text("protocol") {
        Some(BINARY) => Encoding::Binary,
        _ => Encoding::Compact,
    })
}

pub fn settings(ctx: &Context, protocol: Protocol) -> Settings {
    let timeout = |key| ctx.duration(key).expect("has a default");
    let (deflate, order) = match protocol {
        Protocol::Avro => {
            let level = ctx.int("compression-level").and_then(|l| u32::try_from(l).ok());
            let is_old = ctx.text("compression-order") == Some(OLD);
            let order = if is_old { Order::Text } else { Order::Records };
            (level.filter(|_| ctx.text("compression-type") == Some(DEFLATE)), order)
        }
        Protocol::Thrift(_) => (None, Order::default()),
    };
    Settings {
        protocol,
        connect_timeout: timeout("connect-timeout"),
        request_timeout: timeout("request-timeout"),
        deflate,
        tls: tls_keys::options(ctx),
        order,
    }
}
