//! The agent: builds the plan's components, runs them, stops them in order.
//!
//! Start: channels, sinks, sources, metrics. A component that cannot start is tried again with growing pauses while
//! the others work. Stop: sources first (what their sockets hold is stored or refused), then sinks drain what is in
//! memory, then channels. All of it happens on the main thread, which otherwise waits for signals and retries; nobody
//! else holds a reference to the agent.

use crate::channel::{Channel, ChannelParts};
use crate::clock::Backoff;
use crate::component::SinkParts;
use crate::config::{
    Context, Declared, Default, Key, Kind, Loader, Plan, PlannedSink, PlannedSource, RunOptions, Type,
};
use crate::counters::{ChannelCounters, Registry, SinkCounters, SourceCounters, State};
use crate::deliver::Deliver;
use crate::interceptor::Chain;
use crate::lifecycle::{Stop, CUT_SHORT, FAILURE};
use crate::net::{self, LoopHandle, Names, Settings, SourceId};
use crate::registry;
use crate::runner::SinkRunner;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod memory;
mod monitoring;
mod serving;
mod signals;

pub static DECLARED: Declared = Declared {
    kind: Kind::Agent,
    name: "flumed",
    class: "",
    help: "Keys of the agent itself, written <agent>.flumed.<key> or -Dflumed.<key>",
    keys: &[LIMITS, monitoring::KEYS],
    batch_key: None,
    check: None,
    differs: &[],
};

