//! Whether and where the metrics are served: keys of the agent, or Flume's system properties.

use super::sources::Served;
use crate::component::Source;
use crate::config::{Context, Default, Key, RunOptions, Type};
use crate::counters::{Registry, SourceCounters};
use crate::deliver::Deliver;
use crate::event::Batch;
use crate::interceptor::Chain;
use crate::monitor::{Format, Monitor};
use crate::net::{Endpoint, SourceId, Wire};
use crate::selector::{Routed, Selector};
use crate::tls;
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
    Key::new(
        "monitoring.ssl",
        Type::Bool,
        Default::Is("false"),
        "serve the metrics over TLS; also -Dflume.monitoring.ssl",
    ),
    Key::new(
        "monitoring.keystore",
        Type::Path,
        Default::None,
        "certificate and private key for it: a PKCS#12 or PEM file; also -Dflume.monitoring.keystore",
    ),
    Key::new(
        "monitoring.keystore-password",
        Type::Text,
        Default::None,
        "password of a PKCS#12 keystore; also -Dflume.monitoring.keystore-password",
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
    tls: Option<tls::Options>,
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
    let text =
        |key: &str| given(key).or_else(|| settings.text(&format!("monitoring.{key}")).map(str::to_owned));
    let ssl = given("ssl").map_or(settings.flag("monitoring.ssl"), |text| text.eq_ignore_ascii_case("true"));
    let tls = match ssl {
        false => None,
        true => {
            let path = text("keystore").ok_or("monitoring.ssl = true needs monitoring.keystore")?;
            let password = text("keystore-password").unwrap_or_default();
            let file = tls::StoreFile { path: path.into(), password };
            let options =
                tls::Options { identity: Some(tls::Identity::Store(file)), ..tls::Options::default() };
            tls::Server::new("metrics", options.clone())
                .map_err(|f| format!("monitoring.keystore: {}", f.why))?;
            Some(options)
        }
    };
    Ok(Some(Wanted { endpoint: Endpoint { host, port }, format, tls }))
}

/// The metrics endpoint.
pub fn source(id: SourceId, wanted: Wanted, registry: &Arc<Registry>) -> Served {
    let tls = wanted.tls.map(|options| tls::Server::or_later("metrics", options));
    let wire = Wire { tls, deflate: false };
    let monitor = Arc::new(Monitor { registry: registry.clone(), format: wanted.format, wire });
    let deliver =
        Deliver::new(SourceCounters::new("metrics"), Chain::default(), Box::new(Nowhere), Vec::new());
    let endpoint = wanted.endpoint;
    let make = Arc::new(move || Source::Stream { endpoint: endpoint.clone(), protocol: monitor.clone() });
    Served::new(id, "monitor", "metrics", Arc::new(deliver), make)
}
