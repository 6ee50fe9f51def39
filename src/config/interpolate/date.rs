//! A moment as a pattern of `java.text.SimpleDateFormat` shows it, for `${date:pattern}`. Pure; names are English.
//!
//! (`codec::dateformat` reads dates by such patterns, this writes them.)

use crate::codec::civil::{DAYS, MONTHS};
use jiff::Zoned;
use std::fmt::Write;

/// How often a letter may be repeated: numbers are padded to that width.
const WIDEST: usize = 64;

/// The text, or what is wrong with the pattern.
pub fn format(pattern: &str, at: &Zoned) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.next_if_eq(&'\'').is_some() => out.push('\''),
            '\'' => loop {
                match chars.next() {
                    Some('\'') if chars.next_if_eq(&'\'').is_none() => break,
                    Some(c) => out.push(c),
                    None => return Err("a quote is not closed".to_owned()),
                }
            },
            'a'..='z' | 'A'..='Z' => {
                let mut width = 1;
                while chars.next_if_eq(&c).is_some() {
                    width += 1;
                }
                if width > WIDEST {
                    return Err(format!("more than {WIDEST} times {c}"));
                }
                field(&mut out, c, width, at)?;
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn field(out: &mut String, letter: char, width: usize, at: &Zoned) -> Result<(), String> {
    let hour = i64::from(at.hour());
    let number = match letter {
        'G' => return text(out, if at.year() > 0 { "AD" } else { "BC" }),
        'M' | 'L' if width > 2 => {
            return name(out, MONTHS[usize::from(at.month().unsigned_abs()) - 1], width)
        }
        'E' => {
            return name(out, DAYS[usize::from(at.weekday().to_sunday_zero_offset().unsigned_abs())], width)
        }
        'a' => return text(out, if hour < 12 { "AM" } else { "PM" }),
        'z' => return text(out, &at.strftime("%Z").to_string()),
        'Z' => return offset(out, at, "", true),
        'X' if at.offset().seconds() == 0 && width <= 3 => return text(out, "Z"),
        'X' if width <= 3 => return offset(out, at, if width == 3 { ":" } else { "" }, width > 1),
        'X' => return Err("at most three X may follow each other".to_owned()),
        'y' if width == 2 => i64::from(at.year()).rem_euclid(100),
        'y' => i64::from(at.year()),
        'M' | 'L' => i64::from(at.month()),
        'd' => i64::from(at.day()),
        'D' => i64::from(at.day_of_year()),
        'u' => i64::from(at.weekday().to_monday_one_offset()),
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => i64::from(at.minute()),
        's' => i64::from(at.second()),
        'S' => i64::from(at.millisecond()),
        other => return Err(format!("the letter {other} is not supported")),
    };
    // Writing to a String cannot fail.
    let _ = write!(out, "{number:0width$}");
    Ok(())
}

fn text(out: &mut String, what: &str) -> Result<(), String> {
    out.push_str(what);
    Ok(())
}

/// Four letters and more: the whole name; fewer: three of it.
fn name(out: &mut String, whole: &str, width: usize) -> Result<(), String> {
    text(out, if width > 3 { whole } else { &whole[..3] })
}

fn offset(out: &mut String, at: &Zoned, between: &str, has_minutes: bool) -> Result<(), String> {
    let minutes = at.offset().seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    let _ = match has_minutes {
        true => write!(out, "{sign}{hours:02}{between}{minutes:02}"),
        false => write!(out, "{sign}{hours:02}"),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[track_caller]
    fn expect(pattern: &str, expected: &str) {
        // 2003-08-24T05:14:15.003, a Sunday.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let at = jiff::civil::date(2003, 8, 24).at(5, 14, 15, 3_000_000).to_zoned(zone).unwrap();
        assert_eq!(format(pattern, &at).as_deref(), Ok(expected), "{pattern}");
    }

    #[test]
    fn letters() {
        expect("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2003-08-24T05:14:15.003+0200");
        expect("yy/M/d h:m:s.S a G", "03/8/24 5:14:15.3 AM AD");
        expect("EEE EEEE MMM MMMM L u D", "Sun Sunday Aug August 8 7 236");
        expect("X XX XXX z k K", "+02 +0200 +02:00 CEST 5 5");
        expect("'o''clock' '' y yyyyyy", "o'clock ' 2003 002003");
        expect("", "");
        let utc = jiff::civil::date(2024, 1, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap();
        assert_eq!(format("XXX kk hh KK a", &utc).as_deref(), Ok("Z 24 12 00 AM"));
        let noon = jiff::civil::date(2024, 1, 1).at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap();
        assert_eq!(format("kk hh KK a", &noon).as_deref(), Ok("12 12 00 PM"));
    }

    #[test]
    fn wrong_patterns() {
        let now = Zoned::now();
        for pattern in ["'open", "yyyy-ww", "XXXX", "b", &"y".repeat(100_000)] {
            assert!(format(pattern, &now).is_err(), "{pattern}");
        }
    }
}
