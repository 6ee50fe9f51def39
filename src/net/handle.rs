//! How other threads reach the loops: commands, and wake-ups of single connections.
//!
//! Many wake-ups between two turns cost one system call. Two leaf mutexes, held for a push or a swap.

use super::job::{Done, Undone};
use super::slot::Token;
use super::source::Attach;
use super::{Protocol, Settings};
use crate::channel::Wake;
use crate::deliver::Deliver;
use crate::lock::lock;
use mio::net::TcpStream;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A source, as a loop knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub u32);

impl SourceId {
    /// Which of `n` loops has its listener or datagram socket.
    pub(super) fn home(self, n: usize) -> usize {
        self.0 as usize % n
    }
}

pub(super) enum Command {
    Attach(SourceId, Box<Attach>),
    /// Serve connections that another loop accepts.
    Serve(SourceId, Arc<dyn Protocol>, Arc<Deliver>),
    /// Here is one.
    Adopt(SourceId, TcpStream, SocketAddr),
    Detach(Detach),
    Settings(Settings),
    /// The name of a connection's peer is known.
    Named(Token, String),
    /// The pool is through with what it had of a connection or a datagram socket.
    Done(Token, Result<Done, Undone>),
    Shutdown,
}

/// Stop accepting, read what is there once, deliver or refuse it until the deadline, close.
#[derive(Clone)]
pub(super) struct Detach {
    pub source: SourceId,
    pub deadline: Instant,
    /// Another source has a copy of the socket: what waits there is for it.
    pub handed_over: bool,
    /// The source, attached already, that takes over the connections there are.
    pub heir: Option<SourceId>,
    /// Dropped when done.
    pub done: Sender<()>,
}

pub(super) struct Shared {
    waker: mio::Waker,
    signalled: AtomicBool,
    commands: Mutex<Vec<Command>>,
    woken: Mutex<Vec<Token>>,
}

impl Shared {
    pub(super) fn new(waker: mio::Waker) -> Shared {
        let signalled = AtomicBool::new(false);
        Shared { waker, signalled, commands: Mutex::default(), woken: Mutex::default() }
    }

    fn signal(&self) {
        if !self.signalled.swap(true, AcqRel) {
            // Fails only when the loop and its poll are gone.
            let _ = self.waker.wake();
        }
    }

    pub(super) fn send(&self, c: Command) {
        lock(&self.commands).push(c);
        self.signal();
    }

    /// Everything sent since the last call.
    pub(super) fn collect(&self, woken: &mut Vec<Token>) -> Vec<Command> {
        self.signalled.swap(false, AcqRel);
        woken.append(&mut lock(&self.woken));
        std::mem::take(&mut lock(&self.commands))
    }
}

/// Wakes one connection.
pub(super) struct ConnWake {
    pub(super) shared: Arc<Shared>,
    pub(super) token: Token,
}

impl Wake for ConnWake {
    fn wake(&self) {
        lock(&self.shared.woken).push(self.token);
        self.shared.signal();
    }
}

/// The loops, seen from other threads.
#[derive(Clone)]
pub struct Loops(pub(super) Arc<[Arc<Shared>]>);

impl Loops {
    /// Starts serving a source. An id is used once.
    pub fn attach(&self, id: SourceId, source: Attach) {
        let home = id.home(self.0.len());
        if let Attach::Stream { protocol, deliver, .. } = &source {
            // Before its home can accept anything.
            for (_, other) in self.0.iter().enumerate().filter(|(i, _)| *i != home) {
                other.send(Command::Serve(id, protocol.clone(), deliver.clone()));
            }
        }
        self.0[home].send(Command::Attach(id, Box::new(source)));
    }

    /// Stops serving a source. Called again, it changes the deadline.
    pub fn detach(&self, source: SourceId, deadline: Instant) -> Detached {
        self.replace(source, deadline, false, None)
    }

    /// Stops serving a source in whose place another one is attached already. `handed_over`: that one listens on a copy
    /// of its socket. `heir`: takes over its connections too, each when what it has brought is stored and answered.
    pub fn replace(
        &self,
        source: SourceId,
        deadline: Instant,
        handed_over: bool,
        heir: Option<SourceId>,
    ) -> Detached {
        let (done, heard) = channel();
        let home = source.home(self.0.len());
        self.0[home].send(Command::Detach(Detach { source, deadline, handed_over, heir, done }));
        Detached(heard)
    }

    /// Changes the limits from now on.
    pub fn set(&self, settings: Settings) {
        self.0.iter().for_each(|l| l.send(Command::Settings(settings)));
    }

    /// Ends the loops' threads.
    pub fn shutdown(&self) {
        self.0.iter().for_each(|l| l.send(Command::Shutdown));
    }
}

/// Tells when the last connection of a detached source is closed, and its socket let go of.
pub struct Detached(Receiver<()>);

impl Detached {
    /// Waits until then for it; `false` when there are connections still.
    pub fn wait(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        // Nothing is ever sent: the last sender goes when all loops are done.
        self.0.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }
}
