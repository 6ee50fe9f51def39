//! Judges one agent's components one at a time: are they there, of what type, are their keys right.
//!
//! Also the agent's own lists. Used by `wiring` for channels and by `flow` for what is attached to them.

use super::*;
use crate::config::context::{unknown_type, Property};
use std::collections::BTreeSet;

/// The names an agent lists. `None`: the list is missing or unreadable, which has been reported, so that
/// nothing can be said of a name that is not on it.
pub(super) struct Names {
    pub channels: Option<Vec<String>>,
    pub sources: Option<Vec<String>>,
    pub sinks: Option<Vec<String>>,
}

/// A component that is listed and has properties.
pub(super) struct Part {
    pub path: String,
    pub name: String,
    pub properties: Vec<Property>,
    /// Its place in a list.
    pub listed: Place,
}

impl Part {
    pub fn get(&self, key: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name == key)
    }

    pub fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// The part of this part under a prefix such as `selector.`.
    pub fn under(&self, prefix: &str, listed: &Place) -> Part {
        let properties = self.properties.iter();
        Part {
            path: format!("{}.{}", self.path, prefix.trim_end_matches('.')),
            name: prefix.trim_end_matches('.').to_owned(),
            properties: properties
                .filter_map(|p| Some(Property { name: p.name.strip_prefix(prefix)?.to_owned(), ..p.clone() }))
                .collect(),
            listed: listed.clone(),
        }
    }
}

pub(super) struct Judge<'a> {
    pub agent: &'a Agent,
    pub problems: &'a mut Problems,
    catalog: &'a dyn Catalog,
    /// Full names of properties whose values are not known, as they hold expressions. Each has been reported,
    /// nothing else is said of them.
    unknown: BTreeSet<String>,
}

