//! For tests of interceptors: builds one from settings, and shows events as text.

use super::{Interceptor, InterceptorSpec, EXTRACTOR_SERIALIZERS};
use crate::config::{Catalog, Context, Declared, Kind, Place, Problems, Property};
use crate::counters::SourceCounters;
use crate::event::{Batch, Body, Key};
use std::sync::Arc;

struct Serializers;

impl Catalog for Serializers {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared> {
        self.all(kind).into_iter().find(|d| d.is_named(type_name))
    }
    fn all(&self, kind: Kind) -> Vec<&'static Declared> {
        let all = EXTRACTOR_SERIALIZERS.iter().map(|s| &s.declared);
        all.filter(|d| d.kind == kind).collect()
    }
    fn unsupported(&self, _: Kind, _: &str) -> Option<String> {
        None
    }
}

fn parse(spec: &'static InterceptorSpec, conf: &[(&str, &str)]) -> (Option<Context>, Problems) {
    let place = |line| Place { file: "f".into(), line };
    let properties: Vec<Property> =
        conf.iter().zip(1..).map(|((k, v), line)| Property::new(*k, *v, place(line))).collect();
    let mut problems = Problems::default();
    let c = Context::parse(&spec.declared, "a1.i1", &place(0), &properties, &[], &Serializers, &mut problems);
    (c.ok(), problems)
}

/// An interceptor with these settings, which are right, and the counters of its source.
#[track_caller]
pub fn build(
    spec: &'static InterceptorSpec,
    conf: &[(&str, &str)],
) -> (Box<dyn Interceptor>, Arc<SourceCounters>) {
    let (ctx, problems) = parse(spec, conf);
    let ctx = ctx.unwrap_or_else(|| panic!("{:?}", problems.sorted()));
    let counters = SourceCounters::new("r1");
    ((spec.build)(&ctx, &counters), counters)
}

/// What is said of these settings; setting n stands on line n.
pub fn errors(spec: &'static InterceptorSpec, conf: &[(&str, &str)]) -> Vec<String> {
    parse(spec, conf).1.sorted().iter().map(|p| p.to_string()).collect()
}

/// A batch of one event.
pub fn one(body: &[u8], headers: &[(&str, &str)]) -> Batch {
    let mut b = Batch::new();
    b.push(Body::Copy(body));
    for (k, v) in headers {
        let v = b.store(v.as_bytes());
        b.push_header(Key::intern(k).unwrap(), v);
    }
    b
}

pub fn value(b: &Batch, i: usize, header: &str) -> Option<String> {
    let v = b.get(i).header(Key::intern(header).unwrap())?;
    Some(String::from_utf8(v.to_vec()).unwrap())
}

/// Each event as `name=value name=value: body`.
pub fn shown(b: &Batch) -> Vec<String> {
    let show = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
    let event = |headers: Vec<String>, body: &[u8]| format!("{}: {}", headers.join(" "), show(body));
    b.iter()
        .map(|e| event(e.headers().map(|(k, v)| format!("{}={}", k.name(), show(v))).collect(), e.body()))
        .collect()
}
