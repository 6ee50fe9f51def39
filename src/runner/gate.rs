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
//! A turn is a guard: dropped, it is given back, so a tick that is due, a stop or a panic leaves no turn behind; and a
//! [`Member`] whose thread ends before its time is nobody to wait for. In a drain, sinks that work go first: a trial of
//! a failed one might hang with events until there is no more time. Where none works, all try. Nobody waits for one that
//! delivers then, were it the leader.
//!
//! Called by sink threads, and by the main thread when it stops one. One lock, held for the processor's decision; under
//! it the channel's lock is taken, to call back a sink that waits there.

use crate::channel::Channel;
use crate::component::{Doing, Processor};
use crate::lifecycle::Stop;
use crate::lock::lock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a sink that waits in a drain looks whether there is anything left.
const LOOK: Duration = Duration::from_millis(20);

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
        (0..self.doing.len()).filter_map(|i| self.processor.left_out(i)).filter(|t| *t > now).min()
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
        let inside = Inside { processor, doing: vec![Doing::Other; sinks.len()], draining: false };
        Arc::new(Gate {
            group: group.to_owned(),
            members: sinks.iter().map(post).collect(),
            channel,
            inside: Mutex::new(inside),
        })
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

/// One sink's place at the gate.
pub struct Member {
    gate: Arc<Gate>,
    index: usize,
    stop: Arc<Stop>,
}

/// That a member is left out after a failure, and what becomes of the events.
#[derive(PartialEq, Eq, Debug)]
pub struct LeftOut {
    pub pause: Duration,
    pub then: String,
}

impl Member {
    /// A sink joins, whose thread is told by `stop` when to end. `None`: the group has no such sink.
    pub fn new(gate: &Arc<Gate>, sink: &str, stop: Arc<Stop>) -> Option<Member> {
        let index = gate.members.iter().position(|m| m.name == sink)?;
        let its = gate.clone();
        stop.on_change(move || {
            lock(&its.inside).draining = true;
            its.members[index].recalled.store(true, SeqCst);
            its.members[index].bell.notify_one();
        });
        gate.set(index, Doing::Other);
        Some(Member { gate: gate.clone(), index, stop })
    }

    pub fn group(&self) -> &str {
        &self.gate.group
    }

    /// Waits to be let take. `None` at `until`, and soon once told to stop: whoever waits has to look around.
    pub fn turn(&self, until: Instant) -> Option<Turn<'_>> {
        let (gate, me) = (&*self.gate, self.index);
        let mut inside = lock(&gate.inside);
        let was_draining = self.stop.is_draining();
        let until = if was_draining { until.min(Instant::now() + LOOK) } else { until };
        inside.doing[me] = Doing::Waiting;
        loop {
            let now = Instant::now();
            gate.settle(&mut inside, now);
            if inside.doing[me] == Doing::Taking {
                // Who stops looks at an empty channel once; so does who was called back before it woke.
                gate.members[me].recalled.store(self.stop.is_draining(), SeqCst);
                gate.settle(&mut inside, now);
                return Some(Turn { member: self });
            }
            if now >= until || self.stop.is_halted() || self.stop.is_draining() != was_draining {
                inside.doing[me] = Doing::Other;
                return None;
            }
            let wake = inside.next_change(now).map_or(until, |t| t.min(until));
            inside = gate.wait(me, inside, wake.saturating_duration_since(now));
        }
    }

    /// Waits until this sink may try to start, or begin anew after a failure. `false`: not yet, but look around.
    pub fn may_start(&self) -> bool {
        let mut inside = lock(&self.gate.inside);
        loop {
            let Some(at) = inside.processor.left_out(self.index) else { return true };
            let now = Instant::now();
            let left = at.saturating_duration_since(now);
            if !self.stop.is_draining() {
                if left.is_zero() {
                    return true;
                }
                inside = self.gate.wait(self.index, inside, left);
                continue;
            }
            if !inside.some_work() {
                return true;
            }
            drop(self.gate.wait(self.index, inside, LOOK));
            return false;
        }
    }

    /// The sink failed; what it had taken is in the channel again. `None`: it is not left out.
    pub fn failed(&self, now: Instant) -> Option<LeftOut> {
        let (gate, me) = (&*self.gate, self.index);
        let mut inside = lock(&gate.inside);
        let led_by = inside.processor.leader(&inside.doing);
        inside.processor.failed(me, now);
        let leads = inside.processor.leader(&inside.doing);
        gate.settle(&mut inside, now);
        let until = inside.processor.left_out(me)?;
        let then = match leads {
            Some(i) if led_by == Some(me) => format!("{} takes over", gate.name(i)),
            Some(i) => format!("{} goes on", gate.name(i)),
            None if inside.some_work() => "the others go on".to_owned(),
            None => "no other works".to_owned(),
        };
        Some(LeftOut { pause: until.saturating_duration_since(now), then })
    }
}

impl Drop for Member {
    /// Nobody to wait for, unless all end.
    fn drop(&mut self) {
        if !self.stop.is_draining() {
            self.gate.set(self.index, Doing::Nothing);
        }
    }
}

/// The right to take a batch. Dropped without one, it is given back; after one, its delivery is over.
pub struct Turn<'a> {
    member: &'a Member,
}

impl Turn<'_> {
    /// Set when there is no waiting on an empty channel any longer.
    pub fn recalled(&self) -> &AtomicBool {
        &self.member.gate.members[self.member.index].recalled
    }

    /// There are events: the next may take.
    pub fn taken(&self) {
        let (gate, me) = (&*self.member.gate, self.member.index);
        let mut inside = lock(&gate.inside);
        inside.doing[me] = Doing::Delivering;
        inside.processor.taken(me);
        gate.settle(&mut inside, Instant::now());
    }

    /// They are delivered and committed.
    pub fn delivered(self) {
        let (gate, me) = (&*self.member.gate, self.member.index);
        let mut inside = lock(&gate.inside);
        let led_by = inside.processor.leader(&inside.doing);
        inside.processor.succeeded(me);
        let leads = inside.processor.leader(&inside.doing);
        gate.settle(&mut inside, Instant::now());
        drop(inside);
        if let (Some(i), true) = (leads, led_by != leads) {
            let from = led_by.map_or(String::new(), |l| format!(" from {}", gate.name(l)));
            log::info!("sink group {}: {} takes over{from}", gate.group, gate.name(i));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.member.gate.set(self.member.index, Doing::Other);
    }
}

#[cfg(test)]
mod tests;
