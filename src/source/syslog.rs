//! The syslog sources: `syslogtcp`, `syslogudp` and, in a file of its own, `multiport_syslogtcp`, over one codec.
//!
//! All run on the event loop and answer nothing. Delivery: a TCP connection whose channel is full is not read until
//! there is room, so TCP carries the pressure back to the sender (Flume drops the events). UDP cannot wait: datagrams
//! that find no room are dropped and counted as `EventDroppedCount`.

use crate::clock::now_ms;
use crate::codec::beginning::Beginning;
use crate::codec::syslog::{
    Client, KeepFields, OwnFormat, Settings, Structured, SyslogDecoder, MIN_EVENT_SIZE,
};
use crate::codec::{BatchLimits, Chunk, Decoded};
use crate::component::{Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch};
use crate::net::{After, DatagramProtocol, Outcome, Peer, Protocol, Session, Wire};
use crate::tls_keys;
use jiff::tz::TimeZone;
use std::sync::Arc;

mod multiport;

pub use multiport::SPEC as MULTIPORT;

/// The keys of all three.
const COMMON: &[Key] = &[
    Key::new("host", Type::Text, Default::Computed("every address"), "host name or address to listen on"),
    Key::new(
        "keepFields",
        Type::Text,
        Default::Is("none"),
        "what of the header stays in the body: none, all, or some of priority version timestamp hostname",
    ),
    Key::new("clientIPHeader", Type::Text, Default::None, "header that gets the sender's address"),
    Key::new(
        "clientHostnameHeader",
        Type::Text,
        Default::None,
        "header that gets the sender's name (reverse DNS)",
    ),
];

/// The keys of those that listen on one port.
const OF_ONE_PORT: &[Key] = &[
    Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
    Key::new(
        "structuredData",
        Type::Choice(&["body", "headers", "both"]),
        Default::Is("body"),
        "where RFC 5424's app-name, procid, msgid and structured data go: into the body, as in Flume, or into the headers \
         appname, procid, msgid and sd.<id>.<name>; both: the body stays as it is",
    ),
    Key::new(
        "format.regex",
        Type::Text,
        Default::None,
        "own message pattern, tried first; groups: priority, version, timestamp, host, body",
    ),
    Key::new(
        "format.search",
        Type::Text,
        Default::None,
        "pattern to replace in the timestamp of format.regex",
    ),
    Key::new("format.replace", Type::Text, Default::None, "what format.search is replaced with"),
    Key::new(
        "format.dateFormat",
        Type::Text,
        Default::None,
        "SimpleDateFormat of the timestamp of format.regex",
    ),
];

const EVENT_SIZE: &[Key] = &[Key::new(
    "eventSize",
    Type::Int(1, 1 << 26),
    Default::Is("2500"),
    "bytes of one event; a longer line is cut and its parts marked",
)];

pub static TCP: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "syslogtcp",
        class: "org.apache.flume.source.SyslogTcpSource",
        help: "Syslog over TCP (RFC 3164 and 5424, ended by newline or with octets counted)",
        keys: &[
            COMMON,
            OF_ONE_PORT,
            EVENT_SIZE,
            super::tls::KEYS,
            tls_keys::IDENTITY,
            tls_keys::TRUST,
            tls_keys::LISTS,
        ],
        batch_key: None,
        check: Some(check_tcp),
        advice: Some(super::tls::advice),
        differs: &[
            "with a full channel the connection waits; Flume drops the events",
            "messages may be framed by a count of octets (RFC 6587); Flume marks those Invalid",
            "an unterminated last line at the end of a connection is an event; Flume drops it",
            "a connection without TLS that begins with a TLS handshake is ended; Flume takes that for lines",
            "without host it listens on every address, Flume nowhere; a port in use is tried again",
            "times with fractions, CRLF line ends and IPv6 hosts are read as RFC 5424 says",
            "priority and version are those of each message; in Flume they stick to later ones",
        ],
    },
    build: |ctx| {
        let protocol = Arc::new(Tcp {
            common: Common::new(ctx, ctx.size("eventSize")),
            wire: Wire { tls: super::tls::server(ctx, true), deflate: false },
            most: usize::MAX,
        });
        Source::Stream { endpoint: super::endpoint(ctx.text("host"), ctx), protocol }
    },
};

pub static UDP: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "syslogudp",
        class: "org.apache.flume.source.SyslogUDPSource",
        help: "Syslog datagrams (RFC 3164 and 5424), one event each",
        keys: &[COMMON, OF_ONE_PORT, &[super::RECEIVE_BUFFER]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[
            "datagrams are taken whole; Flume cuts them at 2048 bytes",
            "clientHostnameHeader is the address until the name is known; Flume blocks for the look-up",
            "times with fractions, CRLF line ends and IPv6 hosts are read as RFC 5424 says",
        ],
    },
    build: |ctx| {
        // The largest datagram fits; Flume cuts at 2048.
        let common = Common::new(ctx, 65_536);
        let decoder = SyslogDecoder::new(common.settings.clone(), Client::default());
        let protocol = Box::new(Udp { common, decoder });
        let endpoint = super::endpoint(ctx.text("host"), ctx);
        Source::Datagram { endpoint, protocol, receive_buffer: super::receive_buffer(ctx) }
    },
};

