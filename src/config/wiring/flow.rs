//! Sources and sinks: the channels they are attached to, and a source's selector and interceptors.
//!
//! Judges every part of a component before giving it up, so that all its mistakes come out at once.

use super::judge::{unique, Judge, Names, Part};
use super::*;
use crate::config::plan::{PlannedSink, PlannedSource};
use crate::config::property::{Property, HIDDEN};
use crate::config::spec::Type;
use std::collections::BTreeSet;

/// The keys of a source that are read here; `selector.` and `interceptors.` are taken out before the rest.
const SOURCE_KEYS: [&str; 4] = ["type", "channels", "interceptors", "selector.type"];
const SINK_KEYS: [&str; 2] = ["type", "channel"];

pub(super) struct Flow<'a> {
    /// As listed; `None` when that cannot be known.
    listed: Option<&'a [String]>,
    /// Those without errors.
    good: &'a [Planned],
    /// Every name some source mentions, whether that one has errors or not; then the same of sinks.
    written: BTreeSet<String>,
    read: BTreeSet<String>,
    /// All sinks and their channels are known, so that a channel can be said to have none.
    are_sinks_known: bool,
}

impl<'a> Flow<'a> {
    pub fn new(names: &'a Names, good: &'a [Planned]) -> Flow<'a> {
        Flow {
            listed: names.channels.as_deref(),
            good,
            written: BTreeSet::new(),
            read: BTreeSet::new(),
            are_sinks_known: names.sinks.is_some(),
        }
    }

    fn is_good(&self, channel: &str) -> bool {
        self.good.iter().any(|c| c.name == channel)
    }

    fn is_listed(&self, channel: &str) -> bool {
        self.listed.is_none_or(|l| l.iter().any(|n| n == channel))
    }

    pub fn source(&mut self, judge: &mut Judge, name: &str) -> Option<PlannedSource> {
        let mut part = judge.part(Group::Sources, name)?;
        let place = part.get("type").map_or(&part.listed, |p| &p.place).clone();
        let selector = part.under("selector.", &place);
        let interceptors = self.interceptors(judge, &part);
        let named = self.source_channels(judge, &part, &place);
        let selector = self.selector(judge, &selector, named.as_deref());
        part.properties.retain(|p| !p.name.starts_with("selector.") && !p.name.starts_with("interceptors."));
        let judged = judge.judged(Kind::Source, &part, &SOURCE_KEYS, None);

        let channels: Vec<String> = named?.into_iter().filter(|c| self.is_good(c)).collect();
        let judged = judged?;
        let fits = channels.iter().all(|c| self.batch_fits(judge, &judged, c));
        let (planned, selector, interceptors) = (judged.ok()?, selector?, interceptors?);
        let runs = fits && !channels.is_empty() && !judge.is_unknown_below(&part.path);
        // A selector that names a channel with errors would send events to nowhere: Flume drops the source.
        let runs = runs && selectors::selected(&selector).iter().all(|(_, c)| channels.contains(c));
        runs.then_some(PlannedSource { planned, channels, selector: selector.context, interceptors })
    }

    /// The names a source writes to, without those that no list has; `None`: none, or not known.
    fn source_channels(&mut self, judge: &mut Judge, part: &Part, place: &Place) -> Option<Vec<String>> {
        let key = part.full("channels");
        let Some(p) = part.get("channels") else {
            let what = "required key is missing: the names of the channels to write to";
            judge.problems.error(place, key, what);
            return None;
        };
        if judge.is_unknown_key(&key) {
            return None;
        }
        let names = unique(&p.value);
        self.written.extend(names.iter().cloned());
        let (known, strange): (Vec<String>, Vec<String>) = names.into_iter().partition(|n| self.is_listed(n));
        if known.is_empty() {
            let said: Vec<String> = strange.iter().map(|n| self.no_channel(judge, p, n)).collect();
            judge.problems.error(&p.place, key, said.join("; "));
            return None;
        }
        for n in &strange {
            let what = format!(
                "{}: left out, the source writes to its other channels",
                self.no_channel(judge, p, n)
            );
            judge.problems.warning(&p.place, key.clone(), what);
        }
        Some(known)
    }

    /// `by`: the property that names the channel.
    fn no_channel(&self, judge: &Judge, by: &Property, name: &str) -> String {
        if by.is_hidden {
            return format!("no channel {HIDDEN} in {}.channels", judge.agent.name);
        }
        let agent = &judge.agent.name;
        if judge.agent.part(Group::Channels, name).is_some() {
            return format!("channel {name} has properties, but {agent}.channels does not list it");
        }
        let listed = self.listed.unwrap_or_default();
        let hint = nearest(name, listed.iter().map(String::as_str)).map(|n| format!(", did you mean {n}?"));
        let hint = if name.contains(',') { Some(NO_COMMAS.to_owned()) } else { hint };
        format!("no channel {name} in {agent}.channels{}", hint.unwrap_or_default())
    }

    fn selector(&self, judge: &mut Judge, part: &Part, channels: Option<&[String]>) -> Option<Planned> {
        let is_mapping =
            |p: &&Property| ["mapping.", "default", "header"].iter().any(|k| p.name.starts_with(k));
        if let (None, Some(p)) = (part.get("type"), part.properties.iter().find(is_mapping)) {
            let what = "not set, so every event goes to every channel: is multiplexing meant?";
            judge.problems.warning(&p.place, part.full("type"), what);
        }
        let planned = judge.component(Kind::Selector, part, &["type"], Some("replicating"))?;
        let Some(channels) = channels else { return Some(planned) };
        let is_right = selectors::judge(judge, part, &planned, channels);
        is_right.then_some(planned)
    }

    fn interceptors(&self, judge: &mut Judge, source: &Part) -> Option<Vec<Context>> {
        let all = source.under("interceptors.", &source.listed);
        let list = source.get("interceptors");
        if judge.is_unknown_key(&source.full("interceptors")) {
            return None;
        }
        let names: Vec<&str> = list.map(|p| p.value.split_whitespace().collect()).unwrap_or_default();
        let mut made: Vec<Option<Context>> = Vec::new();
        for (i, name) in names.iter().enumerate() {
            // Listed twice: the same settings twice, judged once.
            if let Some(first) = names[..i].iter().position(|n| n == name) {
                made.push(made[first].clone());
                continue;
            }
            let listed = list.map_or(&source.listed, |p| &p.place);
            let part = Part { name: (*name).to_owned(), ..all.under(&format!("{name}."), listed) };
            // A name that no key has may be what is not to be shown.
            if part.properties.is_empty() && list.is_some_and(|l| l.is_hidden) {
                let what = format!("{HIDDEN}: listed but has no properties");
                judge.problems.error(listed, source.full("interceptors"), what);
                made.push(None);
                continue;
            }
            made.push(judge.component(Kind::Interceptor, &part, &["type"], None).map(|p| p.context));
        }
        let mut said = BTreeSet::new();
        for p in &all.properties {
            let name = p.name.split('.').next().unwrap_or_default();
            if !names.contains(&name) && said.insert(name) {
                let what = format!("unused: {} does not list it", all.path);
                judge.problems.warning(&p.place, all.full(name), what);
            }
        }
        made.into_iter().collect()
    }

    pub fn sink(&mut self, judge: &mut Judge, name: &str) -> Option<PlannedSink> {
        let Some(part) = judge.part(Group::Sinks, name) else {
            self.are_sinks_known = false;
            return None;
        };
        let judged = judge.judged(Kind::Sink, &part, &SINK_KEYS, None);
        let channel = self.sink_channel(judge, &part);
        self.are_sinks_known &= channel.is_some();
        let (judged, channel) = (judged?, channel?);
        let runs = self.is_good(&channel) && self.batch_fits(judge, &judged, &channel);
        let planned = judged.ok().filter(|_| runs)?;
        Some(PlannedSink { planned, channel, group: None })
    }

    fn sink_channel(&mut self, judge: &mut Judge, part: &Part) -> Option<String> {
        let key = part.full("channel");
        let Some(p) = part.get("channel") else {
            let place = part.get("type").map_or(&part.listed, |p| &p.place);
            let what = "required key is missing: the name of the channel to read from";
            judge.problems.error(place, key, what);
            return None;
        };
        if judge.is_unknown_key(&key) {
            return None;
        }
        let names = unique(&p.value);
        self.read.extend(names.iter().cloned());
        let [name] = names.as_slice() else {
            let what = format!("a sink reads from exactly one channel, not from {}", names.len());
            judge.problems.error(&p.place, key, what);
            return None;
        };
        if !self.is_listed(name) {
            let what = self.no_channel(judge, p, name);
            judge.problems.error(&p.place, key, what);
            return None;
        }
        Some(name.clone())
    }

    /// Whether one transaction of the channel holds a whole batch; an error is reported if not.
    fn batch_fits(&self, judge: &mut Judge, owner: &Result<Planned, Planned>, channel: &str) -> bool {
        let (Ok(owner) | Err(owner)) = owner;
        let Some(key) = owner.declared.batch_key.filter(|key| owner.context.is_known(key)) else {
            return true;
        };
        let Some(channel) = self.good.iter().find(|c| c.name == channel) else { return true };
        if !channel.declared.all_keys().any(|k| k.name == CAPACITY && matches!(k.ty, Type::Int(..))) {
            return true;
        }
        let (Some(batch), Some(room)) = (owner.context.int(key), channel.context.int(CAPACITY)) else {
            return true;
        };
        if batch <= room {
            return true;
        }
        let what = format!(
            "{}{} is more than {} = {}{}",
            owner.context.shown(key, &batch.to_string()),
            written(&owner.context, key),
            channel.context.full(CAPACITY),
            channel.context.shown(CAPACITY, &room.to_string()),
            written(&channel.context, CAPACITY),
        );
        judge.problems.error(owner.context.place(key), owner.context.full(key), what);
        false
    }

    /// Channels that nobody mentions are not built, as in Flume; those that nobody reads are.
    pub fn unattached(&self, judge: &mut Judge) {
        for c in self.good.iter().filter(|c| !self.read.contains(&c.name)) {
            let what = match self.written.contains(&c.name) {
                false => "no source or sink uses it: left out",
                true if self.are_sinks_known => "no sink reads from it: once it is full, its sources wait",
                true => continue,
            };
            let path = format!("{}.channels.{}", judge.agent.name, c.name);
            judge.problems.warning(c.context.place("type"), path, what);
        }
    }
}

const CAPACITY: &str = "transactionCapacity";

/// Where a value comes from.
fn written(c: &Context, key: &str) -> String {
    match c.is_given(key) {
        true => format!(" (line {})", c.place(key).line),
        false => " (the default)".to_owned(),
    }
}
