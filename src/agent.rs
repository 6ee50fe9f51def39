//! The agent: builds the plan's components, runs them, changes them in a reload, stops them in order.
//!
//! Start: channels, sinks, sources, metrics. A component that cannot start is tried again with growing pauses while
//! the others work. Stop: sources first (what their sockets hold is stored or refused), then sinks drain what is in
//! memory, then channels. All of it happens on the main thread, which otherwise waits for signals, changes of the
//! configuration and retries; nobody else holds a reference to the agent.

use crate::channel::Channel;
use crate::config::{
    Context, Declared, Default, Key, Kind, Loader, Plan, PlannedSink, PlannedSource, Problems, RunOptions,
    Type,
};
use crate::counters::{
    AgentCounters, Counted, Registry, Renamed, SinkCounters, Snapshot, SourceCounters, State,
};
use crate::deliver::Deliver;
use crate::interceptor::Chain;
use crate::lifecycle::{CUT_SHORT, FAILURE};
use crate::net::{self, Loops, Names, Settings, SourceId};
use crate::registry;
use channels::{Gone, OpenedChannel};
use sinks::{Gates, RunningSink};
use sources::{Leaving, Served};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unharmed::unharmed;

mod channels;
mod memory;
mod monitoring;
mod reload;
mod signals;
mod sinks;
mod sources;
mod unharmed;
mod watcher;
mod worker;

pub static DECLARED: Declared = Declared {
    kind: Kind::Agent,
    name: "flumed",
    class: "",
    help: "Keys of the agent itself, written <agent>.flumed.<key> or -Dflumed.<key>",
    keys: &[LIMITS, monitoring::KEYS],
    batch_key: None,
    check: None,
    advice: Some(advice),
    differs: &[],
};

/// As many seconds as nobody means, and milliseconds as many do.
const LONG_STOP: i64 = 3000;

/// Most of Flume's times are milliseconds.
fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let long = ctx.int("shutdownTimeout").filter(|n| *n >= LONG_STOP);
    let what = |n| format!("{n} seconds are {} minutes: are milliseconds meant?", n / 60);
    long.map(|n| ("shutdownTimeout", what(n))).into_iter().collect()
}

const LIMITS: &[Key] = &[
    Key::new(
        "loopThreads",
        Type::Int(1, 64),
        Default::Is("1"),
        "threads that serve connections; each connection stays on one of them",
    ),
    Key::new(
        "poolThreads",
        Type::Int(1, 256),
        Default::Is("4"),
        "threads for what may block or takes long: components of one's own that say so, very long calls; one more for a source that would find none",
    ),
    Key::new(
        "maxConnections",
        Type::Int(1, 1_000_000),
        Default::Is("16384"),
        "open connections of one source; more are closed as they come",
    ),
    Key::new(
        "maxInFlightBytes",
        Type::Int(1 << 20, 1 << 40),
        Default::Is("67108864"),
        "bytes of unfinished messages, waiting batches and open tickets; above it one message a source is read on",
    ),
    Key::new(
        "maxPipelined",
        Type::Int(1, 65_536),
        Default::Is("64"),
        "batches of one connection that may wait for their answers",
    ),
    Key::new(
        "idleTimeout",
        Type::Seconds(0, 1 << 31),
        Default::Is("0"),
        "seconds after which a connection on which nothing happens is closed; 0 = never",
    ),
    Key::new(
        "messageTimeout",
        Type::Seconds(1, 1 << 31),
        Default::Is("60"),
        "seconds that a message above 4 KiB, or any HTTP request, may take to arrive whole; then its connection is closed",
    ),
    Key::new(
        "answerTimeout",
        Type::Seconds(1, 1 << 31),
        Default::Is("60"),
        "seconds after which a peer that takes none of its answers is closed",
    ),
    Key::new(
        "shutdownTimeout",
        Type::Seconds(1, 86_400),
        Default::Is("10"),
        "seconds a stop may take; what is not delivered by then is counted as lost",
    ),
];

/// How often what is ending is looked at.
const TICK: Duration = Duration::from_millis(5);

/// How often the kernel is asked what datagrams it dropped.
const LOOK_FOR_DROPS: Duration = Duration::from_secs(1);

/// What the main thread is asked to do.
enum Asked {
    Stop,
    /// Read the configuration again.
    Reload,
    /// It was read; the plan, and what was found.
    Apply(Option<Box<Plan>>, Problems),
}

