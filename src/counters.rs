//! Counters per component, under Flume's names, and their state of health.
//!
//! Every component bumps its own struct of relaxed atomics; the monitor takes a [`Snapshot`] of all of them as
//! plain data. A [`Registry`] lists what exists. Any thread; the mutexes here are leaves and held for a copy.

use crate::clock::now_ms;
use crate::lock::{lock, Apart};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

mod agent;

pub use agent::AgentCounters;

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }
    pub fn one(&self) {
        self.add(1);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Default, Debug)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// Adds one, unless that makes more than `most`; also where others do the same meanwhile.
    pub fn add_one_below(&self, most: i64) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |n| (n < most).then_some(n + 1)).is_ok()
    }
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Where a component stands in its life.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum State {
    #[default]
    Starting,
    Started,
    /// The start failed, or the component panicked; it is tried again. Says why.
    Failed(String),
    Stopped,
}

/// State, start and stop time of one component (ms since the epoch; 0: not yet).
#[derive(Default, Debug)]
pub struct Health {
    state: Mutex<State>,
    /// Whether the state is a failure, to be seen without the lock.
    failed: AtomicBool,
    started: AtomicU64,
    stopped: AtomicU64,
}

impl Health {
    pub fn set(&self, state: State) {
        match state {
            State::Started => {
                self.started.store(now_ms(), Relaxed);
                self.stopped.store(0, Relaxed);
            }
            State::Stopped => self.stopped.store(now_ms(), Relaxed),
            _ => {}
        }
        let mut held = lock(&self.state);
        self.failed.store(matches!(state, State::Failed(_)), Relaxed);
        *held = state;
    }
    /// It works again after a failure; the start time stays.
    /// `true` when it had failed.
    pub fn set_started_again(&self) -> bool {
        // Asked after every batch, and nearly always for nothing.
        if !self.failed.load(Relaxed) {
            return false;
        }
        let mut state = lock(&self.state);
        let failed = matches!(*state, State::Failed(_));
        if failed {
            *state = State::Started;
            self.failed.store(false, Relaxed);
        }
        failed
    }
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }
}

/// One exported value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Counter(u64),
    Gauge(i64),
    Ratio(f64),
    Text(String),
}

impl std::fmt::Display for Value {
    /// As Java prints numbers: a ratio never goes without a fraction.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Counter(n) => write!(f, "{n}"),
            Value::Gauge(n) => write!(f, "{n}"),
            Value::Ratio(r) if *r == f64::MAX => f.write_str("1.7976931348623157E308"),
            Value::Ratio(r) if r.fract() == 0.0 => write!(f, "{r:.1}"),
            Value::Ratio(r) => write!(f, "{r}"),
            Value::Text(t) => f.write_str(t),
        }
    }
}

/// All values of one component at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `SOURCE`, `CHANNEL` or `SINK`, as Flume writes it; ours is `AGENT`.
    pub kind: &'static str,
    pub name: String,
    pub state: State,
    /// Those who can stand in for it and for each other; `None`: nobody can.
    pub team: Option<Team>,
    pub values: Vec<(&'static str, Value)>,
}

/// The sinks of one group that share a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Team {
    pub group: String,
    pub channel: String,
}

/// What the registry asks of each component's counters.
pub trait Counted: Send + Sync {
    fn snapshot(&self) -> Snapshot;
}

fn common(kind: &'static str, name: &str, health: &Health) -> Snapshot {
    let values = vec![
        ("Type", Value::Text(kind.to_owned())),
        ("StartTime", Value::Gauge(health.started.load(Relaxed) as i64)),
        ("StopTime", Value::Gauge(health.stopped.load(Relaxed) as i64)),
    ];
    Snapshot { kind, name: name.to_owned(), state: health.state(), team: None, values }
}

/// Whether it is ten seconds since that was last said, which is noted as now.
fn may_tell(told: &AtomicU64) -> bool {
    let now = now_ms();
    let last = told.load(Relaxed);
    now.saturating_sub(last) >= 10_000 && told.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
}

