//! Selectors on the real agent: what a header maps to, what is spread, what is refused together.

use crate::util::{findings, flumed, shutdown_metric, wait, Conf, Folder};

/// Lines such as `at=gold text`, of which the extractor makes the header `tier`.
const TIER: [&str; 5] = [
    "interceptors = i1",
    "interceptors.i1.type = regex_extractor",
    "interceptors.i1.regex = ^at=(\\\\w+)",
    "interceptors.i1.serializers = s1",
    "interceptors.i1.serializers.s1.name = tier",
];

fn tiers(selector: &[&str]) -> Conf {
    let mut keys = TIER.to_vec();
    keys.extend(["selector.type = multiplexing", "selector.header = tier"]);
    keys.extend(selector);
    let mut conf = Conf::new().source("r1", "netcat", "c1 c2 c3 c4", &keys);
    for i in 1..=4 {
        conf =
            conf.channel(&format!("c{i}"), &[]).files(&format!("k{i}"), &format!("c{i}"), &format!("out{i}"));
    }
    conf
}

#[test]
fn a_header_says_where_events_go() {
    let mapped = [
        "selector.mapping.gold = c1",
        "selector.mapping.silver = c2   c3",
        "selector.optional.gold = c3",
        "selector.default = c4",
    ];
    let agent = tiers(&mapped).start();
    let mut client = agent.connect("r1");
    let lines = ["at=gold 1", "at=silver 2", "at=lead 3", "none 4", "at=gold 5", "at=Gold 6"];
    client.send(lines.join("\n") + "\n");
    for _ in lines {
        assert_eq!(client.answer(), "OK\n");
    }
    assert_eq!(agent.wait_lines("out1", 2), ["at=gold 1", "at=gold 5"]);
    assert_eq!(agent.wait_lines("out2", 1), ["at=silver 2"]);
    // Where a channel is required for some events and optional for others of a batch, those come last.
    let mut third = agent.wait_lines("out3", 3);
    third.sort();
    assert_eq!(third, ["at=gold 1", "at=gold 5", "at=silver 2"]);
    assert_eq!(agent.wait_lines("out4", 3), ["at=lead 3", "none 4", "at=Gold 6"]);
    // The mapping changes, the connection stays.
    let changed = tiers(&["selector.mapping.gold = c2", "selector.default = c4"]);
    assert_ne!(agent.reload(&changed), "refused");
    assert_eq!(client.ask("at=gold 7"), "OK\n");
    assert_eq!(agent.wait_lines("out2", 2)[1], "at=gold 7");
    assert_eq!(agent.lines("out1").len(), 2);
}

/// The example of the reference, section 5, and one interceptor more that sets the header `tier`.
#[test]
fn flumes_own_example_runs() {
    let keys = [
        "interceptors = i1 i2 i3",
        "interceptors.i1.type = org.apache.flume.interceptor.HostInterceptor$Builder",
        "interceptors.i1.preserveExisting = true",
        "interceptors.i1.hostHeader = node",
        "interceptors.i2.type = regex_extractor",
        r"interceptors.i2.regex = ^at=(\\d{4}-\\d{2}-\\d{2} \\d{2}:\\d{2})",
        "interceptors.i2.serializers = s1",
        "interceptors.i2.serializers.s1.type = org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer",
        "interceptors.i2.serializers.s1.name = timestamp",
        "interceptors.i2.serializers.s1.pattern = yyyy-MM-dd HH:mm",
        "interceptors.i3.type = regex_extractor",
        "interceptors.i3.regex = tier=([^ ]*)",
        "interceptors.i3.serializers = s1",
        "interceptors.i3.serializers.s1.name = tier",
        "selector.type = multiplexing",
        "selector.header = tier",
        "selector.mapping.gold = c1",
        "selector.mapping.silver = c2 c3",
        "selector.optional.gold = c3",
        "selector.default = c4",
    ];
    let mut conf = Conf::new().source("r1", "syslogtcp", "c1 c2 c3 c4", &keys);
    for i in 1..=4 {
        let (channel, sink, out) = (format!("c{i}"), format!("k{i}"), format!("out{i}"));
        let headers = ["sink.serializer = HEADER_AND_TEXT"];
        let room = ["capacity = 1000", "transactionCapacity = 1000"];
        conf = conf.channel(&channel, &room).folder(&out).files_later(&sink, &channel, &out, &headers);
    }
    let mut agent = conf.start();
    const TIERS: [&str; 6] = ["gold", "silver", "lead", "", "Gold", "gold."];
    let line = |i: usize| format!("at=2026-01-31 10:30 tier={} {i}", TIERS[i % TIERS.len()]);
    let sent: String = (0..600).map(|i| format!("<13>Oct 11 22:14:15 host1 {}\n", line(i))).collect();
    agent.connect("r1").send(sent);
    let of = |tiers: &[usize]| {
        (0..600).filter(|i| tiers.contains(&(i % TIERS.len()))).map(line).collect::<Vec<String>>()
    };
    for (out, tiers) in [("out1", &[0][..]), ("out2", &[1]), ("out3", &[0, 1]), ("out4", &[2, 3, 4, 5])] {
        let expected = of(tiers);
        let lines = agent.wait_lines(out, expected.len());
        for l in &lines {
            assert!(l.contains("node=") && l.contains("timestamp="), "{l}");
        }
        let mut got: Vec<String> = lines.iter().map(|l| l.split_once("} ").unwrap().1.to_owned()).collect();
        let mut expected = expected;
        if out == "out3" {
            // Required for some, optional for others: the order is kept among each.
            got.sort();
            expected.sort();
        }
        assert_eq!(got, expected, "{out}");
    }
    let log = agent.stop();
    for (out, n) in [("out1", 100), ("out2", 100), ("out3", 200), ("out4", 400)] {
        assert_eq!(agent.lines(out).len(), n, "{out}: no more came");
    }
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventAcceptedCount"), 600);
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventUnroutedCount"), 0);
}

