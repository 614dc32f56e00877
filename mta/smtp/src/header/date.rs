//! Dates as headers write them (RFC 5322 section 3.3), in UTC.
//!
//! Runs in the receiver of the mta. Time is an argument: nothing here reads a clock.

use std::fmt;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: u64 = 86_400;

/// Seconds since the beginning of 1970, not counting leap seconds; printed as `Sun, 22 Nov 2026 19:20:36 +0000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / DAY, self.0 % DAY);
        let weekday = DAYS.iter().cycle().nth(usize::from((days % 7) as u8)).unwrap_or(&"Thu");
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{weekday}, {day} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Year, month and day of a day since 1970.
fn civil(days: u64) -> (u64, &'static str, u64) {
    // The calendar repeats every 400 years, of 146,097 days.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    for (month, name) in MONTHS.iter().enumerate() {
        let days = match month {
            1 => length(year) - 337,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if left < days {
            return (year, name, left + 1);
        }
        left -= days;
    }
    (year, "Dec", 31)
}

/// Days of a year.
fn length(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -R -d @…`.
        let cases = [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 +0000"),
            (1_795_375_236, "Sun, 22 Nov 2026 19:20:36 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 +0000"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(Date(seconds).to_string(), expected);
        }
        assert!(Date(u64::MAX).to_string().ends_with("+0000"));
    }
}
