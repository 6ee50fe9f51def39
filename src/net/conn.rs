//! One connection: what it waits for, and what its turn does.
//!
//! ```text
//!   Naming -> Reading <-> Parked          (a channel is full or down: nothing is read)
//!                |  \-> slots             (batches whose tickets are open; answers go out in their order)
//!                v
//!             Ending  -> Discarding       (answers flushed, our side shut; the rest of the input is dropped,
//!                |          |              so that a reset does not destroy the answers on their way)
//!                v          v
//!              closed     closed
//! ```
//! A turn ([`Conn::step`]) does a bounded amount of work: settle answers, retry what is parked, decode what is in
//! hand, read one buffer. Interest never changes: the socket is registered once, edge-triggered, and the flags
//! `readable` and `writable` remember. Called by its loop's thread only.

use super::intake::Intake;
use super::outbox::Outbox;
use super::{After, Outcome, Peer, Protocol, Session, Settings};
use crate::channel::{Channel, PutError, TicketState, Waiter, Wake};
use crate::codec::{BatchLimits, Then};
use crate::deliver::{Attempt, Deliver, Delivery};
use crate::event::{Batch, BufferPool};
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an ended connection's input is dropped before it is closed.
const DISCARD: Duration = Duration::from_millis(500);
/// How long a peer's name may take.
const NAMING: Duration = Duration::from_secs(5);
/// A channel that is down is tried again after this.
const RETRY: Duration = Duration::from_millis(200);
/// A connection parked this long is worth a log line.
const TELL: Duration = Duration::from_secs(1);
/// What a connection may still bring once its source stops: more than a socket's receive buffer holds.
const LAST_READ: usize = 8 << 20;

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

/// A batch whose tickets are open.
struct Slot {
    asked: usize,
    delivery: Delivery,
    outcome: Option<Result<(), String>>,
}

/// A batch that waits for its channels.
struct Parked {
    asked: usize,
    delivery: Delivery,
    place: Place,
}

/// Where and how long a batch waits.
struct Place {
    waiter: Waiter,
    /// The channel in whose line it stands.
    channel: Option<Arc<dyn Channel>>,
    refuse_at: Option<Instant>,
    retry_at: Option<Instant>,
    told: bool,
}

impl Place {
    fn new(now: Instant, wake: &Arc<dyn Wake>) -> Place {
        let waiter = Waiter::new(now, wake.clone());
        Place { waiter, channel: None, refuse_at: None, retry_at: None, told: false }
    }

    fn leave(&mut self) {
        if let Some(c) = self.channel.take() {
            c.leave(&self.waiter);
        }
    }

    /// Says once that a source waits for a full channel, and what is known of why.
    fn tell(&mut self, source: &str, now: Instant) {
        let Some(c) = self.channel.as_ref().filter(|_| !self.told && self.waiter.since + TELL <= now) else {
            return;
        };
        self.told = true;
        if c.counters().may_tell_full() {
            log::warn!(
                "source {source} waits, channel {} is full: {}",
                c.name(),
                c.counters().describe_full()
            );
        }
    }
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
    pub wake: Arc<dyn Wake>,
    pub intake: Intake,
    /// Waits for budget.
    pub starved: bool,
    /// Bytes this connection was last counted with.
    pub charged: usize,
    pub writable: bool,
    /// The socket told of its peer's end.
    pub hang_up: bool,
    state: State,
    since: Instant,
    session: Option<Box<dyn Session>>,
    can_refuse: bool,
    deliver: Arc<Deliver>,
    limits: BatchLimits,
    slots: VecDeque<Slot>,
    parked: VecDeque<Parked>,
    out: Outbox,
    fault: Option<crate::codec::Fault>,
    last_active: Instant,
    out_since: Option<Instant>,
    /// Bytes it may still read, once its source stops.
    last_read: Option<usize>,
    stop_at: Option<Instant>,
}

impl Conn {
    pub fn new(
        socket: TcpStream,
        peer: Peer,
        wake: Arc<dyn Wake>,
        deliver: Arc<Deliver>,
        now: Instant,
    ) -> Conn {
        deliver.counters.open_connections.add(1);
        Conn {
            socket,
            peer,
            wake,
            intake: Intake::of_new_socket(),
            starved: false,
            charged: 0,
            writable: true,
            hang_up: false,
            state: State::Naming,
            since: now,
            session: None,
            can_refuse: false,
            limits: deliver.limits(),
            deliver,
            slots: VecDeque::new(),
            parked: VecDeque::new(),
            out: Outbox::default(),
            fault: None,
            last_active: now,
            out_since: None,
            last_read: None,
            stop_at: None,
        }
    }