/// Runs a plan until a signal ends it. Returns the exit code.
pub fn run(plan: Plan, options: RunOptions, loader: Loader) -> u8 {
    let began = Instant::now();
    raise_descriptor_limit();
    let (ask, asked) = channel();
    let every = options.reload;
    let ready = signals::watch(ask.clone())
        .map_err(|e| format!("cannot watch for signals: {e}"))
        .and_then(|()| Agent::build(plan, options))
        .and_then(|a| Ok((a, watcher::watch(loader, every, ask).map_err(|e| format!("no thread: {e}"))?)));
    let (mut agent, reload) = match ready {
        Ok(ready) => ready,
        Err(e) => {
            log::error!("cannot start: {e}");
            return FAILURE;
        }
    };
    agent.start(began);
    signals::limit_stop(agent.shutdown_timeout());
    agent.wait(&asked, &reload);
    agent.stop()
}

struct Agent {
    /// What runs.
    plan: Plan,
    options: RunOptions,
    counters: Arc<AgentCounters>,
    registry: Arc<Registry>,
    net: Loops,
    loop_threads: Vec<JoinHandle<()>>,
    next_id: u32,
    channels: Vec<OpenedChannel>,
    sinks: Vec<RunningSink>,
    sources: Vec<Served>,
    monitor: Option<Served>,
    /// What that serves, and where.
    metrics: Option<monitoring::Wanted>,
    /// Of earlier configurations, and not through yet.
    leaving: Vec<Leaving>,
    leaving_sinks: Vec<RunningSink>,
    gone: Vec<Gone>,
    /// When the kernel is asked what datagrams it dropped.
    drops_at: Option<Instant>,
    /// When a refused reload is tried again: what it lacked of the machine may be there by then.
    reload_at: Option<Instant>,
    /// All that was said of the last one that was refused: it is said once, unless somebody asks.
    refused: Option<String>,
}

impl Agent {
    fn build(plan: Plan, options: RunOptions) -> Result<Agent, String> {
        let settings = loop_settings(&plan.settings);
        let loops = plan.settings.size("loopThreads");
        let (net, loop_threads) = net::start(loops, settings, Arc::new(Names::default()))
            .map_err(|e| format!("event loop: {e}"))?;
        let mut agent = Agent {
            counters: AgentCounters::new(&plan.agent),
            options,
            registry: Arc::default(),
            net,
            loop_threads,
            next_id: 0,
            channels: Vec::new(),
            sinks: Vec::new(),
            sources: Vec::new(),
            monitor: None,
            metrics: None,
            leaving: Vec::new(),
            leaving_sinks: Vec::new(),
            gone: Vec::new(),
            drops_at: None,
            reload_at: None,
            refused: None,
            plan,
        };
        let heap = agent.heap(&agent.plan);
        for c in &agent.plan.channels {
            agent.channels.push(OpenedChannel::new(c, heap)?);
        }
        let mut gates = Gates::default();
        for k in &agent.plan.sinks {
            let counters = SinkCounters::new(&k.planned.name);
            let channel = channel_named(&agent.channels, &k.channel)?;
            agent.sinks.push(RunningSink::new(&agent.plan, k.clone(), counters, channel, &mut gates)?);
        }
        for r in agent.plan.sources.clone() {
            let counters = SourceCounters::new(&r.planned.name);
            let mut last = agent.next_id;
            let attach = |name: &str| channel_named(&agent.channels, name);
            let all = new_source(&mut last, &r, counters, &attach)?;
            agent.sources.extend(all);
            agent.next_id = last;
        }
        agent.metrics = monitoring::wanted(&agent.plan.settings, &agent.options).unwrap_or_else(|why| {
            log::error!("{why}; no metrics");
            None
        });
        if let Some(wanted) = agent.metrics.clone() {
            agent.monitor = Some(monitoring::source(agent.id(), wanted, &agent.registry));
        }
        agent.show();
        Ok(agent)
    }

    /// What stands for the heap of each memory channel.
    fn heap(&self, plan: &Plan) -> usize {
        let has_memory =
            |c: &&crate::config::Planned| ["memory", "spillablememory"].contains(&c.declared.name);
        memory::heap(self.options.heap) / plan.channels.iter().filter(has_memory).count().max(1)
    }

    fn id(&mut self) -> SourceId {
        self.next_id += 1;
        SourceId(self.next_id)
    }

    fn shutdown_timeout(&self) -> Duration {
        self.plan.settings.duration("shutdownTimeout").expect("has a default")
    }

