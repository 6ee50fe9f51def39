//! Running sources: on the event loops, or on threads of their own. Binding and starting them, again and again if need
//! be, and ending them.
//!
//! A source that ends keeps what it has accepted until that is stored: it is [`Leaving`]. Its successor in a reload
//! listens on a copy of its socket, so that nobody who connects meanwhile is refused, and its connections are carried
//! over; a polled one begins when its predecessor's thread is over. Belongs to the main thread.

use super::unharmed::unharmed;
use super::worker::{Worker, GRACE};
use crate::channel::Channel;
use crate::clock::Backoff;
use crate::component::Source;
use crate::counters::{SourceCounters, State};
use crate::deliver::Deliver;
use crate::lifecycle::Stop;
use crate::lock::lock;
use crate::net::{
    bind_tcp, bind_udp, receive_buffer, set_receive_buffer, Attach, Detached, Dropped, Loops, SourceId,
    Throttle, UDP_BUFFER,
};
use crate::outage::Outage;
use crate::runner::SourceRunner;
use std::collections::BTreeMap;
use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod socket;

pub use socket::Socket;

use socket::Copy;

pub type Make = Arc<dyn Fn() -> Source + Send + Sync>;

/// How long a source that leaves the configuration may take to store what it has: as long as it takes.
const NO_HURRY: Duration = Duration::from_secs(365 * 24 * 3600);

/// A source, or one listener of a source that has several, and whether it runs.
pub struct Served {
    id: SourceId,
    /// Which listener of its source it is.
    part: usize,
    parts: Arc<Parts>,
    /// `source` or `monitor`: how logs call it.
    pub kind: &'static str,
    /// Its type, as components are called.
    type_name: &'static str,
    pub deliver: Arc<Deliver>,
    make: Make,
    running: Running,
    outage: Outage,
    told_dropped: Throttle,
    /// The source of this name that has to be over first.
    before: Option<Leaving>,
}

/// What the listeners of one source have in common.
struct Parts {
    count: usize,
    /// Why some of them cannot be had. A leaf lock.
    failed: Mutex<BTreeMap<usize, String>>,
}

impl Parts {
    /// Notes how one of them fares; returns how all of them do.
    fn now(&self, part: usize, fault: Option<String>) -> State {
        let mut failed = lock(&self.failed);
        match fault {
            Some(why) => failed.insert(part, why),
            None => failed.remove(&part),
        };
        match failed.is_empty() {
            true => State::Started,
            false => State::Failed(failed.values().cloned().collect::<Vec<_>>().join("; ")),
        }
    }
}

enum Running {
    /// To be tried again then.
    Not(Instant, Backoff),
    /// Bound and not yet served.
    Bound(Box<Attach>, Socket),
    OnLoops(Socket),
    OnThread(Worker),
}

impl Served {
    pub fn new(
        id: SourceId,
        kind: &'static str,
        type_name: &'static str,
        deliver: Arc<Deliver>,
        make: Make,
    ) -> Served {
        let parts = Arc::new(Parts { count: 1, failed: Mutex::default() });
        Served::of((0, parts), id, kind, type_name, deliver, make)
    }

    /// The listeners of a source, or its only one.
    pub fn all(
        next_id: &mut impl FnMut() -> SourceId,
        type_name: &'static str,
        deliver: &Arc<Deliver>,
        make: &Make,
    ) -> Result<Vec<Served>, String> {
        let name = &deliver.counters.name;
        let count = match unharmed(&format!("building source {name}"), || make())? {
            Source::Streams(all) if all.is_empty() => return Err(format!("source {name} listens nowhere")),
            Source::Streams(all) => all.len(),
            Source::Stream { .. } | Source::Datagram { .. } | Source::Polled { .. } => 1,
        };
        let parts = Arc::new(Parts { count, failed: Mutex::default() });
        let one = |part| {
            let part = (part, parts.clone());
            Served::of(part, next_id(), "source", type_name, deliver.clone(), make.clone())
        };
        Ok((0..count).map(one).collect())
    }

