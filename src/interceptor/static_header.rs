//! The static interceptor: one header, the same for every event. Runs on the thread that delivers; no state.

use super::{set_all, Interceptor, InterceptorSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch};

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "static",
        class: "org.apache.flume.interceptor.StaticInterceptor$Builder",
        help: "Sets a header to a fixed value",
        keys: &[&[
            Key::new("key", Type::Header, Default::Is("key"), "header to set"),
            Key::new("value", Type::Text, Default::Is("value"), "its value"),
            super::preserve_existing("true"),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build: |ctx, _| Box::new(Static::new(ctx)),
};

struct Static {
    header: event::Key,
    value: String,
    preserve: bool,
}

impl Static {
    fn new(ctx: &Context) -> Static {
        Static {
            header: ctx.header("key").expect("has a default"),
            value: ctx.text("value").expect("has a default").to_owned(),
            preserve: ctx.flag("preserveExisting"),
        }
    }
}

impl Interceptor for Static {
    fn intercept(&self, batch: &mut Batch) {
        set_all(batch, self.header, self.value.as_bytes(), self.preserve);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, errors, one, shown};
    use super::*;

    #[test]
    fn a_header_already_there_is_kept_unless_told_otherwise() {
        let set = |conf: &[(&str, &str)], headers: &[(&str, &str)]| {
            let (i, _) = build(&SPEC, conf);
            let mut b = one(b"x", headers);
            i.intercept(&mut b);
            shown(&b)
        };
        assert_eq!(set(&[], &[]), ["key=value: x"]);
        let conf = [("key", "datacenter"), ("value", "NEW YORK")];
        assert_eq!(set(&conf, &[("a", "b")]), ["a=b datacenter=NEW YORK: x"]);
        assert_eq!(set(&conf, &[("datacenter", "old")]), ["datacenter=old: x"]);
        let over = [conf[0], conf[1], ("preserveExisting", "false")];
        assert_eq!(set(&over, &[("datacenter", "old"), ("a", "b")]), ["datacenter=NEW YORK a=b: x"]);
    }

    #[test]
    fn the_value_is_stored_once() {
        let (i, _) = build(&SPEC, &[("value", &"v".repeat(1000))]);
        let mut b = Batch::new();
        (0..100).for_each(|_| b.push(event::Body::Copy(b"x")));
        i.intercept(&mut b);
        assert!(b.weight() < 20_000, "{}", b.weight());
    }

    #[test]
    fn an_endless_header_name_is_refused() {
        let name = "x".repeat(300);
        let why = format!(
            "f:1: a1.i1.key: '{name}' cannot be a header: it is too long, or there are too many headers"
        );
        assert_eq!(errors(&SPEC, &[("key", &name)]), [why]);
    }
}
