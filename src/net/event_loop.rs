//! The loop itself: one thread, one poll, everything it owns in one struct.
//!
//! A turn waits for events (not at all while somebody is in the run queue), marks who can go on, serves the queue
//! for a bounded time in an order fair to sources, then the deadlines. No lock is held across anything here; the
//! hand-over structures in `handle` are leaves.

use super::budget::{Budget, Share};
use super::conn::{Conn, Step, Turn};
use super::deadlines::Deadlines;
use super::handle::{Command, ConnWake, LoopHandle, Shared, SourceId};
use super::listener::{Accepted, Listener};
use super::names::Names;
use super::run_queue::RunQueue;
use super::slot::{Slots, Token};
use super::source::{Attach, SourceState};
use super::throttle::Throttle;
use super::udp::{Datagrams, LARGEST};
use super::{plain_ip, Peer, Settings};
use crate::channel::Wake;
use crate::counters::State;
use crate::event::BufferPool;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WAKER: mio::Token = mio::Token(usize::MAX);
/// What one read can bring.
const READ_BUFFER: usize = 64 << 10;
/// Read buffers that wait unused, at most.
const SPARE_BUFFERS: usize = 48;
/// Turns of accepting when a source stops: more than its backlog holds.
const BACKLOG_TURNS: usize = 64;
/// How long the run queue is served before the poll is asked again.
const SLICE: Duration = Duration::from_millis(1);

enum Kind {
    Conn(Box<Conn>),
    Listener(Listener),
    Datagrams(Box<Datagrams>),
}

struct Entry {
    source: SourceId,
    queued: bool,
    kind: Kind,
}

struct EventLoop {
    poll: Poll,
    shared: Arc<Shared>,
    entries: Slots<Entry>,
    sources: BTreeMap<SourceId, SourceState>,
    runs: RunQueue,
    deadlines: Deadlines,
    budget: Budget,
    settings: Settings,
    pool: Arc<BufferPool>,
    names: Arc<Names>,
    scratch: Vec<u8>,
    told: Throttle,
}

/// Starts a loop's thread, `loop:<n>`.
pub fn start(n: usize, settings: Settings, names: Arc<Names>) -> io::Result<(LoopHandle, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let shared = Arc::new(Shared::new(mio::Waker::new(poll.registry(), WAKER)?));
    let mut l = EventLoop {
        poll,
        shared: shared.clone(),
        entries: Slots::new(),
        sources: BTreeMap::new(),
        runs: RunQueue::default(),
        deadlines: Deadlines::default(),
        budget: Budget::new(settings.max_in_flight),
        settings,
        pool: BufferPool::new(READ_BUFFER, SPARE_BUFFERS),
        names,
        scratch: Vec::new(),
        told: Throttle::default(),
    };
    let thread = std::thread::Builder::new().name(format!("loop:{n}")).spawn(move || l.run())?;
    Ok((LoopHandle(shared), thread))
}

