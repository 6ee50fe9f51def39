//! One connection: what it waits for, and what its turn does.
//!
//! ```text
//!   Naming -> Reading <-> Parked          (a channel is full or down: nothing is read)
//!                |    <-> away            (a thread of the pool has a batch or call of it: nothing is read)
//!                |  \-> slots             (batches whose tickets are open; answers go out in their order)
//!                v
//!             Ending  -> Discarding       (answers flushed, our side shut; the rest of the input is dropped,
//!                |          |              so that a reset does not destroy the answers on their way)
//!                v          v
//!              closed     closed
//! ```
//! A turn ([`Conn::step`]) does a bounded amount of work: settle answers, store what is back from the pool, retry what is
//! parked, decode what is in hand, read one buffer. What may block goes to the pool ([`Conn::take_job`]), one thing at a
//! time, so that order holds; what came of it ([`Conn::bring_back`]) is for the next turn. Interest never changes: the socket is registered once, edge-triggered, and the flags
//! `readable` and `writable` remember. Called by its loop's thread only.

use super::budget::Grant;
use super::intake::Intake;
use super::job::{Done, Job};
use super::outbox::Outbox;
use super::park::Pending;
use super::transport::Transport;
use super::{Peer, Protocol, Session, Settings};
use crate::channel::Wake;
use crate::codec::Then;
use crate::deliver::Deliver;
use crate::event::{Batch, BufferPool};
use mio::net::TcpStream;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod answers;
mod clock;
mod ending;
mod heir;
mod memory;
mod opening;

pub(super) use heir::Heir;

use clock::MessageClock;
use memory::SMALL;

/// What a turn may use.
pub(super) struct Turn<'a> {
    pub pool: &'a Arc<BufferPool>,
    pub settings: &'a Settings,
    /// Whether the agent's budget of bytes in flight allows another read.
    pub may_read: bool,
    pub now: Instant,
}

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Waits for an event, a wake-up or its deadline.
    Wait,
    /// Could go on at once.
    Again,
    /// Could read, were there budget.
    Starved,
    /// Is over; says why when that is worth a log line.
    Closed(Option<String>),
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
enum State {
    Naming,
    Open,
    /// Nothing more is decoded; answers are settled and flushed.
    Ending,
    Discarding,
}

pub(super) struct Conn {
    pub socket: TcpStream,
    pub peer: Peer,
    pub intake: Intake,
    /// What it has of the budget.
    pub grant: Grant,
    /// Bytes this connection was last counted with.
    pub charged: usize,
    pub writable: bool,
    /// The socket told of its peer's end.
    pub hang_up: bool,
    state: State,
    /// When it came to be naming or discarding.
    state_since: Instant,
    session: Option<Box<dyn Session>>,
    transport: Transport,
    pending: Pending,
    out: Outbox,
    fault: Option<crate::codec::Fault>,
    /// The socket had an error: there is nothing to read and nobody to answer.
    dead: bool,
    /// What to log of its end.
    broken: Option<String>,
    last_active: Instant,
    /// Its source's own time for that.
    idle: Option<Duration>,
    /// Times the message being received, where that holds memory.
    message: MessageClock,
    out_since: Option<Instant>,
    /// Bytes it may still read, once its source stops.
    last_read: Option<usize>,
    stop_at: Option<Instant>,
    /// Taken over when nothing waits and no answer is open.
    heir: Option<Heir>,
    /// Opens the next session, between two messages.
    next_protocol: Option<Arc<dyn Protocol>>,
}

impl Conn {
    /// The caller has counted it as open.
    pub fn new(
        socket: TcpStream,
        peer: Peer,
        wake: Arc<dyn Wake>,
        deliver: Arc<Deliver>,
        now: Instant,
    ) -> Conn {
        Conn {
            socket,
            pending: Pending::new(deliver.clone(), wake, peer.addr),
            peer,
            intake: Intake::of_new_socket(),
            grant: Grant::None,
            charged: 0,
            writable: true,
            hang_up: false,
            state: State::Naming,
            state_since: now,
            session: None,
            transport: Transport::default(),
            out: Outbox::default(),
            fault: None,
            dead: false,
            broken: None,
            last_active: now,
            idle: None,
            message: MessageClock::default(),
            out_since: None,
            last_read: None,
            stop_at: None,
            heir: None,
            next_protocol: None,
        }
    }

    /// Does a turn's worth of work.
    pub fn step(&mut self, t: &Turn<'_>) -> Step {
        match self.work(t) {
            Ok(step) => step,
            Err(e) => {
                self.break_off(&e);
                // What this turn stored before: nothing else would bring another one.
                self.settle();
                let _ = self.flush(t);
                self.judge(t, false)
            }
        }
    }

