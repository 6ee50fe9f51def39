//! A component's settings: parsed once against its declaration, read through typed getters.
//!
//! Getters name a declared key; asking for an undeclared one, or with the wrong type, is a mistake in the
//! code and panics (every component has a test that builds it). No getter can fail on what the user wrote:
//! that was reported when the context was made. Belongs to the thread that builds the component.

use super::nearest::nearest;
use super::problem::{Place, Problems, Severity};
use super::property::{Property, Shown, HIDDEN};
use super::spec::{Bad, Declared, Default, Key, Kind, Type};
use super::value::{parse_value, Value};
use crate::codec::pattern::Pattern;
use crate::event;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Finds declarations by the type names and classes users write.
pub trait Catalog: Sync {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared>;
    /// Every declaration of a kind, for suggestions.
    fn all(&self, kind: Kind) -> Vec<&'static Declared>;
    /// What to say of a type that Flume has and flumed has not.
    fn unsupported(&self, kind: Kind, type_name: &str) -> Option<String>;
    /// What to say of a key that Flume has for this type and flumed has not.
    fn unsupported_key(&self, _kind: Kind, _type_name: &str, _key: &str) -> Option<String> {
        None
    }
    /// What is wrong with a sink group of these sinks under this processor.
    fn group(&self, _processor: &Context, _sinks: &[String]) -> Vec<GroupFinding> {
        Vec::new()
    }
}

/// What is wrong with a sink group, as its processor sees it.
#[derive(PartialEq, Eq, Debug)]
pub struct GroupFinding {
    pub severity: Severity,
    /// A key of the processor; `None`: the group's list of sinks.
    pub key: Option<String>,
    pub what: String,
}

/// Judges a group's sinks, in the order of its list, under a processor's settings.
pub type GroupCheck = fn(&Context, &[String]) -> Vec<GroupFinding>;

/// The checked settings of one component.
#[derive(Clone)]
pub struct Context {
    name: String,
    path: String,
    declared: &'static Declared,
    values: BTreeMap<&'static str, Value>,
    places: BTreeMap<String, Place>,
    place: Place,
    /// The values, by key, that no message may show.
    hidden: BTreeMap<String, String>,
}

/// What it is and which keys it has: any value may be a secret, also of a key whose name does not say so.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.values.keys().copied().collect();
        write!(f, "{} {} at {}: {}", self.declared.kind.word(), self.declared.name, self.path, keys.join(" "))
    }
}

impl Context {
    /// Parses `properties` of the component at `path` (such as `a1.sources.r1`). Adds what is wrong to
    /// `problems`; with an error among it there is no context. `reserved` names the keys that the wiring reads.
    pub fn parse(
        declared: &'static Declared,
        path: &str,
        place: &Place,
        properties: &[Property],
        reserved: &[&str],
        catalog: &dyn Catalog,
        problems: &mut Problems,
    ) -> Option<Context> {
        let before = problems.errors();
        let mut c = Context {
            name: path.rsplit('.').next().unwrap_or(path).to_owned(),
            path: path.to_owned(),
            declared,
            values: BTreeMap::new(),
            places: properties.iter().map(|p| (p.name.clone(), p.place.clone())).collect(),
            place: place.clone(),
            hidden: properties
                .iter()
                .filter(|p| p.is_secret())
                .map(|p| (p.name.clone(), p.value.clone()))
                .collect(),
        };
        problems.uses(declared);
        for key in declared.all_keys() {
            c.read(key, properties, catalog, problems);
        }
        for p in properties {
            if !reserved.contains(&p.name.as_str()) && !c.declares(&p.name) {
                let what = match catalog.unsupported_key(declared.kind, declared.name, &p.name) {
                    Some(what) => what,
                    None => unknown_key(declared, &p.name, reserved),
                };
                problems.warning(&p.place, format!("{path}.{}", p.name), what);
            }
        }
        if problems.errors() == before {
            for (key, what) in declared.checks().flat_map(|check| check(&c)) {
                problems.error(c.place(key), c.full(key), c.without_hidden(key, what));
            }
            for (key, what) in declared.advice.into_iter().flat_map(|advice| advice(&c)) {
                problems.warning(c.place(key), c.full(key), c.without_hidden(key, what));
            }
        }
        (problems.errors() == before).then_some(c)
    }

    fn declares(&self, name: &str) -> bool {
        self.declared.all_keys().any(|k| match k.ty {
            Type::Prefix | Type::ChannelsBelow => name.starts_with(k.name),
            Type::Component(_) | Type::Components(..) => {
                name == k.name || name.strip_prefix(k.name).is_some_and(|r| r.starts_with('.'))
            }
            _ => name == k.name,
        })
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
                if let Some(v) =
                    fallback.and_then(|d| parse_value(key.ty, Shown { text: d, is_hidden: false }).ok())
                {
                    self.values.insert(key.name, v);
                }
            }
            Err(why) => problems.error(&place, full, why),
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
        Ok(inner.map(|c| Value::Component(Box::new(c))))
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

    /// Whether both would build the same component, wherever in a file they stand.
    pub fn says_the_same(&self, other: &Context) -> bool {
        std::ptr::eq(self.declared, other.declared)
            && (&self.name, &self.path) == (&other.name, &other.path)
            && self.values == other.values
    }

    /// Whether a component that runs with these settings can go on with the other ones.
    pub fn can_become(&self, other: &Context) -> bool {
        std::ptr::eq(self.declared, other.declared)
            && self
                .declared
                .all_keys()
                .filter(|k| k.is_fixed)
                .all(|k| self.values.get(k.name) == other.values.get(k.name))
    }

