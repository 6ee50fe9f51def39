//! The regex_extractor interceptor: headers from the groups of a pattern found in the body.
//!
//! The n-th serializer gets the n-th group of the first match. A group that took no part sets nothing; neither does one
//! that its serializer cannot use, which is counted (in Flume it raises an exception out of the source). A header that is
//! the text of a group is a span of the body, not a copy. Runs on the thread that delivers; no state.

use super::extractor_serializer::{self, ExtractorSerializer, Serialized};
use super::{Failures, Interceptor, InterceptorSpec};
use crate::clock::now_ms;
use crate::codec::pattern::Pattern;
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::counters::SourceCounters;
use crate::event::{self, Batch};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "regex_extractor",
        class: "org.apache.flume.interceptor.RegexExtractorInterceptor$Builder",
        help: "Sets headers to the groups of a pattern found in the body",
        keys: &[&[
            Key::new("regex", Type::Regex, Default::Required, "pattern, found anywhere in the body"),
            Key::new(
                "serializers",
                Type::Components(Kind::ExtractorSerializer, "DEFAULT"),
                Default::Required,
                "names, one for each group; their keys are serializers.<name>.<key>",
            ),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[
            "a group that took no part sets no header; Flume sets one without a value",
            "type = default is taken as DEFAULT; Flume drops the source",
            "regular expressions run in linear time: what needs more is refused at start",
        ],
    },
    build: |ctx, counters| Box::new(RegexExtractor::new(ctx, counters)),
};

struct RegexExtractor {
    pattern: Pattern,
    /// For the groups from the first on.
    serializers: Vec<(event::Key, Box<dyn ExtractorSerializer>)>,
    failures: Failures,
}

impl RegexExtractor {
    fn new(ctx: &Context, counters: &Arc<SourceCounters>) -> RegexExtractor {
        let pattern = ctx.regex("regex").expect("is required").clone();
        let mut serializers: Vec<_> =
            ctx.components("serializers").iter().map(extractor_serializer::build).collect();
        if serializers.len() > pattern.groups() {
            let (groups, name) = (pattern.groups(), ctx.name());
            log::warn!("interceptor {name}: {} serializers for {groups} groups", serializers.len());
            serializers.truncate(groups);
        }
        RegexExtractor { pattern, serializers, failures: Failures::new(ctx, counters) }
    }
}

/// The value of a header, while the body it may come from is still being looked at.
enum Value {
    Part(Range<usize>),
    Text(String),
}

