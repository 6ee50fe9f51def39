//! The grammar of `java.util.Properties`, as Flume reads its files: bytes to names and values with their lines.
//!
//! Knows nothing of agents. Differences from Java, both for the user: text is UTF-8 (a byte that is not is taken
//! as Latin-1, Java's own encoding), and half a surrogate pair, which no UTF-8 text can hold, becomes U+FFFD.
//! Called by the thread that starts or reloads the agent; pure, no locks.

use super::problem::{Place, Problems};
use super::property::Property;
use std::sync::Arc;

/// What Java counts as blank here: no other white space separates or is skipped.
const BLANK: [char; 3] = [' ', '\t', '\x0c'];

/// Every property of the text, in the order of the file, duplicates included; names and values are trimmed as
/// Flume does. A property's line is the first one of a line that is continued.
pub fn parse(file: &Arc<str>, bytes: &[u8], problems: &mut Problems) -> Vec<Property> {
    let text = decode(bytes);
    let mut found = Vec::new();
    let mut lines = natural_lines(&text).zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut part = line.trim_start_matches(BLANK);
        if part.is_empty() || part.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::new();
        while is_continued(part) {
            logical.push_str(&part[..part.len() - 1]);
            part = lines.next().map_or("", |(l, _)| l.trim_start_matches(BLANK));
        }
        logical.push_str(part);
        if logical.is_empty() {
            continue;
        }
        let place = Place { file: file.clone(), line: number };
        let (name, value) = split(&logical);
        let (mut n, mut v) = (Unescaped::of(name), Unescaped::of(value));
        let (name, value) = (trim(&n.text).to_owned(), trim(&v.text).to_owned());
        if let Some(bad) = n.malformed.take().or(v.malformed.take()) {
            problems.error(&place, &name, format!("{bad}: \\u needs exactly four hexadecimal digits"));
        }
        if n.is_broken || v.is_broken {
            problems.warning(&place, &name, "half of a surrogate pair (\\uD800 to \\uDFFF) is no character");
        }
        found.push(Property::new(name, value, place));
    }
    found
}

/// UTF-8, except that each byte of an invalid sequence is the Latin-1 character of that number.
fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|b| char::from(*b)));
    }
    text
}

/// Lines that end at LF, CR or CRLF.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        let Some(end) = now.find(['\n', '\r']) else {
            rest = None;
            return Some(now);
        };
        let after = &now[end..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&now[..end])
    })
}

