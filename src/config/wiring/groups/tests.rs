use super::super::tests::{expect, judge_with, said, GOOD};
use super::*;

/// The good configuration with two more sinks, k2 and k3, and what else is given; its first line is the 16th.
fn with(lines: &str) -> String {
    let more =
        "a.sinks.k2.type = null\na.sinks.k2.channel = c\na.sinks.k3.type = null\na.sinks.k3.channel = c\n\n";
    GOOD.replace("a.sinks = k\n", "a.sinks = k k2 k3\n") + more + lines
}

fn plan(text: &str) -> Plan {
    let (plan, problems) = judge_with(text, &RunOptions::default());
    assert_eq!(problems.errors(), 0, "{:?}", said(&problems));
    plan.unwrap()
}

const TWO: &str = "\
a.sinkgroups = g
a.sinkgroups.g.sinks = k2 k k2
a.sinkgroups.g.processor.type = Failover
a.sinkgroups.g.processor.priority.k = 5
";

#[test]
fn a_group_has_its_sinks_in_the_order_of_its_list() {
    expect(&with(TWO), &[], "c r k k2 k3");
    let plan = plan(&with(TWO));
    let group = plan.sinks[0].group.as_ref().unwrap();
    assert_eq!((group.name.as_str(), group.sinks.join(" ").as_str()), ("g", "k2 k"));
    assert_eq!(group.processor.declared().name, "failover");
    assert_eq!(group.processor.map("priority.")["k"], "5");
    assert!(Arc::ptr_eq(group, plan.sinks[1].group.as_ref().unwrap()));
    assert!(plan.sinks[2].group.is_none());
    // Flume does not start a sink that is named like a group.
    expect(&with(&TWO.replace(".g.", ".k3.").replace("= g", "= k3")), &[], "c r k k2 k3");
}

#[test]
fn a_change_of_the_group_is_a_change_of_its_sinks() {
    let same = |lines: &str| {
        let (before, after) = (plan(&with(TWO)), plan(&with(lines)));
        let changed = before.sinks.iter().zip(&after.sinks).map(|(a, b)| !a.says_the_same(b));
        changed.collect::<Vec<_>>()
    };
    assert_eq!(same(&format!("# moved\n{TWO}")), [false, false, false]);
    assert_eq!(same(&TWO.replace("= 5", "= 6")), [true, true, false]);
    assert_eq!(same(&TWO.replace("k2 k k2", "k k2")), [true, true, false]);
    assert_eq!(same(&TWO.replace("k2 k k2", "k2 k k3")), [true, true, true]);
    assert_eq!(same(&TWO.replace(".g.", ".h.").replace("= g", "= h")), [true, true, false]);
    assert_eq!(same(""), [true, true, false]);
}

#[test]
fn what_flume_cannot_build_is_an_error_and_its_sinks_do_not_run() {
    let no_type = "f:17: a.sinkgroups.g.processor.type: required key is missing; expected default, failover or \
                   load_balance. (Flume's guide says 'default' for none, but Flume does not run such a group, nor its \
                   sinks)";
    expect(&with("a.sinkgroups = g\na.sinkgroups.g.sinks = k k2"), &[no_type], "c r k3");
    expect(
        &with("a.sinkgroups = g\na.sinkgroups.g.sinks = k k2\na.sinkgroups.g.processor.typ = default"),
        &[
            "f:17: a.sinkgroups.g.processor.type: required key is missing; is a.sinkgroups.g.processor.typ meant for it?",
        ],
        "c r k3",
    );
    expect(
        &with(&TWO.replace("Failover", "failovr")),
        &["f:18: a.sinkgroups.g.processor.type: unknown processor type 'failovr'; did you mean failover?"],
        "c r k3",
    );
    let text = with("a.sinkgroups = g\na.sinkgroups.g.sinks = k k2\na.sinkgroups.g.processor.type = default");
    expect(&text, &["f:17: a.sinkgroups.g.sinks: one sink, not 2"], "c r k3");
    expect(
        &with("a.sinkgroups = g h\na.sinkgroups.g.processor.type = default\na.sinkgroups.i.sinks = k"),
        &[
            "f:16: a.sinkgroups.h: listed but has no properties; did you mean i, which has?",
            "f:17: a.sinkgroups.g.sinks: required key is missing: the names of the group's sinks",
            "f:18: a.sinkgroups.i: warning: unused: a.sinkgroups does not list it",
        ],
        "c r k k2 k3",
    );
    // What is not known is not judged.
    let text = with("a.sinkgroups = g\na.sinkgroups.g.sinks = ${env:NO_SUCH_ONE}\na.sinkgroups.g.processor.type = default");
    let (_, problems) = judge_with(&text, &RunOptions::default());
    assert!(said(&problems).iter().all(|p| p.contains("NO_SUCH_ONE")), "{:?}", said(&problems));
}

