//! The search_replace interceptor: replaces every match of a pattern in the body.
//!
//! A body without a match stays as it is, to the byte. In UTF-8, so does all that no match touches; with another
//! charset a body that changes is decoded and encoded again as a whole. Replacements may make a batch grow by
//! [`MOST_GROWTH`]; an event that would need more stays as it was and is counted. Runs on the thread that delivers; no state.

use super::{Failures, Interceptor, InterceptorSpec};
use crate::codec::charset::Charset;
use crate::codec::java_regex::Replacement;
use crate::codec::pattern::{Matcher, Pattern};
use crate::codec::text::{Replaced, Text};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::counters::SourceCounters;
use crate::event::Batch;
use std::sync::Arc;

/// Bytes by which the bodies of a batch may grow, all together.
const MOST_GROWTH: usize = 64 << 20;

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "search_replace",
        class: "org.apache.flume.interceptor.SearchAndReplaceInterceptor$Builder",
        help: "Replaces what matches a pattern in the body",
        keys: &[&[
            Key::new(
                "searchPattern",
                Type::Regex,
                Default::Required,
                "pattern to replace wherever it is found",
            ),
            Key::new(
                "replaceString",
                Type::Text,
                Default::Is(""),
                r"what to put there; $1 or $${name} is a group, a backslash takes the meaning from what follows",
            ),
            Key::new("charset", Type::Text, Default::Is("UTF-8"), "charset of the body"),
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &["bytes that are no UTF-8 stay as they are unless a match touches them; Flume replaces them with U+FFFD", "a reference to a group that is not there is refused at start; Flume fails on each event", "regular expressions run in linear time: what needs more is refused at start"],
    },
    build: |ctx, counters| Box::new(SearchReplace::new(ctx, counters)),
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if ctx.is_known("searchPattern") {
        wrong.extend(replacement(ctx).err().map(|why| ("replaceString", why)));
    }
    let name = ctx.text("charset").expect("has a default");
    if Charset::named(name).is_none() {
        wrong.push(("charset", format!("unknown charset '{name}'")));
    }
    wrong
}

fn replacement(ctx: &Context) -> Result<Replacement, String> {
    let pattern = ctx.regex("searchPattern").expect("is required");
    let text = ctx.text("replaceString").expect("has a default");
    pattern.replacement(text)
}

struct SearchReplace {
    pattern: Pattern,
    replacement: Replacement,
    /// `None`: UTF-8 or what is a part of it.
    charset: Option<Charset>,
    failures: Failures,
}

impl SearchReplace {
    fn new(ctx: &Context, counters: &Arc<SourceCounters>) -> SearchReplace {
        let charset = ctx.text("charset").and_then(Charset::named).expect("was checked");
        SearchReplace {
            pattern: ctx.regex("searchPattern").expect("is required").clone(),
            replacement: replacement(ctx).expect("was checked"),
            charset: (!charset.is_plain()).then_some(charset),
            failures: Failures::new(ctx, counters),
        }
    }

    /// Puts into `out` what `body` becomes, of at most `most` bytes.
    fn replace(&self, body: &[u8], matcher: &mut Matcher<'_>, most: usize, out: &mut Vec<u8>) -> Replaced {
        let Some(charset) = self.charset else {
            let text = Text::new(body);
            return text.replace_all(matcher, &self.replacement, most, out);
        };
        let mut decoded = Vec::new();
        charset.decoder().decode(body, true, &mut decoded);
        let done = Text::new(&decoded).replace_all(matcher, &self.replacement, most, out);
        if matches!(done, Replaced::Yes) {
            *out = charset.encode(&String::from_utf8_lossy(out));
        }
        done
    }
}

