//! Running sinks, each on a thread of its own. In a reload a changed sink's successor begins when it is over: there are
//! never two of one name at work on one channel. The sinks of a group share gates, and a change of one of them begins
//! all of them anew; another processor decides about those that run. Belongs to the main thread.

use super::unharmed::unharmed;
use super::worker::{Worker, GRACE};
use crate::channel::Channel;
use crate::clock::Backoff;
use crate::component::{Processor, SinkParts};
use crate::config::{Plan, PlannedGroup, PlannedSink};
use crate::counters::{SinkCounters, State, Team};
use crate::lifecycle::Stop;
use crate::outage::Outage;
use crate::registry;
use crate::runner::{Budget, Gate, Member, SinkRunner};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a changed sink's successor waits for it. One that hangs for longer is left behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the others of its group stand by meanwhile: they may be there to stand in for it.
const COURTESY: Duration = Duration::from_secs(1);

pub struct RunningSink {
    pub planned: PlannedSink,
    pub counters: Arc<SinkCounters>,
    pub channel: Arc<dyn Channel>,
    /// What it passes before it takes, if it is in a group.
    gate: Option<Arc<Gate>>,
    /// `None` until it begins, and when it has ended.
    worker: Option<Worker>,
    /// Threads that have to be over first, and until when that is waited for.
    before: Vec<(Worker, Instant)>,
    retry: Option<(Instant, Backoff)>,
    outage: Outage,
}

impl RunningSink {
    /// `gates`: those made for the others of `plan` that begin with it.
    pub fn new(
        plan: &Plan,
        planned: PlannedSink,
        counters: Arc<SinkCounters>,
        channel: Arc<dyn Channel>,
        gates: &mut Gates,
    ) -> Result<RunningSink, String> {
        let gate = gates.before(plan, &planned, &channel)?;
        let (worker, before, retry, outage) = (None, Vec::new(), None, Outage::default());
        Ok(RunningSink { planned, counters, channel, gate, worker, before, retry, outage })
    }

    pub fn name(&self) -> &str {
        &self.planned.planned.name
    }

    /// Whether this sink can go on as that one: it says the same, but for the processor of its group.
    pub fn can_become(&self, other: &PlannedSink) -> bool {
        fn group(k: &PlannedSink) -> Option<(&str, &[String])> {
            k.group.as_ref().map(|g| (g.name.as_str(), g.sinks.as_slice()))
        }
        self.planned.planned.says_the_same(&other.planned)
            && self.planned.channel == other.channel
            && group(&self.planned) == group(other)
    }

    /// The gate that goes on, and what is to decide there by that plan, where that is not the same as now.
    pub fn changed_gate(&self, plan: &Plan, other: &PlannedSink) -> Result<Option<NewProcessor>, String> {
        let (Some(gate), Some(group)) = (&self.gate, &other.group) else { return Ok(None) };
        if self.planned.says_the_same(other) {
            return Ok(None);
        }
        Ok(Some((gate.clone(), processor(plan, group, &other.channel)?.1)))
    }

    /// Shows with it who can stand in for it.
    pub fn join_team(&self) {
        let channel = &self.planned.channel;
        let team =
            self.planned.group.as_ref().map(|g| Team { group: g.name.clone(), channel: channel.clone() });
        self.counters.set_team(team);
    }

    /// Tells the sink of that name before this one to end; this one waits for it.
    pub fn replaces(&mut self, old: RunningSink) {
        old.halt();
        // Those before that one may be at work still.
        self.before.extend(old.before);
        self.before.extend(old.worker.map(|w| (w, Instant::now() + PATIENCE)));
    }

    pub fn has_begun(&self) -> bool {
        self.worker.is_some()
    }

    pub fn is_waiting(&self) -> bool {
        self.worker.is_none() && !self.before.is_empty()
    }

