//! The access map: handed to the listener whole, and again when its file changes.
//!
//! Runs in the parent, which reads the map and trusts no child with it. A file that has a mistake, or is gone, leaves the
//! map before in force and is logged once.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipc::control::ToListener;

use super::house::House;
use crate::config::access::{self, Loaded, Stamp};

/// How often the file is looked at. One that changed is read when two looks saw the same, so that nobody decides by half a
/// map that is still being written.
const LOOK: Duration = Duration::from_millis(400);

/// When the map is looked at, and what was seen there.
#[derive(Default)]
pub(super) struct Watch {
    due: Option<Instant>,
    /// By the look before.
    seen: Option<Stamp>,
    /// Which state of the file was complained of already.
    complained: Option<Option<Stamp>>,
    /// The complaint, for the status.
    pub(super) trouble: Option<String>,
}

impl Watch {
    /// Whether the look before found the same.
    fn sees_again(&mut self, found: Option<Stamp>) -> bool {
        std::mem::replace(&mut self.seen, found) == found
    }
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
        let rests = self.access_watch.sees_again(found);
        if found == Some(map.stamp) {
            return self.end_trouble();
        }
        if !rests || self.access_watch.complained == Some(found) {
            return;
        }
        match access::load(&map.path, &map.task) {
            Ok(map) => self.change_access(map),
            Err(report) => {
                self.access_watch.complained = Some(found);
                const STAYS: &str = "the access map has errors; the one before stays in force";
                self.parts.log.error(STAYS);
                let lines = report.lines();
                for line in &lines {
                    self.parts.log.error(line);
                }
                let first = lines.first().map(String::as_str).unwrap_or_default();
                self.access_watch.trouble = Some(format!("{STAYS}: {first}"));
                self.mark_changed();
            }
        }
    }

    /// The file is the one in force, perhaps again.
    fn end_trouble(&mut self) {
        self.access_watch.complained = None;
        if self.access_watch.trouble.take().is_some() {
            self.mark_changed();
        }
    }

    fn change_access(&mut self, map: Loaded) {
        self.end_trouble();
        let before = self.parts.plan.access.take().map(|map| map.warnings).unwrap_or_default();
        self.warnings.retain(|warning| !before.contains(warning));
        self.parts.plan.warnings.retain(|warning| !before.contains(warning));
        self.parts.plan.warnings.extend(map.warnings.iter().cloned());
        for warning in &map.warnings {
            self.warn(warning.clone());
        }
        self.parts.log.info(&format!("deciding by the new access map, {}", of(&map)));
        self.parts.plan.access = Some(map);
        self.mark_changed();
        self.tell_access();
    }

    /// A line of what is decided by, where there is a map.
    pub(super) fn say_access(&mut self) {
        if let Some(map) = &self.parts.plan.access {
            self.parts.log.info(&format!("deciding by the access map, {}", of(map)));
        }
    }
}

fn of(map: &Loaded) -> String {
    format!("{} ({} entries)", map.path.display(), map.entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access");
        let mut watch = Watch::default();
        for text in ["Connect:192.0.2\tREL", "Connect:192.0.2\tRELAY\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(!watch.sees_again(Stamp::of(&path)));
        }
        assert!(watch.sees_again(Stamp::of(&path)));
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.sees_again(Stamp::of(&path)));
    }
}
