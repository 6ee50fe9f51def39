//! Whole configurations against what is to be said of them.

use super::*;
use crate::config::testing::{Known, AGENT};
use crate::config::{Property, Severity};

fn text_of(bytes: &[u8]) -> Text {
    Text { file: "f".into(), bytes: bytes.to_vec() }
}

pub(super) fn judge_with(text: &str, options: &RunOptions) -> (Option<Plan>, Problems) {
    let mut problems = Problems::default();
    let plan = load(&[text_of(text.as_bytes())], "a", options, &Known, &AGENT, &mut problems);
    (plan, problems)
}

pub(super) fn said(problems: &Problems) -> Vec<String> {
    problems.sorted().iter().map(|p| p.to_string()).collect()
}

/// Every finding, and the names of what is left to run: channels, sources, sinks.
#[track_caller]
pub(super) fn expect(text: &str, findings: &[&str], runs: &str) {
    let (plan, problems) = judge_with(text, &RunOptions::default());
    assert_eq!(said(&problems), findings);
    assert_eq!(plan.as_ref().map_or("nothing".into(), names), runs);
}

fn names(plan: &Plan) -> String {
    let channels = plan.channels.iter().map(|c| c.name.as_str());
    let sources = plan.sources.iter().map(|s| s.planned.name.as_str());
    let sinks = plan.sinks.iter().map(|s| s.planned.name.as_str());
    channels.chain(sources).chain(sinks).collect::<Vec<_>>().join(" ")
}

pub(super) const GOOD: &str = "\
a.sources = r
a.channels = c
a.sinks = k
a.sources.r.type = NetCat
a.sources.r.bind = localhost
a.sources.r.port = 44444
a.sources.r.channels = c
a.channels.c.type = memory
a.sinks.k.type = logger
a.sinks.k.channel = c
";

/// The good configuration with one line (its key) replaced, and lines added from line 11 on.
fn but(key: &str, line: &str, more: &str) -> String {
    let mut text = String::new();
    for l in GOOD.lines() {
        let is_it = l.split(" = ").next() == Some(key);
        text.push_str(if is_it { line } else { l });
        text.push('\n');
    }
    text + more
}

#[test]
fn a_good_file_has_no_findings() {
    expect(GOOD, &[], "c r k");
    let (plan, _) = judge_with(GOOD, &RunOptions::default());
    let plan = plan.unwrap();
    assert_eq!(plan.sources[0].channels, ["c"]);
    assert_eq!(plan.sources[0].selector.declared().name, "replicating");
    assert_eq!(plan.sources[0].planned.context.int("port"), Some(44444));
    assert_eq!((plan.sinks[0].channel.as_str(), plan.agent.as_str()), ("c", "a"));
}

#[test]
fn ten_mistakes_make_ten_errors() {
    let text = "\
a.sources = r1 r2 r3
a.channels = c1 c2 c3
a.sinks = k1 k2 k3 k4
a.sources.r1.type = netcat
a.sources.r1.port = 70000
a.sources.r1.bind = ::
a.sources.r1.channels = c1
a.sources.r2.type = netcatt
a.sources.r2.channels = c1
a.sources.r3.type = seq
a.sources.r3.channels = d1
a.sources.r3.batchSize = ${SIZE}
a.channels.c1.type = memory
a.channels.c1.transactionCapacity = 10
a.channels.c2.capacity = 5
a.sinks.k1.type = null
a.sinks.k1.channel = c1
a.sinks.k1.batchSize = 50
a.sinks.k2.type = hbase
a.sinks.k2.channel = c2
a.sinks.k3.type = file_roll
a.sinks.k3.batchSize = 1
a.sinks.k3.channel = c1
a.sinks.k3.serializer.limit = many
";
    let (plan, problems) = judge_with(text, &RunOptions::default());
    let sorted = problems.sorted();
    let errors = sorted.iter().filter(|p| p.severity == Severity::Error);
    let errors: Vec<_> = errors.map(|p| (p.place.line, p.key.as_str())).collect();
    let expected = [
        (2, "a.channels.c2.type"),
        (2, "a.channels.c3"),
        (3, "a.sinks.k4"),
        (5, "a.sources.r1.port"),
        (8, "a.sources.r2.type"),
        (11, "a.sources.r3.channels"),
        (12, "a.sources.r3.batchSize"),
        (18, "a.sinks.k1.batchSize"),
        (19, "a.sinks.k2.type"),
        (24, "a.sinks.k3.serializer.limit"),
    ];
    assert_eq!(errors, expected, "{:#?}", said(&problems));
    assert_eq!((problems.errors(), problems.warnings()), (10, 1));
    assert!(plan.is_none());
}

