//! The thread of a sink, `sink:<name>`: take, deliver, commit; back off after failures; begin anew after a panic.
//!
//! A sink on an empty channel waits for the next commit, not for a poll interval, and a batch does not wait for more
//! events than there are. A failed batch is rolled back whole and tried again with growing pauses.

use crate::channel::{Channel, Take};
use crate::clock::Backoff;
use crate::component::{Sink, SinkError};
use crate::counters::{SinkCounters, State};
use crate::lifecycle::Stop;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a sink with nothing due waits before it looks around.
const IDLE: Duration = Duration::from_secs(3600);

/// Everything a sink's thread works with.
pub struct SinkRunner {
    pub name: String,
    pub make: Box<dyn Fn() -> Box<dyn Sink> + Send>,
    pub channel: Arc<dyn Channel>,
    pub counters: Arc<SinkCounters>,
    pub stop: Arc<Stop>,
}

impl SinkRunner {
    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(format!("sink:{}", self.name)).spawn(move || self.run())
    }

    fn run(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.live(&mut backoff))) {
                Ok(()) => break,
                Err(_) => {
                    self.fail("panicked; a new one takes its place", &mut backoff);
                    if self.stop.is_halted() {
                        break;
                    }
                }
            }
        }
        self.counters.health.set(State::Stopped);
    }

    /// One sink's life, from start to stop.
    fn live(&self, backoff: &mut Backoff) {
        let mut sink = (self.make)();
        while let Err(e) = sink.start() {
            self.fail(&format!("cannot start: {e}"), backoff);
            // A drain waits for the sink to come up, a halt does not.
            if self.stop.is_halted() || (self.stop.is_draining() && self.channel.backlog() == 0) {
                return;
            }
        }
        backoff.reset();
        self.counters.health.set(State::Started);
        log::info!("sink {} started", self.name);
        self.serve(sink.as_mut(), backoff);
        if let Err(e) = sink.stop() {
            self.counters.failed(&e.0);
            log::error!("sink {}: stop: {e}", self.name);
        }
    }

    fn serve(&self, sink: &mut dyn Sink, backoff: &mut Backoff) {
        let mut tick_failed = false;
        while !self.stop.is_halted() {
            if self.stop.is_draining() && self.channel.limits().durable {
                // What is in it will be there when the agent starts again.
                return;
            }
            let due = match sink.tick(Instant::now()) {
                Ok(due) => {
                    if std::mem::take(&mut tick_failed) && self.counters.health.set_started_again() {
                        log::info!("sink {} works again", self.name);
                    }
                    due
                }
                Err(e) => {
                    tick_failed = true;
                    self.note_failure(&e.0);
                    log::error!("sink {}: {e}", self.name);
                    Some(Instant::now() + backoff.next_pause())
                }
            };
            let until = due.unwrap_or_else(|| Instant::now() + IDLE);
            let take = match Take::begin(&self.channel, sink.batch_size(), until, self.stop.draining()) {
                Ok(take) => take,
                Err(e) => {
                    self.counters.channel_read_fail.one();
                    self.fail(&format!("cannot take from channel {}: {e}", self.channel.name()), backoff);
                    continue;
                }
            };
            if take.is_empty() {
                self.counters.batch_empty.one();
                if self.stop.is_draining() {
                    if self.channel.backlog() == 0 {
                        return;
                    }
                    // Another sink of the channel holds events that it may yet roll back.
                    self.stop.pause(Duration::from_millis(20));
                }
                continue;
            }
            match self.pass_on(sink, take) {
                Ok(()) => {
                    backoff.reset();
                    if self.counters.health.set_started_again() {
                        log::info!("sink {} delivers again", self.name);
                    }
                }
                Err(e) => {
                    self.counters.event_write_fail.one();
                    self.fail(&format!("cannot deliver: {e}"), backoff);
                }
            }
        }
    }

    fn pass_on(&self, sink: &mut dyn Sink, take: Take) -> Result<(), SinkError> {
        let n = take.len();
        self.counters.drain_attempt.add(n);
        sink.deliver(&take)?;
        take.commit()
            .map_err(|e| SinkError(format!("delivered but not committed, will be repeated: {e}")))?;
        self.counters.drain_success.add(n);
        self.counters.succeeded();
        if n >= sink.batch_size() {
            self.counters.batch_complete.one();
        } else {
            self.counters.batch_underflow.one();
        }
        Ok(())
    }

    fn note_failure(&self, why: &str) {
        self.counters.failed(why);
        self.counters.health.set(State::Failed(why.to_owned()));
    }

    /// Notes a failure and pauses.
    fn fail(&self, why: &str, backoff: &mut Backoff) {
        self.note_failure(why);
        let pause = backoff.next_pause();
        log::error!("sink {}: {why}; next try in {} ms", self.name, pause.as_millis());
        self.stop.pause(pause);
    }
}

#[cfg(test)]
mod tests;
