//! Patterns of `java.text.SimpleDateFormat`, for `format.dateFormat` of the syslog sources.
//!
//! ```text
//!   pattern = *( letters / quoted / other )     letters: a run of one of  y M d E a H k K h m s S z Z X
//!   quoted  = "'" text "'"                      '' is one apostrophe, inside and outside of quotes
//! ```
//!
//! Java's rules are kept where a user can see them: numbers take all digits unless the next field is a
//! number too, blanks before a field are skipped, values out of range roll over, `S` is a count of
//! milliseconds whatever its width, `yy` is within 80 years before and 20 after now, an absent year is
//! 1970, and text behind the pattern is ignored. Names are English. Of zone names only those in `ZONES`
//! are known. Other letters are errors when the pattern is read, not when a date is.

use super::civil;
use jiff::tz::TimeZone;

/// Zone names a date may carry, with their offsets in minutes.
const ZONES: [(&str, i64); 19] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("JST", 540),
];

/// More digits than any field can use; a longer number is no date.
const MAX_DIGITS: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// A letter, its repetitions, and whether digits follow at once, so that it takes exactly that many.
    Field(char, usize, bool),
}

/// A pattern ready to read dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat(Vec<Piece>);

impl DateFormat {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<DateFormat, String> {
        let pieces = pieces(pattern, "yMdEaHkKhmsSzZX", is_number)?;
        if pieces.iter().any(|p| matches!(p, Piece::Field('X', 4.., _))) {
            return Err(format!("{pattern:?}: at most three X"));
        }
        Ok(DateFormat(pieces))
    }

    /// Milliseconds since the epoch. `zone` is for texts that name none.
    pub fn parse(&self, text: &str, zone: &TimeZone, now_ms: u64) -> Option<i64> {
        let mut rest = text;
        let mut date = Date { year: 1970, month: 1, day: 1, ..Date::default() };
        for piece in &self.0 {
            match piece {
                Piece::Literal(l) => rest = rest.strip_prefix(l.as_str())?,
                Piece::Field(letter, width, abuts) => {
                    rest = rest.trim_start_matches([' ', '\t']);
                    let exact = abuts.then_some(*width);
                    rest = date.read(*letter, *width, exact, rest, now_ms)?;
                }
            }
        }
        date.epoch_ms(zone)
    }
}

/// The pieces of a pattern whose fields are of these letters; the form that Java and Joda-Time share.
pub(super) fn pieces(
    pattern: &str,
    letters: &str,
    is_number: fn(char, usize) -> bool,
) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.next_if_eq(&'\'').is_some() => literal(&mut pieces, '\''),
            '\'' => loop {
                match chars.next() {
                    Some('\'') if chars.next_if_eq(&'\'').is_none() => break,
                    Some(c) => literal(&mut pieces, c),
                    None => return Err(format!("{pattern:?} lacks a closing quote")),
                }
            },
            'a'..='z' | 'A'..='Z' => {
                if !letters.contains(c) {
                    return Err(format!("letter {c:?} of {pattern:?} is not supported"));
                }
                let mut width = 1;
                while chars.next_if_eq(&c).is_some() {
                    width += 1;
                }
                if let Some(Piece::Field(before, digits, abuts)) = pieces.last_mut() {
                    *abuts = is_number(*before, *digits) && is_number(c, width);
                }
                pieces.push(Piece::Field(c, width, false));
            }
            other => literal(&mut pieces, other),
        }
    }
    Ok(pieces)
}

fn literal(pieces: &mut Vec<Piece>, c: char) {
    match pieces.last_mut() {
        Some(Piece::Literal(l)) => l.push(c),
        _ => pieces.push(Piece::Literal(c.to_string())),
    }
}

fn is_number(letter: char, width: usize) -> bool {
    match letter {
        'E' | 'a' | 'z' | 'Z' | 'X' => false,
        'M' => width <= 2,
        _ => true,
    }
}

#[derive(Default)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
    /// Of the day, unless `afternoon` says it is of a half.
    hour: i64,
    afternoon: Option<bool>,
    half_hour: Option<i64>,
    minute: i64,
    second: i64,
    millis: i64,
    offset_minutes: Option<i64>,
}

