//! A small catalog for unit tests: a few components of each kind, none of which can be built.

use super::*;

const fn d(
    kind: Kind,
    name: &'static str,
    class: &'static str,
    help: &'static str,
    keys: &'static [&'static [Key]],
    batch_key: Option<&'static str>,
) -> Declared {
    Declared { kind, name, class, help, keys, batch_key, check: None, advice: None, differs: &[] }
}

const CAPACITIES: &[Key] = &[
    Key::new("capacity", Type::Int(1, i64::MAX), Default::Is("100"), "events the channel holds").or_default(),
    Key::new("transactionCapacity", Type::Int(1, i64::MAX), Default::Is("100"), "events of one transaction")
        .or_default(),
];
const BATCH: &[Key] =
    &[Key::new("batchSize", Type::Int(1, i64::MAX), Default::Is("100"), "events of one transaction")];
const NET: &[Key] = &[
    Key::new("bind", Type::Text, Default::Required, "address to listen on"),
    Key::new("port", Type::Port, Default::Required, "port to listen on"),
    Key::new("max-line-length", Type::Int(1, 1 << 30), Default::Is("512"), "longest line, in bytes"),
    Key::new("ack-every-event", Type::Bool, Default::Is("true"), "answer each line with OK"),
];
const SERIALIZERS: &[Key] =
    &[Key::new("serializer", Type::Component(Kind::Serializer), Default::Is("text"), "form of the file")];
const MULTIPLEXING: &[Key] = &[
    Key::new("header", Type::Text, Default::Is("flume.selector.header"), "header looked at"),
    Key::new("mapping.", Type::ChannelsBelow, Default::None, "channels of a value"),
    Key::new("optional.", Type::ChannelsBelow, Default::None, "optional channels of a value"),
    Key::new("default", Type::Channels, Default::None, "channels of other values"),
];

const PRIORITIES: &[Key] = &[
    Key::new("priority.", Type::Prefix, Default::None, "priority of a sink"),
    Key::new("maxpenalty", Type::Millis(0, 1 << 31), Default::Is("30000"), "longest time left out")
        .or_default(),
];

static ALL: &[Declared] = &[
    d(Kind::Source, "netcat", "org.apache.flume.source.NetcatSource", "lines over TCP", &[NET], None),
    d(Kind::Source, "seq", "", "a counter", &[BATCH], Some("batchSize")),
    d(Kind::Channel, "memory", "", "a queue in memory", &[CAPACITIES], None),
    d(
        Kind::Sink,
        "logger",
        "",
        "events to the log",
        &[&[Key::new("threads", Type::Int(1, 9), Default::None, "threads").ignored("a sink has one thread")]],
        None,
    ),
    d(Kind::Sink, "null", "", "drops events", &[BATCH], Some("batchSize")),
    d(Kind::Sink, "file_roll", "", "events to files", &[BATCH, SERIALIZERS], Some("batchSize")),
    d(
        Kind::Serializer,
        "text",
        "",
        "bodies as lines",
        &[&[Key::new("limit", Type::Int(0, 9), Default::Is("0"), "a number")]],
        None,
    ),
    d(
        Kind::Selector,
        "replicating",
        "",
        "to all channels",
        &[&[Key::new("optional", Type::Channels, Default::None, "channels that may fail")]],
        None,
    ),
    d(
        Kind::Interceptor,
        "extractor",
        "",
        "texts to headers",
        &[&[Key::new(
            "serializers",
            Type::Components(Kind::ExtractorSerializer, "plain"),
            Default::None,
            "parts",
        )]],
        None,
    ),
    d(
        Kind::ExtractorSerializer,
        "plain",
        "",
        "as it is",
        &[&[Key::new("name", Type::Text, Default::Required, "the header")]],
        None,
    ),
    d(Kind::Selector, "multiplexing", "", "by a header", &[MULTIPLEXING], None),
    d(Kind::Processor, "default", "", "one sink", &[], None),
    d(Kind::Processor, "failover", "", "the best sink", &[PRIORITIES], None),
    d(
        Kind::Interceptor,
        "static",
        "",
        "sets a header",
        &[&[Key::new("key", Type::Text, Default::Is("key"), "the header")]],
        None,
    ),
];

pub static AGENT: Declared = d(
    Kind::Agent,
    "agent",
    "",
    "the agent itself",
    &[&[Key::new("stop.deadline", Type::Seconds(0, 3600), Default::Is("10"), "longest stop")]],
    None,
);

pub struct Known;

impl Catalog for Known {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared> {
        self.all(kind).into_iter().find(|d| d.is_named(type_name))
    }

    fn all(&self, kind: Kind) -> Vec<&'static Declared> {
        let filters = CONFIG_FILTERS.iter().map(|s| &s.declared);
        ALL.iter().chain(filters).filter(|d| d.kind == kind).collect()
    }

    fn unsupported(&self, kind: Kind, type_name: &str) -> Option<String> {
        (kind == Kind::Sink && type_name == "hbase").then(|| "hbase is not supported: use http".to_owned())
    }

    fn unsupported_key(&self, _: Kind, _: &str, key: &str) -> Option<String> {
        (key == "kerberosKeytab").then(|| "not supported: ignored".to_owned())
    }

    fn group(&self, processor: &Context, sinks: &[String]) -> Vec<GroupFinding> {
        if processor.declared().name == "default" {
            let what = format!("one sink, not {}", sinks.len());
            let found = GroupFinding { severity: Severity::Error, key: None, what };
            return (sinks.len() > 1).then_some(found).into_iter().collect();
        }
        let strange = processor.map("priority.").keys().filter(|k| !sinks.contains(k));
        let found = |k: &String| {
            let key = Some(format!("priority.{k}"));
            GroupFinding { severity: Severity::Warning, key, what: "no such sink".into() }
        };
        strange.map(found).collect()
    }
}

/// The settings that these keys make, or all that is wrong with them.
pub fn context(
    declared: &'static Declared,
    catalog: &dyn Catalog,
    keys: &[(&str, &str)],
) -> Result<Context, Vec<String>> {
    let place = Place { file: "test".into(), line: 1 };
    let one = |(name, value): &(&str, &str)| Property::new(*name, *value, place.clone());
    let properties: Vec<Property> = keys.iter().map(one).collect();
    let mut problems = Problems::default();
    let made = Context::parse(declared, "a1.x.x1", &place, &properties, &[], catalog, &mut problems);
    made.map_err(|_| problems.sorted().iter().map(|p| p.to_string()).collect())
}
