//! One line of a shadow file: nine fields, and what their dates say of the account.
//!
//! Runs in the checker. Pure: bytes and a day in, values out. It trusts no byte of the line; a line that is not
//! exactly as shadow(5) has it belongs to its name all the same, and refuses it.

use crate::verdict::Reason;

/// Longest line that is taken; a hash has at most 383 bytes and a name 32.
const MAX_LINE: usize = 4096;

/// Which accounts may log in. Wrong passwords and unusable hashes are refused by both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rules {
    /// As pam_unix has it: on the day of `sp_expire` the account has expired, a password that must be changed
    /// (`sp_lstchg` 0) logs nobody in, and one older than `sp_max` days neither, with or without days of
    /// inactivity left, since nobody can change it over these sockets.
    #[default]
    Strict,
    /// As Cyrus's saslauthd has it (`cyrus` in the config): the day of `sp_expire` still counts, a password that
    /// must be changed does. `sp_max` is held here too.
    Cyrus,
}

/// What one line says. Borrows its hash, so no `Debug`.
pub struct Line<'a> {
    pub(crate) hash: &'a [u8],
    /// Days since 1970 of the last change of the password; 0: must be changed.
    changed: Option<i64>,
    /// Days that a password lives.
    maximum: Option<i64>,
    /// First day, since 1970, on which the account has expired.
    expires: Option<i64>,
}

/// The name of a line that names one; comments, blank lines and NIS's `+` and `-` name nobody.
pub fn name_of(line: &[u8]) -> Option<&[u8]> {
    if matches!(line, [] | [b'#' | b'+' | b'-', ..]) {
        return None;
    }
    line.split(|byte| *byte == b':').next().filter(|name| !name.is_empty())
}

impl<'a> Line<'a> {
    /// Splits a line, without its newline, into exactly nine fields.
    pub fn parse(line: &'a [u8]) -> Result<Self, Reason> {
        if line.len() > MAX_LINE {
            return Err(Reason::Malformed);
        }
        let fields: Vec<&[u8]> = line.splitn(10, |byte| *byte == b':').collect();
        let [_, hash, changed, minimum, maximum, warning, inactive, expires, reserved] =
            fields.as_slice()
        else {
            return Err(Reason::Malformed);
        };
        // Dovecot's prefixes belong to databases; crypt(3), which all others ask of a shadow file, knows none.
        if hash.starts_with(b"{") {
            return Err(Reason::SchemeNotAllowed);
        }
        for unused in [minimum, warning, inactive, reserved] {
            days(unused)?;
        }
        Ok(Self { hash, changed: days(changed)?, maximum: days(maximum)?, expires: days(expires)? })
    }

    /// The day of the last change, when it has not come yet: a clock was wrong, or an editor mistyped. Maximum ages
    /// count from it, so the password lives longer than was meant.
    pub fn changed_after(&self, today: i64) -> Option<i64> {
        self.changed.filter(|day| *day > today)
    }

    /// Whether the account may log in on that day, given the right password.
    pub fn standing(&self, today: i64, rules: Rules) -> Result<(), Reason> {
        let expired = match rules {
            Rules::Strict => self.expires.is_some_and(|day| today >= day),
            Rules::Cyrus => self.expires.is_some_and(|day| today > day),
        };
        if expired {
            return Err(Reason::AccountExpired);
        }
        let Some(changed) = self.changed else {
            return Ok(());
        };
        if changed == 0 && rules == Rules::Strict {
            return Err(Reason::MustChange);
        }
        if self.maximum.is_some_and(|maximum| changed.saturating_add(maximum) < today) {
            return Err(Reason::PasswordExpired);
        }
        Ok(())
    }
}

