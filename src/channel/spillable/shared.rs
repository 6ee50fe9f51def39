//! What the threads of a spillable channel share: its state, and the wake-ups that lead out of it.
//!
//! One mutex guards the state; see the channel for the order of locks. Wake-up calls and the ends of tickets' owners are
//! told without it. Sources, sinks, the log threads of the overflow and the timer come here.

use super::keys::Settings;
use super::order::{Ended, Order};
use crate::channel::{PutError, Room, Waiters, Wake};
use crate::counters::{ChannelCounters, Counter};
use crate::lock::lock;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub struct Shared {
    pub name: String,
    pub counters: Arc<ChannelCounters>,
    pub settings: RwLock<Settings>,
    pub state: Mutex<State>,
    /// Takers wait here.
    pub filled: Condvar,
    /// The timer waits here.
    pub due: Condvar,
    /// Times that events began to spill, and events that did.
    pub spills: Counter,
    pub spilled: Counter,
}

#[derive(Default)]
pub struct State {
    pub is_open: bool,
    pub order: Order,
    /// Memory's: reserved, there, and with takers.
    pub held: Room,
    /// Of those, events that are not only reserved.
    pub stored: usize,
    /// The overflow is in use.
    pub is_spilling: bool,
    pub waiters: Waiters,
    pub sleeping: usize,
    /// Somebody hands batches to the file channel.
    pub is_handing: bool,
    /// The head of the line that was woken because its time was up.
    pub called: Option<(Instant, u64)>,
}

/// The file channel has settled something, or has room.
pub struct Inside(pub Arc<Shared>);

impl Wake for Inside {
    fn wake(&self) {
        self.0.settle();
        self.0.wake_head();
    }
}

impl State {
    pub fn fits(&self, settings: &Settings, more: Room) -> bool {
        self.held.events + more.events <= settings.capacity
            && self.held.bytes.saturating_add(more.bytes) <= settings.byte_capacity
    }

    /// Whether the overflow is no longer needed.
    pub fn calm(&mut self, settings: &Settings) -> bool {
        let is_free = |held: usize, of: usize| {
            let free = of.saturating_sub(held) as u128 * 100;
            of == usize::MAX || free >= of as u128 * settings.threshold as u128
        };
        let ends = self.is_spilling
            && !self.order.has_overflow()
            && is_free(self.held.events, settings.capacity)
            && is_free(self.held.bytes, settings.byte_capacity);
        self.is_spilling &= !ends;
        ends
    }

    /// When the head of the line is to be woken if nothing happens.
    pub fn due(&self, timeout: Duration) -> Option<Instant> {
        let first = self.waiters.first().filter(|f| self.called != Some(*f))?;
        first.0.checked_add(timeout)
    }

    /// Whether a taker is to be woken.
    pub fn has_news(&self) -> bool {
        self.sleeping > 0 && self.order.next_side().is_some()
    }
}

impl Shared {
    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be room now.
    pub fn wake_head(&self) {
        let head = lock(&self.state).waiters.head();
        if let Some(w) = head {
            w.wake();
        }
    }

    pub fn notify(&self, has_news: bool) {
        if has_news {
            self.filled.notify_one();
        }
    }

    /// Passes on what has become of batches in the overflow.
    pub fn settle(&self) {
        let (ended, has_news) = {
            let mut s = lock(&self.state);
            (s.order.settle(), s.has_news())
        };
        self.tell(ended);
        self.notify(has_news);
    }

    pub fn tell(&self, ended: Vec<Ended>) {
        for e in &ended {
            if e.how.is_ok() {
                self.counters.put_success.add(e.events);
                self.spilled.add(e.events);
            }
        }
        let mut told: Option<&Arc<dyn Wake>> = None;
        for e in &ended {
            // One that has several batches in a row is woken once.
            if !told.is_some_and(|t| Arc::ptr_eq(t, &e.owner.wake)) {
                e.owner.wake.wake();
            }
            told = Some(&e.owner.wake);
        }
    }

    pub fn closed(&self) -> PutError {
        PutError::Down(format!("channel {} is not open", self.name))
    }

    /// The timer's thread: wakes the head of the line when it has waited long enough to spill.
    pub fn watch(&self) {
        let mut s = lock(&self.state);
        while s.is_open {
            let now = Instant::now();
            s = match s.due(self.settings().timeout) {
                None => self.due.wait(s).unwrap_or_else(PoisonError::into_inner),
                Some(at) if at > now => {
                    self.due.wait_timeout(s, at - now).unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    s.called = s.waiters.first();
                    drop(s);
                    self.wake_head();
                    lock(&self.state)
                }
            };
        }
    }
}
