//! Patterns of Joda-Time's `DateTimeFormat`, for the Millis serializer of the regex_extractor interceptor.
//!
//! Letters y Y M d D E a H k K h m s S z Z, quoting as in `dateformat`. What differs from there, as in Joda-Time:
//! values must be in range and the whole text must fit; numbers take at most the digits their field can have; `S` is a
//! fraction of a second; `Z` and `ZZ` are an offset or the letter Z, `ZZZ` is a zone's id, `z` one of eleven American
//! and universal names. A date without a year is of 2000, a time without a date of 1970-01-01. A local time that a
//! change of the clock leaves out is none; of two the earlier. A day's name is read and not believed. Names are
//! English, in any case. Other letters are errors when the pattern is read.

use super::civil;
use super::dateformat::{name, pieces, Piece};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

/// What Joda-Time's `z` reads, and the zones it takes them for.
const ZONES: [(&str, &str); 11] = [
    ("UTC", "UTC"),
    ("UT", "UTC"),
    ("GMT", "UTC"),
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("MST", "America/Denver"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
];

/// A pattern ready to read dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JodaFormat(Vec<Piece>);

/// Finds a zone by its id.
pub type FindZone<'a> = &'a dyn Fn(&str) -> Option<TimeZone>;

impl JodaFormat {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<JodaFormat, String> {
        let pieces = pieces(pattern, "yYMdDEaHkKhmsSzZ", is_number)?;
        let names_zone = |p: &Piece| matches!(p, Piece::Field('Z', 4.., _) | Piece::Field('z', 4.., _));
        if pieces.iter().any(names_zone) {
            return Err(format!("{pattern:?}: long names of zones cannot be read; at most ZZZ or zzz"));
        }
        Ok(JodaFormat(pieces))
    }

    /// Milliseconds since the epoch. `zone` is for texts that name none, `find` finds those they name.
    pub fn parse(&self, text: &str, zone: &TimeZone, find: FindZone<'_>, now_ms: u64) -> Option<i64> {
        let mut rest = text;
        let mut date = Date::default();
        for piece in &self.0 {
            rest = match piece {
                Piece::Literal(l) => {
                    let front = rest.get(..l.len())?;
                    front.eq_ignore_ascii_case(l).then(|| &rest[l.len()..])?
                }
                Piece::Field(letter, width, abuts) => {
                    date.read(*letter, *width, *abuts, rest, find, now_ms)?
                }
            };
        }
        if !rest.is_empty() {
            return None;
        }
        date.epoch_ms(zone)
    }
}

/// Whether digits are what such a field begins with: a year in front of it must not take them.
fn is_number(letter: char, width: usize) -> bool {
    match letter {
        'E' | 'a' | 'z' | 'Z' => false,
        'M' => width <= 2,
        _ => true,
    }
}

enum Zone {
    Seconds(i32),
    Named(TimeZone),
}

#[derive(Default)]
struct Date {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    afternoon: bool,
    half_hour: Option<i64>,
    minute: i64,
    second: i64,
    millis: i64,
    zone: Option<Zone>,
}

impl Date {
    /// Reads one field from the front of `text` and returns what follows.
    fn read<'a>(
        &mut self,
        letter: char,
        width: usize,
        abuts: bool,
        text: &'a str,
        find: FindZone<'_>,
        now_ms: u64,
    ) -> Option<&'a str> {
        let most = match letter {
            'y' | 'Y' => return self.read_year(width, abuts, text, now_ms),
            'M' if width > 2 => {
                let (month, rest) = name(text, &civil::MONTHS)?;
                self.month = Some(month as i64 + 1);
                return Some(rest);
            }
            'E' => return Some(name(text, &civil::DAYS)?.1),
            'a' => {
                let (half, rest) = name(text, &["AM", "PM"])?;
                self.afternoon = half == 1;
                return Some(rest);
            }
            'z' | 'Z' => {
                let (zone, rest) = match (letter, width) {
                    ('z', _) => zone_named(text, find)?,
                    (_, 3) => zone_with_id(text, find)?,
                    _ => offset(text)?,
                };
                self.zone = Some(zone);
                return Some(rest);
            }
            'S' => {
                let (millis, rest) = fraction(text, width);
                self.millis = millis;
                return Some(rest);
            }
            'D' => 3,
            _ => 2,
        };
        let (value, _, rest) = number(text, most)?;
        let within = |low, high| (low..=high).contains(&value).then_some(value);
        match letter {
            'M' => self.month = Some(within(1, 12)?),
            'd' => self.day = Some(within(1, 31)?),
            'D' => self.day_of_year = Some(within(1, 366)?),
            'H' => self.hour = Some(within(0, 23)?),
            'k' => self.hour = Some(within(1, 24)? % 24),
            'K' => self.half_hour = Some(within(0, 11)?),
            'h' => self.half_hour = Some(within(1, 12)? % 12),
            'm' => self.minute = within(0, 59)?,
            _ => self.second = within(0, 59)?,
        }
        Some(rest)
    }

    /// `yy` is within 80 years before and 19 after now, unless it has other than two digits and no number follows.
    fn read_year<'a>(&mut self, width: usize, abuts: bool, text: &'a str, now_ms: u64) -> Option<&'a str> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) if width != 2 || !abuts => (-1, rest),
            _ => (1, text),
        };
        let most = if abuts { width } else { 9 };
        let (value, length, rest) = number(digits, most)?;
        let first = civil::year(now_ms) - 80;
        self.year = Some(match (width, length) {
            (2, 2) if sign > 0 => first + (value - first).rem_euclid(100),
            (2, _) if abuts => return None,
            _ => sign * value,
        });
        Some(rest)
    }

    fn epoch_ms(&self, zone: &TimeZone) -> Option<i64> {
        let has_date = self.month.is_some() || self.day.is_some() || self.day_of_year.is_some();
        let year = i16::try_from(self.year.unwrap_or(if has_date { 2000 } else { 1970 })).ok()?;
        let first = jiff::civil::Date::new(year, self.month.unwrap_or(1) as i8, 1).ok()?;
        let date = match (self.day, self.day_of_year) {
            (None, Some(n)) if self.month.is_none() => first.with().day_of_year(n as i16).build().ok()?,
            (day, _) => first.with().day(day.unwrap_or(1) as i8).build().ok()?,
        };
        let half = self.half_hour.map(|h| h + if self.afternoon { 12 } else { 0 });
        let hour = self.hour.or(half).unwrap_or(if self.afternoon { 12 } else { 0 });
        let wall = date.at(hour as i8, self.minute as i8, self.second as i8, self.millis as i32 * 1_000_000);
        let zone = match &self.zone {
            Some(Zone::Seconds(s)) => return instant(Offset::from_seconds(*s).ok()?, wall),
            Some(Zone::Named(zone)) => zone,
            None => zone,
        };
        match zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => instant(offset, wall),
            AmbiguousOffset::Fold { before, .. } => instant(before, wall),
            AmbiguousOffset::Gap { .. } => None,
        }
    }
}

