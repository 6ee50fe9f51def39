//! The keys of the file channel: Flume's, and its own.

use super::fs::RealFs;
use super::settings::{Fixed, Settings};
use super::FileChannel;
use crate::channel::{Channel, ChannelParts, ChannelSpec, Limits};
use crate::config::{Context, Declared, Default as Absent, Key, Kind, Spec, Type};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

const COUNT: Type = Type::Int(1, i64::MAX);
const BYTES: Type = Type::Int(0, i64::MAX);
const NO_PROVIDER: &str =
    "Flume's key stores and ciphers are not read; name a file with 32 bytes, or 64 hexadecimal \
                           digits, in encryption.keyFile";

/// Flume's keys of encryption.
const PROVIDERS: &[&str] = &["encryption.activeKey", "encryption.cipherProvider", "encryption.keyProvider"];

pub static SPEC: ChannelSpec = Spec {
    declared: Declared {
        kind: Kind::Channel,
        name: "file",
        class: "org.apache.flume.channel.file.FileChannel",
        help: "Queue on disk: what is acknowledged survives crashes and power cuts",
        keys: &[SIZES, LOG],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[
            "its files are in a directory 'flumed' inside each of those configured; Flume's own there are taken over by 'flumed tool channel import'",
            "segments have at most 64 MiB, are freed as soon as nothing in them is live, and are written again",
            "a full disk refuses puts only: sinks go on",
            "capacity below what is found at start refuses puts until it is drained; Flume does not start",
            "fsyncPerTransaction = false takes effect; Flume syncs all the same",
            "a damaged place is passed over, copied aside, counted (EventDamagedCount) and named in the log",
        ],
    },
    build,
};

/// What a channel that is made of this one and another has its own of.
const SIZES: &[Key] = &[
    Key::new(
        "capacity",
        COUNT,
        Absent::Is("1000000"),
        "events the channel holds, those being delivered included",
    )
    .or_default_if_out_of_range(),
    Key::new("byteCapacity", BYTES, Absent::Is("0"), "bytes of all events, as they are stored; 0 = no limit"),
    Key::new(
        "keep-alive",
        Type::Seconds(0, i32::MAX as i64),
        Absent::Is("3"),
        "seconds a source waits for room before it refuses, where its protocol can refuse",
    ),
];

