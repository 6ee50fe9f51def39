//! One run of the command: its output as lines, and the steps to its end.
//!
//! ```text
//!   reading --end of output--> lingering --1 s--> terminated --2 s--> killed --0.2 s--> left
//!      +------------the agent stops------------------^ +--2 s, the group is gone----------^
//! ```
//! It is over when its process group is gone and its output has ended; what is in the pipe is read until then. A process
//! that left the group and holds the output open is not waited for once the group is gone and the pipe is silent; and
//! should it go on to write, no more is read in the end than what the group can have left in the pipe.

use super::process::Process;
use super::wait::Alarm;
use crate::codec::charset::Charset;
use crate::codec::readline::ReadLine;
use crate::codec::{BatchLimits, Then};
use crate::event::{Batch, BufferPool};
use crate::net::Intake;
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For a command that has closed its output to end by itself.
const LINGER: Duration = Duration::from_secs(1);
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// What a pipe holds.
const PIPE: usize = 1 << 16;
/// How long a pipe has to be silent to be left, when the command is gone and others hold it.
const SILENCE: Duration = Duration::from_millis(200);
/// How often an ending command is looked at, and one that runs.
const TICK: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_secs(10);

pub(super) struct Running {
    pub process: Process,
    name: String,
    intake: Intake,
    pub lines: ReadLine,
    step: Step,
    /// When something was read for the last time.
    heard: Instant,
    told_orphan: bool,
    /// Its own process was told to end.
    is_asked: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Reading,
    /// Ends by itself, or is terminated then.
    Lingering(Instant),
    /// Ends, or is killed then.
    Terminated(Instant),
    /// Since then.
    Killed(Instant),
    /// Only what is in the pipe is read, at most so many bytes.
    Left(usize),
}

/// What reading came to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// The batch holds what there is, or is full, or there was a change of the `Stop`.
    Done,
    /// The command has ended and nothing is left to read.
    Over,
}

impl Running {
    pub fn new(process: Process, name: &str, longest: usize, charset: Charset) -> Running {
        Running {
            process,
            name: name.to_owned(),
            intake: Intake::default(),
            lines: ReadLine::new(longest, charset),
            step: Step::Reading,
            heard: Instant::now(),
            told_orphan: false,
            is_asked: false,
        }
    }

    /// Waits for lines. A batch goes when it is full, when the pipe is empty, and at the latest `most` after its first
    /// line.
    pub fn read(
        &mut self,
        limits: BatchLimits,
        most: Duration,
        alarm: &mut Alarm,
        pool: &Arc<BufferPool>,
        batch: &mut Batch,
    ) -> Read {
        let mut first = None;
        loop {
            self.advance(Instant::now());
            if self.decode(limits, batch, pool) {
                return Read::Done;
            }
            if !batch.is_empty() {
                let first = *first.get_or_insert_with(Instant::now);
                if self.intake.eof || first.elapsed() >= most {
                    return Read::Done;
                }
            } else if self.is_over() {
                if self.intake.eof {
                    return Read::Over;
                }
                log::warn!(
                    "source {}: a process outside the command's group holds its output open; it is not read on",
                    self.name
                );
                // An unterminated last line is still an event.
                let _ = self.intake.read(&mut io::empty(), pool, true);
                continue;
            }
            let wait = match self.step {
                _ if !batch.is_empty() => Duration::ZERO,
                Step::Reading if !self.intake.eof => LOOK,
                _ => TICK,
            };
            let is_read = !self.intake.eof && self.step != Step::Left(0);
            let pipe = is_read.then(|| self.process.stdout.as_fd());
            if alarm.wait(pipe, wait) {
                self.fill(pool);
            } else if !batch.is_empty() || wait == LOOK || alarm.take_raised() {
                self.look_for_orphans();
                return Read::Done;
            }
        }
    }

    /// `true` when the batch is full.
    fn decode(&mut self, limits: BatchLimits, batch: &mut Batch, pool: &Arc<BufferPool>) -> bool {
        let Some(chunk) = self.intake.in_hand() else { return false };
        let done = self.lines.decode(&chunk, self.intake.eof, limits, batch);
        self.intake.used(done.used);
        if done.then == Then::Full {
            return true;
        }
        self.intake.put_rest_aside(pool);
        false
    }

