//! The exec source: runs a command and makes an event of each line of its output.
//!
//! Polled by its own thread, which reads the command's pipe; a thread more reads its standard error. Delivery: nothing
//! is read while a channel is full, so the pipe fills and the command waits (Flume kills it and loses what it had
//! buffered). What the command has written when the agent stops is still read. A command keeps no position: what it
//! writes, or would have written, while the agent is down or it is restarted is its own affair.
//!
//! The command leads a process group. It is sent SIGTERM when the agent stops, and SIGKILL when that does not end it;
//! the rest of its group goes with it. Where the agent itself is killed, the command is told by SIGPIPE at its next line.

mod process;
mod running;
mod stderr;
mod wait;

#[cfg(test)]
mod tests;

use crate::codec::charset::Charset;
use crate::codec::BatchLimits;
use crate::component::{Pauses, PollableSource, Polled, Source, SourceError, SourceParts, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::counters::State as Health;
use crate::event::{Batch, BufferPool};
use crate::net::Throttle;
use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOMEM};
use process::Process;
use running::{Read, Running};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wait::Alarm;

/// The size of read buffers: what a pipe holds; and how many wait for the next read.
const BUFFER: usize = 1 << 16;
const BUFFERS: usize = 4;
/// Between two starts, whatever `restartThrottle` says: a command that dies at once must not take a core.
const LEAST_THROTTLE: Duration = Duration::from_millis(100);
/// As good as never, and no overflow.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "exec",
        class: "org.apache.flume.source.ExecSource",
        help: "Runs a command; each line of its output is an event",
        keys: &[&[
            Key::new(
                "command",
                Type::Text,
                Default::Required,
                "what to run; without shell: split at white space",
            ),
            Key::new(
                "shell",
                Type::Text,
                Default::None,
                "what runs the command, such as /bin/sh -c; it gets the command as one argument",
            ),
            Key::new("restart", Type::Bool, Default::Is("false"), "run the command again when it has ended"),
            Key::new(
                "restartThrottle",
                Type::Millis(0, i64::MAX),
                Default::Is("10000"),
                "milliseconds before it is run again; at least 100",
            ),
            Key::new("logStdErr", Type::Bool, Default::Is("false"), "write its standard error to the log"),
            Key::new("batchSize", super::COUNT, Default::Is("20"), "most events of one transaction"),
            Key::new(
                "batchTimeout",
                Type::Millis(0, i64::MAX),
                Default::Is("3000"),
                "milliseconds a batch may take; one goes earlier when there is nothing to read",
            ),
            Key::new("charset", Type::Text, Default::Is("UTF-8"), "charset of the output, and of bodies"),
            Key::new(
                "maxLineLength",
                Type::Int(16, 1 << 26),
                Default::Is("1048576"),
                "bytes of a line; a longer one becomes several events",
            ),
        ]],
        batch_key: Some("batchSize"),
        check: Some(check),
        advice: None,
        differs: &[
            "where a channel is full nothing is read and the command waits; Flume kills it",
            "a stop sends SIGTERM to the command's process group and reads its last lines, SIGKILL follows after 2 s; \
             Flume ends the command alone",
            "children that the command leaves behind when it ends are ended too",
            "a batch goes when there is nothing to read; batchTimeout only bounds it",
            "a line longer than maxLineLength is cut; Flume has no limit",
            "bytes that are not of the charset pass through; Flume replaces them",
            "restartThrottle is at least 100 ms",
        ],
    },
    build,
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    for key in ["command", "shell"] {
        if ctx.text(key).is_some_and(|t| words(t).next().is_none()) {
            wrong.push((key, "is empty".to_owned()));
        }
        if ctx.text(key).is_some_and(|t| t.contains('\0')) {
            wrong.push((key, "holds a character of code 0".to_owned()));
        }
    }
    let name = ctx.text("charset").unwrap_or_default();
    if Charset::named(name).is_none() {
        wrong.push(("charset", format!("'{name}' is not a known charset")));
    }
    wrong
}

fn build(ctx: &Context) -> Source {
    let text = ctx.text("command").expect("command is required");
    let command = match ctx.text("shell") {
        Some(shell) => words(shell).chain([text]).map(str::to_owned).collect(),
        None => words(text).map(str::to_owned).collect(),
    };
    let exec = Exec {
        command,
        shown: ctx.shown("command", text).to_owned(),
        is_hidden: ctx.is_hidden("command") || ctx.is_hidden("shell"),
        restart: ctx.flag("restart"),
        throttle: ctx.duration("restartThrottle").unwrap_or(FAR).clamp(LEAST_THROTTLE, FAR),
        log_stderr: ctx.flag("logStdErr"),
        batch: ctx.size("batchSize"),
        most: ctx.duration("batchTimeout").unwrap_or(FAR),
        longest: ctx.size("maxLineLength"),
        charset: ctx.text("charset").and_then(Charset::named).expect("check has seen the charset"),
        pool: BufferPool::new(BUFFER, BUFFERS),
        runs: 0,
        told_cut: Throttle::default(),
        state: State::New,
    };
    // A poll that has nothing waits by itself.
    let pauses = Pauses { step: Duration::ZERO, most: Duration::ZERO };
    Source::Polled { source: Box::new(exec), pauses }
}

/// Split as Java's `\s+` does.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\n', '\x0b', '\x0c', '\r']).filter(|w| !w.is_empty())
}

struct Exec {
    command: Vec<String>,
    /// The command as the log may show it: a password may have come into it.
    shown: String,
    is_hidden: bool,
    restart: bool,
    throttle: Duration,
    log_stderr: bool,
    batch: usize,
    most: Duration,
    longest: usize,
    charset: Charset,
    pool: Arc<BufferPool>,
    /// How often the command was started.
    runs: u64,
    told_cut: Throttle,
    state: State,
}

