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

use super::budget::{Grant, Wish};
use super::intake::Intake;
use super::outbox::Outbox;
use super::park::Pending;
use super::transport::Transport;
use super::{After, Peer, Protocol, Session, Settings};
use crate::channel::Wake;
use crate::codec::Then;
use crate::deliver::Deliver;
use crate::event::{Batch, BufferPool};
use mio::net::TcpStream;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod clock;
mod heir;

use clock::MessageClock;
pub(super) use heir::Heir;

/// How long an ended connection's input is dropped before it is closed.
const DISCARD: Duration = Duration::from_millis(500);
/// What a session may hold of an unfinished message before its time counts.
const SMALL: usize = 4096;
/// A connection that talked this lately may have answers on their way.
const RECENT: Duration = Duration::from_secs(1);
/// How long a peer's name may take.
const NAMING: Duration = Duration::from_secs(5);
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
            message: MessageClock::default(),
            out_since: None,
            last_read: None,
            stop_at: None,
            heir: None,
            next_protocol: None,
        }
    }

    /// The peer's name is known, or not wanted: the conversation begins.
    pub fn open(&mut self, protocol: &dyn Protocol, name: Option<String>) {
        if self.state == State::Naming {
            self.peer.name = name;
            self.state = State::Open;
            if protocol.deflates() {
                self.transport = Transport::deflate();
            }
            match protocol.refuses(&self.peer) {
                Some(why) => self.turn_away(why),
                None => self.converse(protocol),
            }
        }
    }

    /// Begins a session.
    fn converse(&mut self, protocol: &dyn Protocol) {
        self.session = Some(protocol.open(&self.peer));
        self.pending.can_refuse = protocol.can_refuse();
        self.pending.makes_calls = protocol.makes_calls();
    }

    /// This peer is not served.
    fn turn_away(&mut self, why: String) {
        self.pending.deliver.counters.connection_refused.one();
        self.broken = Some(why);
        self.dead = true;
        self.intake.eof = true;
        self.state = State::Ending;
    }

    /// Says where in a message the input ends, if it ends within one.
    fn unfinished(&self) -> Option<String> {
        let session = self.session.as_ref().filter(|s| self.pending.makes_calls && s.is_inside());
        let came = self.intake.unfinished() + session.map_or(0, |s| s.memory());
        (came > 0 || session.is_some()).then(|| match came {
            0 => "at the beginning of a message".to_owned(),
            n => format!("within a message, of which some {n} bytes had come"),
        })
    }

    /// The peer's name is known, which a source that took this connection over wanted.
    pub fn named(&mut self, name: String) {
        self.peer.name.get_or_insert(name);
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
                self.break_off(&e);
                self.judge(t, false)
            }
        }
    }

    /// Nobody takes our answers any more. What the peer sent before is read on, to the error or end behind it.
    fn deafen(&mut self, e: &io::Error) {
        self.dead = true;
        self.out = Outbox::default();
        self.out_since = None;
        self.intake.readable = true;
        self.broken.get_or_insert_with(|| e.to_string());
    }

    /// Whether a message that is not complete holds memory worth counting.
    fn is_halfway(&self) -> bool {
        self.intake.holds_buffer() || self.held_by_session() > 0
    }

    /// Times a message that holds memory and is not complete; not while it is we who do not read on.
    fn run_clock(&mut self, t: &Turn<'_>, starved: bool) {
        if self.is_halfway() {
            self.message.run(starved || self.grant == Grant::Settles || !self.may_decode(t), t.now);
        } else {
            self.message.reset();
        }
        // Nothing else would end a finisher that does not get on.
        if self.grant == Grant::Message && !self.message.runs() {
            self.message_ended();
        }
    }

    /// The message being received is complete, or given up.
    fn message_ended(&mut self) {
        self.message.reset();
        if self.grant == Grant::Message {
            self.grant = Grant::Settles;
        }
        self.dismiss_settled();
    }

    /// What a finisher brought is settled: it is one no longer.
    fn dismiss_settled(&mut self) {
        if self.grant == Grant::Settles && self.pending.is_empty() {
            self.grant = Grant::None;
        }
    }

    /// The socket is dead. What was decoded is still stored; only an unfinished message is lost with it.
    fn break_off(&mut self, e: &io::Error) {
        let unfinished = self.unfinished();
        let wrong = e.kind() == io::ErrorKind::InvalidData;
        if wrong || unfinished.is_some() {
            self.pending.deliver.counters.event_read_fail.one();
            self.broken = Some(match unfinished {
                None => e.to_string(),
                Some(place) => format!("{e}; it broke off {place}"),
            });
        }
        self.intake.discard();
        self.intake.eof = true;
        self.out = Outbox::default();
        self.out_since = None;
        self.fault = None;
        self.dead = true;
        self.state = State::Ending;
        self.message_ended();
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
        self.pending.retry(t.now);
        self.change_over();
        self.decode(t);
        let mut starved = false;
        if self.may_read(t) {
            if t.may_read {
                let closing = self.hang_up || self.transport.holds_back();
                let n = self.intake.read(&mut self.transport.over(&mut self.socket), t.pool, closing)?;
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

    /// Whether another batch may be decoded now.
    fn may_decode(&self, t: &Turn<'_>) -> bool {
        self.state == State::Open
            && self.heir.is_none()
            && !self.is_due_to_change()
            && !self.pending.is_parked()
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
            let lost = self.pending.give_up("the agent stops");
            self.settle();
            let _ = self.flush(t);
            return Step::Closed((lost > 0).then(|| format!("its source stops; {lost} events undelivered")));
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

    /// Which deadline has passed that ends the connection, if one has.
    fn stalled(&self, t: &Turn<'_>) -> Option<&'static str> {
        let idle = t.settings.idle.is_some_and(|d| self.last_active + d <= t.now) && self.pending.is_empty();
        let deaf = self.out_since.is_some_and(|s| s + t.settings.answer <= t.now);
        if deaf {
            return Some("it takes none of its answers");
        }
        if self.message.ends(t.settings.message).is_some_and(|at| at <= t.now) {
            return Some("a message did not come to its end within messageTimeout");
        }
        idle.then_some("nothing happened on it for idleTimeout")
    }

    /// Answers are out: shuts our side. A peer that gets answers has its input drained for a moment first.
    fn end(&mut self, t: &Turn<'_>) -> Step {
        // What broke the protocol has been counted.
        if let Some(place) = self.unfinished().filter(|_| self.broken.is_none()) {
            self.pending.deliver.counters.event_read_fail.one();
            self.broken = self.pending.makes_calls.then(|| format!("it closed {place}"));
        }
        let talked = self.pending.can_refuse && self.last_active + RECENT > t.now;
        if self.intake.eof || !talked {
            return Step::Closed(self.broken.take());
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        self.intake.discard();
        self.state = State::Discarding;
        self.state_since = t.now;
        Step::Again
    }

    fn discard(&mut self, t: &Turn<'_>) -> io::Result<Step> {
        let mut scrap = [0; 8192];
        for _ in 0..16 {
            match self.socket.read(&mut scrap) {
                Ok(0) => return Ok(Step::Closed(self.broken.take())),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Step::Closed(self.broken.take())),
            }
        }
        let over = self.state_since + DISCARD <= t.now || self.stop_at.is_some_and(|at| at <= t.now);
        Ok(if over { Step::Closed(self.broken.take()) } else { Step::Wait })
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
            let mut call = None;
            let complete = match decoded.then {
                Then::NeedMore => {
                    self.intake.put_rest_aside(t.pool);
                    !batch.is_empty()
                }
                Then::Full => true,
                Then::Call(c) => {
                    call = Some(c);
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
            let ended = complete || (decoded.used > 0 && session.memory() <= SMALL);
            if complete {
                self.pending.offer(batch, call, t.now);
            }
            if ended {
                self.message_ended();
                self.settle();
            }
        }
    }

    /// Writes the answers whose turn has come.
    fn settle(&mut self) {
        let (session, transport, out) = (&mut self.session, &mut self.transport, self.out.bytes());
        let mut after = After::Continue;
        let mut inner = Vec::new();
        self.pending.settle(&mut |events, outcome| {
            if let (Some(session), After::Continue) = (session.as_mut(), after) {
                let over = if transport.holds_back() { &mut inner } else { &mut *out };
                if session.answer(events, outcome, over) == After::Close {
                    after = After::Close;
                }
            }
        });
        transport.put(&inner, out);
        self.dismiss_settled();
        if after == After::Close && self.state == State::Open {
            self.state = State::Ending;
            self.intake.discard();
        }
    }

    fn flush(&mut self, t: &Turn<'_>) -> io::Result<()> {
        if self.dead {
            self.out = Outbox::default();
        }
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

    /// When this connection wants a turn although nothing happens.
    pub fn deadline(&self, settings: &Settings) -> Option<Instant> {
        match self.state {
            State::Naming => {
                return Some(
                    self.stop_at.map_or(self.state_since + NAMING, |at| at.min(self.state_since + NAMING)),
                )
            }
            State::Discarding => return Some(self.state_since + DISCARD),
            State::Open | State::Ending => {}
        }
        [
            self.pending.deadline(),
            self.out_since.map(|s| s + settings.answer),
            self.message.ends(settings.message),
            settings.idle.filter(|_| self.pending.is_empty()).map(|d| self.last_active + d),
            self.stop_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Bytes to count against the agent's budget: those that a deadline or a channel sets free in time. A small
    /// beginning of a message may lie here for ever, so it is not counted; the number of connections bounds those. Nor
    /// is a finisher's message.
    pub fn in_flight(&self) -> usize {
        let message = match self.grant {
            Grant::Message => 0,
            _ => self.intake.memory() + self.held_by_session(),
        };
        message + self.out.memory() + self.pending.in_flight()
    }

    /// What the session holds of a message, where that is worth counting.
    fn held_by_session(&self) -> usize {
        self.session.as_ref().map(|s| s.memory()).filter(|held| *held > SMALL).unwrap_or(0)
    }

    /// What it asks of the budget.
    pub fn wish(&self, pool: &BufferPool) -> Wish {
        Wish { held: self.charged, need: self.intake.next_read(pool), halfway: self.is_halfway() }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.pending.abandon();
        self.pending.deliver.counters.open_connections.add(-1);
    }
}
