//! A line of the log: in the shapes of syslog and the journal, or on standard error.
//!
//! Runs in the parents, and in the checker, which writes its own events. Texts of children and paths of strangers are
//! escaped, so that a line is always one. It reads no time zone, and never waits for whoever reads.

use std::io::Write;
use std::os::fd::AsFd;

use crate::descriptors;

/// The longest line on standard error: what a pipe that takes anything takes at once (PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// What log daemons and administrators know it by.
    pub name: &'static str,
    /// The number of its facility in syslog(3), not shifted: `LOG_MAIL` is 2.
    pub facility: u32,
}

impl Writer {
    /// RFC 3164, 4.1, of the process with this id. The time is UTC, since no time zone is read here; log daemons use
    /// their own.
    pub fn syslog(self, severity: u32, pid: u32, seconds: u64, line: &str) -> String {
        let (Self { name, facility }, stamp) = (self, timestamp(seconds));
        format!("<{}>{stamp} {name}[{pid}]: {line}", (facility << 3) + severity)
    }

    /// Fields of systemd's journal.
    pub fn journal(self, severity: u32, pid: u32, line: &str) -> String {
        let Self { name, facility } = self;
        format!(
            "PRIORITY={severity}\nSYSLOG_FACILITY={facility}\nSYSLOG_IDENTIFIER={name}\nSYSLOG_PID={pid}\nMESSAGE={line}\n"
        )
    }

    /// Writes a line where there is room for it, after a word on those that there was none for: who reads a pipe too
    /// slowly, or not at all, must not keep a parent from its children.
    pub fn put(self, mut to: impl AsFd + Write, pid: u32, line: &str, lost: &mut u64) {
        let name = self.name;
        if *lost > 0 && is_writable(&to) {
            let own = std::process::id();
            let told = format!("{name}[{own}]: {lost} lines lost: standard error was full\n");
            let _ = to.write_all(told.as_bytes());
            *lost = 0;
        }
        if !is_writable(&to) {
            *lost += 1;
            return;
        }
        let mut text = format!("{name}[{pid}]: {line}");
        text.truncate(text.floor_char_boundary(AT_ONCE - 1));
        text.push('\n');
        // Nobody reads a closed standard error; then the line is lost.
        let _ = to.write_all(text.as_bytes());
    }
}

fn is_writable(to: &impl AsFd) -> bool {
    descriptors::is_writable(to).unwrap_or(false)
}

/// Control characters, line breaks above all, become escapes.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Mmm dd hh:mm:ss` of RFC 3164 §4.1.2, in UTC, of seconds since 1970; the day padded with a space.
pub fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0 in the proleptic Gregorian calendar, in eras of 400 years.
    let day_of_era = (days + 719_468) % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 153 days in five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let name = usize::try_from((month + 2) % 12).ok().and_then(|month| MONTHS.get(month));
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{} {day:2} {hour:02}:{minute:02}:{:02}", name.unwrap_or(&"Jan"), second % 60)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const WRITER: Writer = Writer { name: "test", facility: 2 };

    #[test]
    fn times_are_those_of_date() {
        for (seconds, wanted) in [
            (0, "Jan  1 00:00:00"),
            (951_782_400, "Feb 29 00:00:00"),
            (951_868_799, "Feb 29 23:59:59"),
            (951_868_800, "Mar  1 00:00:00"),
            (1_709_164_800, "Feb 29 00:00:00"),
            (1_709_251_200, "Mar  1 00:00:00"),
            (1_767_225_599, "Dec 31 23:59:59"),
            (1_798_761_599, "Dec 31 23:59:59"),
            (4_107_542_400, "Mar  1 00:00:00"),
        ] {
            assert_eq!(timestamp(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn d4_an_event_is_one_line() {
        assert_eq!(
            one_line("a\nauth success\x1b[2J\u{2028}\u{7f}ü"),
            "a\\nauth success\\u{1b}[2J\\u{2028}\\u{7f}ü"
        );
    }

    #[test]
    fn a_standard_error_that_nobody_reads_keeps_nobody_waiting() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut lost = 0;
        let long = "ü".repeat(AT_ONCE);
        for _ in 0..100 {
            WRITER.put(&writer, 1, &long, &mut lost);
        }
        assert!((1..100).contains(&lost), "{lost}");
        let all = lost;
        let mut text = vec![0; 8 * AT_ONCE];
        reader.read_exact(&mut text).unwrap();
        assert!(text.iter().filter(|byte| **byte == b'\n').count() >= 8, "lines fit");
        WRITER.put(&writer, 1, "there is room again", &mut lost);
        assert_eq!(lost, 0);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let wanted = format!(": {all} lines lost: standard error was full\ntest[1]");
        assert!(rest.contains(&wanted) && rest.ends_with("test[1]: there is room again\n"));
    }

    #[test]
    fn shapes_are_those_of_syslog_and_journal() {
        assert_eq!(
            WRITER.syslog(6, 7, 1_709_210_096, "AUTH=server"),
            "<22>Feb 29 12:34:56 test[7]: AUTH=server"
        );
        let fields = WRITER.journal(2, 7, "x");
        assert!(fields.starts_with("PRIORITY=2\nSYSLOG_FACILITY=2\n"), "{fields}");
        assert!(fields.ends_with("SYSLOG_PID=7\nMESSAGE=x\n"), "{fields}");
    }
}
