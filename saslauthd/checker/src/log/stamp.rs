//! The time of a syslog line.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Mmm dd hh:mm:ss` of RFC 3164 §4.1.2, in UTC; the day padded with a space.
pub(super) fn rfc3164(wall: u64) -> String {
    let (days, second) = (wall / 86_400, wall % 86_400);
    let (month, day) = month_and_day(days);
    let name = MONTHS.get(month).copied().unwrap_or("Jan");
    format!("{name} {day:2} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Month from 0 and day from 1 of a day since 1970-01-01, in the Gregorian calendar.
///
/// Counts from 1 March of the year 0, so that the leap day is the last of its year.
fn month_and_day(days: u64) -> (usize, u64) {
    let day_of_era = (days + 719_468) % 146_097;
    let leap_days = day_of_era / 1460 + day_of_era / 146_096;
    let year = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    (usize::try_from((month + 2) % 12).unwrap_or(0), day)
}

#[cfg(test)]
mod tests {
    use super::rfc3164;

    #[test]
    fn known_times() {
        for (wall, text) in [
            (0, "Jan  1 00:00:00"),
            (951_782_400, "Feb 29 00:00:00"),
            (951_868_799, "Feb 29 23:59:59"),
            (1_709_164_800, "Feb 29 00:00:00"),
            (1_709_251_200, "Mar  1 00:00:00"),
            (1_767_225_599, "Dec 31 23:59:59"),
            (4_107_542_400, "Mar  1 00:00:00"),
        ] {
            assert_eq!(rfc3164(wall), text, "{wall}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let day = |days: u64| super::month_and_day(days);
        for days in 0..60_000 {
            let ((month, before), (next, after)) = (day(days), day(days + 1));
            assert!(
                (next == month && after == before + 1) || (after == 1 && next == (month + 1) % 12)
            );
            assert!((1..=31).contains(&before));
        }
    }
}
