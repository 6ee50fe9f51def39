//! What goes to the pool, and what comes back from there as a command.
//!
//! A token carries a generation: what comes back for a connection that is gone finds nothing, and was counted when that
//! went.

use super::super::job::{Done, Job, Undone};
use super::*;

const PANIC: Undone = "a panic in its handling";

impl EventLoop {
    /// Has the pool do a job for who is behind `token`.
    pub(super) fn submit(&mut self, source: SourceId, token: Token, job: Job) {
        let (shared, counters) = (self.shared.clone(), job.deliver.counters.clone());
        let run = move || {
            let done = catch_unwind(AssertUnwindSafe(|| job.run())).map_err(|_| PANIC);
            shared.send(Command::Done(token, done));
        };
        if let Err(e) = self.threads.submit(source, &counters, run) {
            log::error!("source {}: no thread for what may block: {e}", counters.name);
            self.commands.push_back(Command::Done(token, Err("there is no thread for its work")));
        }
    }

    pub(super) fn bring_back(&mut self, token: Token, done: Result<Done, Undone>) {
        match (self.entries.get_mut(token).map(|e| &mut e.kind), done) {
            (Some(Kind::Conn(c)), Ok(done)) => c.bring_back(done),
            (Some(Kind::Conn(_)), Err(why)) => return self.close(token, Some(why.to_owned())),
            (Some(Kind::Datagrams(d)), done) => d.bring_back(done),
            _ => return,
        }
        self.enqueue(token);
    }
}
