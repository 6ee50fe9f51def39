//! A message pattern of the user: `format.regex`, `search`, `replace`, `dateFormat` (reference, wire.md 3.2).
//!
//! ```text
//!   groups of regex:  1 priority   2 version   3 timestamp   4 host   5 body
//! ```
//!
//! The pattern must match the whole text. `search` and `replace` work on the timestamp before `dateFormat`
//! reads it. All three are Java's, see `java_regex`; what cannot be done is refused when they are read. Bytes
//! that are no UTF-8 stand as `?` while matching, one for one, so that every group is a place in the original.

use super::super::dateformat::DateFormat;
use super::super::java_regex::Replacement;
use super::super::pattern::Pattern;
use super::super::text::{Replaced, Text};
use super::parts::{Part, Parts};
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// A timestamp that search and replace make longer than this many bytes is none.
const LONGEST_STAMP: usize = 4096;

#[derive(Clone)]
pub struct OwnFormat {
    regex: Pattern,
    /// What to look for in the timestamp, and what to put there.
    search: Option<(Pattern, Replacement)>,
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
        let regex = Pattern::whole(regex).map_err(|e| format!("format.regex: {e}"))?;
        let search = match search {
            Some(text) => {
                let search = Pattern::new(text).map_err(|e| format!("format.search: {e}"))?;
                let replace = search.replacement(replace.unwrap_or(""));
                let replace = replace.map_err(|e| format!("format.replace: {e}"))?;
                Some((search, replace))
            }
            None => None,
        };
        let date =
            date_format.map(DateFormat::new).transpose().map_err(|e| format!("format.dateFormat: {e}"))?;
        Ok(OwnFormat { regex, search, date })
    }

    pub(super) fn parts(&self, text: &[u8], zone: &TimeZone, now_ms: u64) -> Option<Parts> {
        let text = readable(text);
        let mut groups = self.regex.matcher();
        if !groups.find_at(&text, 0) {
            return None;
        }
        let part = |i| groups.group(i).map_or(Part::default(), |g| Part::new(g.start, g.end));
        let stamp = groups.group(3).map(|g| &text[g]);
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
        let Some((search, with)) = &self.search else { return date.parse(stamp, zone, now_ms) };
        let mut replaced = Vec::new();
        let text = Text::new(stamp.as_bytes());
        match text.replace_all(&mut search.matcher(), with, LONGEST_STAMP, &mut replaced) {
            Replaced::No => date.parse(stamp, zone, now_ms),
            Replaced::Yes => date.parse(std::str::from_utf8(&replaced).ok()?, zone, now_ms),
            Replaced::TooLong => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
