//! Collected lines in the shape of their target, and their way out.
//!
//! Runs in the checker. Bounded: what doesn't fit is lost and counted by the caller.

use ipc::config::Level;

use sys::log_line;

/// The most bytes that wait: two lines for each login that can be in flight.
const MOST: usize = 8 * 1024 * 1024;

/// Room that is kept for the next turn.
const KEPT: usize = 256 * 1024;

/// Facility auth, as Cyrus logs.
const AUTH: u8 = 4;

/// Lines one after the other, and where each ends.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many of them a socket has taken already.
    sent: usize,
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
        self.ends.len() == self.sent
    }

    /// `saslauthd[PID]: text` and a line feed.
    pub(super) fn stderr(&mut self, pid: i32, text: &str) -> bool {
        self.push(&[format!("saslauthd[{pid}]: ").as_bytes(), text.as_bytes(), b"\n"])
    }

    /// RFC 3164 as syslog(3) writes it to /dev/log: no host name. The time is UTC; log daemons put their own.
    pub(super) fn syslog(&mut self, pid: i32, level: Level, wall: u64, text: &str) -> bool {
        let priority = AUTH * 8 + severity(level);
        let head = format!("<{priority}>{} saslauthd[{pid}]: ", log_line::timestamp(wall));
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

    /// All lines, for their way out.
    pub(super) fn take(&mut self) -> Batch {
        let mut ends = std::mem::take(&mut self.ends);
        // The next turn's lines are about as many.
        self.ends.reserve(ends.len().min(KEPT));
        ends.reverse();
        let next = Vec::with_capacity(self.bytes.len().min(KEPT));
        Batch { bytes: std::mem::replace(&mut self.bytes, next), start: 0, ends }
    }
}

/// Lines on their way out.
pub(super) struct Batch {
    bytes: Vec<u8>,
    start: usize,
    /// Where each line ends, the last one first.
    ends: Vec<usize>,
}

impl Batch {
    /// Whether everything is out.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Lines that are left.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.ends.len()).unwrap_or(u64::MAX)
    }

    /// Bytes that are left.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// As many whole lines as have no more than `most` bytes; at least one.
    pub(super) fn first(&self, most: usize) -> &[u8] {
        let fitting = |end: &&usize| **end <= self.start + most;
        let end = self.ends.iter().rev().take_while(fitting).last().or(self.ends.last());
        end.and_then(|end| self.bytes.get(self.start..*end)).unwrap_or_default()
    }

    /// Takes away lines of so many bytes.
    pub(super) fn drop_front(&mut self, bytes: usize) {
        self.start += bytes;
        while self.ends.pop_if(|end| *end <= self.start).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_never_cut() {
        let mut lines = Lines::default();
        for length in [1, 2, 5000, 3] {
            assert!(lines.stderr(1, &"x".repeat(length)));
        }
        let mut batch = lines.take();
        assert!(lines.is_empty());
        for (most, length, left) in [(40, 33, 2), (4096, 5015, 1), (0, 18, 0)] {
            assert_eq!(batch.first(most).len(), length);
            batch.drop_front(length);
            assert_eq!(batch.count(), left);
        }
        assert!(batch.is_empty() && batch.bytes() == 0 && batch.first(9).is_empty());
    }
}
