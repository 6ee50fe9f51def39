//! At a close: what memory holds is written to the overflow, behind what that has.
//!
//! On the thread that closes the channel, which waits for the disk, within bounds. Nobody else puts any more.

use super::SpillableChannel;
use crate::channel::{Channel, PutError, Room, Run, TicketState, Waiter, Wake};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a close waits for the overflow to take what memory holds.
const PATIENCE: Duration = Duration::from_secs(10);

impl SpillableChannel {
    /// Writes what memory held to the overflow; returns how many events could not be. `before`: how many of them stood
    /// before some of the overflow.
    pub(super) fn save(&self, runs: Vec<Run>, before: usize) -> usize {
        let all: usize = runs.iter().map(|r| r.events.len()).sum();
        let Some(file) = self.overflow.as_ref().filter(|_| all > 0) else { return all };
        file.leave(&self.in_line);
        file.lift_capacity();
        let (most, until) = (self.shared.settings().transaction_capacity, Instant::now() + PATIENCE);
        let wake: Arc<dyn Wake> = Arc::new(Unpark(std::thread::current()));
        let line = Waiter::new(Instant::now(), wake.clone());
        let (mut tickets, mut why, mut refused) = (Vec::new(), None, None);
        for mut run in runs {
            while !run.events.is_empty() && why.is_none() {
                let events = run.events.split_to(most.min(run.events.len()));
                let (n, room) = (events.len(), Room::of(&events));
                let mut reserved = file.reserve(room, Some(&line));
                file.enqueue(&line);
                while reserved == Err(PutError::Full) && Instant::now() < until {
                    std::thread::park_timeout(Duration::from_millis(20));
                    reserved = file.reserve(room, Some(&line));
                }
                file.leave(&line);
                match reserved.and_then(|r| file.append(r, events, &wake)) {
                    Ok(ticket) => tickets.push((ticket, n)),
                    // Others may have room where this one never has.
                    Err(e @ PutError::TooLarge(_)) => refused = Some(e.to_string()),
                    Err(e) => why = Some(e.to_string()),
                }
            }
        }
        let mut saved = 0;
        for (ticket, n) in tickets {
            while ticket.state() == TicketState::Open && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            match ticket.state() {
                TicketState::Done => saved += n,
                TicketState::Open => why = Some("its disk does not answer".to_owned()),
                TicketState::Failed(e) => why = Some(e),
            }
        }
        let name = &self.shared.name;
        let order = match before {
            0 => "in order".to_owned(),
            n => format!("order changed: {n} of them now stand behind events that came after them"),
        };
        log::info!("channel {name}: {saved} events that were in memory are written to the overflow, {order}");
        if let Some(why) = why.or(refused) {
            log::error!("channel {name}: {} events could not be written to the overflow: {why}", all - saved);
        }
        all - saved
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}
