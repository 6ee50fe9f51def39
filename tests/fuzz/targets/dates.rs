//! Date patterns, Java's and Joda-Time's, and the texts read with them.
//!
//! An input is two bytes that choose, a pattern, a newline, and a text.

use super::{choices, choose, chosen, Signature, Target, Verdict};
use crate::mutate;
use flumed::codec::dateformat::DateFormat;
use flumed::codec::jodaformat::JodaFormat;
use jiff::tz::TimeZone;

pub static TARGET: Target = Target {
    name: "dates",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 12,
    memory: (64, 1 << 20),
    run,
};

const WORDS: &[&str] = &[
    "yyyy",
    "yy",
    "y",
    "M",
    "MM",
    "MMM",
    "MMMM",
    "dd",
    "D",
    "E",
    "EEEE",
    "a",
    "HH",
    "kk",
    "KK",
    "hh",
    "mm",
    "ss",
    "SSS",
    "SSSSSSSSS",
    "z",
    "Z",
    "ZZ",
    "ZZZ",
    "X",
    "XXX",
    "'",
    "''",
    "'T'",
    "January",
    "Sun",
    "PM",
    "GMT",
    "GMT+01:00",
    "Europe/Berlin",
    "+23:59",
    "-0000",
    "UTC",
    "9999999999",
    "-9999",
    "2024-02-29",
    "02:30:00",
    "\u{e4}",
    "\u{660}",
];

fn seeds() -> Vec<Vec<u8>> {
    chosen([
        "yyyy-MM-dd'T'HH:mm:ss.SSSZ\n2026-03-29T02:30:15.123+0200",
        "EEE, d MMM yyyy hh:mm:ss a z\nSat, 31 Jan 2026 11:59:59 PM GMT",
        "yyyyMMddHHmmss\n20260131103015",
        "yy/D kk:mm ZZZ\n26/366 24:00 Europe/Berlin",
        "MMMM dd, K 'o''clock' XXX\nFebruary 29, 11 o'clock -07:00",
        "\n",
    ])
}

fn run(input: &[u8]) -> Verdict {
    let (chosen, rest) = choices(input);
    let zones = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kolkata"];
    let zone = TimeZone::get(choose(chosen[0], &zones)).map_err(|e| e.to_string())?;
    let now = choose(chosen[1], &[1_709_251_199_000, 0, 253_402_300_799_000, u64::MAX, 1 << 60]);
    let at = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    let (pattern, text) = (String::from_utf8_lossy(&rest[..at]), String::from_utf8_lossy(&rest[at..]));
    let text = text.strip_prefix('\n').unwrap_or(&text);
    let mut s = Signature::default();
    match DateFormat::new(&pattern) {
        Ok(f) => s.exact(f.parse(text, &zone, now).map(|ms| (ms > 0, ms % 1000 == 0))),
        Err(_) => s.exact("no pattern"),
    }
    match JodaFormat::new(&pattern) {
        Ok(f) => {
            let found = f.parse(text, &zone, &|id| TimeZone::get(id).ok(), now);
            s.exact(found.map(|ms| (ms > 0, ms % 1000 == 0)));
        }
        Err(_) => s.exact("no pattern"),
    }
    s.count(pattern.len());
    Ok(s)
}
