//! What the file channel counts beside what every channel counts: Flume's names first, then ours.
//!
//! Bumped by log threads, takers and upkeep; read by the metrics through [`ChannelCounters`]. Atomics only.

use crate::counters::{Counter, Gauge, Value};

#[derive(Default)]
pub struct FileCounters {
    /// Events that could not be put, or taken, because a file could not be written or read.
    pub put_error: Counter,
    pub take_error: Counter,
    pub checkpoint_error: Counter,
    pub backup_error: Counter,
    pub is_open: Gauge,
    pub is_unhealthy: Gauge,
    pub syncs: Counter,
    pub sync_us: Counter,
    pub slowest_sync_us: Gauge,
    pub frames: Counter,
    pub bytes_written: Counter,
    pub segments: Gauge,
    pub segment_bytes: Gauge,
    pub usable_space: Gauge,
    pub disk_full: Gauge,
    pub checkpoints: Counter,
    pub last_checkpoint: Gauge,
    pub recovery_ms: Gauge,
    pub recovered: Gauge,
    /// Events that were acknowledged and that damaged files do not give back.
    pub damaged: Counter,
    /// Bytes of damaged places, copied aside.
    pub damaged_bytes: Counter,
}

impl FileCounters {
    pub fn values(&self) -> Vec<(&'static str, Value)> {
        let c = |n: &'static str, v: &Counter| (n, Value::Counter(v.get()));
        let g = |n: &'static str, v: &Gauge| (n, Value::Gauge(v.get()));
        let (syncs, frames) = (self.syncs.get(), self.frames.get());
        let per = |n: u64, of: u64| if of == 0 { 0.0 } else { n as f64 / of as f64 };
        vec![
            c("EventPutErrorCount", &self.put_error),
            c("EventTakeErrorCount", &self.take_error),
            c("CheckpointWriteErrorCount", &self.checkpoint_error),
            c("CheckpointBackupWriteErrorCount", &self.backup_error),
            ("Open", Value::Text((self.is_open.get() != 0).to_string())),
            ("Closed", Value::Gauge(i64::from(self.is_open.get() == 0))),
            g("Unhealthy", &self.is_unhealthy),
            c("SyncCount", &self.syncs),
            ("SyncTimeMean", Value::Ratio(per(self.sync_us.get(), syncs) / 1000.0)),
            ("SyncTimeMax", Value::Ratio(self.slowest_sync_us.get() as f64 / 1000.0)),
            ("FramesPerSync", Value::Ratio(per(frames, syncs))),
            c("BytesWrittenCount", &self.bytes_written),
            g("SegmentCount", &self.segments),
            g("SegmentBytes", &self.segment_bytes),
            g("UsableSpace", &self.usable_space),
            g("DiskFull", &self.disk_full),
            c("CheckpointCount", &self.checkpoints),
            g("LastCheckpointTime", &self.last_checkpoint),
            g("RecoveryTime", &self.recovery_ms),
            g("RecoveredEventCount", &self.recovered),
            c("EventDamagedCount", &self.damaged),
            c("DamagedBytesCount", &self.damaged_bytes),
        ]
    }

    /// A sync took this long, for so many frames.
    pub fn synced(&self, us: u64, frames: usize) {
        self.syncs.one();
        self.sync_us.add(us as usize);
        self.frames.add(frames);
        if us as i64 > self.slowest_sync_us.get() {
            self.slowest_sync_us.set(us as i64);
        }
    }
}
