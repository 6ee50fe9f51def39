//! The null sink: discards what it takes, and logs how much every so many events.
//!
//! Called by its sink thread only; no locks. A batch whose commit fails is counted again when it comes back.

use crate::channel::Take;
use crate::component::{Sink, SinkError, SinkParts, SinkSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};

const POSITIVE: Type = Type::Int(1, i32::MAX as i64);

pub static SPEC: SinkSpec = Spec {
    declared: Declared {
        kind: Kind::Sink,
        name: "null",
        class: "org.apache.flume.sink.NullSink",
        help: "Discards all events",
        keys: &[&[
            Key::new("batchSize", POSITIVE, Default::Is("100"), "events of one transaction, at most"),
            Key::new(
                "logEveryNEvents",
                POSITIVE,
                Default::Is("10000"),
                "log a line each time this many more events are gone",
            ),
        ]],
        batch_key: Some("batchSize"),
        check: None,
        advice: None,
        differs: &[],
    },
    build,
};

fn build(ctx: &Context, _: SinkParts) -> Box<dyn Sink> {
    Box::new(Null {
        name: ctx.name().to_owned(),
        batch_size: ctx.size("batchSize"),
        log_every: ctx.size("logEveryNEvents") as u64,
        events: 0,
    })
}

struct Null {
    name: String,
    batch_size: usize,
    log_every: u64,
    /// Discarded so far.
    events: u64,
}

impl Null {
    /// Counts more events and returns the totals to be logged.
    fn count(&mut self, more: usize) -> impl Iterator<Item = u64> {
        let (before, step) = (self.events, self.log_every);
        self.events += more as u64;
        (before / step + 1..=self.events / step).map(move |n| n * step)
    }
}

impl Sink for Null {
    fn start(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        for total in self.count(batch.len()) {
            log::info!("Null sink {} successful processed {total} events.", self.name);
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{build, problems, TestChannel};

    #[test]
    fn progress_is_logged_at_every_multiple() {
        let mut n = Null { name: "k1".into(), batch_size: 1, log_every: 10, events: 0 };
        let mut logged = |more| n.count(more).collect::<Vec<u64>>();
        assert_eq!(
            [logged(9), logged(1), logged(9), logged(21)],
            [vec![], vec![10], vec![], vec![20, 30, 40]]
        );
    }

    #[test]
    fn everything_is_discarded() {
        let (mut sink, _) = build(&SPEC, &[("batchSize", "7")]);
        assert_eq!(sink.batch_size(), 7);
        sink.start().unwrap();
        let channel = TestChannel::new(false);
        channel.put_lines(&["a", "b"]);
        let take = channel.take(7);
        sink.deliver(&take).unwrap();
        take.commit().unwrap();
        assert_eq!(channel.backlog(), 0);
        sink.stop().unwrap();
    }

    #[test]
    fn sizes_are_positive() {
        assert_eq!(problems(&SPEC, &[("batchSize", "0"), ("logEveryNEvents", "-1")]).len(), 2);
    }
}
