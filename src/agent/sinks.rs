//! Running sinks, each on a thread of its own. In a reload a changed sink's successor begins when it is over: there are
//! never two of one name at work. Belongs to the main thread.

use super::worker::{Worker, GRACE};
use crate::channel::Channel;
use crate::component::SinkParts;
use crate::config::PlannedSink;
use crate::counters::SinkCounters;
use crate::lifecycle::Stop;
use crate::registry;
use crate::runner::{Budget, SinkRunner};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a changed sink's successor waits for it. One that hangs for longer is left behind.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct RunningSink {
    pub planned: PlannedSink,
    pub counters: Arc<SinkCounters>,
    pub channel: Arc<dyn Channel>,
    /// `None` until it begins, and when it has ended.
    worker: Option<Worker>,
    /// The thread that has to be over first, and until when that is waited for.
    before: Option<(Worker, Instant)>,
}

impl RunningSink {
    pub fn new(planned: PlannedSink, counters: Arc<SinkCounters>, channel: Arc<dyn Channel>) -> RunningSink {
        RunningSink { planned, counters, channel, worker: None, before: None }
    }

    pub fn name(&self) -> &str {
        &self.planned.planned.name
    }

    /// Tells the sink of that name before this one to end; this one waits for it.
    pub fn replaces(&mut self, old: RunningSink) {
        old.halt();
        // If that one had not begun, the one before it may be at work still.
        let (worker, before) = (old.worker, old.before);
        self.before = worker.map(|w| (w, Instant::now() + PATIENCE)).or(before);
    }

    pub fn is_waiting(&self) -> bool {
        self.worker.is_none() && self.before.is_some()
    }

    /// Begins, if it has not and nothing stands before it.
    pub fn try_start(&mut self) -> Result<(), String> {
        if self.worker.is_some() {
            return Ok(());
        }
        if let Some((before, until)) = &self.before {
            if !before.is_over() {
                if *until > Instant::now() {
                    return Ok(());
                }
                log::error!("sink {}: the one before it hangs in a call and is left behind", self.name());
            }
            self.before = None;
        }
        let spec =
            registry::sink(self.planned.planned.declared).ok_or("a sink type without a build function")?;
        let stop = Arc::new(Stop::default());
        let (context, parts) = (self.planned.planned.context.clone(), self.counters.clone());
        let runner = SinkRunner {
            name: self.name().to_owned(),
            budget: Budget::new(&context),
            make: Box::new(move || (spec.build)(&context, SinkParts { counters: parts.clone() })),
            channel: self.channel.clone(),
            counters: self.counters.clone(),
            stop: stop.clone(),
        };
        let thread = runner.spawn().map_err(|e| format!("thread of sink {}: {e}", self.name()))?;
        self.worker = Some(Worker { stop, thread });
        Ok(())
    }

    /// Deliver what is there, then end.
    pub fn drain(&self) {
        if let Some(w) = &self.worker {
            w.stop.drain();
            self.channel.interrupt_takers();
        }
    }

    /// End after the call it is in.
    pub fn halt(&self) {
        if let Some(w) = &self.worker {
            w.stop.halt();
            self.channel.interrupt_takers();
        }
    }

    pub fn is_over(&self) -> bool {
        self.worker.as_ref().is_none_or(Worker::is_over)
    }

    fn wait(&self, until: Instant) -> bool {
        self.worker.as_ref().is_none_or(|w| w.wait(until))
    }
}

/// Has all sinks drain and end; halts those that have not at the deadline. `false` when there are such.
pub fn stop_all(sinks: &mut [RunningSink], deadline: Instant) -> bool {
    for k in sinks.iter_mut() {
        // What is in its channel needs somebody who delivers it.
        while k.is_waiting() && Instant::now() < deadline {
            if let Err(e) = k.try_start() {
                log::error!("{e}");
                break;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        k.drain();
    }
    let mut in_time = true;
    for k in sinks.iter() {
        if !k.wait(deadline) {
            in_time = false;
            log::error!("sink {} did not finish in time", k.name());
            k.halt();
        }
    }
    // A halted sink ends after the call it is in; one that hangs in it is left behind.
    let grace = Instant::now() + GRACE;
    sinks.iter().for_each(|k| {
        k.wait(grace);
    });
    in_time
}
