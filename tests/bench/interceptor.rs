//! Interceptors inside one process, on batches whose bodies are spans of a read buffer, as a line source makes them.
//!
//! `cargo bench --bench interceptor` prints nanoseconds per event, median of five runs and their range, for bodies of
//! about 100 bytes: building the batch alone, and what each chain adds to that.

use flumed::config::{Context, Problems, Property};
use flumed::counters::SourceCounters;
use flumed::event::{Batch, Body, Buffer};
use flumed::interceptor::Chain;
use flumed::registry;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUN: Duration = Duration::from_millis(400);
const RUNS: usize = 5;
const LINE: &[u8] =
    b"2026-01-31T10:30:15.123 host-17 WARN  [worker-3] request 4711 took 183 ms, status=503 path=/api/v2/itm";

type Keys = &'static [(&'static str, &'static str)];

fn chain(interceptors: &[(&str, Keys)]) -> Chain {
    let counters = SourceCounters::new("r1");
    let all = interceptors.iter().map(|(name, keys)| {
        let property = |&(k, v): &(&str, &str)| Property::new(k, v, Default::default());
        let properties: Vec<Property> = keys.iter().map(property).collect();
        let spec =
            flumed::interceptor::ALL.iter().find(|s| s.declared.name == *name).expect("a type there is");
        let mut problems = Problems::default();
        let (place, catalog) = (Default::default(), registry::catalog());
        let c = Context::parse(&spec.declared, "a1.i1", &place, &properties, &[], catalog, &mut problems);
        (spec.build)(&c.expect("settings are right"), &counters)
    });
    Chain::new(all.collect())
}

fn batch(buffer: &Arc<Buffer>, events: usize) -> Batch {
    let mut b = Batch::new();
    b.reserve(events, 0);
    let s = b.attach(buffer);
    for i in 0..events {
        b.push(Body::At(b.span_of(s, i * LINE.len(), (i + 1) * LINE.len())));
    }
    b
}

/// Nanoseconds per event of building batches and running the chain on them.
fn run(chain: &Chain, buffer: &Arc<Buffer>, events: usize) -> f64 {
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < RUN {
        for _ in 0..16 {
            let mut b = batch(buffer, events);
            chain.run(&mut b);
            n += events;
            black_box(b);
        }
    }
    began.elapsed().as_nanos() as f64 / n as f64
}

fn main() {
    let chains: [(&str, &[(&str, Keys)]); 9] = [
        ("no interceptor", &[]),
        ("static", &[("static", &[])]),
        ("static + timestamp", &[("static", &[]), ("timestamp", &[])]),
        ("uuid", &[("uuid", &[])]),
        ("regex_filter, all match", &[("regex_filter", &[("regex", "status=5\\d\\d")])]),
        ("regex_filter, none match", &[("regex_filter", &[("regex", "status=4\\d\\d")])]),
        (
            "regex_extractor, 2 groups",
            &[(
                "regex_extractor",
                &[
                    ("regex", "(\\w+)  \\[.*status=(\\d+)"),
                    ("serializers", "a b"),
                    ("serializers.a.name", "level"),
                    ("serializers.b.name", "status"),
                ],
            )],
        ),
        (
            "regex_extractor, millis",
            &[(
                "regex_extractor",
                &[
                    ("regex", "^(\\S+)"),
                    ("serializers", "a"),
                    ("serializers.a.name", "timestamp"),
                    ("serializers.a.type", "millis"),
                    ("serializers.a.pattern", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
                ],
            )],
        ),
        ("search_replace", &[("search_replace", &[("searchPattern", "\\d+ ms"), ("replaceString", "-")])]),
    ];
    println!("interceptors, {} B bodies, ns per event, median of {RUNS}", LINE.len());
    for events in [1, 100, 1000] {
        let buffer = Buffer::owned(LINE.repeat(events));
        let mut empty = 0.0;
        for (name, list) in &chains {
            let chain = chain(list);
            let mut all: Vec<f64> = (0..RUNS).map(|_| run(&chain, &buffer, events)).collect();
            all.sort_by(f64::total_cmp);
            let (low, median, high) = (all[0], all[RUNS / 2], all[RUNS - 1]);
            if list.is_empty() {
                empty = median;
            }
            println!("batch {events:5}  {name:26} {median:8.1} ({low:.1}-{high:.1})  +{:.1}", median - empty);
        }
    }
}
