//! The parent's own lines: starts, stops, reloads, and what children want an operator to know.
//!
//! Runs in the parent. The checker writes its own events; the parent hands it the descriptor. Paths and texts of
//! children are escaped, so that an event is always one line.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::config::plan::Foreground;
use ipc::config::{self as task, Level, LogTo};
use sys::log_line::{Writer, one_line};
use sys::{clock, log_socket, peer};

/// Facility LOG_AUTH of syslog(3), as Cyrus's saslauthd.
const WRITER: Writer = Writer { name: "saslauthd", facility: 4 };

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
            LogTo::Syslog => log_socket::SYSLOG,
            LogTo::Journal => log_socket::JOURNAL,
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
        WRITER.put(std::io::stderr(), std::process::id(), &line, &mut self.lost);
    }

    fn send(&mut self, level: Level, line: &str) -> bool {
        let (pid, severity) = (std::process::id(), severity(level));
        let message = match self.to {
            LogTo::Journal => WRITER.journal(severity, pid, line),
            _ => WRITER.syslog(severity, pid, clock::wall_seconds(), line),
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

fn severity(level: Level) -> u32 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}