    /// When it wants to be tried again, if its thread could not be had.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry.as_ref().map(|(at, _)| *at)
    }

    /// Begins, if it has not and nothing stands before it.
    pub fn try_start(&mut self) {
        let now = Instant::now();
        if self.worker.is_some() || self.retry_at().is_some_and(|at| at > now) {
            return;
        }
        let name = self.name().to_owned();
        self.before.retain(|(before, until)| {
            if !before.is_over() && *until <= now {
                before.stop.disown();
                log::error!("sink {name}: the one before it hangs in a call and is left behind");
                return false;
            }
            !before.is_over()
        });
        if !self.before.is_empty() {
            let is_late = |(_, until): &(Worker, Instant)| *until + COURTESY <= now + PATIENCE;
            if let Some(gate) = self.gate.as_ref().filter(|_| self.before.iter().any(is_late)) {
                gate.go_without(&name);
            }
            return;
        }
        match self.spawn() {
            Ok(worker) => (self.worker, self.retry) = (Some(worker), None),
            Err(why) => {
                let first = || Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
                let mut backoff = self.retry.take().map_or_else(first, |(_, backoff)| backoff);
                let pause = backoff.next_pause();
                if let Some(count) = self.outage.failed(&why, now) {
                    log::error!("sink {name}: {why}{count}; next try in {} ms", pause.as_millis());
                }
                self.counters.health.set(State::Failed(why));
                self.retry = Some((now + pause, backoff));
            }
        }
    }

    fn spawn(&self) -> Result<Worker, String> {
        let spec =
            registry::sink(&self.planned.planned.context).ok_or("a sink type without a build function")?;
        let stop = Arc::new(Stop::default());
        let (context, parts) = (self.planned.planned.context.clone(), self.counters.clone());
        let runner = SinkRunner {
            name: self.name().to_owned(),
            budget: Budget::new(&context),
            make: Box::new(move || (spec.build)(&context, SinkParts { counters: parts.clone() })),
            channel: self.channel.clone(),
            counters: self.counters.clone(),
            stop: stop.clone(),
            member: self.gate.as_ref().and_then(|g| Member::new(g, self.name(), stop.clone())),
        };
        let thread = runner.spawn().map_err(|e| format!("cannot have a thread: {e}"))?;
        Ok(Worker { stop, thread })
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

    /// Waits until then for its end; not for one that starts, and so has no events, while nothing would be lost.
    fn wait(&self, until: Instant) -> bool {
        let starts = |w: &Worker| w.stop.is_idle() && self.channel.perishable() == 0;
        self.worker.as_ref().is_none_or(|w| w.wait_unless(until, || starts(w)))
    }
}

/// What is to decide at a gate that goes on.
pub type NewProcessor = (Arc<Gate>, Box<dyn Processor>);

/// The gates of sinks that begin together: one for each group and channel, by the group's name and the channel's.
#[derive(Default)]
pub struct Gates(Vec<(String, String, Arc<Gate>)>);

impl Gates {
    /// The gate that this sink passes; `None`: it stands alone.
    fn before(
        &mut self,
        plan: &Plan,
        sink: &PlannedSink,
        channel: &Arc<dyn Channel>,
    ) -> Result<Option<Arc<Gate>>, String> {
        let Some(group) = &sink.group else { return Ok(None) };
        let is_its = |(g, c, _): &&(String, String, Arc<Gate>)| *g == group.name && *c == sink.channel;
        if let Some((_, _, gate)) = self.0.iter().find(is_its) {
            return Ok(Some(gate.clone()));
        }
        let (sinks, processor) = processor(plan, group, &sink.channel)?;
        let gate = Gate::new(&group.name, &sinks, channel.clone(), processor);
        self.0.push((group.name.clone(), sink.channel.clone(), gate.clone()));
        Ok(Some(gate))
    }
}

/// What decides about those sinks of a group that share this channel, and their names.
fn processor(
    plan: &Plan,
    group: &PlannedGroup,
    channel: &str,
) -> Result<(Vec<String>, Box<dyn Processor>), String> {
    let shares = |name: &&String| plan.sinks.iter().any(|k| k.planned.name == **name && k.channel == channel);
    let sinks: Vec<String> = group.sinks.iter().filter(shares).cloned().collect();
    let spec = registry::processor(&group.processor).ok_or("a processor type without a build function")?;
    let building = format!("building the processor of group {}", group.name);
    let processor = unharmed(&building, || (spec.build.new)(&group.processor, &sinks))?;
    Ok((sinks, processor))
}

/// Has all sinks drain and end; halts those that have not at the deadline. `false` when there are such.
pub fn stop_all(sinks: &mut [RunningSink], deadline: Instant) -> bool {
    sinks.iter().for_each(RunningSink::drain);
    // What is in the channel of one that waits for its predecessor needs somebody who delivers it.
    while sinks.iter().any(RunningSink::is_waiting) && Instant::now() < deadline {
        for k in sinks.iter_mut().filter(|k| k.is_waiting()) {
            k.try_start();
            k.drain();
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    let mut in_time = true;
    for k in sinks.iter() {
        if k.is_waiting() || !k.wait(deadline) {
            in_time = false;
            log::error!("sink {} did not finish in time", k.name());
        }
    }
    sinks.iter().for_each(RunningSink::halt);
    // A halted sink ends after the call it is in; one that hangs in it is left behind.
    let grace = Instant::now() + GRACE;
    sinks.iter().for_each(|k| {
        k.wait(grace);
    });
    in_time
}
