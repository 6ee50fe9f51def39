//! The properties of a client, as Flume's SDK has them: which hosts, and how they are chosen. Plain data.

use super::caller::Protocol;
use super::connector::Settings;
use super::dial::Address;
use super::{keys, tls_keys};
use crate::config::{
    Catalog, Context, Declared, Default, Key, Kind, Place, Problem, Problems, Property, Severity, Type,
};
use crate::tls_keys as shared;
use std::time::Duration;

const OF_THRIFT: &str = "it is of Flume's Thrift client";
const OF_AVRO: &str = "it is of Flume's Avro client";
const ONE: &str = "default";
const FAILOVER: &str = "default_failover";
const BALANCED: &str = "default_loadbalance";
const THRIFT: &str = "thrift";
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

static DECLARED: Declared = Declared {
    kind: Kind::Client,
    name: "avro",
    class: "",
    help: "Sends events to avro sources, or to a thrift source",
    keys: &[
        &[
            Key::new(
                "client.type",
                Type::Choice(&[ONE, FAILOVER, BALANCED, THRIFT]),
                Default::Is(ONE),
                "one host, the next when one fails, or all in turn; thrift: one host that speaks Thrift",
            ),
            Key::new("hosts", Type::List, Default::Required, "names of hosts, each with its key hosts.NAME"),
            Key::new("hosts.", Type::Prefix, Default::None, "host:port of the host of that name"),
            Key::new(
                "max-attempts",
                Type::Int(1, i32::MAX as i64),
                Default::Computed("the number of hosts"),
                "failover: how often a batch is sent, at most",
            )
            .or_default(),
            Key::new(
                "host-selector",
                Type::Choice(&["round_robin", "random"]),
                Default::Is("round_robin"),
                "load balancing: which host is next",
            ),
            Key::new(
                "backoff",
                Type::Bool,
                Default::Is("false"),
                "load balancing: leave failed hosts alone for a while",
            ),
            Key::new(
                "maxBackoff",
                Type::Millis(0, i64::MAX),
                Default::Is("0"),
                "ms for which a host is left alone, at most; 0: 30000",
            )
            .or_default_if_out_of_range(),
        ],
        keys::CALLS,
        keys::COMPRESSION,
        keys::THRIFT,
        tls_keys::TLS,
        shared::IDENTITY,
        shared::TRUST,
        shared::LISTS,
    ],
    batch_key: None,
    check: Some(check),
    advice: Some(advice),
    differs: &[],
};

/// What the properties say.
pub struct Options {
    pub hosts: Vec<Address>,
    pub way: Way,
    pub settings: Settings,
    pub batch_size: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// One host until it fails, then the next one; a batch is sent so often at most. With one host: Flume's `default`.
    Failover { attempts: usize },
    /// Another host for each batch. `backoff`: how long a failed one is left alone, at most.
    Balanced { random: bool, backoff: Option<Duration> },
}

impl Options {
    /// All that is wrong, or what they say. What is only odd is logged.
    pub fn parse(properties: Vec<Property>) -> Result<Options, Vec<String>> {
        let mut problems = Problems::default();
        let place = properties.first().map_or_else(Place::default, |p| Place { line: 0, ..p.place.clone() });
        // Of several of one name the last one holds.
        let mut own: Vec<Property> = Vec::new();
        for p in properties.into_iter().rev() {
            if own.iter().all(|o| o.name != p.name) {
                own.push(p);
            }
        }
        let ctx = Context::parse(&DECLARED, "client", &place, &own, &[], &NoParts, &mut problems);
        judge_addresses(&own, &mut problems);
        let mut wrong = Vec::new();
        for p in problems.sorted() {
            // In a file for clients keys stand alone.
            let key = p.key.strip_prefix("client.").unwrap_or(&p.key).to_owned();
            let text = Problem { severity: Severity::Error, key, ..p.clone() }.to_string();
            match p.severity {
                Severity::Error => wrong.push(text),
                Severity::Warning => log::warn!("{text}"),
                Severity::Ignored | Severity::Note => log::info!("ignored: {text}"),
            }
        }
        ctx.ok().filter(|_| wrong.is_empty()).map(|ctx| Options::of(&ctx)).ok_or(wrong)
    }

