//! Chains of interceptors between a source and a file: order, headers, what is filtered, what is refused.

use crate::util::{flumed, Conf, Folder};

/// A netcat source with these keys, and files that show headers.
fn shown(keys: &[&str]) -> Conf {
    Conf::new().source("r1", "netcat", "c1", keys).channel("c1", &[]).folder("out").files_later(
        "k1",
        "c1",
        "out",
        &["sink.serializer = HEADER_AND_TEXT"],
    )
}

/// Headers in the order of their names, and the body.
fn sorted(line: &str) -> (String, String) {
    let (headers, body) = line.strip_prefix('{').unwrap().split_once("} ").unwrap();
    let mut headers: Vec<&str> = headers.split(", ").collect();
    headers.sort();
    (headers.join(", "), body.to_owned())
}

#[test]
fn flumes_own_example_runs() {
    let agent = shown(&[
        "interceptors = i1 i2",
        "interceptors.i1.type = org.apache.flume.interceptor.HostInterceptor$Builder",
        "interceptors.i1.preserveExisting = true",
        "interceptors.i1.hostHeader = node",
        "interceptors.i2.type = regex_extractor",
        r"interceptors.i2.regex = ^at=(\\d{4}-\\d{2}-\\d{2} \\d{2}:\\d{2})",
        "interceptors.i2.serializers = s1",
        "interceptors.i2.serializers.s1.type = org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer",
        "interceptors.i2.serializers.s1.name = timestamp",
        "interceptors.i2.serializers.s1.pattern = yyyy-MM-dd HH:mm",
    ])
    .start();
    let mut client = agent.connect("r1");
    assert_eq!(client.ask("at=2026-01-31 10:30 hello"), "OK\n");
    assert_eq!(client.ask("at=2026-02-31 10:30 no such day"), "OK\n");
    let lines = agent.wait_lines("out", 2);
    // The local zone is the machine's: whole minutes, within a day of UTC.
    let (headers, body) = sorted(&lines[0]);
    assert_eq!(body, "at=2026-01-31 10:30 hello");
    let ms: i64 = headers.split("timestamp=").nth(1).unwrap().parse().unwrap();
    assert!(ms % 60_000 == 0 && (ms - 1_769_855_400_000).abs() <= 86_400_000, "{headers}");
    assert!(!lines[1].contains("timestamp="), "{}", lines[1]);
    assert_eq!(agent.metric("SOURCE.r1", "InterceptorFailCount"), 1);
    agent.wait_log("source r1: interceptor i2: \"2026-02-31 10:30\" cannot become header timestamp");
}

