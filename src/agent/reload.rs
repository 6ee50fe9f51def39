//! Reload: from what runs to what the configuration says now, with as little disturbance as there can be.
//!
//! What says the same as before is not touched. What can fail comes first (reading, checking, building, binding new
//! addresses); if it does, the reload is refused and everything stays as it was. The rest cannot fail: channels take
//! over new limits, new sources listen (on copies of their predecessors' sockets where the address is the same) and take
//! over the connections, old ones end when they have stored what they accepted, a changed sink's successor follows it.
//! See `switch` for that, and `channels` for those that go. What was refused is tried again now and then.

use super::*;
use crate::config::{Planned, PlannedGroup, Problems, Severity};
use crate::tls;
use sinks::NewProcessor;

mod switch;

/// Everything new, built and bound, before anything old is touched.
struct Prepared {
    channels: Vec<OpenedChannel>,
    sinks: Vec<RunningSink>,
    processors: Vec<NewProcessor>,
    sources: Vec<Served>,
    metrics: Option<monitoring::Wanted>,
    /// `None`: as it was. `Some(None)`: there is none any more.
    monitor: Option<Option<Served>>,
}

/// What has become of which component, for the log.
type Changes = Vec<String>;

/// Has what is not in the configuration but named by it read again, changed or not.
fn reread_certificates() {
    for reading in tls::reread() {
        let owner = reading.owner;
        match reading.fault {
            None => log::info!("{owner}: certificates read again, for connections from now on"),
            Some(why) => {
                log::error!("{owner}: certificates cannot be read again, those read before stay: {why}")
            }
        }
    }
}

impl Agent {
    /// The configuration was read again: takes over what has changed, or says why not.
    pub(super) fn reload(&mut self, plan: Option<Box<Plan>>, problems: &Problems) {
        reread_certificates();
        let found = || problems.first_error().unwrap_or_else(|| "nothing to run".to_owned());
        let outcome = match plan {
            Some(plan) if problems.errors() == 0 => self.apply(*plan),
            _ => Err(format!("{} ({})", found(), problems.summary())),
        };
        let all: Vec<String> = problems.sorted().iter().map(|p| p.to_string()).collect();
        let said = outcome.as_ref().err().map(|why| format!("{why}\n{}", all.join("\n")));
        let again = said.is_some() && self.refused == said;
        for p in problems.sorted().iter().filter(|_| !again) {
            match p.severity {
                Severity::Error => log::error!("{p}"),
                Severity::Warning => log::warn!("{p}"),
                Severity::Ignored | Severity::Note => {}
            }
        }
        match outcome {
            Ok(changes) => {
                self.reload_at = None;
                self.counters.reloaded(!changes.is_empty(), None);
                match changes.is_empty() {
                    true => log::info!("configuration read again: nothing has changed"),
                    false => {
                        log::info!(
                            "configuration version {}: {}",
                            self.counters.version(),
                            changes.join(", ")
                        );
                    }
                }
            }
            Err(why) => {
                self.counters.reloaded(false, Some(&why));
                self.reload_at = self.options.reload.map(|every| Instant::now() + every);
                if !again {
                    let version = self.counters.version();
                    let then = self.options.reload.map_or(String::new(), |every| {
                        format!("; it is tried again every {} s", every.as_secs())
                    });
                    log::error!(
                        "reload refused: {why}; version {version} of the configuration keeps running{then}"
                    );
                }
            }
        }
        self.refused = said;
    }

