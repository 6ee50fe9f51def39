//! A compiled regular expression: Java's syntax and numbers of groups over the regex crate.
//!
//! The engine is linear in the text whatever the pattern, and refuses patterns that need more than some megabytes.
//! It works on text; who has bytes decodes them first. Compiled once, shared by reference; any thread.

use super::java_regex::{translate, translate_whole, Replacement, Translated};
use regex::{CaptureLocations, Regex};
use std::ops::Range;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    /// The regex crate's numbers of Java's groups.
    groups: Vec<usize>,
    /// Groups in front of which a match ends, see `java_regex`.
    line_ends: Vec<usize>,
}

impl PartialEq for Pattern {
    /// Groups and line ends follow from the text.
    fn eq(&self, other: &Pattern) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Pattern {
    /// A pattern to be found in a text.
    pub fn new(java: &str) -> Result<Pattern, String> {
        Pattern::compile(translate(java)?)
    }

    /// A pattern that a text must match from its first character to its last.
    pub fn whole(java: &str) -> Result<Pattern, String> {
        let t = translate_whole(java)?;
        Pattern::compile(Translated { pattern: format!(r"\A(?:{})\z", t.pattern), ..t })
    }

    fn compile(t: Translated) -> Result<Pattern, String> {
        match Regex::new(&t.pattern) {
            Ok(regex) => Ok(Pattern { regex, groups: t.groups, line_ends: t.line_ends }),
            Err(e) => {
                // The text shows the translated pattern, which the user never wrote; its end says what is wrong.
                let text = e.to_string();
                let why = text.rsplit("error: ").next().unwrap_or(&text);
                Err(why.split_whitespace().collect::<Vec<_>>().join(" "))
            }
        }
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// How many groups there are, not counting the whole match.
    pub fn groups(&self) -> usize {
        self.groups.len() - 1
    }

    /// The number of the group of this name.
    pub fn group_named(&self, name: &str) -> Option<usize> {
        let index = self.regex.capture_names().position(|n| n == Some(name))?;
        self.groups.iter().position(|g| *g == index)
    }

    /// A replacement in Java's syntax, for this pattern's groups.
    pub fn replacement(&self, java: &str) -> Result<Replacement, String> {
        Replacement::new(java, self.groups(), |name| self.group_named(name))
    }

    pub fn matcher(&self) -> Matcher<'_> {
        Matcher { pattern: self, locations: self.regex.capture_locations() }
    }

    /// The pieces between the matches, without empty ones: Java's `split` drops those at the end, and nobody here
    /// wants the others.
    pub fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        self.regex.split(text).filter(|piece| !piece.is_empty()).collect()
    }
}

/// Finds matches and says where their groups are. Reused from text to text.
pub struct Matcher<'p> {
    pattern: &'p Pattern,
    locations: CaptureLocations,
}

impl Matcher<'_> {
    /// Finds the first match that begins at `from` or later; `from` is at a character and not beyond the end.
    pub fn find_at(&mut self, text: &str, from: usize) -> bool {
        self.pattern.regex.captures_read_at(&mut self.locations, text, from).is_some()
    }

    /// Where group `n` of the last match is; none when it took no part.
    pub fn group(&self, n: usize) -> Option<Range<usize>> {
        let (from, to) = self.locations.get(*self.pattern.groups.get(n)?)?;
        let ends = self.pattern.line_ends.iter().filter_map(|g| self.locations.get(*g));
        let most = ends.map(|(at, _)| at).min().unwrap_or(to);
        Some(from.min(most)..to.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_javas_numbers_and_names() {
        let p = Pattern::new(r"(a|$)(?<rest>b*)$").unwrap();
        assert_eq!((p.groups(), p.group_named("rest"), p.group_named("gone")), (2, Some(2), None));
        let mut m = p.matcher();
        assert!(m.find_at("xabb\n", 0));
        assert_eq!([0, 1, 2, 3].map(|n| m.group(n)), [Some(1..4), Some(1..2), Some(2..4), None]);
        // Java: the end is before the line end, and behind it once more.
        assert!(m.find_at("xabb\n", 4));
        assert_eq!(m.group(0), Some(4..4));
        assert!(!m.find_at("xabbc", 0) || m.group(0) == Some(5..5));
    }

    #[test]
    fn whole_patterns_match_whole_texts() {
        let p = Pattern::whole("a|ab").unwrap();
        assert!(p.is_match("ab") && p.is_match("a") && !p.is_match("abc") && !p.is_match("xa"));
        assert!(Pattern::new("a|ab").unwrap().is_match("xabc"));
    }

    #[test]
    fn the_end_of_a_whole_text_is_behind_its_line_end() {
        for java in ["foo$", r"foo\Z", r"foo\z", "(?d)foo$", "(foo)($)"] {
            let p = Pattern::whole(java).unwrap();
            assert!(p.is_match("foo"), "{java}");
            assert!(["foo\n", "foo\r\n", "foo\u{2028}", "foo\n\n"].iter().all(|t| !p.is_match(t)), "{java}");
        }
        assert!(Pattern::new("foo$").unwrap().is_match("foo\n"));
        assert!(Pattern::whole("(?m)foo$\n").unwrap().is_match("foo\n"));
        let p = Pattern::whole("(a|$)(b*)$").unwrap();
        let mut m = p.matcher();
        assert!(m.find_at("abb", 0));
        assert_eq!([0, 1, 2].map(|n| m.group(n)), [Some(0..3), Some(0..1), Some(1..3)]);
    }

    #[test]
    fn what_the_engine_refuses_is_said_shortly() {
        assert_eq!(
            Pattern::new("a{3,2}").unwrap_err(),
            "invalid repetition count range, the start must be <= the end"
        );
        let big = Pattern::new(r"(\pL{1000}){1000}").unwrap_err();
        assert_eq!(big, "Compiled regex exceeds size limit of 10485760 bytes.");
        assert_eq!(Pattern::new("(?=a)").unwrap_err(), "look-ahead (?= at character 1 is not supported");
    }

    #[test]
    fn splitting_drops_what_is_empty() {
        let p = Pattern::new(r"\s*,\s*").unwrap();
        assert_eq!(p.split("a , b,,c,"), ["a", "b", "c"]);
    }
}