    fn of(ctx: &Context) -> Options {
        // What is no address was reported.
        let mut hosts: Vec<Address> =
            ctx.list("hosts").iter().filter_map(|name| ctx.map("hosts.").get(name)?.parse().ok()).collect();
        let kind = ctx.text("client.type");
        let is_for_one = matches!(kind, Some(ONE | THRIFT));
        if let (true, [first, _, ..], Some(kind)) = (is_for_one, &hosts[..], kind) {
            log::warn!("client.type = {kind} sends to the first host only, {first}");
            hosts.truncate(1);
        }
        let longest = ctx.duration("maxBackoff").filter(|d| !d.is_zero()).unwrap_or(LONGEST_BACKOFF);
        let attempts = ctx.int("max-attempts").and_then(|n| usize::try_from(n).ok()).unwrap_or(hosts.len());
        let way = match kind {
            Some(BALANCED) => Way::Balanced {
                random: ctx.text("host-selector") == Some("random"),
                backoff: Some(longest).filter(|_| ctx.flag("backoff")),
            },
            Some(FAILOVER) => Way::Failover { attempts },
            _ => Way::Failover { attempts: 1 },
        };
        let protocol = if kind == Some(THRIFT) { keys::thrift(ctx) } else { Protocol::Avro };
        Options { hosts, way, settings: keys::settings(ctx, protocol), batch_size: ctx.size("batch-size") }
    }
}

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = tls_keys::check(ctx);
    if !ctx.is_known("client.type") || !ctx.is_known("hosts") {
        return wrong;
    }
    let kind = ctx.text("client.type").unwrap_or_default();
    if kind == THRIFT {
        wrong.extend(keys::check_thrift(ctx));
    }
    let names = ctx.list("hosts");
    let least = if kind == BALANCED { 2 } else { 1 };
    if names.len() < least {
        wrong.push(("hosts", format!("{kind} needs {least} or more hosts, there are {}", names.len())));
    }
    for name in names.iter().filter(|n| !ctx.map("hosts.").contains_key(*n)) {
        wrong.push(("hosts", format!("there is no hosts.{name}; expected hosts.{name} = host:port")));
    }
    wrong
}

/// Keys of the other protocol mean nothing, in Flume as here.
fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let (others, whose) = match ctx.text("client.type") {
        Some(THRIFT) => (keys::COMPRESSION, OF_AVRO),
        _ => (keys::THRIFT, OF_THRIFT),
    };
    let is_off = |k: &Key| k.ty == Type::Bool && !ctx.flag(k.name);
    let told = others.iter().filter(|k| ctx.is_given(k.name) && !is_off(k));
    let mut odd = tls_keys::advice(ctx);
    odd.extend(told.map(|k| (k.name, format!("{whose}: ignored"))));
    odd
}

/// What is wrong with the addresses of the hosts that are listed, each at its own line.
fn judge_addresses(own: &[Property], problems: &mut Problems) {
    let listed = own.iter().find(|p| p.name == "hosts").map_or("", |p| p.value.as_str());
    for name in listed.split_whitespace() {
        let key = format!("hosts.{name}");
        let Some(p) = own.iter().find(|p| p.name == key) else { continue };
        if let Err(why) = p.value.parse::<Address>() {
            problems.error(&p.place, key, why);
        }
    }
}

/// A client has no parts of its own.
struct NoParts;

