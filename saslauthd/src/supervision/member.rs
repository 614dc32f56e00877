//! A place in the house that is filled again whenever its process ends.
//!
//! Runs in the parent. A member knows its process and its pulse; what the members are told is the house's job.

use std::time::{Duration, Instant};

use ipc::control::FromChild;
use ipc::status;
use sys::children::Exit;

use super::process::{Fault, Process, Role};
use super::pulse::Pulse;

/// Most messages of one child in [`PERIOD`]: far more than its channel holds, so that a parent that was stopped for a
/// while can catch up, and few enough to hear before anything else is due.
const MOST_HEARD: u32 = 2_000;
const PERIOD: Duration = Duration::from_secs(1);

/// One place.
pub struct Member {
    /// Which child.
    pub role: Role,
    /// When it is started and given up.
    pub pulse: Pulse,
    /// The running process.
    pub process: Option<Process>,
    starts: u32,
    last_words: Option<String>,
    /// Since when messages are counted, and how many came.
    heard: (Instant, u32),
}

/// How a member's process ended.
pub struct Ended {
    /// What it said before, or how it exited; one line.
    pub why: String,
    /// How long until the next start.
    pub wait: Duration,
}

impl Member {
    /// An empty place, to be filled now.
    pub fn new(role: Role, now: Instant) -> Self {
        Self {
            role,
            pulse: Pulse::new(now),
            process: None,
            starts: 0,
            last_words: None,
            heard: (now, 0),
        }
    }

    /// The process runs.
    pub fn filled(&mut self, process: Process, now: Instant) {
        self.process = Some(process);
        self.starts = self.starts.saturating_add(1);
        self.last_words = None;
        self.pulse.started(now);
    }

    /// Whether it serves.
    pub fn is_ready(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.confinement.is_some())
    }

    /// The next thing its process said, with what concerns the member itself already noted.
    pub fn hear(&mut self, now: Instant) -> Option<FromChild> {
        let process = self.process.as_mut()?;
        match process.hear() {
            Ok(Some(_)) if self.is_flooding(now) => {
                self.end(&Fault::Flood);
                None
            }
            Ok(Some(message)) => {
                self.note(&message, now);
                Some(message)
            }
            Ok(None) => None,
            Err(fault) => {
                self.end(&fault);
                None
            }
        }
    }

    /// Counts a message. A child that was taken over must not keep the parent listening to it alone.
    fn is_flooding(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.heard;
        if now.saturating_duration_since(*since) >= PERIOD {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count > MOST_HEARD
    }

    fn note(&mut self, message: &FromChild, now: Instant) {
        self.pulse.heard(now);
        match message {
            FromChild::Ready(confinement) => {
                self.pulse.ready(now);
                if let Some(process) = &mut self.process {
                    process.confinement = Some(confinement.clone());
                }
            }
            FromChild::Refused(why) => self.last_words = Some(why.clone()),
            _ => {}
        }
    }

    /// Ends its process for that reason.
    pub fn end(&mut self, why: &Fault) {
        let Some(process) = &self.process else { return };
        process.kill();
        // A channel that broke because the child ended is no reason of its own.
        let is_its_own =
            matches!(why, Fault::Malformed(_) | Fault::Accused | Fault::TooLong | Fault::Flood);
        if is_its_own || is_stuck(why) {
            self.last_words.get_or_insert_with(|| format!("it {why}"));
        }
        self.pulse.ending_after(Instant::now());
    }

    /// Ends its process because it gives no sign of life.
    pub fn end_silent(&mut self) {
        if let Some(process) = &self.process {
            process.kill();
        }
        self.last_words.get_or_insert_with(|| "it gave no sign of life".into());
    }

    /// Empties the place if its process ended.
    pub fn reap(&mut self, now: Instant) -> Option<Ended> {
        let exit = self.process.as_ref()?.ended()?;
        // Its last words may have come after the house listened.
        while self.hear(now).is_some() {}
        self.process = None;
        let why = self.last_words.take().unwrap_or_else(|| describe(exit));
        Some(Ended { why, wait: self.pulse.ended(now) })
    }

    /// For the status.
    pub fn status(&self) -> Option<status::Process> {
        let process = self.process.as_ref()?;
        Some(status::Process {
            name: self.role.name().into(),
            pid: process.pid(),
            restarts: self.starts.saturating_sub(1),
            confinement: process.confinement.clone(),
        })
    }

    /// Takes over how often the place was filled before.
    pub fn succeed(&mut self, before: &Self) {
        self.starts = self.starts.saturating_add(before.starts).saturating_sub(1);
    }
}

/// Whether the child runs and does not read.
fn is_stuck(why: &Fault) -> bool {
    matches!(why, Fault::Channel(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

fn describe(exit: Exit) -> String {
    format!("it ended by {exit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_too_much_in_a_moment_floods_and_who_says_it_in_an_hour_does_not() {
        let start = Instant::now();
        let mut member = Member::new(Role::Listener, start);
        assert_eq!((0..MOST_HEARD).filter(|_| member.is_flooding(start)).count(), 0);
        assert!(member.is_flooding(start));
        let mut member = Member::new(Role::Listener, start);
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            assert!((0..10).all(|_| !member.is_flooding(now)), "at {second} s");
        }
    }
}
