//! The end: no new client, what was begun is finished, everything put away.
//!
//! Runs in the parent. It is bounded: a child that does not finish is ended. What was answered 250 is on disk.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sys::signals::wait_readable;

use super::house::House;
use crate::config::files::Child;
use crate::control::{FromChild, Level, ToChild};

/// How long children may take to finish.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel may take to end a killed one.
const AFTER_KILL: Duration = Duration::from_secs(2);

impl House {
    /// Ends the children and removes the control socket. The pid file goes with its owner.
    pub(super) fn stop(mut self) {
        self.parts.notifier.stopping();
        // It can be gone already, which is as good.
        let _ = std::fs::remove_file(&self.parts.config.operation.control);
        for child in [Child::Receiver, Child::Sender] {
            self.member(child).tell(&ToChild::Stop, &[]);
        }
        self.await_ends(PATIENCE);
        for child in [Child::Receiver, Child::Sender] {
            if let Some(pid) = self.member(child).pid()
                && !self.member(child).has_ended()
            {
                let text = format!("process {pid} does not finish; ending it");
                self.parts.log.write(Level::Warning, &text);
                self.member(child).end("it does not finish");
            }
        }
        self.await_ends(AFTER_KILL);
        self.parts.log.write(Level::Info, "ended");
    }

    fn await_ends(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let mut waiting = 0;
            for child in [Child::Receiver, Child::Sender] {
                self.hear_last(child);
                if self.member(child).reap(Instant::now()).is_none()
                    && self.member(child).pid().is_some()
                {
                    waiting += 1;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if waiting == 0 || left.is_zero() {
                return;
            }
            let channels = [self.receiver.channel(), self.sender.channel()];
            let mut descriptors = vec![self.parts.signals.as_fd()];
            descriptors.extend(channels.into_iter().flatten());
            // SIGCHLD wakes; further signals to stop change nothing.
            if wait_readable(&descriptors, Some(left)).is_err() {
                return;
            }
            while let Ok(Some(_)) = self.parts.signals.read() {}
        }
    }

    /// Lines of the log, for as long as there are any, and nothing else.
    fn hear_last(&mut self, child: Child) {
        while let Some(message) = self.member(child).hear() {
            if let FromChild::Log { level, text } = message {
                let pid = self.member(child).pid().and_then(|pid| u32::try_from(pid).ok());
                self.parts.log.write_as(pid.unwrap_or_default(), level, &text);
            }
        }
    }
}
