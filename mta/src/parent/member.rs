//! A place in the house that is filled again whenever its process ends: the process, its channel, and when it is due.
//!
//! Runs in the parent. A child may have been taken over: nothing here waits for it or believes a length that it says, and
//! one that says what makes no sense, or doesn't read its channel, is ended.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sys::children::{self, End, Exit};
use sys::{channel, descriptors};

use crate::config::files::Child;
use crate::control::{FromChild, MAX_MESSAGE, ToChild};

/// From the start until the child must be ready.
const START: Duration = Duration::from_secs(30);
/// How long a child may be there without its channel: one that ends by itself closes it a little before its end.
const LEAVING: Duration = Duration::from_secs(2);
/// A child that served so long did not fail at its start.
const SERVED: Duration = Duration::from_secs(1);
/// The second restart in a row waits so long, each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// But never longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One place.
pub(super) struct Member {
    program: PathBuf,
    process: Option<Process>,
    /// When it is started, while there is no process.
    due: Instant,
    quick_ends: u32,
    last_words: Option<String>,
}

struct Process {
    child: children::Child,
    channel: OwnedFd,
    started: Instant,
    ready: Option<Instant>,
    /// How often it was told what to work by and has not said what became of it.
    unanswered: u32,
    /// Since when it has no channel.
    closed: Option<Instant>,
}

/// How a member's process ended.
pub(super) struct Ended {
    /// What was wrong before, or how it exited; one line.
    pub(super) why: String,
    /// How long until the next start.
    pub(super) wait: Duration,
}

/// Where executables are, seen from our own: beside it, or where distributions put helpers.
const PLACES: [&str; 4] = ["", "../libexec/mta", "../libexec", "../lib/mta"];

/// The executable `name` that belongs to our own; never found by a search path.
pub(super) fn find(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("cannot read /proc/self/exe: {e}"))?;
    let directory = own.parent().unwrap_or(Path::new("/"));
    let mut places = PLACES.iter().map(|place| directory.join(place).join(name));
    places.find(|path| path.is_file()).ok_or_else(|| {
        format!("there is no {name} beside {}; build or install all programs", directory.display())
    })
}

/// The name of a child's executable.
pub(super) fn name(child: Child) -> &'static str {
    match child {
        Child::Receiver => "mta-receiver",
        Child::Sender => "mta-sender",
    }
}

impl Member {
    /// An empty place, to be filled now.
    pub(super) fn new(child: Child, now: Instant) -> Result<Self, String> {
        let program = find(name(child))?;
        Ok(Self { program, process: None, due: now, quick_ends: 0, last_words: None })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(|process| process.child.pid)
    }