impl Interceptor for SearchReplace {
    fn intercept(&self, batch: &mut Batch) {
        let mut matcher = self.pattern.matcher();
        let mut growth = MOST_GROWTH;
        let mut out = Vec::new();
        for i in 0..batch.len() {
            out.clear();
            let body = batch.get(i).body();
            let before = body.len();
            let stored = match self.replace(body, &mut matcher, before.saturating_add(growth), &mut out) {
                Replaced::No => continue,
                Replaced::Yes => batch.try_store(&out),
                Replaced::TooLong => None,
            };
            match stored {
                Some(body) => {
                    growth = growth.saturating_sub(body.len().saturating_sub(before));
                    batch.set_body(i, body);
                }
                None => self.failures.count(format_args!(
                    "a body of {before} bytes is left as it was: replacing makes its batch too large"
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, errors, one};
    use super::*;
    use crate::event::{Body, Buffer};

    fn replaced(search: &str, replace: &str, charset: &str, body: &[u8]) -> Vec<u8> {
        let mut conf = vec![("searchPattern", search), ("charset", charset)];
        conf.extend((!replace.is_empty()).then_some(("replaceString", replace)));
        let (i, _) = build(&SPEC, &conf);
        let mut b = one(body, &[]);
        i.intercept(&mut b);
        b.get(0).body().to_vec()
    }

    #[test]
    fn every_match_is_replaced() {
        for (search, replace, body, want) in [
            ("^prefix", "", "prefix non-prefix suffix", " non-prefix suffix"),
            ("suffix$", "", "prefix suffix\n", "prefix \n"),
            (r"The (quick )?(?<what>\w+)", r"$2\$$1!", "The brown. The quick fox", "brown$!. fox$quick !"),
            ("(?<a>x)(y)", "${a}${a}$2$0", "-xy-", "-xxyxy-"),
            ("b*", "X", "abc", "XaXXcX"),
            ("", "-", "\u{e4}b", "-\u{e4}-b-"),
            ("$", "X", "foo\n", "fooX\nX"),
            ("(?m)^", "> ", "a\nb", "> a\n> b"),
            ("", "x", "", "x"),
        ] {
            let out = replaced(search, replace, "UTF-8", body.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), want, "{search}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_stay_where_no_match_touches_them() {
        let body = b"\xff\xe2\x82a\xc3\xa4\xfe=";
        assert_eq!(replaced("nothing", "x", "UTF-8", body), body);
        assert_eq!(replaced("a", "<$0>", "UTF-8", body), b"\xff\xe2\x82<a>\xc3\xa4\xfe=");
        assert_eq!(replaced("(.)=", "$1!", "US-ASCII", body), b"\xff\xe2\x82a\xc3\xa4\xfe!");
        assert_eq!(replaced("\u{fffd}", "?", "UTF-8", body), b"??a\xc3\xa4?=");
        assert_eq!(replaced("", "|", "UTF-8", b"\xffa"), b"|\xff|a|");
    }

    #[test]
    fn other_charsets_are_decoded_and_encoded() {
        assert_eq!(replaced("\u{e4}", "\u{20ac}$0", "ISO-8859-1", b"a\xe4"), b"a?\xe4");
        assert_eq!(replaced("a(.)", "$1", "UTF-16LE", b"a\0b\0"), b"b\0");
        assert_eq!(replaced("x", "y", "UTF-16LE", b"a\0b"), b"a\0b", "no match");
    }

    #[test]
    fn a_body_without_a_match_is_not_copied() {
        let (i, _) = build(&SPEC, &[("searchPattern", "b")]);
        let buffer = Buffer::owned(b"axcabc".to_vec());
        let mut b = Batch::new();
        let s = b.attach(&buffer);
        b.push(Body::At(b.span_of(s, 0, 3)));
        b.push(Body::At(b.span_of(s, 3, 6)));
        i.intercept(&mut b);
        assert_eq!(b.get(0).body().as_ptr(), buffer.as_ptr());
        assert_eq!(b.get(1).body(), b"ac");
    }

    #[test]
    fn what_grows_beyond_the_limit_stays_and_is_counted() {
        let replace = "r".repeat(1 << 16);
        let (i, counters) = build(&SPEC, &[("searchPattern", "x"), ("replaceString", &replace)]);
        let mut b = Batch::new();
        for n in [1000, 100, 1] {
            b.push(Body::Copy("x".repeat(n).as_bytes()));
        }
        b.push(Body::Copy("x".repeat(1000).as_bytes()));
        i.intercept(&mut b);
        let lengths: Vec<usize> = b.iter().map(|e| e.body().len()).collect();
        assert_eq!(lengths, [1000 << 16, 100, 1 << 16, 1000]);
        assert_eq!(counters.interceptor_fail.get(), 2);
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let conf = [("searchPattern", "(?<year>a)"), ("replaceString", "$2"), ("charset", "utf-9")];
        assert_eq!(
            errors(&SPEC, &conf),
            ["f:2: a1.i1.replaceString: there is no group 2", "f:3: a1.i1.charset: unknown charset 'utf-9'"]
        );
        let said = errors(&SPEC, &[("replaceString", "x")]);
        assert_eq!(
            said,
            ["f: a1.i1.searchPattern: required key is missing; pattern to replace wherever it is found"]
        );
        assert_eq!(
            errors(&SPEC, &[("searchPattern", "a"), ("replaceString", "${month}")]),
            ["f:2: a1.i1.replaceString: there is no group named \"month\""]
        );
    }
}
