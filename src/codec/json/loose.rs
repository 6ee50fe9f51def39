//! Strict JSON of what Gson's lenient reader takes besides: comments (`//`, `#`, `/* */`), texts in single quotes or
//! without any, raw control characters and a few more escapes in texts, `=` and `=>` for `:`, `;` for `,`, a beginning
//! `)]}'`. Numbers become texts of the same characters, because bodies and headers are texts.
//!
//! One pass without recursion; what comes out is at most a few times as long. An unpaired surrogate becomes `?`, as where
//! Java encodes it.

/// What an escape of a text, or a raw control character, may add beside the text's own length.
const SLACK: usize = 64 << 10;

/// Rewrites a text. An error says what is wrong, where this knows better than who read it before.
pub fn strict(text: &str) -> Result<String, Option<String>> {
    let at = if text.starts_with(")]}'\n") { 5 } else { 0 };
    let out = String::with_capacity(text.len() + text.len() / 8);
    let mut loose = Loose { text, at, out, open: Vec::new(), most: 2 * text.len() + SLACK };
    loose.document()?;
    Ok(loose.out)
}

struct Loose<'a> {
    text: &'a str,
    at: usize,
    out: String,
    /// The arrays and objects we are in.
    open: Vec<Within>,
    most: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Array,
    Object,
}

/// `None`: it is as the strict reader said.
type Wrong = Option<String>;

