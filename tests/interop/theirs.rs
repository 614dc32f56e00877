//! Debian's saslauthd, with sasldb as its backend.

use std::fs;
use std::io;

use nix::sys::signal::Signal;

use crate::daemon::{self, Daemon, End, Freeze, MUX, NAME};
use crate::peers::Result;
use crate::peers::namespace::Namespace;

/// The original.
pub(crate) struct Theirs<'a> {
    world: &'a Namespace,
}

impl<'a> Theirs<'a> {
    /// Not yet running.
    pub(crate) fn new(world: &'a Namespace) -> Self {
        Self { world }
    }
}

impl Daemon for Theirs<'_> {
    fn start(&mut self) -> Result<()> {
        let arguments = ["-a", "sasldb", "-m", "/run/saslauthd", "-n", "5", "-d"];
        self.world.spawn(NAME, "/usr/sbin/saslauthd", &arguments)?;
        daemon::await_socket(self.world, MUX)
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let leader = self.world.processes(NAME).into_iter().min();
        let ended = daemon::end(self.world, NAME, end, leader);
        if ended.is_ok() || end == End::Abrupt {
            return ended;
        }
        // Its signal handler logs and frees, and now and then waits for itself for ever.
        daemon::end(self.world, NAME, End::Abrupt, None)?;
        match fs::remove_file(self.world.path(MUX)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why.into()),
            _ => Ok(()),
        }
    }

    fn freeze(&self, _what: Freeze) -> Result<()> {
        daemon::signal(self.world, NAME, Signal::SIGSTOP)
    }

    fn thaw(&self) -> Result<()> {
        daemon::signal(self.world, NAME, Signal::SIGCONT)
    }
}
