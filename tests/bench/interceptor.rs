//! Interceptors inside one process, on batches whose bodies are spans of a read buffer, as a line source makes them.
//!
//! `cargo bench --bench interceptor` prints nanoseconds per event, median of five runs and their range, for bodies of
//! about 100 bytes: building the batch alone, and what each chain adds to that. Then what the channel selectors take
//! beside that, for four channels.

use flumed::config::{Context, Declared, Problems, Property};
use flumed::counters::SourceCounters;
use flumed::event::{Batch, Body, Buffer, Key};
use flumed::interceptor::Chain;
use flumed::registry;
use flumed::selector::Selector;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUN: Duration = Duration::from_millis(400);
const RUNS: usize = 5;
const LINE: &[u8] =
    b"2026-01-31T10:30:15.123 host-17 WARN  [worker-3] request 4711 took 183 ms, status=503 path=/api/v2/itm";

type Keys = &'static [(&'static str, &'static str)];

fn context(declared: &'static Declared, keys: Keys) -> Context {
    let property = |&(k, v): &(&str, &str)| Property::new(k, v, Default::default());
    let properties: Vec<Property> = keys.iter().map(property).collect();
    let mut problems = Problems::default();
    let (place, catalog) = (Default::default(), registry::catalog());
    let c = Context::parse(declared, "a1.i1", &place, &properties, &[], catalog, &mut problems);
    c.expect("settings are right")
}

fn chain(interceptors: &[(&str, Keys)]) -> Chain {
    let counters = SourceCounters::new("r1");
    let all = interceptors.iter().map(|(name, keys)| {
        let spec =
            flumed::interceptor::ALL.iter().find(|s| s.declared.name == *name).expect("a type there is");
        (spec.build)(&context(&spec.declared, keys), &counters)
    });
    Chain::new(all.collect())
}

fn selector(name: &str, keys: Keys) -> Box<dyn Selector> {
    let spec = flumed::selector::ALL.iter().find(|s| s.declared.name == name).expect("a type there is");
    (spec.build)(&context(&spec.declared, keys), &["c1", "c2", "c3", "c4"].map(str::to_owned))
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

/// Nanoseconds per event of routing a batch whose events have these values of the header `tier` in turn.
fn run_selector(selector: &dyn Selector, events: usize, values: &[&str]) -> f64 {
    let buffer = Buffer::owned(LINE.repeat(events));
    let mut b = Batch::new();
    let (s, tier) = (b.attach(&buffer), Key::intern("tier").expect("room for a name"));
    for i in 0..events {
        b.push(Body::At(b.span_of(s, i * LINE.len(), (i + 1) * LINE.len())));
        let value = b.store(values[i % values.len()].as_bytes());
        b.push_header(tier, value);
    }
    let b = Arc::new(b);
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < RUN {
        for _ in 0..16 {
            black_box(selector.route(black_box(&b)));
            n += events;
        }
    }
    began.elapsed().as_nanos() as f64 / n as f64
}

fn selectors() {
    const TIERS: Keys = &[
        ("header", "tier"),
        ("mapping.gold", "c1"),
        ("mapping.silver", "c2 c3"),
        ("optional.gold", "c3"),
        ("default", "c4"),
    ];
    let rows: [(&str, &str, Keys, &[&str]); 5] = [
        ("replicating", "replicating", &[], &["gold"]),
        ("multiplexing, one value", "multiplexing", TIERS, &["gold"]),
        ("multiplexing, three in turn", "multiplexing", TIERS, &["gold", "silver", "lead"]),
        ("load_balancing", "load_balancing", &[], &["gold"]),
        ("load_balancing, random", "load_balancing", &[("policy", "RANDOM")], &["gold"]),
    ];
    println!("selectors, ns per event");
    for events in [1, 100, 1000] {
        for (title, name, keys, values) in &rows {
            let selector = selector(name, keys);
            let mut all: Vec<f64> =
                (0..RUNS).map(|_| run_selector(selector.as_ref(), events, values)).collect();
            all.sort_by(f64::total_cmp);
            let (low, median, high) = (all[0], all[RUNS / 2], all[RUNS - 1]);
            println!("batch {events:5}  {title:28} {median:8.1} ({low:.1}-{high:.1})");
        }
    }
}

fn main() {
    interceptors();
    selectors();
}

fn interceptors() {
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
