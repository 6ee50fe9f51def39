//! The file channel's settings: read from checked keys, and those that may change while it is in use.
//!
//! Directories, checkpoint files and keys are fixed for the life of a channel; the rest is behind a lock that is held
//! for a copy. Any thread.

use crate::channel::Limits;
use crate::config::Context;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Segments are no larger, whatever `maxFileSize` says: a file of this size comes free early, and is written again.
const SEGMENT: u64 = 64 << 20;
const SMALLEST_SEGMENT: u64 = 4096;
/// Flume's floor of `minimumRequiredSpace`.
const LEAST_SPACE: u64 = 1 << 20;
/// Below this an interval between checkpoints acts as this, as in Flume.
const SHORTEST: Duration = Duration::from_secs(1);

/// What may change while the channel is in use.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub limits: Limits,
    pub max_transaction: usize,
    pub required_space: u64,
    pub segment_size: u64,
    pub checkpoint_interval: Duration,
    pub checkpoint_on_close: bool,
    /// `None`: every transaction is synced before it is acknowledged.
    pub sync_interval: Option<Duration>,
    /// The longest time a take is written and not synced.
    pub take_sync: Duration,
}

/// What may not.
#[derive(Clone, Debug)]
pub struct Fixed {
    pub checkpoint_dir: PathBuf,
    pub backup_dir: Option<PathBuf>,
    pub compresses_backup: bool,
    pub data_dirs: Vec<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub old_key_files: Vec<PathBuf>,
}

impl Settings {
    /// Limits are what the channel is for, and come from its own keys.
    pub fn of(ctx: &Context, limits: Limits) -> Settings {
        let bytes = |key| ctx.int(key).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let time = |key| ctx.duration(key).expect("the key has a default");
        let sync_interval = (!ctx.flag("fsyncPerTransaction")).then(|| time("fsyncInterval"));
        Settings {
            limits,
            max_transaction: ctx.size("maxTransactionBytes"),
            required_space: bytes("minimumRequiredSpace").max(LEAST_SPACE),
            segment_size: bytes("maxFileSize").clamp(SMALLEST_SEGMENT, SEGMENT).next_multiple_of(8),
            checkpoint_interval: time("checkpointInterval").max(SHORTEST),
            checkpoint_on_close: ctx.flag("checkpointOnClose"),
            sync_interval,
            take_sync: time("takeSyncInterval"),
        }
    }
}

impl Settings {
    /// For a channel whose configuration is not at hand.
    pub fn unconfigured() -> Settings {
        Settings {
            limits: Limits {
                capacity: usize::MAX,
                transaction_capacity: usize::MAX,
                byte_capacity: usize::MAX,
                keep_alive: Duration::ZERO,
                durable: true,
            },
            max_transaction: usize::MAX,
            required_space: LEAST_SPACE,
            segment_size: SEGMENT,
            checkpoint_interval: Duration::from_secs(30),
            checkpoint_on_close: true,
            sync_interval: None,
            take_sync: Duration::from_millis(100),
        }
    }
}

impl Fixed {
    pub fn of(ctx: &Context) -> Fixed {
        let path = |key| ctx.text(key).map(|t| PathBuf::from(t.trim()));
        let or_home = |found: Option<PathBuf>, below: &str| {
            found.unwrap_or_else(|| {
                let home = std::env::var_os("HOME").unwrap_or_else(|| "/".into());
                PathBuf::from(home).join(".flume/file-channel").join(below)
            })
        };
        let data_dirs: Vec<PathBuf> = ctx.list("dataDirs").iter().map(PathBuf::from).collect();
        let data_dirs = if data_dirs.is_empty() { vec![or_home(None, "data")] } else { data_dirs };
        let is_dual = ctx.flag("useDualCheckpoints");
        Fixed {
            checkpoint_dir: or_home(path("checkpointDir"), "checkpoint"),
            backup_dir: path("backupCheckpointDir").filter(|_| is_dual),
            compresses_backup: ctx.flag("compressBackupCheckpoint"),
            data_dirs,
            key_file: path("encryption.keyFile"),
            old_key_files: ctx.list("encryption.oldKeyFiles").iter().map(PathBuf::from).collect(),
        }
    }
}

/// Our place inside one of Flume's directories.
pub fn ours(dir: &std::path::Path) -> PathBuf {
    dir.join("flumed")
}

/// Settings that others read while they change.
pub struct Live(RwLock<Settings>);

impl Live {
    pub fn new(s: Settings) -> Live {
        Live(RwLock::new(s))
    }
    pub fn get(&self) -> Settings {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn set(&self, s: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = s;
    }
}