/// Flume's source counters, and below the line ours.
#[derive(Default, Debug)]
pub struct SourceCounters {
    pub name: String,
    pub health: Health,
    pub event_received: Counter,
    pub event_accepted: Counter,
    pub append_received: Counter,
    pub append_accepted: Counter,
    pub append_batch_received: Counter,
    pub append_batch_accepted: Counter,
    pub open_connections: Gauge,
    pub event_read_fail: Counter,
    pub channel_write_fail: Counter,
    pub generic_processing_fail: Counter,
    /// Events accepted from the network and then lost because no channel had room and the protocol cannot say no.
    pub event_dropped: Counter,
    /// Datagrams that the kernel dropped, because the receive buffer was full.
    pub kernel_dropped: Counter,
    /// Events whose protocol's refusal was sent.
    pub event_refused: Counter,
    /// Connections closed at once because a limit on connections was reached.
    pub connection_refused: Counter,
    /// Events an optional channel did not take.
    pub optional_failed: Counter,
    /// Batches that one required channel refused after another had them: a retry duplicates there.
    pub partly_stored: Counter,
    /// Events that the selector sent nowhere.
    pub event_unrouted: Counter,
    /// When a log line last told of them, ms since the epoch.
    told_unrouted: AtomicU64,
    /// Times an interceptor could do nothing with an event and left it as it was.
    pub interceptor_fail: Counter,
    /// Connections that wait for room in a channel at this moment.
    pub parked: Gauge,
    /// Starts of a command beyond its first.
    pub restarts: Counter,
    /// Lines longer than allowed, that became several events.
    pub lines_cut: Counter,
}

impl SourceCounters {
    pub fn new(name: &str) -> Arc<SourceCounters> {
        Arc::new(SourceCounters { name: name.to_owned(), ..Default::default() })
    }
    /// Whether it is time for another log line about events that go nowhere: one in ten seconds.
    pub fn may_tell_unrouted(&self) -> bool {
        may_tell(&self.told_unrouted)
    }
}

impl Counted for SourceCounters {
    fn snapshot(&self) -> Snapshot {
        let mut s = common("SOURCE", &self.name, &self.health);
        let c = |n: &'static str, v: &Counter| (n, Value::Counter(v.get()));
        s.values.extend([
            c("EventReceivedCount", &self.event_received),
            c("EventAcceptedCount", &self.event_accepted),
            c("AppendReceivedCount", &self.append_received),
            c("AppendAcceptedCount", &self.append_accepted),
            c("AppendBatchReceivedCount", &self.append_batch_received),
            c("AppendBatchAcceptedCount", &self.append_batch_accepted),
            ("OpenConnectionCount", Value::Gauge(self.open_connections.get())),
            c("EventReadFail", &self.event_read_fail),
            c("ChannelWriteFail", &self.channel_write_fail),
            c("GenericProcessingFail", &self.generic_processing_fail),
            c("EventDroppedCount", &self.event_dropped),
            c("KernelDropCount", &self.kernel_dropped),
            c("EventRefusedCount", &self.event_refused),
            c("ConnectionRefusedCount", &self.connection_refused),
            c("OptionalChannelFailCount", &self.optional_failed),
            c("PartlyStoredBatchCount", &self.partly_stored),
            c("EventUnroutedCount", &self.event_unrouted),
            c("InterceptorFailCount", &self.interceptor_fail),
            ("ParkedConnectionCount", Value::Gauge(self.parked.get())),
            c("RestartCount", &self.restarts),
            c("LineCutCount", &self.lines_cut),
        ]);
        s
    }
}

/// Flume's sink counters, and when it last succeeded and failed.
#[derive(Default, Debug)]
pub struct SinkCounters {
    pub name: String,
    pub health: Health,
    pub connection_created: Counter,
    pub connection_closed: Counter,
    pub connection_failed: Counter,
    pub batch_complete: Counter,
    pub batch_underflow: Counter,
    pub batch_empty: Counter,
    pub drain_attempt: Counter,
    pub drain_success: Counter,
    pub event_write_fail: Counter,
    pub channel_read_fail: Counter,
    /// Events written to the dead-letter file instead of delivered.
    pub dead_letters: Counter,
    /// Events that the destination may have already, and that will be delivered once more: no answer came.
    pub possibly_repeated: Counter,
    /// When the last batch was delivered, ms since the epoch; 0: never.
    last_success: AtomicU64,
    last_error: Mutex<(u64, String)>,
    team: Mutex<Option<Team>>,
}

impl SinkCounters {
    pub fn new(name: &str) -> Arc<SinkCounters> {
        Arc::new(SinkCounters { name: name.to_owned(), ..Default::default() })
    }
    pub fn succeeded(&self) {
        self.last_success.store(now_ms(), Relaxed);
    }
    pub fn failed(&self, why: &str) {
        *lock(&self.last_error) = (now_ms(), why.to_owned());
    }
    pub fn last_success(&self) -> u64 {
        self.last_success.load(Relaxed)
    }
    /// Who can stand in for it from now on.
    pub fn set_team(&self, team: Option<Team>) {
        *lock(&self.team) = team;
    }
    /// When (ms since the epoch) and what, if ever.
    pub fn last_error(&self) -> Option<(u64, String)> {
        let e = lock(&self.last_error);
        (e.0 > 0).then(|| e.clone())
    }
}

