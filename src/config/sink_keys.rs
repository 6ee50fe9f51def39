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
