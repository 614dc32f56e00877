//! The access map: handed to the listener whole, and again when its file changes.
//!
//! Runs in the parent, which reads the map and trusts no child with it. A file that has a mistake, or is gone, leaves the
//! map before in force and is logged once.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipc::control::ToListener;

use super::house::House;
use crate::config::access::{self, Loaded, Stamp};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// When the map is looked at, and which state of its file was complained of already.
#[derive(Default)]
pub(super) struct Watch {
    due: Option<Instant>,
    complained: Option<Option<Stamp>>,
}

impl House {
    /// Hands the map to the listener; before its sockets, so that no question comes without one.
    pub(super) fn tell_access(&mut self) {
        let (Some(process), Some(map)) = (&self.listener.process, &self.parts.plan.access) else {
            return;
        };
        let told = match sys::sealed::seal(map.text.as_bytes()) {
            Ok(text) => process.tell(&ToListener::Access(map.task.clone()), &[text.as_fd()]),
            // Without memory for a map the listener goes on with what it has.
            Err(e) => return self.parts.log.error(&format!("the access map: {e}")),
        };
        match told {
            Ok(()) => {}
            Err(fault) => self.listener.end(&fault),
        }
    }

    pub(super) fn access_due(&self) -> Option<Instant> {
        self.parts.plan.access.as_ref().and(self.access_watch.due)
    }

    pub(super) fn look_at_access(&mut self, now: Instant) {
        if self.parts.plan.access.is_none() {
            return;
        }
        if self.access_watch.due.is_some_and(|due| now < due) {
            return;
        }
        self.access_watch.due = Some(now + LOOK);
        let Some(map) = &self.parts.plan.access else { return };
        let found = Stamp::of(&map.path);
        if found == Some(map.stamp) || self.access_watch.complained == Some(found) {
            return;
        }
        match access::load(&map.path, &map.task) {
            Ok(map) => self.change_access(map),
            Err(report) => {
                self.access_watch.complained = Some(found);
                self.parts.log.error("the access map has errors; the one before stays in force");
                for line in report.lines() {
                    self.parts.log.error(&line);
                }
            }
        }
    }

    fn change_access(&mut self, map: Loaded) {
        self.access_watch.complained = None;
        for warning in &map.warnings {
            self.parts.log.warning(warning);
        }
        self.parts.log.info(&format!("deciding by the new access map, {}", map.path.display()));
        self.parts.plan.access = Some(map);
        self.tell_access();
    }
}
