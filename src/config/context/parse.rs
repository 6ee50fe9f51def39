//! From the properties of a component to its context: each key by its declared type, then the component's own checks.
//!
//! Goes on after a key that is no good, so that all findings come in one round: the checks run too, and are heard where
//! they did not look at such a key (`doubts`). Called by the thread that loads a configuration; no locks.

use super::doubts::Doubts;
use super::{unknown_shown_type, Catalog, Context, Doubtful};
use crate::config::problem::{Place, Problems};
use crate::config::property::{Property, Shown};
use crate::config::spec::{Bad, Check, Declared, Default, Key, Kind, Type};
use crate::config::suggest;
use crate::config::value::{parse_value, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Context {
    /// Parses `properties` of the component at `path` (such as `a1.sources.r1`). Adds all that is wrong to
    /// `problems`: of each key, and what the component's checks say of those that are right. With an error among it the
    /// context is one to be judged only. `reserved` names the keys that the wiring reads.
    pub fn parse(
        declared: &'static Declared,
        path: &str,
        place: &Place,
        properties: &[Property],
        reserved: &[&str],
        catalog: &dyn Catalog,
        problems: &mut Problems,
    ) -> Result<Context, Doubtful> {
        let before = problems.errors();
        let properties = &by_their_names_of_now(declared, path, properties, problems)[..];
        let mut doubts = Doubts::default();
        let mut c = Context {
            name: path.rsplit('.').next().unwrap_or(path).to_owned(),
            path: path.to_owned(),
            declared,
            added: catalog.added(declared),
            values: BTreeMap::new(),
            places: properties.iter().map(|p| (p.name.clone(), p.place.clone())).collect(),
            place: place.clone(),
            hidden: properties
                .iter()
                .filter(|p| p.is_secret())
                .map(|p| (p.name.clone(), p.value.clone()))
                .collect(),
            doubts: None,
        };
        problems.uses(declared);
        for key in declared.all_keys() {
            let before = problems.errors();
            c.read(key, properties, catalog, problems);
            if problems.errors() > before || properties.iter().any(|p| p.is_unknown && belongs(p, key)) {
                doubts.add(key.name);
            }
        }
        for p in properties {
            if !reserved.contains(&p.name.as_str()) && !c.declares(p) {
                let what = match catalog.unsupported_key(declared.kind, declared.name, &p.name) {
                    Some(what) => what,
                    None => unknown_key(declared, &p.name, reserved),
                };
                problems.warning(&p.place, format!("{path}.{}", p.name), what);
            }
        }
        c.doubts = Some(Arc::new(doubts));
        for (key, what) in declared.checks().flat_map(|check| c.told(check)) {
            problems.error(c.place(key), c.full(key), c.without_hidden(key, what));
        }
        for (key, what) in declared.advice.into_iter().flat_map(|advice| c.told(advice)) {
            problems.warning(c.place(key), c.full(key), c.without_hidden(key, what));
        }
        match problems.errors() == before {
            true => Ok(Context { doubts: c.doubts.filter(|d| !d.is_empty()), ..c }),
            false => Err(Doubtful(Box::new(c))),
        }
    }

    /// What a check says: nothing of keys whose values are not known, and nothing that follows from one.
    fn told(&self, check: Check) -> Vec<(&'static str, String)> {
        let doubts = self.doubts.clone().unwrap_or_default();
        doubts.begin();
        let mut told = check(self);
        told.retain(|(key, _)| !doubts.were_asked() && !doubts.has(key));
        told
    }

    fn declares(&self, p: &Property) -> bool {
        self.declared.all_keys().any(|k| belongs(p, k))
    }

    fn read(
        &mut self,
        key: &'static Key,
        properties: &[Property],
        catalog: &dyn Catalog,
        problems: &mut Problems,
    ) {
        if matches!(key.ty, Type::Prefix | Type::ChannelsBelow) {
            let map = properties
                .iter()
                .filter_map(|p| Some((p.name.strip_prefix(key.name)?.to_owned(), p.value.clone())))
                .collect();
            if let Some(why) = key.ignored {
                let all = properties.iter().filter(|p| p.name.starts_with(key.name));
                for p in all.filter(|p| !self.declared.all_keys().any(|k| k.name == p.name)) {
                    problems.ignored(&p.place, format!("{}.{}", self.path, p.name), why);
                }
            }
            self.values.insert(key.name, Value::Map(map));
            return;
        }
        let full = format!("{}.{}", self.path, key.name);
        let given = properties.iter().find(|p| p.name == key.name);
        let fallback = match key.default {
            Default::Is(text) => Some(text),
            _ => None,
        };
        let place = given.map_or(&self.place, |p| &p.place).clone();
        let Some(text) = given.map(|p| p.value.as_str()).or(fallback) else {
            if key.default == Default::Required {
                problems.error(&place, full, format!("required key is missing; {}", key.help));
            }
            return;
        };
        if let (Some(why), Some(_)) = (key.ignored, given) {
            problems.ignored(&place, &full, why);
        }
        let shown = Shown { text, is_hidden: self.hidden.contains_key(key.name) };
        let parsed = match key.ty {
            Type::Component(kind) => {
                self.component_of(kind, key, shown, &place, properties, catalog, problems)
            }
            Type::Components(kind, default) => {
                Ok(self.components_of(kind, default, key, shown, &place, properties, catalog, problems))
            }
            _ => parse_value(key.ty, shown).map(Some),
        };
        let use_default = |c: &mut Context| {
            // A part of the owner cannot be made from its type alone.
            let text = fallback.filter(|_| !matches!(key.ty, Type::Component(_) | Type::Components(..)));
            let value = text.and_then(|d| parse_value(key.ty, Shown { text: d, is_hidden: false }).ok());
            if let Some(v) = value {
                c.values.insert(key.name, v);
            }
        };
        match parsed {
            Ok(Some(v)) => {
                if key.ty == Type::Bool
                    && !text.eq_ignore_ascii_case("true")
                    && !text.eq_ignore_ascii_case("false")
                {
                    problems.warning(
                        &place,
                        full,
                        format!("{shown} means false, as in Flume; write true or false"),
                    );
                }
                self.values.insert(key.name, v);
            }
            Ok(None) => {}
            Err(why) if falls_back(key.bad, text) => {
                let used = fallback.map_or("its default".to_owned(), |d| d.to_owned());
                problems.warning(&place, full, format!("{why}; using {used}, as Flume does"));
                use_default(self);
            }
            Err(why) => {
                problems.error(&place, full, why);
                use_default(self);
            }
        }
    }

    /// `None`: the part has errors, which have been reported.
    #[allow(clippy::too_many_arguments)]
    fn component_of(
        &self,
        kind: Kind,
        key: &'static Key,
        type_name: Shown<'_>,
        place: &Place,
        properties: &[Property],
        catalog: &dyn Catalog,
        problems: &mut Problems,
    ) -> Result<Option<Value>, String> {
        let Some(declared) = catalog.find(kind, type_name.text) else {
            return Err(unknown_shown_type(kind, type_name, catalog));
        };
        let below = format!("{}.", key.name);
        // A key declared by the owner (`sink.pathManager` beside `sink.pathManager.prefix`) is not the part's.
        let is_owners = |p: &&Property| self.declared.all_keys().any(|k| k.name == p.name);
        let inner: Vec<Property> = properties
            .iter()
            .filter(|p| !is_owners(p))
            .filter_map(|p| Some(Property { name: p.name.strip_prefix(&below)?.to_owned(), ..p.clone() }))
            .collect();
        let path = format!("{}.{}", self.path, key.name);
        // Without a context its errors are among the problems already: they make the owner fail too.
        let inner = Context::parse(declared, &path, place, &inner, &[], catalog, problems);
        Ok(inner.ok().map(|c| Value::Component(Box::new(c))))
    }

    /// `None`: some part has errors, which have been reported.
    #[allow(clippy::too_many_arguments)]
    fn components_of(
        &self,
        kind: Kind,
        default: &str,
        key: &'static Key,
        listing: Shown<'_>,
        listed: &Place,
        properties: &[Property],
        catalog: &dyn Catalog,
        problems: &mut Problems,
    ) -> Option<Value> {
        let names: Vec<&str> = listing.text.split_whitespace().collect();
        let below = format!("{}.", key.name);
        let mut made = Vec::new();
        for name in &names {
            let own = format!("{below}{name}.");
            let inner: Vec<Property> = properties
                .iter()
                .filter_map(|p| Some(Property { name: p.name.strip_prefix(&own)?.to_owned(), ..p.clone() }))
                .collect();
            let given = inner.iter().find(|p| p.name == "type");
            let place = given.map_or(listed, |p| &p.place);
            let shown = Shown { text: name, is_hidden: listing.is_hidden }.bare();
            let path = format!("{}.{below}{shown}", self.path);
            let text = given.map_or(default, |p| p.value.as_str());
            let Some(declared) = catalog.find(kind, text) else {
                let type_name = Shown { text, is_hidden: given.is_some_and(Property::is_secret) };
                problems.error(place, format!("{path}.type"), unknown_shown_type(kind, type_name, catalog));
                continue;
            };
            let part = Context::parse(declared, &path, place, &inner, &["type"], catalog, problems);
            made.extend(part.map(|c| Context { name: (*name).to_owned(), ..c }));
        }
        let mut said = BTreeSet::new();
        for p in properties {
            let Some(name) = p.name.strip_prefix(&below).and_then(|r| r.split('.').next()) else { continue };
            if !names.contains(&name) && said.insert(name) {
                let what = format!("unused: {}.{} does not list it", self.path, key.name);
                problems.warning(&p.place, format!("{}.{below}{name}", self.path), what);
            }
        }
        (made.len() == names.len()).then_some(Value::Components(made))
    }
}

/// The properties with older names replaced by those that keys have now.
fn by_their_names_of_now(
    declared: &Declared,
    path: &str,
    properties: &[Property],
    problems: &mut Problems,
) -> Vec<Property> {
    let mut all = properties.to_vec();
    for (old, now) in declared.all_keys().filter_map(|k| Some((k.name, k.now?))) {
        let is_there = all.iter().any(|p| p.name == now);
        for p in all.iter_mut().filter(|p| p.name == old) {
            match is_there {
                true => problems.ignored(&p.place, format!("{path}.{old}"), format!("{now} is there, too")),
                false => p.name = now.to_owned(),
            }
        }
    }
    all
}

/// Whether this is what the user wrote for a key, or below it.
fn belongs(p: &Property, key: &Key) -> bool {
    match key.ty {
        Type::Prefix | Type::ChannelsBelow => p.name.starts_with(key.name),
        Type::Component(_) | Type::Components(..) => {
            p.name == key.name || p.name.strip_prefix(key.name).is_some_and(|r| r.starts_with('.'))
        }
        _ => p.name == key.name,
    }
}

/// Whether a value that is no good means the default.
fn falls_back(bad: Bad, text: &str) -> bool {
    match bad {
        Bad::Refuse => false,
        Bad::Default => true,
        Bad::DefaultIfOutOfRange => text.parse::<i64>().is_ok(),
    }
}

fn unknown_key(declared: &Declared, key: &str, reserved: &[&str]) -> String {
    let hint =
        suggest::key(declared, key, reserved).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    format!("unknown key of {} {}: ignored{hint}", declared.kind.word(), declared.name)
}
