//! Sources: where events come from. One file each, one line in [`ALL`].

use crate::component::{Pauses, SourceSpec};
use crate::config::{Context, Default, Key, Type};
use crate::net::Endpoint;
use std::time::Duration;

mod avro;
mod calls;
mod exec;
mod http;
mod netcat;
mod netcatudp;
mod seq;
mod stress;
mod syslog;
mod thrift;
pub mod tls;

pub use http::handler::ALL as HTTP_HANDLERS;

/// Every source type.
pub static ALL: &[&SourceSpec] = &[
    &avro::SPEC,
    &exec::SPEC,
    &http::SPEC,
    &netcat::SPEC,
    &netcatudp::SPEC,
    &seq::SPEC,
    &stress::SPEC,
    &syslog::MULTIPORT,
    &syslog::TCP,
    &syslog::UDP,
    &thrift::SPEC,
];

/// A size of batches.
const COUNT: Type = Type::Int(1, i32::MAX as i64);

/// The key of sources of datagrams.
const RECEIVE_BUFFER: Key = Key::new(
    "receiveBufferBytes",
    Type::Int(4096, i32::MAX as i64),
    Default::Computed("8388608, or what the kernel grants"),
    "bytes of datagrams that may wait in the kernel, up to its net.core.rmem_max; what finds no room is lost",
);

fn receive_buffer(ctx: &Context) -> Option<usize> {
    ctx.int(RECEIVE_BUFFER.name).and_then(|n| usize::try_from(n).ok())
}

/// The keys of every source that Flume calls pollable.
const PAUSES: &[Key] = &[
    Key::new(
        "backoffSleepIncrement",
        Type::Millis(0, i64::MAX),
        Default::Is("1000"),
        "milliseconds by which the pause grows while there is nothing to read",
    ),
    Key::new(
        "maxBackoffSleep",
        Type::Millis(0, i64::MAX),
        Default::Is("5000"),
        "milliseconds of the longest such pause",
    ),
];

fn pauses(ctx: &Context) -> Pauses {
    let pause = |key| ctx.duration(key).unwrap_or(Duration::ZERO);
    Pauses { step: pause("backoffSleepIncrement"), most: pause("maxBackoffSleep") }
}

/// Where to listen: this host, at the port that the key `port` says.
fn endpoint(host: Option<&str>, ctx: &Context) -> Endpoint {
    let port = ctx.int("port").and_then(|p| u16::try_from(p).ok()).expect("port is required and bounded");
    Endpoint { host: host.map(str::to_owned), port }
}
