//! The replicating selector, Flume's default: every event to every channel.

use super::{Part, Routed, Selector, SelectorSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{Batch, Events};
use std::sync::Arc;

pub static SPEC: SelectorSpec = Spec {
    declared: Declared {
        kind: Kind::Selector,
        name: "replicating",
        class: "org.apache.flume.channel.ReplicatingChannelSelector",
        help: "Every event to every channel",
        keys: &[&[Key::new(
            "optional",
            Type::Channels,
            Default::None,
            "channels that may fail: they are tried without waiting, failures are counted",
        )]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build,
};

fn build(ctx: &Context, channels: &[String]) -> Box<dyn Selector> {
    let optional = ctx.list("optional");
    let mut order: Vec<(usize, bool)> =
        channels.iter().enumerate().map(|(i, c)| (i, !optional.contains(c))).collect();
    order.sort_by_key(|(_, required)| !required);
    Box::new(Replicating { order })
}

struct Replicating {
    /// Channel and whether it is required, required ones first.
    order: Vec<(usize, bool)>,
}

impl Selector for Replicating {
    fn route(&self, batch: &Arc<Batch>) -> Routed {
        let part = |&(channel, required)| Part { channel, events: Events::all(batch.clone()), required };
        // With none but optional channels nothing is required, and that is meant.
        Routed { parts: self.order.iter().map(part).collect(), unrouted: Vec::new() }
    }

    fn may_require(&self) -> Vec<usize> {
        self.order.iter().filter(|(_, required)| *required).map(|(c, _)| *c).collect()
    }
}

#[cfg(test)]
pub(crate) fn for_tests(channels: usize, optional: &[usize]) -> Box<dyn Selector> {
    let mut order: Vec<(usize, bool)> = (0..channels).map(|i| (i, !optional.contains(&i))).collect();
    order.sort_by_key(|(_, required)| !required);
    Box::new(Replicating { order })
}