/// A field of days: empty or `-1` for none, otherwise ASCII digits.
fn days(field: &[u8]) -> Result<Option<i64>, Reason> {
    match field {
        b"" | b"-1" => Ok(None),
        digits if digits.iter().all(u8::is_ascii_digit) => std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .map(Some)
            .ok_or(Reason::Malformed),
        _ => Err(Reason::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: i64 = 20_000;

    fn standing(dates: &str, rules: Rules) -> Result<(), Reason> {
        let line = format!("ann:x:{dates}");
        Line::parse(line.as_bytes()).and_then(|line| line.standing(TODAY, rules))
    }

    /// B4, cell by cell: last change, minimum, maximum, warning, inactive, expiry; then ours, then Cyrus's.
    #[test]
    fn b4_the_dates_decide_as_the_table_says() {
        let (ok, account, password) =
            (Ok(()), Err(Reason::AccountExpired), Err(Reason::PasswordExpired));
        let must = Err(Reason::MustChange);
        for (dates, strict, cyrus) in [
            ("19000:0:99999:7:::", ok, ok),
            ("19000:0:99999:7::20001:", ok, ok),
            ("19000:0:99999:7::20000:", account, ok),
            ("19000:0:99999:7::19999:", account, account),
            ("19000:0:99999:7::0:", account, account),
            ("0:0:99999:7:::", must, ok),
            ("0:0::7:::", must, ok),
            ("19900:0:100:7:::", ok, ok),
            ("19899:0:100:7:::", password, password),
            ("19899:0:100:7:30::", password, password),
            ("19869:0:100:7:30::", password, password),
            ("19999:30:99999:7:::", ok, ok),
            ("20001:0:10:7:::", ok, ok),
            ("::::::", ok, ok),
            ("-1:-1:-1:-1:-1:-1:", ok, ok),
            (":0:1:7:::", ok, ok),
            ("19999::9223372036854775807::::", ok, ok),
        ] {
            assert_eq!(standing(dates, Rules::Strict), strict, "strict {dates}");
            assert_eq!(standing(dates, Rules::Cyrus), cyrus, "cyrus {dates}");
        }
    }

    #[test]
    fn b4_a_change_that_has_not_come_yet_is_told() {
        let day = |dates: &str| {
            let line = format!("ann:x:{dates}");
            Line::parse(line.as_bytes()).ok().and_then(|line| line.changed_after(TODAY))
        };
        assert_eq!(day("20001:0:10:7:::"), Some(20_001));
        assert_eq!(day("20000:0:10:7:::"), None);
        assert_eq!(day("::::::"), None);
    }

    #[test]
    fn b11_only_nine_fields_of_days_are_a_line() {
        for line in [
            "",
            "ann",
            "ann:x",
            "ann:x:::::",
            "ann:x::::::",
            "ann:x::::::::",
            "ann:x:::::::\r",
            "ann:x:1x::::::",
            "ann:x: 1::::::",
            "ann:x:+1::::::",
            "ann:x:-2::::::",
            "ann:x:99999999999999999999::::::",
            "ann:x:١::::::",
        ] {
            assert!(Line::parse(line.as_bytes()).is_err(), "{line:?}");
        }
        let long = format!("ann:{}:::::::", "x".repeat(100 * 1024));
        assert!(Line::parse(long.as_bytes()).is_err());
        assert!(Line::parse(b"ann:x:::::::").is_ok_and(|line| line.hash == b"x"));
    }

    #[test]
    fn comments_blanks_and_nis_name_nobody() {
        for line in ["", "#ann:x:::::::", "+", "+::::::::", "-ann:x:::::::", ":x:::::::"] {
            assert_eq!(name_of(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(name_of(b"ann:x:::::::"), Some(b"ann".as_slice()));
        assert_eq!(name_of(b"ann"), Some(b"ann".as_slice()));
    }

    proptest! {
        #[test]
        fn any_line_ends_in_an_answer(line in prop::collection::vec(any::<u8>(), 0..200), today: i64) {
            let _ = name_of(&line);
            if let Ok(line) = Line::parse(&line) {
                let _ = line.standing(today, Rules::Strict);
                let _ = line.standing(today, Rules::Cyrus);
            }
        }

        #[test]
        fn any_dates_end_in_an_answer(dates in "[0-9:-]{0,80}", today: i64) {
            let line = format!("ann:x:{dates}");
            if let Ok(line) = Line::parse(line.as_bytes()) {
                let _ = line.standing(today, Rules::Strict);
                let _ = line.standing(today, Rules::Cyrus);
            }
        }
    }
}
