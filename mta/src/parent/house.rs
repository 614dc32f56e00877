//! The house: both children, what they hold together, and the loop that keeps it standing.
//!
//! Runs in the parent, in one thread, until a signal ends it. Nothing that a child says or does ends the loop: a child that
//! misbehaves is ended and its place filled again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::notify::Notifier;
use sys::signals::{Signal, Signals, wait_readable};

use super::broker;
use super::failure::Failure;
use super::identities::Identities;
use super::listeners::Listeners;
use super::log::Log;
use super::manifest::{Manifest, Traces};
use super::member::{self, Member};
use super::reload::Predecessor;
use super::serve::Source;
use crate::config::Config;
use crate::config::files::Child;
use crate::control::{FromChild, Kept, Level, Reached, Socket, ToChild};

/// Most messages of one child that are heard before the other one's turn.
const MOST_HEARD: usize = 256;
/// Most connections that a child gets in a second.
const MOST_CONNECTIONS: u32 = 256;
/// Between two looks at the files.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the house is built from.
pub(super) struct Parts {
    /// Where the configuration comes from.
    pub(super) source: Source,
    /// What it says.
    pub(super) config: Config,
    /// Its text.
    pub(super) text: String,
    /// Who the children become.
    pub(super) identities: Identities,
    /// Where clients come in.
    pub(super) listeners: Listeners,
    /// What the receiver works by.
    pub(super) receives: Manifest,
    /// What the sender works by.
    pub(super) sends: Manifest,
    /// The operators' socket.
    pub(super) control: OwnedFd,
    /// Signals, blocked and readable.
    pub(super) signals: Signals,
    /// The service manager.
    pub(super) notifier: Notifier,
    /// How often it wants a sign of life.
    pub(super) watchdog: Option<Duration>,
    /// The log.
    pub(super) log: Log,
}

/// How far the house has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A child that cannot start ends the server.
    Starting,
    /// A child that cannot start is started again.
    Serving,
}

/// Both children and what they hold together.
pub(super) struct House {
    pub(super) parts: Parts,
    pub(super) stage: Stage,
    pub(super) receiver: Member,
    pub(super) sender: Member,
    /// What is in the spool, as the sender said last.
    kept: Kept,
    /// What the files looked like that were handed over last.
    pub(super) traces: Traces,
    pub(super) look_due: Instant,
    /// What was in use before what the children were told last.
    pub(super) before: Option<Predecessor>,
    /// Since when connections are counted, and how many there were.
    connections: (Instant, u32),
    next_watchdog: Option<Instant>,
}

impl House {
    /// An empty house.
    pub(super) fn new(parts: Parts) -> Result<Self, Failure> {
        let now = Instant::now();
        Ok(Self {
            stage: Stage::Starting,
            receiver: Member::new(Child::Receiver, now).map_err(Failure::new)?,
            sender: Member::new(Child::Sender, now).map_err(Failure::new)?,
            kept: Kept::default(),
            traces: Traces::of(&parts.config),
            look_due: now + LOOK_EVERY,
            before: None,
            connections: (now, 0),
            next_watchdog: parts.watchdog.map(|_| now),
            parts,
        })
    }

    /// Starts both children, calls `serving` once both are ready, and serves until a signal says stop.
    pub(super) fn run(
        mut self,
        serving: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let warnings = self.parts.identities.warnings.clone();
        warnings.iter().for_each(|warning| self.parts.log.write(Level::Warning, warning));
        let mut serving = Some(serving);
        let result = loop {
            match self.turn() {
                Ok(Next::Stop) => break Ok(()),
                Ok(Next::Wait) => {}
                Err(failure) => break Err(failure),
            }
            if self.stage == Stage::Starting && self.receiver.is_ready() && self.sender.is_ready() {
                self.stage = Stage::Serving;
                self.say_serving();
                if let Some(Err(failure)) = serving.take().map(|serving| serving()) {
                    break Err(failure);
                }
                self.parts.notifier.ready();
            }
        };
        self.stop();
        result
    }

    fn say_serving(&mut self) {
        let roles = &self.parts.config.listeners;
        let places = self.parts.listeners.places();
        let said: Vec<String> = places
            .filter_map(|(index, place)| {
                Some(format!("listening on {place} for {}", roles.get(index)?.role.word()))
            })
            .collect();
        said.iter().for_each(|line| self.parts.log.write(Level::Info, line));
        let pid = std::process::id();
        self.parts.log.write(Level::Info, &format!("serving; process id of the parent: {pid}"));
    }

    fn turn(&mut self) -> Result<Next, Failure> {
        let now = Instant::now();
        self.act(now)?;
        self.wait(now)?;
        // Before the signals: what a child said last stands before the news of its end.
        self.hear(Child::Receiver);
        self.hear(Child::Sender);
        while let Some(signal) = self.parts.signals.read().map_err(Failure::new)? {
            match signal {
                Signal::Terminate | Signal::Interrupt => return Ok(Next::Stop),
                Signal::Hangup => self.reload(),
                Signal::Child | Signal::User1 | Signal::Alarm => {}
            }
        }
        self.reap(Child::Receiver)?;
        self.reap(Child::Sender)?;
        Ok(Next::Wait)
    }

