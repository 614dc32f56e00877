//! The house: both children, what they hold together, and the loop that keeps it standing.
//!
//! Runs in the parent, in one thread, until a signal ends it. Nothing that a child says or does ends the loop:
//! a child that misbehaves is ended and its place filled again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipc::control::{FromChild, ToChecker, ToListener};
use sys::channel::{self, Kind};
use sys::clock;
use sys::notify::Notifier;
use sys::signals::{Signal, Signals, wait_readable};

use super::errors::ChildErrors;
use super::identities::Identities;
use super::limiter::Limiter;
use super::member::Member;
use super::process::{Fault, Process, Programs, Role};
use super::pulse::Due;
use super::reload::Successor;
use super::sockets::{Listening, Sockets};
use crate::config::complaint::Report;
use crate::config::plan::Plan;
use crate::failure::Failure;
use crate::log::Log;

/// Asked for anew at each SIGHUP.
pub type Replan = Box<dyn Fn() -> Result<Plan, Report>>;

/// What the house is built from.
pub struct Parts {
    /// What is to be done.
    pub plan: Plan,
    /// How a new plan is made.
    pub replan: Replan,
    /// The children's executables.
    pub programs: Programs,
    /// Who the children become.
    pub identities: Identities,
    /// What is said of the command line.
    pub notices: Vec<String>,
    /// The public sockets.
    pub sockets: Sockets,
    /// The operators' socket.
    pub control: Listening,
    /// The limiter's table.
    pub limiter: Limiter,
    /// Signals, blocked and readable.
    pub signals: Signals,
    /// The service manager.
    pub notifier: Notifier,
    /// How often it wants a sign of life.
    pub watchdog: Option<Duration>,
    /// The log.
    pub log: Log,
    /// What children write to standard error, when nobody else reads that.
    pub errors: Option<ChildErrors>,
}

/// How far the house has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A child that cannot start ends the daemon.
    Starting,
    /// A child that cannot start is started again.
    Serving,
}

/// Both children and what they hold together.
pub struct House {
    pub(super) parts: Parts,
    pub(super) stage: Stage,
    pub(super) listener: Member,
    pub(super) checker: Member,
    /// The listener's end of a channel whose other end a checker has that is not ready yet.
    pub(super) promised: Option<OwnedFd>,
    pub(super) successor: Option<Successor>,
    /// SIGHUP came while a new checker was on its way.
    pub(super) reload_again: bool,
    /// Checkers that finish what is under way.
    pub(super) retiring: Vec<(Process, Instant)>,
    /// What an operator should know.
    pub(super) warnings: Vec<String>,
    pub(super) access_watch: super::access::Watch,
    /// When a log daemon that is away is looked for.
    pub(super) log_due: Option<Instant>,
    changed: bool,
    pub(super) started: u64,
    next_watchdog: Option<Instant>,
}

/// What the loop does next.
enum Next {
    Wait,
    Stop,
}

impl House {
    /// An empty house.
    pub fn new(parts: Parts) -> Self {
        let now = Instant::now();
        Self {
            stage: Stage::Starting,
            listener: Member::new(Role::Listener, now),
            checker: Member::new(Role::Checker, now),
            promised: None,
            successor: None,
            reload_again: false,
            retiring: Vec::new(),
            warnings: Vec::new(),
            access_watch: super::access::Watch::default(),
            log_due: None,
            changed: false,
            started: clock::wall_seconds(),
            next_watchdog: parts.watchdog.map(|_| now),
            parts,
        }
    }

