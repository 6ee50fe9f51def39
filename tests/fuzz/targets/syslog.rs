//! The syslog decoders, of streams and of datagrams: recorded messages, all settings.

use super::{choices, choose, chosen, files_of, tree, Signature, Target, Verdict};
use crate::{feed, mutate};
use flumed::codec::charset::Charset;
use flumed::codec::syslog::{Client, KeepFields, OwnFormat, Port, Settings, Structured, SyslogDecoder};
use flumed::codec::{BatchLimits, Chunk};
use flumed::event::{Batch, Key};
use jiff::tz::TimeZone;
use std::sync::{Arc, LazyLock};

pub static STREAM: Target = Target {
    name: "syslog",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 1 << 20),
    run: stream,
};

pub static DATAGRAM: Target = Target { name: "syslog-datagram", run: datagram, ..STREAM };

pub static MULTIPORT: Target = Target { name: "syslog-multiport", run: multiport, ..STREAM };

const WORDS: &[&str] = &[
    "<13>",
    "<0>",
    "<191>",
    "<999>",
    "<34>1 ",
    "\n",
    "\r\n",
    "<",
    ">",
    " - ",
    "2026-02-29T23:59:60.123456+02:00 ",
    "1985-04-12T23:20:50.52Z ",
    "2003-08-24T05:14:15.000003-07:00 ",
    "Feb 29 23:59:60 ",
    "Oct  1 22:14:15 ",
    "Dec 31 00:00:00 ",
    "host ",
    "12 <",
    "40 <34>1 - h ",
    "999999999 ",
    "app[1]: ",
    "[id x=\"]\"]",
    "\u{feff}",
];

fn seeds() -> Vec<Vec<u8>> {
    let own = [
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8\n",
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed\n",
        "<165>1 - - - - - -\nno priority\n<13>\n<\n",
        "24 <34>1 - h in a\nframe of<13>Oct  1 22:14:15 h 5 <1>x",
        "<165>1 - h a b c [x y=\"1\\\"\" z=\"\"] \u{feff}text\n",
        "host1 2026-01-31 10:30:15 <13> body of its own form\n",
    ];
    let recorded = files_of(&tree("tests/data/syslog"), ".bin");
    let texts = recorded.into_iter().chain(own.map(|t| t.as_bytes().to_vec()));
    // Three choices of settings for each.
    chosen(texts.flat_map(|t| [t.clone(), t.clone(), t]))
}

static FORMATS: LazyLock<Vec<Option<OwnFormat>>> = LazyLock::new(|| {
    let own = |regex, search, replace, date| {
        Some(OwnFormat::new(regex, search, replace, date).expect("a format that is right"))
    };
    vec![
        None,
        None,
        own(r"(\S+)?() ?(\S+ \S+) (.*?) ?(.*)", None, None, Some("yyyy-MM-dd HH:mm:ss")),
        own(
            "<(\\d+)>(\\d?) *([^ ]+) ([^ ]+) (.*)$",
            Some("T"),
            Some(" $0$0"),
            Some("yyyy-MM-dd' 'HH:mm:ss.SSSX"),
        ),
        own("((((.*)))).*(x?)", None, None, None),
    ]
});

fn settings(chosen: [u8; 4]) -> (Arc<Settings>, Client) {
    let keep = ["none", "all", "priority version", "timestamp", "hostname priority", "version timestamp"];
    let format = &FORMATS[usize::from(chosen[1] >> 2) % FORMATS.len()];
    let zones = [TimeZone::UTC, zone("Europe/Berlin"), zone("America/St_Johns"), zone("Asia/Kolkata")];
    let settings = Settings {
        event_size: choose(chosen[0], &[2500, 10, 64, 1 << 16]),
        keep_fields: KeepFields::parse(keep[usize::from(chosen[0] >> 2) % keep.len()]),
        format: format.clone(),
        zone: zones[usize::from(chosen[1]) % zones.len()].clone(),
        structured: choose(chosen[2] >> 2, &[Structured::Body, Structured::Headers, Structured::Both]),
        names: Arc::default(),
        port: None,
    };
    let one = |key: Option<Key>, value: &str| key.map(|k| (k, value.to_owned()));
    let client = match chosen[2] % 4 {
        0 => Client::default(),
        1 => Client { ip: one(Key::intern("ip"), "192.0.2.7"), host: one(Some(Key::HOST), "client.example") },
        2 => Client { ip: one(Some(Key::TIMESTAMP), "::1"), host: one(Some(Key::TIMESTAMP), "a") },
        _ => Client { ip: None, host: one(Some(Key::FACILITY), "") },
    };
    (Arc::new(settings), client)
}

fn zone(id: &str) -> TimeZone {
    TimeZone::get(id).unwrap_or(TimeZone::UTC)
}

/// A fixed now: the end of a leap day, where years are guessed.
const NOW_MS: u64 = 1_709_251_199_000;

fn stream(input: &[u8]) -> Verdict {
    let (chosen, text) = choices(input);
    let (settings, client) = settings(chosen);
    let make = || {
        let mut d = SyslogDecoder::new(settings.clone(), client.clone());
        move |c: &Chunk<'_>, eof: bool, l: BatchLimits, b: &mut Batch| d.decode(c, eof, NOW_MS, l, b)
    };
    let limits = BatchLimits { events: choose(chosen[3], &[100, 1, 7]), bytes: 1 << 20 };
    feed::agree(make, text, limits, feed::LINES)
}

fn multiport(input: &[u8]) -> Verdict {
    let (chosen, text) = choices(input);
    let (settings, client) = settings(chosen);
    let charset = choose(chosen[2] >> 4, &["UTF-8", "ISO-8859-1", "US-ASCII", "Shift_JIS"]);
    let header = (chosen[3] & 8 == 8).then_some((Key::HOST, 5140));
    let port = Charset::named(charset).map(|charset| Port::new(charset, header));
    let settings = Arc::new(Settings { port, ..(*settings).clone() });
    let make = || {
        let mut d = SyslogDecoder::new(settings.clone(), client.clone());
        move |c: &Chunk<'_>, eof: bool, l: BatchLimits, b: &mut Batch| d.decode(c, eof, NOW_MS, l, b)
    };
    let limits = BatchLimits { events: choose(chosen[3], &[100, 1, 7]), bytes: 1 << 20 };
    feed::agree(make, text, limits, feed::LINES)
}

fn datagram(input: &[u8]) -> Verdict {
    let (chosen, text) = choices(input);
    let (settings, client) = settings(chosen);
    let mut decoder = SyslogDecoder::new(settings, client);
    let mut batch = Batch::new();
    let mut s = Signature::default();
    for _ in 0..2 {
        let before = batch.len();
        let is_event = decoder.datagram(text, NOW_MS, &mut batch).is_ok();
        if batch.len() != before + usize::from(is_event) {
            return Err("does not put the one event that it tells of".to_owned());
        }
    }
    for e in batch.iter().take(1) {
        s.count(e.body().len());
        for (key, _) in e.headers() {
            s.exact(key.name());
        }
        if batch.iter().any(|other| feed::hash_of(&other) != feed::hash_of(&e)) {
            return Err("carries something over to the next datagram".to_owned());
        }
    }
    Ok(s)
}
