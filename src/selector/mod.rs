//! Channel selectors: which channels of its source each event goes to, and which of them may fail.

use crate::config::{Context, Spec};
use crate::event::{Batch, Events};
use std::sync::Arc;

pub mod replicating;

/// Some events of a batch on their way to one channel.
pub struct Part {
    /// Index into the source's list of channels.
    pub channel: usize,
    pub events: Events,
    /// Whether the batch is refused when this channel does not take them.
    pub required: bool,
}

pub trait Selector: Send + Sync {
    /// Parts for every channel that gets events; required ones first.
    fn route(&self, batch: &Arc<Batch>) -> Vec<Part>;
    /// The channels that some event may require: what they can hold bounds the source's batches.
    fn may_require(&self) -> Vec<usize>;
}

/// Builds a selector for a source's channels, given by name in their order.
pub type Build = fn(&Context, &[String]) -> Box<dyn Selector>;
pub type SelectorSpec = Spec<Build>;

/// Every selector type.
pub static ALL: &[&SelectorSpec] = &[&replicating::SPEC];
