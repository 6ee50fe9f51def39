//! Sources on the event loop: binding them, again and again if need be, and taking them off.

use crate::clock::Backoff;
use crate::component::Source;
use crate::counters::State;
use crate::deliver::Deliver;
use crate::net::{bind_tcp, bind_udp, Attach, BindError, LoopHandle, SourceId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A source and whether the loop has it.
pub struct Served {
    id: SourceId,
    /// `source` or `monitor`: how logs call it.
    pub kind: &'static str,
    deliver: Arc<Deliver>,
    make: Box<dyn Fn() -> Source>,
    /// `None`: it runs.
    retry: Option<(Instant, Backoff)>,
}

impl Served {
    pub fn new(
        id: SourceId,
        kind: &'static str,
        deliver: Arc<Deliver>,
        make: Box<dyn Fn() -> Source>,
    ) -> Served {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        Served { id, kind, deliver, make, retry: Some((Instant::now(), backoff)) }
    }

    pub fn retry_at(&self) -> Option<Instant> {
        self.retry.as_ref().map(|(at, _)| *at)
    }

    /// Starts it, if it does not run and its time for a try has come.
    pub fn try_start(&mut self, net: &LoopHandle, now: Instant) {
        let Some((_, backoff)) = self.retry.as_mut().filter(|(at, _)| *at <= now) else { return };
        let (kind, counters) = (self.kind, &self.deliver.counters);
        match attach((self.make)(), &self.deliver) {
            Ok((attach, at)) => {
                counters.health.set(State::Started);
                net.attach(self.id, attach);
                log::info!("{kind} {} started, listening on {at}", counters.name);
                self.retry = None;
            }
            Err(e) => {
                let pause = backoff.next_pause();
                counters.health.set(State::Failed(e.to_string()));
                log::error!("{kind} {}: {e}; next try in {} ms", counters.name, pause.as_millis());
                let at = now + pause;
                self.retry.as_mut().expect("matched above").0 = at;
            }
        }
    }
}

fn attach(source: Source, deliver: &Arc<Deliver>) -> Result<(Attach, String), BindError> {
    let text = |a: std::io::Result<std::net::SocketAddr>| a.map_or_else(|e| e.to_string(), |a| a.to_string());
    let deliver = deliver.clone();
    Ok(match source {
        Source::Stream { endpoint, protocol } => {
            let listener = bind_tcp(&endpoint)?;
            let at = text(listener.local_addr());
            (Attach::Stream { listener, protocol, deliver }, at)
        }
        Source::Datagram { endpoint, protocol } => {
            let socket = bind_udp(&endpoint)?;
            let at = text(socket.local_addr());
            (Attach::Datagram { socket, protocol, deliver }, at)
        }
    })
}

/// Takes sources off the loop and waits until their last connection is closed, all at the same time.
pub fn stop_all(sources: Vec<Served>, net: &LoopHandle, deadline: Instant) {
    let running = sources.iter().filter(|s| s.retry.is_none());
    let heard: Vec<_> = running.map(|s| net.detach(s.id, deadline)).collect();
    for h in heard {
        // The loop closes what is left at the deadline; a moment more lets it say so.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(500);
        let _ = h.recv_timeout(left);
    }
    for s in sources {
        s.deliver.counters.health.set(State::Stopped);
    }
}
