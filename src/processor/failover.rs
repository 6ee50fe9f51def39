//! The failover processor: the sink of the highest priority that works takes, the others stand by.
//!
//! A sink that fails is left out, for longer each time it does so again, and the next one takes at once, the returned
//! events first. When its time is over it may take one batch, while the active one goes on: if that is delivered it
//! works again, and leads again if its priority says so. So a failed sink never holds up the one that works, whatever
//! its trial takes; Flume tries it in the group's only thread, before the active one. When all have failed, nobody takes
//! until the first may be tried again.
//!
//! A priority that is missing or no number lies below all that are given, in the order of the group's list. Of equal
//! priorities the list's order decides; Flume starts the later sink and never uses it.

use super::penalty::Penalties;
use crate::component::{BuildProcessor, Doing, Processor, ProcessorSpec};
use crate::config::{Context, Declared, Default, GroupFinding, Key, Kind, Severity, Spec, Type};
use std::cmp::Reverse;
use std::time::Instant;

const PRIORITY: &str = "priority.";

pub static SPEC: ProcessorSpec = Spec {
    declared: Declared {
        kind: Kind::Processor,
        name: "failover",
        class: "org.apache.flume.sink.FailoverSinkProcessor",
        help: "The sink of the highest priority that works takes all events",
        keys: &[&[
            Key::new(
                PRIORITY,
                Type::Prefix,
                Default::None,
                "priority of a sink, a whole number, the highest first; below all others if it is not given",
            ),
            Key::new(
                "maxpenalty",
                Type::Millis(0, i32::MAX as i64),
                Default::Is("30000"),
                "ms a sink is left out after failures, at most: 2 s after the first, twice that after the next ...",
            )
            .or_default(),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &["a failed sink is tried again beside the active one, which goes on meanwhile"],
    },
    build: BuildProcessor { check, new: |ctx, sinks| Box::new(Failover::new(ctx, sinks)) },
};

/// A sink's priority, if it is a number as Java's `Integer.parseInt` takes it.
fn priority(ctx: &Context, sink: &str) -> Option<i32> {
    ctx.map(PRIORITY).get(sink)?.trim().parse().ok()
}

fn check(ctx: &Context, sinks: &[String]) -> Vec<GroupFinding> {
    let mut found = Vec::new();
    let mut warn = |sink: &str, what: String| {
        let key = Some(format!("{PRIORITY}{sink}"));
        found.push(GroupFinding { severity: Severity::Warning, key, what });
    };
    for (sink, value) in ctx.map(PRIORITY) {
        let shown = ctx.shown(&format!("{PRIORITY}{sink}"), value);
        if !sinks.contains(sink) {
            warn(sink, format!("no sink {sink} in this group: ignored"));
        } else if priority(ctx, sink).is_none() {
            warn(sink, format!("{shown} is not a whole number: below all other priorities, as in Flume"));
        }
    }
    let is_set = |sink: &String| ctx.map(PRIORITY).contains_key(sink);
    if sinks.len() > 1 && !sinks.iter().any(is_set) {
        let what = "no sink has a priority (processor.priority.<sink>): the first in this list leads, the others follow \
                    in its order; in Flume any of them may lead";
        found.push(GroupFinding { severity: Severity::Warning, key: None, what: what.to_owned() });
        return found;
    }
    let mut warn = |sink: &str, what: String| {
        let key = Some(format!("{PRIORITY}{sink}"));
        found.push(GroupFinding { severity: Severity::Warning, key, what });
    };
    for sink in sinks.iter().filter(|sink| sinks.len() > 1 && !is_set(sink)) {
        let what = "not set: below all that are given; of several such the order of the list decides, in Flume nothing";
        warn(sink, what.to_owned());
    }
    for (i, sink) in sinks.iter().enumerate() {
        let Some(its) = priority(ctx, sink) else { continue };
        if let Some(first) = sinks[..i].iter().find(|s| priority(ctx, s) == Some(its)) {
            warn(
                sink,
                format!("the same priority as {first}, which comes first in the list and so goes first"),
            );
        }
    }
    found
}

struct Failover {
    /// Members by falling priority.
    order: Vec<usize>,
    penalties: Penalties,
}

impl Failover {
    fn new(ctx: &Context, sinks: &[String]) -> Failover {
        let mut order: Vec<usize> = (0..sinks.len()).collect();
        // Stable: the list's order decides where this does not.
        order.sort_by_key(|i| Reverse(priority(ctx, &sinks[*i])));
        let most = ctx.duration("maxpenalty").expect("has a default");
        Failover { order, penalties: Penalties::new(sinks.len(), most) }
    }
}

impl Processor for Failover {
    fn choose(&mut self, doing: &[Doing], now: Instant) -> Option<usize> {
        let waits = |i: &usize| doing[*i] == Doing::Waiting;
        let may_be_tried = |i: &usize| self.penalties.until(*i).is_some() && self.penalties.is_over(*i, now);
        let trial = || self.order.iter().copied().find(|i| waits(i) && may_be_tried(i));
        self.leader(doing).filter(waits).or_else(trial)
    }

    fn leader(&self, doing: &[Doing]) -> Option<usize> {
        let works = |i: &usize| doing[*i] != Doing::Nothing && self.penalties.until(*i).is_none();
        self.order.iter().copied().find(works)
    }

    fn succeeded(&mut self, member: usize) {
        self.penalties.succeeded(member);
    }

    fn failed(&mut self, member: usize, now: Instant) {
        self.penalties.failed(member, now);
    }

    fn left_out(&self, member: usize) -> Option<Instant> {
        self.penalties.until(member)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::built;
    use super::*;
    use std::time::Duration;
    use Doing::*;

    const IDLE: [Doing; 3] = [Waiting; 3];

    fn three(keys: &[(&str, &str)]) -> Box<dyn Processor> {
        built(&SPEC, keys, &["k1", "k2", "k3"]).0
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_highest_priority_takes_and_the_others_stand_by() {
        let now = Instant::now();
        let mut p = three(&[("priority.k1", "-5"), ("priority.k2", "10"), ("priority.k3", "7")]);
        assert_eq!(p.choose(&IDLE, now), Some(1));
        for busy in [Other, Taking, Delivering] {
            assert_eq!(p.choose(&[Waiting, busy, Waiting], now), None, "{busy:?}");
        }
        assert_eq!(p.choose(&[Waiting, Nothing, Waiting], now), Some(2));
        // Below those that are given, in the list's order; a bad one counts as missing.
        let mut p = three(&[("priority.k3", "-100"), ("priority.k1", "high")]);
        let mut order = Vec::new();
        for _ in 0..3 {
            let next = p.choose(&IDLE, now).unwrap();
            order.push(next);
            p.failed(next, now);
        }
        assert_eq!(order, [2, 0, 1]);
    }

    #[test]
    fn the_next_takes_over_at_once_and_a_trial_does_not_hold_it_up() {
        let now = Instant::now();
        let mut p = three(&[("priority.k1", "3"), ("priority.k2", "2"), ("priority.k3", "1")]);
        p.failed(0, now);
        assert_eq!((p.leader(&IDLE), p.choose(&IDLE, now)), (Some(1), Some(1)));
        let busy = [Waiting, Delivering, Waiting];
        assert_eq!(p.choose(&busy, now + seconds(1)), None);
        assert_eq!(p.choose(&busy, now + seconds(2)), Some(0));
        // While the first is on trial, the second goes on.
        assert_eq!(p.choose(&[Delivering, Waiting, Waiting], now + seconds(2)), Some(1));
        p.failed(0, now + seconds(2));
        assert_eq!(p.choose(&busy, now + seconds(5)), None);
        assert_eq!(p.choose(&busy, now + seconds(6)), Some(0));
        assert_eq!(p.leader(&busy), Some(1));
        p.succeeded(0);
        assert_eq!((p.leader(&IDLE), p.choose(&IDLE, now)), (Some(0), Some(0)));
        assert_eq!(p.choose(&[Delivering, Waiting, Waiting], now), None);
    }

    #[test]
    fn when_all_have_failed_the_first_to_be_tried_again_is() {
        let now = Instant::now();
        let mut p = three(&[("maxpenalty", "3000")]);
        for (i, failures) in [(0, 2), (1, 1), (2, 2)] {
            (0..failures).for_each(|_| p.failed(i, now));
        }
        assert_eq!((p.leader(&IDLE), p.choose(&IDLE, now + Duration::from_millis(1999))), (None, None));
        assert_eq!(p.choose(&IDLE, now + seconds(2)), Some(1));
        p.failed(1, now + seconds(2));
        assert_eq!(p.choose(&IDLE, now + Duration::from_millis(2999)), None);
        assert_eq!(p.choose(&IDLE, now + seconds(3)), Some(0));
        p.succeeded(0);
        assert_eq!(p.leader(&IDLE), Some(0));
    }

    #[test]
    fn a_sink_that_fails_for_ever_is_never_tried_too_early() {
        let mut now = Instant::now();
        let mut p = three(&[]);
        for _ in 0..100 {
            p.failed(0, now);
            let pause = p.left_out(0).unwrap() - now;
            assert!((seconds(2)..=seconds(30)).contains(&pause), "{pause:?}");
            assert_eq!(p.choose(&IDLE, now), Some(1));
            now += pause;
        }
    }

    #[test]
    fn what_is_odd_about_priorities_is_said() {
        let keys = [("priority.k1", "5"), ("priority.k2", "5"), ("priority.k3", "x"), ("priority.k9", "1")];
        let (mut p, found) = built(&SPEC, &keys, &["k2", "k1", "k3"]);
        assert_eq!(
            found,
            [
                "Warning priority.k3: x is not a whole number: below all other priorities, as in Flume",
                "Warning priority.k9: no sink k9 in this group: ignored",
                "Warning priority.k1: the same priority as k2, which comes first in the list and so goes first",
            ]
        );
        assert_eq!(p.choose(&IDLE, Instant::now()), Some(0));
        let (_, found) = built(&SPEC, &[("maxpenalty", "soon")], &["k1"]);
        assert_eq!(found, Vec::<String>::new());
        let (_, found) = built(&SPEC, &[], &["k1", "k2"]);
        assert!(
            found.len() == 1 && found[0].starts_with("Warning sinks: no sink has a priority"),
            "{found:?}"
        );
        let (_, found) = built(&SPEC, &[("priority.k2", "1")], &["k1", "k2", "k3"]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("Warning priority.k1: not set: below all that are given"), "{found:?}");
        assert!(found[1].starts_with("Warning priority.k3: not set"), "{found:?}");
    }
}