const LIMITS: &[Key] = &[
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
        "bytes of unfinished messages, waiting batches and open tickets; nothing more is read above it",
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
        "seconds a message above 4 KiB may take to arrive whole, before its connection is closed",
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

/// Runs a plan until a signal ends it. Returns the exit code.
pub fn run(plan: Plan, options: RunOptions, _loader: Loader) -> u8 {
    let began = Instant::now();
    let signals = match signals::watch() {
        Ok(s) => s,
        Err(e) => {
            log::error!("cannot watch for signals: {e}");
            return FAILURE;
        }
    };
    raise_descriptor_limit();
    let mut agent = match Agent::build(plan, &options) {
        Ok(a) => a,
        Err(e) => {
            log::error!("cannot start: {e}");
            return FAILURE;
        }
    };
    agent.start(began);
    agent.wait(&signals);
    agent.stop()
}

struct Agent {
    name: String,
    registry: Arc<Registry>,
    shutdown: Duration,
    net: LoopHandle,
    loop_thread: Option<JoinHandle<()>>,
    channels: BTreeMap<String, OpenedChannel>,
    sinks: Vec<RunningSink>,
    sources: Vec<serving::Served>,
}

struct OpenedChannel {
    channel: Arc<dyn Channel>,
    /// When to try again to open it, if that failed.
    retry: Option<(Instant, Backoff)>,
}

struct RunningSink {
    name: String,
    stop: Arc<Stop>,
    channel: Arc<dyn Channel>,
    /// Taken when the thread has been joined.
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    fn build(plan: Plan, options: &RunOptions) -> Result<Agent, String> {
        let settings = loop_settings(&plan.settings);
        let (net, loop_thread) =
            net::start(0, settings, Arc::new(Names::default())).map_err(|e| format!("event loop: {e}"))?;
        let mut agent = Agent {
            name: plan.agent,
            registry: Arc::default(),
            shutdown: plan.settings.duration("shutdownTimeout").expect("has a default"),
            net,
            loop_thread: Some(loop_thread),
            channels: BTreeMap::new(),
            sinks: Vec::new(),
            sources: Vec::new(),
        };
        let memory_channels = plan.channels.iter().filter(|c| c.declared.name == "memory").count();
        let heap = memory::heap(options.heap) / memory_channels.max(1);
        for c in &plan.channels {
            let counters = ChannelCounters::new(&c.name);
            agent.registry.add(counters.clone());
            let spec = registry::channel(c.declared).ok_or("a channel type without a build function")?;
            let channel = (spec.build)(&c.context, ChannelParts { counters, heap });
            agent.channels.insert(c.name.clone(), OpenedChannel { channel, retry: None });
        }
        agent.open_channels();
        for k in plan.sinks {
            agent.add_sink(k)?;
        }
        for (i, r) in plan.sources.into_iter().enumerate() {
            agent.add_source(i as u32, r)?;
        }
        if let Some(m) = monitoring::source(&plan.settings, options, &agent.registry) {
            agent.sources.push(m);
        }
        Ok(agent)
    }

    fn add_sink(&mut self, k: PlannedSink) -> Result<(), String> {
        let name = k.planned.name;
        let counters = SinkCounters::new(&name);
        self.registry.add(counters.clone());
        let spec = registry::sink(k.planned.declared).ok_or("a sink type without a build function")?;
        let channel = self.channel(&k.channel)?;
        channel.counters().attach_sink(counters.clone());
        let stop = Arc::new(Stop::default());
        let (context, parts) = (k.planned.context, counters.clone());
        let runner = SinkRunner {
            name: name.clone(),
            make: Box::new(move || (spec.build)(&context, SinkParts { counters: parts.clone() })),
            channel: channel.clone(),
            counters,
            stop: stop.clone(),
        };
        let thread = Some(runner.spawn().map_err(|e| format!("thread of sink {name}: {e}"))?);
        self.sinks.push(RunningSink { name, stop, channel, thread });
        Ok(())
    }

    fn add_source(&mut self, id: u32, r: PlannedSource) -> Result<(), String> {
        let counters = SourceCounters::new(&r.planned.name);
        self.registry.add(counters.clone());
        let selector =
            registry::selector(r.selector.declared()).ok_or("a selector without a build function")?;
        let selector = (selector.build)(&r.selector, &r.channels);
        let mut chain = Vec::new();
        for i in &r.interceptors {
            let spec =
                registry::interceptor(i.declared()).ok_or("an interceptor without a build function")?;
            chain.push((spec.build)(i, &counters));
        }
        let channels = r.channels.iter().map(|c| self.channel(c)).collect::<Result<_, _>>()?;
        let deliver = Arc::new(Deliver::new(counters, Chain::new(chain), selector, channels));
        let spec = registry::source(r.planned.declared).ok_or("a source type without a build function")?;
        let context = r.planned.context;
        let make = Arc::new(move || (spec.build)(&context));
        self.sources.push(serving::Served::new(SourceId(id), "source", deliver, make));
        Ok(())
    }

    fn channel(&self, name: &str) -> Result<Arc<dyn Channel>, String> {
        self.channels.get(name).map(|c| c.channel.clone()).ok_or_else(|| format!("no channel {name}"))
    }

    /// Opens the channels that are not open and whose time for a try has come.
    fn open_channels(&mut self) {
        let now = Instant::now();
        for c in self.channels.values_mut() {
            let health = &c.channel.counters().health;
            let mut backoff = match &c.retry {
                Some((at, _)) if *at > now => continue,
                Some((_, backoff)) => backoff.clone(),
                None if health.state() == State::Started => continue,
                None => Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            };
            c.retry = match c.channel.open() {
                Ok(()) => {
                    health.set(State::Started);
                    log::info!("channel {} started", c.channel.name());
                    None
                }
                Err(why) => {
                    health.set(State::Failed(why.clone()));
                    let pause = backoff.next_pause();
                    log::error!("channel {}: {why}; next try in {} ms", c.channel.name(), pause.as_millis());
                    Some((now + pause, backoff))
                }
            };
        }
    }

    fn start(&mut self, began: Instant) {
        for s in &mut self.sources {
            s.try_start(&self.net, Instant::now());
        }
        log::info!(
            "agent {} started in {:.1} ms: {} channels, {} sinks, {} sources",
            self.name,
            began.elapsed().as_secs_f64() * 1000.0,
            self.channels.len(),
            self.sinks.len(),
            self.sources.iter().filter(|s| s.kind == "source").count()
        );
    }

    /// Waits for the signal to stop, retrying meanwhile what could not start.
    fn wait(&mut self, signals: &Receiver<()>) {
        loop {
            let retries = self.channels.values().filter_map(|c| c.retry.as_ref().map(|r| r.0));
            let next = retries.chain(self.sources.iter().filter_map(|s| s.retry_at())).min();
            let signal = match next {
                Some(at) => signals.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match signal {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.open_channels();
            for s in &mut self.sources {
                s.try_start(&self.net, Instant::now());
            }
        }
    }

    fn stop(mut self) -> u8 {
        let began = Instant::now();
        let deadline = began + self.shutdown;
        log::info!("agent {} stops, within {} s", self.name, self.shutdown.as_secs());
        // Half of the time for what sources still hold, so that sinks can deliver it in the other half.
        let (metrics, sources): (Vec<_>, Vec<_>) = self.sources.drain(..).partition(|s| s.kind != "source");
        serving::stop_all(sources, &self.net, began + self.shutdown / 2);
        for k in &self.sinks {
            k.stop.drain();
            k.channel.interrupt_takers();
        }
        let in_time = self.join_sinks(deadline);
        let mut lost = 0;
        for c in self.channels.values() {
            let n = c.channel.close();
            if n > 0 {
                log::error!("channel {}: {n} events were not delivered and are lost", c.channel.name());
            }
            c.channel.counters().health.set(State::Stopped);
            lost += n;
        }
        serving::stop_all(metrics, &self.net, Instant::now() + Duration::from_millis(500));
        self.net.shutdown();
        if self.loop_thread.take().is_some_and(|t| t.join().is_err()) {
            log::error!("the event loop had panicked");
        }
        self.report();
        log::info!("agent {} stopped in {:.3} s", self.name, began.elapsed().as_secs_f64());
        if in_time && lost == 0 {
            0
        } else {
            CUT_SHORT
        }
    }

    /// Waits until every sink has drained, or the deadline; halts those that have not.
    fn join_sinks(&mut self, deadline: Instant) -> bool {
        let mut in_time = true;
        for k in &mut self.sinks {
            let Some(thread) = k.thread.take() else { continue };
            serving::wait_for(&thread, deadline);
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                in_time = false;
                log::error!("sink {} did not finish in time", k.name);
                k.stop.halt();
                k.channel.interrupt_takers();
                k.thread = Some(thread);
            }
        }
        // A halted sink ends after the call it is in; one that hangs in it is left behind.
        let grace = Instant::now() + Duration::from_millis(500);
        for k in &mut self.sinks {
            let Some(thread) = k.thread.take() else { continue };
            serving::wait_for(&thread, grace);
        }
        in_time
    }

    /// Flume's totals at the end of a run, a line for each component.
    fn report(&self) {
        for s in self.registry.snapshot() {
            let values = s.values.iter().filter(|(k, _)| *k != "Type");
            let values: Vec<String> = values.map(|(k, v)| format!("{k} == {v}")).collect();
            log::info!("Shutdown Metric for type: {}, name: {}. {}", s.kind, s.name, values.join(", "));
        }
    }
}

fn loop_settings(ctx: &Context) -> Settings {
    Settings {
        max_connections: ctx.size("maxConnections"),
        max_in_flight: ctx.size("maxInFlightBytes"),
        max_pipelined: ctx.size("maxPipelined"),
        idle: ctx.duration("idleTimeout").filter(|d| !d.is_zero()),
        message: ctx.duration("messageTimeout").expect("has a default"),
        answer: ctx.duration("answerTimeout").expect("has a default"),
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