#[test]
fn interceptors_run_in_the_order_listed() {
    let agent = shown(&[
        "interceptors = cut take first second drop time id",
        "interceptors.first.type = static",
        "interceptors.first.key = dc",
        "interceptors.first.value = one",
        "interceptors.second.type = org.apache.flume.interceptor.StaticInterceptor",
        "interceptors.second.key = dc",
        "interceptors.second.value = two",
        "interceptors.cut.type = search_replace",
        r"interceptors.cut.searchPattern = \\s*(?<word>secret)=(\\S+)",
        r"interceptors.cut.replaceString = \\ $${word}=\\$",
        "interceptors.take.type = regex_extractor",
        r"interceptors.take.regex = user=(\\w+).*=(\\S+)",
        "interceptors.take.serializers = u s",
        "interceptors.take.serializers.u.name = user",
        "interceptors.take.serializers.s.name = secret",
        "interceptors.time.type = TIMESTAMP",
        "interceptors.time.headerName = at",
        "interceptors.id.type = org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder",
        "interceptors.id.prefix = x-",
        "interceptors.drop.type = remove_header",
        "interceptors.drop.matching = us.r",
    ])
    .start();
    assert_eq!(agent.connect("r1").ask("user=ann   secret=hush rest"), "OK\n");
    let (headers, body) = sorted(&agent.wait_lines("out", 1)[0]);
    assert_eq!(body, "user=ann secret=$ rest");
    let headers: Vec<&str> = headers.split(", ").collect();
    assert_eq!(headers.len(), 4, "{headers:?}");
    assert!(headers[0].strip_prefix("at=").unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(headers[1], "dc=one", "the first stays: static keeps what is there");
    assert!(headers[2].starts_with("id=x-") && headers[2].len() == 5 + 36, "{}", headers[2]);
    assert_eq!(headers[3], "secret=$");
}

#[test]
fn what_is_filtered_is_acknowledged() {
    let mut agent = shown(&[
        "interceptors = keep drop",
        "interceptors.keep.type = regex_filter",
        "interceptors.keep.regex = INFO|DEBUG",
        "interceptors.drop.type = org.apache.flume.interceptor.RegexFilteringInterceptor$Builder",
        "interceptors.drop.regex = ^DEBUG",
        "interceptors.drop.excludeEvents = true",
    ])
    .start();
    let mut client = agent.connect("r1");
    for line in ["DEBUG a", "nothing", "DEBUG b"] {
        assert_eq!(client.ask(line), "OK\n", "all of the batch is filtered");
    }
    assert_eq!(client.ask("an INFO"), "OK\n");
    assert_eq!(agent.wait_lines("out", 1), ["{} an INFO"]);
    assert_eq!(agent.metric("SOURCE.r1", "EventAcceptedCount"), 4);
    assert_eq!(agent.metric("CHANNEL.c1", "EventPutSuccessCount"), 1);
    agent.stop();
    assert_eq!(agent.lines("out").len(), 1);
}

#[test]
fn headers_of_syslog_are_kept_or_replaced() {
    let agent = Conf::new()
        .source(
            "r1",
            "syslogtcp",
            "c1",
            &[
                "interceptors = t h r",
                "interceptors.t.type = timestamp",
                "interceptors.t.preserveExisting = true",
                "interceptors.h.type = static",
                "interceptors.h.key = host",
                "interceptors.h.value = other",
                "interceptors.h.preserveExisting = false",
                "interceptors.r.type = remove_header",
                "interceptors.r.fromList = Facility,Severity, priority , version",
            ],
        )
        .channel("c1", &[])
        .folder("out")
        .files_later("k1", "c1", "out", &["sink.serializer = HEADER_AND_TEXT"])
        .start();
    agent.connect("r1").send("<165>1 2003-10-11T22:14:15.003Z host1 app - - - the message\n");
    let (headers, body) = sorted(&agent.wait_lines("out", 1)[0]);
    assert_eq!(headers, "host=other, timestamp=1065910455003");
    assert_eq!(body, "app - - - the message");
}

#[test]
fn mistakes_are_refused_with_file_line_and_key() {
    let folder = Folder::new();
    let text = r"a1.sources = r1
a1.channels = c1
a1.channels.c1.type = memory
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.sources.r1.interceptors = i1 i2 i3 i4
a1.sources.r1.interceptors.i1.type = regex_filter
a1.sources.r1.interceptors.i1.regex = ok(?!x)
a1.sources.r1.interceptors.i2.type = search_replace
a1.sources.r1.interceptors.i2.searchPattern = (\\d)
a1.sources.r1.interceptors.i2.replaceString = $2
a1.sources.r1.interceptors.i3.type = regex_extractor
a1.sources.r1.interceptors.i3.regex = (a)\\1
a1.sources.r1.interceptors.i3.serializers = s1
a1.sources.r1.interceptors.i3.serializers.s1.nmae = x
a1.sources.r1.interceptors.i4.type = org.apache.flume.sink.solr.morphline.MorphlineInterceptor$Builder
";
    std::fs::write(folder.path("a1.conf"), text).unwrap();
    let (code, out, _) = flumed(&folder.path(""), &["check", "-n", "a1", "-f", "a1.conf"]);
    let found: Vec<&str> = out.lines().filter(|l| l.contains(".interceptors.")).collect();
    let unusable = "not a usable regular expression:";
    let expected = [
        format!("a1.conf:10: a1.sources.r1.interceptors.i1.regex: {unusable} look-ahead (?! at character 3 is not supported"),
        "a1.conf:13: a1.sources.r1.interceptors.i2.replaceString: there is no group 2".to_owned(),
        format!("a1.conf:15: a1.sources.r1.interceptors.i3.regex: {unusable} the back-reference \\1 at character 4 is not supported"),
        "a1.conf:16: a1.sources.r1.interceptors.i3.serializers.s1.name: required key is missing; header to set".to_owned(),
        "a1.conf:17: a1.sources.r1.interceptors.i3.serializers.s1.nmae: warning: unknown key of extractorSerializer DEFAULT: ignored; did you mean name?".to_owned(),
        "a1.conf:18: a1.sources.r1.interceptors.i4.type: interceptor type org.apache.flume.sink.solr.morphline.MorphlineInterceptor$Builder is not supported by flumed: morphlines run in a JVM only".to_owned(),
    ];
    assert_eq!((code, found), (Some(2), expected.iter().map(String::as_str).collect()), "{out}");
}
