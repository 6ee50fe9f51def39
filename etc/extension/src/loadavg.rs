//! The loadavg source, a pollable one: what the kernel says of the machine's load, an event each time.
//!
//! Called by its own thread, `source:<name>`, which stores what a poll brings and pauses where that is `Idle`. What could
//! not be stored when the agent stops is gone, and counted: the load of then can be read no more.

use flumed::clock::now_ms;
use flumed::codec::BatchLimits;
use flumed::component::{Pauses, PollableSource, Polled, Source, SourceError, SourceParts, SourceSpec};
use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use flumed::event::{self, Batch, Body};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

const KEYS: &[Key] = &[
    Key::new("path", Type::Path, Default::Is("/proc/loadavg"), "file that says it"),
    Key::new(
        "interval",
        Type::Millis(1, 86_400_000),
        Default::Is("10000"),
        "milliseconds from one look to the next",
    ),
];

pub static SPEC: SourceSpec = Spec::new(
    Declared::new(Kind::Source, "loadavg", "The load of the machine, again and again")
        .class("com.acme.flume.LoadAverageSource")
        .keys(&[KEYS]),
    build,
);

fn build(ctx: &Context) -> Source {
    let path = ctx.text("path").expect("has a default").into();
    let interval = ctx.duration("interval").expect("has a default");
    Source::Polled {
        source: Box::new(LoadAverage { path }),
        pauses: Pauses { step: interval, most: interval },
    }
}

struct LoadAverage {
    path: PathBuf,
}

/// More than any such file has: what else the path may name is not read whole.
const LONGEST: u64 = 4096;

impl LoadAverage {
    fn read(&self) -> Result<Vec<u8>, SourceError> {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|f| f.take(LONGEST).read_to_end(&mut text));
        read.map_err(|e| SourceError(format!("{}: {e}", self.path.display())))?;
        text.truncate(text.trim_ascii_end().len());
        Ok(text)
    }
}

impl PollableSource for LoadAverage {
    /// Asked again, with growing pauses, until the file can be read.
    fn start(&mut self, _: &SourceParts) -> Result<(), SourceError> {
        self.read().map(|_| ())
    }

    fn poll(&mut self, _: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError> {
        batch.push(Body::Copy(&self.read()?));
        let now = batch.store(now_ms().to_string().as_bytes());
        batch.push_header(event::Key::TIMESTAMP, now);
        Ok(Polled::Idle)
    }

    fn can_repeat(&self) -> bool {
        false
    }

    fn stop(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::counters::SourceCounters;
    use flumed::lifecycle::Stop;
    use flumed::testing::{settings, shown, WIDE};
    use flumed::Flumed;
    use std::sync::Arc;

    fn source(lines: &str) -> Box<dyn PollableSource> {
        let Source::Polled { source, .. } = build(&settings(&Flumed::new(), &SPEC.declared, lines).unwrap())
        else {
            panic!("it is polled")
        };
        source
    }

    fn parts() -> SourceParts {
        SourceParts::new(Arc::new(Stop::default()), SourceCounters::new("r1"))
    }

    #[test]
    fn a_poll_brings_one_line_and_when_it_was_so() {
        let mut source = source("path = Cargo.toml");
        source.start(&parts()).unwrap();
        let mut batch = Batch::new();
        assert_eq!(source.poll(WIDE, &mut batch).unwrap(), Polled::Idle);
        let shown = shown(&batch);
        assert!(shown.len() == 1 && shown[0].starts_with("timestamp=1"), "{shown:?}");
        assert!(!shown[0].ends_with('\n'));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_failed_start() {
        let why = source("path = nowhere").start(&parts()).unwrap_err();
        assert!(why.to_string().starts_with("nowhere: No such file"), "{why}");
    }
}
