//! Expressions in values: `${env:NAME}`, `${sys:name}`, `${java:what}`, `${date:pattern}`, `${name}` of another
//! property, `${x:-default}`, all nested at will; `$${x}` is a literal `${x}`.
//!
//! Works on the merged properties of all files, before they are sorted into agents. Flume's rules, with these
//! differences: a property is resolved when another refers to it, not in the order of a hash table; what stays
//! unresolved is told; a cycle names all that are in it; and the work is bounded, in depth, in references and in
//! bytes. Expressions of config filters (`${f['key']}`) are left for `filter`. `template` is the form of a value,
//! `lookup` the four prefixes. Called by the thread that loads; no locks.

mod date;
mod lookup;
mod template;

use super::filter::is_expression;
use super::nearest::nearest;
use super::problem::{Place, Problems};
use super::property::{Property, HIDDEN};
use lookup::Found;
pub use lookup::Lookups;
use std::collections::HashMap;
use std::rc::Rc;
use template::{Part, Reference};

/// References that lead on from one to the next.
const LONGEST_CHAIN: usize = 64;
/// References followed in one configuration.
const MOST_STEPS: usize = 200_000;
/// Bytes put in place of references in one configuration, on the way included.
const MOST_BYTES: usize = 64 << 20;
/// Unresolved names for which a similar one is looked up: that takes time.
const MOST_HINTS: usize = 50;

/// Puts the values in place of the expressions, in the last property of each name; earlier ones do not hold.
pub fn interpolate(properties: &mut [Property], lookups: &Lookups, problems: &mut Problems) {
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (i, p) in properties.iter().enumerate() {
        last.insert(&p.name, i);
    }
    let mut wanted: Vec<usize> =
        last.values().copied().filter(|i| properties[*i].value.contains("${")).collect();
    wanted.sort_unstable();
    let mut resolver = Resolver {
        properties,
        last,
        lookups,
        problems,
        done: HashMap::new(),
        frames: Vec::new(),
        steps: 0,
        bytes: 0,
        is_exhausted: false,
        hints: 0,
    };
    let outcomes: Vec<_> = wanted.iter().map(|i| (*i, resolver.property(*i))).collect();
    let used: Vec<usize> = resolver.done.iter().filter(|(_, d)| d.is_used).map(|(i, _)| *i).collect();
    for i in used {
        properties[i].is_used = true;
    }
    for (i, outcome) in outcomes {
        let p = &mut properties[i];
        match outcome {
            Ok(value) => {
                p.is_hidden = value.is_hidden;
                p.value = value.text.trim_matches(|c| c <= ' ').to_owned();
            }
            Err(Reported) => p.is_unknown = true,
        }
    }
}

/// A text, and whether a part of it came from outside the files.
#[derive(Clone, Default)]
struct Value {
    text: String,
    is_hidden: bool,
}

/// There is no value, and the user has been told.
#[derive(Clone, Copy, Debug)]
struct Reported;

/// What is being resolved, the innermost last.
enum Frame {
    Property(usize),
    /// A text from outside, by the name that brought it; that may be shown, or not.
    Outside {
        name: String,
        is_told: bool,
    },
}

#[derive(Default)]
struct Done {
    outcome: Option<Result<Rc<Value>, Reported>>,
    is_used: bool,
}

struct Resolver<'a> {
    properties: &'a [Property],
    last: HashMap<&'a str, usize>,
    lookups: &'a Lookups,
    problems: &'a mut Problems,
    done: HashMap<usize, Done>,
    frames: Vec<Frame>,
    steps: usize,
    bytes: usize,
    is_exhausted: bool,
    hints: usize,
}

