//! The part of a reload that cannot fail: the new takes the place of the old.
//!
//! What is the same goes over as it is; all of it is noted for the log. Belongs to the main thread.

use super::super::*;
use super::{is_same, Changes};

impl Agent {
    pub(super) fn adapt_settings(&mut self, plan: &Plan, changes: &mut Changes) {
        if self.plan.settings.says_the_same(&plan.settings) {
            return;
        }
        self.net.set(loop_settings(&plan.settings));
        if self.plan.settings.int("loopThreads") != plan.settings.int("loopThreads") {
            log::warn!("{}: takes effect at the next start", plan.settings.full("loopThreads"));
        }
        changes.push("settings of the agent changed".to_owned());
    }

    /// Returns the channels that go, and the sinks of those that come back instead of going.
    pub(super) fn switch_channels(
        &mut self,
        plan: &Plan,
        mut new: Vec<OpenedChannel>,
        heap: usize,
        changes: &mut Changes,
    ) -> (Vec<OpenedChannel>, Vec<RunningSink>) {
        let mut old = std::mem::take(&mut self.channels);
        let mut sinks = Vec::new();
        for p in &plan.channels {
            let channel = if let Some(c) = take(&mut old, |c| is_same(p, &c.planned)) {
                if !c.planned.says_the_same(p) {
                    changes.push(format!("channel {} changed", p.name));
                }
                c.adapted(p, heap)
            } else if let Some(g) = take(&mut self.gone, |g| is_same(p, &g.channel.planned)) {
                changes.push(format!("channel {} is back", p.name));
                sinks.extend(g.sinks);
                g.channel.adapted(p, heap)
            } else if let Some(c) = take(&mut new, |c| c.name() == p.name) {
                changes.push(format!("channel {} added", p.name));
                c
            } else {
                continue;
            };
            self.channels.push(channel);
        }
        changes.extend(old.iter().map(|c| format!("channel {} goes when it is empty", c.name())));
        (old, sinks)
    }

    pub(super) fn switch_sinks(
        &mut self,
        plan: &Plan,
        mut new: Vec<RunningSink>,
        going: Vec<OpenedChannel>,
        ending: &mut Vec<RunningSink>,
        changes: &mut Changes,
    ) {
        let mut old = std::mem::take(&mut self.sinks);
        for p in &plan.sinks {
            let name = &p.planned.name;
            if let Some(k) = take(&mut new, |k| k.name() == name) {
                let known = old.iter().any(|o| o.name() == name);
                let same = |o: &PlannedSink| o.planned.says_the_same(&p.planned) && o.channel == p.channel;
                let same = old.iter().find(|o| same(&o.planned));
                let group = same.and_then(|o| p.group.as_ref().or(o.planned.group.as_ref()));
                changes.push(match (group, known) {
                    // What it says itself has not changed.
                    (Some(group), _) => format!("sink {name} begins anew for sink group {}", group.name),
                    (None, true) => format!("sink {name} changed"),
                    (None, false) => format!("sink {name} added"),
                });
                self.sinks.push(k);
            } else if let Some(mut k) = take(&mut old, |k| k.name() == name) {
                k.planned = p.clone();
                self.sinks.push(k);
            }
        }
        for c in going {
            let (its, others) = old.into_iter().partition(|k| Arc::ptr_eq(&k.channel, &c.channel));
            old = others;
            self.gone.push(Gone::new(c, its));
        }
        ending.append(&mut old);
        // Of one that has left, and is at work still, this may be the return.
        let returns = |k: &RunningSink| self.sinks.iter().any(|s| s.name() == k.name() && !s.has_begun());
        let (followed, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving_sinks).into_iter().partition(returns);
        self.leaving_sinks = others;
        ending.extend(followed);
        for k in ending.drain(..) {
            match self.sinks.iter_mut().find(|s| s.name() == k.name()) {
                Some(successor) => successor.replaces(k),
                None => {
                    changes.push(format!("sink {} removed", k.name()));
                    k.halt();
                    self.leaving_sinks.push(k);
                }
            }
        }
    }

    pub(super) fn switch_sources(&mut self, plan: &Plan, mut new: Vec<Served>, changes: &mut Changes) {
        let mut old = std::mem::take(&mut self.sources);
        // Those with sockets listen before their predecessors end; those with threads begin after.
        new.iter_mut().filter(|s| s.is_bound()).for_each(|s| s.try_start(&self.net, Instant::now()));
        let names: Vec<String> = new.iter().map(|s| s.name().to_owned()).collect();
        let leaving = std::mem::take(&mut self.leaving);
        self.leaving = leaving.into_iter().filter_map(|l| l.before_its_heir(&mut new)).collect();
        for p in &plan.sources {
            let name = &p.planned.name;
            let before = self.sources.len();
            self.sources.extend(take_all(&mut new, |s| s.name() == name));
            if self.sources.len() > before {
                let known = old.iter().any(|o| o.name() == name);
                changes.push(format!("source {name} {}", if known { "changed" } else { "added" }));
            } else {
                self.sources.extend(take_all(&mut old, |s| s.name() == name));
            }
        }
        for s in old {
            let removed = format!("source {} removed", s.name());
            if !names.iter().any(|n| n == s.name()) && !changes.contains(&removed) {
                changes.push(removed);
            }
            self.leaving.extend(s.end(&self.net, &mut self.sources));
        }
    }
}

/// Takes all that fit out of a list.
fn take_all<T>(list: &mut Vec<T>, mut fits: impl FnMut(&T) -> bool) -> Vec<T> {
    let (taken, left) = std::mem::take(list).into_iter().partition(|t| fits(t));
    *list = left;
    taken
}

/// Takes the first that fits out of a list.
fn take<T>(list: &mut Vec<T>, fits: impl FnMut(&T) -> bool) -> Option<T> {
    let at = list.iter().position(fits)?;
    Some(list.remove(at))
}