impl Catalog for NoParts {
    fn find(&self, _: Kind, _: &str) -> Option<&'static Declared> {
        None
    }
    fn all(&self, _: Kind) -> Vec<&'static Declared> {
        Vec::new()
    }
    fn unsupported(&self, _: Kind, _: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::thrift::Encoding;

    fn parse(text: &str) -> Result<Options, Vec<String>> {
        let mut problems = Problems::default();
        Options::parse(crate::config::properties::parse(
            &"x.properties".into(),
            text.as_bytes(),
            &mut problems,
        ))
    }

    fn wrong(text: &str) -> Vec<String> {
        parse(text).err().unwrap_or_default()
    }

    const TWO: &str = "hosts = a b\nhosts.a = h1:1\nhosts.b = [::1]:2\n";

    #[test]
    fn flumes_properties() {
        let o = parse("hosts=h1\nhosts.h1=old:1\nhosts.h1=localhost:4141\nbatch-size=7\nrequest-timeout=999")
            .unwrap();
        assert_eq!((o.hosts[0].to_string(), o.batch_size), ("localhost:4141".into(), 7));
        assert_eq!((o.way, o.settings), (Way::Failover { attempts: 1 }, Settings::default()));
        let with = |more: &str| parse(&format!("{TWO}{more}")).unwrap();
        assert_eq!(with("").hosts.len(), 1);
        let o = with("client.type = DEFAULT_FAILOVER\ncompression-type=deflate\nmax-attempts=x");
        assert_eq!((o.way, o.hosts.len()), (Way::Failover { attempts: 2 }, 2));
        assert_eq!((o.settings.deflate, o.hosts[1].to_string()), (Some(6), "[::1]:2".into()));
        assert_eq!(with("client.type=default_failover\nmax-attempts=5").way, Way::Failover { attempts: 5 });
        let balanced = |more| with(&format!("client.type=default_loadbalance\n{more}")).way;
        assert_eq!(balanced(""), Way::Balanced { random: false, backoff: None });
        let all = balanced("host-selector = RANDOM\nbackoff=true\nmaxBackoff=0");
        assert_eq!(all, Way::Balanced { random: true, backoff: Some(LONGEST_BACKOFF) });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(
            wrong(""),
            [": hosts: required key is missing; names of hosts, each with its key hosts.NAME"]
        );
        let said = wrong("hosts = a b c\nhosts.a = h1\nhosts.b=h2:2");
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("x.properties:1: hosts: there is no hosts.c"), "{said:?}");
        assert!(said[1].starts_with("x.properties:2: hosts.a: 'h1' is not host:port"), "{said:?}");
        // Beside another mistake, too.
        assert_eq!(wrong("client.type = x\nssl = true\nprivate-key = k").len(), 3);
        assert_eq!(wrong("ssl = true\nprivate-key = k\nhosts = a\nhosts.a = h1:x").len(), 2);
        assert!(wrong("client.type=default_loadbalance\nhosts=a\nhosts.a=h:1")[0].contains("2 or more"));
        assert_eq!(wrong("hosts = ").len(), 1);
    }

    #[test]
    fn thrift_is_for_one_host() {
        let o = parse(&format!("{TWO}client.type = Thrift\nprotocol = BINARY\nmaxConnections = 5")).unwrap();
        assert_eq!((o.hosts.len(), o.way), (1, Way::Failover { attempts: 1 }));
        assert_eq!(o.settings.protocol, Protocol::Thrift(Encoding::Binary));
        // Of garbage Flume makes compact; Thrift knows no compression.
        let more = "client.type = thrift\nprotocol = x\ncompression-type = deflate\nssl = true";
        let o = parse(&format!("{TWO}{more}")).unwrap();
        assert_eq!((o.settings.protocol, o.settings.deflate), (Protocol::Thrift(Encoding::Compact), None));
        assert!(o.settings.tls.is_some());
        assert!(wrong(&format!("{TWO}client.type = thrift\nkerberos = true"))[0].contains("no Kerberos"));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let said = |more: &str| wrong(&format!("{TWO}{more}")).concat();
        assert!(
            said("ssl = true\ninclude-protocols = SSLv3").contains("include-protocols: no protocol is left")
        );
        assert!(said("client.type = com.example.Own").contains("client.type"));
        assert_eq!(said("ssl = false\nmaxIoWorkers = 2\nstranger = 1"), "");
        // Flume's client of another type has these, its default one ignores them.
        assert_eq!(said("maxConnections = 5\nprotocol = binary\nkerberos = true\nclient-keytab = k"), "");
    }
}
