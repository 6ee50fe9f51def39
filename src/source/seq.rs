//! The sequence generator: events whose bodies are 0, 1, 2 and so on, for trials and load.
//!
//! Polled by its own thread. A full channel makes it wait (Flume tries again at once, for ever, at full load).

use crate::codec::BatchLimits;
use crate::component::{PollableSource, Polled, Source, SourceError, SourceParts, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{Batch, Body};

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "seq",
        class: "org.apache.flume.source.SequenceGeneratorSource",
        help: "Counts: bodies are 0, 1, 2 ...",
        keys: &[
            &[
                Key::new("batchSize", super::COUNT, Default::Is("1"), "events of one transaction"),
                Key::new(
                    "totalEvents",
                    Type::Int(0, i64::MAX),
                    Default::Is("9223372036854775807"),
                    "how many events there will be",
                ),
            ],
            super::PAUSES,
        ],
        batch_key: Some("batchSize"),
        check: None,
        advice: None,
        differs: &["waits for room where a channel is full; Flume tries again at once, at full load"],
    },
    build,
};

fn build(ctx: &Context) -> Source {
    let total = ctx.int("totalEvents").and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let seq = Sequence { digits: vec![b'0'], left: total, batch: ctx.size("batchSize") };
    Source::Polled { source: Box::new(seq), pauses: super::pauses(ctx) }
}

struct Sequence {
    /// The next number, in decimal.
    digits: Vec<u8>,
    left: u64,
    batch: usize,
}

impl Sequence {
    /// Counts on in the text itself: most steps change its last byte only.
    fn advance(&mut self) {
        for d in self.digits.iter_mut().rev() {
            if *d < b'9' {
                *d += 1;
                return;
            }
            *d = b'0';
        }
        self.digits.insert(0, b'1');
    }
}

impl PollableSource for Sequence {
    fn start(&mut self, _: &SourceParts) -> Result<(), SourceError> {
        Ok(())
    }

    fn poll(&mut self, limits: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError> {
        let n = self.left.min(self.batch.min(limits.events) as u64);
        batch.reserve(n as usize, 0);
        for _ in 0..n {
            batch.push(Body::Copy(&self.digits));
            self.advance();
        }
        self.left -= n;
        Ok(if n == 0 { Polled::Idle } else { Polled::Ready })
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

    fn poll(source: &mut dyn PollableSource, most: usize) -> Vec<String> {
        let mut batch = Batch::new();
        let limits = BatchLimits { events: most, bytes: usize::MAX };
        let polled = source.poll(limits, &mut batch).unwrap();
        assert_eq!(polled == Polled::Idle, batch.is_empty());
        batch.iter().map(|e| String::from_utf8(e.body().to_vec()).unwrap()).collect()
    }

    fn source(keys: &[(&str, &str)]) -> Box<dyn PollableSource> {
        match build(&context(&SPEC.declared, &Known, keys).unwrap()) {
            Source::Polled { source, .. } => source,
            _ => panic!("not polled"),
        }
    }

    #[test]
    fn counts_across_carries_in_batches() {
        let mut s = source(&[("batchSize", "60")]);
        let got: Vec<String> = (0..40).flat_map(|_| poll(s.as_mut(), 25)).collect();
        let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        assert_eq!(got, expected);
        assert_eq!(poll(s.as_mut(), 100).len(), 60);
    }

    #[test]
    fn ends_at_the_total_and_idles() {
        let mut s = source(&[("batchSize", "2"), ("totalEvents", "3")]);
        assert_eq!(poll(s.as_mut(), 100), ["0", "1"]);
        assert_eq!(poll(s.as_mut(), 100), ["2"]);
        assert_eq!(poll(s.as_mut(), 100), [""; 0]);
    }
}
