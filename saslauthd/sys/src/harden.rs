//! What every process of the house forbids itself, whoever it runs as.
//!
//! Called after the drop of identity, because a change of uid resets the dumpable flag and the
//! parent-death signal. Nothing here can be undone by the process.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::capabilities::prctl;
use crate::{Error, Result};

/// Whether the kernel knows a protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// In force.
    Enforced,
    /// The kernel does not offer it; the reason.
    Missing(String),
}

/// What [`apply`] reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// PR_SET_MDWE: no memory is ever both written and executed (Linux 6.3).
    pub no_writable_code: Support,
    /// RLIMIT_NOFILE after it was raised to its hard limit.
    pub descriptors: u64,
}

/// Everything below, in order. `parent` is the process whose end must be ours too; a child finds its id as
/// the [`crate::peer::credentials`] of the channel that it was handed.
pub fn apply(parent: Option<i32>) -> Result<Hardened> {
    if let Some(parent) = parent {
        die_with_parent(parent)?;
    }
    forbid_dumps()?;
    forbid_new_privileges()?;
    let no_writable_code = forbid_writable_code()?;
    let descriptors = raise_descriptor_limit()?;
    Ok(Hardened { no_writable_code, descriptors })
}

/// No core file, and no look into this process by others of the same user (ptrace, `/proc/PID/mem`).
pub fn forbid_dumps() -> Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(Error::errno("forbid core files"))?;
    nix::sys::prctl::set_dumpable(false).map_err(Error::errno("make the process undumpable"))
}

/// From here on no exec gains privileges; Landlock and seccomp without root need it.
pub fn forbid_new_privileges() -> Result<()> {
    nix::sys::prctl::set_no_new_privs().map_err(Error::errno("set no_new_privs"))
}

const PR_SET_MDWE: libc::c_int = 65;
const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;

/// Memory-deny-write-execute, where the kernel has it.
pub fn forbid_writable_code() -> Result<Support> {
    match prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN) {
        Ok(_) => Ok(Support::Enforced),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            Ok(Support::Missing("kernel before 6.3".into()))
        }
        Err(e) => Err(Error::system("forbid writable code")(e)),
    }
}

/// SIGKILL when `parent` ends. It fires when the parent's spawning *thread* ends, which is why
/// the parent has one.
pub fn die_with_parent(parent: i32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(Error::errno("ask to end with the parent"))?;
    // The parent may have ended before the request.
    if nix::unistd::getppid().as_raw() != parent {
        return Err(Error::HandedOver("the parent process has already ended".into()));
    }
    Ok(())
}

/// Raises the soft limit of open descriptors to the hard one and says what it is.
pub fn raise_descriptor_limit() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(Error::errno("read the limit of open descriptors"))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .map_err(Error::errno("raise the limit of open descriptors"))?;
    Ok(hard)
}

/// Caps the address space in bytes, so that a flood of costly hashes fails an allocation here
/// instead of waking the kernel's out-of-memory killer.
pub fn limit_memory(bytes: u64) -> Result<()> {
    setrlimit(Resource::RLIMIT_AS, bytes, bytes).map_err(Error::errno("limit the memory"))
}

/// Whether this process has exactly one thread, which fork and Landlock before ABI 8 need.
pub fn is_single_threaded() -> io::Result<bool> {
    Ok(std::fs::read_dir("/proc/self/task")?.take(2).count() == 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::in_child::in_child;

    #[test]
    fn everything_is_in_force() {
        in_child("harden::tests::everything_is_in_force", || {
            let parent = nix::unistd::getppid().as_raw();
            let reached = apply(Some(parent)).unwrap();
            assert!(nix::sys::prctl::get_no_new_privs().unwrap());
            assert_eq!(nix::sys::prctl::get_pdeathsig().unwrap(), Some(Signal::SIGKILL));
            assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            assert_eq!((soft, reached.descriptors), (hard, hard));
            assert_eq!(map_writable_code(), reached.no_writable_code != Support::Enforced);
        });
    }

    fn map_writable_code() -> bool {
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, all, flags, -1, 0) };
        mapped != libc::MAP_FAILED
    }

    #[test]
    fn f7_others_of_the_same_user_cannot_look_in() {
        in_child("harden::tests::f7_others_of_the_same_user_cannot_look_in", || {
            if crate::identity::may_change().unwrap() {
                let stranger = crate::identity::Identity { uid: 61200, gid: 61201, groups: vec![] };
                crate::identity::drop_to(&stranger).unwrap();
            } else if crate::identity::is_root() {
                return crate::in_child::skip("a root that cannot change user owns what root owns");
            }
            forbid_dumps().unwrap();
            assert!(!nix::sys::prctl::get_dumpable().unwrap());
            // The kernel gives the files of an undumpable process to root, so that only root reads them.
            for file in ["environ", "mem", "maps"] {
                let owner = std::fs::metadata(format!("/proc/self/{file}")).unwrap().uid();
                assert_eq!(owner, 0, "{file}");
            }
            assert!(std::fs::File::open("/proc/self/environ").is_err());
        });
    }

    #[test]
    fn another_parent_means_that_ours_has_ended() {
        in_child("harden::tests::another_parent_means_that_ours_has_ended", || {
            let other = nix::unistd::getppid().as_raw() + 1;
            assert!(matches!(die_with_parent(other), Err(Error::HandedOver(_))));
        });
    }

    #[test]
    fn memory_is_limited() {
        in_child("harden::tests::memory_is_limited", || {
            limit_memory(256 << 20).unwrap();
            assert!(Vec::<u8>::new().try_reserve_exact(512 << 20).is_err());
        });
    }

    #[test]
    fn threads_are_counted() {
        in_child("harden::tests::threads_are_counted", || {
            assert!(is_single_threaded().unwrap());
            let (hold, held) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || held.recv());
            assert!(!is_single_threaded().unwrap());
            drop(hold);
            thread.join().unwrap().unwrap_err();
        });
    }
}