    /// Shows what there is in the metrics.
    fn show(&self) {
        let mut all: Vec<Arc<dyn Counted>> = vec![self.counters.clone()];
        let gone = self.gone.iter().map(|g| &g.channel);
        for c in self.channels.iter().chain(gone) {
            all.push(c.channel.counters().clone());
            let takes = |k: &&RunningSink| Arc::ptr_eq(&k.channel, &c.channel);
            let leaving = self.gone.iter().flat_map(|g| &g.sinks);
            let sinks = self.sinks.iter().chain(leaving).filter(takes);
            c.channel.counters().set_sinks(sinks.map(|k| k.counters.clone()).collect());
        }
        self.sinks.iter().for_each(RunningSink::join_team);
        all.extend(self.sinks.iter().map(|k| k.counters.clone() as Arc<dyn Counted>));
        // Under names of their own: others may have theirs by now.
        for k in self.gone.iter().flat_map(|g| &g.sinks) {
            let name = format!("{}.leaving", k.name());
            all.push(Arc::new(Renamed { name, counted: k.counters.clone() }));
        }
        // Listeners of one source stand next to each other.
        let mut sources: Vec<_> = self.sources.iter().map(|s| &s.deliver.counters).collect();
        sources.dedup_by(|a, b| Arc::ptr_eq(a, b));
        all.extend(sources.into_iter().map(|c| c.clone() as Arc<dyn Counted>));
        self.registry.set(all);
    }

    fn start(&mut self, began: Instant) {
        self.tend();
        self.counters.health.set(State::Started);
        log::info!(
            "agent {} started in {:.1} ms: {} channels, {} sinks, {} sources",
            self.plan.agent,
            began.elapsed().as_secs_f64() * 1000.0,
            self.channels.len(),
            self.sinks.len(),
            self.plan.sources.len()
        );
    }

    /// Starts what does not run and can, lets go of what is through.
    fn tend(&mut self) {
        let now = Instant::now();
        self.channels.iter_mut().for_each(|c| c.try_open(now));
        self.sinks.iter_mut().for_each(RunningSink::try_start);
        self.sources.iter_mut().chain(&mut self.monitor).for_each(|s| s.try_start(&self.net, now));
        if self.drops_at.is_none_or(|at| at <= now) {
            self.sources.iter_mut().for_each(|s| s.count_dropped(now));
            self.drops_at = self.sources.iter().any(Served::has_datagrams).then_some(now + LOOK_FOR_DROPS);
        }
        self.leaving_sinks.retain(|k| !k.is_over());
        let (over, leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving).into_iter().partition(Leaving::is_gone);
        self.leaving = leaving;
        let mut over: Vec<&str> = over.iter().map(|l| l.name.as_str()).collect();
        over.dedup();
        for name in over.into_iter().filter(|name| !self.leaving.iter().any(|l| l.name == *name)) {
            log::info!("source {name} of the earlier configuration has stored everything and ended");
        }
        let before = self.gone.len();
        let (leaving, sources) = (&self.leaving, &self.sources);
        self.gone.retain_mut(|g| {
            let is_written = |c: &Arc<dyn Channel>| {
                leaving.iter().any(|l| l.uses(c)) || sources.iter().any(|s| s.waits_for_writer_to(c))
            };
            !g.tend(is_written)
        });
        if self.gone.len() < before {
            self.show();
        }
    }

    /// When [`tend`](Agent::tend) has something to do, if nothing happens before.
    fn next_tending(&self) -> Option<Instant> {
        let ending = !self.leaving.is_empty()
            || !self.leaving_sinks.is_empty()
            || !self.gone.is_empty()
            || self.sinks.iter().any(RunningSink::is_waiting)
            || self.sources.iter().any(Served::is_waiting);
        let soon = ending.then(|| Instant::now() + TICK);
        let channels = self.channels.iter().filter_map(OpenedChannel::retry_at);
        let sinks = self.sinks.iter().filter_map(RunningSink::retry_at);
        let sources = self.sources.iter().chain(&self.monitor).filter_map(Served::retry_at);
        channels.chain(sinks).chain(sources).chain(soon).chain(self.reload_at).chain(self.drops_at).min()
    }