fn instant(offset: Offset, wall: DateTime) -> Option<i64> {
    Some(offset.to_timestamp(wall).ok()?.as_millisecond())
}

/// The number at the front of `text`, of at most that many digits, how many it has, and what follows.
fn number(text: &str, most: usize) -> Option<(i64, usize, &str)> {
    let digits = text.bytes().take(most.min(9)).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, digits, rest))
}

/// Milliseconds of a fraction of at most that many digits; those behind the third do not count.
fn fraction(text: &str, most: usize) -> (i64, &str) {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let padded = number.bytes().map(|b| i64::from(b - b'0')).chain(std::iter::repeat(0));
    (padded.take(3).fold(0, |n, d| n * 10 + d), rest)
}

/// `Z`, `+hh`, `+hhmm`, `+hh:mm`, `+hhmmss` or `+hh:mm:ss`.
fn offset(text: &str) -> Option<(Zone, &str)> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return Some((Zone::Seconds(0), &text[1..])),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let two = |text, most| {
        let (n, 2, rest) = number(text, 2)? else { return None };
        (n <= most).then_some((n, rest))
    };
    let (hours, mut rest) = two(&text[1..], 23)?;
    let mut seconds = hours * 3600;
    let colon = rest.starts_with(':');
    for unit in [60, 1] {
        let more = if colon { rest.strip_prefix(':') } else { Some(rest) };
        let Some(more) = more.filter(|m| colon || m.starts_with(|c: char| c.is_ascii_digit())) else { break };
        let (n, after) = two(more, 59)?;
        seconds += n * unit;
        rest = after;
    }
    Some((Zone::Seconds(sign * seconds as i32), rest))
}

