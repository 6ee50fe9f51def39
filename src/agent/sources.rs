//! Running sources: on the event loops, or on threads of their own. Binding and starting them, again and again if need
//! be, and ending them.
//!
//! A source that ends keeps what it has accepted until that is stored: it is [`Leaving`]. Its successor in a reload
//! listens on a copy of its socket, so that nobody who connects meanwhile is refused; a polled one begins when its
//! predecessor's thread is over. Belongs to the main thread.

use super::worker::{Worker, GRACE};
use crate::channel::Channel;
use crate::clock::Backoff;
use crate::component::Source;
use crate::counters::State;
use crate::deliver::Deliver;
use crate::lifecycle::Stop;
use crate::net::{bind_tcp, bind_udp, Attach, Detached, Endpoint, Loops, SourceId};
use crate::runner::SourceRunner;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub type Make = Arc<dyn Fn() -> Source + Send + Sync>;

/// How long a source that leaves the configuration may take to store what it has: as long as it takes.
const NO_HURRY: Duration = Duration::from_secs(365 * 24 * 3600);

/// A source and whether it runs.
pub struct Served {
    id: SourceId,
    /// `source` or `monitor`: how logs call it.
    pub kind: &'static str,
    pub deliver: Arc<Deliver>,
    make: Make,
    running: Running,
    /// The thread that has to be over first.
    before: Option<Worker>,
}

enum Running {
    /// To be tried again then.
    Not(Instant, Backoff),
    /// Bound and not yet served.
    Bound(Box<Attach>, Socket),
    OnLoops(Socket),
    OnThread(Worker),
}

/// A copy of what a source listens on, and where it wanted to.
pub struct Socket {
    endpoint: Endpoint,
    copy: Copy,
}

enum Copy {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Served {
    pub fn new(id: SourceId, kind: &'static str, deliver: Arc<Deliver>, make: Make) -> Served {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        Served { id, kind, deliver, make, running: Running::Not(Instant::now(), backoff), before: None }
    }

    pub fn name(&self) -> &str {
        &self.deliver.counters.name
    }

    /// When it wants to be tried again; `None` while it runs.
    pub fn retry_at(&self) -> Option<Instant> {
        match &self.running {
            Running::Not(at, _) => Some(*at),
            _ => None,
        }
    }

    /// Whether another's thread has to be over first.
    pub fn is_waiting(&self) -> bool {
        self.before.is_some()
    }

    /// Takes what it needs of the machine before it is to run: its socket, a copy of one of `others` if that is at the
    /// same address.
    pub fn prepare(&mut self, others: &[&Socket]) -> Result<(), String> {
        if let Some((attach, socket)) = self.bind(others)? {
            self.running = Running::Bound(Box::new(attach), socket);
        }
        Ok(())
    }

    /// What it listens on, while it does.
    pub fn socket(&self) -> Option<&Socket> {
        match &self.running {
            Running::OnLoops(s) => Some(s),
            _ => None,
        }
    }

    /// Starts it, if it does not run and its time for a try has come.
    pub fn try_start(&mut self, net: &Loops, now: Instant) {
        if self.before.as_ref().is_some_and(|w| !w.is_over()) || self.retry_at().is_some_and(|at| at > now) {
            return;
        }
        self.before = None;
        if let Running::OnLoops(_) | Running::OnThread(_) = &self.running {
            return;
        }
        match self.start(net) {
            Ok(running) => self.running = running,
            Err(e) => {
                let Running::Not(at, backoff) = &mut self.running else { return };
                let pause = backoff.next_pause();
                *at = now + pause;
                self.deliver.counters.health.set(State::Failed(e.clone()));
                let name = &self.deliver.counters.name;
                log::error!("{} {name}: {e}; next try in {} ms", self.kind, pause.as_millis());
            }
        }
    }

    fn start(&mut self, net: &Loops) -> Result<Running, String> {
        let again = Running::Not(Instant::now(), Backoff::new(Duration::ZERO, Duration::ZERO));
        let bound = match std::mem::replace(&mut self.running, again) {
            Running::Bound(attach, socket) => Some((*attach, socket)),
            other => {
                self.running = other;
                self.bind(&[])?
            }
        };
        let Some((attach, socket)) = bound else { return self.spawn() };
        self.deliver.counters.health.set(State::Started);
        net.attach(self.id, attach);
        let at = socket.address().map_or_else(|e| e.to_string(), |a| a.to_string());
        log::info!("{} {} started, listening on {at}", self.kind, self.name());
        Ok(Running::OnLoops(socket))
    }

