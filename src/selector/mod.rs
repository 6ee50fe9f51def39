//! Channel selectors: which channels of its source each event goes to, and which of them may fail.

use crate::config::{Context, Spec};
use crate::event::{Batch, EventRef, Events};
use std::sync::Arc;

pub mod load_balancing;
pub mod multiplexing;
pub mod replicating;
#[cfg(test)]
mod testing;

/// Some events of a batch on their way to one channel.
pub struct Part {
    /// Index into the source's list of channels.
    pub channel: usize,
    pub events: Events,
    /// Whether the batch is refused when this channel does not take them.
    pub required: bool,
}

/// Where the events of a batch go.
#[derive(Default)]
pub struct Routed {
    /// For every channel that gets some; required ones first.
    pub parts: Vec<Part>,
    /// Those that go to no channel that is required, in order.
    pub unrouted: Vec<u32>,
}

/// Decides where events go. One value serves all of a source's connections, at the same time; a batch that waits for room is
/// not routed again. A panic is one of who brought the batch: the connection ends, or a polled source begins anew.
pub trait Selector: Send + Sync {
    /// Says for each event of the batch, which is never empty, to which channels it goes.
    fn route(&self, batch: &Arc<Batch>) -> Routed;
    /// Why this event goes nowhere.
    fn why_unrouted(&self, _event: EventRef<'_>) -> String {
        "no channel is required".to_owned()
    }
    /// The channels that some event may require: what they can hold bounds the source's batches.
    fn may_require(&self) -> Vec<usize>;
    /// Whether [`route`](Selector::route) or [`why_unrouted`](Selector::why_unrouted) may wait for something: see
    /// [`Interceptor::may_block`](crate::interceptor::Interceptor::may_block).
    fn may_block(&self) -> bool {
        false
    }
}

/// Builds a selector for a source's channels, given by name in their order.
pub type Build = fn(&Context, &[String]) -> Box<dyn Selector>;
pub type SelectorSpec = Spec<Build>;

/// Every selector type.
pub static ALL: &[&SelectorSpec] = &[&load_balancing::SPEC, &multiplexing::SPEC, &replicating::SPEC];

/// The parts of channels with these events each.
fn parts(batch: &Arc<Batch>, picks: Vec<Vec<u32>>, required: bool) -> impl Iterator<Item = Part> + use<'_> {
    let of_some = picks.into_iter().enumerate().filter(|(_, events)| !events.is_empty());
    of_some.map(move |(channel, picked)| {
        let all = picked.len() == batch.len();
        let events = if all { Events::all(batch.clone()) } else { Events::picked(batch.clone(), picked) };
        Part { channel, events, required }
    })
}
