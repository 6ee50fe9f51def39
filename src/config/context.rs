//! A component's settings: parsed once against its declaration, read through typed getters.
//!
//! Getters name a declared key; asking for an undeclared one, or with the wrong type, is a mistake in the
//! code and panics (every component has a test that builds it). No getter can fail on what the user wrote:
//! that was reported when the context was made (`parse`). Belongs to the thread that builds the component.

use super::nearest::nearest;
use super::problem::{Place, Severity};
use super::property::{Shown, HIDDEN};
use super::spec::{Declared, Kind, Spec, Type};
use super::value::Value;
use crate::codec::pattern::Pattern;
use crate::event;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

mod doubts;
mod parse;

use doubts::Doubts;

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
    /// What builds a component of this declaration, where the program has added it: its [`Spec`].
    fn added(&self, _declared: &Declared) -> Option<Added> {
        None
    }
    /// What is wrong with a sink group of these sinks under this processor.
    fn group(&self, _processor: &Context, _sinks: &[String]) -> Vec<GroupFinding> {
        Vec::new()
    }
}

/// A [`Spec`] of some kind.
pub type Added = &'static (dyn Any + Send + Sync);

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
    /// Of a component that the program has added.
    added: Option<Added>,
    values: BTreeMap<&'static str, Value>,
    places: BTreeMap<String, Place>,
    place: Place,
    /// The values, by key, that no message may show.
    hidden: BTreeMap<String, String>,
    /// While it is judged, and in one that nothing is built from: the keys whose values are not known.
    doubts: Option<Arc<Doubts>>,
}

/// A context with errors, which have been reported. Nothing can be built from it, but what it has can be judged: ask it
/// which keys [are known](Context::is_known).
#[derive(Debug)]
pub struct Doubtful(pub Box<Context>);

/// What it is and which keys it has: any value may be a secret, also of a key whose name does not say so.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.values.keys().copied().collect();
        write!(f, "{} {} at {}: {}", self.declared.kind.word(), self.declared.name, self.path, keys.join(" "))
    }
}

impl Context {
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

    /// What builds the component that these settings are for: one of `own`, the specs of its kind that flumed has, or one
    /// that the program has added. `None`: its catalog declares what nobody can build.
    pub fn spec<F>(&self, own: &[&'static Spec<F>]) -> Option<&'static Spec<F>> {
        let is_its = |s: &&&Spec<F>| s.declared.name == self.declared.name;
        own.iter().find(is_its).copied().or_else(|| self.added?.downcast_ref())
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
        if let Some(doubts) = &self.doubts {
            doubts.asked_for(key);
        }
        self.values.get(key)
    }

    /// Whether a key has the value that it is meant to have. While a component is judged it may not, because what the
    /// user wrote is no good: then it has its default, or nothing. A check whose findings hang on several keys asks this
    /// first; what any other check says is dropped when it has looked at such a key.
    pub fn is_known(&self, key: &str) -> bool {
        self.doubts.as_ref().is_none_or(|d| !d.has(key))
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
