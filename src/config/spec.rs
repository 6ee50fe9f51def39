//! What a component declares about itself, once: its type name, Flume class and keys.
//!
//! The declaration parses and validates a component's properties, prints `flumed components`, feeds the man
//! page and suggests the nearest key for an unknown one. Plain static data; no locks.

use super::globals::Global;
use super::property::Shown;
use super::sink_keys;
use super::value::parse_value;

/// What a component is, and under which list of an agent it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    Source,
    Channel,
    Sink,
    Interceptor,
    Selector,
    Serializer,
    PathManager,
    ConfigFilter,
    /// What the regex_extractor interceptor makes of a group.
    ExtractorSerializer,
    /// What decides which sink of a group takes events.
    Processor,
    /// What makes events of the http source's requests.
    HttpHandler,
    Agent,
    /// Of the library; it is part of no agent.
    Client,
}

impl Kind {
    /// The singular used in `flumed components source.netcat` and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Channel => "channel",
            Kind::Sink => "sink",
            Kind::Interceptor => "interceptor",
            Kind::Selector => "selector",
            Kind::Serializer => "serializer",
            Kind::PathManager => "pathManager",
            Kind::ConfigFilter => "configFilter",
            Kind::ExtractorSerializer => "extractorSerializer",
            Kind::Processor => "processor",
            Kind::HttpHandler => "handler",
            Kind::Agent => "agent",
            Kind::Client => "client",
        }
    }

    /// What stands behind a key that is a prefix, as shown to users.
    pub fn below(self) -> &'static str {
        match self {
            Kind::Processor => "<sink>",
            Kind::Selector => "<value>",
            _ => "<name>",
        }
    }

    /// The keys that every component of this kind has beside its own.
    fn shared_keys(self) -> &'static [Key] {
        match self {
            Kind::Sink => sink_keys::KEYS,
            _ => &[],
        }
    }

    /// The check that goes with [`shared_keys`](Kind::shared_keys).
    fn shared_check(self) -> Option<Check> {
        match self {
            Kind::Sink => Some(sink_keys::check),
            _ => None,
        }
    }
}

/// The form a value must have. Flume has no unit suffixes, so neither have these.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Type {
    /// Any text.
    Text,
    /// A whole number between the two bounds, inclusive.
    Int(i64, i64),
    /// `true` in any case is true, every other text false (Flume); anything but true/false draws a warning.
    Bool,
    /// A whole number of milliseconds between the bounds.
    Millis(i64, i64),
    /// A whole number of seconds between the bounds.
    Seconds(i64, i64),
    /// A TCP or UDP port, 0 (chosen by the kernel) to 65535.
    Port,
    /// Names separated by white space.
    List,
    /// Names of channels of the same source, separated by white space; an unknown one is an error.
    Channels,
    /// One of these words, in any case; the typed value is the word as written here.
    Choice(&'static [&'static str]),
    /// A path of the file system.
    Path,
    /// Paths of the file system, separated by commas.
    Paths,
    /// A Java regular expression to be found in a text; compiled at validation.
    Regex,
    /// A Java regular expression that a text must match as a whole.
    WholeRegex,
    /// The name of a header, interned at validation.
    Header,
    /// The type name or class of a component of this kind, with its own keys under `<key>.` .
    Component(Kind),
    /// Names separated by white space. Each is a component of this kind with its own keys under `<key>.<name>.`, of
    /// them `type`; the word is the type where that is absent. A name listed twice stands twice.
    Components(Kind, &'static str),
    /// All keys that begin with this key's name, which ends in a dot; their values are like those of `Channels`.
    ChannelsBelow,
    /// Not one key but all keys that begin with this key's name, which ends in a dot.
    Prefix,
}

/// What holds when the key is absent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Default {
    Required,
    /// Absent and no default: the typed getter says `None`.
    None,
    /// This text, parsed like a value from the file.
    Is(&'static str),
    /// Worked out when the component is built; the text says how, for documentation.
    Computed(&'static str),
}

/// What a value that does not parse, or is out of bounds, does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// Flume drops the component: flumed refuses the configuration.
    Refuse,
    /// Flume warns and takes the default: so does flumed.
    Default,
    /// So it does with a number that is out of range; what is no number it refuses.
    DefaultIfOutOfRange,
}

/// One key of a component, relative to `<agent>.<kind>.<name>.`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key {
    pub name: &'static str,
    pub ty: Type,
    pub default: Default,
    pub bad: Bad,
    pub help: &'static str,
    /// Accepted because Flume has it, and changes nothing here: why.
    pub ignored: Option<&'static str>,
    /// The key whose older name this is: what stands here is read as if it stood there.
    pub now: Option<&'static str>,
    /// What feeds it where a component with `ssl = true` does not give it.
    pub global: Option<Global>,
    /// Another value makes it another component: a reload does not change it on one that runs.
    pub is_fixed: bool,
}

impl Key {
    pub const fn new(name: &'static str, ty: Type, default: Default, help: &'static str) -> Key {
        Key {
            name,
            ty,
            default,
            bad: Bad::Refuse,
            help,
            ignored: None,
            now: None,
            global: None,
            is_fixed: false,
        }
    }

    /// The same key, for which Flume falls back to the default on a bad value.
    pub const fn or_default(self) -> Key {
        Key { bad: Bad::Default, ..self }
    }

    /// The same key, for which Flume falls back to the default on a number that is out of range.
    pub const fn or_default_if_out_of_range(self) -> Key {
        Key { bad: Bad::DefaultIfOutOfRange, ..self }
    }

    /// The same key, whose value a component has for life.
    pub const fn fixed(self) -> Key {
        Key { is_fixed: true, ..self }
    }

