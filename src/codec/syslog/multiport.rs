//! Messages as multiport_syslogtcp reads them: Flume's `SyslogParser` (reference, wire.md 3.3).
//!
//! ```text
//!   text = "<" int ">" [ "1 " ] ( "-" / Mmm 1*2blank 1*2DIGIT blank hh:mm:ss / 5424-time ) blank host blank body
//! ```
//! Stricter than the other parser in what is a message (else Invalid, the body is the whole text), laxer in its fields: any
//! priority that Java reads as an int, any host without a blank. Times are UTC. As in Flume an RFC 3164 time that is none is 0,
//! and `-` is now; unlike there the year is the nearest, and what raises an error there (an unfinished fraction, a month 13) is
//! Invalid.

use super::parts::{Part, Parts};
use super::stamp::Stamps;
use crate::codec::charset::Charset;
use crate::codec::civil;
use crate::event::Key;

/// What one port's connections have of their own.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    pub charset: Charset,
    /// The header that names the port, and its number.
    pub header: Option<(Key, u16)>,
    /// Those that this parser writes with a capital.
    pub priority: Key,
    pub version: Key,
}

impl Port {
    pub fn new(charset: Charset, header: Option<(Key, u16)>) -> Port {
        // Names of our own: they always have room.
        let key = |name| Key::intern_own(name).unwrap_or(Key::PRIORITY);
        Port { charset, header, priority: key("Priority"), version: key("Version") }
    }
}

/// Bytes of `Mmm dd hh:mm:ss`.
const RFC_3164: usize = 15;
/// Bytes of `YYYY-MM-DDThh:mm:ss`.
const DATE: usize = 19;
/// The most bytes of a priority, with the `>`.
const PRIORITY: usize = 6;

/// Takes a text apart; `None`: it is Invalid.
pub fn parts(text: &[u8], stamps: &mut Stamps, now_ms: u64) -> Option<(i32, Parts)> {
    let rest = text.strip_prefix(b"<")?;
    let close = rest.iter().take(PRIORITY).position(|b| *b == b'>')?;
    let priority: i32 = std::str::from_utf8(&rest[..close]).ok()?.parse().ok()?;
    let mut at = close + 2;
    let version = match text[at..] {
        [b'1', b' ', ..] => Part::new(at, at + 1),
        _ => Part::default(),
    };
    at += 2 * usize::from(!version.is_empty());
    let (len, epoch_ms) = stamp(&text[at..], stamps, now_ms)?;
    let stamp = Part::new(at, at + len);
    let host_from = at + len + 1;
    let host_len = text.get(host_from..)?.iter().position(|b| *b == b' ')?;
    let body_from = (host_from + host_len + 1).min(text.len());
    let parts = Parts {
        priority: Part::new(1, 1 + close),
        version,
        stamp,
        epoch_ms: Some(epoch_ms),
        host: Part::new(host_from, host_from + host_len),
        body_from,
        body_to: text.len(),
    };
    Some((priority, parts))
}

/// The bytes and the moment of the time at the front.
fn stamp(rest: &[u8], stamps: &mut Stamps, now_ms: u64) -> Option<(usize, i64)> {
    match rest.first()? {
        b'-' => Some((1, i64::try_from(now_ms).ok()?)),
        b'A'..=b'Z' => match stamps.rfc3164(rest, now_ms).filter(|s| rest.get(s.len) == Some(&b' ')) {
            Some(stamp) => Some((stamp.len, stamp.epoch_ms.unwrap_or(0))),
            None => (rest.len() > RFC_3164).then_some((RFC_3164, 0)),
        },
        _ => {
            let len = rest.iter().position(|b| *b == b' ')?;
            Some((len, rfc5424(&rest[..len])?))
        }
    }
}

/// A date with a time and a zone; the fraction may have any number of digits.
fn rfc5424(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(DATE)?;
    let number = |at: usize, len: usize| {
        let digits = &date[at..at + len];
        let number = digits.iter().fold(0, |n, d| n * 10 + i64::from(d.wrapping_sub(b'0')));
        digits.iter().all(u8::is_ascii_digit).then_some(number)
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| date[*at] != *mark) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (h, m, s) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let in_range = (1..=12).contains(&month) && (1..=civil::days_in(year, month)).contains(&day);
    if !in_range || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let fraction = match rest {
        [b'.', digits @ ..] => digits.iter().take_while(|d| d.is_ascii_digit()).count() + 1,
        _ => 0,
    };
    if fraction == 1 {
        return None;
    }
    let worth = [100, 10, 1];
    let millis: i64 = rest[..fraction].iter().skip(1).zip(worth).map(|(d, w)| i64::from(d - b'0') * w).sum();
    let offset = match rest[fraction..] {
        [] => return None,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, ..]
            if [h1, h2, m1, m2].iter().all(u8::is_ascii_digit) =>
        {
            let two = |tens: u8, ones: u8| i64::from((tens - b'0') * 10 + ones - b'0');
            let seconds = two(h1, h2) * 3600 + two(m1, m2) * 60;
            if sign == b'+' {
                seconds
            } else {
                -seconds
            }
        }
        [b'+' | b'-', ..] => return None,
        // Z, and whatever else Flume passes over.
        _ => 0,
    };
    Some((civil::naive(year, month, day, h, m, s) - offset) * 1000 + millis)
}