    /// Waits for the signal to stop; tends to everything meanwhile.
    fn wait(&mut self, asked: &Receiver<Asked>, reload: &Sender<()>) {
        loop {
            let what = match self.next_tending() {
                Some(at) => asked.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match what {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Asked::Reload) => {
                    self.refused = None;
                    ask(reload);
                }
                Ok(Asked::Apply(plan, problems)) => self.reload(plan, &problems),
                Ok(Asked::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.reload_at.is_some_and(|at| at <= Instant::now()) {
                self.reload_at = None;
                ask(reload);
            }
            self.tend();
        }
    }

    fn stop(mut self) -> u8 {
        let began = Instant::now();
        let deadline = began + self.shutdown_timeout();
        log::info!("agent {} stops, within {} s", self.plan.agent, self.shutdown_timeout().as_secs());
        // Half of the time for what sources still hold, so that sinks can deliver it in the other half.
        let (sources, leaving) = (std::mem::take(&mut self.sources), std::mem::take(&mut self.leaving));
        sources::stop_all(sources, leaving, &self.net, began + self.shutdown_timeout() / 2);
        let mut sinks = std::mem::take(&mut self.sinks);
        self.gone.iter_mut().for_each(|g| sinks.append(&mut g.sinks));
        sinks.append(&mut self.leaving_sinks);
        let in_time = sinks::stop_all(&mut sinks, deadline);
        let lost: usize =
            self.channels.iter().chain(self.gone.iter().map(|g| &g.channel)).map(OpenedChannel::close).sum();
        let soon = Instant::now() + worker::GRACE;
        sources::stop_all(self.monitor.take().into_iter().collect(), Vec::new(), &self.net, soon);
        self.net.shutdown();
        let grace = Instant::now() + worker::GRACE;
        for t in self.loop_threads.drain(..) {
            while !t.is_finished() && Instant::now() < grace {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            if !t.is_finished() {
                log::error!("an event loop does not end and is left behind");
            } else if t.join().is_err() {
                log::error!("an event loop had panicked");
            }
        }
        self.report();
        log::info!("agent {} stopped in {:.3} s", self.plan.agent, began.elapsed().as_secs_f64());
        if in_time && lost == 0 {
            0
        } else {
            CUT_SHORT
        }
    }

    /// Flume's totals at the end of a run, a line for each component.
    fn report(&self) {
        self.registry.snapshot().into_iter().filter(|s| s.kind != "AGENT").for_each(report);
    }
}

/// Has the configuration read now.
fn ask(reload: &Sender<()>) {
    if reload.send(()).is_err() {
        log::error!("the configuration cannot be read again: the thread for it is gone");
    }
}

fn report(s: Snapshot) {
    let values = s.values.iter().filter(|(k, _)| *k != "Type");
    let values: Vec<String> = values.map(|(k, v)| format!("{k} == {v}")).collect();
    log::info!("Shutdown Metric for type: {}, name: {}. {}", s.kind, s.name, values.join(", "));
}

fn channel_named(channels: &[OpenedChannel], name: &str) -> Result<Arc<dyn Channel>, String> {
    let found = channels.iter().find(|c| c.name() == name);
    found.map(|c| c.channel.clone()).ok_or_else(|| format!("no channel {name}"))
}

/// Finds a channel by name.
type Attach<'a> = dyn Fn(&str) -> Result<Arc<dyn Channel>, String> + 'a;

/// All listeners of a source; each takes the next id after `last`.
fn new_source(
    last: &mut u32,
    r: &PlannedSource,
    counters: Arc<SourceCounters>,
    attach: &Attach<'_>,
) -> Result<Vec<Served>, String> {
    let selector = registry::selector(&r.selector).ok_or("a selector without a build function")?;
    let building = |what: &str| format!("building {what} of source {}", r.planned.name);
    let selector = unharmed(&building("the selector"), || (selector.build)(&r.selector, &r.channels))?;
    let mut chain = Vec::new();
    for i in &r.interceptors {
        let spec = registry::interceptor(i).ok_or("an interceptor without a build function")?;
        chain.push(unharmed(&building("an interceptor"), || (spec.build)(i, &counters))?);
    }
    let channels = r.channels.iter().map(|c| attach(c)).collect::<Result<_, _>>()?;
    let deliver = Arc::new(Deliver::new(counters, Chain::new(chain), selector, channels));
    let spec = registry::source(&r.planned.context).ok_or("a source type without a build function")?;
    let context = r.planned.context.clone();
    let type_name = r.planned.declared.name;
    let make: sources::Make = Arc::new(move || (spec.build)(&context));
    let mut next_id = || {
        *last += 1;
        SourceId(*last)
    };
    Served::all(&mut next_id, type_name, &deliver, &make)
}

fn loop_settings(ctx: &Context) -> Settings {
    Settings {
        max_connections: ctx.size("maxConnections"),
        max_in_flight: ctx.size("maxInFlightBytes"),
        max_pipelined: ctx.size("maxPipelined"),
        idle: ctx.duration("idleTimeout").filter(|d| !d.is_zero()),
        message: ctx.duration("messageTimeout").expect("has a default"),
        answer: ctx.duration("answerTimeout").expect("has a default"),
        pool_threads: ctx.size("poolThreads"),
    }
}

/// Every connection is a descriptor; the soft limit is often 1024, the hard one far above.
fn raise_descriptor_limit() {
    use nix::sys::resource::{getrlimit, setrlimit, Resource::RLIMIT_NOFILE};
    let raised = getrlimit(RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(RLIMIT_NOFILE, hard, hard));
    if let Err(e) = raised {
        log::warn!("cannot raise the limit on descriptors: {e}");
    }
}
