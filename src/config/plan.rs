//! The outcome of a configuration: what to build, in checked settings, with every reference resolved.
//!
//! `wiring` makes it, the agent builds from it. Plain data; no component appears here that has an error, and
//! no name that does not lead to another part of the same plan.

use super::context::Context;
use super::spec::Declared;
use std::sync::Arc;

/// Everything the agent builds and runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub agent: String,
    /// The agent's own keys, `<agent>.flumed.*`.
    pub settings: Context,
    pub channels: Vec<Planned>,
    pub sources: Vec<PlannedSource>,
    pub sinks: Vec<PlannedSink>,
}

/// One component: what it is and how it is set.
#[derive(Clone, Debug)]
pub struct Planned {
    pub name: String,
    pub declared: &'static Declared,
    pub context: Context,
}

impl Planned {
    /// Whether both would build the same component.
    pub fn says_the_same(&self, other: &Planned) -> bool {
        self.name == other.name && self.context.says_the_same(&other.context)
    }
}

#[derive(Clone, Debug)]
pub struct PlannedSource {
    pub planned: Planned,
    /// At least one, each in the plan, none twice, in the order of the file.
    pub channels: Vec<String>,
    pub selector: Context,
    /// In the order they run; a name listed twice is here twice.
    pub interceptors: Vec<Context>,
}

#[derive(Clone, Debug)]
pub struct PlannedSink {
    pub planned: Planned,
    pub channel: String,
    /// `None`: it stands alone.
    pub group: Option<Arc<PlannedGroup>>,
}

/// Sinks that stand together, and what decides between them.
#[derive(Debug)]
pub struct PlannedGroup {
    pub name: String,
    pub processor: Context,
    /// Those in the plan, none twice, in the order of the group's list.
    pub sinks: Vec<String>,
}

impl PlannedSource {
    /// Whether both would build the same source, on channels of the same names.
    pub fn says_the_same(&self, other: &PlannedSource) -> bool {
        self.planned.says_the_same(&other.planned)
            && self.channels == other.channels
            && self.selector.says_the_same(&other.selector)
            && self.interceptors.len() == other.interceptors.len()
            && self.interceptors.iter().zip(&other.interceptors).all(|(a, b)| a.says_the_same(b))
    }
}

impl PlannedSink {
    /// Whether both would build the same sink, on a channel of the same name, in the same group.
    pub fn says_the_same(&self, other: &PlannedSink) -> bool {
        let same_group = match (&self.group, &other.group) {
            (None, None) => true,
            (Some(a), Some(b)) => a.says_the_same(b),
            _ => false,
        };
        same_group && self.planned.says_the_same(&other.planned) && self.channel == other.channel
    }
}

impl PlannedGroup {
    fn says_the_same(&self, other: &PlannedGroup) -> bool {
        self.name == other.name && self.sinks == other.sinks && self.processor.says_the_same(&other.processor)
    }
}
