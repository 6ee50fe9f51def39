//! Bytes that need not be UTF-8 as a text for patterns, and replacing in them what matches. Pure.

use super::java_regex::Replacement;
use super::pattern::Matcher;
use std::borrow::Cow;

/// What replacing came to.
#[derive(Debug, PartialEq)]
pub enum Replaced {
    /// Nothing matched.
    No,
    Yes,
    /// The result would be longer than it may be; what was written of it means nothing.
    TooLong,
}

/// Bytes as text to look at, and where its characters come from.
pub struct Text<'a> {
    bytes: &'a [u8],
    text: Cow<'a, str>,
    /// Behind each U+FFFD that stands for bytes: its end in the text and theirs in the bytes.
    shifts: Vec<(usize, usize)>,
}

impl<'a> Text<'a> {
    pub fn new(bytes: &'a [u8]) -> Text<'a> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Text { bytes, text: text.into(), shifts: Vec::new() };
        }
        let (mut text, mut shifts, mut at) = (String::with_capacity(bytes.len() + 16), Vec::new(), 0);
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len() + chunk.invalid().len();
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                shifts.push((text.len(), at));
            }
        }
        Text { bytes, text: text.into(), shifts }
    }

    /// The place in the bytes of a place between characters of the text.
    fn original(&self, at: usize) -> usize {
        match self.shifts.partition_point(|(text, _)| *text <= at).checked_sub(1) {
            None => at,
            Some(i) => self.shifts[i].1 + at - self.shifts[i].0,
        }
    }

    /// Appends the text with every match replaced; `out` then has at most `most` bytes. As in Java, an empty match
    /// moves the search on by one character, and may follow another match at once.
    pub fn replace_all(
        &self,
        matcher: &mut Matcher<'_>,
        with: &Replacement,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Replaced {
        let (mut copied, mut from, mut any) = (0, 0, false);
        while from <= self.text.len() && matcher.find_at(&self.text, from) {
            any = true;
            let whole = matcher.group(0).expect("a match has a place");
            out.extend_from_slice(&self.bytes[copied..self.original(whole.start)]);
            let group = |n| match matcher.group(n) {
                Some(g) => &self.bytes[self.original(g.start)..self.original(g.end)],
                None => &[],
            };
            if !with.expand(group, most, out) {
                return Replaced::TooLong;
            }
            copied = self.original(whole.end);
            from = match whole.is_empty() {
                true => whole.end + self.text[whole.end..].chars().next().map_or(1, char::len_utf8),
                false => whole.end,
            };
        }
        if !any {
            return Replaced::No;
        }
        out.extend_from_slice(&self.bytes[copied..]);
        if out.len() > most {
            return Replaced::TooLong;
        }
        Replaced::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::*;

    fn replaced(search: &str, with: &str, bytes: &[u8], most: usize) -> (Replaced, Vec<u8>) {
        let pattern = Pattern::new(search).unwrap();
        let mut out = Vec::new();
        let with = pattern.replacement(with).unwrap();
        let done = Text::new(bytes).replace_all(&mut pattern.matcher(), &with, most, &mut out);
        (done, out)
    }

    #[test]
    fn bytes_keep_their_places() {
        let text = Text::new(b"a\xff\xe2\x82b\xc3\xa4\xfe");
        assert_eq!(text.text, "a\u{fffd}\u{fffd}b\u{e4}\u{fffd}");
        let places: Vec<usize> = text.text.char_indices().map(|(at, _)| text.original(at)).collect();
        assert_eq!((places, text.original(text.text.len())), (vec![0, 1, 2, 4, 5, 7], 8));
    }

    #[test]
    fn the_result_is_as_long_as_it_may_be() {
        assert_eq!(replaced("b", "xx", b"abc", 4), (Replaced::Yes, b"axxc".to_vec()));
        assert_eq!(replaced("b", "xx", b"abc", 3).0, Replaced::TooLong);
        assert_eq!(replaced("c", "xx", b"abc", 3).0, Replaced::TooLong);
        assert_eq!(replaced("d", "xx", b"abc", 0), (Replaced::No, Vec::new()));
        assert_eq!(
            replaced("$", "\u{e4}", b"\xff\n", 9),
            (Replaced::Yes, b"\xff\xc3\xa4\n\xc3\xa4".to_vec())
        );
    }
}
