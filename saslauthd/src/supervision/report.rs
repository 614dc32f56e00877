//! What operators get to know: events of children, warnings, and the status.
//!
//! Runs in the parent. What a child says of itself is shown as its word, on one line; it decides nothing.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipc::control::{Event, ToChecker};

use super::house::House;
use super::member::Member;
use super::process::{Fault, Role};

/// How often a log daemon that is away is looked for.
const LOOK_FOR_LOG: Duration = Duration::from_secs(1);

impl House {
    pub(super) fn note_event(&mut self, role: Role, event: Event) {
        let path = |socket: u16| {
            let path = self.parts.sockets.paths().nth(socket.into());
            path.map_or("an unknown socket".into(), |path| path.display().to_string())
        };
        match (role, event) {
            (Role::Listener, Event::PeerNotAllowed { socket, uid }) => {
                let text = format!("uid {uid} may not use {}; name it in uids", path(socket));
                self.parts.log.warning(&text);
            }
            (Role::Listener, Event::Full { connections }) => {
                let text = format!("{connections} connections are held; new clients wait");
                self.parts.log.warning(&text);
            }
            (Role::Listener, Event::CheckerMalformed) => self.checker.end(&Fault::Accused),
            (Role::Checker, Event::ListenerMalformed) => self.listener.end(&Fault::Accused),
            _ => self.parts.log.warning(&format!("{}: an event of the other child's", role.name())),
        }
    }

    /// A log for the checker. While the log daemon is away it gets standard error, and another one soon.
    pub(super) fn tell_log(&mut self) {
        self.log_due = None;
        let Some(process) = &self.checker.process else { return };
        let told = self.parts.log.descriptor().map_err(Fault::Channel);
        if let Err(fault) = told.and_then(|log| process.tell(&ToChecker::Log, &[log.as_fd()])) {
            self.checker.end(&fault);
        }
        self.watch_log();
    }

    /// Looks for the log daemon again later, if it is away.
    pub(super) fn watch_log(&mut self) {
        if self.parts.log.is_away() {
            self.log_due = Some(Instant::now() + LOOK_FOR_LOG);
        }
    }

    pub(super) fn look_for_log(&mut self, now: Instant) {
        if self.log_due.is_none_or(|due| now < due) {
            return;
        }
        match self.parts.log.reconnect() {
            true => self.tell_log(),
            false => self.log_due = Some(now + LOOK_FOR_LOG),
        }
    }

    /// Each warning is logged once and stays in the status.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.parts.log.warning(&warning);
            self.warnings.push(warning);
        }
    }

    /// The warnings of the plan that holds now; those that were there before are not logged again.
    pub(super) fn renew_warnings(&mut self) {
        let before = std::mem::take(&mut self.warnings);
        let parts = &mut self.parts;
        let all =
            parts.notices.iter().chain(&parts.identities.warnings).chain(&parts.plan.warnings);
        self.warnings = all.cloned().collect();
        for warning in self.warnings.iter().filter(|warning| !before.contains(warning)) {
            parts.log.warning(warning);
        }
    }

    pub(super) fn log_errors(&mut self) {
        let Some(errors) = &mut self.parts.errors else { return };
        for line in errors.lines(Instant::now()) {
            self.parts.log.error(&line);
        }
    }

    /// The status, for `mailauth status`.
    pub(super) fn tell_house(&mut self) {
        if !self.checker.is_ready() {
            return;
        }
        let parent = ipc::status::Process {
            name: "saslauthd".into(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            restarts: 0,
            confinement: None,
        };
        let children = [&self.listener, &self.checker].into_iter().filter_map(Member::status);
        let listener = &self.parts.plan.listener;
        let house = ipc::status::House {
            version: crate::version::short(),
            started: self.started,
            config: self.parts.plan.source.clone(),
            processes: std::iter::once(parent).chain(children).collect(),
            sockets: listener.sockets.iter().map(named).collect(),
            warnings: self.warnings.iter().chain(&self.access_watch.trouble).cloned().collect(),
        };
        let Some(process) = &self.checker.process else { return };
        if let Err(fault) = process.tell(&ToChecker::House(house), &[]) {
            self.checker.end(&fault);
        }
    }
}

fn named(socket: &ipc::config::Socket) -> String {
    let protocol = match socket.protocol {
        ipc::config::Protocol::Mux => "mux",
        ipc::config::Protocol::Pwcheck => "pwcheck",
        ipc::config::Protocol::Auth => "auth",
        ipc::config::Protocol::Userdb => "userdb",
        ipc::config::Protocol::Policy => "policy",
    };
    format!("{protocol} {}", socket.path)
}
