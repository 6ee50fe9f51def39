//! The remove_header interceptor: takes headers away, by name, from a list of names, or by a pattern.
//!
//! Runs on the thread that delivers; no state. Each name is matched once a batch: the headers of a batch are few and alike.

use super::{Interceptor, InterceptorSpec};
use crate::codec::pattern::Pattern;
use crate::config::{header_key, Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch};
use std::collections::HashMap;

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "remove_header",
        class: "org.apache.flume.interceptor.RemoveHeaderInterceptor$Builder",
        help: "Removes headers",
        keys: &[&[
            Key::new("withName", Type::Header, Default::None, "header to remove"),
            Key::new("fromList", Type::Text, Default::None, "headers to remove"),
            Key::new(
                "fromListSeparator",
                Type::Regex,
                Default::Is(r"\s*,\s*"),
                "pattern between the names of fromList",
            ),
            Key::new(
                "matching",
                Type::WholeRegex,
                Default::None,
                "pattern of the whole names of headers to remove",
            ),
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &["regular expressions run in linear time: what needs more is refused at start"],
    },
    build: |ctx, _| Box::new(RemoveHeader::new(ctx)),
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    listed(ctx).filter_map(|k| Some(("fromList", k.err()?))).collect()
}

fn listed(ctx: &Context) -> impl Iterator<Item = Result<event::Key, String>> + '_ {
    let separator = ctx.regex("fromListSeparator").expect("has a default");
    let names = ctx.text("fromList").map(|list| separator.split(list)).unwrap_or_default();
    names.into_iter().map(header_key)
}

struct RemoveHeader {
    keys: Vec<event::Key>,
    matching: Option<Pattern>,
}

impl RemoveHeader {
    fn new(ctx: &Context) -> RemoveHeader {
        RemoveHeader {
            keys: ctx.header("withName").into_iter().chain(listed(ctx).filter_map(Result::ok)).collect(),
            matching: ctx.regex("matching").cloned(),
        }
    }
}

impl Interceptor for RemoveHeader {
    fn intercept(&self, batch: &mut Batch) {
        let mut goes: HashMap<event::Key, bool> = HashMap::new();
        let mut gone = Vec::new();
        for i in 0..batch.len() {
            for &key in &self.keys {
                batch.remove_header(i, key);
            }
            let Some(pattern) = &self.matching else { continue };
            let keys = batch.get(i).headers().map(|(k, _)| k);
            gone.extend(keys.filter(|k| *goes.entry(*k).or_insert_with(|| pattern.is_match(k.name()))));
            for key in gone.drain(..) {
                batch.remove_header(i, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, errors, one, shown};
    use super::*;

    fn left(conf: &[(&str, &str)]) -> String {
        let (i, _) = build(&SPEC, conf);
        let mut b = one(b"x", &[("name1", "1"), ("a2", "2"), ("name3", "3"), ("xname4", "4")]);
        i.intercept(&mut b);
        shown(&b).remove(0)
    }

    #[test]
    fn all_given_forms_apply() {
        assert_eq!(left(&[]), "name1=1 a2=2 name3=3 xname4=4: x");
        assert_eq!(left(&[("withName", "name1")]), "a2=2 name3=3 xname4=4: x");
        assert_eq!(left(&[("fromList", "name1 , a2,gone,,")]), "name3=3 xname4=4: x");
        assert_eq!(left(&[("fromList", "name1;;a2"), ("fromListSeparator", ";+")]), "name3=3 xname4=4: x");
        assert_eq!(left(&[("matching", "name.*")]), "a2=2 xname4=4: x");
        assert_eq!(left(&[("matching", "name|a2")]), "name1=1 name3=3 xname4=4: x");
        let all = [("withName", "a2"), ("fromList", "name1"), ("matching", ".*4")];
        assert_eq!(left(&all), "name3=3: x");
    }

    #[test]
    fn what_cannot_be_a_name_or_a_pattern_is_refused() {
        let long = "y".repeat(300);
        let list = format!("a,{long}");
        assert_eq!(
            errors(&SPEC, &[("fromList", &list)]),
            [format!("f:1: a1.i1.fromList: '{long}' cannot be a header: it is too long, or there are too many headers")]
        );
        assert!(errors(&SPEC, &[("matching", "(a)\\1")])[0].contains(r"the back-reference \1 at character 4"));
    }
}
