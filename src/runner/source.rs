//! The thread of a polled source, `source:<name>`: poll, store, wait where a channel is full; back off when there is
//! nothing; begin anew after a panic.
//!
//! Nothing is polled while a batch waits for room, so that what the source reads from (a pipe, a queue, a file) holds
//! the pressure. When the agent stops the source winds down: what it still brings is stored until the deadline; what
//! cannot be stored by then, and cannot be read again, is counted and logged.

use crate::channel::{PutError, TicketState, Wake};
use crate::clock::Backoff;
use crate::component::{Pauses, PollableSource, Polled, Source, SourceParts};
use crate::counters::State;
use crate::deliver::{Attempt, Deliver, Delivery, Place};
use crate::event::Batch;
use crate::lifecycle::Stop;
use crate::outage::Outage;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A channel that is down, or did not keep a batch, is tried again after this.
const RETRY: Duration = Duration::from_millis(200);
/// How long the thread sleeps when only a wake-up can bring something new.
const IDLE: Duration = Duration::from_secs(3600);

/// How it has been faring, over all lives.
struct Luck {
    backoff: Backoff,
    outage: Outage,
}

/// Everything the thread of a polled source works with.
pub struct SourceRunner {
    make: Arc<dyn Fn() -> Source + Send + Sync>,
    deliver: Arc<Deliver>,
    stop: Arc<Stop>,
    /// Events of the batch being stored that nobody has any more should that panic.
    in_hand: AtomicUsize,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

impl SourceRunner {
    pub fn new(
        make: Arc<dyn Fn() -> Source + Send + Sync>,
        deliver: Arc<Deliver>,
        stop: Arc<Stop>,
    ) -> SourceRunner {
        SourceRunner { make, deliver, stop, in_hand: AtomicUsize::new(0) }
    }

    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name(format!("source:{}", self.deliver.counters.name))
            .spawn(move || self.run())
    }

    fn run(&self) {
        let me = std::thread::current();
        let wake: Arc<dyn Wake> = Arc::new(Unpark(me.clone()));
        self.stop.on_change(move || me.unpark());
        let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut luck = Luck { backoff, outage: Outage::default() };
        while catch_unwind(AssertUnwindSafe(|| self.live(&wake, &mut luck))).is_err() {
            self.deliver.counters.event_dropped.add(self.in_hand.swap(0, Relaxed));
            self.fail("panicked; a new one takes its place", &mut luck);
            if self.stop.is_draining() {
                break;
            }
        }
        self.deliver.counters.health.set(State::Stopped);
    }

    /// One source's life, from start to stop.
    fn live(&self, wake: &Arc<dyn Wake>, luck: &mut Luck) {
        let Source::Polled { mut source, pauses } = (self.make)() else {
            self.deliver.counters.health.set(State::Failed("not a source to be polled".into()));
            return;
        };
        let parts = SourceParts { stop: self.stop.clone(), counters: self.deliver.counters.clone() };
        while let Err(e) = source.start(&parts) {
            self.fail(&format!("cannot start: {e}"), luck);
            if self.stop.is_draining() {
                return;
            }
        }
        self.deliver.counters.health.set(State::Started);
        if let Some(after) = luck.outage.up(Instant::now()) {
            log::info!("source {} started{after}", self.deliver.counters.name);
        }
        self.serve(source.as_mut(), pauses, wake, luck);
        source.stop();
    }

    fn serve(&self, source: &mut dyn PollableSource, pauses: Pauses, wake: &Arc<dyn Wake>, luck: &mut Luck) {
        let (mut idle, mut winding) = (0, false);
        while !self.stop.is_halted() {
            if self.stop.is_draining() && !std::mem::replace(&mut winding, true) && !source.wind_down() {
                return;
            }
            let mut batch = Batch::new();
            let polled = source.poll(self.deliver.limits(), &mut batch);
            if !batch.is_empty() {
                self.store(batch, source.can_repeat(), wake);
            }
            match polled {
                Ok(Polled::Ready) => idle = 0,
                Ok(Polled::Idle | Polled::Finished) if winding => return,
                Ok(Polled::Idle) => {
                    idle += 1;
                    self.stop.pause_unless_draining(pauses.step.saturating_mul(idle).min(pauses.most));
                }
                Ok(Polled::Finished) => {
                    self.stop.pause_unless_draining(IDLE);
                    continue;
                }
                Err(e) => {
                    self.deliver.counters.event_read_fail.one();
                    self.fail(&e.0, luck);
                    if winding {
                        return;
                    }
                    continue;
                }
            }
            luck.backoff.reset();
            let was_noted = self.deliver.counters.health.set_started_again();
            match luck.outage.over(Instant::now()) {
                Some(after) => log::info!("source {} works again{after}", self.deliver.counters.name),
                None if was_noted => log::info!("source {} works again", self.deliver.counters.name),
                None => {}
            }
        }
    }

