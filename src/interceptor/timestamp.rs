//! The timestamp interceptor: a header with the time, in milliseconds since the epoch.
//!
//! The clock is read once per batch: its events were read together. Runs on the thread that delivers; no state.

use super::{set_all, Interceptor, InterceptorSpec};
use crate::clock::now_ms;
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch};

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "timestamp",
        class: "org.apache.flume.interceptor.TimestampInterceptor$Builder",
        help: "Sets a header to the time, in milliseconds since the epoch",
        keys: &[&[
            Key::new("headerName", Type::Header, Default::Is("timestamp"), "header to set"),
            super::preserve_existing("false"),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &["the clock is read once per batch, as it was received; Flume reads it per event"],
    },
    build: |ctx, _| Box::new(Timestamp::new(ctx)),
};

struct Timestamp {
    header: event::Key,
    preserve: bool,
}

impl Timestamp {
    fn new(ctx: &Context) -> Timestamp {
        Timestamp {
            header: ctx.header("headerName").expect("has a default"),
            preserve: ctx.flag("preserveExisting"),
        }
    }
}

impl Interceptor for Timestamp {
    fn intercept(&self, batch: &mut Batch) {
        set_all(batch, self.header, now_ms().to_string().as_bytes(), self.preserve);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, one, value};
    use super::*;

    #[test]
    fn the_time_replaces_a_header_unless_told_otherwise() {
        let before = now_ms();
        let set = |conf: &[(&str, &str)], header: &str| {
            let (i, _) = build(&SPEC, conf);
            let mut b = one(b"x", &[("timestamp", "old")]);
            i.intercept(&mut b);
            value(&b, 0, header).unwrap()
        };
        let is_now = |v: String| (before..=now_ms()).contains(&v.parse().unwrap());
        assert!(is_now(set(&[], "timestamp")));
        assert_eq!(set(&[("preserveExisting", "true")], "timestamp"), "old");
        assert!(is_now(set(&[("preserveExisting", "true"), ("headerName", "at")], "at")));
    }
}
