//! Added components: as good as flumed's own, and refused where their names or declarations are not.

use super::*;
use crate::channel::Take;
use crate::component::{Sink, SinkError, SinkParts};
use crate::config::{Context, Declared, Default, Key, Problems, RunOptions, Text, Type};
use crate::event::EventRef;
use crate::serializer::{self, Output, Serializer};

struct Reverse;

impl Serializer for Reverse {
    fn write(&mut self, event: EventRef<'_>, out: &mut dyn Output) {
        let mut body = event.body().to_vec();
        body.reverse();
        out.put(&body);
    }
}

static REVERSE: SerializerSpec = Spec::new(
    Declared::new(Kind::Serializer, "reverse", "bodies backwards").class("com.example.Reverse$Builder"),
    |_| Box::new(Reverse),
);

struct Shout(Box<dyn Serializer>);

impl Sink for Shout {
    fn start(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
    fn batch_size(&self) -> usize {
        7
    }
    fn deliver(&mut self, _: &Take) -> Result<(), SinkError> {
        self.0.end_batch(&mut Vec::new());
        Ok(())
    }
    fn stop(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

const KEYS: &[Key] =
    &[Key::new("form", Type::Component(Kind::Serializer), Default::Is("reverse"), "form of what is said")];

static SHOUT: SinkSpec = Spec::new(
    Declared::new(Kind::Sink, "shout", "Says it loudly").keys(&[KEYS]),
    |ctx: &Context, _: SinkParts| Box::new(Shout(serializer::build(ctx.component("form")))),
);

/// All that is said of a configuration whose sink has this type and these lines.
fn findings(flumed: &Flumed, kind: &str, more: &str) -> Vec<String> {
    let text = format!(
        "a.sources = r\na.channels = c\na.sinks = k\na.sources.r.type = seq\na.sources.r.channels = c\n\
         a.channels.c.type = memory\na.sinks.k.channel = c\na.sinks.k.type = {kind}\n{more}"
    );
    let mut problems = Problems::default();
    let texts = [Text { file: "f".into(), bytes: text.into_bytes() }];
    let components = flumed.components().unwrap();
    let plan =
        crate::config::load(&texts, "a", &RunOptions::default(), components, &agent::DECLARED, &mut problems);
    if let Some(plan) = plan.filter(|_| problems.is_empty()) {
        let context = &plan.sinks[0].planned.context;
        let parts = SinkParts { counters: crate::counters::SinkCounters::new("k") };
        let sink = (crate::registry::sink(context).unwrap().build)(context, parts);
        assert_eq!(sink.batch_size(), 7);
    }
    problems.sorted().iter().map(|p| p.to_string()).collect()
}

#[test]
fn added_components_are_as_good_as_flumeds() {
    let flumed = Flumed::new().sink(&SHOUT).serializer(&REVERSE);
    for (kind, more) in [
        ("shout", ""),
        ("SHOUT", "a.sinks.k.form = com.example.Reverse\n"),
        ("shout", "a.sinks.k.form = text\na.sinks.k.form.appendNewline = false\n"),
    ] {
        assert_eq!(findings(&flumed, kind, more), [""; 0], "{kind} {more}");
    }
    let of = |kind, more| findings(&flumed, kind, more).join("\n");
    assert!(of("shuot", "").contains("did you mean shout?"), "{}", of("shuot", ""));
    assert!(of("shout", "a.sinks.k.fomr = text\n").contains("did you mean form?"));
    assert!(of("shout", "a.sinks.k.form = revers\n").contains("did you mean reverse?"));
    assert!(of("com.example.Other", "").contains("Java class"));
    assert!(findings(&Flumed::new(), "shout", "").join("\n").contains("unknown sink type 'shout'"));
}

#[test]
fn what_is_taken_or_wrong_is_refused() {
    static NULL: SinkSpec = Spec::new(Declared::new(Kind::Sink, "Null", "mine"), SHOUT.build);
    static CLASS: SinkSpec = Spec::new(
        Declared::new(Kind::Sink, "mine", "mine").class("org.apache.flume.sink.NullSink"),
        SHOUT.build,
    );
    static HIVE: SinkSpec = Spec::new(
        Declared::new(Kind::Sink, "hive", "mine").class("org.apache.flume.sink.hive.HiveSink"),
        SHOUT.build,
    );
    static KIND: SinkSpec = Spec::new(Declared::new(Kind::Source, "mine", "mine"), SHOUT.build);
    static KEYS: SinkSpec = Spec::new(
        Declared::new(Kind::Sink, "mine", "mine").keys(&[&[Key::new(
            "n",
            Type::Int(1, 9),
            Default::Is("10"),
            "a number",
        )]]),
        SHOUT.build,
    );
    static BATCH: SinkSpec =
        Spec::new(Declared::new(Kind::Sink, "mine", "mine").batch_key("batchSize"), SHOUT.build);
    static BLANK: SinkSpec = Spec::new(Declared::new(Kind::Sink, "my sink", "mine"), SHOUT.build);
    for (spec, why) in [
        (&NULL, "sink Null: 'Null' is taken by null (Discards all events)"),
        (&CLASS, "sink mine: 'org.apache.flume.sink.NullSink' is taken by null (Discards all events)"),
        (&KIND, "sink mine: it is declared as a source"),
        (&KEYS, "sink mine: the default of its key 'n': 10 is out of range, expected 1 to 9"),
        (&BATCH, "sink mine: its batch key 'batchSize' is not among its keys"),
        (&BLANK, "sink my sink: its name is empty, or has blanks in it"),
        (&SHOUT, "sink shout: 'shout' is taken by shout (Says it loudly)"),
    ] {
        let wrong = Flumed::new().sink(&SHOUT).sink(spec).components().err().map(<[String]>::to_vec);
        assert_eq!(wrong, Some(vec![why.to_owned()]));
    }
    assert!(Flumed::new().sink(&SHOUT).sink(&HIVE).components().is_ok(), "flumed has none");
}

#[test]
fn flumeds_own_declarations_are_sound() {
    let own = crate::registry::catalog();
    for kind in [Kind::Source, Kind::Channel, Kind::Sink, Kind::Interceptor, Kind::Serializer] {
        for d in own.all(kind) {
            assert_eq!(d.fault(), None, "{} {}", kind.word(), d.name);
        }
    }
}