    /// Stores a batch, however long that takes; unless there is no more time.
    fn store(&self, batch: Batch, can_repeat: bool, wake: &Arc<dyn Wake>) {
        let (counters, asked) = (&self.deliver.counters, batch.len());
        counters.event_received.add(asked);
        counters.append_batch_received.one();
        self.in_hand.store(if can_repeat { 0 } else { asked }, Relaxed);
        let delivery = self.deliver.prepare(batch);
        // What the interceptors dropped is as good as stored.
        counters.event_accepted.add(asked - delivery.events());
        let lost = self.place(delivery, wake);
        self.in_hand.store(0, Relaxed);
        if lost == 0 {
            counters.append_batch_accepted.one();
        } else if !can_repeat {
            counters.event_dropped.add(lost);
        }
    }

    /// Returns how many events are not stored.
    fn place(&self, mut delivery: Delivery, wake: &Arc<dyn Wake>) -> usize {
        let (counters, name) = (&self.deliver.counters, &self.deliver.counters.name);
        let mut place: Option<Place> = None;
        loop {
            let why = match delivery.attempt(&self.deliver, place.as_ref().map(Place::waiter), wake) {
                Attempt::Stored => {
                    if let Some(mut place) = place.take() {
                        place.stored(name, Instant::now());
                    }
                    match self.await_tickets(&delivery) {
                        TicketState::Done => {
                            counters.event_accepted.add(delivery.events());
                            return 0;
                        }
                        TicketState::Open => "the agent stops before they were known to be stored".to_owned(),
                        TicketState::Failed(why) => why,
                    }
                }
                Attempt::Full(channel) => {
                    let Some(place) = &mut place else {
                        // Once more, standing in line: room may have come free meanwhile.
                        place = Some(Place::new(Instant::now(), wake));
                        continue;
                    };
                    place.stand_at(channel);
                    counters.parked.add(1);
                    self.await_room(place);
                    counters.parked.add(-1);
                    if !self.stop.is_halted() {
                        continue;
                    }
                    "the agent stops, its channel is full".to_owned()
                }
                // Who waits no longer leaves the line: behind its head nobody gets room.
                Attempt::Refused(PutError::TooLarge(why)) => match delivery.split() {
                    Some(rest) => {
                        drop(place);
                        return self.place(delivery, wake) + self.place(rest, wake);
                    }
                    None => {
                        counters.channel_write_fail.one();
                        log::error!("source {name}: {} events are lost: {why}", delivery.events());
                        return delivery.events();
                    }
                },
                Attempt::Refused(e) => {
                    place = None;
                    e.to_string()
                }
            };
            counters.channel_write_fail.one();
            if self.stop.is_halted() {
                log::error!("source {name}: {} events are not stored: {why}", delivery.events());
                return delivery.events();
            }
            counters.health.set(State::Failed(why.clone()));
            log::warn!("source {name}: a batch is stored again: {why}");
            self.stop.pause(RETRY);
        }
    }

    /// Until the channel's wake-up, a change of the stop, or the time to say that it takes long.
    fn await_room(&self, place: &mut Place) {
        let until = place.tell_at();
        match until {
            Some(at) => std::thread::park_timeout(at.saturating_duration_since(Instant::now())),
            None => std::thread::park_timeout(IDLE),
        }
        place.tell(&self.deliver.counters.name, Instant::now());
    }

    /// Open only when there is no more time.
    fn await_tickets(&self, delivery: &Delivery) -> TicketState {
        loop {
            let state = delivery.settle(&self.deliver);
            if state != TicketState::Open || self.stop.is_halted() {
                return state;
            }
            std::thread::park_timeout(IDLE);
        }
    }

    fn fail(&self, why: &str, luck: &mut Luck) {
        let counters = &self.deliver.counters;
        counters.health.set(State::Failed(why.to_owned()));
        let pause = luck.backoff.next_pause();
        if let Some(count) = luck.outage.failed(why, Instant::now()) {
            log::error!("source {}: {why}{count}; next try in {} ms", counters.name, pause.as_millis());
        }
        self.stop.pause_unless_draining(pause);
    }
}

#[cfg(test)]
mod tests;