enum State {
    New,
    /// To be run then.
    Due(Instant, Works),
    Runs(Box<Running>, Works),
    Over,
}

/// What a source that was started works with.
struct Works {
    parts: SourceParts,
    alarm: Alarm,
}

impl PollableSource for Exec {
    fn start(&mut self, parts: &SourceParts) -> Result<(), SourceError> {
        let alarm = Alarm::new(&parts.stop).map_err(|e| SourceError(format!("a pipe: {e}")))?;
        let parts = SourceParts { stop: parts.stop.clone(), counters: parts.counters.clone() };
        self.state = State::Due(Instant::now(), Works { parts, alarm });
        Ok(())
    }

    fn poll(&mut self, limits: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Due(at, works) => self.run(at, works),
            State::Runs(running, works) => {
                let limits = BatchLimits { events: limits.events.min(self.batch), ..limits };
                Ok(self.read(running, works, limits, batch))
            }
            State::New | State::Over => Ok(Polled::Finished),
        }
    }

    fn wind_down(&mut self) -> bool {
        match &mut self.state {
            State::Runs(running, _) => {
                running.terminate();
                true
            }
            _ => false,
        }
    }

    fn can_repeat(&self) -> bool {
        false
    }

    fn stop(&mut self) {
        if let State::Runs(mut running, works) = std::mem::replace(&mut self.state, State::Over) {
            let lost = running.end_now(&self.pool);
            let counters = &works.parts.counters;
            if lost > 0 {
                counters.event_received.add(lost);
                counters.event_dropped.add(lost);
                log::error!(
                    "source {}: {lost} lines of the command's output are lost: no more time",
                    counters.name
                );
            }
            self.tell_end(&mut running.process, &counters.name, "");
        }
    }
}

impl Exec {
    /// Waits for the time to run the command, and runs it.
    fn run(&mut self, mut at: Instant, mut works: Works) -> Result<Polled, SourceError> {
        let Works { parts, alarm } = &mut works;
        let name = &parts.counters.name;
        loop {
            while !parts.stop.is_draining() {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                alarm.wait(None, left);
            }
            if parts.stop.is_draining() {
                return Ok(Polled::Finished);
            }
            let error = match Process::start(&self.command, name, self.log_stderr) {
                Ok(process) => {
                    log::info!("source {name}: runs '{}' as process {}", self.shown, process.id());
                    if self.runs > 0 {
                        parts.counters.restarts.one();
                    }
                    self.runs += 1;
                    let running = Running::new(process, name, self.longest, self.charset);
                    self.state = State::Runs(Box::new(running), works);
                    return Ok(Polled::Ready);
                }
                Err(e) => e,
            };
            let program = if self.is_hidden { &self.shown } else { &self.command[0] };
            let why = format!("cannot run {program}: {error}");
            if is_passing(&error) {
                self.state = State::Due(at, works);
                return Err(SourceError(why));
            }
            parts.counters.generic_processing_fail.one();
            parts.counters.health.set(Health::Failed(why.clone()));
            if !self.restart {
                log::error!("source {name}: {why}; it is not tried again (restart = false)");
                return Ok(Polled::Finished);
            }
            log::error!("source {name}: {why}; next try in {} ms", self.throttle.as_millis());
            at = Instant::now() + self.throttle;
        }
    }

    fn read(
        &mut self,
        mut running: Box<Running>,
        mut works: Works,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Polled {
        let read = running.read(limits, self.most, &mut works.alarm, &self.pool, batch);
        let counters = &works.parts.counters;
        let cut = running.lines.take_cut();
        if cut > 0 {
            counters.lines_cut.add(cut);
            if let Some(note) = self.told_cut.pass(Instant::now()) {
                let name = &counters.name;
                log::warn!("source {name}: {cut} lines above {} bytes are cut{note}", self.longest);
            }
        }
        if read == Read::Done {
            self.state = State::Runs(running, works);
            return Polled::Ready;
        }
        let stops = works.parts.stop.is_draining();
        let then = match (stops, self.restart) {
            (true, _) => String::new(),
            (false, true) => format!("; it is run again in {} ms", self.throttle.as_millis()),
            (false, false) => "; it is not run again (restart = false)".to_owned(),
        };
        self.tell_end(&mut running.process, &counters.name, &then);
        if let Some(why) = running.failure().filter(|_| !stops && !self.restart) {
            counters.health.set(Health::Failed(format!("{why}{then}")));
        }
        if stops || !self.restart {
            return Polled::Finished;
        }
        self.state = State::Due(Instant::now() + self.throttle, works);
        Polled::Ready
    }

    /// Logs how the command ended. An end in failure is a warning, unless the agent asked for it.
    fn tell_end(&self, process: &mut Process, name: &str, then: &str) {
        let status = process.status().map_or("unknown status".to_owned(), |s| s.to_string());
        let after = process.since.elapsed().as_secs_f64();
        let text = format!("source {name}: the command has ended, {status}, after {after:.1} s");
        let words = process.last_words();
        if then.is_empty() || process.status().is_some_and(|s| s.success()) {
            log::info!("{text}{then}");
        } else if words.is_empty() {
            log::warn!("{text}{then}");
        } else if self.is_hidden && !self.log_stderr {
            log::warn!("{text}{then} (its stderr is not shown: the command holds hidden values)");
        } else {
            log::warn!("{text}{then}; the last line of its stderr: {words}");
        }
    }
}

/// Whether a start failed for want of what comes free again.
fn is_passing(e: &io::Error) -> bool {
    e.raw_os_error().is_some_and(|n| [EAGAIN, EMFILE, ENFILE, ENOMEM].contains(&n))
}