    fn of(
        (part, parts): (usize, Arc<Parts>),
        id: SourceId,
        kind: &'static str,
        type_name: &'static str,
        deliver: Arc<Deliver>,
        make: Make,
    ) -> Served {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        Served {
            id,
            part,
            parts,
            kind,
            type_name,
            deliver,
            make,
            running: Running::Not(Instant::now(), backoff),
            outage: Outage::default(),
            told_dropped: Throttle::default(),
            before: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.deliver.counters.name
    }

    /// One that is built from its settings: one listener, if it is one of several.
    fn made(&self) -> Result<Source, String> {
        match unharmed("building it", || (self.make)())? {
            Source::Streams(mut all) if self.part < all.len() => {
                let (endpoint, protocol) = all.swap_remove(self.part);
                Ok(Source::Stream { endpoint, protocol })
            }
            Source::Streams(_) => Err("it has fewer listeners than before".to_owned()),
            one => Ok(one),
        }
    }

    /// When it wants to be tried again; `None` while it runs.
    pub fn retry_at(&self) -> Option<Instant> {
        match &self.running {
            Running::Not(at, _) => Some(*at),
            _ => None,
        }
    }

    /// Whether another one has to be over first.
    pub fn is_waiting(&self) -> bool {
        self.before.is_some()
    }

    /// Whether one that is to be over first still writes to this channel.
    pub fn waits_for_writer_to(&self, channel: &Arc<dyn Channel>) -> bool {
        self.before.as_ref().is_some_and(|l| l.uses(channel))
    }

    /// This one does not begin before that one is over.
    pub fn follow(&mut self, before: Leaving) {
        self.before = Some(before);
    }

    /// Whether it has to wait for a predecessor that is at work: it has a thread of its own, and does not run yet.
    fn can_follow(&self) -> bool {
        matches!(self.running, Running::Not(..)) && matches!(self.made(), Ok(Source::Polled { .. }))
    }

    /// Takes what it needs of the machine before it is to run: its socket, a copy of one of `others` if that is at the
    /// same address. Where one of them stands in the way (the same port, another address) it is tried again later.
    pub fn prepare(&mut self, others: &[&Socket]) -> Result<(), String> {
        match self.bind(others) {
            Ok(Some((attach, socket))) => self.running = Running::Bound(Box::new(attach), socket),
            Ok(None) => {}
            Err(e) => {
                let (endpoint, is_tcp) = match self.made()? {
                    Source::Stream { endpoint, .. } => (endpoint, true),
                    Source::Datagram { endpoint, .. } => (endpoint, false),
                    Source::Streams(_) | Source::Polled { .. } => return Err(e),
                };
                if !others.iter().any(|o| o.stands_in_the_way(&endpoint, is_tcp)) {
                    return Err(e);
                }
            }
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
        if self.before.as_ref().is_some_and(|l| !l.is_gone()) || self.retry_at().is_some_and(|at| at > now) {
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
                self.deliver.counters.health.set(self.parts.now(self.part, Some(e.clone())));
                let name = &self.deliver.counters.name;
                if let Some(count) = self.outage.failed(&e, now) {
                    log::error!("{} {name}: {e}{count}; next try in {} ms", self.kind, pause.as_millis());
                }
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
        self.deliver.counters.health.set(self.parts.now(self.part, None));
        net.attach(self.id, attach);
        let at = socket.address().map_or_else(|e| e.to_string(), |a| a.to_string());
        if let Some(after) = self.outage.over(Instant::now()) {
            log::info!("{} {} can be had{after}", self.kind, self.name());
        }
        log::info!("{} {} started, listening on {at}", self.kind, self.name());
        Ok(Running::OnLoops(socket))
    }

    /// `None`: it is not on the loops.
    fn bind(&self, others: &[&Socket]) -> Result<Option<(Attach, Socket)>, String> {
        let deliver = self.deliver.clone();
        let text = |e: io::Error| e.to_string();
        Ok(match self.made()? {
            Source::Stream { endpoint, protocol } => {
                let theirs = others.iter().find_map(|o| o.tcp_at(&endpoint));
                let listener = match theirs {
                    Some(theirs) => theirs.try_clone().map_err(text)?,
                    None => bind_tcp(&endpoint).map_err(|e| e.to_string())?,
                };
                let copy = Copy::Tcp(listener.try_clone().map_err(text)?);
                Some((Attach::Stream { listener, protocol, deliver }, Socket { endpoint, copy }))
            }
            Source::Datagram { endpoint, protocol, receive_buffer } => {
                let theirs = others.iter().find_map(|o| o.udp_at(&endpoint));
                let (socket, dropped) = match theirs {
                    Some((theirs, dropped)) => {
                        let wanted = receive_buffer.unwrap_or(UDP_BUFFER);
                        set_receive_buffer(theirs, wanted).map_err(text)?;
                        (theirs.try_clone().map_err(text)?, dropped.clone())
                    }
                    None => {
                        let socket = bind_udp(&endpoint, receive_buffer).map_err(|e| e.to_string())?;
                        let dropped = Dropped::of(&socket);
                        (socket, dropped)
                    }
                };
                self.tell_buffer(&socket, receive_buffer);
                let copy = Copy::Udp(socket.try_clone().map_err(text)?, dropped);
                Some((Attach::Datagram { socket, protocol, deliver }, Socket { endpoint, copy }))
            }
            Source::Streams(_) | Source::Polled { .. } => None,
        })
    }

    /// Says how much of the receive buffer that was asked for the kernel has granted.
    fn tell_buffer(&self, socket: &UdpSocket, wanted: Option<usize>) {
        let Ok(granted) = receive_buffer(socket) else { return };
        if granted < wanted.unwrap_or(UDP_BUFFER) {
            let level = if wanted.is_some() { log::Level::Warn } else { log::Level::Info };
            log::log!(
                level,
                "source {}: receiveBufferBytes is {granted}: net.core.rmem_max allows no more",
                self.name()
            );
        }
    }

    /// Whether the kernel has to be asked now and then what it dropped.
    pub fn has_datagrams(&self) -> bool {
        matches!(&self.running, Running::OnLoops(Socket { copy: Copy::Udp(_, Some(_)), .. }))
    }

    /// Counts what the kernel dropped since the last time.
    pub fn count_dropped(&mut self, now: Instant) {
        let Running::OnLoops(Socket { copy: Copy::Udp(_, Some(dropped)), .. }) = &self.running else {
            return;
        };
        let n = dropped.more();
        if n == 0 {
            return;
        }
        let counters = &self.deliver.counters;
        counters.kernel_dropped.add(usize::try_from(n).unwrap_or(usize::MAX));
        if let Some(note) = self.told_dropped.pass(now) {
            log::warn!(
                "source {}: {n} datagrams dropped by the kernel ({} so far), its receive buffer was full: \
                 receiveBufferBytes and net.core.rmem_max make room for bursts{note}",
                counters.name,
                counters.kernel_dropped.get()
            );
        }
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
    pub fn end(mut self, net: &Loops, heirs: &mut [Served]) -> Option<Leaving> {
        let (name, deliver) = (self.name().to_owned(), self.deliver);
        let how = match self.running {
            Running::Not(..) | Running::Bound(..) => return self.before.take(),
            Running::OnLoops(socket) => {
                let handed_over = heirs.iter().any(|s| s.listens_with(&socket));
                // What came to one of several ports is for that port: its connections go nowhere else.
                let several = self.parts.count > 1;
                let fits = |h: &&Served| {
                    let alike = h.name() == name && h.type_name == self.type_name && h.socket().is_some();
                    alike && (h.listens_with(&socket) || !(several || h.parts.count > 1))
                };
                let heir = heirs.iter().find(fits).map(|h| h.id);
                let until = Instant::now() + NO_HURRY;
                Ending::OnLoops(self.id, net.replace(self.id, until, handed_over, heir))
            }
            Running::OnThread(worker) => {
                worker.stop.drain();
                Ending::OnThread(worker)
            }
        };
        let leaving = Leaving { name, deliver, how };
        leaving.before_its_heir(heirs)
    }

    fn listens_with(&self, socket: &Socket) -> bool {
        match &self.running {
            Running::OnLoops(own) | Running::Bound(_, own) => own.is_at(socket),
            _ => false,
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
    /// Has the polled source of its name among `heirs` wait for it; itself, if there is none or it need not.
    pub fn before_its_heir(self, heirs: &mut [Served]) -> Option<Leaving> {
        let has_thread = matches!(self.how, Ending::OnThread(_));
        let fits = |h: &&mut Served| h.name() == self.name && h.before.is_none() && h.can_follow();
        match heirs.iter_mut().filter(|_| has_thread).find(fits) {
            Some(heir) => {
                heir.follow(self);
                None
            }
            None => Some(self),
        }
    }

    pub fn counters(&self) -> &Arc<SourceCounters> {
        &self.deliver.counters
    }

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
            *heard = net.detach(*id, deadline);
        }
    }

    /// Waits until then; `false` when it is not over.
    fn wait(&self, until: Instant) -> bool {
        match &self.how {
            Ending::OnLoops(_, heard) => heard.wait(until),
            Ending::OnThread(worker) => worker.wait(until),
        }
    }

    /// There is no more time. (The loops know their deadline.)
    fn halt(&self) {
        if let Ending::OnThread(worker) = &self.how {
            worker.stop.halt();
        }
    }
}

/// Ends sources for good, all at the same time, and those that were ending already: what their sockets hold, or what
/// their commands still say, is read and stored. Waits for it until the deadline.
pub fn stop_all(sources: Vec<Served>, mut leaving: Vec<Leaving>, net: &Loops, deadline: Instant) {
    let counters: Vec<_> = sources.iter().map(|s| s.deliver.counters.clone()).collect();
    for mut s in sources {
        s.count_dropped(Instant::now());
        leaving.extend(s.end(net, &mut []));
    }
    leaving.iter_mut().for_each(|l| l.hurry(net, deadline));
    leaving.retain(|l| !l.wait(deadline));
    leaving.iter().for_each(Leaving::halt);
    // A moment more lets them say what is lost.
    let grace = Instant::now() + GRACE;
    leaving.retain(|l| !l.wait(grace));
    counters.iter().for_each(|c| c.health.set(State::Stopped));
}
