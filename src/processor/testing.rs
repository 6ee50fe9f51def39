//! What the tests of processors share.

use crate::component::{Processor, ProcessorSpec};
use crate::config::testing::{context, Known};

/// A processor of these settings for these sinks, and what is said of the group.
pub fn built(
    spec: &'static ProcessorSpec,
    keys: &[(&str, &str)],
    sinks: &[&str],
) -> (Box<dyn Processor>, Vec<String>) {
    let ctx = context(&spec.declared, &Known, keys).expect("settings are good");
    let sinks: Vec<String> = sinks.iter().map(|s| (*s).to_owned()).collect();
    let found = (spec.build.check)(&ctx, &sinks);
    let say = |f: &crate::config::GroupFinding| {
        format!("{:?} {}: {}", f.severity, f.key.as_deref().unwrap_or("sinks"), f.what)
    };
    ((spec.build.new)(&ctx, &sinks), found.iter().map(say).collect())
}
