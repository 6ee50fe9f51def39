//! What real senders put on the wire, against what is to come of it: tests/data/syslog, where a README tells
//! how both were made.

use super::tests::settings;
use super::*;
use crate::codec::feed::{every_cut, Seen};

macro_rules! recorded {
    ($($name:literal)*) => { [$(($name, include_bytes!(concat!("../../../tests/data/syslog/", $name, ".bin")) as &[u8])),*] };
}

const EXPECTED: &str = include_str!("../../../tests/data/syslog/expected.txt");
const RECORDED: [(&str, &[u8]); 24] = recorded!(
    "logger-tcp-octet-count" "logger-tcp-rfc3164" "logger-tcp-rfc5424" "logger-udp-rfc3164" "logger-udp-rfc5424"
    "python-tcp-plain" "python-tcp-rfc3164" "python-tcp-rfc5424"
    "python-udp-plain" "python-udp-rfc3164" "python-udp-rfc5424"
    "rsyslog-tcp-forward" "rsyslog-tcp-protocol23" "rsyslog-tcp-traditional"
    "rsyslog-tcp-octets-forward" "rsyslog-tcp-octets-protocol23" "syslog-ng-tcp-syslog"
    "rsyslog-udp-forward" "rsyslog-udp-protocol23" "rsyslog-udp-traditional"
    "syslog-ng-tcp-lines" "syslog-ng-tcp-network" "syslog-ng-udp-network" "syslog-ng-udp-syslog"
);
const WIDE: BatchLimits = BatchLimits { events: 1000, bytes: 1 << 20 };

fn stream(bytes: &[u8], now_ms: u64) -> Vec<String> {
    let decoder = || {
        let mut syslog = SyslogDecoder::new(Arc::new(settings()), Client::default());
        move |chunk: &Chunk<'_>, eof, batch: &mut Batch| syslog.decode(chunk, eof, now_ms, WIDE, batch)
    };
    let (seen, fault) = every_cut(decoder, bytes);
    assert_eq!(fault, None);
    seen.iter().map(line).collect()
}

fn datagrams(mut bytes: &[u8], now_ms: u64) -> Vec<String> {
    let mut syslog = SyslogDecoder::new(Arc::new(settings()), Client::default());
    let mut batch = Batch::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let (datagram, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)));
        syslog.datagram(datagram, now_ms, &mut batch).expect("is an event");
        bytes = rest;
    }
    Seen::all(&batch).iter().map(line).collect()
}

/// An event as expected.txt has it.
fn line(event: &Seen) -> String {
    let mut headers: Vec<String> = event.headers.iter().map(|(k, v)| format!("{k}={v}")).collect();
    headers.sort();
    format!("{} | {}", headers.join(" "), String::from_utf8_lossy(&event.body).replace('\0', "\\0"))
}

#[test]
fn events_of_real_senders() {
    let mut files = EXPECTED.split("file ");
    let now_ms = files.next().and_then(|l| l.trim().strip_prefix("now ")).unwrap().parse().unwrap();
    let mut count = 0;
    for file in files {
        let (name, lines) = file.split_once('\n').unwrap();
        let (_, bytes) = RECORDED.iter().find(|(n, _)| *n == name).unwrap();
        let events = if name.contains("-udp-") { datagrams(bytes, now_ms) } else { stream(bytes, now_ms) };
        assert_eq!(events, lines.lines().collect::<Vec<_>>(), "{name}");
        count += 1;
    }
    assert_eq!(count, RECORDED.len());
}