#[test]
fn what_nothing_maps_is_counted_and_told() {
    let agent = tiers(&["selector.mapping.gold = c1", "selector.optional.gold = c2 c3 c4"]).start();
    let mut client = agent.connect("r1");
    for line in ["at=lead 1", "at=gold 2", "none 3"] {
        assert_eq!(client.ask(line), "OK\n");
    }
    assert_eq!(agent.metric("SOURCE.r1", "EventUnroutedCount"), 2);
    assert_eq!(agent.metric("SOURCE.r1", "EventAcceptedCount"), 3);
    agent.wait_log(
        "source r1: 1 events (1 so far) go to no channel that is required: one has tier = \"lead\"",
    );
    for i in 1..=4 {
        assert_eq!(agent.wait_lines(&format!("out{i}"), 1), ["at=gold 2"]);
    }
}

#[test]
fn load_balancing_shares_evenly() {
    let agent = Conf::new()
        .source("r1", "syslogtcp", "c1 c2", &["selector.type = load_balancing"])
        .channel("c1", &["capacity = 10000", "transactionCapacity = 100"])
        .channel("c2", &["capacity = 10000", "transactionCapacity = 100"])
        .files("k1", "c1", "out1")
        .files("k2", "c2", "out2")
        .start();
    let mut client = agent.connect("r1");
    let lines: String = (0..2000).map(|i| format!("<13>Oct 11 22:14:15 host1 {i}\n")).collect();
    client.send(lines);
    let (one, two) = (agent.wait_lines("out1", 1000), agent.wait_lines("out2", 1000));
    let evens: Vec<String> = (0..1000).map(|i| (2 * i).to_string()).collect();
    let odds: Vec<String> = (0..1000).map(|i| (2 * i + 1).to_string()).collect();
    assert_eq!((one, two), (evens, odds));
}

#[test]
fn load_balancing_at_random_goes_by_its_class_name() {
    let keys =
        ["selector.type = org.apache.flume.channel.LoadBalancingChannelSelector", "selector.policy = random"];
    let mut conf = Conf::new().source("r1", "netcat", "c1 c2", &keys);
    for i in 1..=2 {
        let (channel, room) = (format!("c{i}"), ["capacity = 1000", "transactionCapacity = 1000"]);
        conf = conf.channel(&channel, &room).files(&format!("k{i}"), &channel, &format!("out{i}"));
    }
    let mut agent = conf.start();
    let mut client = agent.connect("r1");
    let lines: Vec<String> = (0..500).map(|i| format!("{i:03}")).collect();
    client.send(lines.join("\n") + "\n");
    for _ in &lines {
        assert_eq!(client.answer(), "OK\n");
    }
    agent.stop();
    let (one, two) = (agent.lines("out1"), agent.lines("out2"));
    assert!(one.len().abs_diff(two.len()) < 150, "{} and {}", one.len(), two.len());
    assert!(one.is_sorted() && two.is_sorted(), "each keeps the order");
    let mut all = [one, two].concat();
    all.sort();
    assert_eq!(all, lines);
}

#[test]
fn a_channel_without_room_for_its_share_refuses_the_whole_batch() {
    let mut keys = TIER.to_vec();
    keys.extend(["selector.type = multiplexing", "selector.header = tier"]);
    keys.extend(["selector.mapping.gold = c1", "selector.default = c2"]);
    let agent = Conf::new()
        .source_anywhere("r1", "avro", "c1 c2", &[&["bind = 127.0.0.1", "port = 0"][..], &keys].concat())
        .channel("c1", &[])
        .channel("c2", &["capacity = 2", "transactionCapacity = 2", "keep-alive = 0"])
        .files("k1", "c1", "out1")
        .files_later("k2", "c2", "out2", &["sink.batchSize = 2"])
        .start();
    let mut rpc = crate::avro::Rpc::new(agent.address("r1"));
    assert_eq!(rpc.ask(&["at=gold 1", "at=lead 2"]), crate::avro::OK);
    assert_eq!(agent.wait_lines("out1", 1), ["at=gold 1"]);
    assert_eq!(rpc.ask(&["at=lead 3"]), crate::avro::OK, "full by now");
    assert_eq!(rpc.ask(&["at=gold 4", "at=lead 5"]), crate::avro::FAILED);
    assert_eq!(agent.metric("CHANNEL.c1", "EventPutSuccessCount"), 1, "nothing in the other channel");
    agent.make_folder("out2");
    assert_eq!(agent.wait_lines("out2", 2), ["at=lead 2", "at=lead 3"]);
    assert_eq!(rpc.ask(&["at=gold 4", "at=lead 5"]), crate::avro::OK, "its sender tried again");
    assert_eq!(agent.wait_lines("out1", 2), ["at=gold 1", "at=gold 4"], "once");
    assert_eq!(agent.wait_lines("out2", 3)[2], "at=lead 5");
}