/// An odd number of backslashes at the end: the last one is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// The raw name and value of a logical line: blanks, at most one `=` or `:`, blanks stand between them.
fn split(logical: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = logical.find(|c: char| {
        let ends = !is_escaped && (BLANK.contains(&c) || c == '=' || c == ':');
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let (name, rest) = logical.split_at(end.unwrap_or(logical.len()));
    let rest = rest.trim_start_matches(BLANK);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, rest.trim_start_matches(BLANK))
}

/// Java's `String.trim`, which Flume applies to names and values.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A text with its escapes resolved, and what was wrong with them.
#[derive(Default)]
struct Unescaped {
    text: String,
    malformed: Option<String>,
    is_broken: bool,
    /// The first half of a surrogate pair, until its second half has come.
    high: Option<u16>,
}

impl Unescaped {
    fn of(raw: &str) -> Unescaped {
        let mut u = Unescaped::default();
        let mut rest = raw;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                u.push(c);
                continue;
            }
            let Some(c) = rest.chars().next() else { break };
            rest = &rest[c.len_utf8()..];
            match c {
                't' => u.push('\t'),
                'n' => u.push('\n'),
                'r' => u.push('\r'),
                'f' => u.push('\x0c'),
                'u' => match rest.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())) {
                    Some(digits) => {
                        u.push_unit(u16::from_str_radix(digits, 16).unwrap_or_default());
                        rest = &rest[4..];
                    }
                    None => {
                        let seen: String = rest.chars().take(4).collect();
                        u.malformed.get_or_insert(format!("malformed \\u{seen}"));
                        u.push('u');
                    }
                },
                other => u.push(other),
            }
        }
        u.end_pair();
        u
    }

    fn push(&mut self, c: char) {
        self.end_pair();
        self.text.push(c);
    }

    fn push_unit(&mut self, unit: u16) {
        match (self.high, unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.high = None;
                self.text.extend(char::decode_utf16([high, unit]).flatten());
            }
            (_, 0xD800..=0xDBFF) => {
                self.end_pair();
                self.high = Some(unit);
            }
            _ => {
                self.end_pair();
                match char::from_u32(u32::from(unit)) {
                    Some(c) => self.text.push(c),
                    None => self.replace(),
                }
            }
        }
    }

    fn end_pair(&mut self) {
        if self.high.take().is_some() {
            self.replace();
        }
    }

    fn replace(&mut self) {
        self.is_broken = true;
        self.text.push(char::REPLACEMENT_CHARACTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<Property>, Problems) {
        let mut problems = Problems::default();
        let found = parse(&Arc::from("f"), bytes, &mut problems);
        (found, problems)
    }

    /// Names, values and lines of a text without faults.
    #[track_caller]
    fn expect(bytes: impl AsRef<[u8]>, expected: &[(&str, &str, u32)]) {
        let (found, problems) = read(bytes.as_ref());
        let found: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.value.as_str(), p.place.line)).collect();
        assert_eq!(found, expected);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn lines_end_at_lf_cr_and_crlf() {
        expect("a=1\nb=2\rc=3\r\nd=4", &[("a", "1", 1), ("b", "2", 2), ("c", "3", 3), ("d", "4", 4)]);
        expect("a=1\n\n \t\x0c\r\n\r\rb=2\n", &[("a", "1", 1), ("b", "2", 6)]);
    }

    #[test]
    fn comments_are_never_continued_and_never_at_the_end() {
        expect("# a\\\nb=1\n  ! c=2\nd=x # y ! z", &[("b", "1", 2), ("d", "x # y ! z", 4)]);
        expect("k#1=v", &[("k#1", "v", 1)]);
    }

    #[test]
    fn odd_backslashes_continue_a_line() {
        expect("a=1 \\\n   # 2,\\\r\n\t3\nb=4", &[("a", "1 # 2,3", 1), ("b", "4", 4)]);
        expect("a=1\\\\\nb=2\\\\\\\n3", &[("a", "1\\", 1), ("b", "2\\3", 2)]);
        expect("a=1\\\n\nb=2", &[("a", "1", 1), ("b", "2", 3)]);
        expect("a=1\\", &[("a", "1", 1)]);
        expect("\\\n\nb=2\n\\\n#c=3", &[("b", "2", 3), ("#c", "3", 4)]);
    }

    #[test]
    fn one_separator_and_blanks_around_it() {
        let same = ["a.s r1", "a.s:r1", "a.s = r1", "  a.s\t:\x0cr1", "a.s=r1"];
        for text in same {
            expect(text, &[("a.s", "r1", 1)]);
        }
        expect("a==b\nc=:d\ne : = f", &[("a", "=b", 1), ("c", ":d", 2), ("e", "= f", 3)]);
        expect("a\nb=\n=c", &[("a", "", 1), ("b", "", 2), ("", "c", 3)]);
    }

    #[test]
    fn escapes_in_names_and_values() {
        expect(r"a\ b\=c\:d = x\ty\nz\\ \q\#", &[("a b=c:d", "x\ty\nz\\ q#", 1)]);
        expect(r"k = \u0041\u00e9\uD83D\uDE00!", &[("k", "A\u{e9}\u{1F600}!", 1)]);
        expect(r"\u006b=v", &[("k", "v", 1)]);
    }

    #[test]
    fn malformed_unicode_escape_is_an_error_with_its_line() {
        for text in ["x=1\nk=\\u12", "x=1\nk=a\\u12G4b", "x=1\nk = \\\n \\u", "x=1\nk=\\u00\u{e9}9"] {
            let (found, problems) = read(text.as_bytes());
            let p = problems.sorted()[0].clone();
            assert_eq!((problems.errors(), p.place.line, p.key.as_str(), found.len()), (1, 2, "k", 2));
        }
    }

    #[test]
    fn half_a_pair_warns() {
        for text in ["k=\\uD83D", "k=\\uDE00", "k=\\uD83Dx"] {
            let (found, problems) = read(text.as_bytes());
            assert!(found[0].value.starts_with('\u{FFFD}'));
            assert_eq!((problems.errors(), problems.sorted().len()), (0, 1));
        }
        assert_eq!(read(b"k=\\uD83D\\uD83D\\uDE00").0[0].value, "\u{FFFD}\u{1F600}");
        assert_eq!(read(b"k=\\uD83D\\u0041").0[0].value, "\u{FFFD}A");
    }

    #[test]
    fn values_are_trimmed_of_control_characters_too() {
        expect("k = \\u0001 v w \\t \\u0020", &[("k", "v w", 1)]);
    }

    #[test]
    fn utf8_with_latin1_for_what_is_not() {
        expect(
            b"k=\xC3\xA9\xE9\xE2\x82\xAC\xE2\x82x".as_slice(),
            &[("k", "\u{e9}\u{e9}\u{20ac}\u{e2}\u{82}x", 1)],
        );
        expect(b"\xEF\xBB\xBFk=v".as_slice(), &[("k", "v", 1)]);
    }
}
