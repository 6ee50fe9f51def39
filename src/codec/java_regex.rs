//! Java's regular expressions in the syntax of the regex crate: pure text to text.
//!
//! Patterns of Flume configurations are written for `java.util.regex`. What Java writes differently is
//! translated, so that a pattern matches what it matched there; what a linear-time engine cannot do
//! (look-around, back-references, possessive quantifiers, atomic groups) is refused, with its place.
//!
//! ```text
//!   \d \w \s \p{Alpha} ...    ASCII only, as in Java          \Q..\E  \h \v \R \0n \xhh \uhhhh \cx \e \a
//!   .                         no line end of the six Java knows      (?<name>..)   [a-z&&[^b]]
//!   $ and \Z                  before a final line end, too    flags i s m d x u; u is always on
//! ```
//!
//! Known differences: `(?i)` folds letters outside ASCII too; `^` and `$` under `(?m)` know the line ends
//! `\n`, `\r` and `\r\n` only, and `^` matches behind a final one. The engine cannot look ahead of `$`, so
//! its translation takes the final line end into a group of its own: [`Translated::line_ends`] lists these, and
//! whoever asks where a match ends cuts them off. Hence groups are numbered anew: [`Translated::groups`].
//! Nothing behind such a `$` finds the line end that it took, so `a$\n` does not match `a\n`, neither in a text nor as
//! a whole, where `$` is the very end. Java's `$` does not match between `\r` and `\n`; here, `\r$` takes such a `\n`.

mod class;
mod replacement;

pub use replacement::Replacement;

/// A pattern for the regex crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    pub pattern: String,
    /// The number here of each group of the Java pattern; group 0 is the whole match.
    pub groups: Vec<usize>,
    /// Groups that hold a final line end in front of which the match ends in Java.
    pub line_ends: Vec<usize>,
}

/// Translates; an error names the construct and its place, counted in characters from 1.
pub fn translate(java: &str) -> Result<Translated, String> {
    translated(java, false)
}

/// The same for a pattern that a whole text is to match: the end of the text is then no place before a line end.
pub fn translate_whole(java: &str) -> Result<Translated, String> {
    translated(java, true)
}

fn translated(java: &str, is_whole: bool) -> Result<Translated, String> {
    let mut t = Translator {
        input: unquote(java),
        next: 0,
        flags: Flags::default(),
        is_whole,
        open: Vec::new(),
        repeatable: false,
        captures: 0,
        done: Translated {
            pattern: String::with_capacity(java.len() + 16),
            groups: vec![0],
            line_ends: vec![],
        },
    };
    t.run()?;
    Ok(t.done)
}

/// The line ends of Java that are one character.
const LINE_ENDS: &str = r"\n\r\x{85}\x{2028}\x{2029}";

/// One character of the pattern; a quoted one (`\Q..\E`) means itself.
#[derive(Clone, Copy)]
struct Char {
    c: char,
    quoted: bool,
    at: usize,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Flags {
    ignore_case: bool,
    dot_all: bool,
    multi_line: bool,
    unix_lines: bool,
    comments: bool,
}

struct Translator {
    input: Vec<Char>,
    next: usize,
    flags: Flags,
    /// See `translate_whole`.
    is_whole: bool,
    /// The flags to return to at the end of each open group, and where it was opened.
    open: Vec<(Flags, usize)>,
    /// Whether a quantifier may follow.
    repeatable: bool,
    captures: usize,
    done: Translated,
}

/// Marks what stands between `\Q` and `\E`, as Java does before anything else. An escaped backslash begins no quote.
fn unquote(java: &str) -> Vec<Char> {
    let mut out = Vec::with_capacity(java.len());
    let mut quoted = false;
    let mut chars = java.chars().zip(1..).peekable();
    while let Some((c, at)) = chars.next() {
        let follows = if c == '\\' { chars.peek().map(|(f, _)| *f) } else { None };
        match follows {
            Some('E') if quoted => quoted = false,
            Some('Q') if !quoted => quoted = true,
            Some(f) if !quoted => {
                out.extend([Char { c, quoted, at }, Char { c: f, quoted, at: at + 1 }]);
            }
            _ => {
                out.push(Char { c, quoted, at });
                continue;
            }
        }
        chars.next();
    }
    out
}

impl Translator {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.take_significant() {
            if c.quoted {
                self.literal(c.c);
                continue;
            }
            match c.c {
                '(' => self.group(c.at)?,
                ')' => {
                    let (flags, _) = self
                        .open
                        .pop()
                        .ok_or_else(|| format!("')' at character {} closes no group", c.at))?;
                    self.flags = flags;
                    self.put(")", true);
                }
                '|' => self.put("|", false),
                '[' => self.class()?,
                '.' => self.dot(),
                '^' => {
                    let m = self.flags.multi_line;
                    self.put(if !m { "^" } else { self.line_mode("(?m:^)", "(?mR:^)") }, true);
                }
                '$' if self.flags.multi_line => {
                    self.put(self.line_mode("(?m:$)", "(?mR:$)"), true);
                }
                '$' => self.end_of_text(),
                '*' | '+' | '?' | '{' => self.quantifier(c)?,
                '\\' => self.escape(c.at)?,
                other => self.literal(other),
            }
        }
        match self.open.pop() {
            Some((_, at)) => Err(format!("'(' at character {at} is not closed")),
            None => Ok(()),
        }
    }

