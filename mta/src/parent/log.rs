//! The log: the parent's own lines, and those of its children, who have no log of their own.
//!
//! Runs in the parent. Lines go to syslog (facility mail) or the journal under the name `mta` with the process id of whoever
//! said them, or to standard error. What children say is escaped, so that a line is always one.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::{clock, descriptors, log_socket, peer};

use crate::config::Operation;
use crate::config::sections::LogTo;
use crate::control::Level;

/// Facility LOG_MAIL of syslog(3), as every mail server.
const MAIL: u32 = 2 << 3;
const SYSLOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The longest line on standard error: what a pipe that takes anything takes at once (PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Whether somebody reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreground {
    /// The terminal, or a service manager.
    Yes,
    /// We are detached.
    No,
}

/// Where lines go.
pub struct Log {
    to: LogTo,
    level: Level,
    foreground: Foreground,
    socket: Option<OwnedFd>,
    /// Lines that standard error had no room for and that nobody was told of.
    lost: u64,
}

impl Log {
    /// As configured. A log daemon that is away is asked again at each line.
    pub fn new(operation: &Operation, foreground: Foreground) -> Self {
        let to = match (operation.log_to, foreground) {
            (LogTo::Auto, Foreground::Yes) => LogTo::Stderr,
            (LogTo::Auto, Foreground::No) => LogTo::Syslog,
            (to, _) => to,
        };
        Self { to, level: operation.log_level, foreground, socket: None, lost: 0 }
    }

    /// A line of our own.
    pub fn write(&mut self, level: Level, text: &str) {
        self.write_as(std::process::id(), level, text);
    }

    /// A line of the process with this id.
    pub fn write_as(&mut self, pid: u32, level: Level, text: &str) {
        if level > self.level {
            return;
        }
        let line = one_line(text);
        if self.to != LogTo::Stderr && self.send(pid, level, &line) {
            return;
        }
        // Detached, nobody reads standard error.
        if self.foreground == Foreground::Yes {
            put(std::io::stderr(), pid, &line, &mut self.lost);
        }
    }

    fn send(&mut self, pid: u32, level: Level, line: &str) -> bool {
        let (path, message) = match self.to {
            LogTo::Journal => (JOURNAL, journal(level, pid, line)),
            _ => (SYSLOG, syslog(level, pid, clock::wall_seconds(), line)),
        };
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = log_socket::connect(Path::new(path)).ok();
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
fn put(mut to: impl AsFd + Write, pid: u32, line: &str, lost: &mut u64) {
    if !descriptors::is_writable(&to).unwrap_or(false) {
        *lost += 1;
        return;
    }
    let mut text = String::new();
    if *lost > 0 {
        text = format!("mta[{}]: {lost} lines lost: standard error was full\n", std::process::id());
        *lost = 0;
    }
    text += &format!("mta[{pid}]: {line}");
    text.truncate(text.floor_char_boundary(AT_ONCE - 1));
    text.push('\n');
    // Nobody reads a closed standard error; then the line is lost.
    let _ = to.write_all(text.as_bytes());
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
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
    }
}

fn journal(level: Level, pid: u32, line: &str) -> String {
    format!(
        "PRIORITY={}\nSYSLOG_FACILITY={}\nSYSLOG_IDENTIFIER=mta\nSYSLOG_PID={pid}\nMESSAGE={line}\n",
        severity(level),
        MAIL >> 3
    )
}

/// RFC 3164, 4.1. The time is UTC, since no time zone is read here; log daemons use their own.
fn syslog(level: Level, pid: u32, seconds: u64, line: &str) -> String {
    let stamp = timestamp(seconds);
    format!("<{}>{stamp} mta[{pid}]: {line}", MAIL + severity(level))
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
    use super::*;

    #[test]
    fn lines_are_one_and_have_the_shape_that_parsers_know() {
        assert_eq!(one_line("a\nb\u{7f}ü"), "a\\nb\\u{7f}ü");
        assert_eq!(
            syslog(Level::Info, 7, 1_709_210_096, "AUTH=server"),
            "<22>Feb 29 12:34:56 mta[7]: AUTH=server"
        );
        assert!(journal(Level::Critical, 7, "x").starts_with("PRIORITY=2\nSYSLOG_FACILITY=2\n"));
    }

    #[test]
    fn a_full_pipe_loses_lines_and_says_so() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut lost = 0;
        for _ in 0..20_000 {
            put(writer.try_clone().unwrap(), 1, "0123456789", &mut lost);
        }
        assert!(lost > 0);
        let mut buffer = vec![0; 1 << 20];
        let _ = std::io::Read::read(&mut reader, &mut buffer).unwrap();
        put(writer, 1, "again", &mut lost);
        let count = std::io::Read::read(&mut reader, &mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]);
        assert!(text.contains("lines lost") && text.ends_with("mta[1]: again\n"), "{text}");
    }
}