    fn apply(&mut self, plan: Plan) -> Result<Changes, String> {
        let heap = self.heap(&plan);
        let new = self.prepare(&plan, heap)?;
        let mut changes = Changes::new();
        self.adapt_settings(&plan, &mut changes);
        let (going, mut old_sinks) = self.switch_channels(&plan, new.channels, heap, &mut changes);
        self.switch_sinks(&plan, new.sinks, going, &mut old_sinks, &mut changes);
        for (gate, processor) in new.processors {
            let change = format!("sink group {} changed", gate.group());
            gate.adopt(processor);
            // One that reads from several channels has several gates.
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        self.channels.iter_mut().for_each(|c| c.try_open(Instant::now()));
        self.switch_sources(&plan, new.sources, &mut changes);
        self.metrics = new.metrics;
        if let Some(mut monitor) = new.monitor {
            monitor.iter_mut().for_each(|m| m.try_start(&self.net, Instant::now()));
            if let Some(old) = std::mem::replace(&mut self.monitor, monitor) {
                self.leaving.extend(old.end(&self.net, self.monitor.as_mut_slice()));
            }
            changes.push("metrics changed".to_owned());
        }
        self.plan = plan;
        signals::limit_stop(self.shutdown_timeout());
        self.show();
        self.tend();
        Ok(changes)
    }

    fn prepare(&mut self, plan: &Plan, heap: usize) -> Result<Prepared, String> {
        self.refuse_stranded_events(plan)?;
        let mut channels = Vec::new();
        for c in plan.channels.iter().filter(|c| self.existing(c).is_none()) {
            channels.push(OpenedChannel::new(c, heap)?);
        }
        let attach = |name: &str| {
            let planned =
                plan.channels.iter().find(|c| c.name == name).ok_or(format!("no channel {name}"))?;
            let new = || channels.iter().find(|c| c.name() == name);
            let found = self.existing(planned).or_else(new).ok_or(format!("no channel {name}"))?;
            Ok(found.channel.clone())
        };
        let (mut sinks, mut gates) = (Vec::new(), Gates::default());
        for k in plan.sinks.iter().filter(|k| !self.keeps_sink(plan, k)) {
            // One that goes on for a channel that goes keeps its counters for itself.
            let mut old = self.sinks.iter().chain(&self.leaving_sinks);
            let old = old.find(|o| o.name() == k.planned.name && self.keeps_channel(plan, o.channel.name()));
            let counters = old.map_or_else(|| SinkCounters::new(&k.planned.name), |o| o.counters.clone());
            let channel = attach(&k.channel)?;
            sinks.push(RunningSink::new(plan, k.clone(), counters, channel, &mut gates)?);
        }
        let mut processors: Vec<NewProcessor> = Vec::new();
        for k in plan.sinks.iter().filter(|k| self.keeps_sink(plan, k)) {
            let running = self.sinks.iter().find(|o| o.name() == k.planned.name);
            let changed = running.map_or(Ok(None), |o| o.changed_gate(plan, k))?;
            let is_known = |(gate, _): &_| processors.iter().any(|(known, _)| Arc::ptr_eq(known, gate));
            processors.extend(changed.filter(|c| !is_known(c)));
        }
        let mut id = self.next_id;
        let mut sources = Vec::new();
        for r in plan.sources.iter().filter(|r| self.unchanged_source(plan, r).is_none()) {
            let name = &r.planned.name;
            let running = self.sources.iter().find(|o| o.name() == name).map(|o| &o.deliver.counters);
            let leaving = || self.leaving.iter().find(|l| l.name == *name).map(Leaving::counters);
            let counters = running.or_else(leaving).cloned().unwrap_or_else(|| SourceCounters::new(name));
            sources.extend(new_source(&mut id, r, counters, &attach)?);
        }
        let metrics = monitoring::wanted(&plan.settings, &self.options)?;
        let mut monitor = (metrics != self.metrics).then(|| {
            id += 1;
            metrics.clone().map(|w| monitoring::source(SourceId(id), w, &self.registry))
        });
        // Addresses that come free by this reload can be had by it.
        let stays =
            |s: &&Served| plan.sources.iter().any(|r| self.unchanged_source(plan, r) == Some(s.name()));
        let ending = self.sources.iter().filter(|s| !stays(s));
        let ending = ending.chain(self.monitor.iter().filter(|_| monitor.is_some()));
        let sockets: Vec<_> = ending.filter_map(Served::socket).collect();
        for s in sources.iter_mut().chain(monitor.iter_mut().flatten()) {
            s.prepare(&sockets).map_err(|e| format!("{} {}: {e}", s.kind, s.name()))?;
        }
        self.next_id = id;
        Ok(Prepared { channels, sinks, processors, sources, metrics, monitor })
    }

    /// What is in a channel needs a sink: the one it has, if the channel goes, else one that it will have.
    fn refuse_stranded_events(&self, plan: &Plan) -> Result<(), String> {
        for c in &self.channels {
            let (name, backlog) = (c.name(), c.channel.backlog());
            let stays = plan.channels.iter().any(|p| is_same(p, &c.planned));
            let (what, is_taken) = match stays {
                true => ("stay", plan.sinks.iter().any(|k| k.channel == name)),
                false => ("go", self.sinks.iter().any(|k| Arc::ptr_eq(&k.channel, &c.channel))),
            };
            let was_taken = self.sinks.iter().any(|k| Arc::ptr_eq(&k.channel, &c.channel));
            if backlog > 0 && !is_taken && (was_taken || !stays) {
                return Err(format!("channel {name} would {what} with {backlog} events that no sink takes"));
            }
        }
        // What a writer leaves half done looks like this.
        for (what, before, after) in [
            ("sources", self.plan.sources.len(), plan.sources.len()),
            ("sinks", self.plan.sinks.len(), plan.sinks.len()),
        ] {
            if before > 0 && after == 0 {
                return Err(format!("the agent would have no {what} any more; restart it, if that is meant"));
            }
        }
        Ok(())
    }

    /// The channel that goes on as this one: one that runs, or one that was about to go.
    fn existing(&self, planned: &Planned) -> Option<&OpenedChannel> {
        let going = self.gone.iter().map(|g| &g.channel);
        self.channels.iter().chain(going).find(|c| is_same(planned, &c.planned))
    }

    /// Whether the channel of this name is the same object before and after.
    fn keeps_channel(&self, plan: &Plan, name: &str) -> bool {
        let planned = plan.channels.iter().find(|c| c.name == name);
        planned.is_some_and(|p| self.channels.iter().any(|c| is_same(p, &c.planned)))
    }

    /// Whether a sink goes on as it is, and all of its group with it.
    fn keeps_sink(&self, plan: &Plan, k: &PlannedSink) -> bool {
        let is_as_before = |k: &PlannedSink| {
            self.sinks.iter().any(|o| o.can_become(k)) && self.keeps_channel(plan, &k.channel)
        };
        let mut others = plan.sinks.iter().filter(|o| {
            let in_group = |g: &Arc<PlannedGroup>| g.sinks.contains(&o.planned.name);
            k.group.as_ref().is_some_and(in_group)
        });
        is_as_before(k) && others.all(is_as_before)
    }

    fn unchanged_source(&self, plan: &Plan, r: &PlannedSource) -> Option<&str> {
        let old = self.plan.sources.iter().find(|o| o.says_the_same(r))?;
        r.channels.iter().all(|c| self.keeps_channel(plan, c)).then_some(old.planned.name.as_str())
    }
}

/// Whether a channel can go on as the one that is planned.
fn is_same(planned: &Planned, running: &Planned) -> bool {
    planned.name == running.name && running.context.can_become(&planned.context)
}
