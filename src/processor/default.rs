//! The default processor: a group of one sink, which is as if it stood alone.

use crate::component::{BuildProcessor, Doing, Processor, ProcessorSpec};
use crate::config::{Declared, GroupFinding, Kind, Severity, Spec};
use std::time::Instant;

pub static SPEC: ProcessorSpec = Spec {
    declared: Declared {
        kind: Kind::Processor,
        name: "default",
        class: "org.apache.flume.sink.DefaultSinkProcessor",
        help: "A group of one sink",
        keys: &[],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build: BuildProcessor { check: |_, sinks| check(sinks), new: |_, _| Box::new(Always) },
};

fn check(sinks: &[String]) -> Vec<GroupFinding> {
    let what = format!(
        "the default processor is for one sink, and there are {}; expected processor.type = failover or load_balance",
        sinks.len()
    );
    let found = GroupFinding { severity: Severity::Error, key: None, what };
    (sinks.len() > 1).then_some(found).into_iter().collect()
}

struct Always;

impl Processor for Always {
    fn choose(&mut self, doing: &[Doing], _: Instant) -> Option<usize> {
        doing.iter().position(|d| *d == Doing::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::built;
    use super::*;

    #[test]
    fn one_sink_is_let_always_and_two_are_an_error() {
        let (mut p, found) = built(&SPEC, &[], &["k1"]);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(p.choose(&[Doing::Waiting], Instant::now()), Some(0));
        assert_eq!(p.choose(&[Doing::Taking], Instant::now()), None);
        let (_, found) = built(&SPEC, &[], &["k1", "k2"]);
        assert!(found[0].starts_with("Error sinks: the default processor is for one sink"), "{found:?}");
    }
}