fn zone_named<'a>(text: &'a str, find: FindZone<'_>) -> Option<(Zone, &'a str)> {
    let (name, id) = ZONES.iter().find(|(n, _)| text.starts_with(n))?;
    Some((zone(id, find)?, &text[name.len()..]))
}

fn zone_with_id<'a>(text: &'a str, find: FindZone<'_>) -> Option<(Zone, &'a str)> {
    let belongs = |b: &u8| b.is_ascii_alphanumeric() || b"/_+-".contains(b);
    let (id, rest) = text.split_at(text.bytes().take_while(belongs).count());
    Some((zone(id, find)?, rest))
}

fn zone(id: &str, find: FindZone<'_>) -> Option<Zone> {
    match id {
        "UTC" => Some(Zone::Seconds(0)),
        id => find(id).map(Zone::Named),
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::Random;
    use super::*;

    const NOW: u64 = 1_700_000_000_000; // 2023-11-14

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn find(id: &str) -> Option<TimeZone> {
        match id {
            "Europe/Berlin" => Some(berlin()),
            "America/New_York" => TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").ok(),
            _ => None,
        }
    }

    fn ms(pattern: &str, text: &str) -> Option<i64> {
        JodaFormat::new(pattern).unwrap().parse(text, &TimeZone::UTC, &find, NOW)
    }

    #[test]
    fn each_letter_is_read() {
        let at = Some(1_061_702_055_003); // 2003-08-24T05:14:15.003Z, a Sunday
        for (pattern, text) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2003-08-24T05:14:15.003+0000"),
            ("yyyy-MM-dd't'HH:mm:ss.SSSZZ", "2003-08-23T22:14:15.003-07:00"),
            ("yyyy-MM-dd HH:mm:ss,SSS Z", "2003-8-24 5:14:15,003 Z"),
            ("yyyyMMddHHmmssSSS", "20030824051415003"),
            ("yyMMddHHmmssSSSSSS", "030824051415003999"),
            ("yy/M/d h:m:s.SSS a", "03/8/24 5:14:15.003 am"),
            ("EEE, d MMM yyyy kk:mm:ss.SSS ZZZ", "Sun, 24 Aug 2003 07:14:15.003 Europe/Berlin"),
            ("EEEE MMMM dd yyyy K:mm:ss.SSS a z", "sunday august 24 2003 1:14:15.003 AM EDT"),
            ("[yyyy-DDD] HH''mm'o''clock'ss.SSS", "[2003-236] 05'14o'clock15.003"),
            ("YYYY.MM.dd HH:mm:ss.SSSZ", "2003.08.24 06:44:15.003+01:30:00"),
        ] {
            assert_eq!(ms(pattern, text), at, "{pattern}");
        }
    }

    #[test]
    fn fractions_are_of_a_second() {
        let of = |pattern, text| ms(pattern, text);
        assert_eq!(of("s.S", "1.5"), Some(1500));
        assert_eq!(of("s.SSS", "1.05"), Some(1050));
        assert_eq!(of("s.SSSSSS", "1.000999"), Some(1000));
        assert_eq!(of("s.SSS", "1."), Some(1000));
        assert_eq!(of("s.S", "1.55"), None, "text behind the pattern");
    }

    #[test]
    fn absent_fields_have_jodas_defaults() {
        assert_eq!(ms("HH:mm", "00:01"), Some(60_000));
        assert_eq!(ms("MM-dd", "02-29"), ms("yyyy-MM-dd", "2000-02-29"));
        assert_eq!(ms("D", "60"), ms("yyyy-MM-dd", "2000-02-29"));
        assert_eq!(ms("yyyy", "2003"), ms("yyyy-MM-dd", "2003-01-01"));
        assert_eq!(ms("h a", "12 PM"), Some(12 * 3_600_000));
        assert_eq!(ms("K", "3"), Some(3 * 3_600_000));
        assert_eq!(ms("k", "24"), Some(0));
        assert_eq!(ms("yy", "43"), ms("yyyy", "1943"));
        assert_eq!(ms("yy", "42"), ms("yyyy", "2042"));
        assert_eq!(ms("yy", "2003"), ms("yyyy", "2003"));
        assert_eq!(ms("yyyy", "-1"), ms("yyyy-MM-dd", "-0001-01-01"));
    }

    #[test]
    fn changes_of_the_clock() {
        let format = JodaFormat::new("yyyy-MM-dd HH:mm").unwrap();
        let local = |text| format.parse(text, &berlin(), &find, NOW);
        assert_eq!(local("2023-07-01 12:00"), ms("yyyy-MM-dd HH:mm", "2023-07-01 10:00"));
        assert_eq!(local("2023-10-29 02:30"), ms("yyyy-MM-dd HH:mm", "2023-10-29 00:30"), "the earlier");
        assert_eq!(local("2023-03-26 02:30"), None, "left out");
    }

    #[test]
    fn what_does_not_fit_is_no_date() {
        for (pattern, text) in [
            ("yyyy-MM", "2003/08"),
            ("yyyy-MM-dd", "2023-02-30"),
            ("yyyy-D", "2023-366"),
            ("MM", "13"),
            ("HH", "24"),
            ("mm", "60"),
            ("d", " 1"),
            ("d", ""),
            ("yyyy", "1234567890"),
            ("yyyy", "99999"),
            ("yyMM", "-1"),
            ("MMM", "Foo"),
            ("z", "CET"),
            ("ZZZ", "Europe/Gone"),
            ("Z", "+1"),
            ("Z", "+01:6"),
            ("Z", "+24"),
            ("Z", "+01:0"),
            ("'\u{e4}'", "\u{c4}"),
            ("'ab'", "\u{e4}b"),
        ] {
            assert_eq!(ms(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn unsupported_patterns_are_named() {
        assert!(JodaFormat::new("xxxx-ww").unwrap_err().contains("'x'"));
        assert!(JodaFormat::new("'open").unwrap_err().contains("quote"));
        assert!(JodaFormat::new("zzzz").unwrap_err().contains("zones"));
    }

    #[test]
    fn no_input_panics() {
        let texts: [&[u8]; 3] =
            [b"Sun, 24 Aug 2003 05:14:15.3 EST", b"20030824051415003-0700", b"-03236 Europe/Berlin\xc3\xa4"];
        let patterns = ["EEE, d MMM yyyy kk:mm:ss.S z", "yyyyMMddHHmmssSSSZ", "yyD ZZZ'\u{e4}'"];
        let formats = patterns.map(|p| JodaFormat::new(p).unwrap());
        let mut random = Random(3);
        for round in 0..6000 {
            let text = random.mutate(&texts);
            let text = String::from_utf8_lossy(&text);
            let _ = formats[round % 3].parse(&text, &berlin(), &find, NOW);
        }
    }
}