    /// The same key, which a system property or the environment gives where the component does not.
    pub const fn global(self, global: Global) -> Key {
        Key { global: Some(global), ..self }
    }

    /// The same key as the older name of another one, which goes before it where both are given.
    pub const fn renamed(self, now: &'static str) -> Key {
        Key { now: Some(now), ..self }
    }

    /// The same key, accepted and without effect. `flumed check` says why to who has written it.
    pub const fn ignored(self, why: &'static str) -> Key {
        Key { ignored: Some(why), ..self }
    }
}

/// The part of a component's declaration that does not depend on what it builds.
///
/// ```
/// use flumed::config::{Declared, Default, Key, Kind, Type};
///
/// const KEYS: &[Key] = &[Key::new("limit", Type::Int(1, 1000), Default::Is("10"), "bytes that are kept")];
/// static DECLARED: Declared = Declared::new(Kind::Interceptor, "shorten", "Keeps the beginning of each body")
///     .class("com.example.ShortenInterceptor")
///     .keys(&[KEYS]);
/// assert!(DECLARED.is_named("com.example.ShortenInterceptor$Builder"));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Declared {
    pub kind: Kind,
    /// Flume's short name, compared ignoring case.
    pub name: &'static str,
    /// The class name in Flume, accepted in its place; may be empty.
    pub class: &'static str,
    pub help: &'static str,
    /// Groups of keys; groups are shared between components. Those of its kind are added to them.
    pub keys: &'static [&'static [Key]],
    /// The key that bounds how many events one transaction of this component holds, where there is one:
    /// checked against the transactionCapacity of its channels.
    pub batch_key: Option<&'static str>,
    /// What no single key shows: keys that contradict each other, values only their user can judge.
    /// Names the key at fault and what is wrong with it. Called also when a key did not parse, which then has its default
    /// or, without one, no value: see [`Context::is_known`](super::Context::is_known).
    pub check: Option<Check>,
    /// What may be said of settings that are right, and are perhaps not what was meant: a warning each.
    pub advice: Option<Check>,
    /// What it does in another way than Flume's, a line each, for `flumed check`; the README has the same rows.
    pub differs: &'static [&'static str],
}

pub type Check = fn(&super::Context) -> Vec<(&'static str, String)>;

impl Declared {
    /// A component without keys of its own, that goes by this short name only.
    pub const fn new(kind: Kind, name: &'static str, help: &'static str) -> Declared {
        Declared {
            kind,
            name,
            class: "",
            help,
            keys: &[],
            batch_key: None,
            check: None,
            advice: None,
            differs: &[],
        }
    }

    /// The same, that goes by the name of this Java class too.
    pub const fn class(self, class: &'static str) -> Declared {
        Declared { class, ..self }
    }

    /// The same, with these groups of keys.
    pub const fn keys(self, keys: &'static [&'static [Key]]) -> Declared {
        Declared { keys, ..self }
    }

    /// The same, whose transactions are bounded by this key.
    pub const fn batch_key(self, key: &'static str) -> Declared {
        Declared { batch_key: Some(key), ..self }
    }

    /// The same, with a check of what no single key shows.
    pub const fn check(self, check: Check) -> Declared {
        Declared { check: Some(check), ..self }
    }

    /// The same, with a say on settings that are right.
    pub const fn advice(self, advice: Check) -> Declared {
        Declared { advice: Some(advice), ..self }
    }

    /// The same, that tells what it does in another way than what it stands in for.
    pub const fn differs(self, differs: &'static [&'static str]) -> Declared {
        Declared { differs, ..self }
    }

    /// What is wrong with the declaration itself.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.name.is_empty() || [self.name, self.class].iter().any(|n| n.contains(char::is_whitespace)) {
            return Some("its name is empty, or has blanks in it".to_owned());
        }
        let is_there = |name: &str| self.all_keys().any(|k| k.name == name);
        if let Some(key) = self.batch_key.filter(|key| !is_there(key)) {
            return Some(format!("its batch key '{key}' is not among its keys"));
        }
        self.all_keys().enumerate().find_map(|(i, key)| {
            if self.all_keys().take(i).any(|k| k.name == key.name) {
                return Some(format!("its key '{}' is there twice", key.name));
            }
            let is_part = matches!(
                key.ty,
                Type::Component(_) | Type::Components(..) | Type::Prefix | Type::ChannelsBelow
            );
            let Default::Is(text) = key.default else { return None };
            if is_part {
                return None;
            }
            let why = parse_value(key.ty, Shown { text, is_hidden: false }).err()?;
            Some(format!("the default of its key '{}': {why}", key.name))
        })
    }

    pub fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().chain([self.kind.shared_keys()]).flatten()
    }

    /// The component's own check and that of its kind, where they have one.
    pub fn checks(&self) -> impl Iterator<Item = Check> {
        self.check.into_iter().chain(self.kind.shared_check())
    }

    pub fn is_named(&self, type_name: &str) -> bool {
        self.name.eq_ignore_ascii_case(type_name)
            || (!self.class.is_empty() && plain(self.class).eq_ignore_ascii_case(plain(type_name)))
    }
}

/// A class without its inner class `Builder`: users write both forms.
fn plain(class: &str) -> &str {
    class.strip_suffix("$Builder").unwrap_or(class)
}

/// A component: its declaration and the function that makes one from checked settings.
pub struct Spec<F: 'static> {
    pub declared: Declared,
    pub build: F,
}

impl<F> Spec<F> {
    pub const fn new(declared: Declared, build: F) -> Spec<F> {
        Spec { declared, build }
    }
}
