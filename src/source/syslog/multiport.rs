//! `multiport_syslogtcp`: syslog over TCP on several ports, each with its charset (reference, sources.md 14).
//!
//! On the event loop, a listener and a protocol for each port. Delivery is that of syslogtcp.

use super::{check_headers, keep_fields, Common, Tcp, COMMON, EVENT_SIZE};
use crate::codec::charset::Charset;
use crate::codec::syslog::{Port, Settings, Structured, MIN_EVENT_SIZE};
use crate::component::{Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event;
use crate::net::{Endpoint, Protocol, Wire};
use crate::source::{tls, COUNT};
use crate::tls_keys;
use jiff::tz::TimeZone;
use std::sync::Arc;

const KEYS: &[Key] = &[
    Key::new("ports", Type::List, Default::Required, "ports to listen on; 0 lets the kernel choose one"),
    Key::new("portHeader", Type::Text, Default::None, "header that gets the port a message came to"),
    Key::new(
        "charset.default",
        Type::Text,
        Default::Is("UTF-8"),
        "charset of ports that have none of their own",
    ),
    Key::new("charset.port.", Type::Prefix, Default::None, "charset of the port of that number"),
    Key::new(
        "batchSize",
        COUNT,
        Default::Is("100"),
        "most events of a transaction; no more than one read brings",
    ),
    Key::new("readBufferBytes", Type::Int(i64::MIN, i64::MAX), Default::Is("1024"), "bytes of a read")
        .ignored("buffers of the event loop are pooled, of 64 KiB each"),
    Key::new(
        "readBufferSize",
        Type::Int(i64::MIN, i64::MAX),
        Default::Is("1024"),
        "bytes of a read, by its name in Flume's guide",
    )
    .ignored("buffers of the event loop are pooled, of 64 KiB each; in Flume the key is readBufferBytes"),
    Key::new(
        "numProcessors",
        Type::Int(i64::MIN, i64::MAX),
        Default::Computed("by the processors"),
        "threads of the server",
    )
    .ignored("the event loop serves all connections; <agent>.flumed.loopThreads sets its threads"),
];

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "multiport_syslogtcp",
        class: "org.apache.flume.source.MultiportSyslogTCPSource",
        help: "Syslog over TCP on several ports, with a charset each",
        keys: &[COMMON, KEYS, EVENT_SIZE, tls::KEYS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS],
        batch_key: Some("batchSize"),
        check: Some(check),
        advice: Some(advice),
        differs: &[
            "with a full channel the connection waits; Flume drops the events",
            "messages may be framed by a count of octets (RFC 6587); Flume marks those Invalid",
            "a port in use is tried again, and the source counts as failed meanwhile; Flume does without it",
            "an empty line is passed over, and a time that makes no sense is Invalid; in Flume they cost the events around them",
            "RFC 3164 times are of the nearest year; Flume writes 1999 or 2001 for those a month away",
            "an unterminated last line at the end of a connection is an event; Flume drops it",
        ],
    },
    build: |ctx| Source::Streams(ports(ctx).into_iter().flatten().map(|port| listener(ctx, port)).collect()),
};

/// The ports, each once, or what those that are none are.
fn ports(ctx: &Context) -> Vec<Result<u16, String>> {
    let port = |text: &String| text.parse().map_err(|_| format!("'{text}' is not a port number"));
    let mut all: Vec<Result<u16, String>> = Vec::new();
    for port in ctx.list("ports").iter().map(port) {
        if !all.contains(&port) {
            all.push(port);
        }
    }
    all
}

fn listener(ctx: &Context, port: u16) -> (Endpoint, Arc<dyn Protocol>) {
    let settings = Settings {
        event_size: ctx.size("eventSize").max(MIN_EVENT_SIZE),
        keep_fields: keep_fields(ctx),
        format: None,
        zone: TimeZone::UTC,
        structured: Structured::Body,
        names: Arc::default(),
        port: Some(Port::new(
            charset(ctx, port).ok().unwrap_or(Charset::UTF_8),
            ctx.text("portHeader").and_then(event::Key::intern).map(|key| (key, port)),
        )),
    };
    let endpoint = Endpoint { host: ctx.text("host").map(str::to_owned), port };
    let wire = Wire { tls: tls::server(ctx, true), deflate: false };
    (endpoint, Arc::new(Tcp { common: Common::with(ctx, settings), wire, most: ctx.size("batchSize") }))
}

/// The charset of a port, or the name that is none.
fn charset(ctx: &Context, port: u16) -> Result<Charset, String> {
    let own = ctx.map("charset.port.").get(&port.to_string());
    let name = own.map(String::as_str).or(ctx.text("charset.default")).unwrap_or("UTF-8");
    known(name)
}

fn known(name: &str) -> Result<Charset, String> {
    match Charset::named(name) {
        Some(charset) if charset.shows_line_ends() => Ok(charset),
        Some(_) => Err(format!("'{name}' has no newline of one byte, so there are no lines in it")),
        None => Err(format!("'{name}' is not a charset")),
    }
}

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = tls::check(ctx);
    wrong.extend(check_headers(ctx, &["clientIPHeader", "clientHostnameHeader", "portHeader"]));
    if !ctx.is_known("ports") {
        return wrong;
    }
    wrong.extend(ports(ctx).into_iter().filter_map(|p| p.err()).map(|why| ("ports", why)));
    if ctx.list("ports").is_empty() {
        wrong.push(("ports", "there is none".to_owned()));
    }
    if let Some(why) = ctx.text("charset.default").and_then(|name| known(name).err()) {
        wrong.push(("charset.default", why));
    }
    for (port, name) in ctx.map("charset.port.") {
        wrong.extend(known(name).err().map(|why| ("charset.port.", format!("{port}: {why}"))));
    }
    wrong
}

fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut odd = tls::advice(ctx);
    let ports: Vec<u16> = ports(ctx).into_iter().flatten().collect();
    if ports.len() < ctx.list("ports").len() {
        odd.push(("ports", "a port that is listed twice is listened on once".to_owned()));
    }
    for port in ctx.map("charset.port.").keys() {
        if !port.parse().is_ok_and(|p: u16| ports.contains(&p)) {
            odd.push(("charset.port.", format!("{port} is not one of the ports: it has no effect")));
        }
    }
    odd
}
