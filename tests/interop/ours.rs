//! This project's saslauthd, with sasldb as its backend, started as Cyrus's is.

use harness::Subject;
use nix::sys::signal::Signal;

use crate::daemon::{self, Daemon, End, Freeze, MUX};
use crate::peers::namespace::Namespace;
use crate::peers::{Failure, Result, Socket};

const NAME: &str = "saslauthd";
/// Command names are cut at 15 bytes.
const CHECKER: &str = "saslauthd-check";

/// The daemon under test.
pub(crate) struct Ours<'a> {
    world: &'a Namespace,
    socket: Socket,
}

impl<'a> Ours<'a> {
    /// Not yet running.
    pub(crate) fn new(world: &'a Namespace, socket: Socket) -> Self {
        Self { world, socket }
    }
}

impl Daemon for Ours<'_> {
    fn start(&mut self) -> Result<()> {
        let program = Subject::Ours.program("saslauthd");
        if !program.exists() || self.socket == Socket::Pwcheck {
            let program = program.display();
            return Err(Failure::Missing(format!("{program}: cargo build --workspace")));
        }
        let arguments = ["-a", "sasldb", "-m", "/run/saslauthd", "-d"];
        self.world.spawn(NAME, &program.to_string_lossy(), &arguments)?;
        daemon::await_socket(self.world, MUX, NAME)
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let leader = self.world.processes(NAME).into_iter().min();
        daemon::end(self.world, NAME, end, leader)
    }

    fn freeze(&self, what: Freeze) -> Result<()> {
        let name = match what {
            Freeze::Whole => NAME,
            Freeze::Backend => CHECKER,
        };
        daemon::signal(self.world, name, Signal::SIGSTOP)
    }

    fn thaw(&self) -> Result<()> {
        daemon::signal(self.world, NAME, Signal::SIGCONT)
    }
}