#[test]
fn missing_agents_lists_and_names() {
    expect("", &["f: no agent named a: the file defines none at all"], "nothing");
    expect(
        "aa.sources = r\nb.channels = c\nlog4j.x = y",
        &["f: no agent named a; the file has aa, b; did you mean aa?"],
        "nothing",
    );
    expect(
        &but("a.channels", "", ""),
        &["f:1: a.channels: required key is missing: the names of the agent's channels"],
        "nothing",
    );
    expect(
        "a.channels = c\na.channels.c.type = memory",
        &[
            "f:1: a.sources: required key is missing: the agent has neither sources nor sinks",
            "f:2: a.channels.c: warning: no source or sink uses it: left out",
        ],
        "nothing",
    );
    expect(&but("a.sinks", "", ""), &["f:1: a.sinks: warning: the agent has no sinks"], "c r");
}

#[test]
fn another_kind_of_file_makes_one_finding() {
    let none = "f: no agent named a: the file defines none at all";
    expect(
        "PATH = /bin\nx.y = ${NO_NAME}\nx.y = 2\nb.sorces = r\n\x7fELF\0.\x1b[2J = 1\nk = \\uD83D",
        &[none],
        "nothing",
    );
    // Misspelt lists of the agent that is meant are told.
    let (_, problems) = judge_with("a.sorces = r\na.chanels = c\nx\0.\x1b[2J = 1", &RunOptions::default());
    let all = said(&problems).join("\n");
    assert!(all.contains("did you mean a.sources?") && all.contains(r"f:3: x\u{0}: warning: "), "{all}");
    assert!(!all.contains(['\0', '\x1b']), "{all:?}");
}

#[test]
fn channels_of_sources_and_sinks() {
    expect(
        &but("a.sources.r.channels", "a.sources.r.channels = c cc x", "a.channels.x.type = memory"),
        &[
            "f:7: a.sources.r.channels: warning: no channel cc in a.channels, did you mean c?: left out, the source \
             writes to its other channels",
            "f:7: a.sources.r.channels: warning: channel x has properties, but a.channels does not list it: left \
             out, the source writes to its other channels",
            "f:11: a.channels.x: warning: unused: a.channels does not list it",
        ],
        "c r k",
    );
    expect(
        &but("a.sources.r.channels", "a.sources.r.channel = c", ""),
        &[
            "f:4: a.sources.r.channels: required key is missing: the names of the channels to write to",
            "f:7: a.sources.r.channel: warning: unknown key of source netcat: ignored; did you mean channels?",
        ],
        "c k",
    );
    expect(
        &but("a.sinks.k.channel", "a.sinks.k.channel = d", ""),
        &["f:10: a.sinks.k.channel: no channel d in a.channels, did you mean c?"],
        "c r",
    );
    expect(
        &but("a.sinks.k.channel", "a.sinks.k.channel = c d", ""),
        &["f:10: a.sinks.k.channel: a sink reads from exactly one channel, not from 2"],
        "c r",
    );
    // What hangs on a bad channel goes without further words.
    expect(
        &but("a.channels.c.type", "a.channels.c.type = memry", ""),
        &["f:8: a.channels.c.type: unknown channel type 'memry'; did you mean memory?"],
        "nothing",
    );
}

#[test]
fn channels_that_only_fill_are_told() {
    let two =
        but("a.channels", "a.channels = c d e", "a.channels.d.type = memory\na.channels.e.type = memory");
    let unused = "f:12: a.channels.e: warning: no source or sink uses it: left out";
    let both = two.replace("r.channels = c", "r.channels = c d");
    let fills = "f:11: a.channels.d: warning: no sink reads from it: once it is full, its sources wait";
    expect(&both, &[fills, unused], "c d r k");
    // Read and not written, or not used at all: nothing fills.
    expect(
        &two.replace("k.channel = c", "k.channel = d"),
        &["f:8: a.channels.c: warning: no sink reads from it: once it is full, its sources wait", unused],
        "c d r k",
    );
    // A sink that has another mistake does not make two.
    expect(
        &both.replace("k.channel = c", "k.channel = dd"),
        &["f:10: a.sinks.k.channel: no channel dd in a.channels, did you mean d?", unused],
        "c d r",
    );
    expect(
        &both.replace("k.type = logger", "k.type = loger").replace("k.channel = c", "k.channel = d"),
        &[
            "f:8: a.channels.c: warning: no sink reads from it: once it is full, its sources wait",
            "f:9: a.sinks.k.type: unknown sink type 'loger'; did you mean logger?",
            unused,
        ],
        "c d r",
    );
    expect(
        &both.replace("a.sinks = k", ""),
        &["f:1: a.sinks: warning: the agent has no sinks", unused],
        "c d r",
    );
}

