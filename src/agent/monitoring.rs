//! Whether and where the metrics are served: keys of the agent, or Flume's system properties.

use super::sources::Served;
use crate::component::Source;
use crate::config::{Context, Default, Key, RunOptions, Type};
use crate::counters::{Registry, SourceCounters};
use crate::deliver::Deliver;
use crate::event::Batch;
use crate::interceptor::Chain;
use crate::monitor::{Format, Monitor};
use crate::net::{Endpoint, SourceId};
use crate::selector::{Routed, Selector};
use std::sync::Arc;

pub const KEYS: &[Key] = &[
    Key::new(
        "monitoring.type",
        Type::Choice(&["http", "prometheus"]),
        Default::None,
        "serve metrics as Flume's JSON or as Prometheus text; also -Dflume.monitoring.type",
    ),
    Key::new(
        "monitoring.port",
        Type::Port,
        Default::Is("41414"),
        "port of the metrics; also -Dflume.monitoring.port",
    ),
    Key::new(
        "monitoring.bind",
        Type::Text,
        Default::Is("127.0.0.1"),
        "address of the metrics, * for every one; also -Dflume.monitoring.bind",
    ),
];

/// Stores nothing: what the endpoint is asked brings no events.
struct Nowhere;

impl Selector for Nowhere {
    fn route(&self, _: &Arc<Batch>) -> Routed {
        Routed::default()
    }
    fn may_require(&self) -> Vec<usize> {
        Vec::new()
    }
}

/// Where metrics are to be served, and in what form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    endpoint: Endpoint,
    format: Format,
}

/// What is wanted, if anything; or why that cannot be had. As in Flume this is no reason not to run.
pub fn wanted(settings: &Context, options: &RunOptions) -> Result<Option<Wanted>, String> {
    let given = |key: &str| options.properties.get(&format!("flume.monitoring.{key}")).cloned();
    let Some(wanted) = given("type").or_else(|| settings.text("monitoring.type").map(str::to_owned)) else {
        return Ok(None);
    };
    let format = match wanted.to_ascii_lowercase().as_str() {
        "http" => Format::Json,
        "prometheus" => Format::Prometheus,
        "ganglia" => {
            return Err("flume.monitoring.type: ganglia is not supported, use http or prometheus".to_owned())
        }
        _ => return Err(format!("flume.monitoring.type: '{wanted}' is not http or prometheus")),
    };
    let port = match given("port") {
        Some(text) => {
            text.parse().map_err(|_| format!("flume.monitoring.port: '{text}' is not a port number"))?
        }
        None => settings.size("monitoring.port") as u16,
    };
    let host = given("bind").or_else(|| settings.text("monitoring.bind").map(str::to_owned));
    Ok(Some(Wanted { endpoint: Endpoint { host, port }, format }))
}

/// The metrics endpoint.
pub fn source(id: SourceId, wanted: Wanted, registry: &Arc<Registry>) -> Served {
    let monitor = Arc::new(Monitor { registry: registry.clone(), format: wanted.format });
    let deliver =
        Deliver::new(SourceCounters::new("metrics"), Chain::default(), Box::new(Nowhere), Vec::new());
    let endpoint = wanted.endpoint;
    let make = Arc::new(move || Source::Stream { endpoint: endpoint.clone(), protocol: monitor.clone() });
    Served::new(id, "monitor", "metrics", Arc::new(deliver), make)
}
