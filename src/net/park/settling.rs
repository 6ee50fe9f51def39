//! What becomes of the batches of a connection: stored and answered, refused, stored again, or given up.
//!
//! Every event leaves here counted, once. Belongs to its connection, on the loop's thread.

use super::{Asked, Away, Parked, Pending, Refused, Slot, Wait, FEW, RETRY};
use crate::channel::TicketState;
use crate::codec::CallKind;
use crate::deliver::Delivery;
use crate::net::Outcome;
use std::time::Instant;

impl Pending {
    /// Answers the slots at the front whose tickets have ended: `answer` gets the number of events and the outcome.
    pub fn settle(&mut self, answer: &mut dyn FnMut(usize, Outcome<'_>)) {
        while let Some(slot) = self.slots.front_mut() {
            if slot.outcome.is_none() {
                slot.outcome = match slot.delivery.settle(&self.deliver) {
                    TicketState::Open => return,
                    TicketState::Done => Some(Ok(())),
                    TicketState::Failed(why) => Some(Err(Refused::now(why))),
                };
                if let (Some(Err(Refused { why, .. })), false) = (&slot.outcome, self.can_refuse) {
                    if let Some(note) = self.told.pass(Instant::now()) {
                        log::warn!(
                            "source {}: a batch is stored again: {why}{note}",
                            self.deliver.counters.name
                        );
                    }
                    self.store_again();
                    continue;
                }
            }
            let slot = self.slots.pop_front().expect("looked at above");
            if self.slots.is_empty() {
                // A connection that was busy once is not to hold the room of its busiest moment.
                self.slots.shrink_to(FEW);
            }
            let counters = &self.deliver.counters;
            let stored = match slot.outcome.expect("set above") {
                Ok(()) => {
                    counters.event_accepted.add(slot.asked.events);
                    match slot.asked.call {
                        Some(CallKind::Append) => counters.append_accepted.one(),
                        Some(CallKind::AppendBatch) => counters.append_batch_accepted.one(),
                        Some(CallKind::Question) | None => {}
                    }
                    Ok(())
                }
                Err(refused) => {
                    let why = &refused.why;
                    counters.channel_write_fail.one();
                    if self.can_refuse {
                        counters.event_refused.add(slot.asked.events);
                    }
                    // The answer to a call has no room for the reason.
                    let silent = !self.can_refuse || slot.asked.call.is_some();
                    let pass = silent.then(|| self.told.pass(Instant::now())).flatten();
                    if let (Some(note), true) = (pass.as_ref(), self.can_refuse) {
                        let (source, n) = (&counters.name, slot.asked.events);
                        log::warn!(
                            "source {source}: a batch of {n} events from {} is refused: {why}{note}",
                            self.peer
                        );
                    }
                    if !self.can_refuse {
                        counters.event_dropped.add(slot.asked.events);
                        if let Some(note) = pass {
                            let (source, n) = (&counters.name, slot.asked.events);
                            log::error!(
                                "source {source}: {n} events from {} are lost: {why}{note}",
                                self.peer
                            );
                        }
                    }
                    Err(refused)
                }
            };
            let outcome = match &stored {
                Ok(()) => Outcome::Stored,
                Err(refused) if refused.is_final => Outcome::TooLarge(&refused.why),
                Err(refused) => Outcome::Refused(&refused.why),
            };
            answer(slot.asked.events, outcome);
        }
    }

    /// The channel did not keep the batch at the front, and its sender cannot be told: it is parked for another try.
    fn store_again(&mut self) {
        let Some(slot) = self.slots.pop_front() else { return };
        self.deliver.counters.channel_write_fail.one();
        let now = Instant::now();
        let wait = Wait { retry_at: Some(now + RETRY), ..Wait::new(now, &self.wake) };
        self.deliver.counters.parked.add(1);
        self.parked.push_back(Parked { asked: slot.asked, delivery: slot.delivery, wait });
    }

    /// Refuses what is parked, and what is stored but not known to be durable: the sender may repeat it. Returns the
    /// number of events.
    pub fn give_up(&mut self, why: &str) -> usize {
        for slot in self.slots.iter_mut().filter(|s| s.outcome.is_none()) {
            slot.outcome = match slot.delivery.settle(&self.deliver) {
                TicketState::Done => Some(Ok(())),
                _ => Some(Err(Refused::now(why.to_owned()))),
            };
        }
        for Parked { asked, delivery, .. } in self.parked.drain(..) {
            self.deliver.counters.parked.add(-1);
            let refused = Refused::now(why.to_owned());
            self.slots.push_back(Slot { asked, delivery, outcome: Some(Err(refused)) });
        }
        if let Some(away) = self.away.take() {
            let asked = self.count_undone(&away);
            self.queue_answer(asked, Delivery::default(), Some(Err(Refused::now(why.to_owned()))));
        }
        self.slots.iter().filter(|s| matches!(s.outcome, Some(Err(_)))).map(|s| s.asked.events).sum()
    }

    /// Gives up everything that is not stored; returns how many events that is. Open tickets no longer have anyone
    /// to answer to: their events may well be stored.
    pub fn abandon(&mut self) -> usize {
        let mut lost = std::mem::take(&mut self.in_hand);
        let counters = self.deliver.counters.clone();
        for p in self.parked.drain(..) {
            counters.parked.add(-1);
            lost += p.asked.events;
        }
        if let Some(away) = self.away.take() {
            lost += self.count_undone(&away).events;
        }
        let unanswered: usize = self.slots.drain(..).map(|s| s.asked.events).sum();
        lost += unanswered;
        if self.can_refuse {
            counters.event_refused.add(lost);
        } else {
            counters.event_dropped.add(lost);
        }
        lost
    }

    /// What the pool has is not waited for any more. Of a call that it decodes nobody knows the events: it is counted as
    /// one that was not read to its end.
    fn count_undone(&self, away: &Away) -> Asked {
        if away.asked.is_none() {
            self.deliver.counters.event_read_fail.one();
        }
        away.asked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::scripted::Scripted;
    use crate::channel::{Channel, Limits, Wake};
    use crate::codec::Call;
    use crate::counters::SourceCounters;
    use crate::deliver::Deliver;
    use crate::event::{Batch, Body};
    use crate::interceptor::Chain;
    use crate::selector::replicating;
    use std::sync::Arc;
    use std::time::Duration;

    struct Deaf;
    impl Wake for Deaf {
        fn wake(&self) {}
    }

    #[test]
    fn a_question_behind_a_call_that_is_given_up_fails_no_write() {
        let limits = Limits {
            capacity: 10,
            transaction_capacity: 10,
            byte_capacity: usize::MAX,
            keep_alive: Duration::ZERO,
            durable: true,
        };
        let channel = Scripted::new("c1", limits);
        channel.script.lock().unwrap().late = true;
        let list = vec![channel as Arc<dyn Channel>];
        let selector = replicating::for_tests(1, &[]);
        let deliver = Deliver::new(SourceCounters::new("r1"), Chain::default(), selector, list);
        let mut p = Pending::new(Arc::new(deliver), Arc::new(Deaf), ([127, 0, 0, 1], 1).into());
        (p.can_refuse, p.makes_calls) = (true, true);
        let mut one = Batch::new();
        one.push(Body::Copy(b"x"));
        p.offer(one, Some(Call { kind: CallKind::Append, refused: None }), Instant::now());
        p.offer(Batch::new(), Some(Call::question()), Instant::now());
        assert_eq!(p.give_up("the agent stops"), 1);
        let mut answers = Vec::new();
        p.settle(&mut |events, outcome| answers.push((events, matches!(outcome, Outcome::Stored))));
        assert_eq!(answers, [(1, false), (0, true)]);
        assert_eq!(p.deliver.counters.channel_write_fail.get(), 1);
    }
}
