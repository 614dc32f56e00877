//! SIGHUP, and certificates that were renewed: everything new takes over, or nothing.
//!
//! Runs in the parent. The configuration and all files that it names are read, and new addresses bound, before a child hears
//! of anything.

use super::failure::Failure;
use super::house::{House, LOOK_EVERY, Stage};
use super::identities::Identities;
use super::listeners::Listeners;
use super::log::Log;
use super::manifest::{Manifest, Traces};
use super::serve::Loaded;
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

impl House {
    pub(super) fn reload(&mut self) {
        if self.stage == Stage::Starting {
            let text = "SIGHUP while starting; the configuration was just read";
            return self.parts.log.write(Level::Notice, text);
        }
        self.parts.notifier.reloading();
        match self.successor() {
            Ok(successor) => {
                self.take_over(successor);
                self.parts.log.write(Level::Info, "serving by the new configuration");
            }
            Err(failure) => self.stay(&failure),
        }
        self.parts.notifier.ready();
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
                self.take_over(successor);
                self.parts
                    .log
                    .write(Level::Info, "a certificate or another file has changed; in use");
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

    fn take_over(&mut self, successor: Successor) {
        let Successor { loaded, identities, listeners, receives, sends } = successor;
        let fixed = |of: &crate::config::Config| (of.spool.clone(), of.operation.control.clone());
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
        (self.parts.config, self.parts.text) = (loaded.config, loaded.text);
        (self.parts.receives, self.parts.sends) = (receives, sends);
        self.parts.listeners = listeners;
        self.tell_load(Child::Receiver);
        self.tell_listen();
        self.tell_load(Child::Sender);
    }
}