impl Date {
    /// Reads one field from the front of `text` and returns what follows.
    fn read<'a>(
        &mut self,
        letter: char,
        width: usize,
        exact: Option<usize>,
        text: &'a str,
        now_ms: u64,
    ) -> Option<&'a str> {
        match letter {
            'M' if width > 2 => {
                let (month, rest) = name(text, &civil::MONTHS)?;
                self.month = month as i64 + 1;
                return Some(rest);
            }
            'E' => return Some(name(text, &civil::DAYS)?.1),
            'a' => {
                let (half, rest) = name(text, &["AM", "PM"])?;
                self.afternoon = Some(half == 1);
                return Some(rest);
            }
            'z' | 'Z' | 'X' => {
                let (minutes, rest) = offset(letter, width, text)?;
                self.offset_minutes = Some(minutes);
                return Some(rest);
            }
            _ => {}
        }
        let (value, digits, rest) = number(text, exact)?;
        match letter {
            'y' if width <= 2 && digits == 2 => self.year = century(value, now_ms),
            'y' => self.year = value,
            'M' => self.month = value,
            'd' => self.day = value,
            'H' => self.hour = value,
            'k' => self.hour = if value == 24 { 0 } else { value },
            'K' => self.half_hour = Some(value),
            'h' => self.half_hour = Some(if value == 12 { 0 } else { value }),
            'm' => self.minute = value,
            's' => self.second = value,
            _ => self.millis = value,
        }
        Some(rest)
    }

    fn epoch_ms(&self, zone: &TimeZone) -> Option<i64> {
        let hour = match self.half_hour {
            Some(h) => h + if self.afternoon == Some(true) { 12 } else { 0 },
            None => self.hour,
        };
        let naive = civil::naive(self.year, self.month, self.day, hour, self.minute, self.second);
        let seconds = match self.offset_minutes {
            Some(minutes) => naive - minutes * 60,
            None => civil::local(naive, zone)?,
        };
        seconds.checked_mul(1000)?.checked_add(self.millis)
    }
}

/// The number at the front of `text`: of exactly that many digits, or of all there are.
fn number(text: &str, exact: Option<usize>) -> Option<(i64, usize, &str)> {
    let found = text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = exact.map_or(found, |n| n.min(found));
    if digits == 0 || digits > MAX_DIGITS {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, digits, rest))
}

/// The year of two digits that is at most 80 years before this one, or less than 20 after it.
fn century(two: i64, now_ms: u64) -> i64 {
    let first = civil::year(now_ms) - 80;
    first + (two - first).rem_euclid(100)
}

/// Which of these names, whole or by its first three letters, `text` begins with.
pub(super) fn name<'a>(text: &'a str, names: &[&str]) -> Option<(usize, &'a str)> {
    let starts = |with: &str| text.get(..with.len()).is_some_and(|t| t.eq_ignore_ascii_case(with));
    let whole = names.iter().position(|n| starts(n)).map(|i| (i, names[i].len()));
    let (i, len) = whole.or_else(|| {
        let i = names.iter().position(|n| n.len() > 3 && starts(&n[..3]))?;
        Some((i, 3))
    })?;
    Some((i, &text[len..]))
}

/// An offset in minutes: `Z` (`X` only), `+hhmm`, `+hh:mm`, `+hh` (one `X`), `GMT+h:mm` or a zone's name.
fn offset(letter: char, width: usize, text: &str) -> Option<(i64, &str)> {
    if letter == 'X' {
        if let Some(rest) = text.strip_prefix('Z') {
            return Some((0, rest));
        }
        return signed(text, width > 1);
    }
    if let Some(found) = signed(text, true) {
        return Some(found);
    }
    if let Some(found) = text.strip_prefix("GMT").and_then(|rest| signed(rest, true)) {
        return Some(found);
    }
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (zone, rest) = text.split_at(letters);
    let (_, minutes) = ZONES.iter().find(|(n, _)| n.eq_ignore_ascii_case(zone))?;
    Some((*minutes, rest))
}

fn signed(text: &str, has_minutes: bool) -> Option<(i64, &str)> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, digits, rest) = number(&text[1..], Some(2))?;
    if !has_minutes {
        return Some((sign * hours * 60, rest));
    }
    let after = rest.strip_prefix(':').unwrap_or(rest);
    if digits == 1 && after.len() == rest.len() {
        return None;
    }
    let (minutes, 2, rest) = number(after, Some(2))? else { return None };
    Some((sign * (hours * 60 + minutes), rest))
}

#[cfg(test)]
mod tests {
    use super::super::feed::Random;
    use super::*;

    const NOW: u64 = 1_700_000_000_000; // 2023-11-14

