//! Every component type, by the names users write. The only module that knows all kinds.

use crate::channel::{self, ChannelSpec};
use crate::component::{ProcessorSpec, SinkSpec, SourceSpec};
use crate::config::{Catalog, Context, Declared, GroupFinding, Kind, CONFIG_FILTERS};
use crate::interceptor::{self, InterceptorSpec};
use crate::selector::{self, SelectorSpec};
use crate::{processor, serializer, sink, source, unsupported};

struct All;

/// The components there are.
pub fn catalog() -> &'static dyn Catalog {
    &All
}

impl Catalog for All {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared> {
        self.all(kind).into_iter().find(|d| d.is_named(type_name))
    }

    fn all(&self, kind: Kind) -> Vec<&'static Declared> {
        match kind {
            Kind::Source => source::ALL.iter().map(|s| &s.declared).collect(),
            Kind::Channel => channel::ALL.iter().map(|s| &s.declared).collect(),
            Kind::Sink => sink::ALL.iter().map(|s| &s.declared).collect(),
            Kind::Interceptor => interceptor::ALL.iter().map(|s| &s.declared).collect(),
            Kind::Selector => selector::ALL.iter().map(|s| &s.declared).collect(),
            Kind::Serializer => serializer::ALL.iter().map(|s| &s.declared).collect(),
            Kind::PathManager => sink::PATH_MANAGERS.iter().map(|s| &s.declared).collect(),
            Kind::ConfigFilter => CONFIG_FILTERS.iter().map(|s| &s.declared).collect(),
            Kind::ExtractorSerializer => {
                interceptor::EXTRACTOR_SERIALIZERS.iter().map(|s| &s.declared).collect()
            }
            Kind::Processor => processor::ALL.iter().map(|s| &s.declared).collect(),
            Kind::HttpHandler => source::HTTP_HANDLERS.iter().map(|s| &s.declared).collect(),
            Kind::Agent | Kind::Client => Vec::new(),
        }
    }

    fn unsupported(&self, kind: Kind, type_name: &str) -> Option<String> {
        unsupported::component(kind, type_name)
    }

    fn unsupported_key(&self, kind: Kind, type_name: &str, key: &str) -> Option<String> {
        unsupported::key(kind, type_name, key)
    }

    fn group(&self, processor: &Context, sinks: &[String]) -> Vec<GroupFinding> {
        self::processor(processor.declared()).map_or_else(Vec::new, |s| (s.build.check)(processor, sinks))
    }
}

pub fn source(d: &Declared) -> Option<&'static SourceSpec> {
    source::ALL.iter().copied().find(|s| s.declared.name == d.name)
}

pub fn channel(d: &Declared) -> Option<&'static ChannelSpec> {
    channel::ALL.iter().copied().find(|s| s.declared.name == d.name)
}

pub fn sink(d: &Declared) -> Option<&'static SinkSpec> {
    sink::ALL.iter().copied().find(|s| s.declared.name == d.name)
}

pub fn processor(d: &Declared) -> Option<&'static ProcessorSpec> {
    processor::ALL.iter().copied().find(|s| s.declared.name == d.name)
}

pub fn selector(d: &Declared) -> Option<&'static SelectorSpec> {
    selector::ALL.iter().copied().find(|s| s.declared.name == d.name)
}

pub fn interceptor(d: &Declared) -> Option<&'static InterceptorSpec> {
    interceptor::ALL.iter().copied().find(|s| s.declared.name == d.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::context;

    const KINDS: [Kind; 11] = [
        Kind::Source,
        Kind::Channel,
        Kind::Sink,
        Kind::Interceptor,
        Kind::Selector,
        Kind::Serializer,
        Kind::PathManager,
        Kind::ConfigFilter,
        Kind::ExtractorSerializer,
        Kind::Processor,
        Kind::HttpHandler,
    ];

    /// Each key alone, and all of them, missing and no good: no check takes for granted that they are there.
    #[test]
    fn checks_stand_what_did_not_parse() {
        let mut seen = 0;
        for declared in KINDS.into_iter().flat_map(|kind| catalog().all(kind)) {
            let all: Vec<(&str, &str)> = declared.all_keys().map(|k| (k.name, "no ( good")).collect();
            let mut judged = vec![context(declared, catalog(), &all), context(declared, catalog(), &[])];
            for one in &all {
                let others: Vec<(&str, &str)> = all.iter().copied().filter(|other| other != one).collect();
                judged.push(context(declared, catalog(), &others));
                judged.push(context(declared, catalog(), &[*one]));
            }
            seen += judged.iter().filter(|j| j.is_err()).count();
        }
        assert!(seen > 50, "{seen}");
    }
}