    /// Reads once, when that does not block.
    fn fill(&mut self, pool: &Arc<BufferPool>) {
        self.heard = Instant::now();
        match self.intake.read(&mut self.process.stdout, pool, false) {
            Ok(n) => {
                if let Step::Left(left) = &mut self.step {
                    *left = left.saturating_sub(n);
                }
            }
            Err(e) => {
                log::error!("source {}: the command's output: {e}", self.name);
                let _ = self.intake.read(&mut io::empty(), pool, true);
            }
        }
    }

    /// The agent stops.
    pub fn terminate(&mut self) {
        if matches!(self.step, Step::Reading | Step::Lingering(_)) {
            self.is_asked = !self.process.has_ended();
            self.process.signal(Signal::SIGTERM);
            self.step = Step::Terminated(Instant::now() + GRACE);
        }
    }

    /// Why it has ended, when that was in failure and nobody told it to.
    pub fn failure(&mut self) -> Option<String> {
        let status = self.process.status().filter(|s| !self.is_asked && !s.success())?;
        Some(format!("the command has ended, {status}"))
    }

    /// Takes the step whose time has come.
    fn advance(&mut self, now: Instant) {
        match self.step {
            Step::Reading if self.intake.eof => self.step = Step::Lingering(now + LINGER),
            Step::Lingering(until) if now >= until || self.process.status().is_some() => self.terminate(),
            Step::Terminated(until) if now >= until && self.process.is_gone() => {
                self.step = Step::Left(PIPE);
            }
            Step::Terminated(until) if now >= until => {
                let who = match self.process.status() {
                    None => "the command did not end after SIGTERM, it is killed",
                    Some(_) => {
                        "the command has ended, others of its group did not after SIGTERM, they are killed"
                    }
                };
                log::warn!("source {}: {who}", self.name);
                self.process.signal(Signal::SIGKILL);
                self.step = Step::Killed(now);
            }
            // What is killed and not yet gone is waited for by somebody else: a zombie whose parent does not care.
            Step::Killed(at) if now >= at + SILENCE && self.process.status().is_some() => {
                self.step = Step::Left(PIPE);
            }
            _ => {}
        }
    }

    /// Whether the command has ended and there is nothing to wait for.
    fn is_over(&mut self) -> bool {
        match self.step {
            Step::Reading if !self.intake.eof => false,
            Step::Left(left) => self.intake.eof || left == 0 || self.is_silent(),
            _ => {
                self.process.is_gone()
                    && (self.intake.eof || self.heard.elapsed() >= SILENCE && self.is_silent())
            }
        }
    }

    /// Asked of the pipe: nothing was heard of it either while a full channel kept it from being read.
    fn is_silent(&self) -> bool {
        super::wait::readable([self.process.stdout.as_fd()], Duration::ZERO) == [false]
    }

    /// A command may end and leave its output to others, who are read on.
    fn look_for_orphans(&mut self) {
        if self.step == Step::Reading && !self.intake.eof && !self.told_orphan && self.process.has_ended() {
            self.told_orphan = true;
            log::info!("source {}: the command has ended, its output is held open by others", self.name);
        }
    }

    /// Ends it here and now, within some 400 ms. Returns how many lines nobody will have.
    pub fn end_now(&mut self, pool: &Arc<BufferPool>) -> usize {
        self.terminate();
        self.process.wait_gone(Duration::from_millis(100));
        self.process.signal(Signal::SIGKILL);
        self.process.wait_gone(Duration::from_millis(100));
        let until = Instant::now() + Duration::from_millis(100);
        let limits = BatchLimits { events: 10_000, bytes: usize::MAX };
        let mut lost = 0;
        loop {
            let mut batch = Batch::new();
            let is_full = self.decode(limits, &mut batch, pool);
            lost += batch.len();
            if is_full {
                continue;
            }
            let [more] = super::wait::readable([self.process.stdout.as_fd()], Duration::ZERO);
            if self.intake.eof {
                return lost;
            }
            if more && Instant::now() < until {
                self.fill(pool);
            } else {
                let _ = self.intake.read(&mut io::empty(), pool, true);
            }
        }
    }
}
