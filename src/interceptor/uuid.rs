//! The uuid interceptor: a header with a random UUID (RFC 9562, version 4).
//!
//! The random bits are SipHash of a counter, under a key of 128 bits that std takes from the kernel's random source for
//! each interceptor: no two are alike, nobody can guess the next, and no event costs a system call. Any thread; no locks.

use super::{Interceptor, InterceptorSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longer prefixes would let a batch outgrow its offsets.
const LONGEST_PREFIX: usize = 1024;

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "uuid",
        class: "org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder",
        help: "Sets a header to a random UUID",
        keys: &[&[
            Key::new("headerName", Type::Header, Default::Is("id"), "header to set"),
            super::preserve_existing("true"),
            Key::new("prefix", Type::Text, Default::Is(""), "text in front of the UUID"),
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[],
    },
    build: |ctx, _| Box::new(Uuid::new(ctx)),
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let is_long = ctx.text("prefix").is_some_and(|p| p.len() > LONGEST_PREFIX);
    is_long.then(|| ("prefix", format!("longer than {LONGEST_PREFIX} bytes"))).into_iter().collect()
}

struct Uuid {
    header: event::Key,
    preserve: bool,
    prefix: String,
    key: RandomState,
    next: AtomicU64,
}

impl Uuid {
    fn new(ctx: &Context) -> Uuid {
        Uuid {
            header: ctx.header("headerName").expect("has a default"),
            preserve: ctx.flag("preserveExisting"),
            prefix: ctx.text("prefix").expect("has a default").to_owned(),
            key: RandomState::new(),
            next: AtomicU64::new(0),
        }
    }

    fn random(&self) -> u128 {
        let n = self.next.fetch_add(1, Relaxed);
        u128::from(self.key.hash_one((n, 0u8))) << 64 | u128::from(self.key.hash_one((n, 1u8)))
    }
}

impl Interceptor for Uuid {
    fn intercept(&self, batch: &mut Batch) {
        let mut text = self.prefix.as_bytes().to_vec();
        for i in 0..batch.len() {
            if self.preserve && batch.get(i).header(self.header).is_some() {
                continue;
            }
            text.truncate(self.prefix.len());
            write(self.random(), &mut text);
            let value = batch.store(&text);
            batch.set_header(i, self.header, value);
        }
    }
}

/// Appends `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx` in lower case.
fn write(random: u128, out: &mut Vec<u8>) {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (i, byte) in bits.to_be_bytes().into_iter().enumerate() {
        at += usize::from(matches!(i, 4 | 6 | 8 | 10));
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::super::testing::{build, errors, one, value};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn version_and_variant_have_their_places() {
        let text = |n| {
            let mut out = Vec::new();
            write(n, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(text(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(text(0x0123456789abcdef_0123456789abcdef), "01234567-89ab-4def-8123-456789abcdef");
    }

    #[test]
    fn no_two_are_alike() {
        let (first, _) = build(&SPEC, &[("prefix", "p-")]);
        let (second, _) = build(&SPEC, &[("prefix", "p-")]);
        let mut seen = HashSet::new();
        for i in [&first, &second] {
            let mut b = Batch::new();
            (0..5000).for_each(|_| b.push(event::Body::Copy(b"x")));
            i.intercept(&mut b);
            seen.extend((0..5000).map(|n| value(&b, n, "id").unwrap()));
        }
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|v| v.len() == 38 && v.starts_with("p-") && v.as_bytes()[16] == b'4'));
    }

    #[test]
    fn a_header_already_there_is_kept_unless_told_otherwise() {
        let set = |conf: &[(&str, &str)]| {
            let (i, _) = build(&SPEC, conf);
            let mut b = one(b"x", &[("id", "old")]);
            i.intercept(&mut b);
            value(&b, 0, "id").unwrap()
        };
        assert_eq!(set(&[]), "old");
        assert_eq!(set(&[("headerName", "other")]), "old");
        assert_eq!(set(&[("preserveExisting", "false")]).len(), 36);
    }

    #[test]
    fn an_endless_prefix_is_refused() {
        assert_eq!(
            errors(&SPEC, &[("prefix", &"x".repeat(1025))]),
            ["f:1: a1.i1.prefix: longer than 1024 bytes"]
        );
    }
}