#[test]
fn a_full_optional_channel_holds_nobody_up() {
    let agent = Conf::new()
        .source(
            "r1",
            "netcat",
            "c1 c2",
            &["selector.type = multiplexing", "selector.default = c1", "selector.mapping.x = c1", "selector.optional.x = c2"],
        )
        .channel("c1", &[])
        .channel("c2", &["capacity = 1", "transactionCapacity = 1", "keep-alive = 60"])
        .files("k1", "c1", "out1")
        .lines("a1.sources.r1.interceptors = i\na1.sources.r1.interceptors.i.type = static\na1.sources.r1.interceptors.i.key = flume.selector.header\na1.sources.r1.interceptors.i.value = x\n")
        .start();
    let mut client = agent.connect("r1");
    for i in 0..20 {
        assert_eq!(client.ask(&format!("line {i}")), "OK\n");
    }
    assert_eq!(agent.wait_lines("out1", 20).len(), 20);
    wait(19, || agent.metric("SOURCE.r1", "OptionalChannelFailCount"));
}

#[test]
fn a_parked_batch_fits_a_channel_whose_limit_was_lowered() {
    let conf = |transaction: &str| {
        let keys = ["selector.type = multiplexing", "selector.header = host", "selector.mapping.b = c2"];
        let keys = [&keys[..], &["selector.mapping.lost = c1", "selector.default = c1 c2"]].concat();
        Conf::new()
            .source("r1", "syslogtcp", "c1 c2", &keys)
            .channel("c1", &[])
            .files("k1", "c1", "c1")
            .channel("c2", &["capacity = 100", transaction])
            .files_later("k2", "c2", "c2", &["sink.batchSize = 2"])
    };
    let mut agent = conf("transactionCapacity = 100").start();
    let mut client = agent.connect("r1");
    let send = |hosts: &[&str], from: usize, to: usize| -> String {
        let line = |i: usize| format!("<13>Oct 11 22:14:15 {} {i}\n", hosts[i % hosts.len()]);
        (from..to).map(line).collect()
    };
    client.send(send(&["b"], 0, 100));
    wait(100, || agent.metric("CHANNEL.c2", "ChannelSize"));
    client.send(send(&["a", "lost", "b", "lost", "lost"], 100, 200));
    wait(1, || agent.metric("SOURCE.r1", "ParkedConnectionCount"));
    assert_eq!(agent.reload(&conf("transactionCapacity = 2")), "applied");
    assert_eq!(agent.metric("CHANNEL.c1", "EventPutSuccessCount"), 0, "all or none");
    agent.make_folder("c2");
    wait(200, || agent.metric("SOURCE.r1", "EventAcceptedCount"));
    let log = agent.stop();
    assert_eq!(shutdown_metric(&log, "SOURCE.r1", "EventDroppedCount"), 0);
    let of = |wanted: &[usize]| -> Vec<String> {
        (100..200).filter(|i| wanted.contains(&(i % 5))).map(|i| i.to_string()).collect()
    };
    assert_eq!(agent.lines("c1"), of(&[0, 1, 3, 4]));
    let first: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(agent.lines("c2"), [first, of(&[0, 2])].concat());
}

#[test]
fn check_names_what_a_selector_leaves_out() {
    let folder = Folder::new();
    let check = |conf: Conf| {
        std::fs::write(folder.path("a1.conf"), conf.text()).unwrap();
        let (code, out, err) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
        (code, findings(&(out + &err)).join("\n"))
    };
    let (code, found) = check(tiers(&["selector.mapping.gold = c1 c2", "selector.optional.gold = c3"]));
    assert_eq!(code, Some(0), "{found}");
    assert!(found.contains("selector.type: warning: no key of the selector names channel c4"), "{found}");
    assert!(
        found.contains("selector.default: warning: not set: events that nothing maps go nowhere"),
        "{found}"
    );
    let (code, found) = check(tiers(&["selector.mapping.gold = c5", "selector.default = c4"]));
    assert_eq!(code, Some(2), "{found}");
    assert!(
        found.contains("a1.sources.r1.selector.mapping.gold: c5 is not a channel of this source"),
        "{found}"
    );
    let (code, found) = check(tiers(&["selector.default = c1 c2 c3 c4"]));
    assert_eq!((code, found.contains(": warning: ")), (Some(0), false), "{found}");
}
