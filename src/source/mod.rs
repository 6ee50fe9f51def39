//! Sources: where events come from. One file each, one line in [`ALL`].

use crate::component::SourceSpec;
use crate::config::Context;
use crate::net::Endpoint;

mod netcat;
mod syslog;

/// Every source type.
pub static ALL: &[&SourceSpec] = &[&netcat::SPEC, &syslog::TCP, &syslog::UDP];

/// Where to listen: this host, at the port that the key `port` says.
fn endpoint(host: Option<&str>, ctx: &Context) -> Endpoint {
    let port = ctx.int("port").and_then(|p| u16::try_from(p).ok()).expect("port is required and bounded");
    Endpoint { host: host.map(str::to_owned), port }
}