#[test]
fn misspelt_names_find_each_other() {
    expect(
        &but("a.sinks", "a.sinks = sink1", "a.sinks.sink2.type = null\na.sinks.sink2.channel = c"),
        &[
            "f:3: a.sinks.sink1: listed but has no properties; did you mean sink2, which has?",
            "f:9: a.sinks.k: warning: unused: a.sinks does not list it",
            "f:11: a.sinks.sink2: warning: unused: a.sinks does not list it",
        ],
        "c r",
    );
    expect(
        &but("a.sinks.k.type", "a.sinks.k.tpye = logger", ""),
        &["f:3: a.sinks.k.type: required key is missing; is a.sinks.k.tpye meant for it?"],
        "c r",
    );
    expect(
        &but("a.sources.r.port", "a.sources.r.port = 1", "a.sources.r.max-line-lenght = 3"),
        &["f:11: a.sources.r.max-line-lenght: warning: unknown key of source netcat: ignored; did you mean \
           max-line-length?"],
        "c r k",
    );
}

#[test]
fn batches_must_fit_transactions() {
    let text = but("a.sinks.k.type", "a.sinks.k.type = null", "a.channels.c.transactionCapacity = 20");
    expect(
        &text,
        &[
            "f:9: a.sinks.k.batchSize: 100 (the default) is more than a.channels.c.transactionCapacity = 20 (line \
           11)",
        ],
        "c r",
    );
    let text = text + "\na.sinks.k.batchSize = 21";
    expect(
        &text,
        &[
            "f:12: a.sinks.k.batchSize: 21 (line 12) is more than a.channels.c.transactionCapacity = 20 (line \
           11)",
        ],
        "c r",
    );
}

#[test]
fn selectors_and_interceptors() {
    let with = |more: &str| but("", "", more);
    expect(
        &with(
            "a.sources.r.interceptors = i1 i2 i1\na.sources.r.interceptors.i1.type = static\n\
               a.sources.r.interceptors.i2.type = statik\na.sources.r.interceptors.i3.type = static",
        ),
        &[
            "f:13: a.sources.r.interceptors.i2.type: unknown interceptor type 'statik'; did you mean static?",
            "f:14: a.sources.r.interceptors.i3: warning: unused: a.sources.r.interceptors does not list it",
        ],
        "c k",
    );
    let text = with(
        "a.sources.r.interceptors = i1 i1\na.sources.r.interceptors.i1.type = static\n\
         a.sources.r.interceptors.i1.key = x",
    );
    let (plan, problems) = judge_with(&text, &RunOptions::default());
    assert!(problems.is_empty());
    let plan = plan.unwrap();
    let keys: Vec<_> =
        plan.sources[0].interceptors.iter().map(|i| (i.name(), i.text("key").unwrap())).collect();
    assert_eq!(keys, [("i1", "x"), ("i1", "x")]);

    expect(
        &with(
            "a.sources.r.selector.type = multiplexing\na.sources.r.selector.default = c\n\
               a.sources.r.selector.mapping.new york city = c",
        ),
        &[
            r"f:13: a.sources.r.selector.mapping.new: 'york city = c' is no list of channels of this source: a blank ends a key; is a.sources.r.selector.mapping.new\ york\ city = c meant?",
        ],
        "c k",
    );
    expect(
        &with(
            "a.sources.r.selector.type = Multiplexing\na.sources.r.selector.mapping.x.y = c  d\n\
               a.sources.r.selector.heder = h",
        ),
        &[
            "f:12: a.sources.r.selector.mapping.x.y: d is not a channel of this source; did you mean c?",
            "f:13: a.sources.r.selector.heder: warning: unknown key of selector multiplexing: ignored; did you \
           mean selector.header?",
        ],
        "c k",
    );
    expect(
        &with("a.sources.r.selector.optional = e"),
        &["f:11: a.sources.r.selector.optional: e is not a channel of this source; did you mean c?"],
        "c k",
    );
}

