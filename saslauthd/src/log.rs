//! The parent's own lines: starts, stops, reloads, and what children want an operator to know.
//!
//! Runs in the parent. The checker writes its own events; the parent hands it the descriptor. Paths and texts of
//! children are escaped, so that an event is always one line.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::config::plan::Foreground;
use ipc::config::{self as task, Level, LogTo};
use sys::{clock, descriptors, log_socket, peer};

/// Facility LOG_AUTH of syslog(3), as Cyrus's saslauthd.
const AUTH: u32 = 4 << 3;
const SYSLOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The longest line on standard error: what a pipe that takes anything takes at once (PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Where lines go.
pub struct Log {
    to: LogTo,
    level: Level,
    socket: Option<OwnedFd>,
    foreground: Foreground,
    /// Lines that standard error had no room for and that nobody was told of.
    lost: u64,
}

impl Log {
    /// As configured. A log daemon that is away is asked again at each line.
    pub fn new(log: &task::Log, foreground: Foreground) -> Self {
        let mut new = Self { to: log.to, level: log.level, socket: None, foreground, lost: 0 };
        new.reconnect();
        new
    }

    /// A descriptor for the checker: the log's socket, or standard error while there is none.
    pub fn descriptor(&mut self) -> std::io::Result<OwnedFd> {
        self.reconnect();
        match &self.socket {
            Some(socket) => socket.try_clone(),
            None => std::io::stderr().as_fd().try_clone_to_owned(),
        }
    }

    /// Whether lines go elsewhere because the log daemon is away.
    pub fn is_away(&self) -> bool {
        self.to != LogTo::Stderr && self.socket.is_none()
    }

    /// Connects anew, and says whether somebody is there.
    pub fn reconnect(&mut self) -> bool {
        let path = match self.to {
            LogTo::Stderr => return true,
            LogTo::Syslog => SYSLOG,
            LogTo::Journal => JOURNAL,
        };
        self.socket = log_socket::connect(Path::new(path)).ok();
        self.socket.is_some()
    }

    /// Something is broken.
    pub fn error(&mut self, text: &str) {
        self.write(Level::Error, text);
    }

    /// Something is odd.
    pub fn warning(&mut self, text: &str) {
        self.write(Level::Warning, text);
    }

    /// Start and stop.
    pub fn info(&mut self, text: &str) {
        self.write(Level::Info, text);
    }

    /// For those who look for a fault.
    pub fn debug(&mut self, text: &str) {
        self.write(Level::Debug, text);
    }

    fn write(&mut self, level: Level, text: &str) {
        if level > self.level {
            return;
        }
        let line = one_line(text);
        if self.to != LogTo::Stderr && self.send(level, &line) {
            return;
        }
        // Detached, standard error is a pipe to this very log.
        if self.foreground == Foreground::No {
            return;
        }
        put(std::io::stderr(), &line, &mut self.lost);
    }

    fn send(&mut self, level: Level, line: &str) -> bool {
        let pid = std::process::id();
        let message = match self.to {
            LogTo::Journal => journal(level, pid, line),
            _ => syslog(level, pid, clock::wall_seconds(), line),
        };
        for _ in 0..2 {
            if self.socket.is_none() && !self.reconnect() {
                return false;
            }
            let Some(socket) = &self.socket else { return false };
            match peer::send(socket, message.as_bytes()) {
                // A log that is full loses lines; that is better than waiting for it.
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return true,
                Ok(_) => return true,
                // The log daemon was started anew.
                Err(_) => self.socket = None,
            }
        }
        false
    }
}

/// Writes a line where there is room for it, after a word on those that there was none for: who reads a pipe too
/// slowly, or not at all, must not keep the parent from its children.
fn put(mut to: impl AsFd + Write, line: &str, lost: &mut u64) {
    let pid = std::process::id();
    if *lost > 0 && is_writable(&to) {
        let told = format!("saslauthd[{pid}]: {lost} lines lost: standard error was full\n");
        let _ = to.write_all(told.as_bytes());
        *lost = 0;
    }
    if !is_writable(&to) {
        *lost += 1;
        return;
    }
    let mut line = format!("saslauthd[{pid}]: {line}");
    line.truncate(line.floor_char_boundary(AT_ONCE - 1));
    line.push('\n');
    // Nobody reads a closed standard error; then the line is lost.
    let _ = to.write_all(line.as_bytes());
}

fn is_writable(to: &impl AsFd) -> bool {
    descriptors::is_writable(to).unwrap_or(false)
}

/// Control characters, line breaks above all, become escapes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

fn severity(level: Level) -> u32 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

fn journal(level: Level, pid: u32, line: &str) -> String {
    format!(
        "PRIORITY={}\nSYSLOG_FACILITY={}\nSYSLOG_IDENTIFIER=saslauthd\nSYSLOG_PID={pid}\nMESSAGE={line}\n",
        severity(level),
        AUTH >> 3
    )
}

/// RFC 3164, 4.1. The time is UTC, since no time zone is read here; log daemons use their own.
fn syslog(level: Level, pid: u32, seconds: u64, line: &str) -> String {
    let stamp = timestamp(seconds);
    format!("<{}>{stamp} saslauthd[{pid}]: {line}", AUTH + severity(level))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Mmm dd hh:mm:ss`.
fn timestamp(seconds: u64) -> String {
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

    #[test]
    fn times_are_those_of_date() {
        for (seconds, wanted) in [
            (0, "Jan  1 00:00:00"),
            (951_782_400, "Feb 29 00:00:00"),
            (951_868_799, "Feb 29 23:59:59"),
            (951_868_800, "Mar  1 00:00:00"),
            (1_798_761_599, "Dec 31 23:59:59"),
            (4_107_542_400, "Mar  1 00:00:00"),
        ] {
            assert_eq!(timestamp(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn d4_an_event_is_one_line() {
        assert_eq!(
            one_line("a\nauth success\x1b[2J\u{2028}ü"),
            "a\\nauth success\\u{1b}[2J\\u{2028}ü"
        );
    }

    #[test]
    fn a_standard_error_that_nobody_reads_keeps_nobody_waiting() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut lost = 0;
        let long = "ü".repeat(AT_ONCE);
        for _ in 0..100 {
            put(&writer, &long, &mut lost);
        }
        assert!((1..100).contains(&lost), "{lost}");
        let all = lost;
        let mut text = vec![0; 8 * AT_ONCE];
        reader.read_exact(&mut text).unwrap();
        assert!(text.iter().filter(|byte| **byte == b'\n').count() >= 8, "lines fit");
        put(&writer, "there is room again", &mut lost);
        assert_eq!(lost, 0);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let wanted = format!(": {all} lines lost: standard error was full\nsaslauthd[");
        assert!(rest.contains(&wanted) && rest.ends_with("]: there is room again\n"));
    }

    #[test]
    fn shapes_are_those_of_syslog_and_journal() {
        assert_eq!(syslog(Level::Info, 7, 0, "x"), "<38>Jan  1 00:00:00 saslauthd[7]: x");
        assert!(journal(Level::Error, 7, "x").starts_with("PRIORITY=3\nSYSLOG_FACILITY=4\n"));
    }
}
