//! Confinement: Landlock over files and networks, seccomp over system calls, and an honest report.
//!
//! [`landlock::restrict`] comes before any thread exists, [`seccomp`] through [`finish`] when the
//! runtime stands. A kernel without one of them is reported, never hidden; a kernel that announces one and then
//! fails to apply it ends the process.

pub mod landlock;
pub mod seccomp;

use std::fmt;

use crate::{Error, Result, capabilities, identity};
pub use landlock::{Access, Landlock};
pub use seccomp::{Calls, Seccomp};

/// What a process has reached, as the kernel told it just before the last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Files, TCP, abstract sockets and signals to others.
    pub landlock: Landlock,
    /// System calls.
    pub seccomp: Seccomp,
    /// Whether exec can gain privileges no more.
    pub no_new_privileges: bool,
    /// Whether core files and the eyes of same-user processes are shut out.
    pub undumpable: bool,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Effective and permitted capabilities, as bits.
    pub capabilities: u64,
}

/// The last step of every start: observes what was reached, then allows only `calls` from here on,
/// in all threads.
pub fn finish(calls: Calls, landlock: Landlock) -> Result<Confinement> {
    // Seen first: afterwards these questions are forbidden calls themselves.
    let mut reached = observe(landlock)?;
    reached.seccomp = seccomp::restrict(calls)?;
    Ok(reached)
}

/// What the kernel says now about this process; `seccomp` is reported as not yet applied.
pub fn observe(landlock: Landlock) -> Result<Confinement> {
    let who = identity::current()?;
    let sets = capabilities::current()?;
    Ok(Confinement {
        landlock,
        seccomp: Seccomp::Missing("not applied".into()),
        no_new_privileges: nix::sys::prctl::get_no_new_privs()
            .map_err(Error::errno("read no_new_privs"))?,
        undumpable: !nix::sys::prctl::get_dumpable()
            .map_err(Error::errno("read the dumpable flag"))?,
        uid: who.uid,
        gid: who.gid,
        groups: who.groups,
        capabilities: sets.effective | sets.permitted,
    })
}

impl Confinement {
    /// What is missing, one sentence each, for the warning at start and for the status.
    pub fn shortcomings(&self) -> Vec<String> {
        let mut missing = Vec::new();
        match &self.landlock {
            Landlock::Full(_) => {}
            Landlock::Partial(abi) => missing.push(format!(
                "landlock is ABI {abi}, before 6: signals and abstract sockets are not confined"
            )),
            Landlock::Missing(why) => missing.push(format!("no landlock: {why}")),
        }
        if let Seccomp::Missing(why) = &self.seccomp {
            missing.push(format!("no seccomp: {why}"));
        }
        if !self.no_new_privileges {
            missing.push("no_new_privs is not set".into());
        }
        if !self.undumpable {
            missing.push("the process can be dumped".into());
        }
        if self.uid == 0 {
            missing.push("runs as root".into());
        }
        missing
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "uid {} gid {} groups {:?}", self.uid, self.gid, self.groups)?;
        write!(out, "; capabilities {:#x}", self.capabilities)?;
        write!(out, "; landlock {}; seccomp {}", self.landlock, self.seccomp)?;
        let mut flag = |set: bool, name: &str| match set {
            true => write!(out, "; {name}"),
            false => write!(out, "; not {name}"),
        };
        flag(self.no_new_privileges, "no_new_privs")?;
        flag(self.undumpable, "undumpable")
    }
}

#[cfg(test)]
pub(crate) mod tests;
