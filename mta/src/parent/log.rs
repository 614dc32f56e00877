//! The log: the parent's own lines, and those of its children, who have no log of their own.
//!
//! Runs in the parent. Lines go to syslog (facility mail) or the journal under the name `mta` with the process id of whoever
//! said them, or to standard error. What children say is escaped, so that a line is always one.

use std::os::fd::OwnedFd;
use std::path::Path;

use sys::log_line::{Writer, one_line};
use sys::{clock, log_socket, peer};

use crate::config::Operation;
use crate::config::sections::LogTo;
use crate::control::Level;

/// Facility LOG_MAIL of syslog(3), as every mail server.
const WRITER: Writer = Writer { name: "mta", facility: 2 };

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
            WRITER.put(std::io::stderr(), pid, &line, &mut self.lost);
        }
    }

    fn send(&mut self, pid: u32, level: Level, line: &str) -> bool {
        let severity = severity(level);
        let (path, message) = match self.to {
            LogTo::Journal => (log_socket::JOURNAL, WRITER.journal(severity, pid, line)),
            _ => {
                let now = clock::wall_seconds();
                (log_socket::SYSLOG, WRITER.syslog(severity, pid, now, line))
            }
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

fn severity(level: Level) -> u32 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
    }
}
