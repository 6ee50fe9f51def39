//! Patterns in Java's syntax, replacements, and the texts they are applied to.
//!
//! An input is a pattern, a replacement and a text, each but the last ended by a newline.

use super::{Signature, Target, Verdict};
use crate::mutate;
use flumed::codec::pattern::Pattern;
use flumed::codec::text::{Replaced, Text};

pub static TARGET: Target = Target {
    name: "regex",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 13,
    // The engine refuses programs above 10 MiB, and takes about as much again to find out.
    memory: (64, 96 << 20),
    run,
};

const WORDS: &[&str] = &[
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?x) # c",
    "(?-s:",
    "(?<n>",
    "[",
    "]",
    "[^",
    "[a-z&&[^b]]",
    "&&",
    "-",
    "|",
    "*",
    "+?",
    "?",
    "{2,}",
    "{1,3}",
    "{1000}",
    "^",
    "$",
    "\\Z",
    "\\z",
    "\\Q",
    "\\E",
    "\\d",
    "\\W",
    "\\h",
    "\\v",
    "\\R",
    "\\p{Alpha}",
    "\\p{L}",
    "\\P{IsGreek}",
    "\\p{javaLowerCase}",
    "\\x41",
    "\\x{1F600}",
    "\\u00e4",
    "\\0101",
    "\\cA",
    "\\b",
    "\\b{g}",
    "(?=",
    "\\1",
    "\\k<n>",
    "$1",
    "${n}",
    "\\$",
    "\n",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{e4}",
    "\u{130}",
    "\u{1f600}",
];

fn seeds() -> Vec<Vec<u8>> {
    let all = [
        "(\\w+)  \\[.*status=(\\d+)\n$2-$1\n2026-01-31 WARN  [worker-3] status=503",
        "^(?<n>[a-z&&[^b-d]]+)$\n${n}$0\nxyz\r\n",
        "(?i)\\p{Alpha}{2,5}?|\\Q.*\\E\\.\n\\$x\nab.*. \u{c4}\u{e4}",
        "(?x) a b # comment\n | [\\s\\S&&\\W]\n\nab\n",
        "((a|b)*c|$)(d*)$\\Z\n$3$12\nababcd\n",
        "[\\[\\]^-]|\\h\\v\\R|[\\x{41}-\\u005A[\\d]]\n_\na\tb\r\n[",
    ];
    all.map(|t| t.as_bytes().to_vec()).into()
}

/// The most bytes that a replacement may make of a text.
const MOST: usize = 1 << 16;

fn run(input: &[u8]) -> Verdict {
    let mut parts = input.splitn(3, |b| *b == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (java, with, bytes) = (next(), next(), next());
    let (java, with) = (String::from_utf8_lossy(java), String::from_utf8_lossy(with));
    let text = String::from_utf8_lossy(bytes);
    let mut s = Signature::default();
    quoted(&text)?;
    if let Err(why) = Pattern::whole(&java).map(|p| s.exact(p.is_match(&text))) {
        s.words(&why);
    }
    let pattern = match Pattern::new(&java) {
        Ok(p) => p,
        Err(why) => {
            s.words(&why);
            return Ok(s);
        }
    };
    let mut matcher = pattern.matcher();
    s.exact(pattern.is_match(&text));
    s.count(pattern.groups());
    if matcher.find_at(&text, 0) {
        for n in 0..=pattern.groups() + 1 {
            let Some(g) = matcher.group(n) else { continue };
            if text.get(g.clone()).is_none() {
                return Err(format!("has group {n} at {g:?}, which is no part of the text"));
            }
            s.count(g.len());
        }
    }
    s.count(pattern.split(&text).len());
    match pattern.replacement(&with) {
        Err(why) => s.words(&why),
        Ok(replacement) => {
            let mut out = Vec::new();
            let replaced = Text::new(bytes).replace_all(&mut matcher, &replacement, MOST, &mut out);
            s.exact(format!("{replaced:?}"));
            match replaced {
                Replaced::Yes if out.len() > MOST => {
                    return Err(format!("is replaced by {} bytes", out.len()));
                }
                Replaced::Yes => s.count(out.len()),
                _ => {}
            }
        }
    }
    Ok(s)
}

/// A quoted text matches itself.
fn quoted(text: &str) -> Result<(), String> {
    if text.len() > 100 || text.contains("\\E") || text.ends_with('\\') {
        return Ok(());
    }
    let found = Pattern::whole(&format!("\\Q{text}\\E")).map(|p| p.is_match(text));
    match found {
        Ok(true) => Ok(()),
        other => Err(format!("has a text that, quoted, does not match itself: {other:?}")),
    }
}
