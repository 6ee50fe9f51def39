//! A sink's place at the gate of its group, and the right to take that it waits for there.
//!
//! Called by the sink's thread, but for the end that the main thread tells it of. Takes the gate's lock.

use super::{Gate, PATIENCE};
use crate::component::Doing;
use crate::lifecycle::Stop;
use crate::lock::lock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a sink that waits in a drain looks whether there is anything left.
const LOOK: Duration = Duration::from_millis(20);

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
        self.gate.group()
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

    /// From when on this sink, which has failed, may be tried again; `None`: it is not left out.
    pub fn left_out(&self) -> Option<Instant> {
        lock(&self.gate.inside).processor.left_out(self.index)
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

    /// Until this is dropped the sink starts, and is waited for so long only.
    pub fn starting(&self) -> Starting<'_> {
        let mut inside = lock(&self.gate.inside);
        inside.starting[self.index] = Some(Instant::now() + PATIENCE);
        inside.doing[self.index] = Doing::Other;
        // Those that wait are to know until when.
        self.gate.members.iter().for_each(|m| m.bell.notify_one());
        Starting { member: self }
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

/// That a sink starts.
pub struct Starting<'a> {
    member: &'a Member,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let (gate, me) = (&*self.member.gate, self.member.index);
        lock(&gate.inside).starting[me] = None;
        gate.set(me, Doing::Other);
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
