//! The end: no new client, answers for those under way, everything put away.
//!
//! Runs in the parent. It is bounded: a child that does not finish is ended.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipc::control::{ToChecker, ToListener};
use sys::signals::wait_readable;

use super::house::House;
use super::process::Process;

/// How long children may take to finish.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a killed one.
const AFTER_KILL: Duration = Duration::from_secs(2);

impl House {
    /// Ends the children, saves the limiter, removes the sockets. The pid file goes with its owner.
    pub(super) fn stop(mut self) {
        self.parts.notifier.stopping();
        self.parts.sockets.unlink();
        self.parts.control.unlink();
        let mut processes = self.dismiss();
        self.await_ends(&mut processes, PATIENCE);
        for process in &processes {
            self.parts
                .log
                .warning(&format!("process {} does not finish; ending it", process.pid()));
            process.kill();
        }
        self.await_ends(&mut processes, AFTER_KILL);
        if let Err(warning) = self.parts.limiter.save(&self.state_dir()) {
            self.parts.log.warning(&warning);
        }
        self.parts.log.info(&format!("master exited: {}", std::process::id()));
    }

    /// Tells both to finish; whoever is not in service is ended.
    fn dismiss(&mut self) -> Vec<Process> {
        let mut processes = Vec::new();
        if let Some(listener) = self.listener.process.take() {
            let told = listener.tell(&ToListener::Stop, &[]);
            if told.is_err() {
                listener.kill();
            }
            processes.push(listener);
        }
        if let Some(checker) = self.checker.process.take() {
            let told = checker.tell(&ToChecker::Stop, &[]);
            if told.is_err() {
                checker.kill();
            }
            processes.push(checker);
        }
        // The parent's end of a promised channel would keep the checker waiting.
        self.promised = None;
        if let Some(process) = self.take_successor() {
            process.kill();
            processes.push(process);
        }
        processes.extend(self.retiring.drain(..).map(|(process, _)| process));
        processes
    }

    fn await_ends(&self, processes: &mut Vec<Process>, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            processes.retain(|process| process.ended().is_none());
            let left = until.saturating_duration_since(Instant::now());
            if processes.is_empty() || left.is_zero() {
                return;
            }
            // SIGCHLD wakes; further signals to stop change nothing.
            if wait_readable(&[self.parts.signals.as_fd()], Some(left)).is_err() {
                return;
            }
            while let Ok(Some(_)) = self.parts.signals.read() {}
        }
    }
}
