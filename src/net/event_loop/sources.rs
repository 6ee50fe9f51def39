//! Sources on the loops: attached, accepting, detached.
//!
//! A source has a home: the loop that owns its listener or datagram socket. Connections accepted there go to all loops
//! in turn; each serves its own. A source's end passes through its home too, so that every loop hears of it after the
//! last connection that was handed to it.

use super::super::budget::Grant;
use super::super::conn::Heir;
use super::super::handle::Detach;
use super::super::listener::Accepted;
use super::super::source::Attach;
use super::super::{plain_ip, Peer, Protocol};
use super::*;
use crate::channel::Wake;
use crate::counters::State;
use crate::deliver::Deliver;
use mio::net::TcpStream;
use mio::Interest;
use std::net::SocketAddr;

/// Turns of accepting when a source stops: more than its backlog holds.
const BACKLOG_TURNS: usize = 64;

impl EventLoop {
    /// A turn of a listener; `true` when more may wait.
    pub(super) fn accept(&mut self, token: Token, now: Instant) -> bool {
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
        // The last ones stay here: the other loops are told of the end right after.
        let shared = s.detach.is_none() && self.all.len() > 1;
        for (socket, addr) in fresh {
            if shared {
                self.next = (self.next + 1) % self.all.len();
            }
            if shared && self.next != self.index {
                self.all[self.next].send(Command::Adopt(source, socket, addr));
            } else {
                self.admit(source, socket, addr, now);
            }
        }
        matches!(accepted, Accepted::More)
    }

