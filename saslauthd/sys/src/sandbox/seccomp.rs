//! seccomp: the system calls that a process can still make, as lists by name.
//!
//! Anything else ends the process at once with SIGSYS (31). The lists hold after the runtime stands: epoll, eventfd,
//! timers and threads exist already. None of them can execute, trace, listen, or map executable memory; only the
//! sender's can open a socket and connect.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::{Error, Result};

/// A named list of system calls.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// The process that strangers talk to: accepted sockets and its channels, no file at all.
    Listener,
    /// The process that holds the secrets: files and SQLite as well, threads that exist already.
    Checker,
    /// The process that speaks to other servers: files, threads that it starts as it needs them, and sockets of
    /// the internet and of this host that it connects itself. It listens nowhere.
    Sender,
    /// The process that hears strangers' mail: accepted sockets, files that it makes and never reads again, and threads.
    Receiver,
}

/// How far seccomp holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// The list is in force in all threads.
    Enforced(Calls),
    /// Nothing, and why.
    Missing(String),
}

impl fmt::Display for Calls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Listener => "listener",
            Self::Checker => "checker",
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        })
    }
}

impl fmt::Display for Seccomp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced(calls) => write!(out, "{calls}"),
            Self::Missing(why) => write!(out, "missing ({why})"),
        }
    }
}

/// Sockets that exist, descriptors, memory, time, signals of a thread: what any of our processes needs.
const COMMON: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_fcntl,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The older names that glibc and tokio still use where the architecture has them.
#[cfg(target_arch = "x86_64")]
const COMMON_OLD: &[c_long] = &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const COMMON_OLD: &[c_long] = &[];

const LISTENER: &[c_long] = &[libc::SYS_accept4];

/// Reading account files, what SQLite does in WAL mode, and accepting operators.
const FILES: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_flock,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
];

#[cfg(target_arch = "x86_64")]
const FILES_OLD: &[c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_rename,
];
#[cfg(not(target_arch = "x86_64"))]
const FILES_OLD: &[c_long] = &[];

/// A thread's start and end, and what a disk has left; what needs a look at its arguments is in
/// [`arguments_of_receiver`].
const RECEIVER: &[c_long] = &[
    libc::SYS_set_tid_address,
    libc::SYS_statfs,
    libc::SYS_pwritev2,
    // Answered with ENOSYS, so that the C library uses clone, whose flags can be looked at.
    libc::SYS_clone3,
];

/// Connecting, a port for questions to the DNS, a watch over a directory, and a thread's start and end; what needs a
/// look at its arguments is in [`arguments_of_sender`].
const SENDER: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_setsockopt,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_set_tid_address,
    libc::SYS_dup3,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_pwritev2,
    libc::SYS_preadv2,
    libc::SYS_utimensat,
    libc::SYS_statfs,
    // Answered with ENOSYS, so that the C library uses clone, whose flags can be looked at.
    libc::SYS_clone3,
];

#[cfg(target_arch = "x86_64")]
const SENDER_OLD: &[c_long] = &[libc::SYS_link, libc::SYS_mkdir, libc::SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const SENDER_OLD: &[c_long] = &[];

impl Calls {
    /// The numbers of all calls that are allowed whatever their arguments.
    fn numbers(self) -> impl Iterator<Item = c_long> {
        let own: [&[c_long]; 4] = match self {
            Self::Listener => [LISTENER, &[], &[], &[]],
            Self::Checker => [FILES, FILES_OLD, &[], &[]],
            Self::Sender => [FILES, FILES_OLD, SENDER, SENDER_OLD],
            Self::Receiver => [FILES, FILES_OLD, RECEIVER, &[]],
        };
        COMMON.iter().chain(COMMON_OLD).chain(own.into_iter().flatten()).copied()
    }
}

/// Allows only `calls` in every thread of this process, for good. Sets no_new_privs.
pub fn restrict(calls: Calls) -> Result<Seccomp> {
    if let Some(why) = unavailable() {
        return Ok(Seccomp::Missing(why));
    }
    let failed = |why: &dyn fmt::Display| Error::NotConfined(format!("seccomp: {why}"));
    let program = compile(calls).map_err(|e| failed(&e))?;
    if matches!(calls, Calls::Sender | Calls::Receiver) {
        let program = without_clone3().map_err(|e| failed(&e))?;
        seccompiler::apply_filter_all_threads(&program).map_err(|e| failed(&e))?;
    }
    seccompiler::apply_filter_all_threads(&program).map_err(|e| failed(&e))?;
    Ok(Seccomp::Enforced(calls))
}

/// The flags of clone3(2) are in memory, where no filter sees them. Of two filters the stricter answer counts.
fn without_clone3() -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    BpfProgram::try_from(filter)
}

