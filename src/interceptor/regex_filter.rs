//! The regex_filter interceptor: keeps or drops the events whose body matches. Runs on the thread that delivers; no state.

use super::{Interceptor, InterceptorSpec};
use crate::codec::pattern::Pattern;
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::Batch;

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "regex_filter",
        class: "org.apache.flume.interceptor.RegexFilteringInterceptor$Builder",
        help: "Keeps or drops the events whose body matches a pattern",
        keys: &[&[
            Key::new("regex", Type::Regex, Default::Is(".*"), "pattern, found anywhere in the body"),
            Key::new(
                "excludeEvents",
                Type::Bool,
                Default::Is("false"),
                "true drops the events that match, false the others",
            ),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &["regular expressions run in linear time: what needs more is refused at start"],
    },
    build: |ctx, _| Box::new(RegexFilter::new(ctx)),
};

struct RegexFilter {
    pattern: Pattern,
    exclude: bool,
}

impl RegexFilter {
    fn new(ctx: &Context) -> RegexFilter {
        RegexFilter {
            pattern: ctx.regex("regex").expect("has a default").clone(),
            exclude: ctx.flag("excludeEvents"),
        }
    }
}

impl Interceptor for RegexFilter {
    fn intercept(&self, batch: &mut Batch) {
        batch.retain(|e| self.pattern.is_match(&String::from_utf8_lossy(e.body())) != self.exclude);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, errors};
    use super::*;
    use crate::event::Body;

    fn left(conf: &[(&str, &str)], bodies: &[&[u8]]) -> Vec<Vec<u8>> {
        let (i, _) = build(&SPEC, conf);
        let mut b = Batch::new();
        bodies.iter().for_each(|body| b.push(Body::Copy(body)));
        i.intercept(&mut b);
        b.iter().map(|e| e.body().to_vec()).collect()
    }

    #[test]
    fn events_are_kept_or_dropped() {
        let bodies: &[&[u8]] = &[b"INFO a", b"", b"DEBUG b", b"x INFO"];
        assert_eq!(left(&[], bodies), bodies);
        assert_eq!(left(&[("regex", "INFO")], bodies), [&b"INFO a"[..], b"x INFO"]);
        assert_eq!(left(&[("regex", "^INFO"), ("excludeEvents", "TRUE")], bodies), bodies[1..]);
        assert!(left(&[("excludeEvents", "true")], bodies).is_empty());
    }

    #[test]
    fn bytes_that_are_no_utf_8_count_as_characters() {
        assert_eq!(
            left(&[("regex", "^a.c$")], &[b"a\xffc", b"ac", b"a\xc3\xa4c"]),
            [&b"a\xffc"[..], b"a\xc3\xa4c"]
        );
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused() {
        assert_eq!(
            errors(&SPEC, &[("excludeEvents", "true"), ("regex", "ok(?!x)")]),
            ["f:2: a1.i1.regex: not a usable regular expression: look-ahead (?! at character 3 is not supported"]
        );
    }
}
