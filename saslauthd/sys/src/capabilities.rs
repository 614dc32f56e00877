//! Linux capabilities: which the process has, and giving up all, or all but one.
//!
//! Only capabilities(7) numbers that the house needs are named here. A child calls this (through
//! [`crate::identity`]) before it reads anything; the parent keeps what it was started with.

use std::io;

use crate::{Error, Result};

/// What a process keeps when it gives up being root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing at all.
    Nothing,
    /// CAP_DAC_READ_SEARCH alone: read any file, write none. For a checker on a host whose
    /// `/etc/shadow` has no group that could be given.
    ReadAnyFile,
}

const DAC_READ_SEARCH: u32 = 2;
const SETPCAP: u32 = 8;

impl Kept {
    /// The set as capability bits.
    pub fn bits(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::ReadAnyFile => 1 << DAC_READ_SEARCH,
        }
    }
}

/// The three sets that capget(2) reports, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sets {
    /// What counts in checks now.
    pub effective: u64,
    /// What could be made effective.
    pub permitted: u64,
    /// What could pass through exec.
    pub inheritable: u64,
}

const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capabilities of the calling thread.
pub fn current() -> Result<Sets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 writes exactly two halves to a live array of two.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
    if answer != 0 {
        return Err(Error::system("read the capabilities")(io::Error::last_os_error()));
    }
    let [low, high] = halves;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: join(low.effective, high.effective),
        permitted: join(low.permitted, high.permitted),
        inheritable: join(low.inheritable, high.inheritable),
    })
}

/// Gives up every capability without changing user, for processes that cannot change it.
///
/// Single-threaded only: capabilities belong to the calling thread.
pub fn give_up() -> Result<()> {
    drop_bounding()?;
    clear_ambient()?;
    reduce_to(Kept::Nothing)
}

/// Sets effective and permitted to `kept`, inheritable to nothing.
pub(crate) fn reduce_to(kept: Kept) -> Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |bits: u32| Half { effective: bits, permitted: bits, inheritable: 0 };
    let halves = [half(kept.bits() as u32), half((kept.bits() >> 32) as u32)];
    // SAFETY: version 3 reads exactly two halves from a live array of two.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) };
    if answer != 0 {
        return Err(Error::system("give up capabilities")(io::Error::last_os_error()));
    }
    Ok(())
}

/// Empties the bounding set, so that no exec can bring a capability back. Needs CAP_SETPCAP; without it the
/// set stays, and no_new_privs is what stops a file's capabilities.
pub(crate) fn drop_bounding() -> Result<()> {
    if current()?.effective & (1 << SETPCAP) == 0 {
        return Ok(());
    }
    for capability in 0..64 {
        if prctl(libc::PR_CAPBSET_READ, capability).is_err() {
            // The first unknown number ends the list.
            break;
        }
        prctl(libc::PR_CAPBSET_DROP, capability)
            .map_err(Error::system("drop a bounding capability"))?;
    }
    Ok(())
}

/// Empties the ambient set; kernels without one have nothing to empty.
pub(crate) fn clear_ambient() -> Result<()> {
    match prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other.map(|_| ()).map_err(Error::system("clear the ambient capabilities")),
    }
}

/// prctl(2) with one number; the other arguments must be zero for the options used here.
pub(crate) fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<libc::c_int> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used in this crate take numbers only, no pointers.
    let answer = unsafe { libc::prctl(option, value, zero, zero, zero) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_child::in_child;

    #[test]
    fn sets_are_those_of_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let sets = current().unwrap();
        assert_eq!(sets.effective, line("CapEff:"));
        assert_eq!(sets.permitted, line("CapPrm:"));
        assert_eq!(sets.inheritable, line("CapInh:"));
    }

    #[test]
    fn all_are_given_up_without_changing_user() {
        in_child("capabilities::tests::all_are_given_up_without_changing_user", || {
            let before = crate::identity::current().unwrap();
            give_up().unwrap();
            let none = Sets { effective: 0, permitted: 0, inheritable: 0 };
            assert_eq!(current().unwrap(), none);
            assert_eq!(crate::identity::current().unwrap(), before);
            assert!(!crate::identity::may_change().unwrap());
            assert!(reduce_to(Kept::ReadAnyFile).is_err(), "nothing comes back");
        });
    }
}
