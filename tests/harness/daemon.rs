//! A running saslauthd, theirs or ours, inside a sandbox: started, awaited, watched and stopped.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::Namespace;
use crate::{PATIENCE, Sandbox, Subject, probe, wait_for, wait_until};

/// Under whose identity ours is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// As root, dropping to the daemon's own users.
    Root,
    /// As an unprivileged user, all processes under one identity.
    Nobody,
}

/// Where both subjects put their socket unless told otherwise.
pub const RUN_DIR: &str = "/run/saslauthd";

/// A running daemon; SIGTERM at drop, SIGKILL for what survives it. Its sandbox must outlive it.
#[derive(Debug)]
pub struct Daemon {
    namespace: Namespace,
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Debian's saslauthd with `-a mech -m /run/saslauthd` and `args`.
    pub fn theirs(sandbox: &Sandbox, mech: &str, args: &[&str]) -> io::Result<Self> {
        Self::cyrus(sandbox, Subject::Theirs, mech, args)
    }

    /// Ours with a configuration file, in the foreground. `socket` is the path inside of one of its sockets,
    /// which is awaited.
    pub fn ours(
        sandbox: &Sandbox,
        config: &str,
        socket: &str,
        identity: Identity,
    ) -> io::Result<Self> {
        let file = sandbox.path().join("etc/saslauthd.toml");
        crate::sandbox::replace(&file, config.as_bytes(), 0o644)?;
        let program = Subject::Ours.program("saslauthd");
        let mut command = match identity {
            Identity::Root => sandbox.command(&program),
            Identity::Nobody => {
                let mut command = sandbox.command("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
                command.arg(&program);
                command
            }
        };
        command.args(["--foreground", "--config", "/etc/saslauthd.toml"]);
        Self::start(sandbox, command, Path::new(socket))
    }

    /// Either subject with Cyrus's command line: `-a mech -m /run/saslauthd` and `args`.
    pub fn cyrus(
        sandbox: &Sandbox,
        subject: Subject,
        mech: &str,
        args: &[&str],
    ) -> io::Result<Self> {
        let mut command = sandbox.command(subject.program("saslauthd"));
        command.args(["-a", mech, "-m", RUN_DIR]).args(args);
        let mut daemon = Self::start(sandbox, command, &Path::new(RUN_DIR).join("mux"))?;
        if !args.iter().any(|arg| ["-d", "--foreground"].contains(arg)) {
            daemon.await_detached()?;
        }
        Ok(daemon)
    }

    /// Any command that ends in a daemon listening at `socket` (a path inside). The command may stay or fork away.
    pub fn start(sandbox: &Sandbox, mut command: Command, socket: &Path) -> io::Result<Self> {
        let log = sandbox.path().join("tmp/daemon.log");
        let file = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn()?;
        let socket = sandbox.outside(socket);
        let mut daemon = Self { namespace: sandbox.namespace(), child, socket, log };
        daemon.await_socket()?;
        Ok(daemon)
    }

    fn await_socket(&mut self) -> io::Result<()> {
        let mut failed = None;
        let ready = wait_until(|| {
            if let Ok(Some(status)) = self.child.try_wait()
                && !status.success()
            {
                failed = Some(status);
                return true;
            }
            UnixStream::connect(&self.socket).is_ok()
        });
        match (ready, failed) {
            (true, None) => Ok(()),
            (true, Some(status)) => {
                Err(io::Error::other(format!("the daemon gave up: {status}\n{}", self.log())))
            }
            (false, _) => Err(io::Error::other(format!(
                "nobody listens at {}\n{}",
                self.socket.display(),
                self.log()
            ))),
        }
    }

    /// Waits until the command that was started has ended and left the daemon behind.
    pub fn await_detached(&mut self) -> io::Result<()> {
        if wait_until(|| matches!(self.child.try_wait(), Ok(Some(_)))) {
            return Ok(());
        }
        Err(io::Error::other("the daemon serves, but its starter doesn't end"))
    }

    /// The socket as the test sees it.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it has written to its standard streams; syslog is the sandbox's.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its processes, the main one first: theirs all named saslauthd, ours with listener and checker.
    pub fn pids(&self) -> Vec<i32> {
        self.namespace.processes("saslauthd")
    }

    /// The process that a service manager would signal: the foreground child, else the one in the pid file,
    /// else the one that started the others.
    pub fn main_pid(&mut self) -> Option<i32> {
        if let Ok(None) = self.child.try_wait() {
            return i32::try_from(self.child.id()).ok();
        }
        let file = self.socket.with_file_name("saslauthd.pid");
        let stated = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        let pids = self.pids();
        stated.filter(|pid| pids.contains(pid)).or_else(|| pids.first().copied())
    }

    /// Sends a signal to the main process; false when there is none.
    pub fn signal(&mut self, signal: Signal) -> bool {
        self.main_pid().is_some_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
    }

    /// SIGTERM, then waits for all of its processes; true when none had to be killed.
    pub fn stop(&mut self) -> bool {
        self.stop_within(PATIENCE)
    }

    fn stop_within(&mut self, limit: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let gone = wait_for(limit, || {
            let _ = self.child.try_wait();
            self.pids().is_empty()
        });
        for pid in self.pids() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.try_wait();
        gone
    }

    /// Asks the mux socket once; the reply as [`probe::Heard::mux`] tells it.
    pub fn ask(&self, login: &str, password: &str, service: &str, realm: &str) -> String {
        let [login, password] = [login.as_bytes(), password.as_bytes()];
        probe::ask_mux(&self.socket, login, password, service.as_bytes(), realm.as_bytes())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The original's handler doesn't always end it.
        self.stop_within(Duration::from_secs(2));
    }
}
