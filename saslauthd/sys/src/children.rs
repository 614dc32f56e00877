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
    let mut child = command.spawn().map_err(|source| Error::Path {
        doing: "start",
        path: program.to_owned(),
        source,
    })?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    // It is not reaped yet, so the number still means this child.
    let opened = pidfd(pid);
    if opened.is_err() {
        // Nobody would ever wait for it.
        let _ = child.kill().and_then(|()| child.wait());
    }
    Ok(Child { pid, pidfd: opened.map_err(Error::system("open a pidfd"))? })
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
pub(crate) fn exit_of(status: libc::c_int) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{self, Kind};
    use crate::in_child;
    use crate::signals::{Readiness, wait_readable};

    fn arguments(test: &str, extra: &str) -> Vec<OsString> {
        in_child::arguments(test).into_iter().chain([extra]).map(OsString::from).collect()
    }

    /// Starts this test again as a grandchild in the role `what`.
    fn start(test: &str, what: &str) -> (Child, OwnedFd) {
        let (ours, theirs) = channel::pair(Kind::Packets).unwrap();
        let program = std::env::current_exe().unwrap();
        let environment = [("LANG", OsStr::new("C"))];
        let child = spawn(&program, &arguments(test, what), &environment, theirs.as_fd()).unwrap();
        (child, ours)
    }

    fn wait(child: &Child) -> Exit {
        assert_eq!(wait_readable(&[child.as_fd()], None).unwrap(), [Readiness::Readable]);
        child.try_wait().unwrap().expect("the pidfd said so")
    }

    #[test]
    fn f4_a_child_has_its_channel_and_nothing_else() {
        const NAME: &str = "children::tests::f4_a_child_has_its_channel_and_nothing_else";
        if in_child::argument("role").is_some() {
            assert_eq!(descriptors::open_descriptors().unwrap(), [0, 1, 2, 3]);
            let variables: Vec<_> = std::env::vars_os().collect();
            assert_eq!(variables, [("LANG".into(), "C".into())]);
            assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
            let blocked = SigSet::thread_get_mask().unwrap();
            assert!(blocked.iter().next().is_none());
            assert_eq!(nix::unistd::getsid(None).unwrap(), nix::unistd::getpid());
            let channel = descriptors::take(descriptors::CHANNEL).unwrap();
            let parent = crate::peer::credentials(&channel).unwrap().pid;
            harden::die_with_parent(parent).unwrap();
            channel::send(&channel, b"all well").unwrap();
            return;
        }
        in_child::in_child(NAME, || {
            // Leaks without close-on-exec, and blocked signals.
            let null = std::fs::File::open("/dev/null").unwrap();
            for number in [30, 31, 200] {
                descriptors::duplicate_to(&null, number).unwrap();
            }
            let _signals = crate::signals::Signals::block().unwrap();
            // Both with descriptor 3 free and taken.
            for _ in 0..3 {
                let (child, channel) = start(NAME, "role=child");
                let mut buffer = [0; 16];
                let count = channel::receive_plain(&channel, &mut buffer).unwrap();
                assert_eq!(&buffer[..count], b"all well");
                assert_eq!(wait(&child), Exit::Code(0));
                std::mem::forget(channel);
            }
        });
    }

    #[test]
    fn ends_are_told_apart() {
        const NAME: &str = "children::tests::ends_are_told_apart";
        match in_child::argument("role").as_deref() {
            Some("exit") => std::process::exit(7),
            Some("wait") => {
                let channel = descriptors::take(descriptors::CHANNEL).unwrap();
                let _ = channel::receive_plain(&channel, &mut [0; 8]);
                return;
            }
            Some("realtime") => {
                // SAFETY: raise takes a number.
                unsafe { libc::raise(libc::SIGRTMIN() + 3) };
            }
            _ => {}
        }
        in_child::in_child(NAME, || {
            let (child, _channel) = start(NAME, "role=exit");
            assert_eq!(wait(&child), Exit::Code(7));
            child.end(End::AtOnce).unwrap();
            for (how, signal) in [(End::Politely, libc::SIGTERM), (End::AtOnce, libc::SIGKILL)] {
                let (child, _channel) = start(NAME, "role=wait");
                assert_eq!(child.try_wait().unwrap(), None);
                assert_eq!(reap_any().unwrap(), None);
                child.end(how).unwrap();
                assert_eq!(wait(&child), Exit::Signal(signal));
            }
            let (child, _channel) = start(NAME, "role=realtime");
            wait_readable(&[child.as_fd()], None).unwrap();
            let signal = libc::SIGRTMIN() + 3;
            assert_eq!(reap_any().unwrap(), Some((child.pid, Exit::Signal(signal))));
            assert_eq!(reap_any().unwrap(), None, "no children at all");
        });
    }

    fn wait_to_be_killed() {
        let (_ours, theirs) = channel::pair(Kind::Packets).unwrap();
        let _ = channel::receive_plain(&theirs, &mut [0]);
    }

    #[test]
    fn a_child_ends_with_its_parent() {
        const NAME: &str = "children::tests::a_child_ends_with_its_parent";
        match in_child::argument("role").as_deref() {
            Some("parent") => {
                in_child::alone(|| {
                    let channel = descriptors::take(descriptors::CHANNEL).unwrap();
                    let program = std::env::current_exe().unwrap();
                    let child = arguments(NAME, "role=child");
                    spawn(&program, &child, &[], channel.as_fd()).unwrap();
                    wait_to_be_killed();
                });
                return;
            }
            Some("child") => {
                let channel = descriptors::take(descriptors::CHANNEL).unwrap();
                channel::send(&channel, b"here").unwrap();
                wait_to_be_killed();
            }
            _ => {}
        }
        in_child::in_child(NAME, || {
            let (parent, channel) = start(NAME, "role=parent");
            assert_eq!(channel::receive_plain(&channel, &mut [0; 8]).unwrap(), 4);
            parent.end(End::AtOnce).unwrap();
            assert_eq!(wait(&parent), Exit::Signal(libc::SIGKILL));
            // The grandchild holds the other end; it closes only when that one is gone too.
            assert_eq!(channel::receive_plain(&channel, &mut [0; 8]).unwrap(), 0);
        });
    }

    #[test]
    fn a_missing_program_is_an_error_at_once() {
        in_child::in_child("children::tests::a_missing_program_is_an_error_at_once", || {
            let (_ours, theirs) = channel::pair(Kind::Packets).unwrap();
            let absent = spawn(Path::new("/nonexistent/listener"), &[], &[], theirs.as_fd());
            let why = absent.unwrap_err().to_string();
            assert!(why.contains("/nonexistent/listener"), "{why}");
        });
    }

    #[test]
    fn threads_forbid_starting_processes() {
        in_child::in_child("children::tests::threads_forbid_starting_processes", || {
            let (_hold, held) = std::sync::mpsc::channel::<()>();
            std::thread::spawn(move || held.recv());
            let (_ours, theirs) = channel::pair(Kind::Packets).unwrap();
            let refused = spawn(Path::new("/bin/true"), &[], &[], theirs.as_fd());
            assert!(matches!(refused, Err(Error::HandedOver(_))));
        });
    }
}
