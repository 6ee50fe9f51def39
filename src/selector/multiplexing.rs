//! The multiplexing selector: the value of one header says which channels an event goes to (reference,
//! interceptors-selectors.md 3.2).
//!
//! ```text
//!   header absent or blank          default                          no optional channels
//!   value with a mapping            mapping.<value>                  optional.<value>
//!   any other value                 default                          optional.<value>
//! ```
//! A channel that is required for a value is not optional for it as well. Where there is no default, what nothing maps
//! goes nowhere: a success, as in Flume, but counted and told.

use super::{Part, Routed, Selector, SelectorSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch, EventRef, Events};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub static SPEC: SelectorSpec = Spec {
    declared: Declared {
        kind: Kind::Selector,
        name: "multiplexing",
        class: "org.apache.flume.channel.MultiplexingChannelSelector",
        help: "Each event to the channels that the value of a header is mapped to",
        keys: &[&[
            Key::new("header", Type::Header, Default::Is("flume.selector.header"), "the header looked at"),
            Key::new("mapping.", Type::ChannelsBelow, Default::None, "channels for the value in its name"),
            Key::new("default", Type::Channels, Default::None, "channels for all other events"),
            Key::new(
                "optional.",
                Type::ChannelsBelow,
                Default::None,
                "channels for the value in its name that may fail",
            ),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[
            "channel names are separated by any white space; Flume takes single spaces only",
            "events that go to no channel are counted (EventUnroutedCount) and told",
        ],
    },
    build,
};

/// How much of a value a log line shows.
const SHOWN: usize = 60;

fn build(ctx: &Context, channels: &[String]) -> Box<dyn Selector> {
    let indices = |names: &mut dyn Iterator<Item = &str>| -> Vec<usize> {
        let found: BTreeSet<usize> = names.filter_map(|n| channels.iter().position(|c| c == n)).collect();
        found.into_iter().collect()
    };
    let below =
        |key: &str, value: &str| ctx.map(key).get(value).map(|names| indices(&mut names.split_whitespace()));
    let default = Route {
        required: indices(&mut ctx.list("default").iter().map(String::as_str)),
        optional: Vec::new(),
    };
    let mut routes = vec![default];
    let mut by_value = HashMap::new();
    let values: BTreeSet<&String> = ctx.map("mapping.").keys().chain(ctx.map("optional.").keys()).collect();
    for value in values {
        let required = below("mapping.", value).unwrap_or_else(|| routes[0].required.clone());
        let mut optional = below("optional.", value).unwrap_or_default();
        optional.retain(|c| !required.contains(c));
        by_value.insert(value.as_bytes().into(), routes.len());
        routes.push(Route { required, optional });
    }
    let header = ctx.header("header").expect("has a default");
    Box::new(Multiplexing { header, channels: channels.len(), routes, by_value })
}

/// The channels for some value.
struct Route {
    required: Vec<usize>,
    optional: Vec<usize>,
}

struct Multiplexing {
    header: event::Key,
    channels: usize,
    /// The default is the first.
    routes: Vec<Route>,
    by_value: HashMap<Box<[u8]>, usize>,
}

impl Multiplexing {
    fn route_of(&self, e: EventRef<'_>) -> usize {
        match e.header(self.header) {
            Some(value) if !value.trim_ascii().is_empty() => self.by_value.get(value).copied().unwrap_or(0),
            _ => 0,
        }
    }
}

impl Selector for Multiplexing {
    fn route(&self, batch: &Arc<Batch>) -> Routed {
        let mut routes = batch.iter().map(|e| self.route_of(e));
        let first = routes.next().unwrap_or(0);
        let Some(n) = routes.position(|r| r != first) else {
            // Most batches are alike in this.
            let part = |required| {
                move |&channel: &usize| Part { channel, events: Events::all(batch.clone()), required }
            };
            let Route { required, optional } = &self.routes[first];
            let parts: Vec<Part> =
                required.iter().map(part(true)).chain(optional.iter().map(part(false))).collect();
            let unrouted = if required.is_empty() { (0..batch.len() as u32).collect() } else { Vec::new() };
            return Routed { parts, unrouted };
        };
        let mut required = vec![Vec::new(); self.channels];
        let mut optional = vec![Vec::new(); self.channels];
        let mut unrouted = Vec::new();
        for (i, e) in batch.iter().enumerate() {
            // Those before are known.
            let route = &self.routes[if i <= n { first } else { self.route_of(e) }];
            route.required.iter().for_each(|&c| required[c].push(i as u32));
            route.optional.iter().for_each(|&c| optional[c].push(i as u32));
            if route.required.is_empty() {
                unrouted.push(i as u32);
            }
        }
        let parts = super::parts(batch, required, true).chain(super::parts(batch, optional, false));
        Routed { parts: parts.collect(), unrouted }
    }

    fn why_unrouted(&self, e: EventRef<'_>) -> String {
        let name = self.header.name();
        match e.header(self.header) {
            None => format!("one has no header {name}, and selector.default is not set"),
            Some(value) => {
                let value = String::from_utf8_lossy(&value[..value.len().min(SHOWN)]);
                format!("one has {name} = {value:?}, which nothing maps, and selector.default is not set")
            }
        }
    }

    fn may_require(&self) -> Vec<usize> {
        let all: BTreeSet<usize> = self.routes.iter().flat_map(|r| r.required.iter().copied()).collect();
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::selector::testing::{build, routed};

    const CHANNELS: [&str; 4] = ["c1", "c2", "c3", "c4"];

    /// Where events with these values of the header `tier` go; `None`: they have none.
    fn where_to(keys: &[(&str, &str)], values: &[Option<&str>]) -> (Vec<String>, usize) {
        let selector = build(&SPEC, keys, &CHANNELS);
        let mut batch = Batch::new();
        for v in values {
            batch.push(Body::Copy(v.unwrap_or("none").as_bytes()));
            if let Some(v) = v {
                let v = batch.store(v.as_bytes());
                batch.push_header(event::Key::intern("tier").unwrap(), v);
            }
        }
        routed(selector.as_ref(), batch, &CHANNELS)
    }

    const TIERS: &[(&str, &str)] = &[
        ("header", "tier"),
        ("mapping.gold", "c1"),
        ("mapping.silver", "c2  \t c3"),
        ("mapping.a.b", "c2"),
        ("optional.gold", "c3 c1"),
        ("optional.tin", "c3 c4"),
        ("default", "c4"),
    ];

    #[test]
    fn the_table_of_the_reference() {
        for (value, parts) in [
            (None, &["c4!none"][..]),
            (Some(""), &["c4!"]),
            (Some("  "), &["c4!  "]),
            (Some("gold"), &["c1!gold", "c3?gold"]),
            (Some("silver"), &["c2!silver", "c3!silver"]),
            (Some("a.b"), &["c2!a.b"]),
            (Some("tin"), &["c4!tin", "c3?tin"]),
            (Some("Gold"), &["c4!Gold"]),
            (Some(" gold"), &["c4! gold"]),
            (Some("lead"), &["c4!lead"]),
        ] {
            assert_eq!(
                where_to(TIERS, &[value]),
                (parts.iter().map(|p| (*p).to_owned()).collect(), 0),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_mixed_batch_is_spread_and_keeps_its_order() {
        let values = ["gold", "gold", "silver", "lead", "gold", "silver"].map(Some);
        let parts =
            ["c1!gold,gold,gold", "c2!silver,silver", "c3!silver,silver", "c4!lead", "c3?gold,gold,gold"];
        assert_eq!(where_to(TIERS, &values), (parts.map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn what_nothing_maps_goes_nowhere_where_there_is_no_default_and_is_counted() {
        let keys = &TIERS[..6];
        assert_eq!(where_to(keys, &[Some("lead"), None]), (Vec::new(), 2));
        let mixed = where_to(keys, &[Some("gold"), Some("lead"), Some("tin"), None]);
        assert_eq!(mixed, (vec!["c1!gold".into(), "c3?gold,tin".into(), "c4?tin".into()], 3));
        let built = build(&SPEC, keys, &CHANNELS);
        let mut batch = Batch::new();
        batch.push(Body::Copy(b""));
        assert!(built.why_unrouted(batch.get(0)).contains("no header tier"));
        let v = batch.store(b"a\nb");
        batch.push_header(event::Key::intern("tier").unwrap(), v);
        assert!(built.why_unrouted(batch.get(0)).contains(r#"tier = "a\nb""#));
    }

    #[test]
    fn what_may_be_required_bounds_batches() {
        assert_eq!(build(&SPEC, TIERS, &CHANNELS).may_require(), [0, 1, 2, 3]);
        assert_eq!(build(&SPEC, &TIERS[..5], &CHANNELS).may_require(), [0, 1, 2]);
    }
}
