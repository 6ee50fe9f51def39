//! Every component type, by the names users write: flumed's own, and those that a program adds before it starts. The only
//! module that knows all kinds.
//!
//! What is added is known by nobody but the value that it was added to, the catalog of a run: a context keeps the spec it
//! was made from ([`Context::spec`]), so that whoever builds a part of a component needs no list that all can reach.

use crate::channel::{self, ChannelSpec};
use crate::component::{ProcessorSpec, SinkSpec, SourceSpec};
use crate::config::{Added, Catalog, Context, Declared, GroupFinding, Kind, Spec, CONFIG_FILTERS};
use crate::interceptor::{self, InterceptorSpec};
use crate::selector::{self, SelectorSpec};
use crate::{processor, serializer, sink, source, unsupported};

/// The components there are.
#[derive(Default)]
pub struct Components {
    added: Vec<(&'static Declared, Added)>,
}

/// Flumed's own components.
pub fn catalog() -> &'static dyn Catalog {
    static OWN: Components = Components::new();
    &OWN
}

impl Components {
    /// Flumed's own.
    pub const fn new() -> Components {
        Components { added: Vec::new() }
    }

    /// Adds one that stands in the lists of this kind; or says why that cannot be.
    pub fn add<F: Send + Sync>(&mut self, kind: Kind, spec: &'static Spec<F>) -> Result<(), String> {
        let d = &spec.declared;
        let refuse = |why: String| Err(format!("{} {}: {why}", kind.word(), d.name));
        if d.kind != kind {
            return refuse(format!("it is declared as a {}", d.kind.word()));
        }
        if let Some(fault) = d.fault() {
            return refuse(fault);
        }
        for name in [d.name, d.class].into_iter().filter(|n| !n.is_empty()) {
            if let Some(other) = self.find(kind, name) {
                return refuse(format!("'{name}' is taken by {} ({})", other.name, other.help));
            }
        }
        self.added.push((d, spec));
        Ok(())
    }
}

impl Catalog for Components {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared> {
        self.all(kind).into_iter().find(|d| d.is_named(type_name))
    }

    fn all(&self, kind: Kind) -> Vec<&'static Declared> {
        let mut all = own(kind);
        all.extend(self.added.iter().map(|(d, _)| *d).filter(|d| d.kind == kind));
        all
    }

    fn added(&self, declared: &Declared) -> Option<Added> {
        self.added.iter().find(|(d, _)| std::ptr::eq(*d, declared)).map(|(_, spec)| *spec)
    }

    fn unsupported(&self, kind: Kind, type_name: &str) -> Option<String> {
        unsupported::component(kind, type_name)
    }

    fn unsupported_key(&self, kind: Kind, type_name: &str, key: &str) -> Option<String> {
        unsupported::key(kind, type_name, key)
    }

    fn group(&self, processor: &Context, sinks: &[String]) -> Vec<GroupFinding> {
        self::processor(processor).map_or_else(Vec::new, |s| (s.build.check)(processor, sinks))
    }
}

fn own(kind: Kind) -> Vec<&'static Declared> {
    match kind {
        Kind::Source => source::ALL.iter().map(|s| &s.declared).collect(),
        Kind::Channel => channel::ALL.iter().map(|s| &s.declared).collect(),
        Kind::Sink => sink::ALL.iter().map(|s| &s.declared).collect(),
        Kind::Interceptor => interceptor::ALL.iter().map(|s| &s.declared).collect(),
        Kind::Selector => selector::ALL.iter().map(|s| &s.declared).collect(),
        Kind::Serializer => serializer::ALL.iter().map(|s| &s.declared).collect(),
        Kind::PathManager => sink::PATH_MANAGERS.iter().map(|s| &s.declared).collect(),
        Kind::ConfigFilter => CONFIG_FILTERS.iter().map(|s| &s.declared).collect(),
        Kind::ExtractorSerializer => interceptor::EXTRACTOR_SERIALIZERS.iter().map(|s| &s.declared).collect(),
        Kind::Processor => processor::ALL.iter().map(|s| &s.declared).collect(),
        Kind::HttpHandler => source::HTTP_HANDLERS.iter().map(|s| &s.declared).collect(),
        Kind::Agent | Kind::Client => Vec::new(),
    }
}

pub fn source(ctx: &Context) -> Option<&'static SourceSpec> {
    ctx.spec(source::ALL)
}

pub fn channel(ctx: &Context) -> Option<&'static ChannelSpec> {
    ctx.spec(channel::ALL)
}

pub fn sink(ctx: &Context) -> Option<&'static SinkSpec> {
    ctx.spec(sink::ALL)
}

pub fn processor(ctx: &Context) -> Option<&'static ProcessorSpec> {
    ctx.spec(processor::ALL)
}

pub fn selector(ctx: &Context) -> Option<&'static SelectorSpec> {
    ctx.spec(selector::ALL)
}

pub fn interceptor(ctx: &Context) -> Option<&'static InterceptorSpec> {
    ctx.spec(interceptor::ALL)
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