impl<'a> Loose<'a> {
    fn document(&mut self) -> Result<(), Wrong> {
        loop {
            // A value begins here.
            match self.next()? {
                Some(b'[') => {
                    self.opens(Within::Array, '[');
                    if self.next()? != Some(b']') {
                        continue;
                    }
                }
                Some(b'{') => {
                    self.opens(Within::Object, '{');
                    if self.next()? != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
                Some(_) => self.literal()?,
                None => return Err(None),
            }
            self.is_bounded()?;
            // It has ended: so may what it is in.
            loop {
                let Some(within) = self.open.last().copied() else {
                    return match self.next()? {
                        None => Ok(()),
                        Some(_) => Err(self.wrong("text after the array")),
                    };
                };
                match (within, self.next()?) {
                    (_, Some(b',' | b';')) => {
                        self.at += 1;
                        self.out.push(',');
                        if within == Within::Object {
                            self.name()?;
                        }
                        break;
                    }
                    (Within::Array, Some(b']')) => self.closes(']'),
                    (Within::Object, Some(b'}')) => self.closes('}'),
                    (_, Some(_)) => {
                        return Err(self.wrong("',' or the end of an array or object was expected"))
                    }
                    (_, None) => return Err(None),
                }
            }
        }
    }

    fn is_bounded(&self) -> Result<(), Wrong> {
        match self.out.len() > self.most {
            true => Err(Some("too many control characters that stand there as they are".to_owned())),
            false => Ok(()),
        }
    }

    fn opens(&mut self, within: Within, bracket: char) {
        self.at += 1;
        self.open.push(within);
        self.out.push(bracket);
    }

    fn closes(&mut self, bracket: char) {
        self.at += 1;
        self.open.pop();
        self.out.push(bracket);
    }

    /// A member's name, and what stands between it and its value.
    fn name(&mut self) -> Result<(), Wrong> {
        match self.next()?.ok_or(None)? {
            quote @ (b'"' | b'\'') => self.quoted(quote)?,
            _ => {
                let word = self.word();
                if word.is_empty() {
                    return Err(self.wrong("a name was expected"));
                }
                self.put_quoted(word);
            }
        }
        match self.next()?.ok_or(None)? {
            b':' => self.at += 1,
            b'=' => self.at += if self.rest().starts_with("=>") { 2 } else { 1 },
            _ => return Err(self.wrong("':' was expected")),
        }
        self.out.push(':');
        Ok(())
    }

    /// A value without quotes.
    fn literal(&mut self) -> Result<(), Wrong> {
        let word = self.word();
        if word.is_empty() {
            return Err(self.wrong("a value was expected"));
        }
        match ["null", "true", "false"].into_iter().find(|k| k.eq_ignore_ascii_case(word)) {
            Some(keyword) => self.out.push_str(keyword),
            None => self.put_quoted(word),
        }
        Ok(())
    }

    /// The characters up to one that ends a text without quotes.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let ends = |c: char| "/\\;#={}[]:, \t\x0c\r\n".contains(c);
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    /// A text in quotes, or a name.
    fn quoted(&mut self, quote: u8) -> Result<(), Wrong> {
        self.at += 1;
        self.out.push('"');
        loop {
            let rest = self.rest();
            let ends = |b: u8| b == quote || matches!(b, b'"' | b'\\' | 0..=0x1f);
            let plain = rest.bytes().position(ends).ok_or(None)?;
            self.is_bounded()?;
            self.out.push_str(&rest[..plain]);
            self.at += plain;
            let found = rest.as_bytes()[plain];
            if found == quote {
                self.at += 1;
                self.out.push('"');
                return Ok(());
            }
            if found == b'\\' {
                self.escape()?;
            } else {
                self.at += 1;
                self.put(char::from(found));
            }
        }
    }

    fn escape(&mut self) -> Result<(), Wrong> {
        let kind = *self.rest().as_bytes().get(1).ok_or(None)?;
        let made = match kind {
            b'u' => {
                let c = self.unicode()?;
                self.put(c);
                return Ok(());
            }
            b't' => '\t',
            b'b' => '\x08',
            b'n' | b'\n' => '\n',
            b'r' => '\r',
            b'f' => '\x0c',
            b'\'' | b'"' | b'\\' | b'/' => char::from(kind),
            _ => return Err(self.wrong("no such escape")),
        };
        self.at += 2;
        self.put(made);
        Ok(())
    }

    /// `\uXXXX`, or two that are one character.
    fn unicode(&mut self) -> Result<char, Wrong> {
        let unit = |text: &str| {
            let digits = text.strip_prefix("\\u")?.get(..4)?;
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
        };
        let first = unit(self.rest()).ok_or_else(|| self.wrong("no such escape"))?;
        self.at += 6;
        if let Ok(c) = char::decode_utf16([first]).next().unwrap_or(Ok('?')) {
            return Ok(c);
        }
        let pair = unit(self.rest()).map(|second| [first, second]);
        match pair.and_then(|pair| char::decode_utf16(pair).next()?.ok()) {
            Some(c) => {
                self.at += 6;
                Ok(c)
            }
            None => Ok('?'),
        }
    }

    fn put_quoted(&mut self, word: &str) {
        self.out.push('"');
        word.chars().for_each(|c| self.put(c));
        self.out.push('"');
    }

    /// A character of a text.
    fn put(&mut self, c: char) {
        match c {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\0'..='\x1f' => {
                self.out.push_str("\\u00");
                for digit in [u32::from(c) >> 4, u32::from(c) & 15] {
                    self.out.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            _ => self.out.push(c),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next byte that is neither blank nor in a comment. All that this file asks for are characters of one byte.
    fn next(&mut self) -> Result<Option<u8>, Wrong> {
        loop {
            let rest = self.rest();
            let blanks = rest.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
            self.at += blanks;
            let rest = &rest[blanks..];
            let comment = if rest.starts_with('#') || rest.starts_with("//") {
                rest.find(['\n', '\r']).unwrap_or(rest.len())
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| self.wrong("a comment without its end"))?;
                end + 4
            } else {
                return Ok(rest.bytes().next());
            };
            self.at += comment;
        }
    }

    fn wrong(&self, what: &str) -> Wrong {
        let before = &self.text[..self.at];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        Some(format!("{what} at line {line} column {column}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gson_reads() {
        for (loose, want) in [
            ("[{headers:{a:b,'c':\"d\"},body:text}]", r#"[{"headers":{"a":"b","c":"d"},"body":"text"}]"#),
            ("[ // one\n{'body'='x'; n=>1 /* two */} # three\n]", r#"[{"body":"x","n":"1"}]"#),
            ("['it\"s'; \"it's\"]", r#"["it\"s","it's"]"#),
            (")]}'\n[]", "[]"),
            ("[[],{},[{}]]", "[[],{},[{}]]"),
            (
                "[1, -0, 1e3, 0.10, 12345678901234567890123, NaN]",
                r#"["1","-0","1e3","0.10","12345678901234567890123","NaN"]"#,
            ),
            ("[TRUE,False,NULL,nulls]", r#"[true,false,null,"nulls"]"#),
            ("['a\tb\nc\x01']", r#"["a\tb\nc\u0001"]"#),
            (r"['\u00e9\u2603\ud834\udd1e \ud834 \udd1e\u0041 \'\/']", r#"["é☃𝄞 ? ?A '/"]"#),
            ("['a\\\nb']", r#"["a\nb"]"#),
            ("word", r#""word""#),
            ("{a:{b:[c]}}", r#"{"a":{"b":["c"]}}"#),
        ] {
            assert_eq!(strict(loose).as_deref(), Ok(want), "{loose}");
            let read: Result<serde_json::Value, _> = serde_json::from_str(want);
            assert!(read.is_ok(), "{want}");
        }
    }

    #[test]
    fn what_it_does_not_read() {
        for (text, why) in [
            ("[", None),
            ("", None),
            ("[{a", None),
            ("['a", None),
            ("[1,]", Some("a value was expected at line 1 column 4")),
            ("[\n  ,1]", Some("a value was expected at line 2 column 3")),
            ("[1 2]", Some("',' or the end of an array or object was expected at line 1 column 4")),
            ("[1]]", Some("text after the array at line 1 column 4")),
            ("{a:1,}", Some("a name was expected at line 1 column 6")),
            ("{a 1}", Some("':' was expected at line 1 column 4")),
            (r"['\x']", Some("no such escape at line 1 column 3")),
            (r"['\u12g4']", Some("no such escape at line 1 column 3")),
            ("[] /* x", Some("a comment without its end at line 1 column 4")),
        ] {
            assert_eq!(strict(text), Err(why.map(str::to_owned)), "{text}");
        }
        let bells = format!("['{}']", "\x07".repeat(100_000));
        assert!(strict(&bells).is_err(), "six bytes for each");
    }

    #[test]
    fn strict_text_stays_what_it_is() {
        for text in
            [r#"[{"headers":{"a":"b\u00e9\n"},"body":"\"x\\"}]"#, "[[[[]]]]", r#"{"a":null,"b":[true]}"#]
        {
            let want: serde_json::Value = serde_json::from_str(text).unwrap();
            let got: serde_json::Value = serde_json::from_str(&strict(text).unwrap()).unwrap();
            assert_eq!(got, want);
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(strict(&deep).as_deref(), Ok(deep.as_str()));
    }
}
