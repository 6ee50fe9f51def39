use super::super::feed::{every_cut, pieces, Random, Seen};
use super::*;
use crate::codec::charset::Charset;
use crate::event::Buffer;

const WIDE: BatchLimits = BatchLimits { events: 1000, bytes: 1 << 20 };
/// 2023-11-14T22:13:20Z
const NOW: u64 = 1_700_000_000_000;

pub fn settings() -> Settings {
    Settings {
        event_size: 2500,
        keep_fields: KeepFields::None,
        format: None,
        zone: TimeZone::UTC,
        structured: Structured::Body,
        names: Arc::default(),
        port: None,
    }
}

fn decoder(
    settings: &Settings,
    client: Client,
    limits: BatchLimits,
) -> impl FnMut(&Chunk<'_>, bool, &mut Batch) -> Decoded {
    let mut syslog = SyslogDecoder::new(Arc::new(settings.clone()), client);
    move |chunk, eof, batch| syslog.decode(chunk, eof, NOW, limits, batch)
}

/// The events of a stream, fed in every way, by large and by small batches.
fn stream(settings: &Settings, input: &[u8]) -> Vec<Seen> {
    let (seen, fault) = every_cut(|| decoder(settings, Client::default(), WIDE), input);
    for limits in [BatchLimits { events: 1, bytes: 1 << 20 }, BatchLimits { events: 9, bytes: 1 }] {
        assert_eq!(every_cut(|| decoder(settings, Client::default(), limits), input).0, seen);
    }
    assert_eq!(fault, None);
    seen
}

/// The only event of a stream of one line.
fn one(settings: &Settings, line: &[u8]) -> Seen {
    let mut seen = stream(settings, &[line, b"\n"].concat());
    assert_eq!(seen.len(), 1, "{line:?}");
    seen.remove(0)
}

fn event(body: &[u8], headers: &[(&str, &str)]) -> Seen {
    let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Seen { body: body.to_vec(), headers }
}

fn invalid(body: &[u8]) -> Seen {
    event(body, &[("Facility", "0"), ("Severity", "0"), ("flume.syslog.status", "Invalid")])
}

/// An event of priority 34 that matched no pattern.
fn unmatched(body: &[u8]) -> Seen {
    event(body, &[("Facility", "4"), ("Severity", "2")])
}

fn berlin() -> Settings {
    Settings { zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(), ..settings() }
}

/// The timestamp header of a line with this stamp.
fn timestamp(settings: &Settings, stamp: &str) -> Option<String> {
    let seen = one(settings, format!("<34>1 {stamp} host x").as_bytes());
    assert_eq!(seen.body, b"x", "{stamp}");
    assert_eq!(seen.header("host"), Some("host"));
    seen.header("timestamp").map(str::to_owned)
}

#[test]
fn rfc_3164_is_taken_apart() {
    let want = event(
        b"su: x",
        &[
            ("Facility", "4"),
            ("Severity", "2"),
            ("priority", "34"),
            ("timestamp", "1697062455000"),
            ("host", "mymachine"),
        ],
    );
    assert_eq!(one(&settings(), b"<34>Oct 11 22:14:15 mymachine su: x"), want);
    assert_eq!(one(&settings(), b"<34>\tOct  11 22:14:15 mymachine su: x"), want);
    let versioned = one(&settings(), b"<34>1Oct 11 22:14:15 mymachine su: x");
    assert_eq!(versioned.header("version"), Some("1"));
}

