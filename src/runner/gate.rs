//! The gate of a sink group: its sinks pass it before they take from their channel, one after the other as the group's
//! processor says.
//!
//! Each sink keeps its thread. It waits at the gate for its [`Turn`], takes, says that it has taken, delivers, and says
//! how that ended. So grouping does not make deliveries wait for each other, a sink that hangs or connects holds up
//! nobody but by being the one that leads, and a failed sink tries again beside those that work.
//!
//! A gate stands before one channel: sinks of a group that read from different channels have a gate for each, because
//! one that waits on an empty channel must not keep another from a full one.
//!
//! A sink that starts is waited for only so long ([`PATIENCE`]), whatever it would lead: a host that swallows all it is
//! sent takes the whole `connect-timeout` to fail. When it has started it is back in its place.
//!
//! A turn is a guard: dropped, it is given back, so a tick that is due, a stop or a panic leaves no turn behind; and a
//! [`Member`] whose thread ends before its time is nobody to wait for. In a drain, sinks that work go first: a trial of
//! a failed one might hang with events until there is no more time. Where none works, all try. Nobody waits for one that
//! delivers then, were it the leader.
//!
//! Called by sink threads, and by the main thread when it stops one. One lock, held for the processor's decision; under
//! it the channel's lock is taken, to call back a sink that waits there.

use crate::channel::Channel;
use crate::component::{Doing, Processor};
use crate::lock::lock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod member;

pub use member::{Member, Turn};

/// How long the others wait for one that starts. A host that is well answers sooner, also where the first packet of a
/// connection is lost: it is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Gate {
    group: String,
    members: Vec<Post>,
    channel: Arc<dyn Channel>,
    inside: Mutex<Inside>,
}

/// Where one member is reached.
struct Post {
    name: String,
    /// Rings when it may take, or is to stop.
    bell: Condvar,
    /// Whether it is not to wait on the empty channel any longer.
    recalled: AtomicBool,
}

struct Inside {
    processor: Box<dyn Processor>,
    doing: Vec<Doing>,
    /// Until when the others wait for those that start.
    starting: Vec<Option<Instant>>,
    /// A group is stopped as a whole.
    draining: bool,
}

impl Inside {
    fn works(&self, member: usize) -> bool {
        self.doing[member] != Doing::Nothing && self.processor.left_out(member).is_none()
    }

    fn some_work(&self) -> bool {
        (0..self.doing.len()).any(|i| self.works(i))
    }

    /// Waits no longer for those whose start takes too long.
    fn look_at_starts(&mut self, now: Instant) {
        for (until, doing) in self.starting.iter_mut().zip(&mut self.doing) {
            if until.take_if(|t| *t <= now).is_some() {
                *doing = Doing::Nothing;
            }
        }
    }

    /// The next to be let take.
    fn choose(&mut self, now: Instant) -> Option<usize> {
        let waits = |i: &usize| self.doing[*i] == Doing::Waiting;
        if !self.draining {
            return self.processor.choose(&self.doing, now).filter(waits);
        }
        if !self.some_work() {
            return (0..self.doing.len()).find(waits);
        }
        // One that delivers is not waited for: it may hang until there is no more time.
        let counts = |i: usize| self.works(i) && self.doing[i] != Doing::Delivering;
        let seen = |i: usize| if counts(i) { self.doing[i] } else { Doing::Nothing };
        let seen: Vec<Doing> = (0..self.doing.len()).map(seen).collect();
        self.processor.choose(&seen, now).filter(waits)
    }

    /// When time alone may change what [`choose`](Inside::choose) says.
    fn next_change(&self, now: Instant) -> Option<Instant> {
        let left_out = (0..self.doing.len()).filter_map(|i| self.processor.left_out(i));
        left_out.chain(self.starting.iter().flatten().copied()).filter(|t| *t > now).min()
    }
}

impl Gate {
    /// `sinks`: the members' names, in the order that the processor knows them by.
    pub fn new(
        group: &str,
        sinks: &[String],
        channel: Arc<dyn Channel>,
        processor: Box<dyn Processor>,
    ) -> Arc<Gate> {
        let post = |name: &String| Post {
            name: name.clone(),
            bell: Condvar::new(),
            recalled: AtomicBool::new(false),
        };
        // Those whose threads are not there yet count as there: the one that leads may be the last to come.
        let (doing, starting) = (vec![Doing::Other; sinks.len()], vec![None; sinks.len()]);
        let inside = Inside { processor, doing, starting, draining: false };
        Arc::new(Gate {
            group: group.to_owned(),
            members: sinks.iter().map(post).collect(),
            channel,
            inside: Mutex::new(inside),
        })
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    /// From now on another processor, for the same sinks, decides. It knows nothing of failures yet.
    pub fn adopt(&self, processor: Box<dyn Processor>) {
        let mut inside = lock(&self.inside);
        inside.processor = processor;
        self.settle(&mut inside, Instant::now());
        // Those that wait for what the other one said.
        self.members.iter().for_each(|m| m.bell.notify_one());
    }

    /// Nobody is to wait for this sink until it joins: its thread is held up.
    pub fn go_without(&self, sink: &str) {
        if let Some(index) = self.members.iter().position(|m| m.name == sink) {
            self.set(index, Doing::Nothing);
        }
    }

    fn set(&self, member: usize, doing: Doing) {
        let mut inside = lock(&self.inside);
        inside.doing[member] = doing;
        self.settle(&mut inside, Instant::now());
    }

    /// Lets take whom the processor names, and calls back who is not to.
    fn settle(&self, inside: &mut Inside, now: Instant) {
        let led_by = inside.processor.leader(&inside.doing);
        inside.look_at_starts(now);
        if let Some(i) = led_by.filter(|i| inside.doing[*i] == Doing::Nothing) {
            let (group, name) = (&self.group, self.name(i));
            log::warn!("sink group {group}: {name} takes long to start, the others do not wait for it");
        }
        while let Some(i) = inside.choose(now) {
            inside.doing[i] = Doing::Taking;
            self.members[i].bell.notify_one();
        }
        let Some(leader) = inside.processor.leader(&inside.doing) else { return };
        let others = (0..self.members.len()).filter(|i| *i != leader && inside.works(*i));
        let taking: Vec<usize> = others.filter(|i| inside.doing[*i] == Doing::Taking).collect();
        for i in &taking {
            self.members[*i].recalled.store(true, SeqCst);
        }
        if !taking.is_empty() {
            self.channel.interrupt_takers();
        }
    }

    fn wait<'a>(
        &self,
        member: usize,
        inside: MutexGuard<'a, Inside>,
        pause: Duration,
    ) -> MutexGuard<'a, Inside> {
        let waited = self.members[member].bell.wait_timeout(inside, pause);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn name(&self, member: usize) -> &str {
        &self.members[member].name
    }
}

#[cfg(test)]
mod tests;