    fn put(&mut self, text: &str, repeatable: bool) {
        self.done.pattern.push_str(text);
        self.repeatable = repeatable;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.done.pattern, c);
        self.repeatable = true;
    }

    fn line_mode(&self, unix: &'static str, all: &'static str) -> &'static str {
        if self.flags.unix_lines {
            unix
        } else {
            all
        }
    }

    fn dot(&mut self) {
        let text = match (self.flags.dot_all, self.flags.unix_lines) {
            (true, _) => "(?s:.)".to_owned(),
            (false, true) => r"[^\n]".to_owned(),
            (false, false) => format!("[^{LINE_ENDS}]"),
        };
        self.put(&text, true);
    }

    /// The end of the text, or the place before its final line end, which goes into a group.
    fn end_of_text(&mut self) {
        if self.is_whole {
            return self.put(r"\z", true);
        }
        self.captures += 1;
        self.done.line_ends.push(self.captures);
        let text = match self.flags.unix_lines {
            true => r"(?:\z|(\n)\z)".to_owned(),
            false => format!(r"(?:\z|(\r\n|[{LINE_ENDS}])\z)"),
        };
        self.put(&text, true);
    }

    fn peek(&self) -> Option<Char> {
        self.input.get(self.next).copied()
    }

    /// Takes the next character, whatever it is.
    fn take(&mut self) -> Option<Char> {
        let c = self.peek()?;
        self.next += 1;
        Some(c)
    }

    /// Takes the next character if it is this one, unquoted.
    fn take_if(&mut self, c: char) -> bool {
        let is_it = self.peek().is_some_and(|p| p.c == c && !p.quoted);
        self.next += usize::from(is_it);
        is_it
    }

    /// Takes the next character that is not blank or a comment, where the flag x says so.
    fn take_significant(&mut self) -> Option<Char> {
        self.skip_comments();
        self.take()
    }

    fn skip_comments(&mut self) {
        while let Some(c) = self.peek().filter(|c| self.flags.comments && !c.quoted) {
            match c.c {
                ' ' | '\t'..='\r' => self.next += 1,
                '#' => while self.take().is_some_and(|c| !"\n\r\u{85}\u{2028}\u{2029}".contains(c.c)) {},
                _ => return,
            }
        }
    }

    fn quantifier(&mut self, first: Char) -> Result<(), String> {
        if !self.repeatable {
            return Err(format!("'{}' at character {} has nothing to repeat", first.c, first.at));
        }
        self.done.pattern.push(first.c);
        if first.c == '{' {
            self.counts(first.at)?;
        }
        self.skip_comments();
        if self.take_if('+') {
            return Err(format!("the possessive quantifier at character {} is not supported", first.at));
        }
        let text = if self.take_if('?') { "?" } else { "" };
        self.put(text, false);
        Ok(())
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`.
    fn counts(&mut self, at: usize) -> Result<(), String> {
        let mut text = String::new();
        while let Some(c) = self.take() {
            text.push(c.c);
            if c.c == '}' {
                break;
            }
        }
        let inside = text.strip_suffix('}').unwrap_or("");
        let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
        let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !is_number(low) || !(high.is_empty() || is_number(high)) {
            return Err(format!("'{{' at character {at} begins no repetition; for a literal {{ write \\{{"));
        }
        self.done.pattern.push_str(&text);
        Ok(())
    }

    /// What follows an opening parenthesis.
    fn group(&mut self, at: usize) -> Result<(), String> {
        let before = self.flags;
        if !self.take_if('?') {
            self.open.push((before, at));
            self.capture();
            self.put("(", false);
            return Ok(());
        }
        let refuse = |what: &str| Err(format!("{what} at character {at} is not supported"));
        if self.take_if('=') {
            return refuse("look-ahead (?=");
        }
        if self.take_if('!') {
            return refuse("look-ahead (?!");
        }
        if self.take_if('>') {
            return refuse("the atomic group (?>");
        }
        if self.take_if('<') {
            if self.take_if('=') {
                return refuse("look-behind (?<=");
            }
            if self.take_if('!') {
                return refuse("look-behind (?<!");
            }
            let name =
                self.name('>').ok_or_else(|| format!("the group at character {at} has no proper name"))?;
            self.open.push((before, at));
            self.capture();
            self.put(&format!("(?P<{name}>"), false);
            return Ok(());
        }
        let is_group = self.flags(at)?;
        let case = match (before.ignore_case, self.flags.ignore_case) {
            (false, true) => "i",
            (true, false) => "-i",
            _ => "",
        };
        if is_group {
            self.open.push((before, at));
            self.put(&format!("(?{case}:"), false);
        } else if case.is_empty() {
            self.repeatable = false;
        } else {
            self.put(&format!("(?{case})"), false);
        }
        Ok(())
    }

    fn capture(&mut self) {
        self.captures += 1;
        self.done.groups.push(self.captures);
    }

    /// A name and what closes it. Java's names are ASCII letters and digits.
    fn name(&mut self, close: char) -> Option<String> {
        let mut name = String::new();
        loop {
            match self.take()?.c {
                c if c == close && !name.is_empty() => return Some(name),
                c if c.is_ascii_alphabetic() || (c.is_ascii_digit() && !name.is_empty()) => name.push(c),
                _ => return None,
            }
        }
    }

    /// Reads flags up to `:`, which begins a group, or `)`.
    fn flags(&mut self, at: usize) -> Result<bool, String> {
        let mut on = true;
        loop {
            let c = self.take().ok_or_else(|| format!("'(' at character {at} is not closed"))?;
            match c.c {
                ':' => return Ok(true),
                ')' => return Ok(false),
                '-' => on = false,
                'i' => self.flags.ignore_case = on,
                's' => self.flags.dot_all = on,
                'm' => self.flags.multi_line = on,
                'd' => self.flags.unix_lines = on,
                'x' => self.flags.comments = on,
                'u' => {}
                'U' => {
                    return Err(format!(
                        "the flag U at character {} is not supported; name what is meant, such as \\p{{L}}",
                        c.at
                    ))
                }
                other => {
                    return Err(format!("unknown flag or kind of group '{other}' at character {}", c.at))
                }
            }
        }
    }

    /// What follows a backslash outside of brackets.
    fn escape(&mut self, at: usize) -> Result<(), String> {
        let Some(c) = self.take() else { return Err("the pattern ends in a backslash".to_owned()) };
        match c.c {
            'b' if self.peek().is_some_and(|c| c.c == '{') => {
                Err(format!("\\b{{ at character {at} is not supported"))
            }
            'b' | 'B' | 'A' | 'z' => {
                self.put(&format!("\\{}", c.c), true);
                Ok(())
            }
            'Z' => {
                self.end_of_text();
                Ok(())
            }
            'R' => {
                self.put(r"(?:\r\n|[\n-\r\x{85}\x{2028}\x{2029}])", true);
                Ok(())
            }
            '1'..='9' => Err(format!("the back-reference \\{} at character {at} is not supported", c.c)),
            'k' => Err(format!("the back-reference \\k at character {at} is not supported")),
            'G' | 'X' | 'N' => Err(format!("\\{} at character {at} is not supported", c.c)),
            _ => {
                match self.escaped(c)? {
                    class::Escaped::Char(c) => self.literal(c),
                    class::Escaped::Set(set) => self.put(&set, true),
                }
                Ok(())
            }
        }
    }
}

/// A character that means itself, inside brackets and outside.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '_') {
        out.push('\\');
        out.push(c);
    } else if c.is_ascii_control() {
        out.push_str(&format!("\\x{:02X}", c as u32));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests;
