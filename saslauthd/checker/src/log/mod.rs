//! The log: one event a request, and what an operator should know besides.
//!
//! Runs in the checker, on its one thread. Bytes of a peer are printed through the quoting formatters of `protocol`
//! alone, in a fixed order of fields, so that no name makes a line, a field or an address. No password, hash or
//! guess comes here at any level. A log that is away or full loses lines and says how many; it stops no login.

mod cyrus;
mod event;
mod feeder;
mod lines;

use std::fmt::Write;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ipc::config::{Level, Log as Settings, LogTo};

pub(crate) use event::{CacheUse, Event, Exchanged, Outcome};
use feeder::{Feeder, Sink};
use lines::Lines;

/// The parent may find no log daemon either; so long after asking for a socket another is asked for.
const ASK_AGAIN_S: u64 = 10;

/// Where events go.
pub(crate) struct Log {
    settings: Settings,
    out: Feeder,
    /// The shape of lines: standard error's until there is a socket.
    shape: LogTo,
    lines: Lines,
    lost: u64,
    /// When another socket was asked for, in seconds since 1970.
    asked_s: u64,
    /// Reused for each line.
    text: String,
}

impl Log {
    /// Logs to standard error until something is handed over.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            settings,
            out: Feeder::start()?,
            shape: LogTo::Stderr,
            lines: Lines::default(),
            lost: 0,
            asked_s: 0,
            text: String::new(),
        })
    }

    /// Takes what the parent hands over for this log.
    ///
    /// # Errors
    /// When the one before is so slow that nothing can be told to its thread.
    pub(crate) fn hand_over(&mut self, descriptor: OwnedFd) -> io::Result<()> {
        let sink = match self.settings.to {
            LogTo::Stderr => Sink::File(descriptor.into()),
            LogTo::Syslog | LogTo::Journal => Sink::Socket(descriptor),
        };
        self.flush();
        self.out.direct_to(sink)?;
        self.shape = self.settings.to;
        self.asked_s = 0;
        self.tell_losses();
        Ok(())
    }

    /// What was lost is told as soon as anything gets through again.
    fn tell_losses(&mut self) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.say(
                Level::Warning,
                format_args!("the log was away or full: {lost} lines were lost"),
            );
        }
    }

    /// Whether lines of this level are logged.
    pub(crate) fn logs(&self, level: Level) -> bool {
        level <= self.settings.level
    }

    /// The event of a request, and Cyrus's line where Cyrus would have written one.
    pub(crate) fn login(&mut self, event: &Event<'_>) {
        if !self.logs(Level::Info) {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing to a String never fails.
        let _ = write!(text, "{event}");
        let fields = (self.shape == LogTo::Journal).then(|| event.journal_fields());
        self.line(Level::Info, &text, fields.as_deref().unwrap_or_default());
        if self.settings.cyrus_lines
            && let Some(line) = event.cyrus()
        {
            let level = if line.verdict.is_failure() { Level::Info } else { Level::Debug };
            if self.logs(level) {
                text.clear();
                let _ = write!(text, "{line}");
                self.line(level, &text, &[]);
            }
        }
        self.text = text;
    }

    /// Cyrus's line for a request whose names nobody read.
    pub(crate) fn nameless_failure(&mut self) {
        if self.settings.cyrus_lines {
            self.say(Level::Info, format_args!("{}", cyrus::Nameless));
        }
    }

    /// Anything else. The caller quotes what came from a peer.
    pub(crate) fn say(&mut self, level: Level, what: std::fmt::Arguments<'_>) {
        if self.logs(level) {
            self.line(level, &what.to_string(), &[]);
        }
    }

    fn line(&mut self, level: Level, text: &str, fields: &[(&'static str, String)]) {
        let kept = match self.shape {
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

    /// Writes what was collected; once a turn of the loop. Says whether another socket should be asked for: once,
    /// and again when none has come for a while.
    pub(crate) fn flush(&mut self) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        let fed = self.out.feed(self.lines.take());
        self.lost += fed.lost;
        if !fed.gone {
            if fed.lost == 0 {
                self.tell_losses();
            }
            return false;
        }
        let now = sys::clock::wall_seconds();
        let wants = now >= self.asked_s + ASK_AGAIN_S;
        if wants {
            self.asked_s = now;
        }
        wants
    }

    /// At the end: gives a slow reader a moment.
    pub(crate) fn close(&mut self) {
        self.flush();
        self.out.drain(Duration::from_millis(500));
    }

    /// Lines that were lost and not told yet.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests;
