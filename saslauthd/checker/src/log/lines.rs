//! Collected lines in the shape of their target, and their way out.
//!
//! Runs in the checker. Bounded: what doesn't fit is lost and counted by the caller.

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;

use ipc::config::Level;

use super::feeder::Feeder;
use super::stamp;

/// The most bytes that wait for the end of a turn: two lines for each login that can be in flight.
const MOST: usize = 8 * 1024 * 1024;

/// Room that is kept for the next turn.
const KEPT: usize = 256 * 1024;

/// Facility auth, as Cyrus logs.
const AUTH: u8 = 4;

/// What was lost on the way out.
pub(super) struct Lost {
    /// How many lines.
    pub(super) lines: u64,
    /// Whether the descriptor is of no use any more.
    pub(super) gone: bool,
}

/// Lines one after the other, and where each ends.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// syslog.h's numbers.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// `saslauthd[PID]: text` and a line feed.
    pub(super) fn stderr(&mut self, pid: i32, text: &str) -> bool {
        self.push(&[format!("saslauthd[{pid}]: ").as_bytes(), text.as_bytes(), b"\n"])
    }

    /// RFC 3164 as syslog(3) writes it to /dev/log: no host name. The time is UTC; log daemons put their own.
    pub(super) fn syslog(&mut self, pid: i32, level: Level, wall: u64, text: &str) -> bool {
        let priority = AUTH * 8 + severity(level);
        let head = format!("<{priority}>{} saslauthd[{pid}]: ", stamp::rfc3164(wall));
        self.push(&[head.as_bytes(), text.as_bytes()])
    }

    /// The journal's native form: a field a line, no value has a line feed.
    pub(super) fn journal(
        &mut self,
        pid: i32,
        level: Level,
        text: &str,
        fields: &[(&'static str, String)],
    ) -> bool {
        let mut entry = format!(
            "PRIORITY={}\nSYSLOG_FACILITY={AUTH}\nSYSLOG_IDENTIFIER=saslauthd\nSYSLOG_PID={pid}\n",
            severity(level)
        );
        for (name, value) in fields {
            entry.push_str(&format!("{name}={value}\n"));
        }
        self.push(&[entry.as_bytes(), b"MESSAGE=", text.as_bytes(), b"\n"])
    }

    fn push(&mut self, parts: &[&[u8]]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.bytes.len() + length > MOST {
            return false;
        }
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.ends.push(self.bytes.len());
        true
    }

    /// All in one write, before there is anything better.
    pub(super) fn write(&mut self, mut out: impl Write) -> Result<(), Lost> {
        let written = out.write_all(&self.bytes);
        let lost = Lost { lines: count(self.ends.len()), gone: false };
        self.clear();
        written.map_err(|_| lost)
    }

    /// All in one piece, for another thread to write.
    pub(super) fn feed(&mut self, feeder: &Feeder) -> Result<(), Lost> {
        let taken = feeder.feed(&self.bytes);
        let lost = Lost { lines: count(self.ends.len()), gone: false };
        self.clear();
        if taken { Ok(()) } else { Err(lost) }
    }

    /// A datagram a line.
    pub(super) fn send(&mut self, socket: impl AsFd) -> Result<(), Lost> {
        let (mut start, mut lost, mut gone) = (0, 0, false);
        for end in &self.ends {
            let line = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            if gone {
                lost += 1;
                continue;
            }
            if let Err(error) = sys::peer::send(&socket, line) {
                lost += 1;
                // A full log loses lines; one whose reader is gone needs another socket.
                gone = error.kind() != ErrorKind::WouldBlock;
            }
        }
        self.clear();
        if lost == 0 { Ok(()) } else { Err(Lost { lines: lost, gone }) }
    }

    /// Gives up all lines.
    pub(super) fn drop_all(&mut self) -> Lost {
        let lines = count(self.ends.len());
        self.clear();
        Lost { lines, gone: false }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEPT);
    }
}

fn count(lines: usize) -> u64 {
    u64::try_from(lines).unwrap_or(u64::MAX)
}
