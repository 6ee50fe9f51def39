//! The stdout sink: events to the standard output, in the form of a serializer.
//!
//! Called by its own thread, `sink:<name>`, which takes a batch, has it delivered, and commits. It may block: a reader that
//! does not read holds the channel up, and nothing is lost.

use flumed::channel::Take;
use flumed::component::{Sink, SinkError, SinkParts, SinkSpec};
use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use flumed::serializer::{self, Serializer};
use std::io::{self, Write};

const KEYS: &[Key] = &[
    Key::new(
        "batchSize",
        Type::Int(1, i32::MAX as i64),
        Default::Is("100"),
        "events of one transaction, at most",
    ),
    Key::new("serializer", Type::Component(Kind::Serializer), Default::Is("TEXT"), "form of the output"),
];

pub static SPEC: SinkSpec = Spec::new(
    Declared::new(Kind::Sink, "stdout", "Events to the standard output")
        .class("com.acme.flume.StdoutSink")
        .keys(&[KEYS])
        .batch_key("batchSize"),
    |ctx, _: SinkParts| Box::new(Stdout::new(ctx, Box::new(io::stdout()))),
);

struct Stdout {
    batch_size: usize,
    serializer: Box<dyn Serializer>,
    to: Box<dyn Write + Send>,
}

impl Stdout {
    fn new(ctx: &Context, to: Box<dyn Write + Send>) -> Stdout {
        let serializer = serializer::build(ctx.component("serializer"));
        Stdout { batch_size: ctx.size("batchSize"), serializer, to }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let written = self.to.write_all(bytes).and_then(|()| self.to.flush());
        // Whoever reads is at fault, not the events: they are tried again, and never become dead letters.
        written.map_err(|e| SinkError::destination(format!("standard output: {e}")))
    }
}

impl Sink for Stdout {
    fn start(&mut self) -> Result<(), SinkError> {
        let mut bytes = Vec::new();
        self.serializer.begin(&mut bytes);
        self.write(&bytes)
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
        let mut bytes = Vec::new();
        self.serializer.write_all(&mut batch.events(), &mut bytes);
        self.serializer.end_batch(&mut bytes);
        self.write(&bytes)
    }

    fn stop(&mut self) -> Result<(), SinkError> {
        let mut bytes = Vec::new();
        self.serializer.end(&mut bytes);
        self.write(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::component::Fault;
    use flumed::event::Batch;
    use flumed::testing::{push, settings, take};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, std::default::Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn two() -> Take {
        let mut batch = Batch::new();
        push(&mut batch, &[("host", "a")], "one");
        push(&mut batch, &[], "two");
        take(batch)
    }

    #[test]
    fn events_come_in_the_form_asked_for() {
        for (lines, out) in
            [("", "one\ntwo\n"), ("serializer = tsv\nserializer.headers = host", "a\tone\n\ttwo\n")]
        {
            let (paper, ctx) = (Paper::default(), settings(&crate::acme(), &SPEC.declared, lines).unwrap());
            let mut sink = Stdout::new(&ctx, Box::new(paper.clone()));
            sink.start().unwrap();
            sink.deliver(&two()).unwrap();
            sink.stop().unwrap();
            assert_eq!(String::from_utf8(paper.0.lock().unwrap().clone()).unwrap(), out);
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_fault_of_the_events() {
        let (reader, writer) = io::pipe().unwrap();
        let ctx = settings(&crate::acme(), &SPEC.declared, "").unwrap();
        let mut sink = Stdout::new(&ctx, Box::new(writer));
        drop(reader);
        assert_eq!(sink.deliver(&two()).unwrap_err().fault, Fault::Destination);
    }
}
