//! How other threads reach a loop: commands, and wake-ups of single connections.
//!
//! Many wake-ups between two turns cost one system call. Two leaf mutexes, held for a push or a swap.

use super::slot::Token;
use super::source::Attach;
use crate::channel::Wake;
use crate::lock::lock;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A source, as a loop knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub u32);

pub(super) enum Command {
    Attach(SourceId, Box<Attach>),
    /// Stop accepting, read what is there once, deliver or refuse it until the deadline, close.
    Detach {
        source: SourceId,
        deadline: Instant,
        done: Sender<()>,
    },
    /// The name of a connection's peer is known.
    Named(Token, String),
    Shutdown,
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

/// A loop, seen from other threads.
#[derive(Clone)]
pub struct LoopHandle(pub(super) Arc<Shared>);

impl LoopHandle {
    /// Starts serving a source. An id is used once.
    pub fn attach(&self, id: SourceId, source: Attach) {
        self.0.send(Command::Attach(id, Box::new(source)));
    }

    /// Stops serving a source; the receiver hears when its last connection is closed.
    pub fn detach(&self, source: SourceId, deadline: Instant) -> Receiver<()> {
        let (done, heard) = channel();
        self.0.send(Command::Detach { source, deadline, done });
        heard
    }

    /// Ends the loop's thread.
    pub fn shutdown(&self) {
        self.0.send(Command::Shutdown);
    }
}