    /// The component's own name, such as `r1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn declared(&self) -> &'static Declared {
        self.declared
    }

    /// The full property name of a key of this component.
    pub fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// Where a key stands, or the component when the key was not given.
    pub fn place(&self, key: &str) -> &Place {
        self.places.get(key).unwrap_or(&self.place)
    }

    /// Whether the user wrote this key.
    pub fn is_given(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// A value as a message may show it.
    pub fn shown<'a>(&self, key: &str, value: &'a str) -> &'a str {
        match self.is_hidden(key) {
            true => HIDDEN,
            false => value,
        }
    }

    /// Whether no message may show the value of this key.
    pub fn is_hidden(&self, key: &str) -> bool {
        self.hidden.contains_key(key)
    }

    /// A message of the component's own check, which knows nothing of what is hidden.
    fn without_hidden(&self, key: &str, mut message: String) -> String {
        if let (true, Some(k)) =
            (self.hidden.contains_key(key), self.declared.all_keys().find(|k| k.name == key))
        {
            return format!("{HIDDEN} is not usable here; {}", k.help);
        }
        let mut values: Vec<&String> = self.hidden.values().filter(|v| !v.is_empty()).collect();
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        for v in values {
            message = message.replace(v.as_str(), HIDDEN);
        }
        message
    }

    fn value(&self, key: &str) -> Option<&Value> {
        assert!(
            self.declared.all_keys().any(|k| k.name == key),
            "{}: undeclared key {key}",
            self.declared.name
        );
        self.values.get(key)
    }

    /// Text, path or choice; `None` only for keys without a default.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key).map(|v| match v {
            Value::Text(t) => t.as_str(),
            _ => panic!("{key} is not text"),
        })
    }

    /// A whole number (port included); `None` only for keys without a default.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.value(key).map(|v| match v {
            Value::Int(n) => *n,
            _ => panic!("{key} is not a number"),
        })
    }

    /// A number that the declaration bounds to what `usize` holds and that has a default.
    pub fn size(&self, key: &str) -> usize {
        // Bounds are not negative; what a 32-bit machine cannot hold is as good as no limit there.
        usize::try_from(self.int(key).expect("key has a default")).unwrap_or(usize::MAX)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.value(key).is_some_and(|v| match v {
            Value::Bool(b) => *b,
            _ => panic!("{key} is not a boolean"),
        })
    }

    /// A `Millis` or `Seconds` key; `None` only for keys without a default.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let n = u64::try_from(self.int(key)?).unwrap_or(0);
        let ty = self.declared.all_keys().find(|k| k.name == key).map(|k| k.ty);
        Some(match ty {
            Some(Type::Millis(..)) => Duration::from_millis(n),
            _ => Duration::from_secs(n),
        })
    }

    pub fn list(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Value::List(l)) => l,
            None => &[],
            _ => panic!("{key} is not a list"),
        }
    }

    pub fn regex(&self, key: &str) -> Option<&Pattern> {
        self.value(key).map(|v| match v {
            Value::Regex(r) => r,
            _ => panic!("{key} is not a regular expression"),
        })
    }

    pub fn header(&self, key: &str) -> Option<event::Key> {
        self.value(key).map(|v| match v {
            Value::Header(k) => *k,
            _ => panic!("{key} is not a header"),
        })
    }

    /// The settings of a part (a serializer, say) that this key names.
    pub fn component(&self, key: &str) -> &Context {
        match self.value(key) {
            Some(Value::Component(c)) => c,
            _ => panic!("{key} is not a component with a default"),
        }
    }

    /// The settings of the parts that this key lists, in its order.
    pub fn components(&self, key: &str) -> &[Context] {
        match self.value(key) {
            Some(Value::Components(all)) => all,
            None => &[],
            _ => panic!("{key} is not a list of components"),
        }
    }

    /// All keys under a `Prefix` key, with the prefix cut off.
    pub fn map(&self, prefix: &str) -> &BTreeMap<String, String> {
        match self.value(prefix) {
            Some(Value::Map(m)) => m,
            _ => panic!("{prefix} is not a prefix"),
        }
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
    let known = declared.all_keys().map(|k| k.name).chain(reserved.iter().copied());
    let hint = nearest(key, known).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    format!("unknown key of {} {}: ignored{hint}", declared.kind.word(), declared.name)
}

/// The message for a type name nobody declares, which may be one that is not to be shown.
pub fn unknown_shown_type(kind: Kind, type_name: Shown<'_>, catalog: &dyn Catalog) -> String {
    if !type_name.is_hidden {
        return unknown_type(kind, type_name.text, catalog);
    }
    let names: Vec<&str> = catalog.all(kind).iter().map(|d| d.name).collect();
    format!("unknown {} type {HIDDEN}; known: {}", kind.word(), names.join(", "))
}

/// The message for a type name nobody declares.
pub fn unknown_type(kind: Kind, type_name: &str, catalog: &dyn Catalog) -> String {
    if let Some(message) = catalog.unsupported(kind, type_name) {
        return message;
    }
    let all = catalog.all(kind);
    let hint = nearest(type_name, all.iter().map(|d| d.name)).map(|n| format!("; did you mean {n}?"));
    let names: Vec<&str> = all.iter().map(|d| d.name).collect();
    let hint = hint.unwrap_or_else(|| format!("; known: {}", names.join(", ")));
    format!("unknown {} type '{type_name}'{hint}", kind.word())
}