impl EventLoop {
    fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        let mut woken = Vec::new();
        loop {
            let timeout = self.timeout();
            if let Err(e) = self.poll.poll(&mut events, timeout) {
                if e.kind() != io::ErrorKind::Interrupted {
                    log::error!("event loop: poll: {e}");
                }
            }
            // Sessions and datagrams catch their own; this keeps every other connection alive should the loop itself err.
            match catch_unwind(AssertUnwindSafe(|| self.turn(&events, &mut woken))) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => log::error!("event loop: a panic in its own work; it goes on"),
            }
        }
    }

    /// Everything between two waits; `false` ends the loop.
    fn turn(&mut self, events: &Events, woken: &mut Vec<Token>) -> bool {
        let mut collect = false;
        for e in events.iter() {
            if e.token() == WAKER {
                collect = true;
            } else {
                self.mark(Token(e.token().0), e);
            }
        }
        if collect {
            for c in self.shared.collect(woken) {
                if let Command::Shutdown = c {
                    return false;
                }
                self.command(c);
            }
            woken.drain(..).for_each(|t| self.enqueue(t));
        }
        self.serve();
        self.expire();
        self.reap();
        true
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.runs.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.deadlines.next()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn mark(&mut self, token: Token, e: &mio::event::Event) {
        if let Some(entry) = self.entries.get_mut(token) {
            if let Kind::Conn(c) = &mut entry.kind {
                c.intake.readable |= e.is_readable() || e.is_read_closed() || e.is_error();
                c.writable |= e.is_writable() || e.is_error();
                c.hang_up |= e.is_read_closed() || e.is_error();
            }
            self.enqueue(token);
        }
    }

    fn enqueue(&mut self, token: Token) {
        if let Some(entry) = self.entries.get_mut(token) {
            if !std::mem::replace(&mut entry.queued, true) {
                self.runs.push(entry.source, token);
            }
        }
    }

    fn serve(&mut self) {
        let until = Instant::now() + SLICE;
        while let Some(token) = self.runs.pop() {
            let now = Instant::now();
            if let Some(entry) = self.entries.get_mut(token) {
                entry.queued = false;
                match &mut entry.kind {
                    Kind::Conn(_) => self.step(token, now),
                    Kind::Listener(_) => {
                        if self.accept(token, now) {
                            self.enqueue(token);
                        }
                    }
                    Kind::Datagrams(_) => {
                        if self.receive(token, now) {
                            self.enqueue(token);
                        }
                    }
                }
            }
            if now >= until {
                return;
            }
        }
    }

    fn step(&mut self, token: Token, now: Instant) {
        let sources = self.sources.len();
        let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) else { return };
        let Some(s) = self.sources.get_mut(source) else { return };
        let need = c.intake.next_read(&self.pool);
        let granted = std::mem::take(&mut c.granted);
        let may_read = granted || self.budget.may_read(&s.share, sources, c.charged, need);
        let t = Turn { pool: &self.pool, settings: &self.settings, may_read, now };
        let step = catch_unwind(AssertUnwindSafe(|| c.step(&t)))
            .unwrap_or_else(|_| Step::Closed(Some("a panic in its handling".to_owned())));
        let charge = c.in_flight();
        let before = std::mem::replace(&mut c.charged, charge);
        self.budget.count(&mut s.share, before, charge);
        match step {
            Step::Closed(why) => return self.close(token, why),
            Step::Again => self.enqueue(token),
            Step::Starved if !std::mem::replace(&mut c.starved, true) => s.share.wait(token),
            Step::Starved | Step::Wait => {}
        }
        self.feed_starved();
        let Some(Entry { kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) else { return };
        if let Some(at) = c.deadline(&self.settings) {
            self.deadlines.at_latest(token, at);
        }
    }

    /// Budget came free: those who waited for it go on.
    fn feed_starved(&mut self) {
        let sources = self.sources.len();
        let mut fed = Vec::new();
        for s in self.sources.values_mut().filter(|s| s.share.is_waited_for()) {
            let (entries, pool) = (&mut self.entries, &self.pool);
            fed.append(&mut self.budget.feed(&mut s.share, sources, |token| {
                match &entries.get_mut(token)?.kind {
                    Kind::Conn(c) => Some((c.charged, c.intake.next_read(pool))),
                    _ => None,
                }
            }));
        }
        for token in fed {
            if let Some(Entry { kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) {
                c.starved = false;
                c.granted = true;
            }
            self.enqueue(token);
        }
    }

    fn close(&mut self, token: Token, why: Option<String>) {
        self.deadlines.forget(token);
        let Some(Entry { source, kind: Kind::Conn(mut c), .. }) = self.entries.remove(token) else { return };
        let _ = self.poll.registry().deregister(&mut c.socket);
        if let Some(s) = self.sources.get_mut(&source) {
            s.connections.remove(&token);
            self.budget.count(&mut s.share, c.charged, 0);
            if let Some(why) = why {
                if let Some(note) = self.told.pass(Instant::now()) {
                    let name = &s.deliver.counters.name;
                    log::warn!("source {name}: connection from {} ended: {why}{note}", c.peer.addr);
                }
            }
        }
        drop(c);
        self.feed_starved();
    }

    /// A turn of a listener; `true` when more may wait.
    fn accept(&mut self, token: Token, now: Instant) -> bool {
        let Some(Entry { source, kind: Kind::Listener(l), .. }) = self.entries.get_mut(token) else {
            return false;
        };
        let source = *source;
        let Some(s) = self.sources.get_mut(&source) else { return false };
        let mut fresh = Vec::new();
        let accepted = l.accept(&s.deliver.counters.name, now, &mut fresh);
        if let Accepted::Paused(at) = accepted {
            self.deadlines.at_latest(token, at);
        }
        for (socket, addr) in fresh {
            self.admit(source, socket, addr, now);
        }
        matches!(accepted, Accepted::More)
    }

    fn admit(&mut self, source: SourceId, mut socket: TcpStream, addr: SocketAddr, now: Instant) {
        let Some(s) = self.sources.get_mut(&source) else { return };
        let counters = &s.deliver.counters;
        let token = self.entries.next_token().filter(|_| s.connections.len() < self.settings.max_connections);
        let Some(token) = token else {
            counters.connection_refused.one();
            if s.refusal_logged.is_none_or(|t| now.duration_since(t) > Duration::from_secs(10)) {
                s.refusal_logged = Some(now);
                let open = s.connections.len();
                log::warn!(
                    "source {}: connection from {addr} refused, {open} are open already",
                    counters.name
                );
            }
            return;
        };
        let _ = socket.set_nodelay(true);
        let sock = socket2::SockRef::from(&socket);
        let _ = sock.set_keepalive(true);
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(e) = self.poll.registry().register(&mut socket, mio::Token(token.0), both) {
            log::error!("source {}: connection from {addr}: {e}", counters.name);
            return;
        }
        let wake: Arc<dyn Wake> = Arc::new(ConnWake { shared: self.shared.clone(), token });
        let peer = Peer { addr, name: None };
        let mut conn = Box::new(Conn::new(socket, peer, wake, s.deliver.clone(), now));
        if let Some(protocol) = &s.protocol {
            if protocol.wants_peer_name() {
                let (shared, ip) = (self.shared.clone(), plain_ip(addr.ip()));
                self.names.ask(ip, move |name| shared.send(Command::Named(token, name)));
            } else {
                conn.open(protocol.as_ref(), None);
            }
        }
        s.connections.insert(token);
        self.entries.insert(Entry { source, queued: false, kind: Kind::Conn(conn) });
        self.enqueue(token);
    }

    /// A turn of a datagram socket; `true` when more may wait.
    fn receive(&mut self, token: Token, now: Instant) -> bool {
        let Some(Entry { kind: Kind::Datagrams(d), .. }) = self.entries.get_mut(token) else { return false };
        self.scratch.resize(LARGEST, 0);
        let (scratch, names) = (&mut self.scratch, &self.names);
        catch_unwind(AssertUnwindSafe(|| d.step(scratch, names, now))).unwrap_or_else(|_| {
            log::error!("source {}: a panic in the handling of a datagram", d.source_name());
            true
        })
    }

    fn command(&mut self, c: Command) {
        match c {
            Command::Attach(id, attach) => self.attach(id, *attach),
            Command::Detach { source, deadline, done } => self.detach(source, deadline, done),
            Command::Named(token, name) => {
                if let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) {
                    if let Some(p) = self.sources.get(source).and_then(|s| s.protocol.as_ref()) {
                        c.open(p.as_ref(), Some(name));
                    }
                    self.enqueue(token);
                }
            }
            Command::Shutdown => {}
        }
    }

    fn attach(&mut self, id: SourceId, attach: Attach) {
        let Some(token) = self.entries.next_token() else { return };
        let mio_token = mio::Token(token.0);
        let registry = self.poll.registry();
        let (protocol, deliver, registered, kind) = match attach {
            Attach::Stream { listener, protocol, deliver } => {
                let mut socket = mio::net::TcpListener::from_std(listener);
                let r = registry.register(&mut socket, mio_token, Interest::READABLE);
                (Some(protocol), deliver, r, Kind::Listener(Listener::new(socket)))
            }
            Attach::Datagram { socket, protocol, deliver } => {
                let mut socket = mio::net::UdpSocket::from_std(socket);
                let r = registry.register(&mut socket, mio_token, Interest::READABLE);
                let wake = Arc::new(ConnWake { shared: self.shared.clone(), token });
                (
                    None,
                    deliver.clone(),
                    r,
                    Kind::Datagrams(Box::new(Datagrams::new(socket, protocol, deliver, wake))),
                )
            }
        };
        if let Err(e) = registered {
            deliver.counters.health.set(State::Failed(format!("cannot be polled: {e}")));
            log::error!("source {}: cannot be polled: {e}", deliver.counters.name);
        }
        self.entries.insert(Entry { source: id, queued: false, kind });
        let state = SourceState {
            protocol,
            deliver,
            socket: token,
            connections: BTreeSet::new(),
            share: Share::default(),
            detach: None,
            refusal_logged: None,
        };
        self.sources.insert(id, state);
        self.enqueue(token);
    }

    fn detach(&mut self, source: SourceId, deadline: Instant, done: std::sync::mpsc::Sender<()>) {
        let now = Instant::now();
        let Some(s) = self.sources.get_mut(&source) else {
            let _ = done.send(());
            return;
        };
        s.detach = Some((deadline, done));
        let socket = s.socket;
        // What waits in the backlog or the datagram buffer was accepted by the kernel: it is read once more.
        match self.entries.get_mut(socket).map(|e| &mut e.kind) {
            Some(Kind::Listener(_)) => {
                for _ in 0..BACKLOG_TURNS {
                    if !self.accept(socket, now) {
                        break;
                    }
                }
                if let Some(Entry { kind: Kind::Listener(mut l), .. }) = self.entries.remove(socket) {
                    let _ = self.poll.registry().deregister(&mut l.socket);
                }
                self.deadlines.forget(socket);
            }
            Some(Kind::Datagrams(d)) => {
                d.stop();
                self.enqueue(socket);
                self.deadlines.at_latest(socket, deadline);
            }
            _ => {}
        }
        let open: Vec<Token> =
            self.sources.get(&source).map_or(Vec::new(), |s| s.connections.iter().copied().collect());
        for token in open {
            if let Some(Entry { kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) {
                c.stop(deadline);
                // The edge for what is there may be long gone.
                c.intake.readable = true;
            }
            self.enqueue(token);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(token) = self.deadlines.pop_due(now) {
            if let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) {
                if c.is_naming() && c.deadline(&self.settings).is_some_and(|at| at <= now) {
                    let name = c.peer.ip_text();
                    if let Some(p) = self.sources.get(source).and_then(|s| s.protocol.as_ref()) {
                        c.open(p.as_ref(), Some(name));
                    }
                }
            }
            self.enqueue(token);
        }
    }

    /// Ends detached sources whose last connection is gone.
    fn reap(&mut self) {
        if self.sources.values().all(|s| s.detach.is_none()) {
            return;
        }
        let now = Instant::now();
        let mut over = Vec::new();
        for (id, s) in &self.sources {
            let Some((deadline, _)) = &s.detach else { continue };
            let settled = match self.entries.get_mut(s.socket).map(|e| &e.kind) {
                Some(Kind::Datagrams(d)) => d.is_settled() || *deadline <= now,
                _ => true,
            };
            if settled && s.connections.is_empty() {
                over.push(*id);
            }
        }
        for id in over {
            let Some(s) = self.sources.remove(&id) else { continue };
            if let Some(Entry { kind: Kind::Datagrams(mut d), .. }) = self.entries.remove(s.socket) {
                let _ = self.poll.registry().deregister(&mut d.socket);
            }
            self.deadlines.forget(s.socket);
            if let Some((_, done)) = s.detach {
                let _ = done.send(());
            }
        }
    }
}
