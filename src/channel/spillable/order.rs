//! The one order of a channel that is made of two, and what of it can be taken.
//!
//! ```text
//!   number  7        9         14            20           31
//!           memory 2 | overflow | memory, not  | overflow,  | next
//!           (a batch)| (stored) | appended yet | unsynced   |
//! ```
//! A reservation gets its place, and numbers for its events, at the end. From the front goes what is there: up to the first
//! place whose events are not appended, or not synced, and from one side at a time. What is rolled back is lower than all
//! places and goes first. Memory's events are in their places, and a copy (of the reference) stays while a sink has them.
//! The overflow's are in the file channel, under the same numbers; of them there is a range and a count, and ranges that
//! touch are one, so that nothing here grows with the overflow.
//!
//! Batches reach the file channel in the order of their places, so its order is ours: one that is appended before one
//! that stands before it is kept until that comes. Plain data inside the channel's lock.

use crate::channel::{Room, Run, Ticket, TicketState, Wake};
use crate::event::Events;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Memory,
    Overflow,
}

/// Whom to tell what became of a batch.
pub struct Owner {
    pub ticket: Ticket,
    pub wake: Arc<dyn Wake>,
}

/// A batch whose ticket has ended.
pub struct Ended {
    pub owner: Owner,
    pub events: usize,
    pub how: Result<(), String>,
}

impl Ended {
    /// Ends the ticket at once, so that whoever looks at both finds them the same; its owner is still to be woken.
    fn new(owner: Owner, events: u64, how: Result<(), String>) -> Ended {
        owner.ticket.finish(how.clone());
        Ended { owner, events: events as usize, how }
    }
}

struct Place {
    first: u64,
    /// Above all its numbers. Some in between may not be there any more.
    end: u64,
    count: u64,
    what: What,
}

enum What {
    Reserved(Side),
    Memory(Run),
    /// Appended, while a batch before it in the overflow is not.
    Waits(Room, Events, Owner),
    /// Being handed to the file channel.
    Handing(Owner),
    /// In the file channel, which says by the first ticket what becomes of it.
    Unsynced(Ticket, Owner),
    Stored,
}

/// What was rolled back.
enum Back {
    Memory(Run),
    Overflow(u64),
}

#[derive(Default)]
pub struct Order {
    next: u64,
    places: VecDeque<Place>,
    returned: BTreeMap<u64, Back>,
    /// Memory's events that takers have.
    out: BTreeMap<u64, Run>,
    /// The overflow's that takers have: how many, and the number above them.
    out_overflow: u64,
    out_to: u64,
    /// Places of the overflow that are not handed on, and those whose tickets are open.
    to_hand: VecDeque<u64>,
    open: VecDeque<u64>,
    /// Events of the overflow that are stored, and that nobody has.
    ready: u64,
}

impl Order {
    /// What the file channel has from earlier comes first: `count` events below `end`.
    pub fn new(count: u64, end: u64) -> Order {
        let found = Place { first: 0, end, count, what: What::Stored };
        let places = (count > 0).then_some(found).into_iter().collect();
        Order { next: end, places, ready: count, ..Order::default() }
    }

    fn find(&self, first: u64) -> Option<usize> {
        self.places.binary_search_by_key(&first, |p| p.first).ok()
    }

    /// A place at the end; the first of its numbers.
    pub fn reserve(&mut self, side: Side, count: usize) -> u64 {
        let (first, count) = (self.next, count as u64);
        self.next += count;
        self.places.push_back(Place { first, end: self.next, count, what: What::Reserved(side) });
        if side == Side::Overflow {
            self.to_hand.push_back(first);
        }
        first
    }

    /// On which side a place without events is.
    pub fn side(&self, first: u64) -> Option<Side> {
        match self.places[self.find(first)?].what {
            What::Reserved(side) => Some(side),
            _ => None,
        }
    }

    /// A reservation is given back.
    pub fn give_back(&mut self, first: u64) {
        self.to_hand.retain(|f| *f != first);
        let Some(at) = self.find(first) else { return };
        let gone = self.places.remove(at);
        // Numbers that no event ever had: so the ranges of the overflow have few gaps.
        if gone.is_some_and(|p| p.end == self.next) {
            self.next = first;
        }
    }

    /// Events for a place in memory.
    pub fn fill(&mut self, first: u64, run: Run) {
        if let Some(at) = self.find(first) {
            self.places[at].what = What::Memory(run);
        }
    }

    /// Events for a place in the overflow, to be handed on in their turn.
    pub fn bring(&mut self, first: u64, room: Room, events: Events, owner: Owner) {
        if let Some(at) = self.find(first) {
            self.places[at].what = What::Waits(room, events, owner);
        }
    }

    /// The batch that is the next one for the file channel, if it is here.
    pub fn next_to_hand(&mut self) -> Option<(u64, Room, Events)> {
        let first = *self.to_hand.front()?;
        let at = self.find(first)?;
        let what = &mut self.places[at].what;
        if !matches!(what, What::Waits(..)) {
            return None;
        }
        let What::Waits(room, events, owner) = std::mem::replace(what, What::Stored) else { return None };
        *what = What::Handing(owner);
        self.to_hand.pop_front();
        Some((first, room, events))
    }