#[test]
fn keys_without_effect_and_types_in_use_are_kept_apart() {
    let more = "a.sinks.k.threads = 2\na.sinks.k.kerberosKeytab = x\nb.sinks = k\nb.sinks.k.type = null";
    let (_, problems) = judge_with(&but("", "", more), &RunOptions::default());
    assert_eq!(
        said(&problems)[..2],
        [
            "f:11: a.sinks.k.threads: a sink has one thread",
            "f:12: a.sinks.k.kerberosKeytab: warning: not supported: ignored",
        ]
    );
    assert_eq!((problems.sorted()[0].severity, problems.warnings()), (Severity::Ignored, 2));
    let used: Vec<&str> = problems.used().iter().map(|d| d.name).collect();
    assert_eq!(used, ["agent", "memory", "replicating", "netcat", "logger"]);
}

#[test]
fn values_are_interpolated_before_they_are_judged() {
    let mut options = RunOptions::default();
    options.properties.insert("port".into(), "4711".into());
    options.properties.insert("secret".into(), "hush".into());
    let with = |port: &str, more: &str| but("a.sources.r.port", &format!("a.sources.r.port = {port}"), more);
    let (plan, problems) = judge_with(&with("${NC.PORT:-1}", "NC.PORT = ${sys:port}\nHELP = 1"), &options);
    assert_eq!(said(&problems), ["f:12: HELP: warning: ignored: no agent name and dot before it"]);
    assert_eq!(plan.unwrap().sources[0].planned.context.int("port"), Some(4711));
    let (plan, problems) = judge_with(&but("a.sources.r.bind", "a.sources.r.bind = $${x}${y", ""), &options);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(plan.unwrap().sources[0].planned.context.text("bind"), Some("${x}${y"));
    let (_, problems) = judge_with(&with("${NO_PORT}", ""), &options);
    assert_eq!(
        said(&problems),
        [
            "f:6: a.sources.r.port: warning: ${NO_PORT} stays as it is, as in Flume: nothing has that name (or write \
             $${NO_PORT})",
            "f:6: a.sources.r.port: '${NO_PORT}' is not a port number",
        ]
    );
    // An expression without a value: told once, and nothing else of that key.
    expect(
        &with("${url:UTF-8:http://x}", ""),
        &["f:6: a.sources.r.port: ${url:...} is not supported by flumed: it fetches whatever an address holds; name the \
           file with --conf-uri"],
        "c k",
    );
    expect(
        &but("a.channels", "a.channels = ${a.channels}", ""),
        &["f:2: a.channels: refers to itself: a.channels (f:2) -> a.channels (f:2)"],
        "nothing",
    );
    // Of another agent's values only the number is told.
    let more = "\nb.sources = ${NO_NAME}";
    let (_, problems) = judge_with(&(GOOD.trim_end().to_owned() + more), &options);
    assert_eq!(
        said(&problems),
        ["f:11: b: warning: this agent, which is not the one to run, has 2 errors, 2 warnings"]
    );
}

