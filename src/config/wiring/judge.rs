//! Judges one agent's components one at a time: are they there, of what type, are their keys right.
//!
//! Also the agent's own lists. Used by `wiring` for channels and by `flow` for what is attached to them.

use super::*;
use crate::config::context::unknown_shown_type;
use crate::config::property::{Property, Shown, HIDDEN};
use std::collections::BTreeSet;

/// The names an agent lists. `None`: the list is missing or unreadable, which has been reported, so that
/// nothing can be said of a name that is not on it.
pub(super) struct Names {
    pub channels: Option<Vec<String>>,
    pub sources: Option<Vec<String>>,
    pub sinks: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
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
    pub catalog: &'a dyn Catalog,
    /// Full names of properties whose values are not known, as an expression in them has no value. Each has been
    /// reported, nothing else is said of them.
    unknown: BTreeSet<String>,
    filters: filter::Filters,
}

impl<'a> Judge<'a> {
    pub fn new(agent: &'a Agent, catalog: &'a dyn Catalog, problems: &'a mut Problems) -> Judge<'a> {
        Judge { agent, problems, catalog, unknown: BTreeSet::new(), filters: filter::Filters::default() }
    }

    /// The agent's own keys. Errors leave the rest of them standing, for a lenient run.
    pub fn settings(&mut self, declared: &'static Declared) -> Option<Context> {
        let path = format!("{}.flumed", self.agent.name);
        for p in self.agent.settings.iter().filter(|p| p.is_unknown) {
            self.unknown.insert(format!("{path}.{}", p.name));
        }
        let given = self.filtered(&path, self.agent.settings.clone());
        let part = Part { path, name: "flumed".into(), properties: given, listed: self.agent.place.clone() };
        let mut wrong = BTreeSet::new();
        if let Ok(c) = self.context(declared, &part, &part.listed.clone(), &[], Some(&mut wrong)) {
            return Some(c);
        }
        let is_right = |p: &&Property| !wrong.contains(&part.full(&p.name));
        let right: Vec<Property> = part.properties.iter().filter(is_right).cloned().collect();
        let mut unheard = Problems::default();
        Context::parse(declared, &part.path, &part.listed, &right, &[], self.catalog, &mut unheard).ok()
    }

    /// Reads the five lists and says what is missing among them, or not supported.
    pub fn names(&mut self) -> Names {
        let names = Names {
            channels: self.list(Group::Channels),
            sources: self.list(Group::Sources),
            sinks: self.list(Group::Sinks),
            groups: match self.agent.list(Group::SinkGroups) {
                Some(_) => self.list(Group::SinkGroups),
                None => Some(Vec::new()),
            },
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
        if list.is_unknown {
            self.unknown.insert(list.name.clone());
            return None;
        }
        Some(unique(&list.value))
    }

    /// Makes the agent's config filters, before anything that may ask them. `runs`: else nothing is asked.
    pub fn config_filters(&mut self, runs: bool) {
        let names = self.list(Group::ConfigFilters).unwrap_or_default();
        for name in &names {
            let Some(part) = self.listed(Group::ConfigFilters, name) else {
                self.filters.add(name, None);
                continue;
            };
            let planned = self.component(Kind::ConfigFilter, &part, &["type"], None);
            let made = planned.filter(|_| runs).and_then(|p| filter::build(&p.context));
            self.filters.add(name, made);
        }
    }

    pub fn channel(&mut self, name: &str) -> Option<Planned> {
        let part = self.part(Group::Channels, name)?;
        self.component(Kind::Channel, &part, &["type"], None)
    }

    /// A listed component's properties, with the values that its config filters give.
    pub fn part(&mut self, group: Group, name: &str) -> Option<Part> {
        let part = self.listed(group, name)?;
        let properties = self.filtered(&part.path, part.properties);
        Some(Part { properties, ..part })
    }

    /// A listed component's properties as they stand in the files.
    fn listed(&mut self, group: Group, name: &str) -> Option<Part> {
        let list = self.agent.list(group)?;
        let path = format!("{}.{}.{name}", self.agent.name, group.word());
        let Some(properties) = self.agent.part(group, name) else {
            let listed = unique(&list.value);
            let others = self.agent.part_names(group).filter(|n| !listed.iter().any(|l| l == n));
            let hint = nearest(name, others).map(|n| format!("; did you mean {n}, which has?"));
            let what = format!("listed but has no properties{}", hint.unwrap_or_default());
            // A name that no key has may be what is not to be shown.
            match list.is_hidden {
                true => self.problems.error(&list.place, &list.name, format!("{HIDDEN}: {what}")),
                false => self.problems.error(&list.place, path, what),
            }
            return None;
        };
        for p in properties.iter().filter(|p| p.is_unknown) {
            self.unknown.insert(format!("{path}.{}", p.name));
        }
        let properties = properties.to_vec();
        Some(Part { path, name: name.to_owned(), properties, listed: list.place.clone() })
    }

    /// The properties with the values of config filters. A key without its value is remembered; the property
    /// stays, so that its key is not called missing.
    fn filtered(&mut self, path: &str, mut properties: Vec<Property>) -> Vec<Property> {
        for p in properties.iter_mut().filter(|p| !p.is_unknown) {
            let full = format!("{path}.{}", p.name);
            if !self.filters.apply(p, &full, self.problems) {
                p.is_unknown = true;
                self.unknown.insert(full);
            }
        }
        properties
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
        self.judged(kind, part, reserved, default)?.ok()
    }

    /// The same; `Err`: it has errors, and is there only for what else can be said of it. `None`: its type is not known.
    pub fn judged(
        &mut self,
        kind: Kind,
        part: &Part,
        reserved: &[&str],
        default: Option<&str>,
    ) -> Option<Result<Planned, Planned>> {
        let given = part.get("type");
        let place = given.map_or(&part.listed, |p| &p.place).clone();
        let Some(text) = given.map(|p| p.value.as_str()).or(default) else {
            let slip = nearest("type", part.properties.iter().map(|p| p.name.as_str()));
            let hint = slip.map(|n| format!("; is {} meant for it?", part.full(n))).unwrap_or_default();
            self.problems.error(&place, part.full("type"), format!("required key is missing{hint}"));
            return None;
        };
        if self.is_unknown_key(&part.full("type")) {
            return None;
        }
        let Some(declared) = self.catalog.find(kind, text) else {
            let shown = Shown { text, is_hidden: given.is_some_and(|p| p.is_hidden) };
            self.problems.error(&place, part.full("type"), unknown_shown_type(kind, shown, self.catalog));
            return None;
        };
        let planned = |context| Planned { name: part.name.clone(), declared, context };
        Some(match self.context(declared, part, &place, reserved, None) {
            Ok(context) if !self.is_unknown_below(&part.path) => Ok(planned(context)),
            Ok(context) => Err(planned(context)),
            Err(Doubtful(context)) => Err(planned(*context)),
        })
    }

    fn context(
        &mut self,
        declared: &'static Declared,
        part: &Part,
        place: &Place,
        reserved: &[&str],
        wrong: Option<&mut BTreeSet<String>>,
    ) -> Result<Context, Doubtful> {
        let mut found = Problems::default();
        let properties = &self.with_globals(declared, part);
        let c = Context::parse(declared, &part.path, place, properties, reserved, self.catalog, &mut found);
        if let Some(wrong) = wrong {
            wrong.extend(found.sorted().iter().map(|p| p.key.clone()));
            wrong.extend(self.unknown.iter().cloned());
        }
        let unknown = &self.unknown;
        self.problems.absorb(found, |p| !unknown.contains(&p.key));
        c
    }

    /// The properties of a component, and what is said for all that have `ssl = true` where it does not say it.
    fn with_globals(&self, declared: &'static Declared, part: &Part) -> Vec<Property> {
        let mut properties = part.properties.clone();
        let said = |name: &str| {
            let older = || declared.all_keys().filter(|k| k.now == Some(name)).find_map(|k| part.get(k.name));
            part.get(name).or_else(older)
        };
        if said("ssl").is_some_and(|p| p.value.eq_ignore_ascii_case("true")) {
            let missing = declared.all_keys().filter(|k| said(k.name).is_none());
            let variable = |name: &str| std::env::var(name).ok();
            let global = |k: &Key| {
                k.global.filter(|g| g.is_for(declared.kind))?.find(k.name, &self.agent.system, variable)
            };
            properties.extend(missing.filter_map(global));
        }
        properties
    }

    /// Properties of components that no list names: nothing is built from them.
    pub fn unlisted(&mut self, names: &Names) {
        let filters =
            Some(self.agent.list(Group::ConfigFilters).map(|p| unique(&p.value)).unwrap_or_default());
        let lists = [
            (Group::ConfigFilters, &filters),
            (Group::Channels, &names.channels),
            (Group::Sources, &names.sources),
            (Group::Sinks, &names.sinks),
            (Group::SinkGroups, &names.groups),
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
