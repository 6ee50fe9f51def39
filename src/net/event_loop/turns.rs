//! Turns of connections: each is counted with what it holds after its turn, waits for budget, is fed, or closed.

use super::super::budget::Grant;
use super::super::conn::{Step, Turn};
use super::*;

impl EventLoop {
    pub(super) fn step(&mut self, token: Token, now: Instant) {
        let sources = self.sources.len();
        let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) else { return };
        let Some(s) = self.sources.get_mut(source) else { return };
        let may_read = match c.grant {
            Grant::Read => std::mem::take(&mut c.grant) == Grant::Read,
            Grant::Message => true,
            Grant::None | Grant::Waits | Grant::Settles => {
                self.budget.may_read(&s.share, sources, c.wish(&self.pool))
            }
        };
        let t = Turn { pool: &self.pool, settings: &self.settings, may_read, now };
        let step = catch_unwind(AssertUnwindSafe(|| c.step(&t)))
            .unwrap_or_else(|_| Step::Closed(Some("a panic in its handling".to_owned())));
        let job = c.take_job().map(|job| (*source, job));
        self.budget.count(&mut s.share, c.charged, c.in_flight());
        c.charged = c.in_flight();
        if !c.grant.is_finisher() {
            s.share.dismiss(token);
        }
        match step {
            // What it had for the pool goes with it, and is counted.
            Step::Closed(why) => return self.close(token, why),
            Step::Again => self.enqueue(token),
            Step::Starved if std::mem::replace(&mut c.grant, Grant::Waits) != Grant::Waits => {
                s.share.wait(token, c.wish(&self.pool).halfway);
            }
            Step::Starved | Step::Wait => {}
        }
        if let Some((source, job)) = job {
            self.submit(source, token, job);
        }
        self.feed_starved();
        let Some(Entry { kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) else { return };
        if let Some(at) = c.deadline(&self.settings) {
            self.deadlines.at_latest(token, at);
        }
    }

    /// Budget came free: those who waited for it go on.
    pub(super) fn feed_starved(&mut self) {
        let sources = self.sources.len();
        let mut fed = Vec::new();
        for (id, s) in self.sources.iter_mut().filter(|(_, s)| s.share.is_waited_for()) {
            let (entries, pool) = (&mut self.entries, &self.pool);
            fed.append(&mut self.budget.feed(&mut s.share, sources, |token| match entries.get_mut(token)? {
                // It may have gone over to another source, or stand here twice.
                Entry { source, kind: Kind::Conn(c), .. } if source == id && c.grant == Grant::Waits => {
                    Some(c.wish(pool))
                }
                _ => None,
            }));
        }
        for (token, grant) in fed {
            let Some(Entry { source, kind: Kind::Conn(c), .. }) = self.entries.get_mut(token) else {
                continue;
            };
            c.grant = grant;
            if let Some(s) = self.sources.get_mut(source) {
                // A finisher's message is not counted.
                self.budget.count(&mut s.share, c.charged, c.in_flight());
                c.charged = c.in_flight();
            }
            self.enqueue(token);
        }
    }

    pub(super) fn close(&mut self, token: Token, why: Option<String>) {
        self.deadlines.forget(token);
        let Some(Entry { source, kind: Kind::Conn(mut c), .. }) = self.entries.remove(token) else { return };
        let _ = self.poll.registry().deregister(&mut c.socket);
        if let Some(s) = self.sources.get_mut(&source) {
            s.connections.remove(&token);
            s.share.dismiss(token);
            self.budget.count(&mut s.share, c.charged, 0);
            if let Some(why) = why {
                if let Some(note) = s.told.pass(Instant::now()) {
                    let name = &s.deliver.counters.name;
                    log::warn!("source {name}: connection from {} ended: {why}{note}", c.peer.addr);
                }
            }
        }
        drop(c);
        self.feed_starved();
    }
}
