//! The keys that every sink has beside its own: how often a batch is tried, and where goes what cannot be delivered.
//!
//! Declared here once; `spec` adds them to the declaration of each sink. What they do is in `runner`. Pure.

use super::spec::{Default, Key, Type};
use super::Context;

pub const MAX_DELIVERY_ATTEMPTS: &str = "maxDeliveryAttempts";
pub const DEAD_LETTER_FILE: &str = "deadLetterFile";

pub const KEYS: &[Key] = &[
    Key::new(
        MAX_DELIVERY_ATTEMPTS,
        Type::Int(0, i32::MAX as i64),
        Default::Is("0"),
        "failed deliveries of a batch until it is split, and of an event until it is put aside; 0 = no limit",
    ),
    Key::new(
        DEAD_LETTER_FILE,
        Type::Path,
        Default::None,
        "where events go that cannot be delivered, a JSON object each; needs maxDeliveryAttempts",
    ),
];

/// One key says nothing without the other.
pub fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let is_limited = ctx.size(MAX_DELIVERY_ATTEMPTS) > 0;
    match (is_limited, ctx.text(DEAD_LETTER_FILE)) {
        (true, None) => {
            let what = "needs deadLetterFile, the file for the events that cannot be delivered";
            vec![(MAX_DELIVERY_ATTEMPTS, what.to_owned())]
        }
        (_, Some("")) => vec![(DEAD_LETTER_FILE, "is empty; expected the name of a file".to_owned())],
        (false, Some(_)) => {
            let what = "is never written to: needs maxDeliveryAttempts, at least 1";
            vec![(DEAD_LETTER_FILE, what.to_owned())]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{context, Known};
    use crate::config::{Catalog, Kind};

    #[test]
    fn every_sink_has_them_and_one_needs_the_other() {
        let judged = |kind, name: &str, keys: &[(&str, &str)]| {
            context(Known.find(kind, name).unwrap(), &Known, keys).map(|_| ()).unwrap_err()
        };
        for sink in ["logger", "null", "file_roll"] {
            let declared = Known.find(Kind::Sink, sink).unwrap();
            for good in [&[][..], &[("maxDeliveryAttempts", "3"), ("deadLetterFile", "dead")]] {
                let ctx = context(declared, &Known, good).unwrap();
                assert_eq!(ctx.text("deadLetterFile").is_some(), ctx.size("maxDeliveryAttempts") == 3);
            }
            let wrong = |keys: &[(&str, &str)]| judged(Kind::Sink, sink, keys).join("\n");
            assert_eq!(
                wrong(&[("maxDeliveryAttempts", "3")]),
                "test:1: a1.x.x1.maxDeliveryAttempts: needs deadLetterFile, the file for the events that cannot be \
                 delivered"
            );
            let never = wrong(&[("deadLetterFile", "dead"), ("maxDeliveryAttempts", "0")]);
            assert!(never.starts_with("test:1: a1.x.x1.deadLetterFile: is never written to"), "{never}");
            let empty = wrong(&[("deadLetterFile", ""), ("maxDeliveryAttempts", "2")]);
            assert!(empty.contains("deadLetterFile: is empty"), "{empty}");
            assert!(wrong(&[("maxDeliveryAttempts", "-1")]).contains("out of range"));
        }
        let channel = Known.find(Kind::Channel, "memory").unwrap();
        assert!(channel.all_keys().all(|k| k.name != "deadLetterFile"));
    }
}
