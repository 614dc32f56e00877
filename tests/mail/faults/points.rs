//! Which system calls are made to fail, how, and which are left alone for a reason.
//!
//! Runs in the test process. How often there is each of them is not written here: the process is watched at work.

use std::collections::HashMap;

use nix::errno::Errno::{self, *};
use nix::libc;

use super::rig::Role;
use super::tracer::{Blow, Point};

/// A call by name and number, how many of its ordinals are tried, and the errors that the kernel may really answer with.
type Row = (&'static str, i64, usize, &'static [Errno]);

/// All ordinals.
const ALL: usize = usize::MAX;
/// Some of them, evenly chosen.
const SOME: usize = 5;

/// What std asks for when it starts a process: it doesn't get over an answer that no kernel gives.
const OF_STD: [i64; 2] = [libc::SYS_recvfrom, libc::SYS_read];

/// Not here, and why: `epoll_wait`, `poll` and `futex` fail by EINTR alone, which the interrupts of a watcher make all the
/// time; memory that is missing ends a process, as a kill does; `getrandom`
/// doesn't fail once a system is up.
const ROWS: [Row; 42] = [
    ("openat", libc::SYS_openat, ALL, &[EIO, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EROFS, EINTR]),
    ("pwrite64", libc::SYS_pwrite64, ALL, &[EIO, ENOSPC, EDQUOT, EFBIG, EINTR]),
    ("fsync", libc::SYS_fsync, ALL, &[EIO, ENOSPC, EDQUOT, EROFS]),
    ("fdatasync", libc::SYS_fdatasync, ALL, &[EIO, ENOSPC]),
    ("renameat", libc::SYS_renameat, ALL, &[EIO, ENOSPC, EDQUOT, ENOMEM, EROFS]),
    ("renameat2", libc::SYS_renameat2, ALL, &[EIO, ENOSPC, EDQUOT, ENOMEM, EROFS]),
    ("linkat", libc::SYS_linkat, ALL, &[EIO, ENOSPC, EDQUOT, EMLINK, ENOMEM, EROFS]),
    ("unlinkat", libc::SYS_unlinkat, ALL, &[EIO, ENOMEM, EROFS]),
    ("mkdirat", libc::SYS_mkdirat, ALL, &[EIO, ENOSPC, EDQUOT, EROFS]),
    ("ftruncate", libc::SYS_ftruncate, ALL, &[EIO, ENOSPC]),
    ("fallocate", libc::SYS_fallocate, ALL, &[EIO, ENOSPC]),
    ("fchmod", libc::SYS_fchmod, ALL, &[EIO, EROFS, ENOMEM]),
    ("fstatfs", libc::SYS_fstatfs, ALL, &[EIO, ENOMEM]),
    ("fstat", libc::SYS_fstat, SOME, &[EIO, ENOMEM]),
    ("newfstatat", libc::SYS_newfstatat, SOME, &[EIO, ENOMEM]),
    ("statx", libc::SYS_statx, SOME, &[EIO, ENOMEM]),
    ("getdents64", libc::SYS_getdents64, ALL, &[EIO, ENOMEM]),
    ("lseek", libc::SYS_lseek, SOME, &[EIO]),
    ("pread64", libc::SYS_pread64, SOME, &[EIO, ENOMEM, EINTR]),
    ("read", libc::SYS_read, SOME, &[EIO, ENOMEM, EINTR]),
    ("close", libc::SYS_close, SOME, &[EIO, EINTR]),
    ("accept4", libc::SYS_accept4, SOME, &[EMFILE, ENFILE, ENOMEM, ECONNABORTED, EINTR]),
    ("socket", libc::SYS_socket, ALL, &[EMFILE, ENFILE, ENOMEM, ENOBUFS]),
    ("bind", libc::SYS_bind, ALL, &[ENOMEM, EADDRINUSE]),
    (
        "connect",
        libc::SYS_connect,
        ALL,
        &[ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, ETIMEDOUT, ENOMEM],
    ),
    ("getsockname", libc::SYS_getsockname, SOME, &[ENOBUFS, ENOTCONN]),
    ("getsockopt", libc::SYS_getsockopt, SOME, &[ENOBUFS]),
    ("setsockopt", libc::SYS_setsockopt, SOME, &[ENOBUFS, EINVAL]),
    ("epoll_ctl", libc::SYS_epoll_ctl, SOME, &[ENOMEM, ENOSPC]),
    ("socketpair", libc::SYS_socketpair, ALL, &[EMFILE, ENFILE, ENOMEM]),
    ("memfd_create", libc::SYS_memfd_create, ALL, &[EMFILE, ENFILE, ENOMEM]),
    ("clone", libc::SYS_clone, ALL, &[EAGAIN, ENOMEM]),
    ("clone3", libc::SYS_clone3, ALL, &[EAGAIN, ENOMEM]),
    ("vfork", libc::SYS_vfork, ALL, &[EAGAIN, ENOMEM]),
    ("pidfd_open", libc::SYS_pidfd_open, ALL, &[EMFILE, ENFILE, ENOMEM]),
    ("fcntl", libc::SYS_fcntl, SOME, &[EMFILE]),
    ("recvfrom", libc::SYS_recvfrom, 2 * SOME, &[ECONNRESET, ETIMEDOUT, ENOMEM]),
    ("recvmsg", libc::SYS_recvmsg, 2 * SOME, &[ECONNRESET, ENOMEM]),
    ("sendto", libc::SYS_sendto, 2 * SOME, &[ECONNRESET, EPIPE, ENOBUFS]),
    ("write", libc::SYS_write, SOME, &[EIO, ENOSPC, EPIPE]),
    ("writev", libc::SYS_writev, 2 * SOME, &[ECONNRESET, EPIPE, ENOBUFS]),
    ("sendmsg", libc::SYS_sendmsg, 2 * SOME, &[EPIPE, ENOBUFS]),
];

/// The name of a call, for the reader.
pub(super) fn name(call: i64) -> String {
    let row = ROWS.iter().find(|(_, number, ..)| *number == call);
    row.map_or_else(|| format!("call {call}"), |(name, ..)| (*name).to_owned())
}

/// Every failure that is tried of a process that makes so many calls; always the same ones for the same counts.
pub(super) fn failures(role: Role, counts: &HashMap<i64, usize>) -> Vec<Point> {
    let mut points = Vec::new();
    let tried = |row: &Row| role != Role::Parent || !OF_STD.contains(&row.1);
    for (_, call, most, errors) in ROWS.into_iter().filter(tried) {
        let count = counts.get(&call).copied().unwrap_or(0);
        for error in errors {
            let blow = match call {
                // A descriptor is closed whatever close(2) answers.
                libc::SYS_close => Blow::Answer(*error),
                _ => Blow::Error(*error),
            };
            let point = |ordinal| Point { call: Some(call), ordinal, blow };
            points.extend(evenly(count, most).into_iter().map(point));
        }
    }
    points
}

/// So many kills, evenly spread over all calls.
pub(super) fn kills(counts: &HashMap<i64, usize>, most: usize) -> Vec<Point> {
    let point = |ordinal| Point { call: None, ordinal, blow: Blow::Kill };
    evenly(counts.values().sum(), most).into_iter().map(point).collect()
}

/// At most so many of the numbers from 1 to `count`: the first, the last, and those between in equal steps.
fn evenly(count: usize, most: usize) -> Vec<usize> {
    let chosen = count.min(most);
    (0..chosen).map(|step| 1 + step * (count - 1) / (chosen - 1).max(1)).collect()
}
