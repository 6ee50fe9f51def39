//! Character classes and escapes: brackets with unions, ranges and intersections, `\d`, `\p{..}`, code points.

use super::{push_literal, Char, Translator};

/// What an escape stands for.
pub(super) enum Escaped {
    Char(char),
    /// A class in the syntax of the regex crate, which may stand inside of brackets too.
    Set(String),
}

/// Java's classes of ASCII, by name: the inside of the brackets.
const ASCII: [(&str, &str); 13] = [
    ("Lower", "a-z"),
    ("Upper", "A-Z"),
    ("ASCII", r"\x00-\x7F"),
    ("Alpha", "a-zA-Z"),
    ("Digit", "0-9"),
    ("Alnum", "a-zA-Z0-9"),
    ("Punct", r"!-/:-@\[-`{-~"),
    ("Graph", "!-~"),
    ("Print", " -~"),
    ("Blank", r" \t"),
    ("Cntrl", r"\x00-\x1F\x7F"),
    ("XDigit", "0-9a-fA-F"),
    ("Space", SPACE),
];

/// Classes of Java that the regex crate knows under another name, or not at all.
const OTHERS: [(&str, &str); 10] = [
    ("javaLowerCase", r"\p{Lowercase}"),
    ("javaUpperCase", r"\p{Uppercase}"),
    ("javaAlphabetic", r"\p{Alphabetic}"),
    ("javaDigit", r"\p{Nd}"),
    ("javaLetter", r"\p{L}"),
    ("javaLetterOrDigit", r"\p{L}\p{Nd}"),
    (
        "javaWhitespace",
        r"\t-\r\x1C- \x{1680}\x{2000}-\x{2006}\x{2008}-\x{200A}\x{2028}\x{2029}\x{205F}\x{3000}",
    ),
    ("L1", r"\x00-\xFF"),
    ("LD", r"\p{L}\p{Nd}"),
    ("all", r"\x00-\x{10FFFF}"),
];

const SPACE: &str = r" \t\n\x0B\x0C\r";
const WORD: &str = "a-zA-Z0-9_";
const HORIZONTAL: &str = r" \t\xA0\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n\x0B\x0C\r\x{85}\x{2028}\x{2029}";

/// An open bracket: whether something stands on this side of the last `&&`, and where it was opened.
struct Side {
    filled: bool,
    intersects: bool,
    at: usize,
}

impl Translator {
    /// What follows an opening bracket.
    pub(super) fn class(&mut self) -> Result<(), String> {
        let mut sides: Vec<Side> = Vec::new();
        // The bracket that was taken is read again, as those inside of it are.
        self.next -= 1;
        while let Some(c) = self.take_significant() {
            let top = sides.last_mut();
            let is_special = |s: char| c.c == s && !c.quoted;
            if is_special('[') {
                top.into_iter().for_each(|t| t.filled = true);
                self.done.pattern.push('[');
                if self.take_if('^') {
                    self.done.pattern.push('^');
                }
                sides.push(Side { filled: false, intersects: false, at: c.at });
                continue;
            }
            let Some(top) = top else { break };
            if is_special(']') && (top.filled || top.intersects) {
                if !top.filled {
                    return Err(format!("nothing follows && before character {}", c.at));
                }
                sides.pop();
                self.done.pattern.push(']');
                if sides.is_empty() {
                    self.repeatable = true;
                    return Ok(());
                }
                continue;
            }
            if is_special('&') && self.take_if('&') {
                if !top.filled {
                    return Err(format!("nothing stands before && at character {}", c.at));
                }
                (top.filled, top.intersects) = (false, true);
                self.done.pattern.push_str("&&");
                continue;
            }
            top.filled = true;
            self.item(c)?;
        }
        let at = sides.last().map_or(0, |s| s.at);
        Err(format!("'[' at character {at} is not closed"))
    }

    /// One character, range or set inside of brackets.
    fn item(&mut self, c: Char) -> Result<(), String> {
        let from = match self.member(c)? {
            Escaped::Char(c) => c,
            Escaped::Set(set) => {
                self.done.pattern.push_str(&set);
                return Ok(());
            }
        };
        push_literal(&mut self.done.pattern, from);
        self.skip_comments();
        let follows = |i: usize| self.input.get(self.next + i).copied();
        let is_range = follows(0).is_some_and(|c| c.c == '-' && !c.quoted)
            && follows(1).is_some_and(|c| c.quoted || !matches!(c.c, ']' | '['));
        if !is_range {
            return Ok(());
        }
        self.next += 1;
        let Some(end) = self.take_significant() else { return Ok(()) };
        match self.member(end)? {
            Escaped::Char(to) if to >= from => {
                self.done.pattern.push('-');
                push_literal(&mut self.done.pattern, to);
                Ok(())
            }
            _ => Err(format!("the range that ends at character {} is no range", end.at)),
        }
    }

