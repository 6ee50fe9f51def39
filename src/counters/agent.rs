//! What the agent says of itself: which configuration runs, and how the last reload went.

use super::{common, Counted, Health, Snapshot, Value};
use crate::clock::now_ms;
use crate::lock::lock;
use std::sync::{Arc, Mutex};

/// What the agent says of its own configuration.
#[derive(Default)]
pub struct AgentCounters {
    pub name: String,
    pub health: Health,
    reloads: Mutex<Reloads>,
}

#[derive(Default, Clone)]
struct Reloads {
    applied: u64,
    refused: u64,
    /// ms since the epoch; 0: never.
    last: u64,
    outcome: &'static str,
    why: String,
}

impl AgentCounters {
    pub fn new(name: &str) -> Arc<AgentCounters> {
        Arc::new(AgentCounters { name: name.to_owned(), ..Default::default() })
    }

    /// Which configuration runs: 1 is that of the start.
    pub fn version(&self) -> u64 {
        lock(&self.reloads).applied + 1
    }

    /// The configuration was read again; `why` it was refused, if it was.
    pub fn reloaded(&self, changed: bool, why: Option<&str>) {
        let mut r = lock(&self.reloads);
        r.last = now_ms();
        r.why = why.unwrap_or_default().to_owned();
        r.outcome = match (why, changed) {
            (Some(_), _) => "refused",
            (None, true) => "applied",
            (None, false) => "unchanged",
        };
        r.applied += u64::from(r.outcome == "applied");
        r.refused += u64::from(r.outcome == "refused");
    }
}

impl Counted for AgentCounters {
    fn snapshot(&self) -> Snapshot {
        let mut s = common("AGENT", &self.name, &self.health);
        let r = lock(&self.reloads).clone();
        s.values.extend([
            ("ConfigurationVersion", Value::Gauge(r.applied as i64 + 1)),
            ("ReloadAppliedCount", Value::Counter(r.applied)),
            ("ReloadRefusedCount", Value::Counter(r.refused)),
            ("LastReloadTime", Value::Gauge(r.last as i64)),
            ("LastReloadOutcome", Value::Text(r.outcome.to_owned())),
            ("LastReloadError", Value::Text(r.why)),
        ]);
        s
    }
}
