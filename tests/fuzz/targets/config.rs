//! The whole way from the text of properties files to a plan, with every component there is.
//!
//! Config filters that read files or run commands are left out of the catalog: an input must not reach them.

use super::{files_of, tree, Signature, Target, Verdict};
use crate::mutate;
use flumed::config::{load, Catalog, Declared, Kind, Plan, Problems, RunOptions, Text};
use flumed::{agent, registry};

pub static TARGET: Target = Target {
    name: "config",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 48 << 20),
    run,
};

const WORDS: &[&str] = &[
    "\na1.sources = r1 r2",
    "\na1.channels = c1 c2",
    "\na1.sinks = k1",
    "\na1.sources.r1.channels = c1 c2 c3",
    "\na1.sinks.k1.channel = c1",
    "\na1.sources.r1.type = ",
    "\na1.channels.c1.type = ",
    "\na1.sources.r1.selector.type = multiplexing",
    "\na1.sources.r1.interceptors = i1 i1",
    "\na1.sources.r1.interceptors.i1.type = ",
    "\na1.sources.r1.interceptors.i1.regex = ",
    "\na1.configfilters = f1\na1.configfilters.f1.type = env\n",
    "${f1['HOME']}",
    "${a1.sources}",
    "${env:HOME}",
    "regex_extractor",
    "search_replace",
    "file_roll",
    "spillablememory",
    "memory",
    "netcat",
    "hdfs",
    "-1",
    "99999999999999999999",
    "true",
    "\u{e4}",
    "\0",
];

fn seeds() -> Vec<Vec<u8>> {
    files_of(&tree("etc/examples"), ".conf").into_iter().chain(files_of(&tree("etc"), ".conf")).collect()
}

struct Harmless;

impl Catalog for Harmless {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared> {
        self.all(kind).into_iter().find(|d| d.is_named(type_name))
    }

    fn all(&self, kind: Kind) -> Vec<&'static Declared> {
        let all = registry::catalog().all(kind);
        all.into_iter().filter(|d| kind != Kind::ConfigFilter || d.name == "env").collect()
    }

    fn unsupported(&self, kind: Kind, type_name: &str) -> Option<String> {
        registry::catalog().unsupported(kind, type_name)
    }

    fn unsupported_key(&self, kind: Kind, type_name: &str, key: &str) -> Option<String> {
        registry::catalog().unsupported_key(kind, type_name, key)
    }
}

/// Loads these texts for the agent most seeds have, twice: what is said must not depend on chance, but for the time in
/// a date.
pub fn run(input: &[u8]) -> Verdict {
    let texts: Vec<Text> = input
        .splitn(3, |b| *b == 0)
        .zip(["one", "two", "three"])
        .map(|(bytes, name)| Text { file: name.into(), bytes: bytes.to_vec() })
        .collect();
    let load = || -> (Option<Plan>, Problems) {
        let mut problems = Problems::default();
        let plan = load(&texts, "a1", &RunOptions::default(), &Harmless, &agent::DECLARED, &mut problems);
        (plan, problems)
    };
    let (plan, problems) = load();
    let said: Vec<String> = problems.sorted().iter().map(|p| p.to_string()).collect();
    let again: Vec<String> = load().1.sorted().iter().map(|p| p.to_string()).collect();
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    if let Some((a, b)) = said.iter().zip(&again).find(|(a, b)| a != b && letters(a) != letters(b)) {
        return Err(format!("finds something else the second time: {a:?}, then {b:?}"));
    }
    if plan.is_none() && problems.errors() == 0 {
        return Err("gives neither a plan nor an error".to_owned());
    }
    let mut s = Signature::default();
    s.count(problems.errors());
    s.count(problems.warnings());
    if let Some(plan) = plan {
        s.count(plan.sources.len());
        s.count(plan.sinks.len());
        s.count(plan.sources.iter().map(|s| s.interceptors.len()).sum());
    }
    for p in problems.sorted().iter().take(3) {
        s.words(&p.message);
    }
    Ok(s)
}