impl Counted for SinkCounters {
    fn snapshot(&self) -> Snapshot {
        let mut s = common("SINK", &self.name, &self.health);
        s.team = lock(&self.team).clone();
        let c = |n: &'static str, v: &Counter| (n, Value::Counter(v.get()));
        let (error_at, error) = self.last_error().unwrap_or_default();
        s.values.extend([
            c("ConnectionCreatedCount", &self.connection_created),
            c("ConnectionClosedCount", &self.connection_closed),
            c("ConnectionFailedCount", &self.connection_failed),
            c("BatchCompleteCount", &self.batch_complete),
            c("BatchUnderflowCount", &self.batch_underflow),
            c("BatchEmptyCount", &self.batch_empty),
            c("EventDrainAttemptCount", &self.drain_attempt),
            c("EventDrainSuccessCount", &self.drain_success),
            c("EventWriteFail", &self.event_write_fail),
            c("ChannelReadFail", &self.channel_read_fail),
            c("DeadLetterCount", &self.dead_letters),
            c("EventPossiblyRepeatedCount", &self.possibly_repeated),
            ("LastSuccessTime", Value::Gauge(self.last_success() as i64)),
            ("LastErrorTime", Value::Gauge(error_at as i64)),
            ("LastError", Value::Text(error)),
        ]);
        s
    }
}

/// Values with their names.
pub type Values = Vec<(&'static str, Value)>;

/// What a channel is asked for at the moment it is wanted.
type Asked<T> = Box<dyn Fn() -> T + Send + Sync>;

/// Flume's channel counters. Size and age come from the channel itself, through `measure`. Those of the two ends are
/// apart: different threads count there, for each transaction.
#[derive(Default)]
pub struct ChannelCounters {
    pub name: String,
    pub health: Health,
    pub put_attempt: Apart<Counter>,
    pub put_success: Apart<Counter>,
    pub take_attempt: Apart<Counter>,
    pub take_success: Apart<Counter>,
    /// Events that were in the channel when it was closed and could not be kept.
    pub lost_at_stop: Counter,
    /// When a log line last said that the channel is full, ms since the epoch.
    told_full: AtomicU64,
    sinks: Mutex<Vec<Arc<SinkCounters>>>,
    measure: Mutex<Option<Asked<Measure>>>,
    more: Mutex<Option<Asked<Values>>>,
    trouble: Mutex<Option<Asked<Option<String>>>>,
}

/// What a channel holds at one moment.
#[derive(Default, Clone, Copy, Debug)]
pub struct Measure {
    /// Events that can be taken.
    pub size: usize,
    pub capacity: usize,
    /// Bytes charged, of `byte_capacity`.
    pub bytes: usize,
    pub byte_capacity: usize,
    /// Age of the oldest event that can be taken, in ms; 0 when there is none.
    pub oldest_ms: u64,
}

impl ChannelCounters {
    pub fn new(name: &str) -> Arc<ChannelCounters> {
        Arc::new(ChannelCounters { name: name.to_owned(), ..Default::default() })
    }
    pub fn set_measure(&self, f: impl Fn() -> Measure + Send + Sync + 'static) {
        *lock(&self.measure) = Some(Box::new(f));
    }
    pub fn measure(&self) -> Measure {
        lock(&self.measure).as_ref().map_or_else(Measure::default, |f| f())
    }
    /// What this type of channel counts beside the others.
    pub fn set_more(&self, f: impl Fn() -> Values + Send + Sync + 'static) {
        *lock(&self.more) = Some(Box::new(f));
    }
    pub fn more(&self) -> Vec<(&'static str, Value)> {
        lock(&self.more).as_ref().map_or_else(Vec::new, |f| f())
    }
    /// What holds puts up that is not the sinks' affair.
    pub fn set_trouble(&self, f: impl Fn() -> Option<String> + Send + Sync + 'static) {
        *lock(&self.trouble) = Some(Box::new(f));
    }
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).as_ref().and_then(|f| f())
    }
    /// Who takes from it.
    pub fn set_sinks(&self, sinks: Vec<Arc<SinkCounters>>) {
        *lock(&self.sinks) = sinks;
    }
    /// The sink on this channel whose last success lies furthest back.
    pub fn slowest_sink(&self) -> Option<Arc<SinkCounters>> {
        lock(&self.sinks).iter().min_by_key(|s| s.last_success()).cloned()
    }
    /// Whether it is time for another log line about this channel being full: one in ten seconds.
    pub fn may_tell_full(&self) -> bool {
        may_tell(&self.told_full)
    }
    /// For the log line of a full channel: fill, oldest event, and what holds the drain up.
    pub fn describe_full(&self) -> String {
        if let Some(why) = self.trouble() {
            return why;
        }
        let m = self.measure();
        let mut t = format!("{} of {} events, {} bytes", m.size, m.capacity, m.bytes);
        if m.byte_capacity < usize::MAX {
            t += &format!(" of {}", m.byte_capacity);
        }
        t += &format!(", oldest {}.{:03} s", m.oldest_ms / 1000, m.oldest_ms % 1000);
        match self.slowest_sink() {
            None => t += "; no sink drains it",
            Some(k) => {
                t += &format!("; slowest sink {}: ", k.name);
                let ago = |at: u64| format!("{} ms ago", now_ms().saturating_sub(at));
                t += &match k.last_success() {
                    0 => "never succeeded".to_owned(),
                    at => format!("last success {}", ago(at)),
                };
                if let Some((at, e)) = k.last_error() {
                    t += &format!(", last error {}: {e}", ago(at));
                }
            }
        }
        t
    }
}

