//! The stress source: events of one size, as fast or at the rate that is wanted, for load tests.
//!
//! Polled by its own thread. A full channel makes it wait (Flume counts the batch as failed and makes another).

use crate::codec::BatchLimits;
use crate::component::{PollableSource, Polled, Source, SourceError, SourceParts, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{Batch, Body};
use crate::lifecycle::Stop;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No limit.
const ENDLESS: i64 = -1;

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "stress",
        class: "org.apache.flume.source.StressSource",
        help: "Equal events at full speed or at a rate, for load tests",
        keys: &[
            &[
                Key::new(
                    "size",
                    Type::Int(0, 1 << 26),
                    Default::Is("500"),
                    "bytes of a body, each of them 0x7F",
                ),
                Key::new("batchSize", super::COUNT, Default::Is("1"), "events of one transaction"),
                Key::new(
                    "maxTotalEvents",
                    Type::Int(ENDLESS, i64::MAX),
                    Default::Is("-1"),
                    "how many events there will be; -1 = no limit",
                ),
                Key::new(
                    "maxSuccessfulEvents",
                    Type::Int(ENDLESS, i64::MAX),
                    Default::Is("-1"),
                    "how many events will be stored; -1 = no limit",
                ),
                Key::new(
                    "maxEventsPerSecond",
                    Type::Int(0, i32::MAX as i64),
                    Default::Is("0"),
                    "rate; 0 = as fast as the channels take them",
                ),
            ],
            super::PAUSES,
        ],
        batch_key: Some("batchSize"),
        check: None,
        advice: None,
        differs: &[
            "waits for room where a channel is full; Flume counts the batch as failed and makes another",
        ],
    },
    build,
};

fn build(ctx: &Context) -> Source {
    let limit = |key| ctx.int(key).and_then(|n| u64::try_from(n).ok());
    // Every batch is stored or waited for, so both limits count the same events.
    let left = [limit("maxTotalEvents"), limit("maxSuccessfulEvents")].into_iter().flatten().min();
    let stress = Stress {
        body: vec![0x7F; ctx.size("size")],
        batch: ctx.size("batchSize"),
        left: left.unwrap_or(u64::MAX),
        rate: ctx.size("maxEventsPerSecond") as f64,
        due: Instant::now(),
        stop: Arc::default(),
    };
    Source::Polled { source: Box::new(stress), pauses: super::pauses(ctx) }
}

struct Stress {
    body: Vec<u8>,
    batch: usize,
    left: u64,
    /// Events per second; 0: no limit.
    rate: f64,
    /// When the next batch may go.
    due: Instant,
    stop: Arc<Stop>,
}

impl PollableSource for Stress {
    fn start(&mut self, parts: &SourceParts) -> Result<(), SourceError> {
        self.stop = parts.stop.clone();
        self.due = Instant::now();
        Ok(())
    }

    fn poll(&mut self, limits: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError> {
        let n = self.left.min(self.batch.min(limits.events) as u64) as usize;
        if n == 0 {
            return Ok(Polled::Idle);
        }
        if self.rate > 0.0 {
            let now = Instant::now();
            if self.due > now {
                self.stop.pause(self.due - now);
                return Ok(Polled::Ready);
            }
            // A time in which the channels were full is not made up for.
            self.due = self.due.max(now - Duration::from_secs(1).min(now - self.due));
            self.due += Duration::from_secs_f64(n as f64 / self.rate);
        }
        batch.reserve(n, 0);
        // One copy of the body serves the whole batch.
        let body = batch.store(&self.body);
        for _ in 0..n {
            batch.push(Body::At(body));
        }
        self.left -= n as u64;
        Ok(Polled::Ready)
    }

    fn can_repeat(&self) -> bool {
        true
    }

    fn stop(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{context, Known};
    use crate::counters::SourceCounters;

    fn source(keys: &[(&str, &str)]) -> Box<dyn PollableSource> {
        match build(&context(&SPEC.declared, &Known, keys).unwrap()) {
            Source::Polled { source, .. } => source,
            _ => panic!("not polled"),
        }
    }

    fn poll(source: &mut dyn PollableSource) -> Vec<Vec<u8>> {
        let mut batch = Batch::new();
        source.poll(BatchLimits { events: 100, bytes: usize::MAX }, &mut batch).unwrap();
        batch.iter().map(|e| e.body().to_vec()).collect()
    }

    #[test]
    fn bodies_have_their_size_and_both_limits_hold() {
        let mut s = source(&[
            ("size", "3"),
            ("batchSize", "4"),
            ("maxTotalEvents", "9"),
            ("maxSuccessfulEvents", "6"),
        ]);
        assert_eq!(poll(s.as_mut()), vec![vec![0x7F; 3]; 4]);
        assert_eq!(poll(s.as_mut()).len(), 2);
        assert!(poll(s.as_mut()).is_empty());
    }

    #[test]
    fn a_rate_spaces_the_batches() {
        let mut s = source(&[("batchSize", "10"), ("maxEventsPerSecond", "1000")]);
        let began = Instant::now();
        s.start(&SourceParts { stop: Arc::default(), counters: SourceCounters::new("r1") }).unwrap();
        let mut n = 0;
        while n < 110 {
            n += poll(s.as_mut()).len();
        }
        assert!(began.elapsed() >= Duration::from_millis(99), "{:?}", began.elapsed());
    }
}
