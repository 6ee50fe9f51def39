//! Serializers of the regex_extractor interceptor: from the text of a group to the value of a header.
//!
//! Run on the thread that delivers; they hold no state.

use crate::codec::jodaformat::JodaFormat;
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event;
use jiff::tz::TimeZone;

/// What becomes of the text of a group.
pub enum Serialized {
    /// It is the value.
    AsIs,
    Text(String),
    /// It cannot be one.
    Unusable,
}

/// Makes the value of a header of what a group matched. Shared by all threads that deliver for its source.
pub trait ExtractorSerializer: Send + Sync {
    /// `now_ms`: the time of the batch, in milliseconds since the epoch.
    fn serialize(&self, group: &str, now_ms: u64) -> Serialized;
}

pub type ExtractorSerializerSpec = Spec<fn(&Context) -> Box<dyn ExtractorSerializer>>;

pub static ALL: &[&ExtractorSerializerSpec] = &[&PASS_THROUGH, &MILLIS];

const NAME: Key = Key::new("name", Type::Header, Default::Required, "header to set");

static PASS_THROUGH: ExtractorSerializerSpec = Spec {
    declared: Declared {
        kind: Kind::ExtractorSerializer,
        name: "DEFAULT",
        class: "org.apache.flume.interceptor.RegexExtractorInterceptorPassThroughSerializer",
        help: "The text of the group",
        keys: &[&[NAME]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build: |_| Box::new(PassThrough),
};

static MILLIS: ExtractorSerializerSpec = Spec {
    declared: Declared {
        kind: Kind::ExtractorSerializer,
        name: "millis",
        class: "org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer",
        help: "The group read as a date, in milliseconds since the epoch",
        keys: &[&[
            NAME,
            Key::new(
                "pattern",
                Type::Text,
                Default::Required,
                "form of the date, in the letters of Joda-Time",
            ),
        ]],
        batch_key: None,
        check: Some(|ctx| {
            let format = ctx.text("pattern").map(JodaFormat::new);
            format.and_then(Result::err).map(|why| ("pattern", why)).into_iter().collect()
        }),
        advice: None,
        differs: &["a text that is no date leaves the header out, counted as InterceptorFailCount; Flume fails the batch"],
    },
    build: |ctx| {
        let format = JodaFormat::new(pattern(ctx)).expect("was checked");
        Box::new(Millis { format, zone: TimeZone::system() })
    },
};

fn pattern(ctx: &Context) -> &str {
    ctx.text("pattern").expect("is required")
}

/// The serializer that these settings are for, and its header.
pub fn build(ctx: &Context) -> (event::Key, Box<dyn ExtractorSerializer>) {
    let spec = ctx.spec(ALL).expect("a context is made from a spec");
    (ctx.header("name").expect("is required"), (spec.build)(ctx))
}

struct PassThrough;

impl ExtractorSerializer for PassThrough {
    fn serialize(&self, _: &str, _: u64) -> Serialized {
        Serialized::AsIs
    }
}

struct Millis {
    format: JodaFormat,
    zone: TimeZone,
}

impl ExtractorSerializer for Millis {
    fn serialize(&self, group: &str, now_ms: u64) -> Serialized {
        match self.format.parse(group, &self.zone, &|id| TimeZone::get(id).ok(), now_ms) {
            Some(ms) => Serialized::Text(ms.to_string()),
            None => Serialized::Unusable,
        }
    }
}