    pub fn handed(&mut self, first: u64, ticket: Ticket) {
        let Some(at) = self.find(first) else { return };
        let what = &mut self.places[at].what;
        if let What::Handing(owner) = std::mem::replace(what, What::Stored) {
            *what = What::Unsynced(ticket, owner);
            self.open.push_back(first);
        }
    }

    /// The file channel did not take it: it has no place any more.
    pub fn not_handed(&mut self, first: u64, why: String) -> Option<Ended> {
        let p = self.find(first).and_then(|at| self.places.remove(at))?;
        let What::Handing(owner) = p.what else { return None };
        Some(Ended::new(owner, p.count, Err(why)))
    }

    /// Looks which tickets have ended. What is stored can be taken, what is not loses its place.
    pub fn settle(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        open.retain(|first| {
            let Some(at) = self.find(*first) else { return false };
            let What::Unsynced(ticket, _) = &self.places[at].what else { return false };
            let how = match ticket.state() {
                TicketState::Open => return true,
                TicketState::Done => Ok(()),
                TicketState::Failed(why) => Err(why),
            };
            let events = self.places[at].count;
            let what = std::mem::replace(&mut self.places[at].what, What::Stored);
            match how {
                Ok(()) => self.stored(at),
                Err(_) => drop(self.places.remove(at)),
            }
            if let What::Unsynced(_, owner) = what {
                ended.push(Ended::new(owner, events, how));
            }
            false
        });
        self.open = open;
        ended
    }

    fn stored(&mut self, at: usize) {
        self.ready += self.places[at].count;
        for (left, right) in [(at, at + 1), (at.wrapping_sub(1), at)] {
            let is_stored = |i: usize| self.places.get(i).is_some_and(|p| matches!(p.what, What::Stored));
            if is_stored(left) && is_stored(right) {
                if let Some(p) = self.places.remove(right) {
                    self.places[left].end = p.end;
                    self.places[left].count += p.count;
                }
            }
        }
    }

    /// Where the next event comes from, if there is one that can be taken.
    pub fn next_side(&self) -> Option<Side> {
        match self.returned.values().next() {
            Some(Back::Memory(_)) => Some(Side::Memory),
            Some(Back::Overflow(_)) => Some(Side::Overflow),
            None => match self.places.front()?.what {
                What::Memory(_) => Some(Side::Memory),
                What::Stored => Some(Side::Overflow),
                _ => None,
            },
        }
    }

    /// Moves up to `max` events of memory out, as far as nothing else comes before.
    pub fn cut_memory(&mut self, max: usize) -> Vec<Run> {
        let mut out = Vec::new();
        let mut left = max;
        while left > 0 && self.next_side() == Some(Side::Memory) {
            let run = match self.returned.pop_first() {
                Some((_, Back::Memory(mut run))) => {
                    if run.events.len() > left {
                        let front = run.split_to(left);
                        self.returned.insert(run.first, Back::Memory(run));
                        run = front;
                    }
                    run
                }
                Some((first, back)) => {
                    self.returned.insert(first, back);
                    break;
                }
                None => match self.cut_front(left) {
                    Some(run) => run,
                    None => break,
                },
            };
            left -= run.events.len();
            self.out.insert(run.first, copy(&run));
            out.push(run);
        }
        out
    }

    fn cut_front(&mut self, left: usize) -> Option<Run> {
        let p = self.places.front_mut()?;
        let What::Memory(run) = &mut p.what else { return None };
        if run.events.len() > left {
            p.first += left as u64;
            p.count -= left as u64;
            return Some(run.split_to(left));
        }
        let Some(Place { what: What::Memory(run), .. }) = self.places.pop_front() else { return None };
        Some(run)
    }

    /// How many events to ask the file channel for, and the number below which they are to be.
    pub fn plan_overflow(&self, max: usize) -> (usize, u64) {
        let is_overflow = |b: &Back| match b {
            Back::Overflow(n) => Some(*n),
            Back::Memory(_) => None,
        };
        let front = self.places.front().filter(|p| matches!(p.what, What::Stored));
        let (n, below) = match self.returned.is_empty() {
            false => (self.returned.values().map_while(is_overflow).sum(), u64::MAX),
            true => front.map_or((0, 0), |p| (p.count, p.end)),
        };
        (max.min(usize::try_from(n).unwrap_or(usize::MAX)), below)
    }

    /// The file channel gave these.
    pub fn took_overflow(&mut self, runs: &[Run]) {
        for r in runs {
            let n = r.events.len() as u64;
            self.out_overflow += n;
            self.out_to = self.out_to.max(r.first + n);
            self.ready = self.ready.saturating_sub(n);
            if !self.took_returned(r.first, n) {
                self.took_stored(r.first, n);
            }
        }
    }

