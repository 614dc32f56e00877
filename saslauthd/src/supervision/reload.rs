//! SIGHUP: a new configuration takes over as a whole, or not at all.
//!
//! Runs in the parent. The configuration is validated, new sockets are bound and a new checker is started with it
//! beside the old one. Only when that checker is ready does the listener get the new sockets and the new
//! channel; the old checker then finishes what it holds. Until then everything can be taken back.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ipc::control::{FromChild, ToChecker};

use super::house::{House, Stage};
use super::identities::{self, Identities};
use super::limiter::Limiter;
use super::member::Member;
use super::process::{Process, Role};
use super::pulse::Due;
use super::sockets::{Added, Directory, Listening};
use crate::config::plan::Plan;
use crate::log::Log;

/// How long an old checker may take to finish.
const RETIRE: Duration = Duration::from_secs(60);

/// A checker that will take over, and what comes with it.
pub(super) struct Successor {
    member: Member,
    plan: Plan,
    added: Added,
    channel: Option<OwnedFd>,
    before: Before,
}

/// What is put back when the new configuration does not come up.
struct Before {
    identities: Identities,
    limiter: Option<Limiter>,
    control: Option<Listening>,
    log: Log,
}

impl House {
    pub(super) fn reload(&mut self) {
        if self.stage == Stage::Starting {
            return self.parts.log.info("SIGHUP while starting; the configuration was just read");
        }
        if self.successor.is_some() {
            self.reload_again = true;
            return;
        }
        self.parts.notifier.reloading();
        let plan = match (self.parts.replan)() {
            Ok(plan) => plan,
            Err(report) => {
                self.parts.log.error("the new configuration has errors; the old one stays");
                for line in report.lines() {
                    self.parts.log.error(&line);
                }
                return self.parts.notifier.ready();
            }
        };
        if let Err(e) = self.begin(plan) {
            self.parts.log.error(&format!("{e}; the old configuration stays"));
            self.parts.notifier.ready();
        }
    }

    fn begin(&mut self, plan: Plan) -> sys::Result<()> {
        let accounts = sys::identity::AccountFiles::default();
        let identities = Identities::of(&plan, &accounts)?;
        identities::prepare_accounts(&plan, &identities)?;
        let words = plan.checker.limits.table_words();
        let limiter = match words == self.parts.limiter.words() {
            true => None,
            false => {
                self.parts.log.warning("[limits] entries changed: failures so far are forgotten");
                Some(Limiter::new(words)?)
            }
        };
        let added = self.parts.sockets.add(&plan)?;
        let started = self.start_successor(&plan, &identities);
        let (process, control) = match started {
            Ok(started) => started,
            Err(e) => {
                added.discard();
                return Err(e);
            }
        };
        let before = Before {
            identities: std::mem::replace(&mut self.parts.identities, identities),
            limiter: limiter.map(|new| std::mem::replace(&mut self.parts.limiter, new)),
            control: control.map(|new| std::mem::replace(&mut self.parts.control, new)),
            log: std::mem::replace(
                &mut self.parts.log,
                Log::new(&plan.checker.log, plan.foreground),
            ),
        };
        let now = Instant::now();
        let mut member = Member::new(Role::Checker, now);
        member.filled(process, now);
        let channel = self.brief(&mut member, plan.checker.clone());
        self.successor = Some(Successor { member, plan, added, channel, before });
        Ok(())
    }

    fn start_successor(
        &mut self,
        plan: &Plan,
        identities: &Identities,
    ) -> sys::Result<(Process, Option<Listening>)> {
        let control = match self.parts.control.is(&plan.control_socket()) {
            true => None,
            false if self.parts.control.path() == plan.control => {
                self.parts.control.change(&plan.control_socket())?;
                None
            }
            false => Some(Listening::bind(&plan.control_socket(), Directory::of(plan))?),
        };
        let who = identities.of_role(Role::Checker);
        match Process::start(&self.parts.programs, Role::Checker, who) {
            Ok(process) => Ok((process, control)),
            Err(e) => {
                control.iter().for_each(Listening::unlink);
                Err(e)
            }
        }
    }

