//! Sink groups: which sinks stand together, and what decides between them.
//!
//! Judged last, over the sinks that are sound. The sinks of a group that has an error are not in the plan: Flume never
//! starts them, and alone they would undo the group's purpose. A sink that is missing is left out of its group with
//! a warning, as Flume leaves it out; a group without any is an error, and so is one that Flume cannot build.

use super::judge::{unique, Judge, Names, Part};
use super::*;
use crate::config::plan::{PlannedGroup, PlannedSink};
use crate::config::property::{Property, HIDDEN};
use crate::config::Severity;
use std::collections::BTreeMap;

const PROCESSOR: &str = "processor.";

/// Puts the sinks into their groups. What comes back runs.
pub(super) fn join(judge: &mut Judge, names: &Names, sinks: Vec<PlannedSink>) -> Vec<PlannedSink> {
    // Each sink of a group; `None` for those whose group has an error.
    let mut group_of: BTreeMap<String, Option<Arc<PlannedGroup>>> = BTreeMap::new();
    let mut listed_by: BTreeMap<String, String> = BTreeMap::new();
    for name in names.groups.iter().flatten() {
        let Some(part) = judge.part(Group::SinkGroups, name) else { continue };
        let members = members(judge, &part, names, &mut listed_by);
        let processor = processor(judge, &part);
        strangers(judge, &part);
        let Some(members) = members else { continue };
        let is_sound = |p: &Context| judged(judge, &part, p, &members) && !judge.is_unknown_below(&part.path);
        let group = processor.filter(is_sound).map(|processor| {
            let its: Vec<&PlannedSink> =
                members.iter().filter_map(|m| sinks.iter().find(|k| k.planned.name == *m)).collect();
            if its.iter().any(|k| k.channel != its[0].channel) {
                let what =
                    "its sinks read from different channels: only those of the same one stand together";
                judge.problems.warning(place(&part, "sinks"), part.full("sinks"), what);
            }
            let sinks = its.iter().map(|k| k.planned.name.clone()).collect();
            Arc::new(PlannedGroup { name: name.clone(), processor, sinks })
        });
        group_of.extend(members.into_iter().map(|m| (m, group.clone())));
    }
    let in_group = |mut k: PlannedSink| {
        if let Some(group) = group_of.get(&k.planned.name) {
            k.group = Some(group.clone()?);
        }
        Some(k)
    };
    sinks.into_iter().filter_map(in_group).collect()
}

fn place<'a>(part: &'a Part, key: &str) -> &'a Place {
    let first = part.properties.first().map_or(&part.listed, |p| &p.place);
    part.get(key).map_or(first, |p| &p.place)
}

/// The sinks that a group lists and no earlier one has; `None`: there are none, or that cannot be known.
fn members(
    judge: &mut Judge,
    part: &Part,
    names: &Names,
    listed_by: &mut BTreeMap<String, String>,
) -> Option<Vec<String>> {
    let key = part.full("sinks");
    let Some(p) = part.get("sinks") else {
        let what = "required key is missing: the names of the group's sinks";
        judge.problems.error(place(part, "sinks"), key, what);
        return None;
    };
    if judge.is_unknown_key(&key) {
        return None;
    }
    let (mut members, mut said) = (Vec::new(), Vec::new());
    for name in unique(&p.value) {
        if names.sinks.as_ref().is_some_and(|all| !all.contains(&name)) {
            said.push(no_sink(judge, names, p, &name));
        } else if let Some(other) = listed_by.get(&name) {
            let name = if p.is_hidden { HIDDEN } else { &name };
            said.push(format!("sink {name} is in group {other} already"));
        } else {
            listed_by.insert(name.clone(), part.name.clone());
            members.push(name);
        }
    }
    if members.is_empty() {
        judge.problems.error(&p.place, key, format!("no sink is left for it: {}", said.join("; ")));
        return None;
    }
    for what in said {
        judge.problems.warning(&p.place, key.clone(), format!("{what}: left out"));
    }
    Some(members)
}

/// `by`: the property that names the sink.
fn no_sink(judge: &Judge, names: &Names, by: &Property, name: &str) -> String {
    let agent = &judge.agent.name;
    if by.is_hidden {
        return format!("no sink {HIDDEN} in {agent}.sinks");
    }
    if judge.agent.part(Group::Sinks, name).is_some() {
        return format!("sink {name} has properties, but {agent}.sinks does not list it");
    }
    let listed = names.sinks.iter().flatten().map(String::as_str);
    let hint = nearest(name, listed).map(|n| format!(", did you mean {n}?")).unwrap_or_default();
    let hint = if name.contains(',') { NO_COMMAS.to_owned() } else { hint };
    format!("no sink {name} in {agent}.sinks{hint}")
}

fn processor(judge: &mut Judge, group: &Part) -> Option<Context> {
    let part = group.under(PROCESSOR, place(group, "processor.type"));
    if part.get("type").is_none()
        && !part.properties.iter().any(|p| nearest("type", [p.name.as_str()].into_iter()).is_some())
    {
        let what =
            "required key is missing; expected default, failover or load_balance. (Flume's guide says \
                    'default' for none, but Flume does not run such a group, nor its sinks)";
        judge.problems.error(&part.listed, part.full("type"), what);
        return None;
    }
    judge.component(Kind::Processor, &part, &["type"], None).map(|p| p.context)
}

/// Keys that a group has not.
fn strangers(judge: &mut Judge, part: &Part) {
    for p in part.properties.iter().filter(|p| p.name != "sinks" && !p.name.starts_with(PROCESSOR)) {
        let hint =
            nearest(&p.name, ["sinks", "processor.type"].into_iter()).map(|n| format!("; did you mean {n}?"));
        let what = format!("unknown key of a sink group: ignored{}", hint.unwrap_or_default());
        judge.problems.warning(&p.place, part.full(&p.name), what);
    }
}

/// Whether the processor can do with these sinks.
fn judged(judge: &mut Judge, group: &Part, processor: &Context, members: &[String]) -> bool {
    let mut is_good = true;
    for found in judge.catalog.group(processor, members) {
        let (place, key) = match &found.key {
            Some(key) => (processor.place(key).clone(), processor.full(key)),
            None => (place(group, "sinks").clone(), group.full("sinks")),
        };
        is_good &= found.severity != Severity::Error;
        judge.problems.push(Problem { severity: found.severity, place, key, message: found.what });
    }
    is_good
}

#[cfg(test)]
mod tests;