    fn took_returned(&mut self, first: u64, n: u64) -> bool {
        let Some((&from, Back::Overflow(count))) = self.returned.range(..=first).next_back() else {
            return false;
        };
        let to = from + count;
        if to <= first {
            return false;
        }
        self.returned.remove(&from);
        for (a, b) in [(from, first), (first + n, to)] {
            if a < b {
                self.returned.insert(a, Back::Overflow(b - a));
            }
        }
        true
    }

    fn took_stored(&mut self, first: u64, n: u64) {
        let Some(p) = self.places.front_mut().filter(|p| matches!(p.what, What::Stored)) else { return };
        // Those in between are lost, which the file channel notices when it is asked for more: the count stays.
        p.first = first + n;
        p.count = p.count.saturating_sub(n);
        if p.count == 0 {
            self.places.pop_front();
        }
    }

    /// The file channel has none of what comes first: it was damaged, as that has said.
    pub fn lost_front(&mut self) {
        if let Some((_, Back::Overflow(n))) = self.returned.first_key_value() {
            self.ready = self.ready.saturating_sub(*n);
            self.returned.pop_first();
        } else if let Some(p) = self.places.front().filter(|p| matches!(p.what, What::Stored)) {
            self.ready = self.ready.saturating_sub(p.count);
            self.places.pop_front();
        }
    }

    /// Takers are through with events of memory. `false`: they are no longer known here.
    pub fn commit_memory(&mut self, runs: &[Run]) -> bool {
        runs.iter().all(|r| self.remove_out(r.first, r.events.len()))
    }

    pub fn commit_overflow(&mut self, runs: &[Run]) {
        let n: usize = runs.iter().map(|r| r.events.len()).sum();
        self.out_overflow = self.out_overflow.saturating_sub(n as u64);
    }

    /// Events of memory are back.
    pub fn return_memory(&mut self, runs: Vec<Run>) {
        for r in runs {
            if self.remove_out(r.first, r.events.len()) {
                self.returned.insert(r.first, Back::Memory(r));
            }
        }
    }

    /// Events of the overflow, first numbers and counts, are back in the file channel.
    pub fn return_overflow(&mut self, ranges: &[(u64, u64)]) {
        for (first, n) in ranges {
            self.out_overflow = self.out_overflow.saturating_sub(*n);
            self.ready += n;
            self.returned.insert(*first, Back::Overflow(*n));
        }
    }

    fn remove_out(&mut self, first: u64, n: usize) -> bool {
        let Some((&from, _)) = self.out.range(..=first).next_back() else { return false };
        let Some(mut run) = self.out.remove(&from) else { return false };
        let is_known = first + n as u64 <= from + run.events.len() as u64;
        if from < first {
            self.out.insert(from, run.split_to((first - from) as usize));
        }
        run.split_to(n.min(run.events.len()));
        if !run.events.is_empty() {
            self.out.insert(run.first, run);
        }
        is_known
    }

    /// Whether something of the overflow could be taken if it were at the front.
    pub fn has_overflow(&self) -> bool {
        self.ready > 0
    }

    /// When the oldest of memory's events was put that nobody has.
    pub fn oldest_in_memory(&self) -> Option<u64> {
        let returned = self.returned.values().find_map(|b| match b {
            Back::Memory(r) => Some(r.put_at),
            Back::Overflow(_) => None,
        });
        returned.or_else(|| {
            self.places.iter().find_map(|p| match &p.what {
                What::Memory(r) => Some(r.put_at),
                _ => None,
            })
        })
    }

    /// Takes out all that memory holds, in order; how many of these events stand before some of the overflow; and the
    /// batches that have no events yet or are not handed on.
    pub fn rest(&mut self) -> (Vec<Run>, usize, Vec<Ended>) {
        let mut memory = std::mem::take(&mut self.out);
        let mut overflow_to = if self.out_overflow > 0 { self.out_to } else { 0 };
        for (first, back) in std::mem::take(&mut self.returned) {
            match back {
                Back::Memory(r) => drop(memory.insert(first, r)),
                Back::Overflow(n) => overflow_to = overflow_to.max(first + n),
            }
        }
        let (mut unheard, mut kept) = (Vec::new(), VecDeque::new());
        for p in std::mem::take(&mut self.places) {
            match p.what {
                What::Memory(r) => drop(memory.insert(r.first, r)),
                What::Waits(_, _, owner) => {
                    let how = Err("the channel is closed".to_owned());
                    unheard.push(Ended::new(owner, p.count, how));
                }
                What::Reserved(_) => {}
                What::Stored => overflow_to = overflow_to.max(p.end),
                // Their owners will hear from the file channel.
                What::Handing(_) | What::Unsynced(..) => {
                    overflow_to = overflow_to.max(p.end);
                    kept.push_back(p);
                }
            }
        }
        self.places = kept;
        self.to_hand.clear();
        let before = memory.values().filter(|r| r.first < overflow_to).map(|r| r.events.len()).sum();
        (memory.into_values().collect(), before, unheard)
    }
}

/// The same events once more.
fn copy(run: &Run) -> Run {
    Run { events: run.events.clone(), ..*run }
}

#[cfg(test)]
impl Order {
    /// Whether all that was handed on is settled.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && !self.places.iter().any(|p| matches!(p.what, What::Handing(_)))
    }
}
