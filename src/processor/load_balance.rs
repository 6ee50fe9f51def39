//! The load_balance processor: the sinks of a group take in turn, or in random order.
//!
//! One at a time waits for events; when it has some, the turn passes to another that is neither at work nor left out.
//! So deliveries overlap, and a slow or hanging sink gets fewer events and holds up nobody.
//!
//! With `backoff`, a sink that fails is left out, for longer each time it does so again (2 s, 4 s ... up to
//! `selector.maxTimeOut`); a delivery ends that, which in Flume does not make it forget. Without, a sink that fails
//! pauses as one that stands alone does, and gets its turn after that. When all are left out, nobody takes until the
//! first may again; Flume's random selector ends in an error there.

use super::penalty::Penalties;
use crate::component::{BuildProcessor, Doing, Processor, ProcessorSpec};
use crate::config::{Context, Declared, Default, GroupFinding, Key, Kind, Severity, Spec, Type};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_secs(30);

pub static SPEC: ProcessorSpec = Spec {
    declared: Declared {
        kind: Kind::Processor,
        name: "load_balance",
        class: "org.apache.flume.sink.LoadBalancingSinkProcessor",
        help: "The sinks take events in turn",
        keys: &[&[
            Key::new(
                "selector",
                Type::Text,
                Default::Is("round_robin"),
                "who takes next: round_robin, in the order of the group's list, or random",
            ),
            Key::new(
                "backoff",
                Type::Bool,
                Default::Is("false"),
                "leave a sink that failed out for some time",
            ),
            Key::new(
                "selector.maxTimeOut",
                Type::Millis(0, i64::MAX),
                Default::Is("30000"),
                "ms a sink is left out after failures, at most; 0 = 30000; needs backoff",
            )
            .or_default_if_out_of_range(),
        ]],
        batch_key: None,
        check: Some(|ctx| is_random(ctx).err().map(|what| ("selector", what)).into_iter().collect()),
        advice: None,
        differs: &[
            "deliveries overlap: a sink that is at work is passed over, so a slow one gets fewer events",
            "with backoff, a delivery makes a sink's earlier failures forgotten",
        ],
    },
    build: BuildProcessor {
        check: |_, sinks| check(sinks),
        new: |ctx, sinks| Box::new(Balance::new(ctx, sinks)),
    },
};

/// By the words or by Flume's classes.
fn is_random(ctx: &Context) -> Result<bool, String> {
    let text = ctx.text("selector").expect("has a default");
    let class = text.strip_prefix("org.apache.flume.").and_then(|c| c.rsplit(['.', '$']).next());
    match class.unwrap_or(text).to_ascii_lowercase().as_str() {
        "round_robin" | "roundrobinsinkselector" | "roundrobinorderselector" => Ok(false),
        "random" | "randomordersinkselector" | "randomorderselector" => Ok(true),
        _ if text.contains('.') => Err(format!(
            "{text} is a Java class; flumed runs components written in Rust only; expected round_robin or random"
        )),
        _ => Err(format!("'{text}' is not one of round_robin, random")),
    }
}

fn check(sinks: &[String]) -> Vec<GroupFinding> {
    let what = "load_balance needs two sinks at least, and there is one; a single sink needs no group";
    let found = || GroupFinding { severity: Severity::Error, key: None, what: what.to_owned() };
    (sinks.len() < 2).then(found).into_iter().collect()
}

struct Balance {
    /// The member whose turn it is.
    next: usize,
    members: usize,
    /// `None`: in the order of the list.
    random: Option<Random>,
    /// `None`: nobody is left out.
    penalties: Option<Penalties>,
}

/// A hash of a counter, under a key from the kernel's random source: no member is preferred, no crate is needed.
struct Random {
    key: RandomState,
    drawn: u64,
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.drawn = self.drawn.wrapping_add(1);
        (self.key.hash_one(self.drawn) % n.max(1) as u64) as usize
    }
}

impl Balance {
    fn new(ctx: &Context, sinks: &[String]) -> Balance {
        let most = ctx.duration("selector.maxTimeOut").filter(|d| !d.is_zero()).unwrap_or(LONGEST);
        let is_random = is_random(ctx).unwrap_or(false);
        Balance {
            next: 0,
            members: sinks.len(),
            random: is_random.then(|| Random { key: RandomState::new(), drawn: 0 }),
            penalties: ctx.flag("backoff").then(|| Penalties::new(sinks.len(), most)),
        }
    }
}

impl Processor for Balance {
    fn choose(&mut self, doing: &[Doing], now: Instant) -> Option<usize> {
        if doing.contains(&Doing::Taking) {
            return None;
        }
        let may = |i: &usize| {
            doing[*i] == Doing::Waiting && self.penalties.as_ref().is_none_or(|p| p.is_over(*i, now))
        };
        let in_turn = (self.next..self.members).chain(0..self.next);
        let those: Vec<usize> = in_turn.filter(may).collect();
        let at = self.random.as_mut().map_or(0, |r| r.below(those.len()));
        those.get(at).copied()
    }

    fn taken(&mut self, member: usize) {
        self.next = (member + 1) % self.members.max(1);
    }

    fn succeeded(&mut self, member: usize) {
        if let Some(p) = &mut self.penalties {
            p.succeeded(member);
        }
    }

