//! Landlock: which files a process can still open, and whether it opens TCP connections.
//!
//! Rules hold for what is *below* a path, by inode. A file that is replaced by rename (shadow, a password
//! database) therefore needs a rule for its directory. Already open descriptors are not affected.
//! Up to ABI 8 Landlock says nothing about connecting to Unix sockets with a path; seccomp does.

use std::fmt;
use std::path::Path;

use landlock::{
    ABI, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope,
};

use crate::dir::is_kind;
use crate::{Error, Result, harden};

/// What a process may still do below one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read files, list directories.
    Read,
    /// Also create, write, truncate, rename within the directory and remove regular files: what
    /// SQLite does beside its database.
    ReadWriteDirectory,
    /// Also make directories, and move and link files from one directory below it to another: a spool, maildirs.
    ReadWriteTree,
}

/// Whether TCP connections can still be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Not a single one.
    None,
    /// To every port, and none is listened on.
    Connect,
}

/// How far Landlock holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// Files, TCP, abstract sockets and signals; the kernel's ABI, 6 or later.
    Full(i32),
    /// Less than that: the kernel's ABI, 1 to 5.
    Partial(i32),
    /// Nothing, and why.
    Missing(String),
}

/// The ABI from which nothing of ours is missing.
const COMPLETE: i32 = 6;

impl fmt::Display for Landlock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(abi) => write!(out, "full (ABI {abi})"),
            Self::Partial(abi) => write!(out, "partial (ABI {abi})"),
            Self::Missing(why) => write!(out, "missing ({why})"),
        }
    }
}

/// From here on this process opens only what `rules` allow; an empty list allows nothing. Sets no_new_privs.
///
/// Must be called while there is one thread. A path that does not exist is an error: leave it out.
pub fn restrict(rules: &[(&Path, Access)]) -> Result<Landlock> {
    restrict_with(rules, Network::None)
}

/// The same for a process that may connect to others.
pub fn restrict_with(rules: &[(&Path, Access)], network: Network) -> Result<Landlock> {
    let alone = harden::is_single_threaded().map_err(Error::system("list /proc/self/task"))?;
    if !alone {
        return Err(Error::NotConfined("landlock must come before threads".into()));
    }
    let mut ruleset = create(network).map_err(not_confined)?;
    for (path, access) in rules {
        let parent = PathFd::new(path)
            .map_err(|e| Error::NotConfined(format!("no rule for {}: {e}", path.display())))?;
        let stat = nix::sys::stat::fstat(&parent).map_err(Error::path("look at", path))?;
        let mut rights = rights(*access);
        if !is_kind(&stat, libc::S_IFDIR) {
            // Rights that only directories have are refused in a rule for a file.
            rights &= AccessFs::from_file(ABI::V9);
        }
        let rule = PathBeneath::new(parent, rights);
        ruleset = ruleset.add_rule(rule).map_err(not_confined)?;
    }
    let status = ruleset.restrict_self().map_err(not_confined)?;
    report(status.landlock, &status.ruleset)
}

fn create(network: Network) -> std::result::Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled_files())?
        .handle_access(match network {
            Network::None => AccessNet::BindTcp | AccessNet::ConnectTcp,
            Network::Connect => AccessNet::BindTcp.into(),
        })?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()
}

/// All file rights that exist up to the ABI this was written against.
fn handled_files() -> BitFlags<AccessFs> {
    use landlock::Access as _;
    AccessFs::from_all(ABI::V9)
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    match access {
        Access::Read => read,
        Access::ReadWriteDirectory => read | write,
        Access::ReadWriteTree => read | write | AccessFs::MakeDir | AccessFs::Refer,
    }
}

fn report(landlock: LandlockStatus, ruleset: &RulesetStatus) -> Result<Landlock> {
    let abi = match landlock {
        LandlockStatus::NotImplemented => {
            return Ok(Landlock::Missing("this kernel is built without it".into()));
        }
        LandlockStatus::NotEnabled => {
            return Ok(Landlock::Missing("switched off; boot with lsm=landlock,...".into()));
        }
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            kernel_abi.unwrap_or(effective_abi as i32)
        }
    };
    if *ruleset == RulesetStatus::NotEnforced {
        return Err(Error::NotConfined(format!("landlock ABI {abi} did not take effect")));
    }
    Ok(if abi >= COMPLETE { Landlock::Full(abi) } else { Landlock::Partial(abi) })
}

fn not_confined(error: RulesetError) -> Error {
    Error::NotConfined(format!("landlock: {error}"))
}

#[cfg(test)]
mod tests;