/// The keys of the log.
pub const LOG: &[Key] = &[
    Key::new(
        "checkpointDir",
        Type::Path,
        Absent::Computed("~/.flume/file-channel/checkpoint"),
        "where checkpoints are",
    )
    .fixed(),
    Key::new(
        "useDualCheckpoints",
        Type::Bool,
        Absent::Is("false"),
        "keep a copy of checkpoints in backupCheckpointDir",
    )
    .fixed(),
    Key::new("backupCheckpointDir", Type::Path, Absent::None, "where the copies are").fixed(),
    Key::new("compressBackupCheckpoint", Type::Bool, Absent::Is("false"), "compress the copies (zlib)")
        .fixed(),
    Key::new(
        "dataDirs",
        Type::Paths,
        Absent::Computed("~/.flume/file-channel/data"),
        "where segments are, separated by commas: each has a log of its own, best on a disk of its own",
    )
    .fixed(),
    Key::new("transactionCapacity", COUNT, Absent::Is("10000"), "events of one transaction, at most")
        .or_default_if_out_of_range(),
    Key::new(
        "maxTransactionBytes",
        Type::Int(1 << 20, 1 << 29),
        Absent::Is("268435456"),
        "bytes of one transaction, at most; what is larger is refused for good",
    ),
    Key::new(
        "checkpointInterval",
        Type::Millis(1, i64::MAX),
        Absent::Is("30000"),
        "milliseconds between checkpoints, at least 1000; they are also taken when much was drained",
    )
    .or_default_if_out_of_range(),
    Key::new("checkpointOnClose", Type::Bool, Absent::Is("true"), "take a checkpoint at the end"),
    Key::new(
        "maxFileSize",
        COUNT,
        Absent::Is("1623195647"),
        "bytes of a segment, at most; above 64 MiB means 64 MiB",
    ),
    Key::new(
        "minimumRequiredSpace",
        Type::Int(i64::MIN, i64::MAX),
        Absent::Is("524288000"),
        "bytes that stay free on the disk, at least 1048576: below it nothing is put",
    ),
    Key::new(
        "fsyncPerTransaction",
        Type::Bool,
        Absent::Is("true"),
        "sync every transaction before it is acknowledged",
    ),
    Key::new(
        "fsyncInterval",
        Type::Seconds(1, i32::MAX as i64),
        Absent::Is("5"),
        "seconds between syncs where fsyncPerTransaction = false: what a power cut may lose",
    ),
    Key::new(
        "takeSyncInterval",
        Type::Millis(0, 60_000),
        Absent::Is("100"),
        "milliseconds until a delivery is synced: what a power cut may repeat",
    ),
    Key::new(
        "encryption.keyFile",
        Type::Path,
        Absent::None,
        "file with the master key of new segments: encrypts them",
    )
    .fixed(),
    Key::new(
        "encryption.oldKeyFiles",
        Type::Paths,
        Absent::None,
        "files with master keys that older segments were written with, separated by commas",
    )
    .fixed(),
    Key::new(PROVIDERS[0], Type::Text, Absent::None, "Flume's; not supported"),
    Key::new(PROVIDERS[1], Type::Text, Absent::None, "Flume's; not supported"),
    Key::new(PROVIDERS[2], Type::Text, Absent::None, "Flume's; not supported"),
    Key::new("use-log-replay-v1", Type::Bool, Absent::Is("false"), "Flume's older replay")
        .ignored("there is one replay, whose time does not grow with the backlog"),
    Key::new("use-fast-replay", Type::Bool, Absent::Is("false"), "Flume's replay without a queue")
        .ignored("there is one replay, whose time does not grow with the backlog"),
];

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let (capacity, transaction) = (ctx.size("capacity"), ctx.size("transactionCapacity"));
    if transaction > capacity {
        let what = format!("{transaction} is above capacity, which is {capacity}; expected at most that");
        wrong.push(("transactionCapacity", what));
    }
    wrong.extend(check_log(ctx));
    wrong
}

/// What is wrong with the keys of the log.
pub fn check_log(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    for key in PROVIDERS.iter().filter(|key| ctx.text(key).is_some()) {
        wrong.push((*key, format!("not supported by flumed: {NO_PROVIDER}")));
    }
    if ctx.flag("useDualCheckpoints") {
        let fixed = Fixed::of(ctx);
        match &fixed.backup_dir {
            None => wrong
                .push(("useDualCheckpoints", "needs backupCheckpointDir, where the copies go".to_owned())),
            Some(dir) if *dir == fixed.checkpoint_dir => {
                wrong
                    .push(("backupCheckpointDir", "is checkpointDir; expected another directory".to_owned()));
            }
            Some(_) => {}
        }
    }
    let dirs = Fixed::of(ctx).data_dirs;
    let different: BTreeSet<&PathBuf> = dirs.iter().collect();
    if different.len() < dirs.len() {
        wrong.push(("dataDirs", "names a directory twice".to_owned()));
    }
    wrong
}

fn build(ctx: &Context, parts: ChannelParts) -> Arc<dyn Channel> {
    let settings = Settings::of(ctx, limits(ctx));
    FileChannel::new(ctx.name(), Fixed::of(ctx), settings, parts.counters, Arc::new(RealFs))
}

pub fn limits(ctx: &Context) -> Limits {
    let bytes = ctx.size("byteCapacity");
    Limits {
        capacity: ctx.size("capacity"),
        transaction_capacity: ctx.size("transactionCapacity"),
        byte_capacity: if bytes == 0 { usize::MAX } else { bytes },
        keep_alive: ctx.duration("keep-alive").expect("the key has a default"),
        durable: true,
    }
}
