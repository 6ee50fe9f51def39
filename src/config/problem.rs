//! Findings about a configuration: all of them, each with file, line and key.

use super::spec::Declared;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Whether a finding stops the start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Flume would drop the component, or the agent: flumed refuses to start without `--lenient`.
    Error,
    /// The agent runs as it would under Flume.
    Warning,
    /// A key that is accepted and changes nothing; `flumed check` lists these apart.
    Ignored,
    /// Nothing is wrong: for `flumed check`, which says everything it knows.
    Note,
}

/// A place in a configuration file. Line 0: the file as a whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub severity: Severity,
    pub place: Place,
    /// The full property name, such as `a1.sources.r1.port`. Empty: the file as a whole.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning: ",
            Severity::Note => "note: ",
            Severity::Error | Severity::Ignored => "",
        };
        write!(f, "{}", printable(&self.place.file))?;
        if self.place.line > 0 {
            write!(f, ":{}", self.place.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", printable(&self.key))?;
        }
        write!(f, ": {word}{}", printable(&self.message))
    }
}

/// The text with escapes for what would steer a terminal, break the line or not be seen: keys are what a file has,
/// and that may be anything.
fn printable(text: &str) -> Cow<'_, str> {
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
    };
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unseen(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Everything found so far.
#[derive(Default, Debug)]
pub struct Problems {
    list: Vec<Problem>,
    /// The components looked at, each type once.
    used: Vec<&'static Declared>,
}

impl Problems {
    pub fn error(&mut self, place: &Place, key: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, place, key.into(), message.into());
    }

    pub fn warning(&mut self, place: &Place, key: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, place, key.into(), message.into());
    }

    pub fn ignored(&mut self, place: &Place, key: impl Into<String>, why: impl Into<String>) {
        self.add(Severity::Ignored, place, key.into(), why.into());
    }

    pub fn note(&mut self, place: &Place, key: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Note, place, key.into(), message.into());
    }

    fn add(&mut self, severity: Severity, place: &Place, key: String, message: String) {
        self.push(Problem { severity, place: place.clone(), key, message });
    }

    /// Adds a finding, once.
    pub fn push(&mut self, p: Problem) {
        if !self.list.contains(&p) {
            self.list.push(p);
        }
    }

    /// Remembers that the configuration has a component of this type.
    pub fn uses(&mut self, declared: &'static Declared) {
        if !self.used.iter().any(|d| d.kind == declared.kind && d.name == declared.name) {
            self.used.push(declared);
        }
    }

    pub fn used(&self) -> &[&'static Declared] {
        &self.used
    }

    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|p| p.severity == severity).count()
    }

    /// How many there are: `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        format!("{}, {}", count(self.errors(), "error"), count(self.warnings(), "warning"))
    }

    /// Takes over those findings of another judgement that `keep` says yes to.
    pub fn absorb(&mut self, other: Problems, keep: impl Fn(&Problem) -> bool) {
        for p in other.list.into_iter().filter(keep) {
            self.push(p);
        }
        for declared in other.used {
            self.uses(declared);
        }
    }

    /// The first error in the order of the file, as it is shown.
    pub fn first_error(&self) -> Option<String> {
        let sorted = self.sorted();
        Some(sorted.iter().find(|p| p.severity == Severity::Error)?.to_string())
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// In the order of the file.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut v: Vec<&Problem> = self.list.iter().collect();
        v.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32) -> Place {
        Place { file: "f".into(), line }
    }

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        let mut problems = Problems::default();
        let place = Place { file: "a\u{1b}[2J.conf".into(), line: 1 };
        problems.error(&place, "k\0.\u{9b}\u{202e}\u{e9}'\\", "no\n\tvalue \u{7f}\u{ad}");
        let text = r"a\u{1b}[2J.conf:1: k\u{0}.\u{9b}\u{202e}é'\: no\n\tvalue \u{7f}\u{ad}";
        assert_eq!(problems.first_error().as_deref(), Some(text));
    }

    #[test]
    fn the_first_error_is_that_of_the_first_line() {
        let mut problems = Problems::default();
        problems.warning(&at(1), "a.x", "odd");
        assert_eq!(problems.first_error(), None);
        problems.error(&at(7), "a.z", "late");
        problems.error(&at(3), "a.y", "wrong");
        assert_eq!(problems.first_error().as_deref(), Some("f:3: a.y: wrong"));
    }
}