    /// The peer's name is known, or not wanted: the conversation begins.
    pub fn open(&mut self, protocol: &dyn Protocol, name: Option<String>) {
        if self.state == State::Naming {
            self.peer.name = name;
            self.session = Some(protocol.open(&self.peer));
            self.can_refuse = protocol.can_refuse();
            self.state = State::Open;
        }
    }

    pub fn is_naming(&self) -> bool {
        self.state == State::Naming
    }

    /// Its source stops: what the socket holds is read once, everything is settled until `deadline`.
    pub fn stop(&mut self, deadline: Instant) {
        self.last_read.get_or_insert(LAST_READ);
        self.stop_at = Some(deadline);
    }

    /// Does a turn's worth of work.
    pub fn step(&mut self, t: &Turn<'_>) -> Step {
        match self.work(t) {
            Ok(step) => step,
            Err(e) => {
                let lost = self.abandon();
                let rest = self.intake.unfinished();
                if rest > 0 {
                    self.deliver.counters.event_read_fail.one();
                }
                let quiet = rest == 0 && lost == 0;
                Step::Closed((!quiet).then(|| format!("{e}; {rest} bytes of an unfinished message dropped")))
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
        self.retry(t);
        self.decode(t);
        let mut starved = false;
        if self.wants_to_read() && self.intake.readable {
            if t.may_read {
                let n = self.intake.read(&mut self.socket, t.pool, self.hang_up)?;
                if n > 0 {
                    self.last_active = t.now;
                }
                if let Some(left) = &mut self.last_read {
                    *left = left.saturating_sub(n.max(1));
                }
                self.decode(t);
            } else {
                starved = true;
            }
        }
        self.settle();
        self.flush(t)?;
        Ok(self.judge(t, starved))
    }

    fn wants_to_read(&self) -> bool {
        self.state == State::Open
            && self.parked.is_empty()
            && self.intake.in_hand().is_none()
            && !self.out.is_crowded()
            && self.last_read != Some(0)
    }

    /// What comes next, after everything that could be done now was done.
    fn judge(&mut self, t: &Turn<'_>, starved: bool) -> Step {
        let through = self.parked.is_empty() && self.slots.is_empty() && self.intake.in_hand().is_none();
        if self.state == State::Open && through {
            let stopped = self.last_read.is_some_and(|left| left == 0 || !self.intake.readable);
            if self.intake.eof || stopped {
                self.state = State::Ending;
            }
        }
        if self.state == State::Ending && through {
            if let Some(fault) = self.fault.take() {
                self.out.bytes().extend_from_slice(&fault.answer);
                if self.flush(t).is_err() {
                    return Step::Closed(Some(fault.reason));
                }
            }
            if self.out.is_empty() {
                return self.end(t);
            }
        }
        let stopped = self.stop_at.filter(|at| t.now >= *at).map(|_| "its source stops");
        if let Some(cause) = stopped.or_else(|| self.stalled(t)) {
            let lost = self.abandon();
            let why = format!("{cause}; {lost} events undelivered");
            return Step::Closed((lost > 0 || self.stop_at.is_none()).then_some(why));
        }
        if starved {
            return Step::Starved;
        }
        let can_read =
            self.wants_to_read() && self.intake.readable && self.slots.len() < t.settings.max_pipelined;
        let can_decode = self.intake.in_hand().is_some()
            && self.parked.is_empty()
            && !self.out.is_crowded()
            && self.slots.len() < t.settings.max_pipelined;
        if can_read || can_decode {
            Step::Again
        } else {
            Step::Wait
        }
    }

    /// Which deadline has passed that ends the connection, if one has.
    fn stalled(&self, t: &Turn<'_>) -> Option<&'static str> {
        let idle = t.settings.idle.is_some_and(|d| self.last_active + d <= t.now)
            && self.parked.is_empty()
            && self.slots.is_empty();
        let deaf = self.out_since.is_some_and(|s| s + t.settings.answer <= t.now);
        if deaf {
            return Some("it takes none of its answers");
        }
        idle.then_some("nothing happened on it for idleTimeout")
    }

    /// Answers are out: shuts our side. A peer that gets answers has its input drained for a moment first.
    fn end(&mut self, t: &Turn<'_>) -> Step {
        if self.intake.unfinished() > 0 {
            self.deliver.counters.event_read_fail.one();
        }
        if self.intake.eof || !self.can_refuse {
            return Step::Closed(None);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        self.intake.discard();
        self.state = State::Discarding;
        self.since = t.now;
        Step::Again
    }

    fn discard(&mut self, t: &Turn<'_>) -> io::Result<Step> {
        let mut scrap = [0; 8192];
        for _ in 0..16 {
            match self.socket.read(&mut scrap) {
                Ok(0) => return Ok(Step::Closed(None)),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Step::Closed(None)),
            }
        }
        let over = self.since + DISCARD <= t.now || self.stop_at.is_some_and(|at| at <= t.now);
        Ok(if over { Step::Closed(None) } else { Step::Wait })
    }

    /// Decodes what is in hand until it needs more, something parks, or enough answers are open.
    fn decode(&mut self, t: &Turn<'_>) {
        while self.state == State::Open
            && self.parked.is_empty()
            && self.slots.len() < t.settings.max_pipelined
            && !self.out.is_crowded()
        {
            let Some(chunk) = self.intake.in_hand() else { return };
            let session = self.session.as_mut().expect("an open connection has a session");
            let mut batch = Batch::new();
            let decoded = session.decode(&chunk, self.intake.eof, self.limits, &mut batch);
            self.intake.used(decoded.used);
            let complete = match decoded.then {
                Then::NeedMore => {
                    self.intake.put_rest_aside(t.pool);
                    !batch.is_empty()
                }
                Then::Full => true,
                Then::Fail(fault) => {
                    self.deliver.counters.event_read_fail.one();
                    self.fault = Some(fault);
                    self.intake.discard();
                    self.state = State::Ending;
                    !batch.is_empty()
                }
            };
            if complete {
                let asked = batch.len();
                self.deliver.counters.event_received.add(asked);
                let delivery = self.deliver.prepare(batch);
                self.store(asked, delivery, None, t.now);
            }
        }
    }

    /// Tries to store a batch; queues its answer, or parks it (again).
    fn store(&mut self, asked: usize, mut delivery: Delivery, mut place: Option<Place>, now: Instant) {
        let mut attempt = delivery.attempt(&self.deliver, place.as_ref().map(|p| &p.waiter), &self.wake);
        if let (Attempt::Full(_), None) = (&attempt, &place) {
            let p = place.insert(Place::new(now, &self.wake));
            attempt = delivery.attempt(&self.deliver, Some(&p.waiter), &self.wake);
        }
        let mut place = place.unwrap_or_else(|| Place::new(now, &self.wake));
        let refusal = match attempt {
            Attempt::Stored => {
                place.leave();
                return self.queue_answer(asked, delivery, None);
            }
            Attempt::Full(channel) => {
                let patience = channel.limits().keep_alive;
                if self.can_refuse {
                    place.refuse_at.get_or_insert(place.waiter.since + patience);
                }
                let why = format!("channel {} is full", channel.name());
                place.channel = Some(channel);
                place.retry_at = None;
                place.refuse_at.is_some_and(|at| at <= now).then_some(why)
            }
            Attempt::Refused(PutError::Down(_)) if !self.can_refuse => {
                place.leave();
                place.retry_at = Some(now + RETRY);
                None
            }
            Attempt::Refused(e) => Some(e.to_string()),
        };
        match refusal {
            Some(why) => {
                place.leave();
                self.queue_answer(asked, delivery, Some(Err(why)));
            }
            None => {
                self.deliver.counters.parked.add(1);
                self.parked.push_back(Parked { asked, delivery, place });
            }
        }
    }

    /// Tries again what is parked, in order.
    fn retry(&mut self, t: &Turn<'_>) {
        for _ in 0..self.parked.len() {
            let Some(p) = self.parked.front_mut() else { return };
            if p.place.retry_at.is_some_and(|at| at > t.now) {
                return;
            }
            p.place.tell(&self.deliver.counters.name, t.now);
            let Some(p) = self.parked.pop_front() else { return };
            self.deliver.counters.parked.add(-1);
            let others = self.parked.len();
            self.store(p.asked, p.delivery, Some(p.place), t.now);
            if self.parked.len() > others {
                self.parked.rotate_right(1);
                return;
            }
        }
    }

    /// Puts an answer behind those that are open. Without an outcome the delivery's tickets decide.
    fn queue_answer(&mut self, asked: usize, delivery: Delivery, outcome: Option<Result<(), String>>) {
        self.slots.push_back(Slot { asked, delivery, outcome });
        self.settle();
    }

    /// Answers the slots at the front whose tickets have ended.
    fn settle(&mut self) {
        while let Some(slot) = self.slots.front_mut() {
            if slot.outcome.is_none() {
                slot.outcome = match slot.delivery.settle(&self.deliver) {
                    TicketState::Open => return,
                    TicketState::Done => Some(Ok(())),
                    TicketState::Failed(why) => Some(Err(why)),
                };
                if let (Some(Err(why)), false) = (&slot.outcome, self.can_refuse) {
                    log::warn!("source {}: a batch is stored again: {why}", self.deliver.counters.name);
                    self.store_again();
                    continue;
                }
            }
            let slot = self.slots.pop_front().expect("looked at above");
            let counters = &self.deliver.counters;
            let stored = match slot.outcome.expect("set above") {
                Ok(()) => {
                    counters.event_accepted.add(slot.asked);
                    Ok(())
                }
                Err(why) => {
                    counters.channel_write_fail.one();
                    if self.can_refuse {
                        counters.event_refused.add(slot.asked);
                    } else {
                        counters.event_dropped.add(slot.asked);
                        log::error!(
                            "source {}: {} events from {} are lost: {why}",
                            counters.name,
                            slot.asked,
                            self.peer.addr
                        );
                    }
                    Err(why)
                }
            };
            let outcome = match &stored {
                Ok(()) => Outcome::Stored,
                Err(why) => Outcome::Refused(why),
            };
            if let Some(session) = &mut self.session {
                if session.answer(slot.asked, outcome, self.out.bytes()) == After::Close {
                    self.state = State::Ending;
                    self.intake.discard();
                }
            }
        }
    }

    /// The channel did not keep the batch at the front, and its sender cannot be told: it is parked for another try.
    fn store_again(&mut self) {
        let Some(slot) = self.slots.pop_front() else { return };
        self.deliver.counters.channel_write_fail.one();
        let now = Instant::now();
        let mut place = Place::new(now, &self.wake);
        place.retry_at = Some(now + RETRY);
        self.deliver.counters.parked.add(1);
        self.parked.push_back(Parked { asked: slot.asked, delivery: slot.delivery, place });
    }

    fn flush(&mut self, t: &Turn<'_>) -> io::Result<()> {
        if self.out.is_empty() {
            self.out_since = None;
            return Ok(());
        }
        if !self.writable {
            return Ok(());
        }
        let sent = self.out.flush(&mut self.socket)?;
        if sent > 0 {
            self.last_active = t.now;
            self.out_since = None;
        }
        if !self.out.is_empty() {
            self.writable = false;
            self.out_since.get_or_insert(t.now);
        }
        Ok(())
    }

    /// Gives up everything that is not stored; returns how many events that is. Open tickets no longer have anyone
    /// to answer to: their events may well be stored.
    pub fn abandon(&mut self) -> usize {
        let mut lost = 0;
        let counters = self.deliver.counters.clone();
        for mut p in self.parked.drain(..) {
            counters.parked.add(-1);
            p.place.leave();
            lost += p.asked;
        }
        let unanswered: usize = self.slots.drain(..).map(|s| s.asked).sum();
        lost += unanswered;
        if self.can_refuse {
            counters.event_refused.add(lost);
        } else {
            counters.event_dropped.add(lost);
        }
        lost
    }

    /// When this connection wants a turn although nothing happens.
    pub fn deadline(&self, settings: &Settings) -> Option<Instant> {
        match self.state {
            State::Naming => {
                return Some(self.stop_at.map_or(self.since + NAMING, |at| at.min(self.since + NAMING)))
            }
            State::Discarding => return Some(self.since + DISCARD),
            State::Open | State::Ending => {}
        }
        let parked = self.parked.front().map(|p| &p.place);
        let tell = parked.filter(|p| !p.told && p.channel.is_some()).map(|p| p.waiter.since + TELL);
        let busy = parked.is_some() || !self.slots.is_empty();
        [
            tell,
            parked.and_then(|p| p.refuse_at),
            parked.and_then(|p| p.retry_at),
            self.out_since.map(|s| s + settings.answer),
            settings.idle.filter(|_| !busy).map(|d| self.last_active + d),
            self.stop_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Bytes to count against the agent's budget.
    pub fn in_flight(&self) -> usize {
        let waiting = self.parked.iter().map(|p| p.delivery.charge());
        let open = self.slots.iter().map(|s| s.delivery.charge());
        self.intake.memory() + self.out.memory() + waiting.sum::<usize>() + open.sum::<usize>()
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.abandon();
        self.deliver.counters.open_connections.add(-1);
    }
}
