//! Debian's Dovecot, of which only the authentication process is asked, with a passwd-file as its backend.
//!
//! In a place of its own, so that a peer can be a Dovecot too. It delays no failure: what is compared is what peers
//! make of its answers.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use harness::wait_until;

use crate::daemon::{self, Daemon, End, Freeze};
use crate::peers::namespace::Namespace;
use crate::peers::{ALICE, ALICE_IN_REALM, Failure, LOCKED, Result, UTF8, auth_wire};

/// What its log is called.
pub(crate) const LOG: &str = "theirs";
/// The package with it.
pub(crate) const PACKAGE: &str = "dovecot-core";
/// Its accounts.
const USERS: &str = "/etc/theirs/users";

const PID_FILE: &str = "/run/theirs/master.pid";

const SETTINGS: &str = "\
base_dir = /run/theirs
state_dir = /run/theirs
protocols =
ssl = no
log_path = /dev/stderr
auth_mechanisms = plain login scram-sha-1 scram-sha-256 cram-md5 digest-md5
auth_username_chars =
auth_failure_delay = 0
passdb {
  driver = passwd-file
  deny = yes
  args = username_format=%u /etc/theirs/locked
}
passdb {
  driver = passwd-file
  args = username_format=%u /etc/theirs/users
}
service auth {
  unix_listener /run/auth/auth-login {
    mode = 0666
  }
  unix_listener auth-client {
    mode = 0
  }
  unix_listener auth-userdb {
    mode = 0
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
";

/// The original of the auth socket.
pub(crate) struct Dovecot<'a> {
    world: &'a Namespace,
}

impl<'a> Dovecot<'a> {
    /// Not yet running.
    pub(crate) fn new(world: &'a Namespace) -> Self {
        Self { world }
    }

    /// The first of its processes, as the host numbers it.
    fn leader(&self) -> Result<Pid> {
        let number = fs::read_to_string(self.world.path(PID_FILE))?;
        let inside = self.world.processes("dovecot");
        let named = |pid: &Pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            line.and_then(|numbers| numbers.split_whitespace().last()) == Some(number.trim())
        };
        let gone = || Failure::Broken("no process of its pid file".to_owned());
        inside.into_iter().find(named).ok_or_else(gone)
    }

    /// It and its children, of which it has one generation.
    fn family(&self) -> Result<BTreeSet<Pid>> {
        let leader = self.leader()?;
        let children = fs::read_to_string(format!("/proc/{leader}/task/{leader}/children"))?;
        let numbers = children.split_whitespace().filter_map(|number| number.parse().ok());
        Ok(numbers.map(Pid::from_raw).chain([leader]).collect())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        for process in self.family()? {
            let _ = kill(process, signal);
        }
        Ok(())
    }
}

impl Daemon for Dovecot<'_> {
    fn start(&mut self) -> Result<()> {
        let mut users = String::new();
        for account in [ALICE, ALICE_IN_REALM, UTF8, LOCKED] {
            users.push_str(&format!("{}:{{PLAIN}}{}::::::\n", account.login, account.password));
        }
        self.world.write(USERS, &users)?;
        self.world.write("/etc/theirs/locked", &format!("{}::::::\n", LOCKED.login))?;
        self.world.write("/etc/theirs/dovecot.conf", SETTINGS)?;
        self.world.directory("/run/auth", 0)?;
        self.world.spawn(LOG, "dovecot", &["-F", "-c", "/etc/theirs/dovecot.conf"])?;
        daemon::await_socket(self.world, auth_wire::PATH)?;
        // The socket is there before the number.
        if wait_until(|| self.leader().is_ok()) { Ok(()) } else { self.leader().map(drop) }
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let (leader, family) = (self.leader()?, self.family()?);
        let gone = |process: &Pid| kill(*process, None).is_err();
        if end == End::Orderly {
            let _ = kill(leader, Signal::SIGTERM);
            wait_until(|| gone(&leader));
        }
        // What it leaves behind would serve the connections that it has.
        for process in &family {
            let _ = kill(*process, Signal::SIGKILL);
        }
        if !wait_until(|| family.iter().all(gone)) {
            return Err(Failure::Broken(format!("Dovecot is still there after {end:?} end")));
        }
        // It leaves a socket outside of its own directory behind, and its number when it is killed.
        let _ = fs::remove_file(self.world.path(PID_FILE));
        if end == End::Orderly {
            let _ = fs::remove_file(self.world.path(auth_wire::PATH));
        }
        Ok(())
    }

    fn freeze(&self, _what: Freeze) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }
}