    fn work(&mut self, t: &Turn<'_>) -> io::Result<Step> {
        match self.state {
            State::Naming if self.stop_at.is_some_and(|at| at <= t.now) => return Ok(Step::Closed(None)),
            State::Naming => return Ok(Step::Wait),
            State::Discarding => return self.discard(t),
            State::Open | State::Ending => {}
        }
        self.settle();
        let waited = !self.pending.is_empty();
        self.pending.place_done(t.now);
        self.pending.retry(t.now);
        self.change_over();
        self.decode(t);
        let mut starved = false;
        if self.may_read(t) {
            // Who brings little is served however much the others hold: what is left of it is not counted. Not so who is
            // in the middle of much: piece by piece it would pass the budget by.
            let most = match t.may_read {
                true => usize::MAX,
                false if self.is_halfway() => 0,
                false => self.intake.small_room(),
            };
            if most > 0 {
                let closing = self.hang_up || self.transport.holds_back();
                let mut stream = self.transport.over(&mut self.socket);
                let n = self.intake.read_some(&mut stream, t.pool, closing, most)?;
                if n > 0 {
                    self.last_active = t.now;
                }
                if let Some(left) = &mut self.last_read {
                    *left = left.saturating_sub(n.max(1));
                }
                self.decode(t);
            }
            starved = !t.may_read && self.intake.readable && self.may_read(t);
        }
        self.settle();
        self.change_over();
        if let Err(e) = self.flush(t) {
            self.deafen(&e);
        }
        if (waited && self.pending.is_empty()) || starved {
            // Time spent waiting for us is not the peer's idleness.
            self.last_active = t.now;
        }
        self.run_clock(t, starved);
        Ok(self.judge(t, starved))
    }

    /// What is to be taken to the pool.
    pub fn take_job(&mut self) -> Option<Job> {
        self.pending.take_job()
    }

    /// The pool has done it.
    pub fn bring_back(&mut self, done: Done) {
        self.pending.bring_back(done);
    }

    /// Whether another batch may be decoded now.
    fn may_decode(&self, t: &Turn<'_>) -> bool {
        self.state == State::Open
            && self.heir.is_none()
            && !self.is_due_to_change()
            && !self.pending.is_parked()
            && !self.pending.is_away()
            && self.pending.open() < t.settings.max_pipelined
            && !self.out.is_crowded()
    }

    fn may_read(&self, t: &Turn<'_>) -> bool {
        self.may_decode(t)
            && self.intake.in_hand().is_none()
            && self.intake.readable
            && self.grant != Grant::Settles
            && self.last_read != Some(0)
    }

    /// What comes next, after everything that could be done now was done.
    fn judge(&mut self, t: &Turn<'_>, starved: bool) -> Step {
        self.tell_late(t);
        let through = self.pending.is_empty() && self.intake.in_hand().is_none();
        if self.state == State::Open && through {
            let stopped = self.last_read.is_some_and(|left| left == 0 || !self.intake.readable);
            if self.intake.eof || stopped {
                self.state = State::Ending;
            }
        }
        if self.state == State::Ending && through {
            if let Some(fault) = self.fault.take() {
                self.transport.put(&fault.answer, self.out.bytes());
                self.broken = Some(fault.reason);
                if self.flush(t).is_err() {
                    return Step::Closed(self.broken.take());
                }
            }
            if self.out.is_empty() {
                return self.end(t);
            }
        }
        if self.stop_at.is_some_and(|at| t.now >= at) {
            // Those who can be told are told.
            let undecoded = if self.pending.has_undecoded() { ", and a call not yet decoded" } else { "" };
            let lost = self.pending.give_up("the agent stops");
            self.settle();
            let _ = self.flush(t);
            let worth_telling = lost > 0 || !undecoded.is_empty();
            return Step::Closed(
                worth_telling.then(|| format!("its source stops; {lost} events undelivered{undecoded}")),
            );
        }
        if let Some(cause) = self.stalled(t) {
            let lost = self.pending.abandon();
            let why = format!("{cause}; {lost} events undelivered");
            return Step::Closed(Some(why));
        }
        if starved {
            return Step::Starved;
        }
        if self.may_read(t) || (self.may_decode(t) && self.intake.in_hand().is_some()) {
            Step::Again
        } else {
            Step::Wait
        }
    }

    /// Decodes what is in hand until it needs more, something parks, or enough answers are open.
    fn decode(&mut self, t: &Turn<'_>) {
        while self.may_decode(t) {
            let Some(chunk) = self.intake.in_hand() else { return };
            let session = self.session.as_mut().expect("an open connection has a session");
            let mut batch = Batch::new();
            let limits = match self.pending.makes_calls {
                true => self.pending.deliver.call_limits(),
                false => self.pending.deliver.limits(),
            };
            let decoded = session.decode(&chunk, self.intake.eof, limits, &mut batch);
            self.intake.used(decoded.used);
            let (mut call, mut work) = (None, None);
            let complete = match decoded.then {
                Then::NeedMore => {
                    self.intake.put_rest_aside(t.pool);
                    !batch.is_empty()
                }
                Then::Pause => return,
                Then::Full => true,
                Then::Call(c) => {
                    call = Some(c);
                    true
                }
                Then::Work(w) => {
                    work = Some(w);
                    true
                }
                Then::Fail(fault) => {
                    self.pending.deliver.counters.event_read_fail.one();
                    self.fault = Some(fault);
                    self.intake.discard();
                    self.state = State::Ending;
                    !batch.is_empty()
                }
            };
            // A session that takes in a message piece by piece is still at the same message.
            let ended = complete || (decoded.used > 0 && session.memory() <= SMALL && !session.is_timed());
            match work {
                Some(work) => self.pending.send_away(work),
                None if complete => self.pending.offer(batch, call, t.now),
                None => {}
            }
            if ended {
                self.message_ended();
                self.settle();
            }
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.pending.abandon();
        self.pending.deliver.counters.open_connections.add(-1);
    }
}
