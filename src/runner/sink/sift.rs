//! Finds the events of a batch that do not pass, and puts them aside, so that the others go on.
//!
//! A sink that does not know why a delivery failed leaves one question: is it an event, or the destination? A
//! destination that is down must not empty the channel into the dead-letter file. So, when a batch has failed
//! `maxDeliveryAttempts` times:
//!
//! - It is taken apart: halves are delivered in order, a failed half in halves again, down to single events.
//! - An event that fails alone is a suspect. It is held while those behind it are tried, as far as needed in the
//!   channel behind the batch.
//! - When one of those is delivered, the destination works. The suspects are tried again, in rounds with growing pauses
//!   before them, each until it has failed `maxDeliveryAttempts` times alone (twice at least). So it has failed before
//!   and after another event was delivered. Of more suspects than [`LONGEST_RUN`] failures are enough for, the last
//!   return to the channel and come again.
//! - Perhaps the destination took that one and failed anew. So what still fails is held until one more event is
//!   delivered; then it goes to the file. Where nothing is left to be tried it goes at once: the destination has just
//!   taken an event.
//! - When none is delivered, or [`LONGEST_RUN`] deliveries in a row fail, nobody can tell: all return to the channel,
//!   the log says so, and the batch is counted from zero again.
//! - The one event that has nothing behind it in the channel goes to the file all the same, after
//!   `maxDeliveryAttempts` failures of it alone; but after such a guess there is no other until something is delivered.
//!   So a destination that is down costs one event at most. (Of each sink on the channel.)
//! - Where the sink says that it is an event ([`Fault::Events`]), an event that fails alone goes to the file at once.
//!   Where it says that it is the destination, all is left as it is.
//!
//! All other events are delivered in order, unless the destination begins to work just while they are held.
//! Called by the sink's thread; no locks.

use super::budget::Budget;
use super::letters;
use super::{AtWork, SinkRunner};
use crate::channel::Take;
use crate::component::{Fault, SinkError};
use std::collections::VecDeque;
use std::time::Instant;

/// Failed deliveries, none between them that succeeded, after which it is rather the destination.
const LONGEST_RUN: usize = 64;

/// An event that failed alone.
struct Suspect {
    take: Take,
    why: SinkError,
    /// How often it did.
    failures: usize,
}

pub(super) struct Sift<'a> {
    runner: &'a SinkRunner,
    at_work: &'a mut AtWork,
    budget: &'a mut Budget,
    /// Those behind which nothing has been delivered yet, in order.
    suspects: Vec<Suspect>,
    /// Those that failed on after that, in order; nothing has been delivered since.
    guilty: Vec<Suspect>,
    failed_in_a_row: usize,
}