    pub(super) fn successor_member(&self) -> Option<&Member> {
        self.successor.as_ref().map(|successor| &successor.member)
    }

    /// For the end: whatever of a reload is under way is taken back.
    pub(super) fn take_successor(&mut self) -> Option<Process> {
        let successor = self.successor.take()?;
        successor.added.discard();
        successor.member.process
    }

    /// When something of a reload is due.
    pub(super) fn reload_dues(&self) -> impl Iterator<Item = Option<Instant>> {
        let successor = self.successor_member().and_then(|member| member.pulse.next());
        let retiring = self.retiring.iter().map(|(_, until)| *until).min();
        [successor, retiring].into_iter()
    }

    pub(super) fn act_on_reload(&mut self, now: Instant) {
        if self.successor.is_none() && std::mem::take(&mut self.reload_again) {
            self.reload();
        }
        if let Some(successor) = &mut self.successor
            && successor.member.pulse.due(now) == Due::Kill
        {
            successor.member.end_silent();
        }
        for (process, until) in &mut self.retiring {
            if now >= *until {
                process.kill();
                *until = now + RETIRE;
            }
        }
    }

    pub(super) fn hear_successor(&mut self, now: Instant) {
        let Some(mut successor) = self.successor.take() else { return };
        let mut ready = false;
        while let Some(message) = successor.member.hear(now) {
            ready |= matches!(message, FromChild::Ready(_));
        }
        match ready {
            true => self.take_over(successor, now),
            false => self.successor = Some(successor),
        }
    }

    fn take_over(&mut self, successor: Successor, now: Instant) {
        let Successor { mut member, plan, added, channel, before } = successor;
        if let Err(e) = self.parts.sockets.commit(&plan, added) {
            self.parts.log.error(&e.to_string());
        }
        before.control.iter().for_each(Listening::unlink);
        self.parts.plan = plan;
        member.succeed(&self.checker);
        let old = std::mem::replace(&mut self.checker, member);
        // Told before its channel is closed, so that it knows what the end of the channel means.
        if let Some(process) = old.process {
            // One that cannot be told is ended when its time is over.
            let told = process.tell(&ToChecker::Stop, &[]);
            let time = if told.is_ok() { RETIRE } else { Duration::ZERO };
            self.retiring.push((process, now + time));
        }
        self.promised = None;
        self.access_watch = super::access::Watch::default();
        self.tell_serve();
        if let Some(channel) = &channel {
            self.hand_over(channel);
        }
        self.renew_warnings();
        self.parts
            .log
            .info(&format!("serving by the new configuration, {}", self.parts.plan.source));
        self.mark_changed();
        self.parts.notifier.ready();
    }

    pub(super) fn reap_reload(&mut self, now: Instant) {
        self.retiring.retain(|(process, _)| process.ended().is_none());
        let Some(mut successor) = self.successor.take() else { return };
        match successor.member.reap(now) {
            Some(ended) => {
                self.give_up(successor, &ended.why);
                self.parts.notifier.ready();
            }
            None => self.successor = Some(successor),
        }
    }

    fn give_up(&mut self, successor: Successor, why: &str) {
        let Successor { member, added, before, .. } = successor;
        added.discard();
        self.parts.identities = before.identities;
        self.parts.log = before.log;
        if let Some(limiter) = before.limiter {
            self.parts.limiter = limiter;
        }
        if let Some(control) = before.control {
            std::mem::replace(&mut self.parts.control, control).unlink();
        }
        if let Some(process) = member.process {
            process.kill();
            self.retiring.push((process, Instant::now() + RETIRE));
        }
        let text = format!("the new checker did not come up: {why}; the old configuration stays");
        self.parts.log.error(&text);
    }
}