/// Asks for the action that we use, not just for seccomp; says why not when it is not there.
fn unavailable() -> Option<String> {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    let get: libc::c_uint = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the pointer is to a live u32, which is what this operation reads.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, get, 0, &raw const action) };
    if answer == 0 { None } else { Some(io::Error::last_os_error().to_string()) }
}

fn compile(calls: Calls) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.numbers().map(|number| (number, Vec::new())).collect();
    // mmap and mprotect without PROT_EXEC.
    let no_exec = || argument(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    rules.insert(libc::SYS_mmap, vec![no_exec()?]);
    rules.insert(libc::SYS_mprotect, vec![no_exec()?]);
    // std sets sockets nonblocking through ioctl.
    rules.insert(libc::SYS_ioctl, vec![argument(1, SeccompCmpOp::Eq, libc::FIONBIO)?]);
    // A thread that was started just before names itself only now.
    let name = u64::from(libc::PR_SET_NAME.unsigned_abs());
    rules.insert(libc::SYS_prctl, vec![argument(0, SeccompCmpOp::Eq, name)?]);
    // abort(3) signals itself; nobody else can be signalled.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![argument(0, SeccompCmpOp::Eq, own)?]);
    match calls {
        Calls::Sender => rules.extend(arguments_of_sender()?),
        Calls::Receiver => rules.extend(arguments_of_receiver()?),
        Calls::Listener | Calls::Checker => {}
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    BpfProgram::try_from(filter)
}

/// Threads and no processes; and of all options of sockets TCP_NODELAY.
fn arguments_of_receiver()
-> std::result::Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let (level, option) = (libc::IPPROTO_TCP.unsigned_abs(), libc::TCP_NODELAY.unsigned_abs());
    let no_delay = SeccompRule::new(vec![
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, level.into())?,
        SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, option.into())?,
    ])?;
    Ok(BTreeMap::from([(libc::SYS_clone, vec![thread()?]), (libc::SYS_setsockopt, vec![no_delay])]))
}

/// A clone that makes a thread and no process.
fn thread() -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    let thread = libc::CLONE_THREAD as u64;
    argument(0, SeccompCmpOp::MaskedEq(thread), thread)
}

/// Threads and no processes; streams and datagrams of three families, no raw sockets.
fn arguments_of_sender()
-> std::result::Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    // Without SOCK_CLOEXEC and SOCK_NONBLOCK.
    const KIND: u64 = 0xf;
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            let family = u64::from(family.unsigned_abs());
            let kind = u64::from(kind.unsigned_abs());
            sockets.push(SeccompRule::new(vec![
                SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)?,
                SeccompCondition::new(
                    1,
                    SeccompCmpArgLen::Dword,
                    SeccompCmpOp::MaskedEq(KIND),
                    kind,
                )?,
            ])?);
        }
    }
    Ok(BTreeMap::from([(libc::SYS_clone, vec![thread()?]), (libc::SYS_socket, sockets)]))
}

fn argument(
    index: u8,
    comparison: SeccompCmpOp,
    value: u64,
) -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, comparison, value)?;
    SeccompRule::new(vec![condition])
}