#[test]
fn sinks_that_cannot_be_in_it_are_left_out() {
    let two = "a.sinkgroups = g h\na.sinkgroups.g.sinks = k kk\na.sinkgroups.g.processor.type = default\n";
    expect(
        &with(&format!("{two}a.sinkgroups.h.sinks = k k2\na.sinkgroups.h.processor.type = default")),
        &[
            "f:17: a.sinkgroups.g.sinks: warning: no sink kk in a.sinks, did you mean k?: left out",
            "f:19: a.sinkgroups.h.sinks: warning: sink k is in group g already: left out",
        ],
        "c r k k2 k3",
    );
    expect(
        &with(&format!("{two}a.sinkgroups.h.sinks = k zz\na.sinkgroups.h.processor.type = default")),
        &[
            "f:17: a.sinkgroups.g.sinks: warning: no sink kk in a.sinks, did you mean k?: left out",
            "f:19: a.sinkgroups.h.sinks: no sink is left for it: sink k is in group g already; no sink zz in a.sinks",
        ],
        "c r k k2 k3",
    );
    // One with a mistake of its own makes no second one, and the others stay together.
    let text = with(TWO).replace("a.sinks.k2.type = null", "a.sinks.k2.type = nul");
    expect(&text, &["f:11: a.sinks.k2.type: unknown sink type 'nul'; did you mean null?"], "c r k k3");
    let (plan, _) = judge_with(&text, &RunOptions::default());
    assert_eq!(plan.unwrap().sinks[0].group.as_ref().unwrap().sinks, ["k"]);
}

#[test]
fn odd_keys_and_channels_warn() {
    let more = "a.sinkgroups.g.sink = k3\na.sinkgroups.g.processor.priority.k9 = 1\n\
                a.sinkgroups.g.processor.maxpenalty = soon\na.sinkgroups.g.processor.maxpenlty = 1\n\
                a.channels.d.type = memory\n";
    let text = with(&format!("{TWO}{more}")).replace("a.channels = c", "a.channels = c d");
    expect(
        &text.replace("a.sinks.k2.channel = c", "a.sinks.k2.channel = d"),
        &[
            "f:17: a.sinkgroups.g.sinks: warning: its sinks read from different channels: only those of the same \
             one stand together",
            "f:20: a.sinkgroups.g.sink: warning: unknown key of a sink group: ignored; did you mean sinks?",
            "f:21: a.sinkgroups.g.processor.priority.k9: warning: no such sink",
            "f:22: a.sinkgroups.g.processor.maxpenalty: warning: 'soon' is not a whole number of milliseconds; \
             using 30000, as Flume does",
            "f:23: a.sinkgroups.g.processor.maxpenlty: warning: unknown key of processor failover: ignored; did you \
             mean processor.maxpenalty?",
        ],
        "c d r k k2 k3",
    );
}

#[test]
fn names_from_outside_are_not_shown() {
    let mut options = RunOptions::default();
    options.properties.insert("names".into(), "k hush".into());
    let text = with(
        "a.sinkgroups = g\na.sinkgroups.g.sinks = ${sys:names}\na.sinkgroups.g.processor.type = default",
    );
    let (plan, problems) = judge_with(&text, &options);
    assert_eq!(
        said(&problems),
        ["f:17: a.sinkgroups.g.sinks: warning: no sink (hidden) in a.sinks: left out"]
    );
    assert!(plan.unwrap().sinks[0].group.is_some());
}