    fn failed(&mut self, member: usize, now: Instant) {
        if let Some(p) = &mut self.penalties {
            p.failed(member, now);
        }
    }

    fn left_out(&self, member: usize) -> Option<Instant> {
        self.penalties.as_ref().and_then(|p| p.until(member))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::built;
    use super::*;
    use crate::config::testing::{context, Known};
    use Doing::*;

    const IDLE: [Doing; 3] = [Waiting; 3];

    fn three(keys: &[(&str, &str)]) -> Box<dyn Processor> {
        built(&SPEC, keys, &["k1", "k2", "k3"]).0
    }

    /// Who takes, one after the other.
    fn takers(p: &mut dyn Processor, doing: &[Doing], now: Instant, n: usize) -> Vec<usize> {
        let mut one = || {
            let i = p.choose(doing, now).unwrap();
            p.taken(i);
            i
        };
        (0..n).map(|_| one()).collect()
    }

    #[test]
    fn the_turn_goes_round_in_the_order_of_the_list() {
        let now = Instant::now();
        let mut p = three(&[]);
        assert_eq!(takers(&mut *p, &IDLE, now, 7), [0, 1, 2, 0, 1, 2, 0]);
        // Who is at work, or gone, is passed over; who has the turn keeps it until it has taken.
        assert_eq!(takers(&mut *p, &[Waiting, Delivering, Waiting], now, 4), [2, 0, 2, 0]);
        assert_eq!(takers(&mut *p, &[Nothing, Waiting, Other], now, 2), [1, 1]);
        assert_eq!(p.choose(&[Waiting, Taking, Waiting], now), None);
        assert_eq!(p.choose(&[Delivering, Other, Nothing], now), None);
        // One that waited for nothing and comes again is still the next.
        assert_eq!((p.choose(&IDLE, now), p.choose(&IDLE, now)), (Some(2), Some(2)));
    }

    #[test]
    fn random_prefers_nobody() {
        let now = Instant::now();
        let mut p = three(&[("selector", "RANDOM"), ("backoff", "true")]);
        let mut counts = [0; 3];
        takers(&mut *p, &IDLE, now, 3000).into_iter().for_each(|i| counts[i] += 1);
        // 1000 each, give or take: 200 are more than seven times the spread to be expected.
        assert!(counts.iter().all(|n| (800..=1200).contains(n)), "{counts:?}");
        p.failed(1, now);
        assert!(takers(&mut *p, &IDLE, now, 100).iter().all(|i| *i != 1));
        // All left out is an error in Flume.
        p.failed(0, now);
        p.failed(2, now);
        assert_eq!(p.choose(&IDLE, now), None);
        assert!(p.choose(&IDLE, now + Duration::from_secs(2)).is_some());
    }

    #[test]
    fn backoff_leaves_out_for_longer_each_time_and_a_success_ends_it() {
        let now = Instant::now();
        let mut p = three(&[("backoff", "true"), ("selector.maxTimeOut", "7000")]);
        let mut out = Vec::new();
        for _ in 0..100 {
            p.failed(1, now);
            out.push((p.left_out(1).unwrap() - now).as_secs());
        }
        assert_eq!((&out[..4], out[99]), (&[2, 4, 7, 7][..], 7));
        assert_eq!(takers(&mut *p, &IDLE, now, 4), [0, 2, 0, 2]);
        assert_eq!(takers(&mut *p, &IDLE, now + Duration::from_secs(7), 3), [0, 1, 2]);
        p.succeeded(1);
        p.failed(1, now);
        assert_eq!(p.left_out(1), Some(now + Duration::from_secs(2)));
        // 0 is the default; without backoff nobody is left out.
        let mut p = three(&[("backoff", "true"), ("selector.maxTimeOut", "0")]);
        (0..60).for_each(|_| p.failed(0, now));
        assert_eq!(p.left_out(0), Some(now + LONGEST));
        let mut p = three(&[]);
        p.failed(0, now);
        assert_eq!((p.left_out(0), p.choose(&IDLE, now)), (None, Some(0)));
    }

    #[test]
    fn selectors_go_by_word_or_by_flumes_classes() {
        let random = |text: &str| {
            context(&SPEC.declared, &Known, &[("selector", text)]).map(|c| is_random(&c).unwrap())
        };
        for (text, expected) in [
            ("Round_Robin", false),
            ("random", true),
            ("org.apache.flume.sink.LoadBalancingSinkProcessor$RandomOrderSinkSelector", true),
            ("org.apache.flume.sink.LoadBalancingSinkProcessor$RoundRobinSinkSelector", false),
            ("org.apache.flume.util.RandomOrderSelector", true),
        ] {
            assert_eq!(random(text), Ok(expected), "{text}");
        }
        let why = |text: &str| random(text).unwrap_err().join("\n");
        assert!(why("com.example.Mine").contains("a Java class"));
        assert!(why("org.apache.flume.sink.Other").contains("a Java class"));
        assert!(why("weighted").contains("'weighted' is not one of round_robin, random"));
    }

    #[test]
    fn one_sink_is_an_error() {
        let (_, found) = built(&SPEC, &[], &["k1"]);
        assert!(found[0].starts_with("Error sinks: load_balance needs two sinks at least"), "{found:?}");
    }
}
