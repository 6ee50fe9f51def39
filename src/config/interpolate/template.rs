//! The form of a value with expressions: text and references, nested as they are written. Pure.
//!
//! ```text
//!   value     = *( text / "$${" / reference )          "$${" stands for "${" and begins no reference
//!   reference = "${" value [ ":-" value ] "}"
//! ```
//!
//! A "${" without its "}" is text, and so is all behind it.

/// How far references may stand inside one another.
const DEEPEST: usize = 32;

#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Text(&'a str),
    Reference(Reference<'a>),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    pub name: Vec<Part<'a>>,
    pub default: Option<Vec<Part<'a>>>,
    /// As it is written, braces included.
    pub raw: &'a str,
}

/// References are nested too deep.
#[derive(Debug, PartialEq, Eq)]
pub struct TooDeep;

pub fn parse(value: &str) -> Result<Vec<Part<'_>>, TooDeep> {
    parse_at(value, 0)
}

fn parse_at(value: &str, depth: usize) -> Result<Vec<Part<'_>>, TooDeep> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            parts.push(Part::Text(&rest[..at - 1]));
            parts.push(Part::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let inner = &rest[at + 2..];
        let Ends { close: Some(close), default } = ends(inner) else { break };
        if depth == DEEPEST {
            return Err(TooDeep);
        }
        let (name, default) = match default.filter(|d| *d < close) {
            Some(d) => (&inner[..d], Some(parse_at(&inner[d + 2..close], depth + 1)?)),
            None => (&inner[..close], None),
        };
        let name = parse_at(name, depth + 1)?;
        parts.push(Part::Text(&rest[..at]));
        let end = at + 2 + close + 1;
        parts.push(Part::Reference(Reference { name, default, raw: &rest[at..end] }));
        rest = &rest[end..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Where the "}" of a reference is whose "${" stands before `inner`, and where its ":-".
struct Ends {
    close: Option<usize>,
    default: Option<usize>,
}

fn ends(inner: &str) -> Ends {
    let bytes = inner.as_bytes();
    let (mut open, mut i) = (0, 0);
    let mut found = Ends { close: None, default: None };
    while i < bytes.len() {
        match &bytes[i..] {
            [b'$', b'{', ..] => {
                open += 1;
                i += 1;
            }
            [b'}', ..] if open == 0 => {
                found.close = Some(i);
                break;
            }
            [b'}', ..] => open -= 1,
            [b':', b'-', ..] if open == 0 && found.default.is_none() => found.default = Some(i),
            _ => {}
        }
        i += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// References as `<name|default>`.
    fn show(parts: &[Part]) -> String {
        let one = |p: &Part| match p {
            Part::Text(t) => (*t).to_owned(),
            Part::Reference(r) => match &r.default {
                Some(d) => format!("<{}|{}>", show(&r.name), show(d)),
                None => format!("<{}>", show(&r.name)),
            },
        };
        parts.iter().map(one).collect()
    }

    #[test]
    fn text_references_and_defaults() {
        for (value, expected) in [
            ("", ""),
            ("plain $ {x} }", "plain $ {x} }"),
            ("a${b}c${d}", "a<b>c<d>"),
            ("${env:P:-4}", "<env:P|4>"),
            ("${a:-}", "<a|>"),
            ("${a:-b:-c}", "<a|b:-c>"),
            ("${${w}_B}", "<<w>_B>"),
            ("${${w:-x}:-${y:-z}}", "<<w|x>|<y|z>>"),
            ("$${x} $$${y}", "${x} $${y}"),
            ("${a:-$${x}}", "<a|${x}>"),
            ("a${b", "a${b"),
            ("a${b ${c}", "a${b ${c}"),
            ("${}", "<>"),
            ("\u{e9}${\u{e9}}\u{e9}", "\u{e9}<\u{e9}>\u{e9}"),
        ] {
            assert_eq!(show(&parse(value).unwrap()), expected, "{value}");
        }
        let Part::Reference(r) = &parse("x${a${b}:-c}").unwrap()[1] else { panic!() };
        assert_eq!(r.raw, "${a${b}:-c}");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "${".repeat(n) + &"}".repeat(n);
        assert!(parse(&nested(DEEPEST)).is_ok());
        assert_eq!(parse(&nested(DEEPEST + 1)), Err(TooDeep));
        assert!(parse(&"${".repeat(1_000_000)).is_ok(), "without an end it is text");
    }
}