    fn member(&mut self, c: Char) -> Result<Escaped, String> {
        if c.c != '\\' || c.quoted {
            return Ok(Escaped::Char(c.c));
        }
        match self.take() {
            Some(c) => self.escaped(c),
            None => Err("the pattern ends in a backslash".to_owned()),
        }
    }

    /// An escape that has one meaning inside of brackets and outside; `c` follows the backslash.
    pub(super) fn escaped(&mut self, c: Char) -> Result<Escaped, String> {
        let set = |inside: &str| Ok(Escaped::Set(format!("[{inside}]")));
        let not = |inside: &str| Ok(Escaped::Set(format!("[^{inside}]")));
        let char = |c: char| Ok(Escaped::Char(c));
        match c.c {
            'd' => set("0-9"),
            'D' => not("0-9"),
            'w' => set(WORD),
            'W' => not(WORD),
            's' => set(SPACE),
            'S' => not(SPACE),
            'h' => set(HORIZONTAL),
            'H' => not(HORIZONTAL),
            'v' => set(VERTICAL),
            'V' => not(VERTICAL),
            'p' | 'P' => self.property(c.c == 'P', c.at).map(Escaped::Set),
            't' => char('\t'),
            'n' => char('\n'),
            'r' => char('\r'),
            'f' => char('\u{c}'),
            'a' => char('\u{7}'),
            'e' => char('\u{1b}'),
            'c' => match self.take() {
                Some(c) if c.c.is_ascii() => char(char::from(c.c as u8 ^ 64)),
                _ => Err(format!("\\c at character {} names no control character", c.at)),
            },
            '0' | 'x' | 'u' => self
                .code_point(c.c)
                .map(Escaped::Char)
                .ok_or_else(|| format!("\\{} at character {} names no character", c.c, c.at)),
            c1 if c1.is_ascii_alphanumeric() => Err(format!("unknown escape \\{c1} at character {}", c.at)),
            other => char(other),
        }
    }

    fn code_point(&mut self, form: char) -> Option<char> {
        match form {
            '0' => {
                // At most \0377.
                let mut n = self.digits(8, 1)?;
                for _ in 0..2 {
                    match self.peek().and_then(|c| c.c.to_digit(8)) {
                        Some(d) if n < 32 => {
                            n = n * 8 + d;
                            self.next += 1;
                        }
                        _ => break,
                    }
                }
                char::from_u32(n)
            }
            'x' if self.take_if('{') => {
                let mut n: u32 = 0;
                loop {
                    match self.take()?.c {
                        '}' => return char::from_u32(n),
                        c => n = n.checked_mul(16)?.checked_add(c.to_digit(16)?)?,
                    }
                }
            }
            'x' => char::from_u32(self.digits(16, 2)?),
            _ => {
                let high = self.digits(16, 4)?;
                if !(0xD800..0xDC00).contains(&high) {
                    return char::from_u32(high);
                }
                let low = (self.take_if('\\') && self.take_if('u')).then(|| self.digits(16, 4))??;
                char::decode_utf16([high as u16, low as u16]).next()?.ok()
            }
        }
    }

    /// A number of exactly this many digits.
    fn digits(&mut self, radix: u32, count: usize) -> Option<u32> {
        let mut n = 0;
        for _ in 0..count {
            n = n * radix + self.take()?.c.to_digit(radix)?;
        }
        Some(n)
    }

    /// What follows `\p` or `\P`.
    fn property(&mut self, negated: bool, at: usize) -> Result<String, String> {
        let mut name = String::new();
        if self.take_if('{') {
            loop {
                match self.take() {
                    Some(c) if c.c == '}' => break,
                    Some(c) => name.push(c.c),
                    None => return Err(format!("the class at character {at} lacks its '}}'")),
                }
            }
        } else {
            name.extend(self.take().map(|c| c.c));
        }
        let found = ASCII.iter().chain(&OTHERS).find(|(n, _)| *n == name);
        if let Some((_, inside)) = found {
            return Ok(format!("[{}{inside}]", if negated { "^" } else { "" }));
        }
        let unknown = || format!("unknown class {name:?} at character {at}");
        if name.starts_with("In") || name.starts_with("blk=") || name.starts_with("block=") {
            return Err(format!("the Unicode block {name:?} at character {at} is not supported"));
        }
        let plain = match name.split_once('=') {
            Some(("sc" | "script" | "gc" | "general_category", value)) => value,
            Some(_) => return Err(unknown()),
            None => match name.strip_prefix("Is") {
                Some(rest) => rest,
                None if name.len() <= 2 => &name,
                None => return Err(unknown()),
            },
        };
        if plain.is_empty() || !plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(unknown());
        }
        let form = name.strip_prefix("Is").unwrap_or(&name);
        Ok(format!("\\{}{{{form}}}", if negated { 'P' } else { 'p' }))
    }
}
