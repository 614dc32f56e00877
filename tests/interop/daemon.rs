//! What the tests do to a daemon, whichever it is: start, stop, break its accounts, freeze it.

use std::fs;
use std::os::unix::net::UnixStream;

use harness::{Subject, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::dovecot::{self, Dovecot};
use crate::ours::Ours;
use crate::peers::namespace::Namespace;
use crate::peers::{Failure, Result, Socket, auth_wire, pwcheck};
use crate::stand_in::StandIn;
use crate::theirs::Theirs;

/// What the programs of both daemons, and their logs, are called.
pub(crate) const NAME: &str = "saslauthd";
/// Where Debian's clients look for the mux socket.
pub(crate) const MUX: &str = "/run/saslauthd/mux";

/// The daemon of a subject, not yet running; a stand-in where Debian's has no such socket.
pub(crate) fn of(subject: Subject, world: &Namespace, socket: Socket) -> Box<dyn Daemon + '_> {
    match (subject, socket) {
        (Subject::Ours, _) => Box::new(Ours::new(world, socket)),
        (Subject::Theirs, Socket::Mux) => Box::new(Theirs::new(world)),
        (Subject::Theirs, Socket::Pwcheck) => Box::new(StandIn::new(world.path(pwcheck::PATH))),
        (Subject::Theirs, Socket::Auth) => Box::new(Dovecot::new(world)),
    }
}

/// Where the daemons have this socket.
pub(crate) fn path(socket: Socket) -> &'static str {
    match socket {
        Socket::Mux => MUX,
        Socket::Pwcheck => pwcheck::PATH,
        Socket::Auth => auth_wire::PATH,
    }
}

/// How a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Asked to; its socket goes with it.
    Orderly,
    /// Killed; its socket stays behind.
    Abrupt,
}

/// How much of a daemon stops moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freeze {
    /// Every process, as a machine out of memory does it.
    Whole,
    /// Only what stands behind the process that clients talk to, where there is such a thing.
    Backend,
}

/// A daemon under test.
pub(crate) trait Daemon {
    /// Starts it and waits until it accepts connections.
    fn start(&mut self) -> Result<()>;
    /// Ends it and waits for the end.
    fn stop(&mut self, end: End) -> Result<()>;
    /// Stops processes; connections are still accepted by the kernel.
    fn freeze(&self, what: Freeze) -> Result<()>;
    /// Lets them go on.
    fn thaw(&self) -> Result<()>;
}

/// Waits until something accepts on a Unix socket of the namespace.
pub(crate) fn await_socket(world: &Namespace, path: &str) -> Result<()> {
    if wait_until(|| UnixStream::connect(world.path(path)).is_ok()) {
        return Ok(());
    }
    let said = read_log(world);
    Err(Failure::Broken(format!("nothing listens on {path}: {}", said.trim_end())))
}

/// What the daemons of a namespace have printed.
pub(crate) fn read_log(world: &Namespace) -> String {
    let mut text = String::new();
    for name in [NAME, dovecot::LOG] {
        let log = fs::read(world.path(&format!("/var/log/{name}.out"))).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&log));
    }
    text
}

/// Sends a signal to every process of the namespace whose name starts with `name`.
pub(crate) fn signal(world: &Namespace, name: &str, signal: Signal) -> Result<()> {
    let processes = world.processes(name);
    if processes.is_empty() {
        return Err(Failure::Broken(format!("no process {name} to send {signal} to")));
    }
    for process in processes {
        let _ = kill(process, signal);
    }
    Ok(())
}

/// Ends the processes of the namespace called `name…`, of which `leader` is told first.
pub(crate) fn end(world: &Namespace, name: &str, how: End, leader: Option<Pid>) -> Result<()> {
    match (how, leader) {
        (End::Orderly, Some(leader)) => {
            let _ = kill(leader, Signal::SIGTERM);
        }
        (End::Orderly, None) => signal(world, name, Signal::SIGTERM)?,
        (End::Abrupt, _) => signal(world, name, Signal::SIGKILL)?,
    }
    if wait_until(|| world.processes(name).is_empty()) {
        return Ok(());
    }
    Err(Failure::Broken(format!(
        "{name} is still there {} s after {how:?} end",
        harness::PATIENCE.as_secs()
    )))
}
