//! What an answer's status code means for the batch: Flume's keys `rollback.CODE` and `defaultRollback`, and sense where they
//! say nothing (reference, sinks.md 10). Pure.

use crate::config::Context;
use std::collections::BTreeMap;

/// What becomes of the events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They are where they should be.
    Delivered,
    /// They are not, and the configuration says that they are not to be sent again.
    GivenUp,
    /// They are sent again: the destination is not in order.
    NotNow,
    /// They are sent again, though the destination says that they are what is wrong.
    NotThese,
    /// They are sent again; who is at fault the code does not say.
    Unclear,
}

pub struct Rules {
    rollback: BTreeMap<String, bool>,
    /// Of codes that are no success; `None` where nothing was said.
    default_rollback: bool,
    backoff: BTreeMap<String, bool>,
    default_backoff: bool,
}

impl Rules {
    pub fn new(ctx: &Context) -> Rules {
        let of = |key| ctx.map(key).iter().map(|(code, v)| (code.clone(), is_true(v))).collect();
        Rules {
            rollback: of("rollback."),
            default_rollback: ctx.flag("defaultRollback"),
            backoff: of("backoff."),
            default_backoff: ctx.flag("defaultBackoff"),
        }
    }

    /// Whether to pause after events were given up with this code.
    pub fn pauses(&self, status: u16) -> bool {
        said(&self.backoff, status).unwrap_or(self.default_backoff)
    }

    /// The exact code goes before its class, the class before the default; a success is one unless its own rule says
    /// otherwise.
    pub fn verdict(&self, status: u16) -> Verdict {
        let said = said(&self.rollback, status);
        let is_success = (200..300).contains(&status);
        match said.unwrap_or(self.default_rollback && !is_success) {
            true if matches!(status, 400 | 413 | 415 | 422) => Verdict::NotThese,
            true if is_unclear(status) => Verdict::Unclear,
            true => Verdict::NotNow,
            false if is_success => Verdict::Delivered,
            false => Verdict::GivenUp,
        }
    }
}

/// What is said of a code, or of its class.
fn said(rules: &BTreeMap<String, bool>, status: u16) -> Option<bool> {
    let class = || rules.get(&format!("{}XX", status / 100));
    rules.get(&status.to_string()).or_else(class).copied()
}

/// Whether a code of the 400s may be about the events as well as about how they are sent (RFC 9110, 15.5): neither about
/// who asks and where, nor about when.
fn is_unclear(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 401..=405 | 407 | 408 | 421 | 425 | 426 | 429)
}

fn is_true(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("true")
}

/// What is wrong with the codes below a key.
pub fn odd_codes(ctx: &Context, key: &'static str) -> Vec<(&'static str, String)> {
    let is_code = |code: &str| match code.as_bytes() {
        [b'1'..=b'9', b'X', b'X'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() == 2 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let odd = ctx.map(key).keys().filter(|code| !is_code(code));
    odd.map(|code| (key, format!("{code} is no status code, nor a class like 4XX: it has no effect")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::context;
    use crate::registry::catalog;

    fn rules(keys: &[(&str, &str)]) -> Rules {
        let keys = [&[("endpoint", "http://localhost/")], keys].concat();
        Rules::new(&context(&super::super::SPEC.declared, catalog(), &keys).unwrap())
    }

    #[test]
    fn without_keys_what_succeeded_is_delivered_and_the_rest_comes_again() {
        let rules = rules(&[]);
        for status in [200, 201, 204, 299] {
            assert_eq!(rules.verdict(status), Verdict::Delivered, "{status}");
        }
        for status in [301, 401, 403, 404, 405, 408, 429, 500, 502, 503, 504] {
            assert_eq!(rules.verdict(status), Verdict::NotNow, "{status}");
        }
        for status in [400, 413, 415, 422] {
            assert_eq!(rules.verdict(status), Verdict::NotThese, "{status}");
        }
        for status in [406, 409, 411, 414, 418, 431] {
            assert_eq!(rules.verdict(status), Verdict::Unclear, "{status}");
        }
    }

    #[test]
    fn the_exact_code_goes_before_its_class_and_the_class_before_the_default() {
        let rules = rules(&[
            ("defaultRollback", "false"),
            ("rollback.4XX", "true"),
            ("rollback.404", "false"),
            ("rollback.2XX", "TRUE"),
            ("rollback.204", "false"),
        ]);
        for (status, verdict) in [
            (500, Verdict::GivenUp),
            (404, Verdict::GivenUp),
            (400, Verdict::NotThese),
            (403, Verdict::NotNow),
            (200, Verdict::NotNow),
            (204, Verdict::Delivered),
        ] {
            assert_eq!(rules.verdict(status), verdict, "{status}");
        }
    }

    #[test]
    fn codes_that_are_none_are_told() {
        let keys = [
            ("endpoint", "http://h/"),
            ("rollback.2xx", "true"),
            ("rollback.20", "true"),
            ("rollback.5XX", "false"),
        ];
        let ctx = context(&super::super::SPEC.declared, catalog(), &keys).unwrap();
        let odd: Vec<String> = odd_codes(&ctx, "rollback.").into_iter().map(|(_, why)| why).collect();
        assert_eq!(odd.len(), 2, "{odd:?}");
    }
}