impl Interceptor for RegexExtractor {
    fn intercept(&self, batch: &mut Batch) {
        let now = now_ms();
        let mut matcher = self.pattern.matcher();
        let mut found: Vec<(event::Key, Value)> = Vec::with_capacity(self.serializers.len());
        for i in 0..batch.len() {
            let text = String::from_utf8_lossy(batch.get(i).body());
            if !matcher.find_at(&text, 0) {
                continue;
            }
            for ((key, serializer), n) in self.serializers.iter().zip(1..) {
                let Some(at) = matcher.group(n) else { continue };
                let group = &text[at.clone()];
                let value = match (serializer.serialize(group, now), &text) {
                    (Serialized::AsIs, Cow::Borrowed(_)) => Value::Part(at),
                    (Serialized::AsIs, Cow::Owned(_)) => Value::Text(group.to_owned()),
                    (Serialized::Text(value), _) => Value::Text(value),
                    (Serialized::Unusable, _) => {
                        let group: String = group.chars().take(80).collect();
                        self.failures.count(format_args!("{group:?} cannot become header {}", key.name()));
                        continue;
                    }
                };
                found.push((*key, value));
            }
            for (key, value) in found.drain(..) {
                let span = match &value {
                    Value::Part(at) => Some(batch.body_span(i).part(at.start, at.end)),
                    Value::Text(text) => batch.try_store(text.as_bytes()),
                };
                match span {
                    Some(span) => batch.set_header(i, key, span),
                    None => self.failures.count("the batch is too large for another header"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, errors, one, shown};
    use super::*;
    use crate::event::{Body, Buffer};

    const MILLIS: &str = "org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer";

    fn extracted(regex: &str, serializers: &[(&str, &str)], body: &[u8]) -> (String, u64) {
        let names = ("serializers", "s1 s2 s3");
        let all: Vec<_> = [("regex", regex), names].into_iter().chain(serializers.iter().copied()).collect();
        let (i, counters) = build(&SPEC, &all);
        let mut b = one(body, &[("num1", "old")]);
        i.intercept(&mut b);
        (shown(&b).remove(0), counters.interceptor_fail.get())
    }

    const THREE: [(&str, &str); 4] = [
        ("serializers.s1.name", "num1"),
        ("serializers.s2.name", "num2"),
        ("serializers.s2.type", "default"),
        ("serializers.s3.name", "num3"),
    ];

    #[test]
    fn groups_become_headers() {
        let of = |regex, body: &[u8]| extracted(regex, &THREE, body).0;
        assert_eq!(of(r"(\d):(\d):(\d)", b"1:2:3.4foobar5"), "num1=1 num2=2 num3=3: 1:2:3.4foobar5");
        assert_eq!(of(r"(\d):(\d)", b"x8:9"), "num1=8 num2=9: x8:9");
        assert_eq!(of(r"(\d)(\d)(\d)(\d)", b"1234"), "num1=1 num2=2 num3=3: 1234");
        assert_eq!(of(r"(\d)", b"none"), "num1=old: none");
    }

    #[test]
    fn a_group_that_took_no_part_sets_nothing() {
        assert_eq!(extracted("(a)|(b)|()", &THREE, b"b").0, "num1=old num2=b: b");
        assert_eq!(extracted("(x)?(b)()", &THREE, b"b").0, "num1=old num2=b num3=: b");
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_shown_as_such() {
        assert_eq!(extracted("(.)b", &THREE, b"a\xffb\xfe").0, "num1=\u{fffd}: a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn dates_become_milliseconds_and_what_is_none_is_counted() {
        let date = [
            ("serializers.s1.name", "at"),
            ("serializers.s1.type", MILLIS),
            ("serializers.s1.pattern", "yyyy-MM-dd HH:mm Z"),
            ("serializers.s2.name", "level"),
            ("serializers.s3.name", "rest"),
        ];
        let regex = r"^(\S+ \S+ \S+) (\w+)";
        let of = |body: &[u8]| extracted(regex, &date, body);
        let fine = "num1=old at=1762943400000 level=INFO: 2025-11-12 10:30 Z INFO hello";
        assert_eq!(of(b"2025-11-12 10:30 Z INFO hello"), (fine.to_owned(), 0));
        let bad = "num1=old level=INFO: 2025-11-31 10:30 Z INFO hello";
        assert_eq!(of(b"2025-11-31 10:30 Z INFO hello"), (bad.to_owned(), 1));
    }

    #[test]
    fn values_are_spans_of_the_body() {
        let conf = [("regex", "=(.*)"), ("serializers", "s"), ("serializers.s.name", "num1")];
        let (i, _) = build(&SPEC, &conf);
        let buffer = Buffer::owned(b"a=value".to_vec());
        let mut b = Batch::new();
        let s = b.attach(&buffer);
        b.push(Body::At(b.span_of(s, 0, 7)));
        i.intercept(&mut b);
        let (key, v) = b.get(0).headers().next().unwrap();
        assert_eq!((key.name(), v, v.as_ptr()), ("num1", &b"value"[..], buffer[2..].as_ptr()));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let said = errors(
            &SPEC,
            &[
                ("regex", "(a"),
                ("serializers", "s1 s2 s3 s4"),
                ("serializers.s1.nmae", "x"),
                ("serializers.s2.type", "milis"),
                ("serializers.s2.name", "x"),
                ("serializers.s3.type", MILLIS),
                ("serializers.s3.name", "x"),
                ("serializers.s3.pattern", "yyyy-ww"),
                ("serializers.s5.name", "x"),
                ("serializer", "x"),
            ],
        );
        assert_eq!(
            said,
            [
                "f:1: a1.i1.regex: not a usable regular expression: '(' at character 1 is not closed",
                "f:2: a1.i1.serializers.s1.name: required key is missing; header to set",
                "f:2: a1.i1.serializers.s4.name: required key is missing; header to set",
                "f:3: a1.i1.serializers.s1.nmae: warning: unknown key of extractorSerializer DEFAULT: ignored; did \
                 you mean name?",
                "f:4: a1.i1.serializers.s2.type: unknown extractorSerializer type 'milis'; did you mean millis?",
                "f:8: a1.i1.serializers.s3.pattern: letter 'w' of \"yyyy-ww\" is not supported",
                "f:9: a1.i1.serializers.s5: warning: unused: a1.i1.serializers does not list it",
                "f:10: a1.i1.serializer: warning: unknown key of interceptor regex_extractor: ignored; did you mean \
                 serializers?",
            ]
        );
        assert_eq!(
            errors(&SPEC, &[]),
            [
                "f: a1.i1.regex: required key is missing; pattern, found anywhere in the body",
                "f: a1.i1.serializers: required key is missing; names, one for each group; their keys are \
                 serializers.<name>.<key>",
            ]
        );
    }
}