    pub(super) fn admit(&mut self, source: SourceId, mut socket: TcpStream, addr: SocketAddr, now: Instant) {
        let Some(s) = self.sources.get_mut(&source) else { return };
        let counters = &s.deliver.counters;
        let most = i64::try_from(self.settings.max_connections).unwrap_or(i64::MAX);
        let token = self.entries.next_token().filter(|_| counters.open_connections.add_one_below(most));
        let Some(token) = token else {
            let open = counters.open_connections.get();
            counters.connection_refused.one();
            if s.refusal_logged.is_none_or(|t| now.duration_since(t) > Duration::from_secs(10)) {
                s.refusal_logged = Some(now);
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
            counters.open_connections.add(-1);
            return;
        }
        let wake: Arc<dyn Wake> = Arc::new(ConnWake { shared: self.shared.clone(), token });
        let is_local = Peer::is_local(addr, socket.local_addr().ok());
        let peer = Peer { addr, name: None, is_local };
        let mut conn = Box::new(Conn::new(socket, peer, wake, s.deliver.clone(), now));
        if let Some(protocol) = &s.protocol {
            if protocol.wants_peer_name() {
                ask_name(&self.names, &self.shared, token, addr);
            } else {
                conn.open(protocol.as_ref(), None);
            }
        }
        s.connections.insert(token);
        self.entries.insert(Entry { source, queued: false, kind: Kind::Conn(conn) });
        self.enqueue(token);
    }

    pub(super) fn attach(&mut self, id: SourceId, attach: Attach) {
        let Some(token) = self.entries.next_token() else {
            let (Attach::Stream { deliver, .. } | Attach::Datagram { deliver, .. }) = attach;
            deliver.counters.health.set(State::Failed("too many connections are open".into()));
            log::error!("source {}: cannot be served, too many connections are open", deliver.counters.name);
            return;
        };
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
        self.sources.insert(id, SourceState::new(protocol, deliver, Some(token)));
        self.enqueue(token);
    }

    /// Connections of a source that has its home elsewhere will come.
    pub(super) fn serve_for(&mut self, id: SourceId, protocol: Arc<dyn Protocol>, deliver: Arc<Deliver>) {
        self.sources.insert(id, SourceState::new(Some(protocol), deliver, None));
    }

    /// Ends a source, or gives one that is ending another deadline.
    pub(super) fn detach(&mut self, d: Detach) {
        self.end(&d);
        if self.index == d.source.home(self.all.len()) {
            for (_, other) in self.all.iter().enumerate().filter(|(i, _)| *i != self.index) {
                other.send(Command::Detach(d.clone()));
            }
        }
    }

    fn end(&mut self, d: &Detach) {
        let now = Instant::now();
        let (source, deadline) = (d.source, d.deadline);
        let Some(s) = self.sources.get_mut(&source) else { return };
        s.detach = Some((deadline, d.done.clone()));
        // What waits in the backlog or the datagram buffer was accepted by the kernel: it is read once more.
        let home = s.socket.and_then(|t| Some((t, self.entries.get_mut(t)?)));
        match home.map(|(t, e)| (t, &mut e.kind)) {
            Some((socket, Kind::Listener(_))) => {
                // With another source on the same listener, those who wait are its.
                let turns = if d.handed_over { 0 } else { BACKLOG_TURNS };
                for _ in 0..turns {
                    if !self.accept(socket, now) {
                        break;
                    }
                }
                if let Some(Entry { kind: Kind::Listener(mut l), .. }) = self.entries.remove(socket) {
                    let _ = self.poll.registry().deregister(&mut l.socket);
                }
                self.deadlines.forget(socket);
            }
            Some((socket, Kind::Datagrams(d))) => {
                d.stop();
                self.enqueue(socket);
                self.deadlines.at_latest(socket, deadline);
            }
            _ => {}
        }
        let open: Vec<Token> =
            self.sources.get(&source).map_or(Vec::new(), |s| s.connections.iter().copied().collect());
        let heir = d.heir.and_then(|id| Some((id, self.sources.get(&id)?)));
        let heir = heir.and_then(|(id, s)| Some((id, s.protocol.clone()?, s.deliver.clone())));
        for token in open {
            if let Some((id, protocol, deliver)) = &heir {
                let how =
                    Heir { protocol: protocol.clone(), deliver: deliver.clone(), _done: d.done.clone() };
                self.carry_over(token, source, *id, how);
            } else if let Some(Entry { kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) {
                c.stop(deadline);
                // The edge for what is there may be long gone.
                c.intake.readable = true;
            }
            self.enqueue(token);
        }
    }

    /// From now on a connection is another source's; it changes over when it is through with what it has.
    fn carry_over(&mut self, token: Token, from: SourceId, to: SourceId, how: Heir) {
        let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) else { return };
        *source = to;
        if let Some(s) = self.sources.get_mut(&from) {
            s.connections.remove(&token);
            s.share.dismiss(token);
            self.budget.count(&mut s.share, c.charged, 0);
        }
        // It stood in the old one's line, or was its finisher.
        c.grant = Grant::None;
        c.charged = c.in_flight();
        if let Some(s) = self.sources.get_mut(&to) {
            s.connections.insert(token);
            self.budget.count(&mut s.share, 0, c.charged);
        }
        c.intake.readable = true;
        if how.protocol.wants_peer_name() && c.peer.name.is_none() && !c.is_naming() {
            ask_name(&self.names, &self.shared, token, c.peer.addr);
        }
        c.carry_over(how);
    }

    /// Ends detached sources whose last connection is gone.
    pub(super) fn reap(&mut self) {
        if self.sources.values().all(|s| s.detach.is_none()) {
            return;
        }
        let now = Instant::now();
        let mut over = Vec::new();
        for (id, s) in &self.sources {
            let Some((deadline, _)) = &s.detach else { continue };
            let settled = match s.socket.and_then(|t| self.entries.get_mut(t)).map(|e| &e.kind) {
                Some(Kind::Datagrams(d)) => d.is_settled() || *deadline <= now,
                _ => true,
            };
            if settled && s.connections.is_empty() {
                over.push(*id);
            }
        }
        for id in over {
            let Some(mut s) = self.sources.remove(&id) else { continue };
            let Some(socket) = s.socket else { continue };
            if let Some(Entry { kind: Kind::Datagrams(mut d), .. }) = self.entries.remove(socket) {
                let _ = self.poll.registry().deregister(&mut d.socket);
                self.budget.count(&mut s.share, d.charged, 0);
            }
            self.deadlines.forget(socket);
        }
    }
}

/// Asks for the name of a connection's peer; it comes as a command.
fn ask_name(names: &Names, shared: &Arc<Shared>, token: Token, addr: SocketAddr) {
    let shared = shared.clone();
    names.ask(plain_ip(addr.ip()), move |name| shared.send(Command::Named(token, name)));
}