fn check_tcp(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = check(ctx);
    wrong.extend(super::tls::check(ctx));
    wrong
}

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if let Some(Err((key, why))) = own_format(ctx) {
        wrong.push((key, why));
    }
    if ctx.text("format.regex").is_none() {
        for key in ["format.search", "format.replace", "format.dateFormat"] {
            if ctx.is_given(key) {
                wrong.push((key, "has no meaning without format.regex".to_owned()));
            }
        }
    }
    wrong.extend(check_headers(ctx, &["clientIPHeader", "clientHostnameHeader"]));
    wrong
}

fn check_headers(ctx: &Context, keys: &[&'static str]) -> Vec<(&'static str, String)> {
    let is_wrong = |key: &&&str| ctx.text(key).is_some_and(|name| event::Key::intern(name).is_none());
    keys.iter().filter(is_wrong).map(|key| (*key, "too long for a header name".to_owned())).collect()
}

/// The user's message pattern; an error names the key at fault.
fn own_format(ctx: &Context) -> Option<Result<OwnFormat, (&'static str, String)>> {
    let regex = ctx.text("format.regex")?;
    let made = OwnFormat::new(
        regex,
        ctx.text("format.search"),
        ctx.text("format.replace"),
        ctx.text("format.dateFormat"),
    );
    Some(made.map_err(|why| {
        let keys = ["format.search", "format.replace", "format.dateFormat"];
        let at_fault = keys.into_iter().find(|k| why.starts_with(k)).unwrap_or("format.regex");
        let text = why.strip_prefix(at_fault).map_or(why.as_str(), |w| w.trim_start_matches([':', ' ']));
        (at_fault, text.split_whitespace().collect::<Vec<_>>().join(" "))
    }))
}

/// What both sources do alike.
struct Common {
    settings: Arc<Settings>,
    ip_header: Option<event::Key>,
    host_header: Option<event::Key>,
}

impl Common {
    fn new(ctx: &Context, event_size: usize) -> Common {
        Common::with(
            ctx,
            Settings {
                event_size: event_size.max(MIN_EVENT_SIZE),
                keep_fields: keep_fields(ctx),
                format: own_format(ctx).and_then(Result::ok),
                zone: TimeZone::system(),
                structured: match ctx.text("structuredData") {
                    Some("headers") => Structured::Headers,
                    Some("both") => Structured::Both,
                    _ => Structured::Body,
                },
                names: Arc::default(),
                port: None,
            },
        )
    }

    fn with(ctx: &Context, settings: Settings) -> Common {
        let header = |key| ctx.text(key).and_then(event::Key::intern);
        Common {
            settings: Arc::new(settings),
            ip_header: header("clientIPHeader"),
            host_header: header("clientHostnameHeader"),
        }
    }

    fn client(&self, peer: &Peer) -> Client {
        let name = || peer.name.clone().unwrap_or_else(|| peer.ip_text());
        Client {
            ip: self.ip_header.map(|k| (k, peer.ip_text())),
            host: self.host_header.map(|k| (k, name())),
        }
    }
}

fn keep_fields(ctx: &Context) -> KeepFields {
    KeepFields::parse(ctx.text("keepFields").unwrap_or("none"))
}

struct Tcp {
    common: Common,
    wire: Wire,
    /// The most events of a batch.
    most: usize,
}

impl Protocol for Tcp {
    fn wants_peer_name(&self) -> bool {
        self.common.host_header.is_some()
    }

    fn can_refuse(&self) -> bool {
        false
    }

    fn wire(&self) -> Wire {
        self.wire.clone()
    }

    fn open(&self, peer: &Peer) -> Box<dyn Session> {
        let decoder = SyslogDecoder::new(self.common.settings.clone(), self.common.client(peer));
        Box::new(Lines { beginning: Beginning::default(), decoder, most: self.most })
    }
}

struct Lines {
    beginning: Beginning,
    decoder: SyslogDecoder,
    most: usize,
}

impl Session for Lines {
    fn decode(&mut self, chunk: &Chunk<'_>, eof: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
        let fault = self.beginning.fault(chunk.bytes());
        let limits = BatchLimits { events: limits.events.min(self.most), ..limits };
        fault.unwrap_or_else(|| self.decoder.decode(chunk, eof, now_ms(), limits, batch))
    }

    fn answer(&mut self, _: usize, _: Outcome<'_>, _: &mut Vec<u8>) -> After {
        After::Continue
    }
}

struct Udp {
    common: Common,
    decoder: SyslogDecoder,
}

impl DatagramProtocol for Udp {
    fn wants_peer_name(&self) -> bool {
        self.common.host_header.is_some()
    }

    fn decode(&mut self, datagram: &[u8], peer: &Peer, batch: &mut Batch) -> bool {
        if self.common.ip_header.is_some() || self.common.host_header.is_some() {
            self.decoder.set_client(self.common.client(peer));
        }
        self.decoder.datagram(datagram, now_ms(), batch).is_ok()
    }
}
