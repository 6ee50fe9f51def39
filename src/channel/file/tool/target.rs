//! The channel that an import writes to: what an earlier import left in it, and how events are stored, each batch before
//! the next one.
//!
//! Runs on the importing thread.

use super::super::frame;
use super::super::fs::Fs;
use super::super::intervals::Intervals;
use super::super::settings::ours;
use super::super::FileChannel;
use super::import::{Import, Repeat, Step};
use super::marker::{ImportState, NAME};
use super::{at, count, failed, Result, ToolError};
use crate::channel::flume::Undelivered;
use crate::channel::{Channel, Put, PutError, Room, TicketState, Wake};
use crate::event::{Batch, Events};
use crate::lock::lock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one transaction.
const BATCH_BYTES: usize = 4 << 20;
/// An event above this would be a frame that the channel does not read.
const LARGEST: usize = frame::LARGEST / 2;
/// How long the channel may have no room before the import gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found of an import before this one.
pub enum Before {
    /// There is nothing to do.
    Done(String),
    /// Pass over so many events, and what to note before the first is stored.
    Ready { skip: u64, state: ImportState },
}

/// The channel that is imported into.
pub struct Target {
    fs: Arc<dyn Fs>,
    channel: Arc<FileChannel>,
    /// Our own.
    dirs: Vec<PathBuf>,
}

impl Target {
    /// An open channel with these data directories, as configured.
    pub fn new(fs: Arc<dyn Fs>, channel: Arc<FileChannel>, data_dirs: &[PathBuf]) -> Target {
        Target { fs, channel, dirs: data_dirs.iter().map(|d| ours(d)).collect() }
    }

    pub fn close(&self) {
        self.channel.close();
    }

    /// The number that the next event gets, and the live ones.
    fn numbers(&self) -> Result<(u64, Intervals)> {
        let Some(engine) = self.channel.engine() else { return failed("the channel is not open") };
        let s = lock(&engine.state);
        Ok((s.next_number, s.live.clone()))
    }

    /// What an import before this one has come to, and what is to be done therefore.
    pub fn before(&self, job: &Import, files: Vec<String>) -> Result<Before> {
        let mut found = None;
        for dir in &self.dirs {
            found = found.or(ImportState::read(self.fs.as_ref(), dir).map_err(at(&dir.join(NAME)))?);
        }
        let (next, live) = self.numbers()?;
        let anew = |files| Ok(Before::Ready { skip: 0, state: ImportState::Begun { next, files } });
        match found {
            None => anew(files),
            Some(_) if job.repeat == Repeat::Again => anew(files),
            Some(ImportState::Done { events, files: theirs }) => {
                let before = ImportState::Done { events, files: theirs };
                if before.is_of(&job.data_dirs).map_err(at(&job.data_dirs[0]))? {
                    let n = count(events, "event");
                    return Ok(Before::Done(format!("done already: {n} were imported; nothing to do")));
                }
                failed(format!(
                    "{} were imported before, from files of Flume's that have changed since, or from others: what was \
                     undelivered then and still is would come twice; --again imports all the same",
                    count(events, "event")
                ))
            }
            Some(ImportState::Begun { next: first, files: theirs }) => {
                let stored = live.within(first..u64::MAX).count();
                let n = count(stored, "event");
                if job.repeat == Repeat::Refuse {
                    return failed(format!(
                        "an earlier import was cut short when {n} had been stored: --resume goes on behind them, \
                         --again imports everything again, and those come twice"
                    ));
                }
                if theirs != files {
                    return failed(format!(
                        "an earlier import was cut short when {n} had been stored, and Flume's files have changed since, \
                         or its checkpoint is given now and was not then: it cannot be resumed; --again imports \
                         everything again"
                    ));
                }
                Ok(Before::Ready { skip: stored, state: ImportState::Begun { next: first, files } })
            }
        }
    }

    /// Into the first directory; another one's is of an order of dataDirs before.
    pub fn mark(&self, state: &ImportState) -> Result<()> {
        let mut dirs = self.dirs.iter();
        let has = |d: &&PathBuf| ImportState::read(self.fs.as_ref(), d).is_ok_and(|s| s.is_some());
        let Some(dir) = dirs.find(has).or(self.dirs.first()) else {
            return failed("there is no data directory");
        };
        state.write(self.fs.as_ref(), dir).map_err(at(&dir.join(NAME)))
    }

    /// Stores what Flume has, but for the first events; how many are stored then.
    pub fn store(
        &self,
        theirs: &mut Undelivered,
        (skip, batch): (u64, usize),
        progress: &mut dyn FnMut(Step),
    ) -> Result<u64> {
        let all = theirs.len() as u64;
        let channel: Arc<dyn Channel> = self.channel.clone();
        let wake: Arc<dyn Wake> = Arc::new(Unpark(std::thread::current()));
        let mut done = 0;
        loop {
            let most = if done < skip { (batch as u64).min(skip - done) as usize } else { batch };
            let batch = theirs.next_batch(most, BATCH_BYTES).map_err(|e| ToolError::Failed(e.to_string()))?;
            let Some(batch) = batch else { break };
            let n = batch.len() as u64;
            if done >= skip {
                self.put(&channel, batch, &wake).map_err(|why| cut_short(&why, done))?;
            }
            done += n;
            progress(Step::Storing(done, all));
        }
        if done < skip {
            return failed(format!(
                "the channel has {skip} events of an import, but Flume's files only {done}"
            ));
        }
        Ok(done)
    }

    fn put(
        &self,
        channel: &Arc<dyn Channel>,
        batch: Batch,
        wake: &Arc<dyn Wake>,
    ) -> std::result::Result<(), String> {
        let events = Events::all(Arc::new(batch));
        let room = Room::of(&events);
        if room.bytes > LARGEST {
            return Err(format!("an event of {} bytes is too large for a file channel", room.bytes));
        }
        let until = Instant::now() + PATIENCE;
        let put = loop {
            match Put::reserve(channel, room, None) {
                Ok(put) => break put,
                Err(PutError::Full) if Instant::now() < until => {
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                Err(PutError::Full) => {
                    return Err(self.channel.trouble().unwrap_or("there is no room".to_owned()))
                }
                Err(e) => return Err(e.to_string()),
            }
        };
        let ticket = put.append(events, wake).map_err(|e| e.to_string())?;
        loop {
            match ticket.state() {
                TicketState::Open => std::thread::park_timeout(Duration::from_millis(100)),
                TicketState::Done => return Ok(()),
                TicketState::Failed(why) => return Err(why),
            }
        }
    }
}

fn cut_short(why: &str, done: u64) -> ToolError {
    let n = count(done, "event");
    ToolError::Failed(format!("{why}; {n} are stored, go on with --resume when that is mended"))
}

/// Gets the importing thread going again.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}
