//! A message pattern of the user: `format.regex`, `search`, `replace`, `dateFormat` (reference, wire.md 3.2).
//!
//! ```text
//!   groups of regex:  1 priority   2 version   3 timestamp   4 host   5 body
//! ```
//!
//! The pattern must match the whole text. `search` and `replace` work on the timestamp before `dateFormat`
//! reads it; `$1` and `\$` in `replace` mean what they do in Java. Java's look-around and back-references
//! do not exist here and are refused when the pattern is read. Bytes that are no UTF-8 stand as `?` while
//! matching, one for one, so that every group is a place in the original.

use super::super::dateformat::DateFormat;
use super::parts::{Part, Parts};
use jiff::tz::TimeZone;
use regex::Regex;
use std::borrow::Cow;

#[derive(Clone)]
pub struct OwnFormat {
    regex: Regex,
    /// What to look for in the timestamp, and its replacement in the syntax of the regex crate.
    search: Option<(Regex, String)>,
    date: Option<DateFormat>,
}

impl OwnFormat {
    /// The error says which setting is wrong and why.
    pub fn new(
        regex: &str,
        search: Option<&str>,
        replace: Option<&str>,
        date_format: Option<&str>,
    ) -> Result<OwnFormat, String> {
        let compile = |name: &str, text: &str| Regex::new(text).map_err(|e| format!("{name}: {e}"));
        // On its own first: a stray parenthesis must not close our group.
        compile("format.regex", regex)?;
        let search = match search {
            Some(text) => {
                let search = compile("format.search", text)?;
                let replace = replacement(replace.unwrap_or(""), search.captures_len())
                    .map_err(|e| format!("format.replace: {e}"))?;
                Some((search, replace))
            }
            None => None,
        };
        let date =
            date_format.map(DateFormat::new).transpose().map_err(|e| format!("format.dateFormat: {e}"))?;
        Ok(OwnFormat { regex: compile("format.regex", &format!(r"\A(?:{regex})\z"))?, search, date })
    }

    pub(super) fn parts(&self, text: &[u8], zone: &TimeZone, now_ms: u64) -> Option<Parts> {
        let text = readable(text);
        let groups = self.regex.captures(&text)?;
        let part = |i| groups.get(i).map_or(Part::default(), |g| Part::new(g.start(), g.end()));
        let stamp = groups.get(3).map(|g| g.as_str());
        let body = part(5);
        Some(Parts {
            priority: part(1),
            version: part(2),
            stamp: part(3),
            epoch_ms: stamp.and_then(|s| self.epoch_ms(s, zone, now_ms)),
            host: part(4),
            body_from: body.from as usize,
            body_to: body.to as usize,
        })
    }

    fn epoch_ms(&self, stamp: &str, zone: &TimeZone, now_ms: u64) -> Option<i64> {
        let date = self.date.as_ref()?;
        let stamp = match &self.search {
            Some((search, replace)) => search.replace_all(stamp, replace),
            None => Cow::Borrowed(stamp),
        };
        date.parse(&stamp, zone, now_ms)
    }
}

/// The text with every byte that is not UTF-8 as `?`.
fn readable(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for piece in text.utf8_chunks() {
        out.push_str(piece.valid());
        out.extend(piece.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(out)
}

/// A Java replacement in the syntax of the regex crate. `$12` is group 12 if there is one, else group 1
/// and a 2; a backslash takes the meaning from what follows.
fn replacement(java: &str, groups: usize) -> Result<String, String> {
    let mut out = String::with_capacity(java.len());
    let mut chars = java.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(c) => out.push(c),
                None => return Err("ends in a backslash".to_owned()),
            },
            '$' if chars.next_if_eq(&'{').is_some() => {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                out.push_str(&format!("${{{name}}}"));
            }
            '$' => {
                let mut group = match chars.next().and_then(|c| c.to_digit(10)) {
                    Some(d) if (d as usize) < groups => d as usize,
                    Some(d) => return Err(format!("there is no group {d}")),
                    None => return Err("a $ without a group".to_owned()),
                };
                while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
                    if group * 10 + d as usize >= groups {
                        break;
                    }
                    group = group * 10 + d as usize;
                    chars.next();
                }
                out.push_str(&format!("${{{group}}}"));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_javas() {
        assert_eq!(replacement(r"a$1b", 2).unwrap(), "a${1}b");
        assert_eq!(replacement(r"$12", 2).unwrap(), "${1}2");
        assert_eq!(replacement(r"$12", 13).unwrap(), "${12}");
        assert_eq!(replacement(r"\$1\\", 2).unwrap(), r"$$1\");
        assert_eq!(replacement("${name}x", 2).unwrap(), "${name}x");
        for bad in ["$", "$x", r"\", "$2"] {
            assert!(replacement(bad, 2).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        let error = |regex, search, replace, date| {
            OwnFormat::new(regex, search, replace, date).err().expect("an error")
        };
        assert!(error("(", None, None, None).starts_with("format.regex"));
        assert!(error("a)(b", None, None, None).starts_with("format.regex"));
        assert!(error("(?=a)", None, None, None).starts_with("format.regex"));
        assert!(error("a", Some("["), None, None).starts_with("format.search"));
        assert!(error("a", Some("b"), Some("$1"), None).starts_with("format.replace"));
        assert!(error("a", None, None, Some("D")).starts_with("format.dateFormat"));
    }

    #[test]
    fn bytes_that_are_no_utf_8_keep_their_places() {
        assert_eq!(readable(b"a\xff\xe2\x82b"), "a???b");
        let format = OwnFormat::new("<(.*)>(.?) (.*?) (.*?) (.*)", None, None, None).unwrap();
        let parts = format.parts(b"<1> \xff h \xfe", &TimeZone::UTC, 0).unwrap();
        assert_eq!((parts.body_from, parts.body_to), (8, 9));
    }
}