#[test]
fn what_came_from_outside_is_not_shown() {
    let mut options = RunOptions::default();
    options.properties.insert("s".into(), "hush".into());
    options.properties.insert("regex".into(), "(hush".into());
    let text = "\
a.sources = r ${sys:s}
a.channels = c
a.sinks = k1 k2 k3
a.sources.r.type = netcat
a.sources.r.bind = ::
a.sources.r.port = ${sys:s}
a.sources.r.ack-every-event = ${sys:s}
a.sources.r.max-line-length = 1${sys:s}
a.sources.r.channels = c ${sys:s}
a.sources.r.interceptors = i ${sys:s}
a.sources.r.interceptors.i.type = static
a.sources.r.selector.optional = ${sys:s}
a.channels.c.type = memory
a.channels.c.capacity = ${sys:s}
a.sinks.k1.type = ${sys:s}
a.sinks.k1.channel = c
a.sinks.k2.type = file_roll
a.sinks.k2.channel = ${sys:s}
a.sinks.k2.serializer = ${sys:s}
a.sinks.k3.type = null
a.sinks.k3.channel = c
a.sinks.k3.batchSize = 0x${sys:regex}
a.flumed.stop.deadline = ${sys:s}
a.gizmo = ${sys:s}
b.sources = ${sys:s}
";
    let (_, problems) = judge_with(text, &options);
    let all = said(&problems);
    assert!(problems.errors() >= 10, "{all:#?}");
    assert!(!all.join("\n").contains("hush"), "{all:#?}");
    assert!(all.contains(&"f:6: a.sources.r.port: (hidden) is not a port number".to_owned()), "{all:#?}");
    // A plan shows keys, and nothing of what they are set to.
    let text = but("a.sources.r.bind", "a.sources.r.bind = ${sys:s}", "a.flumed.token = hush");
    let (plan, problems) = judge_with(&text, &options);
    let shown = format!("{:?}", plan.unwrap());
    assert!(shown.contains("source netcat at a.sources.r: ack-every-event bind "), "{shown}");
    assert!(!shown.contains("hush") && !format!("{problems:?}").contains("hush"), "{shown}");
    // What a key's name calls a secret is none for messages either.
    let secret = Property::new("my-Password", "hush", Place::default());
    assert!(secret.is_secret() && !Property::new("port", "1", Place::default()).is_secret());
}

#[test]
fn names_and_types_of_listed_parts_from_outside_are_not_shown() {
    let mut options = RunOptions::default();
    options.properties.insert("type".into(), "hush".into());
    options.properties.insert("list".into(), "s2 whisper".into());
    let text = GOOD.to_owned()
        + "a.sources.r.interceptors = i j\na.sources.r.interceptors.i.type = extractor\n\
           a.sources.r.interceptors.i.serializers = s1\n\
           a.sources.r.interceptors.i.serializers.s1.type = ${sys:type}\n\
           a.sources.r.interceptors.j.type = extractor\n\
           a.sources.r.interceptors.j.serializers = ${sys:list}\n\
           a.sources.r.interceptors.j.serializers.s2.name = x\n";
    let (_, problems) = judge_with(&text, &options);
    assert_eq!(
        said(&problems),
        [
            "f:14: a.sources.r.interceptors.i.serializers.s1.type: unknown extractorSerializer type (hidden); known: \
             plain",
            "f:16: a.sources.r.interceptors.j.serializers.(hidden).name: required key is missing; the header",
        ]
    );
    options.properties.insert("type".into(), "plain".into());
    options.properties.insert("list".into(), "s2".into());
    let text = text.replace("serializers.s1.type", "serializers.s1.name");
    let (plan, problems) = judge_with(&text, &options);
    assert!(problems.is_empty(), "{problems:?}");
    let plan = plan.unwrap();
    let parts = plan.sources[0].interceptors.iter().map(|i| &i.components("serializers")[0]);
    assert_eq!(parts.map(Context::name).collect::<Vec<_>>(), ["s1", "s2"]);
}