impl<'a> Resolver<'a> {
    fn property(&mut self, i: usize) -> Result<Rc<Value>, Reported> {
        if let Some(outcome) = self.done.get(&i).and_then(|d| d.outcome.clone()) {
            return outcome;
        }
        if let Some(at) = self.frames.iter().position(|f| matches!(f, Frame::Property(j) if *j == i)) {
            return Err(self.cycle(at));
        }
        let properties = self.properties;
        let outcome = self.text(Frame::Property(i), &properties[i].value).map(Rc::new);
        self.done.entry(i).or_default().outcome = Some(outcome.clone());
        outcome
    }

    /// The value of a text, whose expressions are replaced in their turn.
    fn text(&mut self, frame: Frame, text: &str) -> Result<Value, Reported> {
        if !text.contains("${") {
            return Ok(Value { text: text.to_owned(), is_hidden: false });
        }
        if self.frames.len() == LONGEST_CHAIN {
            return Err(self.error(format!("more than {LONGEST_CHAIN} references lead from one to the next")));
        }
        self.frames.push(frame);
        let value = match template::parse(text) {
            Ok(parts) => self.parts(&parts),
            Err(template::TooDeep) => {
                Err(self.error("expressions stand too deep inside one another".to_owned()))
            }
        };
        self.frames.pop();
        value
    }

    fn parts(&mut self, parts: &[Part]) -> Result<Value, Reported> {
        let mut value = Value::default();
        for part in parts {
            let piece = match part {
                Part::Text(t) => {
                    self.spend(t.len())?;
                    value.text.push_str(t);
                    continue;
                }
                Part::Reference(r) => self.reference(r)?,
            };
            self.spend(piece.text.len())?;
            value.text.push_str(&piece.text);
            value.is_hidden |= piece.is_hidden;
        }
        Ok(value)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Reported> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > MOST_BYTES {
            true => Err(self.exhausted(format!("with it the values grow over {} MiB", MOST_BYTES >> 20))),
            false => Ok(()),
        }
    }

    fn exhausted(&mut self, why: String) -> Reported {
        // What comes after it would say the same.
        if !std::mem::replace(&mut self.is_exhausted, true) {
            self.error(why);
        }
        Reported
    }

    fn reference(&mut self, r: &Reference) -> Result<Value, Reported> {
        self.steps += 1;
        if self.steps > MOST_STEPS || self.is_exhausted {
            return Err(
                self.exhausted(format!("with it there are more than {MOST_STEPS} references to follow"))
            );
        }
        let name = self.parts(&r.name)?;
        if let Some(found) = self.look_up(&name)? {
            let is_hidden = found.is_hidden || name.is_hidden;
            return Ok(Value { text: found.text.clone(), is_hidden });
        }
        let form = format!("${{{}}}", name.text);
        let is_filters = is_expression(&form);
        match &r.default {
            Some(default) => {
                if is_filters {
                    let what = "the default always holds: config filters come later, as in Flume";
                    self.warning(format!("{}: {what}", self.shown(r.raw)));
                }
                self.parts(default)
            }
            None if is_filters => Ok(Value { text: form, is_hidden: name.is_hidden }),
            None => {
                self.unresolved(r, &name);
                Ok(Value { text: r.raw.to_owned(), is_hidden: self.is_outside() })
            }
        }
    }

    /// `None`: nothing has that name.
    fn look_up(&mut self, name: &Value) -> Result<Option<Rc<Value>>, Reported> {
        let mut plain = name.text.as_str();
        if let Some((prefix, rest)) = name.text.split_once(':') {
            match self.lookups.prefixed(prefix, rest) {
                Found::Outside(text) => return self.outside(name, text).map(Some),
                Found::Own(text) => return Ok(Some(Rc::new(Value { text, is_hidden: false }))),
                Found::Refused(why) => return Err(self.error(why)),
                Found::Nothing => plain = rest,
            }
        }
        if let Some(i) = self.last.get(plain).copied() {
            self.done.entry(i).or_default().is_used = true;
            return self.property(i).map(Some);
        }
        match self.lookups.environment.get(plain) {
            Some(text) if self.lookups.is_environment_plain => self.outside(name, text.clone()).map(Some),
            _ => Ok(None),
        }
    }

