//! Running sources: on the event loop, or on threads of their own. Binding and starting them, again and again if need
//! be, and taking them down.
//!
//! Belongs to the main thread.

use crate::clock::Backoff;
use crate::component::Source;
use crate::counters::State;
use crate::deliver::Deliver;
use crate::lifecycle::Stop;
use crate::net::{bind_tcp, bind_udp, Attach, LoopHandle, SourceId};
use crate::runner::SourceRunner;
use std::sync::mpsc::Receiver;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A source and whether it runs.
pub struct Served {
    id: SourceId,
    /// `source` or `monitor`: how logs call it.
    pub kind: &'static str,
    deliver: Arc<Deliver>,
    make: Arc<dyn Fn() -> Source + Send + Sync>,
    running: Running,
}

enum Running {
    /// To be tried again then.
    Not(Instant, Backoff),
    OnLoop,
    OnThread(Arc<Stop>, JoinHandle<()>),
}

impl Served {
    pub fn new(
        id: SourceId,
        kind: &'static str,
        deliver: Arc<Deliver>,
        make: Arc<dyn Fn() -> Source + Send + Sync>,
    ) -> Served {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        Served { id, kind, deliver, make, running: Running::Not(Instant::now(), backoff) }
    }

    pub fn retry_at(&self) -> Option<Instant> {
        match &self.running {
            Running::Not(at, _) => Some(*at),
            _ => None,
        }
    }

    /// Starts it, if it does not run and its time for a try has come.
    pub fn try_start(&mut self, net: &LoopHandle, now: Instant) {
        if self.retry_at().is_none_or(|at| at > now) {
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

    fn start(&self, net: &LoopHandle) -> Result<Running, String> {
        let deliver = self.deliver.clone();
        let (attach, at) = match (self.make)() {
            Source::Stream { endpoint, protocol } => {
                let listener = bind_tcp(&endpoint).map_err(|e| e.to_string())?;
                let at = listener.local_addr();
                (Attach::Stream { listener, protocol, deliver }, at)
            }
            Source::Datagram { endpoint, protocol } => {
                let socket = bind_udp(&endpoint).map_err(|e| e.to_string())?;
                let at = socket.local_addr();
                (Attach::Datagram { socket, protocol, deliver }, at)
            }
            Source::Polled { .. } => return self.spawn(),
        };
        let counters = &self.deliver.counters;
        counters.health.set(State::Started);
        net.attach(self.id, attach);
        let at = at.map_or_else(|e| e.to_string(), |a| a.to_string());
        log::info!("{} {} started, listening on {at}", self.kind, counters.name);
        Ok(Running::OnLoop)
    }

    fn spawn(&self) -> Result<Running, String> {
        let stop = Arc::new(Stop::default());
        let runner =
            SourceRunner { make: self.make.clone(), deliver: self.deliver.clone(), stop: stop.clone() };
        let thread = runner.spawn().map_err(|e| format!("cannot have a thread: {e}"))?;
        Ok(Running::OnThread(stop, thread))
    }
}

/// Who ends, and how it is heard.
enum Ending {
    OnLoop(Receiver<()>),
    OnThread(Arc<Stop>, JoinHandle<()>),
}

/// Ends sources, all at the same time: what their sockets hold, or what their commands still say, is read and stored.
/// Waits until the last connection is closed and the last thread has ended, or the deadline.
pub fn stop_all(sources: Vec<Served>, net: &LoopHandle, deadline: Instant) {
    let mut ending = Vec::new();
    let mut counters = Vec::new();
    for s in sources {
        counters.push(s.deliver.counters.clone());
        match s.running {
            Running::Not(..) => {}
            Running::OnLoop => ending.push(Ending::OnLoop(net.detach(s.id, deadline))),
            Running::OnThread(stop, thread) => {
                stop.drain();
                ending.push(Ending::OnThread(stop, thread));
            }
        }
    }
    for e in ending {
        // The loop closes what is left at the deadline, a thread is told to leave; a moment more lets them say so.
        let moment = Duration::from_millis(500);
        match e {
            Ending::OnLoop(heard) => {
                let _ = heard.recv_timeout(deadline.saturating_duration_since(Instant::now()) + moment);
            }
            Ending::OnThread(stop, thread) => {
                wait_for(&thread, deadline);
                stop.halt();
                wait_for(&thread, Instant::now() + moment);
            }
        }
    }
    counters.iter().for_each(|c| c.health.set(State::Stopped));
}

/// Waits for a thread's end until then.
pub fn wait_for(thread: &JoinHandle<()>, until: Instant) {
    while !thread.is_finished() && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