#[test]
fn config_filters_give_values() {
    let folder = std::env::temp_dir().join(format!("flumed-wiring-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in [("port", "4711\n"), ("type", "null\n"), ("bad", "hush\n")] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let filter = format!(
        "a.configfilters = f\na.configfilters.f.type = file\na.configfilters.f.directory = {}\n",
        folder.display()
    );
    let with = |port: &str, more: &str| {
        but("a.sources.r.port", &format!("a.sources.r.port = {port}"), &format!("{filter}{more}"))
    };
    let text = with("${f['port']}", "").replace("a.sinks.k.type = logger", "a.sinks.k.type = ${f[type]}");
    let (plan, problems) = judge_with(&text, &RunOptions::default());
    assert_eq!(said(&problems), Vec::<String>::new());
    let plan = plan.unwrap();
    assert_eq!(plan.sources[0].planned.context.int("port"), Some(4711));
    assert_eq!(plan.sinks[0].planned.declared.name, "null");
    expect(&with("${f['bad']}", ""), &["f:6: a.sources.r.port: (hidden) is not a port number"], "c k");
    let (_, problems) =
        judge_with(&with("${f['none']}", "a.configfilters.g.type = env"), &RunOptions::default());
    let all = said(&problems);
    assert!(all[0].starts_with("f:6: a.sources.r.port: ${f['none']} has no value: "), "{all:?}");
    assert_eq!(all[1..], ["f:14: a.configfilters.g: warning: unused: a.configfilters does not list it"]);
    // A filter with a mistake makes one finding, however often it is asked.
    let broken = with("${f['port']}", "").replace("type = file", "type = fiel");
    let (_, problems) = judge_with(&broken, &RunOptions::default());
    assert_eq!(
        said(&problems),
        ["f:12: a.configfilters.f.type: unknown configFilter type 'fiel'; did you mean file?"]
    );
    // The filters of other agents are not asked.
    let other = with("1", "").replace("a.configfilters", "b.configfilters")
        + "b.sources = ${f['port']}\nb.sources.x.type = ${f[bad]}";
    let (_, problems) = judge_with(&other, &RunOptions::default());
    assert_eq!(problems.errors(), 0, "{:?}", said(&problems));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn other_agents_only_warn_and_once() {
    let more = "b.sources = x y\nb.channels = z\nb.gizmo = 1\nlog4j.appender = x\nok.channels = c\nok.sinks = k\n\
                ok.channels.c.type = memory\nok.sinks.k.type = logger\nok.sinks.k.channel = c\nok.sources = s\n\
                ok.sources.s.type = seq\nok.sources.s.channels = c";
    expect(
        &(GOOD.to_owned() + more),
        &[
            "f:11: b: warning: this agent, which is not the one to run, has 3 errors, 2 warnings",
            "f:14: log4j: warning: does not look like an agent: ignored, none of its properties names channels, \
           sources or sinks",
        ],
        "c r k",
    );
}

#[test]
fn own_keys_come_from_the_file_and_the_command_line() {
    let text = GOOD.to_owned() + "a.flumed.stop.deadline = 5\na.flumed.stop.dedline = 5";
    let (plan, problems) = judge_with(&text, &RunOptions::default());
    assert_eq!(
        said(&problems),
        ["f:12: a.flumed.stop.dedline: warning: unknown key of agent agent: ignored; did you mean stop.deadline?"]
    );
    assert_eq!(plan.unwrap().settings.int("stop.deadline"), Some(5));

    let mut options = RunOptions::default();
    options.properties.insert("flumed.stop.deadline".into(), "7".into());
    options.properties.insert("file.encoding".into(), "UTF-8".into());
    let (plan, problems) = judge_with(GOOD, &options);
    assert!(problems.is_empty());
    assert_eq!(plan.unwrap().settings.int("stop.deadline"), Some(7));

    options.properties.insert("flumed.stop.deadline".into(), "soon".into());
    let (plan, problems) = judge_with(&text, &options);
    let first = problems.sorted()[0].clone();
    assert_eq!((first.severity, problems.errors()), (Severity::Error, 1));
    assert_eq!(
        first.to_string(),
        "command line: a.flumed.stop.deadline: 'soon' is not a whole number of seconds"
    );
    assert_eq!(plan.unwrap().settings.int("stop.deadline"), Some(10));
}

/// Any bytes end in findings or a plan, and a plan names nothing that it does not hold.
#[test]
fn damaged_files_do_no_harm() {
    let text = GOOD.to_owned()
        + "a.sources.r.interceptors = i\na.sources.r.interceptors.i.type = static\n\
           a.sources.r.selector.type = multiplexing\na.sources.r.selector.default = c\n\
           a.sinkgroups = g\na.sinkgroups.g.sinks = k\na.sinkgroups.g.processor.type = failover\n";
    let marks = b"\\u=:. \n\r${}#a\xE9\x00c";
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for _ in 0..2000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = marks[random(marks.len())],
                1 => bytes.insert(at, marks[random(marks.len())]),
                _ => drop(bytes.remove(at)),
            }
        }
        let mut problems = Problems::default();
        let plan = load(&[text_of(&bytes)], "a", &RunOptions::default(), &Known, &AGENT, &mut problems);
        assert!(plan.is_some() || problems.errors() > 0, "{}", String::from_utf8_lossy(&bytes));
        if let Some(plan) = plan {
            let has = |c: &String| plan.channels.iter().any(|p| p.name == *c);
            assert!(plan.sources.iter().all(|s| !s.channels.is_empty() && s.channels.iter().all(has)));
            assert!(plan.sinks.iter().all(|s| has(&s.channel)));
            let mut members = plan.sinks.iter().filter_map(|s| Some((&s.planned.name, s.group.as_ref()?)));
            assert!(members.all(|(name, group)| group.sinks.contains(name)));
        }
    }
}