    fn ms(pattern: &str, text: &str) -> Option<i64> {
        DateFormat::new(pattern).unwrap().parse(text, &TimeZone::UTC, NOW)
    }

    #[test]
    fn each_letter_is_read() {
        let at = Some(1_061_702_055_003); // 2003-08-24T05:14:15.003Z, a Sunday
        for (pattern, text) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2003-08-24T05:14:15.003+0000"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2003-08-23T22:14:15.003-07:00"),
            ("yyyy-MM-dd'T'HH:mm:ss.SX", "2003-08-24T07:14:15.3+02"),
            ("yyyy-MM-dd HH:mm:ss,S XX", "2003-08-24 05:14:15,3 Z"),
            ("yyyyMMddHHmmssSSS", "20030824051415003"),
            ("yy/M/d h:m:s.S a", "03/8/24 5:14:15.3 AM"),
            ("EEE, d MMM yyyy kk:mm:ss.S z", "Sun, 24 Aug 2003 05:14:15.3 GMT"),
            ("EEEE MMMM dd yyyy K:mm:ss.S a z", "sunday august 24 2003 5:14:15.003 am CEST+"),
            ("MMM d yyyy HH:mm:ss.SSS z", "Aug  24 2003 05:14:15.003 GMT+0:00"),
            ("'on' yyyy.MM.dd 'o''clock' HH''mm ss.SSS", "on 2003.08.24 o'clock 05'14 15.003 and more"),
        ] {
            let want = if text.contains("CEST") { at.map(|t| t - 7_200_000) } else { at };
            assert_eq!(ms(pattern, text), want, "{pattern}");
        }
    }

    #[test]
    fn halves_of_the_day_count_from_twelve() {
        assert_eq!(ms("h a", "12 AM"), Some(0));
        assert_eq!(ms("h a", "12 PM"), Some(12 * 3_600_000));
        assert_eq!(ms("K a", "1 PM"), Some(13 * 3_600_000));
        assert_eq!(ms("k", "24"), Some(0));
    }

    #[test]
    fn java_rules_are_kept() {
        assert_eq!(ms("HH:mm", "00:01"), Some(60_000), "no year: 1970");
        assert_eq!(ms("ss.SSS", "0.5"), Some(5), "a count of milliseconds");
        assert_eq!(ms("yyyy-MM-dd", "2023-02-30"), ms("yyyy-MM-dd", "2023-03-02"));
        assert_eq!(ms("yy", "43"), ms("yyyy", "1943"));
        assert_eq!(ms("yy", "42"), ms("yyyy", "2042"));
        assert_eq!(ms("yyyy", "03"), ms("yyyy", "3"));
    }

    #[test]
    fn the_zone_of_the_agent_is_used_when_the_text_has_none() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let format = DateFormat::new("yyyy-MM-dd HH:mm").unwrap();
        let utc = format.parse("2023-07-01 12:00", &TimeZone::UTC, NOW).unwrap();
        assert_eq!(format.parse("2023-07-01 12:00", &zone, NOW), Some(utc - 7_200_000));
    }

    #[test]
    fn what_does_not_fit_is_no_date() {
        for (pattern, text) in [
            ("yyyy-MM", "2003/08"),
            ("MMM", "Foo"),
            ("d", ""),
            ("d", "99999999999"),
            ("z", "XYZ"),
            ("Z", "+1"),
            ("XXX", "+01"),
            ("yyyy", "\u{e4}"),
            ("MMM", "a\u{e4}"),
        ] {
            assert_eq!(ms(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn unsupported_patterns_are_named() {
        assert!(DateFormat::new("yyyy-DDD").unwrap_err().contains("'D'"));
        assert!(DateFormat::new("'open").unwrap_err().contains("quote"));
        assert!(DateFormat::new("XXXX").is_err());
    }

    #[test]
    fn no_input_panics() {
        let texts: [&[u8]; 2] = [b"Sun, 24 Aug 2003 05:14:15.3 GMT+1:00", b"2003-08-24T05:14:15.003-0700"];
        let patterns = ["EEE, d MMM yyyy kk:mm:ss.S z", "yyyy-MM-dd'T'HH:mm:ss.SSSZ"].map(DateFormat::new);
        let mut random = Random(3);
        for round in 0..4000 {
            let text = random.mutate(&texts);
            let format = patterns[round % 2].as_ref().unwrap();
            let _ = format.parse(&String::from_utf8_lossy(&text), &TimeZone::UTC, NOW);
        }
    }
}
