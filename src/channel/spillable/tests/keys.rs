//! What the keys mean, and what of it changes while the channel is in use.

use super::*;
use crate::config::testing::{context, Known};

fn ctx(keys: &[(&str, &str)]) -> Context {
    context(&SPEC.declared, &Known, keys).unwrap()
}

fn of(keys: &[(&str, &str)]) -> Settings {
    Settings::of(&ctx(keys), 1000)
}

#[test]
fn defaults_are_flumes() {
    let s = of(&[]);
    assert_eq!((s.capacity, s.overflow, s.threshold), (10_000, Some(100_000_000), 5));
    assert_eq!((s.transaction_capacity, s.timeout, s.byte_capacity), (10_000, Duration::from_secs(3), 640));
    assert_eq!(s.limits().keep_alive, Duration::from_secs(3));
    assert_eq!(of(&[("byteCapacity", "0")]).byte_capacity, usize::MAX);
    for bad in ["-1", "many"] {
        let keys =
            [("memoryCapacity", bad), ("overflowTimeout", bad), ("overflowDeactivationThreshold", bad)];
        let s = of(&keys);
        assert_eq!((s.capacity, s.timeout.as_secs(), s.threshold), (10_000, 3, 5), "{bad}");
    }
}

#[test]
fn either_side_can_be_left_out_but_not_both() {
    for none in ["0", "-1"] {
        assert_eq!(of(&[("overflowCapacity", none)]).overflow, None);
        let s = of(&[("overflowCapacity", none), ("memoryCapacity", "0")]);
        assert_eq!((s.capacity, s.overflow), (0, Some(100_000_000)));
        assert!(s.limits().durable && s.limits().capacity == 100_000_000);
    }
}

#[test]
fn the_keys_of_the_log_are_checked() {
    let wrong = context(&SPEC.declared, &Known, &[("dataDirs", "/a,/a")]).unwrap_err();
    assert!(wrong[0].contains("names a directory twice"), "{wrong:?}");
    // Flume takes a transaction that only the overflow holds.
    of(&[("memoryCapacity", "10"), ("transactionCapacity", "5000")]);
}

#[test]
fn limits_change_while_it_is_in_use() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    assert_eq!((c.limits().keep_alive, c.limits().capacity), (FAR, 10), "none refuses before it may spill");
    put(&c, 0..10).unwrap();
    let calls = Arc::new(Calls::default());
    c.enqueue(&Waiter::new(Instant::now(), calls.clone()));
    let more = [("memoryCapacity", "12"), ("byteCapacity", "0"), ("overflowTimeout", "1")];
    assert!(c.adapt(&ctx(&more), 0));
    assert!(calls.0.load(SeqCst) > 0, "there is room");
    put(&c, 10..12).unwrap();
    assert_eq!((value(&c, "MemorySize"), is_spilling(&c)), (12, false));
    assert_eq!(
        (c.limits().keep_alive, c.counters().measure().capacity),
        (Duration::from_secs(1), 100_000_012)
    );
    assert!(!c.adapt(&ctx(&[("overflowCapacity", "0")]), 0), "its overflow cannot go");
    assert_eq!(c.limits().capacity, 12);
}
