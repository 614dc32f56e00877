//! What children write to standard error when the daemon is detached: it goes into the log.
//!
//! Runs in the parent. A child writes there only when it cannot go on, and it may have been taken over: the text is
//! bounded in length and in number, and one line each.

use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::descriptors;

/// Lines that are passed on in [`PERIOD`].
const MOST_LINES: u32 = 60;
const PERIOD: Duration = Duration::from_secs(60);
/// Longer lines are cut.
const LONGEST: usize = 1024;

/// Standard error of this process and its children, as a pipe that this process reads.
pub struct ChildErrors {
    reader: PipeReader,
    writer: PipeWriter,
    /// The caller's, until the daemon serves.
    before: Option<OwnedFd>,
    partial: Vec<u8>,
    last: Option<String>,
    left: u32,
    since: Instant,
}

impl ChildErrors {
    /// Puts the pipe in the place of standard error.
    pub fn capture() -> sys::Result<Self> {
        let failed = || sys::Error::system("put a pipe on standard error");
        let (reader, writer) = std::io::pipe().map_err(failed())?;
        descriptors::set_nonblocking(&reader).map_err(failed())?;
        let before = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed())?;
        let captured = Self {
            reader,
            writer,
            before: Some(before),
            partial: Vec::new(),
            last: None,
            left: MOST_LINES,
            since: Instant::now(),
        };
        captured.again()?;
        Ok(captured)
    }

    /// Puts it there again, after something else was put there, and lets go of the caller's.
    pub fn keep(&mut self) -> sys::Result<()> {
        self.before = None;
        self.again()
    }

    fn again(&self) -> sys::Result<()> {
        descriptors::duplicate_to(&self.writer, 2)
            .map_err(sys::Error::system("put a pipe on standard error"))
    }

    /// The lines that came since.
    pub fn lines(&mut self, now: Instant) -> Vec<String> {
        if now.saturating_duration_since(self.since) >= PERIOD {
            (self.left, self.since) = (MOST_LINES, now);
        }
        let mut lines = Vec::new();
        let mut bytes = [0; LONGEST];
        while let Ok(count @ 1..) = (&self.reader).read(&mut bytes) {
            self.partial.extend_from_slice(bytes.get(..count).unwrap_or_default());
            while let Some(line) = next_line(&mut self.partial) {
                if self.left > 0 {
                    self.left -= 1;
                    lines.push(line);
                }
            }
        }
        if let Some(last) = lines.last() {
            self.last = Some(last.clone());
        }
        lines
    }

    /// The last line that came.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

impl AsFd for ChildErrors {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// The caller gets its standard error back for the last words of this process.
impl Drop for ChildErrors {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If that fails, what is said then is lost, and the exit code remains.
            let _ = descriptors::duplicate_to(before, 2);
        }
    }
}

fn next_line(partial: &mut Vec<u8>) -> Option<String> {
    let end = match partial.iter().position(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if partial.len() >= LONGEST => LONGEST,
        None => return None,
    };
    let line: Vec<u8> = partial.drain(..end).collect();
    Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_line_feeds_and_at_the_limit() {
        let mut partial = b"one\ntwo".to_vec();
        assert_eq!(next_line(&mut partial).unwrap(), "one");
        assert_eq!(next_line(&mut partial), None);
        partial.extend_from_slice(&[b'x'; LONGEST]);
        assert_eq!(next_line(&mut partial).unwrap().len(), LONGEST);
        assert_eq!(partial.len(), 3);
    }
}