    /// Whatever is due.
    fn act(&mut self, now: Instant) -> Result<(), Failure> {
        for child in [Child::Receiver, Child::Sender] {
            self.member(child).end_late(now);
            if self.member(child).is_due(now) {
                self.start(child, now)?;
            }
        }
        if now >= self.look_due {
            self.look_due = now + LOOK_EVERY;
            self.look_at_files();
        }
        if self.next_watchdog.is_some_and(|due| now >= due) {
            self.parts.notifier.watchdog();
            self.next_watchdog = self.parts.watchdog.map(|every| now + every / 2);
        }
        Ok(())
    }

    fn wait(&self, now: Instant) -> Result<(), Failure> {
        let dues =
            [self.receiver.next(), self.sender.next(), Some(self.look_due), self.next_watchdog];
        let timeout = dues.into_iter().flatten().min();
        let timeout = timeout.map(|due| due.saturating_duration_since(now));
        let channels = [self.receiver.channel(), self.sender.channel()];
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.parts.signals.as_fd()];
        descriptors.extend(channels.into_iter().flatten());
        wait_readable(&descriptors, timeout).map_err(Failure::new)?;
        Ok(())
    }

    pub(super) fn member(&mut self, child: Child) -> &mut Member {
        match child {
            Child::Receiver => &mut self.receiver,
            Child::Sender => &mut self.sender,
        }
    }

    /// Starts a child and tells it all that it works by.
    fn start(&mut self, child: Child, now: Instant) -> Result<(), Failure> {
        let arguments = self.parts.identities.arguments(child);
        if let Err(error) = self.member(child).start(&arguments, now) {
            if self.stage == Stage::Starting {
                return Err(error.into());
            }
            let wait = self.member(child).not_started(now);
            let text = format!("cannot start {}: {error}; again in {wait:?}", member::name(child));
            self.parts.log.write(Level::Error, &text);
            return Ok(());
        }
        self.tell_load(child);
        match child {
            Child::Receiver => {
                self.tell_listen();
                let _ = self.receiver.try_tell(&ToChild::Queue(self.kept), &[]);
            }
            Child::Sender => {
                self.sender.tell(&ToChild::Control, &[self.parts.control.as_fd()]);
            }
        }
        Ok(())
    }

    /// What a child works by from now on.
    pub(super) fn tell_load(&mut self, child: Child) {
        let manifest = match child {
            Child::Receiver => &self.parts.receives,
            Child::Sender => &self.parts.sends,
        };
        match manifest.sealed() {
            Ok((memory, length)) => {
                self.member(child).tell(&ToChild::Load { length }, &[memory.as_fd()]);
                self.member(child).note_question();
            }
            Err(error) => self.member(child).end(&error.to_string()),
        }
    }

    /// Where the receiver accepts clients from now on.
    pub(super) fn tell_listen(&mut self) {
        let (listening, descriptors) = self.parts.listeners.message();
        self.receiver.tell(&ToChild::Listen(listening), &descriptors);
    }

    /// What a child said, though never so much that the other one waits.
    fn hear(&mut self, child: Child) {
        for _ in 0..MOST_HEARD {
            let Some(message) = self.member(child).hear() else { return };
            self.note(child, message);
        }
    }

    fn note(&mut self, child: Child, message: FromChild) {
        let now = Instant::now();
        let name = member::name(child);
        match message {
            FromChild::Ready { confinement, missing } => {
                self.member(child).note_ready(now);
                let pid = self.member(child).pid().unwrap_or_default();
                self.parts.log.write(Level::Info, &format!("{name}[{pid}]: {confinement}"));
                for missing in missing.iter().take(16) {
                    self.parts.log.write(Level::Warning, &format!("{name}: {missing}"));
                }
            }
            FromChild::Loaded(outcome) => self.note_loaded(child, outcome),
            FromChild::Connect { number, socket } => self.connect(child, number, socket, now),
            FromChild::Log { level, text } => {
                let pid = self.member(child).pid().and_then(|pid| u32::try_from(pid).ok());
                self.parts.log.write_as(pid.unwrap_or_default(), level, &text);
            }
            FromChild::Queue(kept) if child == Child::Sender => {
                self.kept = kept;
                // Without room the next count will do.
                let _ = self.receiver.try_tell(&ToChild::Queue(kept), &[]);
            }
            FromChild::Queue(_) => {}
        }
    }

    fn connect(&mut self, child: Child, number: u32, socket: Socket, now: Instant) {
        let (since, count) = &mut self.connections;
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        let reached = match *count > MOST_CONNECTIONS {
            true => Err("too many connections in a second".to_owned()),
            false => broker::reach(&self.parts.config.daemon, child, socket),
        };
        // A child that has no room for the answer gives up waiting by itself.
        let _ = match &reached {
            Ok(connection) => {
                let message = ToChild::Connection { number, reached: Reached::Yes };
                self.member(child).try_tell(&message, &[connection.as_fd()])
            }
            Err(why) => {
                let message = ToChild::Connection { number, reached: Reached::No(why.clone()) };
                self.member(child).try_tell(&message, &[])
            }
        };
    }

    fn reap(&mut self, child: Child) -> Result<(), Failure> {
        let Some(ended) = self.member(child).reap(Instant::now()) else { return Ok(()) };
        let text = format!("{}: {}", member::name(child), ended.why);
        if self.stage == Stage::Starting {
            return Err(Failure::new(text));
        }
        let when = match ended.wait {
            Duration::ZERO => "at once".to_owned(),
            wait => format!("in {wait:?}"),
        };
        self.parts.log.write(Level::Error, &format!("{text}; starting it again {when}"));
        Ok(())
    }
}

/// What the loop does next.
enum Next {
    Wait,
    Stop,
}