#[test]
fn rfc_5424_is_taken_apart() {
    let want = event(
        b"myproc x",
        &[
            ("Facility", "20"),
            ("Severity", "5"),
            ("priority", "165"),
            ("version", "1"),
            ("timestamp", "1061727255000"),
            ("host", "192.0.2.1"),
        ],
    );
    assert_eq!(one(&settings(), b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc x"), want);
    let want = event(
        b"su x",
        &[
            ("Facility", "4"),
            ("Severity", "2"),
            ("priority", "34"),
            ("version", "1"),
            ("timestamp", "1065910455003"),
            ("host", "mymachine.example.com"),
        ],
    );
    assert_eq!(one(&settings(), b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su x"), want);
}

#[test]
fn version_and_blank_are_optional() {
    for (line, version) in [
        (&b"<34>1 2003-10-11T22:14:15Z h x"[..], Some("1")),
        (b"<34>12003-10-11T22:14:15Z h x", Some("1")),
        (b"<34>2003-10-11T22:14:15Z h x", None),
        (b"<34> 2003-10-11T22:14:15Z h x", None),
        (b"<34>1- h x", Some("1")),
        (b"<34>- h x", None),
    ] {
        let seen = one(&settings(), line);
        assert_eq!((&seen.body[..], seen.header("host")), (&b"x"[..], Some("h")), "{line:?}");
        assert_eq!(seen.header("version"), version);
    }
    assert_eq!(one(&settings(), b"<34>12 - h x"), unmatched(b"<34>12 - h x"));
}

#[test]
fn nil_values_give_no_header() {
    let base = [("Facility", "4"), ("Severity", "2"), ("priority", "34"), ("version", "1")];
    assert_eq!(one(&settings(), b"<34>1 - - x"), event(b"x", &base));
    let host = [&base[..], &[("host", "h")]].concat();
    assert_eq!(one(&settings(), b"<34>1 - h - - x"), event(b"- - x", &host));
    let time = [&base[..], &[("timestamp", "1065910455000")]].concat();
    assert_eq!(one(&settings(), b"<34>1 2003-10-11T22:14:15Z - x"), event(b"x", &time));
}

#[test]
fn lines_of_neither_form_are_bodies() {
    for line in [
        &b"<34>"[..],
        b"<34>x",
        b"<34>1  2003-10-11T22:14:15Z h x",
        b"<34>1 2003-10-11t22:14:15Z h x",
        b"<34>1 2003-10-11T22:14:15z h x",
        b"<34>1 2003-10-11T22:14:15.1234567Z h x",
        b"<34>1 2003-10-11T22:14:15.Z h x",
        b"<34>1 2003-10-11T22:14:15Zh x",
        b"<34>1 2003-10-11T22:14:15Z -h x",
        b"<34>1 2003-10-11T22:14:15Z h",
        b"<34>1 2003-10-11T22:14:15Z",
        b"<34>1 2003-10-11T22:14:1",
        b"<34>1 -x h x",
        b"<34>Oct 11 22:14:15 - x",
        b"<34>Oct   11 22:14:15 h x",
        b"<34>Oct11 22:14:15 h x",
        b"<34>OCT 11 22:14:15 h x",
        b"<34>Oct 11 22:14:15 su: no host",
        b"<34>Oct 11 22:14:15 su[1]: no host",
        b"<34>Oct 11 2:14:15 h x",
    ] {
        assert_eq!(one(&settings(), line), unmatched(line), "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn hosts_may_be_ipv6() {
    for host in ["a", "_a", "a-b.c@d", "192.0.2.1", "::1", "fe80::1%eth0", "2001:db8::192.0.2.1"] {
        for line in [format!("<34>1 - {host} x"), format!("<34>Oct 11 22:14:15 {host} x")] {
            assert_eq!(one(&settings(), line.as_bytes()).header("host"), Some(host));
        }
    }
    for host in ["a:", "a:b", "::g", "[::1]", "-", ".a", "@", "\u{e4}"] {
        let line = format!("<34>Oct 11 22:14:15 {host} x");
        assert_eq!(one(&settings(), line.as_bytes()).header("host"), None);
    }
}

#[test]
fn crlf_senders_are_understood() {
    let seen = stream(&settings(), b"<34>1 - h x\r\n\r\n<34>raw\r\nbad\r\n<34>1 - h a\rb\r\r\n");
    let bodies: Vec<&[u8]> = seen.iter().map(|s| &s.body[..]).collect();
    assert_eq!(bodies, [&b"x"[..], b"<34>raw", b"bad", b"a\rb\r"]);
    assert_eq!(seen[0].header("host"), Some("h"));
}

#[test]
fn an_empty_rest_leaves_the_whole_line() {
    let seen = one(&settings(), b"<34>1 - h ");
    assert_eq!((&seen.body[..], seen.header("host")), (&b"<34>1 - h "[..], Some("h")));
}

#[test]
fn invalid_priorities_are_marked() {
    for line in
        [&b"<>"[..], b"<1234>", b"<1234>x", b"no priority", b"<3x>1 - h x", b"<", b"<34", b" <34>x", b"\0"]
    {
        assert_eq!(one(&settings(), line), invalid(line));
    }
    for line in [&b"123 <x>1 - h x"[..], b"12<34>x", b"0 <34>x", b"20261126 <34>x", b"12  <34>x", b"7", b"7 "]
    {
        assert_eq!(one(&settings(), line), invalid(line));
    }
    let large = one(&settings(), b"<999>x");
    assert_eq!(large, event(b"<999>x", &[("Facility", "124"), ("Severity", "7")]));
}

#[test]
fn nothing_is_carried_over_to_the_next_event() {
    let seen = stream(&settings(), b"<165>1 - h x\nbad\n<34>raw\n");
    assert_eq!(seen[1..], [invalid(b"bad"), unmatched(b"<34>raw")]);
}

#[test]
fn empty_lines_vanish_and_tails_are_delivered() {
    assert_eq!(stream(&settings(), b""), []);
    assert_eq!(stream(&settings(), b"\n\n\n"), []);
    assert_eq!(stream(&settings(), b"\n<34>a\n\n\n<34>b"), [unmatched(b"<34>a"), unmatched(b"<34>b")]);
    // Flume ends a datagram within the priority without calling it invalid; so do we a stream.
    assert_eq!(stream(&settings(), b"<34"), [unmatched(b"<34")]);
    assert_eq!(stream(&settings(), b"<"), [invalid(b"<")]);
}

#[test]
fn long_lines_are_cut_and_marked() {
    let small = Settings { event_size: 12, ..settings() };
    let incomplete = |body: &[u8]| {
        event(body, &[("Facility", "4"), ("Severity", "2"), ("flume.syslog.status", "Incomplete")])
    };
    assert_eq!(stream(&small, b"<34>1234567\n"), [unmatched(b"<34>1234567")]);
    assert_eq!(stream(&small, b"<34>12345678\n"), [incomplete(b"<34>12345678")]);
    assert_eq!(stream(&small, b"<34>123456789\n"), [incomplete(b"<34>12345678"), invalid(b"9")]);
    assert_eq!(stream(&small, b"<34>12345678\r\n<34>x"), [incomplete(b"<34>12345678"), unmatched(b"<34>x")]);
    assert_eq!(stream(&small, b"0123456789abcdef"), [invalid(b"0123456789ab"), invalid(b"cdef")]);
    let matched = stream(&small, b"<34>1 - h 123\n");
    assert_eq!((&matched[0].body[..], matched[0].header("host")), (&b"12"[..], Some("h")));
    assert_eq!(matched[0].header("flume.syslog.status"), Some("Incomplete"));
    // Ten at least.
    let tiny = Settings { event_size: 1, ..settings() };
    assert_eq!(stream(&tiny, b"<34>12345\n"), [unmatched(b"<34>12345")]);
}

#[test]
fn rfc_5424_times_are_right() {
    for (stamp, want) in [
        ("2003-10-11T22:14:15Z", Some("1065910455000")),
        ("2003-10-11T22:14:15+02:00", Some("1065903255000")),
        ("2003-10-11T22:14:15-02:30", Some("1065919455000")),
        ("2003-10-11T22:14:15", Some("1065903255000")),
        ("2003-10-11T22:14:15.5", Some("1065903255500")),
        ("2003-10-11T22:14:15.5Z", Some("1065910455500")),
        ("2003-10-11T22:14:15.123Z", Some("1065910455123")),
        ("2003-10-11T22:14:15.123987+02:00", Some("1065903255123")),
        ("1969-12-31T23:59:59.999Z", Some("-1")),
        ("2003-13-01T00:00:00Z", Some("1072915200000")),
        ("2003-02-30T00:00:00Z", Some("1046563200000")),
        ("2003-10-11T25:00:00Z", Some("1065920400000")),
        ("9999-99-99T99:99:99Z", Some("253637152839000")),
        ("9999-99-99T99:99:99", None),
        ("-", None),
    ] {
        assert_eq!(timestamp(&berlin(), stamp).as_deref(), want, "{stamp}");
    }
}

#[test]
fn rfc_3164_times_are_local_and_get_a_year() {
    for (stamp, want) in [
        ("Nov 14 22:13:20", civil_ms(2023, 11, 14, 21)),
        ("Nov  1 22:13:20", civil_ms(2023, 11, 1, 21)),
        ("Nov 1 22:13:20", civil_ms(2023, 11, 1, 21)),
        ("Jul 1 22:13:20", civil_ms(2023, 7, 1, 20)),
        // Within a month ahead: a clock that is fast. Beyond it: last year.
        ("Dec 14 22:13:20", civil_ms(2023, 12, 14, 21)),
        ("Dec 15 22:13:20", civil_ms(2022, 12, 15, 21)),
        ("Dec 31 22:13:20", civil_ms(2022, 12, 31, 21)),
        ("Jan 1 22:13:20", civil_ms(2023, 1, 1, 21)),
    ] {
        assert_eq!(timestamp(&berlin(), stamp), Some(want), "{stamp}");
    }
    assert_eq!(timestamp(&berlin(), "Foo 1 22:13:20"), None);
}

#[test]
fn the_year_rule_looks_ahead_at_new_year() {
    let mut syslog = SyslogDecoder::new(Arc::new(settings()), Client::default());
    // 2023-12-31T12:00Z: a time of January 1 is of next year.
    let mut batch = Batch::new();
    syslog.datagram(b"<34>Jan 1 01:00:00 h x", 1_704_024_000_000, &mut batch).unwrap();
    // 2024-01-01T00:30Z: a time of December 31 is of last year.
    syslog.datagram(b"<34>Dec 31 23:00:00 h x", 1_704_069_000_000, &mut batch).unwrap();
    assert_eq!(batch.get(0).header(Key::TIMESTAMP), Some(&b"1704070800000"[..]));
    assert_eq!(batch.get(1).header(Key::TIMESTAMP), Some(&b"1704063600000"[..]));
}

fn civil_ms(year: i64, month: i64, day: i64, hour: i64) -> String {
    (super::super::civil::naive(year, month, day, hour, 13, 20) * 1000).to_string()
}

#[test]
fn keep_fields_is_read_as_flume_does() {
    assert_eq!(KeepFields::parse(" None "), KeepFields::None);
    assert_eq!(KeepFields::parse("FALSE"), KeepFields::None);
    assert_eq!(KeepFields::parse("true"), KeepFields::All);
    assert_eq!(KeepFields::parse("All"), KeepFields::All);
    let some = KeepFields::parse("Priority,xhostnamex");
    assert_eq!(some, KeepFields::Some { priority: true, version: false, timestamp: false, hostname: true });
    let none = KeepFields::Some { priority: false, version: false, timestamp: false, hostname: false };
    assert_eq!(KeepFields::parse("rubbish"), none);
}

#[test]
fn kept_fields_stand_in_front_of_the_message() {
    let body = |keep: &str, line: &[u8]| {
        let settings = Settings { keep_fields: KeepFields::parse(keep), ..settings() };
        let seen = one(&settings, line);
        let plain = one(&self::settings(), line);
        assert_eq!(seen.headers, plain.headers, "headers do not depend on keepFields");
        String::from_utf8(seen.body).unwrap()
    };
    let line = b"<34>1 2003-10-11T22:14:15.5Z host x y";
    let names = "priority version timestamp hostname";
    assert_eq!(body("none", line), "x y");
    assert_eq!(body("all", line).as_bytes(), line);
    assert_eq!(body("rubbish", line), "x y");
    assert_eq!(body(names, line), "<34>1 2003-10-11T22:14:15.5Z host x y");
    assert_eq!(body("hostname priority", line), "<34>host x y");
    assert_eq!(body("version", line), "1 x y");
    assert_eq!(body(names, b"<34>- - x"), "<34>null null x");
    assert_eq!(body(names, b"<34>Oct  1 01:02:03 h x"), "<34>Oct  1 01:02:03 h x");
    assert_eq!(body("priority", b"<34>- h "), "<34>");
    assert_eq!(body("rubbish", b"<34>- h "), "<34>- h ");
    assert_eq!(body(names, b"<34>raw"), "<34>raw");
    assert_eq!(body(names, b"bad"), "bad");
}

#[test]
fn bytes_that_are_no_utf_8_pass_through() {
    assert_eq!(one(&settings(), b"<34>1 - h \xff\0\xe2").body, b"\xff\0\xe2");
    assert_eq!(one(&settings(), "<34>1 - h a\u{85}\u{2028}".as_bytes()).body, "a\u{85}\u{2028}".as_bytes());
    assert_eq!(one(&settings(), b"\xff"), invalid(b"\xff"));
}

#[test]
fn client_headers_come_before_the_status() {
    let client = |ip: &str, host: &str| Client {
        ip: Some((Key::intern(ip).unwrap(), "192.0.2.7".to_owned())),
        host: Some((Key::intern(host).unwrap(), "peer".to_owned())),
    };
    let seen = |client| pieces(decoder(&settings(), client, WIDE), &[b"bad\n<34>- h x\n"]).0;
    let want = [
        ("Facility", "0"),
        ("Severity", "0"),
        ("ip", "192.0.2.7"),
        ("name", "peer"),
        ("flume.syslog.status", "Invalid"),
    ];
    let both = seen(client("ip", "name"));
    assert_eq!(both[0], event(b"bad", &want));
    assert_eq!(both[1].header("name"), Some("peer"));
    // A key of ours has the client's value, once.
    let want =
        [("Facility", "4"), ("Severity", "2"), ("priority", "34"), ("host", "192.0.2.7"), ("n", "peer")];
    assert_eq!(seen(client("host", "n"))[1], event(b"x", &want));
    let want = [("Facility", "4"), ("Severity", "2"), ("priority", "34"), ("host", "h"), ("n", "peer")];
    assert_eq!(seen(client("n", "n"))[1], event(b"x", &want));
}

#[test]
fn an_own_format_is_tried_first() {
    let format = |search, replace, date| {
        let regex = r"<(\d+)>v(\d)? \[(.*?)\] (\S+) (.*)";
        Settings { format: Some(OwnFormat::new(regex, search, replace, date).unwrap()), ..berlin() }
    };
    let line = b"<34>v2 [11/Oct/2003 22-14-15] my:host the text";
    let plain = format(Some("-"), Some(":"), Some("dd/MMM/yyyy HH:mm:ss"));
    let want = [
        ("Facility", "4"),
        ("Severity", "2"),
        ("priority", "34"),
        ("version", "2"),
        ("timestamp", "1065903255000"),
        ("host", "my:host"),
    ];
    assert_eq!(one(&plain, line), event(b"the text", &want));
    assert_eq!(one(&format(None, None, Some("MMM")), line).header("timestamp"), None);
    assert_eq!(one(&format(None, None, None), line).header("timestamp"), None);
    let kept = Settings { keep_fields: KeepFields::parse("timestamp version"), ..plain.clone() };
    assert_eq!(one(&kept, line).body, b"2 11/Oct/2003 22-14-15 the text");
    // The RFCs still hold, and a part of the text is no match.
    assert_eq!(one(&plain, b"<34>1 - h x").header("host"), Some("h"));
    let swapped = format(Some(r"(\d+)/(\w+)"), Some("$2 $1"), Some("MMM dd/yyyy"));
    assert_eq!(one(&swapped, line).header("timestamp"), Some("1065823200000"));
    assert_eq!(one(&plain, b"<34>v2 []"), unmatched(b"<34>v2 []"));
}

#[test]
fn a_datagram_is_one_event() {
    let datagram = |bytes: &[u8]| {
        let small = Settings { event_size: 20, ..settings() };
        let mut batch = Batch::new();
        let result = SyslogDecoder::new(Arc::new(small), Client::default()).datagram(bytes, NOW, &mut batch);
        assert_eq!(result.is_ok(), batch.len() == 1);
        result.map(|()| {
            let e = batch.get(0);
            let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
            let headers = e.headers().map(|(k, v)| (k.name().to_owned(), text(v))).collect();
            Seen { body: e.body().to_vec(), headers }
        })
    };
    for nothing in [&b""[..], b"\n", b"<", b"\n\n<", b"\r\n"] {
        assert_eq!(datagram(nothing), Err(NoEvent), "{nothing:?}");
    }
    assert_eq!(datagram(b"<34>x"), Ok(unmatched(b"<34>x")));
    assert_eq!(datagram(b"\n<34>x\r\nmore\n"), Ok(unmatched(b"<34>x")));
    assert_eq!(datagram(b"<34"), Ok(unmatched(b"<34")));
    assert_eq!(datagram(b"<\n"), Ok(invalid(b"<")));
    assert_eq!(datagram(b"<34>1 - h x").unwrap().header("host"), Some("h"));
    let cut = datagram(b"<34>1 - h 0123456789\nx").unwrap();
    assert_eq!((&cut.body[..], cut.header("flume.syslog.status")), (&b"0123456789"[..], Some("Incomplete")));
}

#[test]
fn one_decoder_serves_many_batches() {
    let mut syslog = SyslogDecoder::new(Arc::new(settings()), Client::default());
    let line = b"<34>1 2003-10-11T22:14:15.003Z h x\n";
    let buffer = Buffer::owned([&line[..], line].concat());
    let limits = BatchLimits { events: 1, ..WIDE };
    let (mut first, mut second) = (Batch::new(), Batch::new());
    let whole = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let decoded = syslog.decode(&whole, false, NOW, limits, &mut first);
    assert_eq!(decoded, Decoded { used: line.len(), then: Then::Full });
    let rest = Chunk { from: line.len(), ..whole };
    syslog.decode(&rest, false, NOW, limits, &mut second);
    let values = |b: &Batch| b.get(0).headers().map(|(_, v)| v.to_vec()).collect::<Vec<_>>();
    assert_eq!(values(&first), values(&second));
    assert_eq!(second.get(0).body().as_ptr(), buffer[buffer.len() - 2..].as_ptr(), "not copied");
}

#[test]
fn no_input_panics() {
    let vectors: [&[u8]; 6] = [
        b"<34>Oct 11 22:14:15 mymachine su: x\n",
        b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc x\n",
        b"<34>1 2003-10-11T22:14:15.003Z fe80::1%eth0 su x\r\n",
        b"<13>- - \n",
        b"<34>v2 [11/Oct/2003 22-14-15] host \xe2\x82 text\n",
        b"<1234>\n\n<>",
    ];
    let own = OwnFormat::new(r"<(\d+)>v(\d) \[(.*?)\] (\S+) (.*)", None, None, Some("dd/MMM/yyyy")).unwrap();
    let mut random = Random(5);
    for round in 0..6000 {
        let input = random.mutate(&vectors);
        let settings = Settings {
            event_size: 10 + random.below(120),
            keep_fields: KeepFields::parse(["none", "all", "priority timestamp hostname"][round % 3]),
            format: (round % 2 == 0).then(|| own.clone()),
            ..berlin()
        };
        let limits = BatchLimits { events: 1 + random.below(4), bytes: random.below(300) };
        let whole = pieces(decoder(&settings, Client::default(), WIDE), &[&input]);
        let parts = pieces(decoder(&settings, Client::default(), limits), &random.split(&input));
        assert_eq!(parts, whole, "{input:?}");
        let mut batch = Batch::new();
        let _ = SyslogDecoder::new(Arc::new(settings), Client::default()).datagram(&input, NOW, &mut batch);
    }
}

#[test]
fn octets_may_be_counted() {
    let x = |body: &[u8]| {
        event(
            body,
            &[("Facility", "4"), ("Severity", "2"), ("priority", "34"), ("version", "1"), ("host", "h")],
        )
    };
    let frame = |text: &[u8]| [text.len().to_string().as_bytes(), b" ", text].concat();
    let two = [frame(b"<34>1 - h a\nb"), frame(b"<34>1 - h c")].concat();
    assert_eq!(stream(&settings(), &two), [x(b"a\nb"), x(b"c")]);
    // A newline at the end of a frame, or behind it, is none of the message; lines may come between.
    let mixed =
        [&frame(b"<34>1 - h a\r\n")[..], b"\n<34>1 - h b\n", &frame(b"<34>1 - h c"), b"<34>1 - h d"].concat();
    assert_eq!(stream(&settings(), &mixed), [x(b"a"), x(b"b"), x(b"c"), x(b"d")]);
    // What the stream's end cuts off is marked.
    let cut = stream(&settings(), b"40 <34>1 - h a");
    assert_eq!((cut.len(), cut[0].header("flume.syslog.status")), (1, Some("Incomplete")));
    assert_eq!(cut[0].body, b"a");
}

#[test]
fn a_counted_text_that_is_too_long_loses_no_byte_and_no_frame() {
    let small = Settings { event_size: 12, ..settings() };
    let text = b"<34>12345678abcdefghijklmn";
    let input = [format!("{} ", text.len()).as_bytes(), text, b"5 <34>y<34>z\n"].concat();
    let seen = stream(&small, &input);
    let bodies: Vec<&[u8]> = seen.iter().map(|e| &e.body[..]).collect();
    assert_eq!(bodies, [&b"<34>12345678"[..], b"abcdefghijkl", b"mn", b"<34>y", b"<34>z"]);
    let status: Vec<_> = seen.iter().map(|e| e.header("flume.syslog.status")).collect();
    assert_eq!(status, [Some("Incomplete"), Some("Invalid"), Some("Invalid"), None, None]);
    // A count of exactly the size is whole; one that promises gigabytes takes no more than the size.
    assert_eq!(stream(&small, b"12 <34>12345678<34>x\n"), [unmatched(b"<34>12345678"), unmatched(b"<34>x")]);
    assert_eq!(stream(&small, b"9999999 <34>12345678x").len(), 2);
}

fn of_port(charset: &str) -> Settings {
    let header = Some((Key::intern("port").unwrap(), 5140));
    Settings { port: Some(Port::new(Charset::named(charset).unwrap(), header)), ..settings() }
}

#[test]
fn the_multiport_parser() {
    let all = |pri: &str, facility: &str, severity: &str, version: &str, ms: &str, host: &str| {
        let headers = [
            ("Facility", facility),
            ("Severity", severity),
            ("Priority", pri),
            ("Version", version),
            ("timestamp", ms),
            ("host", host),
            ("port", "5140"),
        ];
        headers
            .into_iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect::<Vec<_>>()
    };
    for (line, body, headers) in [
        // wire.md 8, and the rows of 3.3
        (
            "<34>Oct 11 22:14:15 mymachine su: x",
            "su: x",
            all("34", "4", "2", "", "1697062455000", "mymachine"),
        ),
        (
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc x",
            "myproc x",
            all("165", "20", "5", "1", "1061727255000", "192.0.2.1"),
        ),
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su x",
            "su x",
            all("34", "4", "2", "1", "1065910455003", "mymachine.example.com"),
        ),
        ("<34>1 2003-10-11T22:14:15.5+01:30 h x", "x", all("34", "4", "2", "1", "1065905055500", "h")),
        ("<34>1 - - x", "x", all("34", "4", "2", "1", "1700000000000", "-")),
        ("<34>Nov  1 10:00:00 h x", "x", all("34", "4", "2", "", "1698832800000", "h")),
        ("<34>Nov 1 10:00:00 h x", "x", all("34", "4", "2", "", "1698832800000", "h")),
        ("<34>Dec 11 10:00:00 h x", "x", all("34", "4", "2", "", "1702288800000", "h")),
        ("<34>Dec 31 10:00:00 h x", "x", all("34", "4", "2", "", "1672480800000", "h")),
        ("<34>Xxx 11 22:14:15 h x", "x", all("34", "4", "2", "", "0", "h")),
        ("<1234>1 - h x", "x", all("1234", "154", "2", "1", "1700000000000", "h")),
        ("<-1>- h x", "x", all("-1", "0", "-1", "", "1700000000000", "h")),
        ("<34>1 - fe80::1 x", "x", all("34", "4", "2", "1", "1700000000000", "fe80::1")),
        ("<34>1 - h ", "<34>1 - h ", all("34", "4", "2", "1", "1700000000000", "h")),
        ("<34>2 2003-10-11T22:14:15Z h x", "", Vec::new()),
    ] {
        let seen = one(&of_port("UTF-8"), line.as_bytes());
        if headers.is_empty() {
            assert_eq!(seen.header("flume.syslog.status"), Some("Invalid"), "{line}");
            continue;
        }
        assert_eq!((String::from_utf8_lossy(&seen.body).as_ref(), &seen.headers), (body, &headers), "{line}");
    }
}

#[test]
fn what_the_multiport_parser_calls_invalid() {
    for line in [
        "no priority",
        "<>1 - h x",
        "<3x>- h x",
        "<1234567>- h x",
        "<34>",
        "<34>1 ",
        "<34>1 -",
        "<34>1 - h",
        "<34>1 2003-10-11T22:14:15 h x",
        "<34>1 2003-10-11T22:14:15.5 h x",
        "<34>1 2003-10-11T22:14:15. h x",
        "<34>1 2003-13-11T22:14:15Z h x",
        "<34>1 2003-02-29T22:14:15Z h x",
        "<34>1 2003-10-11T24:14:15Z h x",
        "<34>1 2003-10-11T22:14:15+1 h x",
        "<34>Oct 11",
        "<34>1 x h y",
        "<99999999999>- h x",
    ] {
        let want = event(line.as_bytes(), &[("port", "5140"), ("flume.syslog.status", "Invalid")]);
        assert_eq!(one(&of_port("UTF-8"), line.as_bytes()), want, "{line}");
    }
    let all = stream(&of_port("UTF-8"), b"<34>1 - h one\n\n<34>1 - h two\n");
    assert_eq!(
        all.iter().map(|e| &e.body[..]).collect::<Vec<_>>(),
        [b"one", b"two"],
        "an empty line costs nothing"
    );
}

#[test]
fn a_port_has_a_charset() {
    let line = b"<34>1 - h\xf6st b\xf6dy";
    let latin = one(&of_port("ISO-8859-1"), line);
    assert_eq!((&latin.body[..], latin.header("host")), (&b"b\xf6dy"[..], Some("höst")));
    for charset in ["UTF-8", "US-ASCII", "EUC-JP"] {
        let refused = one(&of_port(charset), line);
        assert_eq!(
            (refused.header("flume.syslog.status"), &refused.body[..]),
            (Some("Invalid"), &line[..]),
            "{charset}"
        );
    }
    let sjis = one(&of_port("Shift_JIS"), b"<34>1 - h \x83\x5c");
    assert_eq!(&sjis.body[..], b"\x83\x5c");
    let client = Client { ip: Some((Key::intern("port").unwrap(), "::1".to_owned())), host: None };
    let seen = every_cut(|| decoder(&of_port("UTF-8"), client.clone(), WIDE), b"<34>1 - h x\n").0;
    assert_eq!(seen[0].header("port"), Some("::1"), "the client's value wins, as for other headers");
}

#[test]
fn fields_are_kept_by_the_multiport_parser_too() {
    let line = b"<34>1 2003-10-11T22:14:15.003Z h x y";
    for (keep, want) in [
        ("none", "x y"),
        ("ALL", "<34>1 2003-10-11T22:14:15.003Z h x y"),
        ("true", "<34>1 2003-10-11T22:14:15.003Z h x y"),
        ("false", "x y"),
        ("priority version", "<34>1 x y"),
        ("timestamp,hostname", "2003-10-11T22:14:15.003Z h x y"),
    ] {
        let settings = Settings { keep_fields: KeepFields::parse(keep), ..of_port("UTF-8") };
        assert_eq!(String::from_utf8_lossy(&one(&settings, line).body), want, "{keep}");
    }
    let settings =
        Settings { keep_fields: KeepFields::parse("timestamp hostname priority"), ..of_port("UTF-8") };
    assert_eq!(one(&settings, b"<34>1 - - x").body, b"<34>- - x");
}

#[test]
fn structured_data_may_be_headers() {
    let with = |structured, rest: &str| {
        let line = format!("<165>1 2003-10-11T22:14:15.003Z h {rest}");
        let seen = one(&Settings { structured, ..settings() }, line.as_bytes());
        let headers: Vec<String> = seen.headers[6..].iter().map(|(k, v)| format!("{k}={v}")).collect();
        (String::from_utf8_lossy(&seen.body).into_owned(), headers)
    };
    let rest = r#"evntslog 4711 ID47 [ex@32473 iut="3" src="a \"b\" \\ \] \x"][p@1 iut="4"] a message"#;
    let headers = [
        "appname=evntslog",
        "procid=4711",
        "msgid=ID47",
        "sd.ex@32473.iut=3",
        r#"sd.ex@32473.src=a "b" \ ] \x"#,
        "sd.p@1.iut=4",
    ];
    let headers: Vec<String> = headers.map(str::to_owned).to_vec();
    assert_eq!(with(Structured::Headers, rest), ("a message".to_owned(), headers.clone()));
    assert_eq!(with(Structured::Both, rest), (rest.to_owned(), headers));
    assert_eq!(with(Structured::Body, rest), (rest.to_owned(), Vec::new()));
    assert_eq!(
        with(Structured::Headers, "app - - - \u{feff}größe"),
        ("größe".to_owned(), vec!["appname=app".to_owned()])
    );
    assert_eq!(with(Structured::Headers, "- - - [id] x"), ("x".to_owned(), Vec::new()));
    assert_eq!(
        with(Structured::Headers, r#"- - - [id a="1" a="2"] x"#),
        ("x".to_owned(), vec!["sd.id.a=1".to_owned()])
    );
    for other in [
        "plain text of three",
        "a b c",
        "a b c [x",
        r#"a b c [x y="1] z"#,
        "a b c [x y=1] z",
        "a b c -z",
        "a b c []",
    ] {
        assert_eq!(with(Structured::Headers, other), (other.to_owned(), Vec::new()), "{other}");
    }
    let many: String = (0..70).map(|i| format!(" n{i}=\"v\"")).collect();
    let rest = format!("a b c [x{many}] z");
    assert_eq!(with(Structured::Headers, &rest).0, rest, "more than are taken");
    // Of RFC 5424 only.
    let old =
        one(&Settings { structured: Structured::Headers, ..settings() }, b"<34>Oct 11 22:14:15 h a b c - d");
    assert_eq!(old.body, b"a b c - d");
}