impl<'a> Judge<'a> {
    pub fn new(agent: &'a Agent, catalog: &'a dyn Catalog, problems: &'a mut Problems) -> Judge<'a> {
        Judge { agent, problems, catalog, unknown: BTreeSet::new() }
    }

    /// The agent's own keys. Errors leave the rest of them standing, for a lenient run.
    pub fn settings(&mut self, declared: &'static Declared) -> Option<Context> {
        let path = format!("{}.flumed", self.agent.name);
        let given = self.known(&path, &self.agent.settings);
        let part = Part { path, name: "flumed".into(), properties: given, listed: self.agent.place.clone() };
        let mut wrong = BTreeSet::new();
        if let Some(c) = self.context(declared, &part, &part.listed.clone(), &[], Some(&mut wrong)) {
            return Some(c);
        }
        let is_right = |p: &&Property| !wrong.contains(&part.full(&p.name));
        let right: Vec<Property> = part.properties.iter().filter(is_right).cloned().collect();
        let mut unheard = Problems::default();
        Context::parse(declared, &part.path, &part.listed, &right, &[], self.catalog, &mut unheard)
    }

    /// Reads the five lists and says what is missing among them, or not supported.
    pub fn names(&mut self) -> Names {
        for (group, what) in [(Group::SinkGroups, "sink groups"), (Group::ConfigFilters, "config filters")] {
            if let Some(list) = self.agent.list(group) {
                let what = format!("{what} are not supported by this version");
                self.problems.error(&list.place, &list.name, what);
            }
        }
        let names = Names {
            channels: self.list(Group::Channels),
            sources: self.list(Group::Sources),
            sinks: self.list(Group::Sinks),
        };
        let is_missing = |g: Group| self.agent.list(g).is_none();
        let key = |what: &str| format!("{}.{what}", self.agent.name);
        let place = &self.agent.place;
        if is_missing(Group::Channels) {
            let what = "required key is missing: the names of the agent's channels";
            self.problems.error(place, key("channels"), what);
        }
        match (is_missing(Group::Sources), is_missing(Group::Sinks)) {
            (true, true) => {
                let what = "required key is missing: the agent has neither sources nor sinks";
                self.problems.error(place, key("sources"), what);
            }
            (true, false) => self.problems.warning(place, key("sources"), "the agent has no sources"),
            (false, true) => self.problems.warning(place, key("sinks"), "the agent has no sinks"),
            (false, false) => {}
        }
        names
    }

    fn list(&mut self, group: Group) -> Option<Vec<String>> {
        let list = self.agent.list(group)?;
        if self.is_expression(&list.name, list) {
            return None;
        }
        Some(unique(&list.value))
    }

    pub fn channel(&mut self, name: &str) -> Option<Planned> {
        let part = self.part(Group::Channels, name)?;
        self.component(Kind::Channel, &part, &["type"], None)
    }

    /// A listed component's properties.
    pub fn part(&mut self, group: Group, name: &str) -> Option<Part> {
        let list = self.agent.list(group)?;
        let path = format!("{}.{}.{name}", self.agent.name, group.word());
        let Some(properties) = self.agent.part(group, name) else {
            let listed = unique(&list.value);
            let others = self.agent.part_names(group).filter(|n| !listed.iter().any(|l| l == n));
            let hint = nearest(name, others).map(|n| format!("; did you mean {n}, which has?"));
            let what = format!("listed but has no properties{}", hint.unwrap_or_default());
            self.problems.error(&list.place, path, what);
            return None;
        };
        let properties = self.known(&path, properties);
        Some(Part { path, name: name.to_owned(), properties, listed: list.place.clone() })
    }

    /// The properties with their values as they are meant. An expression that would have to be replaced is
    /// reported and its key remembered; the property stays, so that its key is not called missing.
    fn known(&mut self, path: &str, properties: &[Property]) -> Vec<Property> {
        let mut all = properties.to_vec();
        for p in &mut all {
            if !self.is_expression(&format!("{path}.{}", p.name), p) {
                p.value = p.value.replace("$${", "${");
            }
        }
        all
    }

    fn is_expression(&mut self, full: &str, p: &Property) -> bool {
        if holds_expression(&p.value) {
            let what = "interpolation is not supported by this version; for a literal ${ write $${";
            self.problems.error(&p.place, full, what);
            self.unknown.insert(full.to_owned());
            return true;
        }
        false
    }

    /// Whether this key's value is not known.
    pub fn is_unknown_key(&self, full: &str) -> bool {
        self.unknown.contains(full)
    }

    /// Whether the component at this path has a key whose value is not known.
    pub fn is_unknown_below(&self, path: &str) -> bool {
        self.unknown.iter().any(|k| k.strip_prefix(path).is_some_and(|r| r.starts_with('.')))
    }

    /// Type and settings of a component. `default`: its type when it names none.
    pub fn component(
        &mut self,
        kind: Kind,
        part: &Part,
        reserved: &[&str],
        default: Option<&str>,
    ) -> Option<Planned> {
        let given = part.get("type");
        let place = given.map_or(&part.listed, |p| &p.place).clone();
        let Some(type_name) = given.map(|p| p.value.as_str()).or(default) else {
            let slip = nearest("type", part.properties.iter().map(|p| p.name.as_str()));
            let hint = slip.map(|n| format!("; is {} meant for it?", part.full(n))).unwrap_or_default();
            self.problems.error(&place, part.full("type"), format!("required key is missing{hint}"));
            return None;
        };
        if self.is_unknown_key(&part.full("type")) {
            return None;
        }
        let Some(declared) = self.catalog.find(kind, type_name) else {
            self.problems.error(&place, part.full("type"), unknown_type(kind, type_name, self.catalog));
            return None;
        };
        let context = self.context(declared, part, &place, reserved, None)?;
        (!self.is_unknown_below(&part.path)).then(|| Planned { name: part.name.clone(), declared, context })
    }

    fn context(
        &mut self,
        declared: &'static Declared,
        part: &Part,
        place: &Place,
        reserved: &[&str],
        wrong: Option<&mut BTreeSet<String>>,
    ) -> Option<Context> {
        let mut found = Problems::default();
        let properties = &part.properties;
        let c = Context::parse(declared, &part.path, place, properties, reserved, self.catalog, &mut found);
        if let Some(wrong) = wrong {
            wrong.extend(found.sorted().iter().map(|p| p.key.clone()));
            wrong.extend(self.unknown.iter().cloned());
        }
        let unknown = &self.unknown;
        self.problems.absorb(found, |p| !unknown.contains(&p.key));
        c
    }

    /// Properties of components that no list names: nothing is built from them.
    pub fn unlisted(&mut self, names: &Names) {
        let lists = [
            (Group::Channels, &names.channels),
            (Group::Sources, &names.sources),
            (Group::Sinks, &names.sinks),
        ];
        for (group, listed) in lists {
            // Nothing is on a list that is not there, but that has been said.
            let Some(listed) = listed else { continue };
            for name in self.agent.part_names(group).filter(|n| !listed.iter().any(|l| l == n)) {
                let Some(first) = self.agent.part(group, name).and_then(<[Property]>::first) else {
                    continue;
                };
                let (agent, word) = (&self.agent.name, group.word());
                let what = format!("unused: {agent}.{word} does not list it");
                self.problems.warning(&first.place, format!("{agent}.{word}.{name}"), what);
            }
        }
    }
}

/// The words of a list, each once: a name listed twice is one component.
pub(super) fn unique(list: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    list.split_whitespace().filter(|n| seen.insert(*n)).map(str::to_owned).collect()
}

/// Whether Flume would look for something to put in place of a part of this value: `${...}`, but not `$${...}`.
fn holds_expression(value: &str) -> bool {
    value.match_indices("${").any(|(at, _)| !value[..at].ends_with('$') && value[at..].contains('}'))
}