    /// Whether it serves.
    pub(super) fn is_ready(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ready.is_some())
    }

    /// Whether a process is to be started now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.process.is_none() && now >= self.due
    }

    /// When something is due next; `None` while it serves.
    pub(super) fn next(&self) -> Option<Instant> {
        match &self.process {
            None => Some(self.due),
            Some(Process { closed: Some(closed), .. }) => Some(*closed + LEAVING),
            Some(process) if process.ready.is_none() => Some(process.started + START),
            Some(_) => None,
        }
    }

    /// Starts its process.
    pub(super) fn start(&mut self, arguments: &[OsString], now: Instant) -> sys::Result<()> {
        let (ours, theirs) = channel::pair(channel::Kind::Packets)
            .map_err(sys::Error::system("make a channel to a child"))?;
        descriptors::set_nonblocking(&ours)
            .map_err(sys::Error::system("make a channel nonblocking"))?;
        let child = children::spawn(&self.program, arguments, &[], theirs.as_fd())?;
        self.last_words = None;
        let (ready, closed) = (None, None);
        self.process =
            Some(Process { child, channel: ours, started: now, ready, unanswered: 0, closed });
        Ok(())
    }

    /// It could not be started: says how long until the next attempt.
    pub(super) fn not_started(&mut self, now: Instant) -> Duration {
        let wait = wait_after(self.quick_ends);
        self.quick_ends = self.quick_ends.saturating_add(1);
        self.due = now + wait;
        wait
    }

    /// It said that it is ready.
    pub(super) fn note_ready(&mut self, now: Instant) {
        if let Some(process) = &mut self.process {
            process.ready.get_or_insert(now);
        }
    }

    /// It was told what to work by.
    pub(super) fn note_question(&mut self) {
        if let Some(process) = &mut self.process {
            process.unanswered = process.unanswered.saturating_add(1);
        }
    }

    /// It said what became of that; whether it was told something else meanwhile.
    pub(super) fn note_answer(&mut self) -> bool {
        if let Some(process) = &mut self.process {
            process.unanswered = process.unanswered.saturating_sub(1);
        }
        self.answers_left()
    }

    /// Whether it still has to say so. One that ended is told again when it is started.
    pub(super) fn answers_left(&self) -> bool {
        self.process.as_ref().is_none_or(|process| process.unanswered > 0)
    }

    /// Tells it something that it can't do without; one that can't be told is ended.
    pub(super) fn tell(&mut self, message: &ToChild, descriptors: &[BorrowedFd<'_>]) {
        if let Err(error) = self.try_tell(message, descriptors) {
            self.end(&format!("it does not read its channel: {error}"));
        }
    }

    /// Tells it something that it can do without: nothing happens if there is no room.
    pub(super) fn try_tell(
        &self,
        message: &ToChild,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        let packet = postcard::to_allocvec(message).map_err(io::Error::other)?;
        channel::send_with_fds(&process.channel, &packet, descriptors).map(|_| ())
    }

    /// The next thing that it said.
    pub(super) fn hear(&mut self) -> Option<FromChild> {
        let process = self.process.as_mut().filter(|process| process.closed.is_none())?;
        let mut packet = [0; MAX_MESSAGE];
        let mut received = channel::receive_plain(&process.channel, &mut packet);
        // A child that ended without reading all resets the channel; what it said before is still there.
        if received.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset) {
            received = channel::receive_plain(&process.channel, &mut packet);
        }
        match received {
            Ok(0) => {
                // It ended, or is about to, and the signal tells how: it isn't killed before it can say.
                process.closed = Some(Instant::now());
                None
            }
            Ok(count) => match postcard::from_bytes(packet.get(..count).unwrap_or_default()) {
                Ok(message) => Some(message),
                Err(_) => {
                    self.end("it sent a malformed message");
                    None
                }
            },
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => None,
            Err(e) => {
                self.end(&format!("its channel: {e}"));
                None
            }
        }
    }

    /// Ends its process for that reason.
    pub(super) fn end(&mut self, why: &str) {
        let Some(process) = &self.process else { return };
        // It can only fail when the process is gone already.
        let _ = process.child.end(End::AtOnce);
        self.last_words.get_or_insert_with(|| why.to_owned());
    }

    /// Remembers what was wrong, to say it when the process ends.
    pub(super) fn note_wrong(&mut self, why: &str) {
        self.last_words = Some(why.to_owned());
    }

    /// Ends one that doesn't get ready, or stays without its channel, which is of no use.
    pub(super) fn end_late(&mut self, now: Instant) {
        let closed = self.process.as_mut().and_then(|process| process.closed.as_mut());
        if let Some(since) =
            closed.filter(|since| now.saturating_duration_since(**since) >= LEAVING)
        {
            // Once more after as long, should the kernel not end it.
            *since = now;
            self.end("it closed its channel and stayed");
        }
        let late = self.process.as_ref().is_some_and(|process| {
            process.ready.is_none() && now.saturating_duration_since(process.started) >= START
        });
        if late {
            self.end("it did not get ready");
        }
    }

    /// Whether its process ended; the place stays.
    pub(super) fn has_ended(&self) -> bool {
        self.process
            .as_ref()
            .is_none_or(|process| process.child.try_wait().is_ok_and(|e| e.is_some()))
    }

    /// Empties the place if its process ended. `hear` everything first.
    pub(super) fn reap(&mut self, now: Instant) -> Option<Ended> {
        let exit = self.process.as_ref()?.child.try_wait().ok().flatten()?;
        let served = self.process.take()?.ready;
        if served.is_some_and(|since| now.saturating_duration_since(since) >= SERVED) {
            self.quick_ends = 0;
        }
        let why = self.last_words.take().unwrap_or_else(|| describe(exit));
        Some(Ended { why, wait: self.not_started(now) })
    }

    /// The channel, to wait for; `None` when it was closed.
    pub(super) fn channel(&self) -> Option<BorrowedFd<'_>> {
        let process = self.process.as_ref().filter(|process| process.closed.is_none())?;
        Some(process.channel.as_fd())
    }
}

fn wait_after(quick_ends: u32) -> Duration {
    match quick_ends.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
            FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
        }
    }
}

fn describe(exit: Exit) -> String {
    format!("it ended by {exit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_back_off_and_never_wait_longer_than_half_a_minute() {
        let waits: Vec<u128> = (0..11).map(|n| wait_after(n).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}