impl Counted for ChannelCounters {
    fn snapshot(&self) -> Snapshot {
        let mut s = common("CHANNEL", &self.name, &self.health);
        if let (State::Started, Some(why)) = (&s.state, self.trouble()) {
            // It goes on by itself, but those who watch are to know.
            s.state = State::Failed(why);
        }
        let m = self.measure();
        let fill = if m.capacity == 0 { f64::MAX } else { m.size as f64 * 100.0 / m.capacity as f64 };
        let c = |n: &'static str, v: &Counter| (n, Value::Counter(v.get()));
        s.values.extend([
            ("ChannelSize", Value::Gauge(m.size as i64)),
            ("ChannelCapacity", Value::Gauge(m.capacity as i64)),
            ("ChannelFillPercentage", Value::Ratio(fill)),
            c("EventPutAttemptCount", &self.put_attempt),
            c("EventPutSuccessCount", &self.put_success),
            c("EventTakeAttemptCount", &self.take_attempt),
            c("EventTakeSuccessCount", &self.take_success),
            ("ChannelBytes", Value::Gauge(m.bytes as i64)),
            ("ChannelByteCapacity", Value::Gauge(m.byte_capacity as i64)),
            ("OldestEventAge", Value::Gauge(m.oldest_ms as i64)),
            ("SlowestSink", Value::Text(self.slowest_sink().map_or(String::new(), |k| k.name.clone()))),
            c("EventLostAtStopCount", &self.lost_at_stop),
        ]);
        s.values.extend(self.more());
        s
    }
}

/// Counters that are shown under another name than their component's.
pub struct Renamed {
    pub name: String,
    pub counted: Arc<dyn Counted>,
}

impl Counted for Renamed {
    fn snapshot(&self) -> Snapshot {
        let s = self.counted.snapshot();
        // The sinks that have its team's place by now are not those that stand in for it.
        let team = s.team.map(|t| Team { channel: format!("{} (leaving)", t.channel), ..t });
        Snapshot { name: self.name.clone(), team, ..s }
    }
}

/// Every component's counters, in the order they are shown.
#[derive(Default)]
pub struct Registry(Mutex<Vec<Arc<dyn Counted>>>);

impl Registry {
    /// Shows these from now on.
    pub fn set(&self, all: Vec<Arc<dyn Counted>>) {
        *lock(&self.0) = all;
    }
    pub fn snapshot(&self) -> Vec<Snapshot> {
        let all = lock(&self.0).clone();
        all.iter().map(|c| c.snapshot()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_names_the_sink_that_lags() {
        let c = ChannelCounters::new("c1");
        c.set_measure(|| Measure { size: 100, capacity: 100, bytes: 5, byte_capacity: 9, oldest_ms: 1500 });
        assert!(c.describe_full().ends_with("no sink drains it"));
        let (fast, slow) = (SinkCounters::new("fast"), SinkCounters::new("slow"));
        fast.succeeded();
        slow.failed("disk full");
        c.set_sinks(vec![fast, slow]);
        let text = c.describe_full();
        assert!(text.contains("100 of 100 events") && text.contains("oldest 1.500 s"), "{text}");
        assert!(text.contains("slowest sink slow: never succeeded"), "{text}");
        assert!(text.contains("disk full"), "{text}");
    }

    #[test]
    fn snapshots_carry_flumes_names() {
        let c = SourceCounters::new("r1");
        c.event_received.add(7);
        c.health.set(State::Started);
        let s = c.snapshot();
        assert_eq!((s.kind, s.name.as_str(), s.state), ("SOURCE", "r1", State::Started));
        assert!(s.values.contains(&("EventReceivedCount", Value::Counter(7))));
    }
}
