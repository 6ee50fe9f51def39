//! What is left after a kill, and after a stop.

use super::*;

#[test]
fn a_kill_leaves_the_overflow_and_a_stop_everything() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    put(&c, 10..15).unwrap();
    let after = open(&fs.kill(), settings());
    assert_eq!((drain(&after, 20), after.backlog()), (list(10..15), 0));
    assert_eq!(c.close(), 0);
    assert!(matches!(put(&c, 0..1), Err(PutError::Down(_))));
    let c = open(&fs, settings());
    // Memory's came before, and is behind now.
    assert_eq!(c.backlog(), 15);
    put(&c, 15..18).unwrap();
    assert_eq!(value(&c, "MemorySize"), 3, "there is room, and the order is kept");
    assert_eq!(drain(&c, 4), [list(10..15), list(0..10), list(15..18)].concat());
}

#[test]
fn what_was_in_order_stays_in_order() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..9).unwrap();
    take(&c, 3).commit().unwrap();
    // What a sink hangs with may come again; it is not lost.
    let hangs = take(&c, 2);
    assert_eq!(c.close(), 0);
    assert!(hangs.commit().is_err(), "it will be repeated");
    assert_eq!(drain(&open(&fs.power_cut(0), settings()), 4), list(3..9));
}

#[test]
fn a_stop_fills_the_overflow_beyond_its_capacity() {
    let fs = SimFs::new(1);
    let small = Settings { overflow: Some(4), transaction_capacity: 3, ..settings() };
    let c = open(&fs, small);
    (0..5).for_each(|n| put(&c, n * 2..n * 2 + 2).unwrap());
    put(&c, 10..12).unwrap();
    put(&c, 12..14).unwrap();
    assert_eq!(put(&c, 14..15), Err(PutError::Full), "and we are in the line of the overflow");
    assert_eq!(c.close(), 0);
    let c = open(&fs, small);
    assert_eq!(c.backlog(), 14);
    assert_eq!(drain(&c, 3), [list(10..14), list(0..10)].concat());
}

#[test]
fn what_cannot_be_saved_is_counted() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..7).unwrap();
    fs.fail_always("/d", 5);
    assert_eq!((c.close(), c.counters().lost_at_stop.get()), (7, 7));
}

#[test]
fn tickets_end_and_open_reservations_are_refused_at_a_close() {
    let fs = SimFs::new(1);
    let c = open(&fs, Settings { capacity: 0, ..settings() });
    let d = dynamic(&c);
    let (a, b) = (Put::reserve(&d, room(1), None).unwrap(), Put::reserve(&d, room(1), None).unwrap());
    let second = b.append(events(1..2), &nobody()).unwrap();
    c.close();
    assert!(matches!(second.state(), TicketState::Failed(_)));
    assert!(matches!(a.append(events(0..1), &nobody()), Err(PutError::Down(_))));
    assert_eq!(drain(&open(&fs, settings()), 9), Vec::<u64>::new());
}

#[test]
fn it_opens_again_and_numbers_go_on() {
    let fs = SimFs::new(1);
    let c = open(&fs, settings());
    put(&c, 0..10).unwrap();
    put(&c, 10..12).unwrap();
    c.close();
    while !c.open().unwrap() {}
    assert!(c.open().unwrap());
    put(&c, 12..14).unwrap();
    assert_eq!(drain(&c, 20), [list(10..12), list(0..10), list(12..14)].concat());
    put(&c, 14..15).unwrap();
    assert!(take(&c, 1).first().unwrap() >= 24, "none is used twice");
}
