//! The loop itself: one thread, one poll, everything it owns in one struct. `sources` has the life of a source on it,
//! `turns` what a connection's turn comes to, `jobs` what goes to the pool and comes back.
//!
//! A turn waits for events (not at all while somebody is in the run queue), marks who can go on, serves the queue
//! for a bounded time in an order fair to sources, then the deadlines. No lock is held across anything here; the
//! hand-over structures in `handle` are leaves.

use super::budget::Budget;
use super::conn::Conn;
use super::deadlines::Deadlines;
use super::handle::{Command, ConnWake, Loops, Shared, SourceId};
use super::listener::Listener;
use super::names::Names;
use super::pool::Pool;
use super::run_queue::RunQueue;
use super::slot::{Slots, Token};
use super::source::SourceState;
use super::udp::{Datagrams, LARGEST};
use super::Settings;
use crate::event::BufferPool;
use mio::{Events, Poll};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod jobs;
mod sources;
mod turns;

const WAKER: mio::Token = mio::Token(usize::MAX);
/// What one read can bring.
const READ_BUFFER: usize = 64 << 10;
/// Read buffers that wait unused, at most.
const SPARE_BUFFERS: usize = 48;
/// Of the budget, this part may wait for the pool in a source of datagrams.
const MOST_WAITING: usize = 8;
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
    /// Every loop of the agent, and which of them this one is.
    all: Arc<[Arc<Shared>]>,
    index: usize,
    /// The loop that gets the next connection accepted here.
    next: usize,
    entries: Slots<Entry>,
    sources: BTreeMap<SourceId, SourceState>,
    runs: RunQueue,
    deadlines: Deadlines,
    budget: Budget,
    settings: Settings,
    pool: Arc<BufferPool>,
    names: Arc<Names>,
    threads: Arc<Pool>,
    scratch: Vec<u8>,
    /// Collected, and not carried out yet.
    commands: VecDeque<Command>,
}

/// Starts the threads of `n` loops, `loop:0` and so on.
pub fn start(n: usize, settings: Settings, names: Arc<Names>) -> io::Result<(Loops, Vec<JoinHandle<()>>)> {
    let mut polls = Vec::new();
    let mut all = Vec::new();
    for _ in 0..n {
        let poll = Poll::new()?;
        all.push(Arc::new(Shared::new(mio::Waker::new(poll.registry(), WAKER)?)));
        polls.push(poll);
    }
    let all: Arc<[Arc<Shared>]> = all.into();
    let loops = Loops(all.clone());
    let pool = Arc::new(Pool::new(settings.pool_threads));
    let mut threads = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        let shared = (names.clone(), pool.clone());
        let mut l = EventLoop::new(poll, index, all.clone(), settings.for_one_of(n), shared);
        let spawned = std::thread::Builder::new().name(format!("loop:{index}")).spawn(move || l.run());
        threads.push(spawned.inspect_err(|_| loops.shutdown())?);
    }
    Ok((loops, threads))
}

impl EventLoop {
    fn new(
        poll: Poll,
        index: usize,
        all: Arc<[Arc<Shared>]>,
        settings: Settings,
        (names, threads): (Arc<Names>, Arc<Pool>),
    ) -> EventLoop {
        EventLoop {
            poll,
            shared: all[index].clone(),
            all,
            index,
            next: index,
            entries: Slots::new(),
            sources: BTreeMap::new(),
            runs: RunQueue::default(),
            deadlines: Deadlines::default(),
            budget: Budget::new(settings.max_in_flight),
            settings,
            pool: BufferPool::new(READ_BUFFER, SPARE_BUFFERS),
            names,
            threads,
            scratch: Vec::new(),
            commands: VecDeque::new(),
        }
    }

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
            self.commands.extend(self.shared.collect(woken));
            woken.drain(..).for_each(|t| self.enqueue(t));
        }
        // One by one: what is left after a panic is for the next turn.
        while let Some(c) = self.commands.pop_front() {
            if let Command::Shutdown = c {
                return false;
            }
            self.command(c);
        }
        self.serve();
        self.expire();
        self.reap();
        true
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.runs.is_empty() || !self.commands.is_empty() {
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

    /// A turn of a datagram socket; `true` when more may wait.
    fn receive(&mut self, token: Token, now: Instant) -> bool {
        let Some(Entry { source, kind: Kind::Datagrams(d), .. }) = self.entries.get_mut(token) else {
            return false;
        };
        self.scratch.resize(LARGEST, 0);
        let (scratch, names) = (&mut self.scratch, &self.names);
        let most_waiting = self.settings.max_in_flight / MOST_WAITING;
        let more = catch_unwind(AssertUnwindSafe(|| d.step(scratch, names, most_waiting, now)))
            .unwrap_or_else(|_| {
                log::error!("source {}: a panic in the handling of a datagram", d.source_name());
                true
            });
        if let Some(s) = self.sources.get_mut(source) {
            self.budget.count(&mut s.share, d.charged, d.in_flight());
            d.charged = d.in_flight();
        }
        if let Some(job) = d.take_job() {
            let source = *source;
            self.submit(source, token, job);
        }
        more
    }

    fn command(&mut self, c: Command) {
        match c {
            Command::Attach(id, attach) => self.attach(id, *attach),
            Command::Serve(id, protocol, deliver) => self.serve_for(id, protocol, deliver),
            Command::Adopt(id, socket, addr) => self.admit(id, socket, addr, Instant::now()),
            Command::Detach(d) => self.detach(d),
            Command::Settings(all) => {
                self.settings = all.for_one_of(self.all.len());
                self.budget.set_max(self.settings.max_in_flight);
                self.threads.set_max(self.settings.pool_threads);
            }
            Command::Named(token, name) => {
                if let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) {
                    match self.sources.get(source).and_then(|s| s.protocol.as_ref()) {
                        Some(p) if c.is_naming() => c.open(p.as_ref(), Some(name)),
                        _ => c.named(name),
                    }
                    self.enqueue(token);
                }
            }
            Command::Done(token, done) => self.bring_back(token, done),
            Command::Shutdown => {}
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
}
