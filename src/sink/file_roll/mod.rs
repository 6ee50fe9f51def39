//! The file_roll sink: events into files of a directory, a new file every so many seconds.
//!
//! As in Flume a file is written under its final name from the start, the first one is made when the sink
//! first runs, and the roll is looked for before a batch and when its time comes ([`Sink::tick`]).
//!
//! Differences from Flume, which loses and repeats events here:
//! - No file is ever truncated below what was committed, nor opened twice: a name that exists is passed over.
//! - A batch that fails is cut off the file again, so a retry neither repeats events nor tears lines. Where
//!   cutting fails too, or a sync, the file is left as it is and the next name used.
//! - A file whose end fails (disk full at a roll) does not hold up the roll.
//! - A file without events stays for the next interval; an idle sink does not fill the directory with empty ones.
//! - With `sink.fsync`, events of a channel that would survive a power cut are synced before they leave it.
//!
//! Called by its sink thread only; no locks. A file is a "connection" in the counters.

use crate::channel::Take;
use crate::clock::now_ms;
use crate::component::{Sink, SinkError, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::counters::SinkCounters;
use crate::serializer::{self, Serializer};
use file::{Disk, RollFile, StdDisk};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod file;
mod path_manager;
#[cfg(test)]
mod tests;

pub use path_manager::{PathManager, PathManagerSpec, PATH_MANAGERS};

/// How many names that exist already are passed over in one go.
const NAMES_TRIED: usize = 10_000;

pub static SPEC: SinkSpec = Spec {
    declared: Declared {
        kind: Kind::Sink,
        name: "file_roll",
        class: "org.apache.flume.sink.RollingFileSink",
        help: "Writes events into files of a directory, a new one every so many seconds",
        keys: &[&[
            Key::new("sink.directory", Type::Path, Default::Required, "where files go; must exist"),
            Key::new(
                "sink.rollInterval",
                Type::Seconds(i64::MIN, i64::MAX),
                Default::Is("30"),
                "seconds until the next file is begun; 0 or less: never",
            ),
            Key::new(
                "sink.batchSize",
                Type::Int(1, i32::MAX as i64),
                Default::Is("100"),
                "events of one transaction, at most",
            ),
            Key::new(
                "sink.serializer",
                Type::Component(Kind::Serializer),
                Default::Is("TEXT"),
                "how events are written",
            ),
            Key::new(
                "sink.pathManager",
                Type::Component(Kind::PathManager),
                Default::Is("DEFAULT"),
                "how files are named",
            ),
            Key::new(
                "sink.fsync",
                Type::Bool,
                Default::Is("true"),
                "sync the file before events leave a durable channel; Flume never does",
            ),
        ]],
        batch_key: Some("sink.batchSize"),
        check: None,
        advice: None,
        differs: &[
            "an idle interval makes no empty file: one file waits for events",
            "a file that is deleted under it is noticed, and the next one begun",
        ],
    },
    build,
};

fn build(ctx: &Context, parts: SinkParts) -> Box<dyn Sink> {
    Box::new(FileRoll::new(ctx, parts, Box::new(StdDisk)))
}

struct FileRoll {
    name: String,
    directory: PathBuf,
    /// `None`: never roll.
    interval: Option<Duration>,
    batch_size: usize,
    fsync: bool,
    serializer: Box<dyn Serializer>,
    names: Box<dyn PathManager>,
    disk: Box<dyn Disk>,
    counters: Arc<SinkCounters>,
    open: Option<Open>,
    /// For gathering small writes; empty between calls.
    buffer: Vec<u8>,
}

struct Open {
    file: RollFile,
    /// Its length before the first event.
    blank: u64,
    roll_at: Option<Instant>,
    /// The last batch had to be synced, so must be what ends the file.
    is_durable: bool,
}

impl FileRoll {
    fn new(ctx: &Context, parts: SinkParts, disk: Box<dyn Disk>) -> FileRoll {
        let interval = ctx.duration("sink.rollInterval").filter(|i| !i.is_zero());
        FileRoll {
            name: ctx.name().to_owned(),
            directory: ctx.text("sink.directory").expect("is required").into(),
            interval,
            batch_size: ctx.size("sink.batchSize"),
            fsync: ctx.flag("sink.fsync"),
            serializer: serializer::build(ctx.component("sink.serializer")),
            names: path_manager::build(ctx.component("sink.pathManager")),
            disk,
            counters: parts.counters,
            open: None,
            buffer: Vec::new(),
        }
    }

    /// Sees to it that there is a file, and no longer one whose time is over.
    fn roll(&mut self, now: Instant) -> Result<&mut Open, SinkError> {
        let disk = self.disk.as_mut();
        if let Some(open) = self.open.take_if(|o| o.file.is_deleted(disk)) {
            let path = open.file.path().display();
            log::warn!("sink {}: {path} was deleted while it was written; the next file is begun", self.name);
            self.finish(open, false);
        }
        if let Some(open) = self.open.take_if(|o| o.roll_at.is_some_and(|t| t <= now)) {
            if open.file.committed() > open.blank {
                let is_durable = open.is_durable;
                self.finish(open, is_durable);
            } else {
                self.open = Some(Open { roll_at: self.next_roll(now), ..open });
            }
        }
        if self.open.is_none() {
            self.open = Some(self.begin(now)?);
        }
        Ok(self.open.as_mut().expect("was opened above"))
    }

    fn next_roll(&self, now: Instant) -> Option<Instant> {
        // None as well when the interval reaches past the end of time.
        now.checked_add(self.interval?)
    }

    fn begin(&mut self, now: Instant) -> Result<Open, SinkError> {
        let mut file = self.create().inspect_err(|_| self.counters.connection_failed.one())?;
        self.counters.connection_created.one();
        log::debug!("{}: began {}", self.name, file.path().display());
        let serializer = &mut self.serializer;
        let written = file.append(self.disk.as_mut(), &mut self.buffer, |out| serializer.begin(out));
        if let Err(e) = written {
            let why = failure("begin", file.path(), &e);
            self.abandon(file, &why.why);
            return Err(why);
        }
        file.commit();
        Ok(Open { blank: file.committed(), file, roll_at: self.next_roll(now), is_durable: false })
    }

    fn create(&mut self) -> Result<RollFile, SinkError> {
        for _ in 0..NAMES_TRIED {
            // Joining a name with a leading slash would leave the directory.
            let path = self.directory.join(self.names.next_name(now_ms()).trim_start_matches('/'));
            match RollFile::create(self.disk.as_mut(), path.clone()) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failure("create", &path, &e)),
                Ok(file) => return Ok(file),
            }
        }
        let directory = self.directory.display();
        Err(SinkError::destination(format!("{directory}: the next {NAMES_TRIED} file names exist")))
    }

    fn deliver_at(&mut self, batch: &Take, now: Instant) -> Result<(), SinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let is_durable = self.fsync && batch.is_durable();
        self.roll(now)?;
        self.write(batch, is_durable)
    }

    fn write(&mut self, batch: &Take, is_durable: bool) -> Result<(), SinkError> {
        let open = self.open.as_mut().expect("roll opened a file");
        let (disk, serializer, buffer) = (self.disk.as_mut(), &mut self.serializer, &mut self.buffer);
        let done = open
            .file
            .append(disk, buffer, |out| {
                serializer.write_all(&mut batch.events(), out);
                serializer.end_batch(out);
            })
            .and_then(|()| if is_durable { open.file.sync(disk) } else { Ok(()) });
        let Err(e) = done else {
            open.file.commit();
            open.is_durable = is_durable;
            return Ok(());
        };
        let why = failure("write", open.file.path(), &e);
        let cut = open.file.cut_back(disk);
        if cut.is_ok() && !open.file.is_spent() {
            return Err(why);
        }
        let file = self.open.take().expect("is open").file;
        let more = match cut {
            Ok(()) => String::new(),
            Err(e) => format!("; the failed batch cannot be cut off and will be repeated: {e}"),
        };
        self.abandon(file, &format!("{why}{more}"));
        Err(why)
    }

    /// Ends a file in good order as far as that goes. What is committed is in it in any case.
    fn finish(&mut self, open: Open, sync: bool) -> Option<SinkError> {
        let mut file = open.file;
        let path = file.path().to_owned();
        let (disk, serializer) = (self.disk.as_mut(), &mut self.serializer);
        let mut ended = file.append(disk, &mut self.buffer, |out| serializer.end(out));
        match ended {
            Ok(()) => file.commit(),
            Err(_) => ended = ended.and(file.cut_back(disk)),
        }
        if sync {
            ended = ended.and(file.sync(disk));
        }
        let closed = file.close(disk);
        match ended.and(closed) {
            Ok(()) => {
                self.counters.connection_closed.one();
                None
            }
            Err(e) => {
                self.counters.connection_failed.one();
                let why = failure("finish", &path, &e);
                log::error!("{}: {why}; what was delivered to it stays, the next file is used", self.name);
                Some(why)
            }
        }
    }

    /// Leaves a file as it is.
    fn abandon(&mut self, file: RollFile, why: &str) {
        log::error!("{}: {why}; leaving that file", self.name);
        self.counters.connection_failed.one();
        if let Err(e) = file.close(self.disk.as_mut()) {
            log::error!("{}: closing the file that was left: {e}", self.name);
        }
    }
}

/// No event is one that a file does not take: every failure is the directory's or the disk's.
fn failure(verb: &str, path: &Path, e: &io::Error) -> SinkError {
    SinkError::destination(format!("cannot {verb} {}: {e}", path.display()))
}

/// After a panic a new sink takes this one's place and delivers the batch again: what is there of it goes.
impl Drop for FileRoll {
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            if let Err(e) = open.file.cut_back(self.disk.as_mut()) {
                log::error!("{}: {}", self.name, failure("cut back", open.file.path(), &e));
            }
        }
    }
}

impl Sink for FileRoll {
    fn start(&mut self) -> Result<(), SinkError> {
        let why = match std::fs::metadata(&self.directory) {
            Ok(m) if m.is_dir() => return Ok(()),
            Ok(_) => "is not a directory".to_owned(),
            Err(e) => e.to_string(),
        };
        Err(SinkError::destination(format!("sink.directory {}: {why}", self.directory.display())))
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        self.deliver_at(batch, Instant::now())
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, SinkError> {
        self.roll(now).map(|open| open.roll_at)
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        match self.open.take().and_then(|open| self.finish(open, true)) {
            None => Ok(()),
            Some(why) => Err(why),
        }
    }
}
