//! The log: one event a request, and what an operator should know besides.
//!
//! Runs in the checker, on its one thread. Bytes of a peer are printed through the quoting formatters of `protocol`
//! alone, in a fixed order of fields, so that no name makes a line, a field or an address. No password, hash or
//! guess comes here at any level. A log that is away or full loses lines and says how many; it stops no login.

mod cyrus;
mod event;
mod lines;
mod stamp;

use std::fmt::Write;
use std::fs::File;
use std::os::fd::OwnedFd;

use ipc::config::{Level, Log as Settings, LogTo};

pub(crate) use event::{CacheUse, Event, Outcome};
use lines::Lines;

/// Where events go.
pub(crate) struct Log {
    settings: Settings,
    target: Target,
    lines: Lines,
    lost: u64,
    wanting: bool,
    /// Reused for each line.
    text: String,
}

enum Target {
    /// Nothing was handed over yet.
    Stderr,
    /// A file, a pipe or a terminal.
    File(File),
    /// A connected datagram socket.
    Socket(OwnedFd),
    /// The socket died, and another was asked for.
    Gone,
}

impl Log {
    /// Logs to standard error until something is handed over.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            target: Target::Stderr,
            lines: Lines::default(),
            lost: 0,
            wanting: false,
            text: String::new(),
        }
    }

    /// Takes what the parent hands over for this log.
    pub(crate) fn hand_over(&mut self, descriptor: OwnedFd) {
        self.target = match self.settings.to {
            LogTo::Stderr => Target::File(descriptor.into()),
            LogTo::Syslog | LogTo::Journal => Target::Socket(descriptor),
        };
        self.wanting = false;
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.say(Level::Warning, format_args!("the log was away: {lost} lines were lost"));
        }
    }

    /// Whether lines of this level are logged.
    pub(crate) fn logs(&self, level: Level) -> bool {
        level <= self.settings.level
    }

    /// The event of a request, and of a refused one the line of Cyrus as well.
    pub(crate) fn login(&mut self, event: &Event<'_>) {
        if !self.logs(Level::Info) {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing to a String never fails.
        let _ = write!(text, "{event}");
        let fields = (self.settings.to == LogTo::Journal).then(|| event.journal_fields());
        self.line(Level::Info, &text, fields.as_deref().unwrap_or_default());
        if self.settings.cyrus_lines
            && let Some(refusal) = event.cyrus()
        {
            text.clear();
            let _ = write!(text, "{refusal}");
            self.line(Level::Info, &text, &[]);
        }
        self.text = text;
    }

    /// Anything else. The caller quotes what came from a peer.
    pub(crate) fn say(&mut self, level: Level, what: std::fmt::Arguments<'_>) {
        if self.logs(level) {
            self.line(level, &what.to_string(), &[]);
        }
    }

    fn line(&mut self, level: Level, text: &str, fields: &[(&'static str, String)]) {
        let kept = match self.settings.to {
            LogTo::Stderr => self.lines.stderr(self.settings.pid, text),
            LogTo::Syslog => {
                self.lines.syslog(self.settings.pid, level, sys::clock::wall_seconds(), text)
            }
            LogTo::Journal => self.lines.journal(self.settings.pid, level, text, fields),
        };
        if !kept {
            self.lost += 1;
        }
    }

    /// Writes what was collected; once a turn of the loop. Says whether another socket should be asked for, once.
    pub(crate) fn flush(&mut self) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        let outcome = match &self.target {
            Target::Gone => Err(self.lines.drop_all()),
            Target::Stderr => self.lines.write(std::io::stderr()),
            Target::File(file) => self.lines.write(file),
            Target::Socket(socket) => self.lines.send(socket),
        };
        let Err(lost) = outcome else { return false };
        self.lost += lost.lines;
        if !lost.gone {
            return false;
        }
        self.target = Target::Gone;
        !std::mem::replace(&mut self.wanting, true)
    }

    /// Lines that were lost and not told yet.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests;
