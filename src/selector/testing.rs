//! For tests of selectors: building one from keys, and where its events go in words.

use super::{Selector, SelectorSpec};
use crate::config::{Context, Place, Problems, Property};
use crate::event::Batch;
use crate::registry;
use std::sync::Arc;

pub fn build(spec: &'static SelectorSpec, keys: &[(&str, &str)], channels: &[&str]) -> Box<dyn Selector> {
    let properties: Vec<Property> =
        keys.iter().map(|(k, v)| Property::new(*k, *v, Place::default())).collect();
    let mut problems = Problems::default();
    let place = Place::default();
    let ctx =
        Context::parse(&spec.declared, "s", &place, &properties, &[], registry::catalog(), &mut problems);
    let names: Vec<String> = channels.iter().map(|c| (*c).to_owned()).collect();
    (spec.build)(&ctx.expect("settings are right"), &names)
}

/// `channel!bodies` of what it requires, `channel?bodies` of what is optional; and how many go nowhere.
pub fn routed(selector: &dyn Selector, batch: Batch, channels: &[&str]) -> (Vec<String>, usize) {
    let routed = selector.route(&Arc::new(batch));
    let parts = routed.parts.iter().map(|p| {
        let bodies: Vec<_> =
            p.events.iter().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect();
        format!("{}{}{}", channels[p.channel], if p.required { '!' } else { '?' }, bodies.join(","))
    });
    (parts.collect(), routed.unrouted.len())
}