    fn outside(&mut self, name: &Value, text: String) -> Result<Rc<Value>, Reported> {
        let same = |f: &Frame| matches!(f, Frame::Outside { name: n, .. } if *n == name.text);
        if let Some(at) = self.frames.iter().position(same) {
            return Err(self.cycle(at));
        }
        let is_told = !name.is_hidden && !self.is_outside();
        let value = self.text(Frame::Outside { name: name.text.clone(), is_told }, &text)?;
        Ok(Rc::new(Value { is_hidden: true, ..value }))
    }

    /// Whether what is being read came from outside the files, so that no part of it may be shown.
    fn is_outside(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Outside { .. }))
    }

    fn shown<'t>(&self, text: &'t str) -> &'t str {
        if self.is_outside() {
            HIDDEN
        } else {
            text
        }
    }

    fn unresolved(&mut self, r: &Reference, name: &Value) {
        if self.is_outside() || name.is_hidden {
            return self.warning(format!("{HIDDEN} stays as it is, as in Flume: nothing has that name"));
        }
        let hint = self.hint(&name.text).unwrap_or_default();
        let raw = r.raw;
        self.warning(format!(
            "{raw} stays as it is, as in Flume: nothing has that name{hint} (or write ${raw})"
        ));
    }

    /// The nearest name there is.
    fn hint(&mut self, name: &str) -> Option<String> {
        self.hints += 1;
        if self.hints > MOST_HINTS || name.len() > 200 {
            return None;
        }
        let told = |n: String| Some(format!("; did you mean ${{{n}}}?"));
        let (prefix, rest) = name.split_once(':').unwrap_or(("", name));
        let similar = match prefix.to_ascii_lowercase().as_str() {
            "" if self.lookups.environment.contains_key(rest) => return told(format!("env:{rest}")),
            "" => nearest(rest, self.last.keys().copied().filter(|n| n.len() < 200)),
            "env" => nearest(rest, self.lookups.environment.keys().map(String::as_str)),
            "sys" => nearest(rest, self.lookups.system.keys().map(String::as_str)),
            "java" => nearest(rest, ["version", "runtime", "vm", "os", "hardware", "locale"].into_iter()),
            _ => return None,
        };
        let before = if prefix.is_empty() { String::new() } else { format!("{prefix}:") };
        told(format!("{before}{}", similar?))
    }

    /// Tells of the frames from `at` on, the last of which refers to the first again.
    fn cycle(&mut self, at: usize) -> Reported {
        let say = |f: &Frame| match f {
            Frame::Property(i) => {
                let Property { name, place, .. } = &self.properties[*i];
                format!("{name} ({}:{})", place.file, place.line)
            }
            Frame::Outside { name, is_told } => format!("${{{}}}", if *is_told { name } else { HIDDEN }),
        };
        let mut steps: Vec<String> = self.frames[at..].iter().map(say).collect();
        steps.extend(self.frames.get(at).map(say));
        let (place, key) = self.place_of(at);
        self.problems.error(&place, key, format!("refers to itself: {}", steps.join(" -> ")));
        Reported
    }

    /// Where the text stands that is being read.
    fn here(&self) -> (Place, String) {
        self.place_of(self.frames.len().saturating_sub(1))
    }

    /// The property of a frame, or the one that led to it.
    fn place_of(&self, frame: usize) -> (Place, String) {
        let property = self.frames.iter().take(frame + 1).rev().find_map(|f| match f {
            Frame::Property(i) => Some(&self.properties[*i]),
            Frame::Outside { .. } => None,
        });
        property.map(|p| (p.place.clone(), p.name.clone())).unwrap_or_default()
    }

    fn error(&mut self, what: String) -> Reported {
        let (place, key) = self.here();
        self.problems.error(&place, key, what);
        Reported
    }

    fn warning(&mut self, what: String) {
        let (place, key) = self.here();
        self.problems.warning(&place, key, what);
    }
}

#[cfg(test)]
mod tests;
