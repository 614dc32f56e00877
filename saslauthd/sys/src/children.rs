//! Children of the parent: fork and exec with one channel at a fixed number, and their ends.
//!
//! Only the single-threaded parent starts processes. A child begins with fresh memory, an environment that
//! was chosen variable by variable, `/dev/null` as input and output, and no descriptor but standard error
//! and its channel.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use crate::peer::checked;
use crate::{Error, Result, descriptors, harden};

/// A running child. Dropping it neither ends nor reaps the process.
#[derive(Debug)]
pub struct Child {
    /// Its process id, good until it is reaped.
    pub pid: i32,
    /// Its pidfd: readable when it ended.
    pub pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By its own exit code.
    Code(i32),
    /// By a signal, such as 31 (SIGSYS) for a call that seccomp forbids.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exit code {code}"),
            Self::Signal(libc::SIGSYS) => write!(out, "signal 31 (a forbidden system call)"),
            Self::Signal(signal) => write!(out, "signal {signal}"),
        }
    }
}

/// Starts `program` with `channel` at descriptor 3 ([`descriptors::CHANNEL`]), in a session of its own and
/// bound to end with this process.
///
/// `environment` is all that the child gets. Refuses in a process with threads.
pub fn spawn(
    program: &Path,
    arguments: &[OsString],
    environment: &[(&str, &OsStr)],
    channel: BorrowedFd<'_>,
) -> Result<Child> {
    let alone = harden::is_single_threaded().map_err(Error::system("list /proc/self/task"))?;
    if !alone {
        return Err(Error::HandedOver("processes are started before threads exist".into()));
    }
    // While 3 is taken here, the pipe by which std reports a failed exec cannot be the descriptor
    // that the child overwrites.
    let _reserved = reserve(channel)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let handed = channel.as_raw_fd();
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec `prepare` only makes system calls; it allocates nothing, and
    // there was one thread, so no lock is held by another.
    unsafe { command.pre_exec(move || prepare(handed, parent)) };
    let child = command.spawn().map_err(|source| Error::Path {
        doing: "start",
        path: program.to_owned(),
        source,
    })?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    // It is not reaped yet, so the number still means this child.
    Ok(Child { pid, pidfd: pidfd(pid).map_err(Error::system("open a pidfd"))? })
}

fn reserve(channel: BorrowedFd<'_>) -> Result<OwnedFd> {
    let raw = fcntl(channel, FcntlArg::F_DUPFD_CLOEXEC(descriptors::CHANNEL))
        .map_err(Error::errno("duplicate the channel"))?;
    // SAFETY: F_DUPFD just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Runs in the child between fork and exec: system calls only.
fn prepare(channel: i32, parent: Pid) -> io::Result<()> {
    // The blocked mask survives exec, and the child has signals of its own to read.
    SigSet::empty().thread_set_mask()?;
    // A terminal's ^C is for the parent to hear; it then tells the children.
    nix::unistd::setsid()?;
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if nix::unistd::getppid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: the parent holds the channel open during the spawn, so the copy of it here is open too.
    let channel = unsafe { BorrowedFd::borrow_raw(channel) };
    descriptors::duplicate_to(channel, descriptors::CHANNEL)?;
    let above = descriptors::CHANNEL.unsigned_abs() + 1;
    match descriptors::close_range(above, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) {
        // Before Linux 5.11: all descriptors of this house are close-on-exec anyway, and the child
        // closes strays itself.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => Ok(()),
        other => other,
    }
}

/// A pidfd for a process, readable when it ends.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two numbers are passed; the kernel marks the new descriptor close-on-exec.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = checked(answer as isize)?;
    let raw = i32::try_from(raw).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// What to send to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGTERM: finish what you hold.
    Politely,
    /// SIGKILL.
    AtOnce,
}

impl Child {
    /// Signals this very process, never another that got its number. A process that already ended is no error.
    pub fn end(&self, how: End) -> io::Result<()> {
        let signal = match how {
            End::Politely => libc::SIGTERM,
            End::AtOnce => libc::SIGKILL,
        };
        let none: *const libc::siginfo_t = std::ptr::null();
        let fd = self.pidfd.as_raw_fd();
        // SAFETY: a null siginfo is allowed by pidfd_send_signal(2); the rest are numbers.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
        match checked(answer as isize) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Reaps it if it ended, without waiting.
    pub fn try_wait(&self) -> io::Result<Option<Exit>> {
        reap(self.pid).map(|ended| ended.map(|(_, exit)| exit))
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Reaps any one child that ended, without waiting. `None` when none ended or there are none.
pub fn reap_any() -> io::Result<Option<(i32, Exit)>> {
    reap(-1)
}

fn reap(pid: i32) -> io::Result<Option<(i32, Exit)>> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a live c_int.
        let answer = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        match answer {
            0 => return Ok(None),
            ended if ended > 0 => return Ok(Some((ended, exit_of(status)))),
            _ => {}
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(None),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

/// Without WUNTRACED and WCONTINUED a reported child has either exited or been killed. Real-time signals have no name
/// in nix, hence the numbers.
fn exit_of(status: libc::c_int) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}
