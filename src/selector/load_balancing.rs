//! The load_balancing selector: each event to one of the channels (reference, interceptors-selectors.md 3.4).
//!
//! A batch is spread over all channels, each of which gets its share in a transaction of its own; all of them are
//! required, so one that is full holds up or refuses the batch. In the configuration's order of channels. Any loop's
//! thread; what is shared is one atomic number.

use super::{Routed, Selector, SelectorSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Batch;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

pub static SPEC: SelectorSpec = Spec {
    declared: Declared {
        kind: Kind::Selector,
        name: "load_balancing",
        class: "org.apache.flume.channel.LoadBalancingChannelSelector",
        help: "Each event to one of the channels, in turn or at random",
        keys: &[&[Key::new(
            "policy",
            Type::Choice(&["ROUND_ROBIN", "RANDOM"]),
            Default::Is("ROUND_ROBIN"),
            "how the channel is chosen",
        )]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &["it works; Flume has the class, and drops every source that names it"],
    },
    build,
};

fn build(ctx: &Context, channels: &[String]) -> Box<dyn Selector> {
    let is_random = ctx.text("policy") == Some("RANDOM");
    Box::new(LoadBalancing { channels: channels.len(), is_random, next: AtomicU64::new(0) })
}

struct LoadBalancing {
    channels: usize,
    is_random: bool,
    /// Events so far.
    next: AtomicU64,
}

impl Selector for LoadBalancing {
    fn route(&self, batch: &Arc<Batch>) -> Routed {
        let first = self.next.fetch_add(batch.len() as u64, Relaxed);
        let share = batch.len() / self.channels + 1;
        let mut picks: Vec<Vec<u32>> = (0..self.channels).map(|_| Vec::with_capacity(share)).collect();
        for i in 0..batch.len() {
            let n = first.wrapping_add(i as u64);
            let n = if self.is_random { scatter(n) } else { n };
            picks[(n % self.channels as u64) as usize].push(i as u32);
        }
        Routed { parts: super::parts(batch, picks, true).collect(), unrouted: Vec::new() }
    }

    fn may_require(&self) -> Vec<usize> {
        (0..self.channels).collect()
    }
}

/// Spreads consecutive numbers evenly and without a pattern (the finaliser of splitmix64).
fn scatter(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::selector::testing::{build, routed};

    const CHANNELS: [&str; 3] = ["c1", "c2", "c3"];

    fn batch(bodies: std::ops::Range<usize>) -> Batch {
        let mut batch = Batch::new();
        bodies.for_each(|i| batch.push(Body::Copy(i.to_string().as_bytes())));
        batch
    }

    #[test]
    fn events_go_round_also_from_batch_to_batch() {
        for keys in [&[][..], &[("policy", "round_robin")]] {
            let s = build(&SPEC, keys, &CHANNELS);
            assert_eq!(routed(s.as_ref(), batch(0..4), &CHANNELS).0, ["c1!0,3", "c2!1", "c3!2"]);
            assert_eq!(routed(s.as_ref(), batch(4..5), &CHANNELS).0, ["c2!4"]);
            assert_eq!(routed(s.as_ref(), batch(5..8), &CHANNELS).0, ["c1!6", "c2!7", "c3!5"]);
        }
    }

    #[test]
    fn random_is_even_and_no_pattern() {
        let s = build(&SPEC, &[("policy", "Random")], &CHANNELS);
        let parts = s.route(&Arc::new(batch(0..30_000))).parts;
        for p in &parts {
            assert!((9_500..10_500).contains(&p.events.len()), "{}", p.events.len());
        }
        let first: Vec<Vec<u8>> = parts[0].events.iter().take(5).map(|e| e.body().to_vec()).collect();
        assert_ne!(first, [b"0", b"3", b"6", b"9"].map(|b| b.to_vec()));
    }

    #[test]
    fn all_are_required() {
        assert_eq!(build(&SPEC, &[], &CHANNELS).may_require(), [0, 1, 2]);
    }
}
