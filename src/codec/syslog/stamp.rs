//! Timestamps of RFC 5424 and RFC 3164, with what the last one told us about the next.
//!
//! ```text
//!   5424 = YYYY-MM-DDThh:mm:ss [ "." 1*6DIGIT ] [ "Z" / ( "+" / "-" ) hh:mm ]     capital T and Z
//!   3164 = Mmm 1*2blank 1*2DIGIT blank hh:mm:ss
//! ```
//!
//! RFC 5424, 6.2.3: the fraction is one of a second and the zone counts (Flume ignores the zone beside a
//! fraction). Without a zone it is the agent's. RFC 3164 has no year: it is the current one in UTC, less
//! one if that is more than a month ahead, plus one if it is more than eleven months ago. Fields out of
//! range roll over. Consecutive events mostly share the second, so the last date is kept as bytes and the
//! last local time as seconds: neither digits nor the zone's table are looked at again.

use super::super::civil;
use super::parts::is_blank;
use jiff::tz::TimeZone;

/// Bytes of `YYYY-MM-DDThh:mm:ss`.
const DATE: usize = 19;
const DAY_SECONDS: i64 = 86_400;

pub struct Stamp {
    /// Bytes of the text.
    pub len: usize,
    /// `None`: no such moment, although the form is right.
    pub epoch_ms: Option<i64>,
}

pub struct Stamps {
    zone: TimeZone,
    /// The last date of a RFC 5424 stamp, and its naive seconds.
    date: [u8; DATE],
    naive: i64,
    /// The last naive seconds looked up in `zone`, and their moment.
    local: (i64, Option<i64>),
    /// The last `now_ms` in seconds, and its year.
    year: (u64, i64),
}

impl Stamps {
    pub fn new(zone: TimeZone) -> Stamps {
        let local = (0, civil::local(0, &zone));
        Stamps { zone, date: *b"1970-01-01T00:00:00", naive: 0, local, year: (0, 1970) }
    }

    /// The RFC 5424 stamp at the front of `b`.
    #[inline]
    pub fn rfc5424(&mut self, b: &[u8]) -> Option<Stamp> {
        let date: &[u8; DATE] = b.first_chunk()?;
        if *date != self.date {
            self.naive = naive(date)?;
            self.date = *date;
        }
        let (fraction, millis) = fraction(&b[DATE..])?;
        let at = DATE + fraction;
        let (zone, seconds) = match b[at..] {
            [b'Z', ..] => (1, Some(self.naive)),
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, ..] => {
                let offset = two(h1, h2)? * 3600 + two(m1, m2)? * 60;
                (6, Some(if sign == b'+' { self.naive - offset } else { self.naive + offset }))
            }
            _ => (0, self.local(self.naive)),
        };
        Some(Stamp { len: at + zone, epoch_ms: seconds.map(|s| s * 1000 + millis) })
    }

    /// The RFC 3164 stamp at the front of `b`.
    pub fn rfc3164(&mut self, b: &[u8], now_ms: u64) -> Option<Stamp> {
        let ([_, b'a'..=b'z', b'a'..=b'z'], rest) = b.split_first_chunk()? else { return None };
        let month = civil::MONTHS.iter().position(|m| m.as_bytes()[..3] == b[..3]);
        let blanks = rest.iter().take(2).take_while(|b| is_blank(**b)).count();
        let (day, digits) = match rest[blanks..] {
            _ if blanks == 0 => return None,
            [d1, d2, ..] if d2.is_ascii_digit() => (two(d1, d2)?, 2),
            [d1, ..] => (two(b'0', d1)?, 1),
            [] => return None,
        };
        let at = 3 + blanks + digits;
        let [blank, h1, h2, b':', m1, m2, b':', s1, s2] = *b[at..].first_chunk()? else { return None };
        let (h, m, s) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
        if !is_blank(blank) {
            return None;
        }
        let seconds = month.and_then(|month| {
            let naive = |year| civil::naive(year, month as i64 + 1, day, h, m, s);
            self.near(naive, now_ms)
        });
        Some(Stamp { len: at + 9, epoch_ms: seconds.map(|s| s * 1000) })
    }

    /// The moment of a date without a year, by the year rule.
    fn near(&mut self, naive: impl Fn(i64) -> i64, now_ms: u64) -> Option<i64> {
        let now = i64::try_from(now_ms / 1000).ok()?;
        if self.year.0 != now_ms / 1000 {
            self.year = (now_ms / 1000, civil::year(now_ms));
        }
        let year = self.year.1;
        let this = naive(year);
        let moment = self.local(this)?;
        // A month has at least 28 days, eleven of them at least 334; a day off for zones that change.
        if moment - now > 27 * DAY_SECONDS && self.local(civil::plus_months(this, -1)?)? > now {
            return self.local(naive(year - 1));
        }
        if now - moment > 333 * DAY_SECONDS && self.local(civil::plus_months(this, 11)?)? < now {
            return self.local(naive(year + 1));
        }
        Some(moment)
    }

    #[inline]
    fn local(&mut self, naive: i64) -> Option<i64> {
        if self.local.0 != naive {
            self.local = (naive, civil::local(naive, &self.zone));
        }
        self.local.1
    }
}

/// Naive seconds of `YYYY-MM-DDThh:mm:ss`; `None` if it does not have that form.
fn naive(date: &[u8; DATE]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2] = *date else {
        return None;
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    Some(civil::naive(year, two(o1, o2)?, two(d1, d2)?, two(h1, h2)?, two(m1, m2)?, two(s1, s2)?))
}

/// The length of the fraction at the front of `b` and its whole milliseconds; `None` if it has no digit.
/// A seventh digit is left, and the stamp then fails for want of a blank.
#[inline]
fn fraction(b: &[u8]) -> Option<(usize, i64)> {
    let [b'.', digits @ ..] = b else { return Some((0, 0)) };
    let (mut len, mut millis, mut worth) = (0, 0, 100);
    for d in digits.iter().take(6).take_while(|d| d.is_ascii_digit()) {
        millis += i64::from(d - b'0') * worth;
        worth /= 10;
        len += 1;
    }
    (len > 0).then_some((len + 1, millis))
}

/// The number of two digits.
#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}