    /// Starts both children, calls `serving` once both are ready, and serves until a signal says stop.
    pub fn run(
        mut self,
        serving: impl FnOnce(&mut Option<ChildErrors>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.renew_warnings();
        let mut serving = Some(serving);
        let result = loop {
            match self.turn() {
                Ok(Next::Stop) => break Ok(()),
                Ok(Next::Wait) => {}
                Err(failure) => break Err(failure),
            }
            if self.stage == Stage::Starting && self.listener.is_ready() && self.checker.is_ready()
            {
                self.stage = Stage::Serving;
                self.say_serving();
                if let Some(serving) = serving.take()
                    && let Err(failure) = serving(&mut self.parts.errors)
                {
                    break Err(failure);
                }
                self.parts.notifier.ready();
            }
        };
        self.stop();
        result
    }

    fn say_serving(&mut self) {
        for path in self.parts.sockets.paths() {
            self.parts.log.info(&format!("listening on socket: {}", path.display()));
        }
        self.say_access();
        self.parts.log.info(&format!("master pid is: {}", std::process::id()));
    }

    fn turn(&mut self) -> Result<Next, Failure> {
        self.act(Instant::now())?;
        self.wait()?;
        // Before the signals: what a child said last stands before the news of its end.
        self.hear();
        self.log_errors();
        while let Some(signal) = self.parts.signals.read().map_err(Failure::new)? {
            match signal {
                Signal::Terminate | Signal::Interrupt => return Ok(Next::Stop),
                Signal::Hangup => self.reload(),
                Signal::Child | Signal::User1 | Signal::Alarm => {}
            }
        }
        self.reap()?;
        Ok(Next::Wait)
    }

    /// Whatever is due.
    fn act(&mut self, now: Instant) -> Result<(), Failure> {
        match self.listener.pulse.due(now) {
            Due::Start => self.start_listener(now)?,
            Due::Ping => ping(&mut self.listener, &ToListener::Ping),
            Due::Kill => self.listener.end_silent(),
            Due::Nothing => {}
        }
        match self.checker.pulse.due(now) {
            Due::Start => self.start_checker(now)?,
            Due::Ping => ping(&mut self.checker, &ToChecker::Ping),
            Due::Kill => self.checker.end_silent(),
            Due::Nothing => {}
        }
        self.act_on_reload(now);
        self.look_for_log(now);
        self.look_at_access(now);
        if self.next_watchdog.is_some_and(|due| now >= due) {
            self.parts.notifier.watchdog();
            self.next_watchdog = self.parts.watchdog.map(|every| now + every / 2);
        }
        if std::mem::take(&mut self.changed) {
            self.tell_house();
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), Failure> {
        let now = Instant::now();
        let dues = [
            self.listener.pulse.next(),
            self.checker.pulse.next(),
            self.next_watchdog,
            self.log_due,
            self.access_due(),
        ];
        let due = dues.into_iter().chain(self.reload_dues()).flatten().min();
        let timeout = due.map(|due| due.saturating_duration_since(now));
        let members = [&self.listener, &self.checker].into_iter().chain(self.successor_member());
        let channels = members.filter_map(|member| member.process.as_ref());
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.parts.signals.as_fd()];
        descriptors.extend(channels.map(AsFd::as_fd));
        descriptors.extend(self.parts.errors.as_ref().map(AsFd::as_fd));
        wait_readable(&descriptors, timeout).map_err(Failure::new)?;
        Ok(())
    }

    /// A child that cannot be started counts as one that ended.
    fn start(&mut self, role: Role) -> Result<Option<Process>, Failure> {
        match Process::start(&self.parts.programs, role, self.parts.identities.of_role(role)) {
            Ok(process) => Ok(Some(process)),
            Err(e) if self.stage == Stage::Starting => Err(e.into()),
            Err(e) => {
                self.parts.log.error(&format!("cannot start {}: {e}", role.name()));
                Ok(None)
            }
        }
    }

    fn start_listener(&mut self, now: Instant) -> Result<(), Failure> {
        let Some(process) = self.start(Role::Listener)? else {
            self.listener.pulse.ended(now);
            return Ok(());
        };
        self.listener.filled(process, now);
        self.connect_ready_checker();
        // Until the house is whole its clients wait in the kernel's queue instead of being told that nobody knows.
        if self.stage == Stage::Serving {
            self.tell_serve();
        }
        self.changed = true;
        Ok(())
    }

    fn start_checker(&mut self, now: Instant) -> Result<(), Failure> {
        let Some(process) = self.start(Role::Checker)? else {
            self.checker.pulse.ended(now);
            return Ok(());
        };
        self.checker.filled(process, now);
        let task = self.parts.plan.checker.clone();
        let mut checker = std::mem::replace(&mut self.checker, Member::new(Role::Checker, now));
        self.promised = self.brief(&mut checker, task);
        self.checker = checker;
        self.changed = true;
        Ok(())
    }

    /// Gives a new checker its task and its end of a channel; returns the listener's end, to be handed over once
    /// the checker is ready.
    pub(super) fn brief(
        &mut self,
        checker: &mut Member,
        task: ipc::config::Checker,
    ) -> Option<OwnedFd> {
        let process = checker.process.as_ref()?;
        let task = with_pid(task);
        let descriptors = [self.parts.limiter.as_fd(), self.parts.control.as_fd()];
        let briefed = process.tell(&ToChecker::Configure(task), &descriptors);
        let told = briefed.and_then(|()| {
            let log = self.parts.log.descriptor().map_err(Fault::Channel)?;
            process.tell(&ToChecker::Log, &[log.as_fd()])?;
            let (listeners, checkers) = channel::pair(Kind::Stream).map_err(Fault::Channel)?;
            process.tell(&ToChecker::Listener, &[checkers.as_fd()])?;
            Ok(listeners)
        });
        match told {
            Ok(listeners) => {
                self.watch_log();
                Some(listeners)
            }
            Err(fault) => {
                checker.end(&fault);
                None
            }
        }
    }

    /// What the listener serves from now on.
    pub(super) fn tell_serve(&mut self) {
        self.tell_access();
        let Some(process) = &self.listener.process else { return };
        let message = ToListener::Serve(self.parts.plan.listener.clone());
        if let Err(fault) = process.tell(&message, &self.parts.sockets.descriptors()) {
            self.listener.end(&fault);
        }
    }

    /// Hands the listener its end of a channel.
    pub(super) fn hand_over(&mut self, channel: &OwnedFd) {
        let Some(process) = &self.listener.process else { return };
        if let Err(fault) = process.tell(&ToListener::Checker, &[channel.as_fd()]) {
            self.listener.end(&fault);
        }
    }

    /// A fresh channel between a new listener and a checker that serves already.
    fn connect_ready_checker(&mut self) {
        if !self.checker.is_ready() {
            return;
        }
        let Some(process) = &self.checker.process else { return };
        let connected = channel::pair(Kind::Stream).map_err(Fault::Channel).and_then(
            |(listeners, checkers)| {
                process.tell(&ToChecker::Listener, &[checkers.as_fd()]).map(|()| listeners)
            },
        );
        match connected {
            Ok(listeners) => self.hand_over(&listeners),
            Err(fault) => self.checker.end(&fault),
        }
    }

    /// Everything that children said.
    fn hear(&mut self) {
        let now = Instant::now();
        while let Some(message) = self.listener.hear(now) {
            self.note(Role::Listener, message);
        }
        while let Some(message) = self.checker.hear(now) {
            self.note(Role::Checker, message);
        }
        self.hear_successor(now);
    }

    fn note(&mut self, role: Role, message: FromChild) {
        match message {
            FromChild::Ready(confinement) => {
                self.changed = true;
                for missing in confinement.missing {
                    self.warn(format!("{}: {missing}", role.name()));
                }
                if role == Role::Checker
                    && let Some(channel) = self.promised.take()
                {
                    self.hand_over(&channel);
                    if self.stage == Stage::Starting {
                        self.tell_serve();
                    }
                }
            }
            FromChild::WantLog if role == Role::Checker => self.tell_log(),
            FromChild::Event(event) => self.note_event(role, event),
            FromChild::WantLog | FromChild::Refused(_) | FromChild::Alive => {}
        }
    }

    fn reap(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        for role in [Role::Listener, Role::Checker] {
            let member = match role {
                Role::Listener => &mut self.listener,
                Role::Checker => &mut self.checker,
            };
            let Some(ended) = member.reap(now) else { continue };
            self.changed = true;
            let text = format!("{}: {}", role.name(), ended.why);
            if self.stage == Stage::Starting {
                self.log_errors();
                let said = self.parts.errors.as_ref().and_then(ChildErrors::last);
                let said = said.map(|line| format!(" ({line})")).unwrap_or_default();
                return Err(Failure::new(format!("{text}{said}")));
            }
            let when = match ended.wait {
                Duration::ZERO => "at once".to_owned(),
                wait => format!("in {wait:?}"),
            };
            self.parts.log.error(&format!("{text}; starting it again {when}"));
        }
        self.reap_reload(now);
        Ok(())
    }

    /// Something of the status changed.
    pub(super) fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// Where state is kept.
    pub(super) fn state_dir(&self) -> PathBuf {
        self.parts.plan.state_dir.clone()
    }
}

fn with_pid(mut task: ipc::config::Checker) -> ipc::config::Checker {
    task.log.pid = i32::try_from(std::process::id()).unwrap_or_default();
    task
}

fn ping<M: ipc::control::Message>(member: &mut Member, message: &M) {
    let Some(process) = &member.process else { return };
    match process.tell(message, &[]) {
        Ok(()) => {}
        // A full channel is for the pulse to judge: the child may only be slow.
        Err(Fault::Channel(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(fault) => member.end(&fault),
    }
}