    /// `None`: it is not on the loops.
    fn bind(&self, others: &[&Socket]) -> Result<Option<(Attach, Socket)>, String> {
        let deliver = self.deliver.clone();
        let text = |e: io::Error| e.to_string();
        Ok(match (self.make)() {
            Source::Stream { endpoint, protocol } => {
                let theirs = others.iter().find_map(|o| o.tcp_at(&endpoint));
                let listener = match theirs {
                    Some(theirs) => theirs.try_clone().map_err(text)?,
                    None => bind_tcp(&endpoint).map_err(|e| e.to_string())?,
                };
                let copy = Copy::Tcp(listener.try_clone().map_err(text)?);
                Some((Attach::Stream { listener, protocol, deliver }, Socket { endpoint, copy }))
            }
            Source::Datagram { endpoint, protocol } => {
                let theirs = others.iter().find_map(|o| o.udp_at(&endpoint));
                let socket = match theirs {
                    Some(theirs) => theirs.try_clone().map_err(text)?,
                    None => bind_udp(&endpoint).map_err(|e| e.to_string())?,
                };
                let copy = Copy::Udp(socket.try_clone().map_err(text)?);
                Some((Attach::Datagram { socket, protocol, deliver }, Socket { endpoint, copy }))
            }
            Source::Polled { .. } => None,
        })
    }

    fn spawn(&self) -> Result<Running, String> {
        let stop = Arc::new(Stop::default());
        let runner = SourceRunner::new(self.make.clone(), self.deliver.clone(), stop.clone());
        let thread = runner.spawn().map_err(|e| format!("cannot have a thread: {e}"))?;
        Ok(Running::OnThread(Worker { stop, thread }))
    }

    /// Whether it has its socket and is not served yet.
    pub fn is_bound(&self) -> bool {
        matches!(self.running, Running::Bound(..))
    }

    /// Ends it without hurry. What of it has to be waited for; a polled source of its name among the `heirs` waits for
    /// it by itself.
    pub fn end(self, net: &Loops, heirs: &mut [Served]) -> Option<Leaving> {
        let (name, deliver) = (self.name().to_owned(), self.deliver);
        let how = match self.running {
            Running::Not(..) | Running::Bound(..) => {
                let worker = self.before?;
                Ending::OnThread(worker)
            }
            Running::OnLoops(socket) => {
                let handed_over = heirs.iter().any(|s| s.listens_with(&socket));
                let until = Instant::now() + NO_HURRY;
                Ending::OnLoops(self.id, net.detach(self.id, until, handed_over))
            }
            Running::OnThread(worker) => {
                worker.stop.drain();
                Ending::OnThread(worker)
            }
        };
        let leaving = Leaving { name, deliver, how };
        match (leaving.how, heirs.iter_mut().find(|h| h.name() == leaving.name && h.retry_at().is_some())) {
            (Ending::OnThread(worker), Some(heir)) => {
                heir.before = Some(worker);
                None
            }
            (how, _) => Some(Leaving { how, ..leaving }),
        }
    }

    fn listens_with(&self, socket: &Socket) -> bool {
        match &self.running {
            Running::OnLoops(own) | Running::Bound(_, own) => own.endpoint == socket.endpoint,
            _ => false,
        }
    }
}

impl Socket {
    fn tcp_at(&self, endpoint: &Endpoint) -> Option<&TcpListener> {
        match &self.copy {
            Copy::Tcp(l) if self.endpoint == *endpoint => Some(l),
            _ => None,
        }
    }

    fn udp_at(&self, endpoint: &Endpoint) -> Option<&UdpSocket> {
        match &self.copy {
            Copy::Udp(s) if self.endpoint == *endpoint => Some(s),
            _ => None,
        }
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match &self.copy {
            Copy::Tcp(l) => l.local_addr(),
            Copy::Udp(s) => s.local_addr(),
        }
    }
}

/// A source that ends: it takes up nothing new and stores what it has.
pub struct Leaving {
    pub name: String,
    deliver: Arc<Deliver>,
    how: Ending,
}

enum Ending {
    OnLoops(SourceId, Detached),
    OnThread(Worker),
}

impl Leaving {
    pub fn is_gone(&self) -> bool {
        match &self.how {
            Ending::OnLoops(_, heard) => heard.wait(Instant::now()),
            Ending::OnThread(worker) => worker.is_over(),
        }
    }

    pub fn uses(&self, channel: &Arc<dyn Channel>) -> bool {
        self.deliver.uses(channel)
    }

    /// Not later than then.
    fn hurry(&mut self, net: &Loops, deadline: Instant) {
        if let Ending::OnLoops(id, heard) = &mut self.how {
            *heard = net.detach(*id, deadline, false);
        }
    }

    fn wait(&self, deadline: Instant) {
        // The loops close what is left at the deadline, a thread is told to leave; a moment more lets them say so.
        match &self.how {
            Ending::OnLoops(_, heard) => {
                heard.wait(deadline + GRACE);
            }
            Ending::OnThread(worker) => {
                if !worker.wait(deadline) {
                    worker.stop.halt();
                    worker.wait(Instant::now() + GRACE);
                }
            }
        }
    }
}

/// Ends sources for good, all at the same time, and those that were ending already: what their sockets hold, or what
/// their commands still say, is read and stored. Waits for it until the deadline.
pub fn stop_all(sources: Vec<Served>, mut leaving: Vec<Leaving>, net: &Loops, deadline: Instant) {
    let counters: Vec<_> = sources.iter().map(|s| s.deliver.counters.clone()).collect();
    for s in sources {
        leaving.extend(s.end(net, &mut []));
    }
    leaving.iter_mut().for_each(|l| l.hurry(net, deadline));
    leaving.iter().for_each(|l| l.wait(deadline));
    counters.iter().for_each(|c| c.health.set(State::Stopped));
}
