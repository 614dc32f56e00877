//! Moments as operators write and read them: UTC, in the proleptic Gregorian calendar.

use std::time::SystemTime;

use accounts::UnixTime;

const DAY: i64 = 86_400;

/// The present moment.
pub(crate) fn now() -> UnixTime {
    UnixTime::from(SystemTime::now())
}

/// `2027-01-31` (its first second), `2027-01-31T18:30:00Z`, or `+30d` and `+12h` from `now`.
pub(crate) fn parse(text: &str, now: UnixTime) -> Option<UnixTime> {
    if let Some(span) = text.strip_prefix('+') {
        let (digits, unit) = match span.strip_suffix('d') {
            Some(days) => (days, DAY),
            None => (span.strip_suffix('h')?, 3600),
        };
        let seconds = i64::from(digits_of(digits, 1..=6)?).checked_mul(unit)?;
        return now.0.checked_add(seconds).map(UnixTime);
    }
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time.strip_suffix('Z')?)),
        None => (text, None),
    };
    let days = days_of(date)?;
    let seconds = time.map_or(Some(0), seconds_of)?;
    Some(UnixTime(days * DAY + seconds))
}

/// `2027-01-31T18:30:00Z`.
pub(crate) fn shown(moment: UnixTime) -> String {
    let (days, seconds) = (moment.0.div_euclid(DAY), moment.0.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `3 d 4 h`, `4 h 5 min`, `5 min 6 s`: the two largest units.
pub(crate) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / DAY, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn days_of(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = digits_of(parts.next()?, 4..=4)?;
    let month = digits_of(parts.next()?, 2..=2)?;
    let day = digits_of(parts.next()?, 2..=2)?;
    if parts.next().is_some() {
        return None;
    }
    let days = count(i64::from(year), i64::from(month), i64::from(day));
    // A date that does not exist, such as the 30th of February, comes back as another.
    (date_of(days) == (i64::from(year), i64::from(month), i64::from(day))).then_some(days)
}

fn seconds_of(time: &str) -> Option<i64> {
    let mut parts = time.split(':');
    let hour = digits_of(parts.next()?, 2..=2)?;
    let minute = digits_of(parts.next()?, 2..=2)?;
    let second = parts.next().map_or(Some(0), |text| digits_of(text, 2..=2))?;
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_time.then_some(i64::from(hour * 3600 + minute * 60 + second))
}

fn digits_of(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Days from 1970-01-01, with years that begin in March, so that the leap day is the last.
fn count(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    // 400 years have 146,097 days; a first guess is at most a year too late or too early.
    let mut year = 1970 + days.div_euclid(146_097) * 400 + days.rem_euclid(146_097) * 400 / 146_097;
    while count(year, 1, 1) > days {
        year -= 1;
    }
    while count(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| count(year, *month, 1) <= days).unwrap_or(1);
    (year, month, days - count(year, month, 1) + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_000_000_000);

    /// By date(1): `date -u -d 2000-02-29 +%s`.
    const KNOWN: [(&str, i64); 6] = [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", -1),
        ("2000-02-29T00:00:00Z", 951_782_400),
        ("2001-09-09T01:46:40Z", 1_000_000_000),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ];

    #[test]
    fn moments_are_those_of_date() {
        for (text, seconds) in KNOWN {
            assert_eq!(parse(text, NOW), Some(UnixTime(seconds)), "{text}");
            assert_eq!(shown(UnixTime(seconds)), text);
        }
        assert_eq!(parse("2000-02-29", NOW), Some(UnixTime(951_782_400)));
        assert_eq!(parse("2000-02-29 00:01Z", NOW), Some(UnixTime(951_782_460)));
        assert_eq!(parse("+2d", NOW), Some(UnixTime(1_000_172_800)));
        assert_eq!(parse("+3h", NOW), Some(UnixTime(1_000_010_800)));
    }

    #[test]
    fn every_day_comes_back() {
        for days in (-1_000_000..1_000_000).step_by(17) {
            let (year, month, day) = date_of(days);
            assert_eq!(count(year, month, day), days);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "never",
            "2027",
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-01-00",
            "27-01-01",
            "2027-01-01T24:00:00Z",
            "2027-01-01T10:00:00",
            "2027-01-01T10:60Z",
            "2027-1-1",
            "+d",
            "+1",
            "+1w",
            "+-1d",
            "2027-01-01T10:00:00:00Z",
            "tomorrow",
            "2027-01-01-01",
            "+1234567d",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!(span(-5), "0 min 0 s");
        assert_eq!(span(65), "1 min 5 s");
        assert_eq!(span(7_260), "2 h 1 min");
        assert_eq!(span(90_000), "1 d 1 h");
    }
}
