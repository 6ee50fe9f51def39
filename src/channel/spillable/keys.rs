//! The keys of the spillable memory channel: its own, memory's for bytes, the file channel's for the log.

use super::SpillableChannel;
use crate::channel::file::{check_log, Fixed, RealFs, Settings as FileSettings, LOG};
use crate::channel::memory::{byte_budget, BYTES};
use crate::channel::{Channel, ChannelParts, ChannelSpec, Limits};
use crate::config::{Context, Declared, Default as Absent, Key, Kind, Spec, Type};
use std::sync::Arc;
use std::time::Duration;

const OVERFLOW: &str = "100000000";

pub static SPEC: ChannelSpec = Spec {
    declared: Declared {
        kind: Kind::Channel,
        name: "spillablememory",
        class: "org.apache.flume.channel.SpillableMemoryChannel",
        help: "Queue in memory that goes on in files when it is full: what is in memory is lost in a crash",
        keys: &[OWN, BYTES, LOG],
        batch_key: None,
        check: Some(check_log),
        advice: None,
        differs: &[
            "a stop delivers what is in memory, and writes the rest of it to the overflow; Flume loses it",
            "sources with connections wait for overflowTimeout without holding up others; a datagram source spills at once",
            "while the overflow is in use all new events go there, until the sinks have caught up with it",
            "byteCapacity counts what events take up, headers included, not slots of avgEventSize",
            "the overflow is kept as by channel file, whose differences hold, too",
        ],
    },
    build,
};

const OWN: &[Key] = &[
    Key::new(
        "memoryCapacity",
        Type::Int(0, i32::MAX as i64),
        Absent::Is("10000"),
        "events held in memory, those being delivered included; 0 = a file channel",
    )
    .or_default(),
    Key::new(
        "overflowCapacity",
        Type::Int(i32::MIN as i64, i32::MAX as i64),
        Absent::Is(OVERFLOW),
        "events held in files, those being delivered included; below 1 = none, memory only",
    )
    .or_default(),
    Key::new(
        "overflowTimeout",
        Type::Seconds(0, i32::MAX as i64),
        Absent::Is("3"),
        "seconds a source waits for room in memory before its events go to files",
    )
    .or_default(),
    Key::new(
        "overflowDeactivationThreshold",
        Type::Int(0, 100),
        Absent::Is("5"),
        "percent of memory that must be free before events go there again",
    )
    .or_default(),
    Key::new("avgEventSize", Type::Int(1, i32::MAX as i64), Absent::Is("500"), "Flume's bytes per slot")
        .or_default()
        .ignored("bytes are counted as they are"),
];

/// What the channel is set to.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub capacity: usize,
    pub byte_capacity: usize,
    pub transaction_capacity: usize,
    pub timeout: Duration,
    /// Percent of memory.
    pub threshold: usize,
    /// How many events the overflow holds, where there is one.
    pub overflow: Option<usize>,
}

impl Settings {
    pub fn of(ctx: &Context, heap: usize) -> Settings {
        let capacity = ctx.size("memoryCapacity");
        let given = ctx.int("overflowCapacity").and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        // Nothing on either side is nothing anybody can mean.
        let instead = || (capacity == 0).then(|| OVERFLOW.parse().expect("is a number"));
        Settings {
            capacity,
            byte_capacity: byte_budget(ctx, heap),
            transaction_capacity: ctx.size("transactionCapacity"),
            timeout: ctx.duration("overflowTimeout").expect("the key has a default"),
            threshold: ctx.size("overflowDeactivationThreshold"),
            overflow: given.or_else(instead),
        }
    }

    /// Batches that sources form by themselves are to fit into memory.
    pub fn limits(&self) -> Limits {
        let is_file = self.capacity == 0;
        Limits {
            capacity: if is_file { self.overflow.unwrap_or(0) } else { self.capacity },
            transaction_capacity: self.transaction_capacity,
            byte_capacity: if is_file { usize::MAX } else { self.byte_capacity },
            keep_alive: self.timeout,
            durable: is_file,
        }
    }

    pub fn of_file(&self, ctx: &Context) -> Option<FileSettings> {
        let limits = Limits {
            capacity: self.overflow?,
            transaction_capacity: self.transaction_capacity,
            byte_capacity: usize::MAX,
            keep_alive: Duration::ZERO,
            durable: true,
        };
        Some(FileSettings::of(ctx, limits))
    }
}

fn build(ctx: &Context, parts: ChannelParts) -> Arc<dyn Channel> {
    let settings = Settings::of(ctx, parts.heap);
    let file = settings.of_file(ctx).map(|s| (Fixed::of(ctx), s));
    SpillableChannel::new(ctx.name(), settings, file, parts.counters, Arc::new(RealFs))
}