impl<'a> Sift<'a> {
    pub fn new(runner: &'a SinkRunner, at_work: &'a mut AtWork, budget: &'a mut Budget) -> Sift<'a> {
        Sift { runner, at_work, budget, suspects: Vec::new(), guilty: Vec::new(), failed_in_a_row: 0 }
    }

    /// Passes on a batch that has failed too often. What is not settled when this fails is in the channel again.
    pub fn run(mut self, batch: Take, why: SinkError) -> Result<(), SinkError> {
        let (first, is_alone) = (batch.first(), batch.len() == 1);
        let mut pieces = VecDeque::new();
        if is_alone {
            self.suspect(Suspect { take: batch, why, failures: self.budget.attempts })?;
        } else {
            let middle = batch.len() / 2;
            pieces.extend(batch.split_at(middle));
        }
        // Events from behind the batch that were looked at. What is left of them in the end is for another batch.
        let mut behind = 0;
        while self.failed_in_a_row < LONGEST_RUN && (behind == 0 || self.holds_some()) {
            let Some(piece) = pieces.pop_front() else {
                if !self.holds_some() {
                    break;
                }
                let more = self.more()?;
                if more.is_empty() {
                    break;
                }
                behind += more.len();
                pieces.push_back(more);
                continue;
            };
            match self.attempt(&piece)? {
                None => {
                    self.delivered(piece)?;
                    let guilty = std::mem::take(&mut self.guilty);
                    self.put_aside(guilty)?;
                    self.judge()?;
                }
                Some(_) if piece.len() > 1 => {
                    let middle = piece.len() / 2;
                    let [front, back] = piece.split_at(middle);
                    pieces.push_front(back);
                    pieces.push_front(front);
                }
                Some(why) => self.suspect(Suspect { take: piece, why, failures: 1 })?,
            }
        }
        if self.failed_in_a_row == 0 && self.suspects.is_empty() {
            let guilty = std::mem::take(&mut self.guilty);
            self.put_aside(guilty)?;
        }
        if is_alone && behind == 0 && self.budget.may_guess && !self.suspects.is_empty() {
            let guessed = std::mem::take(&mut self.suspects);
            self.put_aside(guessed)?;
            self.budget.may_guess = false;
        }
        self.budget.forget(first);
        let n = self.guilty.len() + self.suspects.len();
        self.guilty.into_iter().chain(self.suspects).next().map_or(Ok(()), |s| {
            let what = "none behind was delivered: perhaps it is the destination, no dead letters";
            Err(SinkError {
                why: format!("{}; {n} events fail alone, and {what}", s.why),
                fault: s.why.fault,
            })
        })
    }

    /// The events behind the batch.
    fn more(&self) -> Result<Take, SinkError> {
        let (channel, stop) = (&self.runner.channel, self.runner.stop.draining());
        Take::begin(channel, self.at_work.sink.batch_size(), Instant::now(), stop).map_err(|e| {
            self.runner.counters.channel_read_fail.one();
            SinkError::destination(format!("cannot take from channel {}: {e}", channel.name()))
        })
    }

    /// Tries to deliver. `Some`: why that failed; an error ends it all.
    fn attempt(&mut self, piece: &Take) -> Result<Option<SinkError>, SinkError> {
        if self.runner.is_over() {
            return Err(SinkError::destination("stopped while a failed batch was taken apart"));
        }
        match self.runner.deliver(self.at_work, piece) {
            Ok(()) => Ok(None),
            Err(e) if e.fault == Fault::Destination => Err(e),
            Err(e) => {
                log::debug!("sink {}: {} events of a failed batch: {e}", self.runner.name, piece.len());
                self.failed_in_a_row += usize::from(e.fault == Fault::Unknown);
                Ok(Some(e))
            }
        }
    }

    fn delivered(&mut self, piece: Take) -> Result<(), SinkError> {
        self.budget.delivered(&piece);
        self.runner.commit(self.at_work, piece)
    }

    fn suspect(&mut self, suspect: Suspect) -> Result<(), SinkError> {
        if suspect.why.fault == Fault::Events {
            return self.put_aside(vec![suspect]);
        }
        self.suspects.push(suspect);
        Ok(())
    }

    fn holds_some(&self) -> bool {
        !self.suspects.is_empty() || !self.guilty.is_empty()
    }

    /// The destination works, as it seems: whoever fails now is to blame.
    fn judge(&mut self) -> Result<(), SinkError> {
        let rounds = self.budget.attempts.saturating_sub(1).max(1);
        self.suspects.truncate((LONGEST_RUN / rounds).max(1));
        let mut pauses = self.budget.pauses.clone();
        while !self.suspects.is_empty() {
            self.runner.stop.pause(pauses.next_pause());
            let mut others = Vec::new();
            for mut s in std::mem::take(&mut self.suspects) {
                let Some(why) = self.attempt(&s.take)? else {
                    self.delivered(s.take)?;
                    continue;
                };
                (s.why, s.failures) = (why, s.failures + 1);
                let is_guilty = s.failures >= self.budget.attempts;
                if is_guilty { &mut self.guilty } else { &mut others }.push(s);
            }
            self.suspects = others;
        }
        self.failed_in_a_row = 0;
        Ok(())
    }

    /// Writes dead letters; then, not before, their takes end.
    fn put_aside(&mut self, guilty: Vec<Suspect>) -> Result<(), SinkError> {
        let (sink, channel) = (&self.runner.name, self.runner.channel.name());
        let Some(why) = guilty.first().map(|s| s.why.why.clone()) else { return Ok(()) };
        let mut records = Vec::new();
        for s in &guilty {
            s.take.events().for_each(|e| letters::record(&mut records, sink, channel, &s.why.why, e));
        }
        self.budget.letters.append(&records).map_err(|e| {
            SinkError::destination(format!("{why}; this goes to no other place until it can be written: {e}"))
        })?;
        self.budget.letters.note(sink, guilty.len(), &why);
        for s in guilty {
            s.take.commit().map_err(|e| {
                SinkError::destination(format!("in the dead-letter file but not committed, comes again: {e}"))
            })?;
            self.runner.counters.dead_letters.one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
