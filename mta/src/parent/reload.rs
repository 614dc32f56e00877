//! SIGHUP, and certificates that were renewed: everything new takes over, or nothing.
//!
//! Runs in the parent. The configuration and all files that it names are read, and new addresses bound, before a child hears
//! of anything. What is in the files only the children know: until both work by them, what was in use before is held, and
//! comes back when one of them can't.

use std::mem::replace;

use super::failure::Failure;
use super::house::{House, LOOK_EVERY, Stage};
use super::identities::Identities;
use super::listeners::Listeners;
use super::log::Log;
use super::manifest::{Manifest, Traces};
use super::member;
use super::serve::Loaded;
use crate::config::Config;
use crate::config::files::Child;
use crate::control::Level;

/// All that a new configuration brings.
struct Successor {
    loaded: Loaded,
    identities: Identities,
    listeners: Listeners,
    receives: Manifest,
    sends: Manifest,
}

/// What was in use, until both children work by what came after it.
pub(super) struct Predecessor {
    config: Config,
    text: String,
    listeners: Listeners,
    receives: Manifest,
    sends: Manifest,
    /// What is logged once they do.
    taken: &'static str,
}

impl House {
    pub(super) fn reload(&mut self) {
        if self.stage == Stage::Starting {
            let text = "SIGHUP while starting; the configuration was just read";
            return self.parts.log.write(Level::Notice, text);
        }
        self.parts.notifier.reloading();
        match self.successor() {
            Ok(successor) => self.take_over(successor, "serving by the new configuration"),
            Err(failure) => {
                self.stay(&failure);
                self.parts.notifier.ready();
            }
        }
    }

    /// Files are renewed by programs that don't know us.
    pub(super) fn look_at_files(&mut self) {
        let traces = Traces::of(&self.parts.config);
        if traces == self.traces || self.stage == Stage::Starting {
            return;
        }
        // Seen once: a file that isn't right is complained of when it changes again.
        self.traces = traces;
        match self.successor() {
            Ok(successor) => {
                self.take_over(successor, "a certificate or another file has changed; in use");
            }
            Err(failure) => self.stay(&failure),
        }
    }

    fn stay(&mut self, failure: &Failure) {
        self.parts.log.write(Level::Error, "the new configuration has errors; the old one stays");
        for line in failure.text.lines().filter(|line| !line.starts_with(' ')) {
            self.parts.log.write(Level::Error, line);
        }
    }

    fn successor(&self) -> Result<Successor, Failure> {
        let loaded = self.parts.source.load()?;
        let identities = Identities::of(&loaded.config.operation, &Default::default())?;
        identities.prepare_spool(&loaded.config.spool)?;
        let (receives, sends) = loaded.manifests()?;
        let listeners = self.parts.listeners.renewed(&loaded.config, loaded.taken)?;
        Ok(Successor { loaded, identities, listeners, receives, sends })
    }

    fn take_over(&mut self, successor: Successor, taken: &'static str) {
        let Successor { loaded, identities, listeners, receives, sends } = successor;
        let fixed = |of: &Config| (of.spool.clone(), of.operation.control.clone());
        let restart = fixed(&loaded.config) != fixed(&self.parts.config)
            || identities != self.parts.identities;
        if restart {
            let text =
                "spool, control socket and users are as at the start until mta is started again";
            self.parts.log.write(Level::Warning, text);
        } else {
            self.parts.identities = identities;
        }
        self.parts.log = Log::new(&loaded.config.operation, self.parts.source.foreground);
        self.traces = Traces::of(&loaded.config);
        self.look_due = std::time::Instant::now() + LOOK_EVERY;
        let parts = &mut self.parts;
        let before = Predecessor {
            config: replace(&mut parts.config, loaded.config),
            text: replace(&mut parts.text, loaded.text),
            listeners: replace(&mut parts.listeners, listeners),
            receives: replace(&mut parts.receives, receives),
            sends: replace(&mut parts.sends, sends),
            taken,
        };
        // One that was not in use yet itself is nothing to come back to.
        self.before.get_or_insert(before).taken = taken;
        self.tell_all();
    }

    fn tell_all(&mut self) {
        self.tell_load(Child::Receiver);
        self.tell_listen();
        self.tell_load(Child::Sender);
    }

    /// A child said what became of what it was told to work by.
    pub(super) fn note_loaded(&mut self, child: Child, outcome: Result<(), String>) {
        let answers_left = self.member(child).note_answer();
        if let Err(why) = outcome {
            let name = member::name(child);
            if !self.member(child).is_ready() {
                self.member(child).note_wrong(&why);
            }
            match self.before.take() {
                // It was told something else since then: that counts.
                Some(before) if answers_left => self.before = Some(before),
                Some(before) => return self.restore(before, &format!("{name}: {why}")),
                None if !self.member(child).is_ready() => return,
                None => {
                    let text = format!("{name} goes on by what it had: {why}");
                    return self.parts.log.write(Level::Error, &text);
                }
            }
        }
        if self.receiver.answers_left() || self.sender.answers_left() {
            return;
        }
        if let Some(before) = self.before.take() {
            self.parts.log.write(Level::Info, before.taken);
            self.parts.notifier.ready();
        }
    }

    fn restore(&mut self, before: Predecessor, why: &str) {
        let Predecessor { config, text, listeners, receives, sends, .. } = before;
        (self.parts.config, self.parts.text, self.parts.listeners) = (config, text, listeners);
        (self.parts.receives, self.parts.sends) = (receives, sends);
        self.parts.log = Log::new(&self.parts.config.operation, self.parts.source.foreground);
        self.stay(&Failure::new(why.to_owned()));
        self.tell_all();
        self.parts.notifier.ready();
    }
}
