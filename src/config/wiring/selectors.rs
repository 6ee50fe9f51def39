//! The channels that a source's selector names: are they the source's, and what does the selector leave out.
//!
//! One finding for each mistake, with what was probably meant. Called by `flow`; no locks.

use super::judge::{Judge, Part};
use super::*;
use crate::config::spec::Type;
use crate::config::suggest;
use std::collections::BTreeSet;

/// Whether all channels that the selector names are among these of its source.
pub(super) fn judge(judge: &mut Judge, part: &Part, planned: &Planned, channels: &[String]) -> bool {
    let mut is_right = true;
    for (key, name) in selected(planned) {
        if !channels.contains(&name) {
            let c = &planned.context;
            let hint = nearest(&name, channels.iter().map(String::as_str)).filter(|_| !c.is_hidden(&key));
            let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            let hint = if name.contains(',') { NO_COMMAS.to_owned() } else { hint };
            let name = c.shown(&key, &name);
            let what = match cut_short(c, &key) {
                Some(meant) => format!(
                    "'{}' is no list of channels of this source: a blank ends a key; is {} meant?",
                    below(c, &key).unwrap_or_default(),
                    part.full(&meant)
                ),
                None => format!("{name} is not a channel of this source{hint}"),
            };
            judge.problems.error(planned.context.place(&key), part.full(&key), what);
            is_right = false;
        }
    }
    if is_right {
        say_what_goes_nowhere(judge, part, planned, channels);
    }
    is_right
}

/// Of a selector that maps values to channels: channels and events that it leaves out.
fn say_what_goes_nowhere(judge: &mut Judge, part: &Part, planned: &Planned, channels: &[String]) {
    let maps = |k: &&crate::config::Key| k.ty == Type::ChannelsBelow;
    if planned.declared.all_keys().find(maps).is_none() {
        return;
    }
    let chosen: BTreeSet<String> = selected(planned).into_iter().map(|(_, name)| name).collect();
    let place = planned.context.place("type").clone();
    for name in channels.iter().filter(|c| !chosen.contains(*c)) {
        let what =
            format!("no key of the selector names channel {name}: it never gets an event from this source");
        judge.problems.warning(&place, part.full("type"), what);
    }
    if !planned.context.is_given("default") {
        let what = "not set: events that nothing maps go nowhere (counted as EventUnroutedCount)";
        judge.problems.warning(&place, part.full("default"), what);
    }
}

/// The value of a key that names a value of events, as a message may show it.
fn below<'a>(c: &'a Context, key: &str) -> Option<&'a str> {
    let mut maps = c.declared().all_keys().filter(|k| k.ty == Type::ChannelsBelow);
    let value = maps.find_map(|k| c.map(k.name).get(key.strip_prefix(k.name)?))?;
    (!c.is_hidden(key)).then_some(value)
}

/// The line that was meant where the blank in such a key ended it.
fn cut_short(c: &Context, key: &str) -> Option<String> {
    suggest::escaped(key, below(c, key)?)
}

/// The channels a selector's keys name, each with its key.
pub(super) fn selected(selector: &Planned) -> Vec<(String, String)> {
    let c = &selector.context;
    let mut all = Vec::new();
    for key in selector.declared.all_keys() {
        match key.ty {
            Type::Channels => all.extend(c.list(key.name).iter().map(|n| (key.name.to_owned(), n.clone()))),
            Type::ChannelsBelow => {
                for (value, names) in c.map(key.name) {
                    let full = format!("{}{value}", key.name);
                    all.extend(names.split_whitespace().map(|n| (full.clone(), n.to_owned())));
                }
            }
            _ => {}
        }
    }
    all
}
