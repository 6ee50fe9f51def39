//! What a match is replaced with, in the syntax of Java's `Matcher.replaceAll`.
//!
//! ```text
//!   $1      group 1; further digits belong to it as long as there is such a group
//!   ${n}    the group of that name
//!   \c      the character c, whatever it is
//! ```

/// A replacement whose groups exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Group(usize),
}

impl Replacement {
    /// Reads a replacement for a pattern with this many groups, not counting the whole match, and these names.
    pub fn new(
        java: &str,
        groups: usize,
        named: impl Fn(&str) -> Option<usize>,
    ) -> Result<Replacement, String> {
        let mut pieces = Vec::new();
        let mut chars = java.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(c) => literal(&mut pieces, c),
                    None => return Err("ends in a backslash".to_owned()),
                },
                '$' if chars.next_if_eq(&'{').is_some() => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(format!("${{{name} lacks its '}}'")),
                        }
                    }
                    let group = named(&name).ok_or_else(|| format!("there is no group named {name:?}"))?;
                    pieces.push(Piece::Group(group));
                }
                '$' => {
                    let mut group = match chars.next().and_then(|c| c.to_digit(10)) {
                        Some(d) if d as usize <= groups => d as usize,
                        Some(d) => return Err(format!("there is no group {d}")),
                        None => return Err("a $ without a group; for a literal $ write \\$".to_owned()),
                    };
                    while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let longer = group * 10 + d as usize;
                        if longer > groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    pieces.push(Piece::Group(group));
                }
                c => literal(&mut pieces, c),
            }
        }
        Ok(Replacement(pieces))
    }

    /// Appends the replacement of one match; `group` gives the text of a group, none if it took no part.
    /// `false`: `out` would have more bytes than `most`.
    #[must_use]
    pub fn expand<'a>(&'a self, group: impl Fn(usize) -> &'a [u8], most: usize, out: &mut Vec<u8>) -> bool {
        for piece in &self.0 {
            let bytes = match piece {
                Piece::Literal(text) => text.as_bytes(),
                Piece::Group(n) => group(*n),
            };
            if out.len() + bytes.len() > most {
                return false;
            }
            out.extend_from_slice(bytes);
        }
        true
    }
}

fn literal(pieces: &mut Vec<Piece>, c: char) {
    match pieces.last_mut() {
        Some(Piece::Literal(text)) => text.push(c),
        _ => pieces.push(Piece::Literal(c.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_javas() {
        let expand = |java: &str, groups: usize| {
            let named = |n: &str| (n == "name").then_some(1);
            let texts: Vec<String> = (0..=groups).map(|n| format!("<{n}>")).collect();
            let mut out = Vec::new();
            let made = Replacement::new(java, groups, named)?;
            assert!(made.expand(|n| texts[n].as_bytes(), 100, &mut out));
            Ok::<_, String>(String::from_utf8(out).unwrap())
        };
        for (java, groups, want) in [
            ("", 0, ""),
            ("a$1b$0", 1, "a<1>b<0>"),
            ("$12", 1, "<1>2"),
            ("$12", 12, "<12>"),
            ("$012", 12, "<12>"),
            (r"\$1\\\a", 1, r"$1\a"),
            ("${name}x", 1, "<1>x"),
            ("\u{e4}$0\u{20ac}", 0, "\u{e4}<0>\u{20ac}"),
        ] {
            assert_eq!(expand(java, groups).as_deref(), Ok(want), "{java}");
        }
        for (java, why) in [
            ("$", "a $ without a group; for a literal $ write \\$"),
            ("$x", "a $ without a group; for a literal $ write \\$"),
            ("a\\", "ends in a backslash"),
            ("$2", "there is no group 2"),
            ("${gone}", "there is no group named \"gone\""),
            ("${nam", "${nam lacks its '}'"),
        ] {
            assert_eq!(expand(java, 1), Err(why.to_owned()), "{java}");
        }
    }
    #[test]
    fn nothing_grows_beyond_the_limit() {
        let made = Replacement::new("ab$0", 0, |_| None).unwrap();
        let mut out = b"x".to_vec();
        assert!(made.expand(|_| b"yz", 5, &mut out));
        assert_eq!(out, b"xabyz");
        assert!(!made.expand(|_| b"yz", 8, &mut out));
        assert!(out.len() <= 8);
    }
}
