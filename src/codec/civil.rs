//! Dates as text gives them, to seconds: the arithmetic the decoders need per event.
//!
//! "Naive" seconds count from 1970-01-01T00:00:00 on a wall clock without a zone. Months and days out of
//! range roll over, as a lenient Java calendar does: February 30 is March 1 or 2. Every field is small
//! (a few digits of text), so nothing here can overflow.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::Timestamp;

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Naive seconds of a date and a time of day.
pub fn naive(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> i64 {
    days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year, and in eras of 400 years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// How many days a month has, which is 1 to 12.
pub fn days_in(year: i64, month: i64) -> i64 {
    (naive(year, month + 1, 1, 0, 0, 0) - naive(year, month, 1, 0, 0, 0)) / 86_400
}

/// The moment a wall clock of this zone shows `naive`, in seconds since the epoch. Of two such moments the
/// later one, and in a gap the time the old offset would give: Java's choice. `None` beyond the calendar.
pub fn local(naive: i64, zone: &TimeZone) -> Option<i64> {
    let wall = wall(naive)?;
    Some(zone.to_ambiguous_timestamp(wall).later().ok()?.as_second())
}

/// Naive seconds `months` later, the day clamped to the length of the month.
pub fn plus_months(naive: i64, months: i64) -> Option<i64> {
    let moved = wall(naive)?.checked_add(jiff::Span::new().try_months(months).ok()?).ok()?;
    Some(TimeZone::UTC.to_timestamp(moved).ok()?.as_second())
}

/// The year in UTC of a moment.
pub fn year(epoch_ms: u64) -> i64 {
    let seconds = i64::try_from(epoch_ms / 1000).unwrap_or(i64::MAX);
    wall(seconds).map_or(1970, |w| w.year().into())
}

/// Year, month and day in UTC of a moment; the first day of 1970 beyond the calendar.
pub fn date(epoch_ms: u64) -> (i16, u8, u8) {
    let seconds = i64::try_from(epoch_ms / 1000).unwrap_or(i64::MAX);
    wall(seconds).map_or((1970, 1, 1), |w| (w.year(), w.month() as u8, w.day() as u8))
}

fn wall(naive: i64) -> Option<DateTime> {
    Some(TimeZone::UTC.to_datetime(Timestamp::from_second(naive).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(naive(1970, 1, 1, 0, 0, 0), 0);
        assert_eq!(naive(2003, 8, 24, 5, 14, 15), 1_061_702_055);
        assert_eq!(naive(2000, 2, 29, 0, 0, 0), 951_782_400);
        assert_eq!(naive(1969, 12, 31, 23, 59, 59), -1);
        assert_eq!(days(0, 3, 1), -719_468);
    }

    #[test]
    fn fields_out_of_range_roll_over() {
        assert_eq!(days(2023, 13, 1), days(2024, 1, 1));
        assert_eq!(days(2023, 2, 30), days(2023, 3, 2));
        assert_eq!(days(2023, 0, 1), days(2022, 12, 1));
    }

    #[test]
    fn local_times_follow_javas_choice_around_a_change() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(local(naive(2023, 7, 1, 12, 0, 0), &berlin), Some(naive(2023, 7, 1, 10, 0, 0)));
        // 02:30 happens twice on October 29: the second one.
        assert_eq!(local(naive(2023, 10, 29, 2, 30, 0), &berlin), Some(naive(2023, 10, 29, 1, 30, 0)));
        // 02:30 does not happen on March 26: 03:30 summer time.
        assert_eq!(local(naive(2023, 3, 26, 2, 30, 0), &berlin), Some(naive(2023, 3, 26, 1, 30, 0)));
        assert_eq!(local(i64::MAX, &berlin), None);
    }

    #[test]
    fn months_are_clamped() {
        assert_eq!(plus_months(naive(2023, 3, 31, 1, 0, 0), -1), Some(naive(2023, 2, 28, 1, 0, 0)));
        assert_eq!(year(1_700_000_000_000), 2023);
        assert_eq!(year(u64::MAX), 1970);
    }
}
