//! Config filters: secrets of components that come from the environment, from files or from a command.
//!
//! `a1.configfilters = f1` names them, `${f1['key']}` in a value of a component stands for what the filter gives for
//! that key. Applied when a component's properties are read, so a filter works for nothing that is not built; what it
//! gave is kept for one load. A filter's values are in no message. Flume runs a component with the literal text when
//! a filter fails; here that is an error, because such a text would be used as the password. Called by the thread
//! that loads, which waits for commands; no locks.

mod env;
mod external;
mod file;

use super::context::Context;
use super::nearest::nearest;
use super::problem::{Place, Problems};
use super::property::Property;
use super::spec::Spec;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Gives the values of keys.
pub trait ConfigFilter {
    /// The value of a key, and what is odd about it; or why there is none. Neither text shows a value.
    fn get(&mut self, key: &str) -> Result<Given, String>;
}

/// A value, and a warning that may come with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    pub value: String,
    pub warning: Option<String>,
}

pub type BuildConfigFilter = fn(&Context) -> Box<dyn ConfigFilter>;
pub type ConfigFilterSpec = Spec<BuildConfigFilter>;

/// Every config filter type.
pub static CONFIG_FILTERS: &[&ConfigFilterSpec] = &[&env::SPEC, &external::SPEC, &file::SPEC];

/// The most bytes of one value.
const LONGEST_VALUE: usize = 64 << 10;

/// Flume's form: quotes or none around a key of these characters only.
static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| {
    let key = "[-_A-Za-z0-9]+";
    let form = format!(r#"\$\{{([^\s\[\]{{}}$:]+)\[(?:'({key})'|"({key})"|({key}))\]\}}"#);
    Regex::new(&form).expect("a fixed expression")
});

/// The same with anything for a key: what was probably meant to be one.
static NEARLY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{([^\s\[\]{}$:]+)\[[^\]}]*\]\}").expect("a fixed expression"));

/// Whether this text, `${...}`, is for a config filter.
pub fn is_expression(text: &str) -> bool {
    NEARLY.find(text).is_some_and(|m| m.len() == text.len())
}

/// Makes the filter that these settings are for.
pub fn build(context: &Context) -> Option<Box<dyn ConfigFilter>> {
    Some((context.spec(CONFIG_FILTERS)?.build)(context))
}

/// The filters of one agent.
#[derive(Default)]
pub struct Filters {
    /// `None`: the filter has errors, which were reported, or belongs to an agent that does not run.
    named: BTreeMap<String, Option<Box<dyn ConfigFilter>>>,
    /// What was given, and asked for where.
    given: BTreeMap<(String, String), Result<String, ()>>,
}

impl Filters {
    pub fn add(&mut self, name: &str, filter: Option<Box<dyn ConfigFilter>>) {
        self.named.insert(name.to_owned(), filter);
    }

    /// Replaces the expressions of a property, `full` being its whole name. False: one has no value, which has been
    /// reported.
    pub fn apply(&mut self, p: &mut Property, full: &str, problems: &mut Problems) -> bool {
        if !NEARLY.is_match(&p.value) {
            return true;
        }
        let (mut text, mut at, mut is_right) = (String::new(), 0, true);
        for found in EXPRESSION.captures_iter(&p.value) {
            let name = &found[1];
            let Some(key) = found.iter().skip(2).flatten().next().map(|k| k.as_str()) else { continue };
            if !self.named.contains_key(name) {
                continue;
            }
            let whole = found.get(0).map_or(0..0, |m| m.range());
            text.push_str(&p.value[at..whole.start]);
            at = whole.end;
            match self.value(name, key, &p.place, full, problems) {
                Ok(value) => text.push_str(&value),
                Err(()) => is_right = false,
            }
        }
        let is_replaced = at > 0;
        let rest = &p.value[at..];
        is_right &= self.strange(&p.value, p, full, problems);
        text.push_str(rest);
        p.is_hidden |= is_replaced;
        p.value = text;
        is_right
    }

    fn value(
        &mut self,
        name: &str,
        key: &str,
        place: &Place,
        full: &str,
        problems: &mut Problems,
    ) -> Result<String, ()> {
        let id = (name.to_owned(), key.to_owned());
        if let Some(given) = self.given.get(&id) {
            return given.clone();
        }
        let Some(Some(filter)) = self.named.get_mut(name) else { return Err(()) };
        let given = filter.get(key);
        let given = match given {
            Ok(Given { value, warning }) => {
                if let Some(what) = warning {
                    problems.warning(place, full, format!("${{{name}['{key}']}}: {what}"));
                }
                Ok(value)
            }
            Err(why) => {
                problems.error(place, full, format!("${{{name}['{key}']}} has no value: {why}"));
                Err(())
            }
        };
        self.given.insert(id, given.clone());
        given
    }

    /// Tells of expressions that Flume would leave as they are: no such filter, no such form of a key.
    fn strange(&self, value: &str, p: &Property, full: &str, problems: &mut Problems) -> bool {
        let mut is_right = true;
        for found in NEARLY.captures_iter(value) {
            let (name, is_whole) = (&found[1], EXPRESSION.is_match(&found[0]));
            if is_whole && self.named.contains_key(name) {
                continue;
            }
            // From a value that is not to be shown nothing is.
            let raw = if p.is_hidden { "an expression" } else { &found[0] };
            if self.named.contains_key(name) {
                let what = format!("{raw}: the key of a config filter has letters, digits, - and _ only");
                problems.error(&p.place, full, what);
                is_right = false;
            } else if self.named.is_empty() {
                // May be any text with brackets: the agent has nothing to do with config filters.
                let what = format!("{raw} stays as it is, as in Flume: the agent has no config filters");
                problems.warning(&p.place, full, what);
            } else {
                let hint = nearest(name, self.named.keys().map(String::as_str)).filter(|_| !p.is_hidden);
                let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                problems.error(&p.place, full, format!("{raw}: no such config filter{hint}"));
                is_right = false;
            }
        }
        is_right
    }
}

/// The first line of what a command or a file gave, which may be cut at [`LONGEST_VALUE`].
fn first_line(text: &str, from: &str) -> Result<Given, String> {
    let mut lines = text.lines();
    let value = lines.next().unwrap_or_default().to_owned();
    if value.trim().is_empty() {
        return Err(format!("{from} begins with an empty line, or is empty"));
    }
    let warning =
        lines.any(|l| !l.trim().is_empty()).then(|| format!("{from} has several lines, the first counts"));
    Ok(Given { value, warning })
}

#[cfg(test)]
mod tests;
