//! Each list against the kernel: what its real users do works under it, what it leaves out ends the process.

mod report;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::children::Exit;
use crate::harden;
use crate::in_child::{alone, am_child, in_child, skip};

const KILLED: Exit = Exit::Signal(libc::SIGSYS);

/// Applies a list, or skips loudly where the kernel has no seccomp.
fn confined(calls: Calls) -> bool {
    match seccomp::restrict(calls).unwrap() {
        Seccomp::Enforced(applied) => {
            assert_eq!(applied, calls);
            true
        }
        Seccomp::Missing(why) => {
            skip(&why);
            false
        }
    }
}

/// A call by number with arguments that no call can use, so that where seccomp lets it through it
/// fails without effect.
fn raw(number: libc::c_long) -> libc::c_long {
    let none: libc::c_long = -1;
    // SAFETY: -1 is neither a descriptor nor an address, so the kernel touches nothing.
    unsafe { libc::syscall(number, none, none, none, none, none, none) }
}

/// What neither list may ever hold.
const NEVER: &[(&str, libc::c_long)] = &[
    ("socket", libc::SYS_socket),
    ("socketpair", libc::SYS_socketpair),
    ("connect", libc::SYS_connect),
    ("bind", libc::SYS_bind),
    ("listen", libc::SYS_listen),
    ("setsockopt", libc::SYS_setsockopt),
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("memfd_create", libc::SYS_memfd_create),
    ("openat2", libc::SYS_openat2),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("mount", libc::SYS_mount),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("chroot", libc::SYS_chroot),
    ("kill", libc::SYS_kill),
    ("setuid", libc::SYS_setuid),
    ("setresuid", libc::SYS_setresuid),
    ("capset", libc::SYS_capset),
    ("prctl", libc::SYS_prctl),
    ("personality", libc::SYS_personality),
    ("init_module", libc::SYS_init_module),
    ("linkat", libc::SYS_linkat),
    ("symlinkat", libc::SYS_symlinkat),
    ("mkdirat", libc::SYS_mkdirat),
    ("pkey_mprotect", libc::SYS_pkey_mprotect),
    ("remap_file_pages", libc::SYS_remap_file_pages),
];

/// What only the listener lacks.
const FILES: &[(&str, libc::c_long)] = &[
    ("openat", libc::SYS_openat),
    ("pread64", libc::SYS_pread64),
    ("newfstatat", libc::SYS_newfstatat),
    ("unlinkat", libc::SYS_unlinkat),
    ("renameat", libc::SYS_renameat),
    ("ftruncate", libc::SYS_ftruncate),
    ("getdents64", libc::SYS_getdents64),
];

fn wants_killed(calls: Calls, forbidden: &[(&str, libc::c_long)]) {
    for (name, number) in forbidden {
        let ended = alone(|| {
            if confined(calls) {
                raw(*number);
            }
        });
        assert_eq!(ended, KILLED, "{name} under the list {calls}");
    }
}

#[test]
fn the_listener_is_killed_for_what_it_must_not() {
    const NAME: &str = "sandbox::tests::the_listener_is_killed_for_what_it_must_not";
    if !am_child() {
        return in_child(NAME, || {});
    }
    wants_killed(Calls::Listener, NEVER);
    wants_killed(Calls::Listener, FILES);
    #[cfg(target_arch = "x86_64")]
    wants_killed(Calls::Listener, &[("open", libc::SYS_open), ("fork", libc::SYS_fork)]);
}

#[test]
fn the_checker_is_killed_for_what_it_must_not() {
    const NAME: &str = "sandbox::tests::the_checker_is_killed_for_what_it_must_not";
    if !am_child() {
        return in_child(NAME, || {});
    }
    wants_killed(Calls::Checker, NEVER);
    #[cfg(target_arch = "x86_64")]
    wants_killed(Calls::Checker, &[("fork", libc::SYS_fork), ("vfork", libc::SYS_vfork)]);
}

#[test]
fn the_sender_is_killed_for_what_it_must_not() {
    const NAME: &str = "sandbox::tests::the_sender_is_killed_for_what_it_must_not";
    if !am_child() {
        return in_child(NAME, || {});
    }
    // A clone by number has all flags; what makes a process of it is below.
    const MAY: [&str; 7] =
        ["connect", "bind", "setsockopt", "clone", "clone3", "linkat", "mkdirat"];
    let forbidden: Vec<_> = NEVER.iter().filter(|(name, _)| !MAY.contains(name)).copied().collect();
    wants_killed(Calls::Sender, &forbidden);
    wants_killed(Calls::Sender, &[("accept", libc::SYS_accept)]);
    #[cfg(target_arch = "x86_64")]
    wants_killed(Calls::Sender, &[("fork", libc::SYS_fork), ("vfork", libc::SYS_vfork)]);
    let attempts: [(&str, fn()); 4] = [
        ("a raw socket", || open_socket(libc::AF_INET, libc::SOCK_RAW)),
        ("a packet socket", || open_socket(libc::AF_PACKET, libc::SOCK_DGRAM)),
        ("netlink", || open_socket(libc::AF_NETLINK, libc::SOCK_DGRAM)),
        ("a program", || drop(std::process::Command::new("true").spawn())),
    ];
    for (what, attempt) in attempts {
        let ended = alone(|| {
            if confined(Calls::Sender) {
                attempt();
            }
        });
        assert_eq!(ended, KILLED, "{what}");
    }
}

#[test]
fn the_receiver_is_killed_for_what_it_must_not() {
    const NAME: &str = "sandbox::tests::the_receiver_is_killed_for_what_it_must_not";
    if !am_child() {
        return in_child(NAME, || {});
    }
    // A clone by number has all flags; what makes a process of it is below.
    let forbidden: Vec<_> =
        NEVER.iter().filter(|(name, _)| !["clone", "clone3"].contains(name)).copied().collect();
    wants_killed(Calls::Receiver, &forbidden);
    #[cfg(target_arch = "x86_64")]
    wants_killed(Calls::Receiver, &[("fork", libc::SYS_fork), ("vfork", libc::SYS_vfork)]);
    let attempts: [(&str, fn()); 3] = [
        ("a program", || drop(std::process::Command::new("true").spawn())),
        ("tcp", || drop(std::net::TcpStream::connect("127.0.0.1:1"))),
        ("unix", || drop(UnixStream::connect("/run/x"))),
    ];
    for (what, attempt) in attempts {
        let ended = alone(|| {
            if confined(Calls::Receiver) {
                attempt();
            }
        });
        assert_eq!(ended, KILLED, "{what}");
    }
}

/// What the receiver does: clients of a socket that it was handed, without delay; files; threads.
#[test]
fn the_receiver_can_receive() {
    in_child("sandbox::tests::the_receiver_can_receive", || {
        let home = tempfile::tempdir().unwrap();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        fs::write(home.path().join("other file"), b"").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        harden::apply(None).unwrap();
        let reached = finish(Calls::Receiver, Landlock::Missing("not here".into())).unwrap();
        assert_eq!(reached.seccomp, Seccomp::Enforced(Calls::Receiver));
        use_files(home.path());
        assert_eq!(std::thread::spawn(|| 1).join().unwrap(), 1);
        runtime.block_on(async move {
            server.set_nonblocking(true).unwrap();
            let server = tokio::net::TcpListener::from_std(server).unwrap();
            let (stream, _) = server.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let read = tokio::task::spawn_blocking(|| fs::read("/proc/self/stat")).await.unwrap();
            assert!(!read.unwrap().is_empty());
        });
        drop(client);
        std::mem::forget(home);
    });
}

fn open_socket(family: libc::c_int, kind: libc::c_int) {
    // SAFETY: numbers only; the descriptor that may come of it is left to the end of the process.
    unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
}

/// What the sender does: threads whenever it needs them, files, a watch, and connections of all kinds.
#[test]
fn the_sender_can_send() {
    in_child("sandbox::tests::the_sender_can_send", || {
        let home = tempfile::tempdir().unwrap();
        let listening = UnixListener::bind(home.path().join("s")).unwrap();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        harden::apply(None).unwrap();
        let reached = finish(Calls::Sender, Landlock::Missing("not here".into())).unwrap();
        assert_eq!(reached.seccomp, Seccomp::Enforced(Calls::Sender));
        use_files(home.path());
        assert_eq!(std::thread::spawn(|| 1).join().unwrap(), 1);
        let address = server.local_addr().unwrap();
        let path = home.path().join("s");
        runtime.block_on(async move {
            let read = tokio::task::spawn_blocking(|| fs::read("/proc/self/stat")).await.unwrap();
            assert!(!read.unwrap().is_empty());
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let asker = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            asker.connect(address).await.unwrap();
            tokio::net::UnixStream::connect(path).await.unwrap();
        });
        drop(listening);
        std::mem::forget(home);
    });
}

/// The same through the library functions that an attacker or a mistake would use.
#[test]
fn ordinary_code_is_killed_too() {
    const NAME: &str = "sandbox::tests::ordinary_code_is_killed_too";
    if !am_child() {
        return in_child(NAME, || {});
    }
    let attempts: [(&str, Calls, fn()); 6] = [
        ("open a file", Calls::Listener, || drop(fs::File::open("/etc/passwd"))),
        ("connect", Calls::Listener, || drop(UnixStream::connect("/run/x"))),
        ("connect", Calls::Checker, || drop(UnixStream::connect("/run/x"))),
        ("tcp", Calls::Checker, || drop(std::net::TcpStream::connect("127.0.0.1:1"))),
        ("run a program", Calls::Checker, || drop(std::process::Command::new("true").spawn())),
        ("start a thread", Calls::Checker, || drop(std::thread::spawn(|| ()))),
    ];
    for (what, calls, attempt) in attempts {
        let ended = alone(|| {
            if confined(calls) {
                attempt();
            }
        });
        assert_eq!(ended, KILLED, "{what} under the list {calls}");
    }
}

fn map(protection: libc::c_int) -> *mut libc::c_void {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) }
}

#[test]
fn executable_memory_and_foreign_signals_are_killed_by_argument() {
    const NAME: &str =
        "sandbox::tests::executable_memory_and_foreign_signals_are_killed_by_argument";
    if !am_child() {
        return in_child(NAME, || {});
    }
    let attempts: [(&str, Exit, fn()); 6] = [
        ("plain memory", Exit::Code(0), || {
            let page = map(libc::PROT_READ | libc::PROT_WRITE);
            assert_ne!(page, libc::MAP_FAILED);
            // SAFETY: the page was just mapped and nothing refers to it.
            let answer = unsafe { libc::mprotect(page, 4096, libc::PROT_READ) };
            assert_eq!(answer, 0);
        }),
        ("mmap for execution", KILLED, || {
            map(libc::PROT_READ | libc::PROT_EXEC);
        }),
        ("mprotect for execution", KILLED, || {
            let page = map(libc::PROT_READ);
            // SAFETY: the page was just mapped and nothing refers to it.
            unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) };
        }),
        ("abort", Exit::Signal(libc::SIGABRT), || std::process::abort()),
        ("a signal to another process", KILLED, || {
            // SAFETY: numbers only; signal 0 does nothing even where it is allowed.
            unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) };
        }),
        ("terminal input (TIOCSTI)", KILLED, || {
            // SAFETY: the byte outlives the call.
            unsafe { libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()) };
        }),
    ];
    for calls in [Calls::Listener, Calls::Checker] {
        for (what, wanted, attempt) in attempts {
            let ended = alone(|| {
                if confined(calls) {
                    attempt();
                }
            });
            assert_eq!(ended, wanted, "{what} under the list {calls}");
        }
    }
}

#[test]
fn threads_that_exist_are_confined_too() {
    const NAME: &str = "sandbox::tests::threads_that_exist_are_confined_too";
    if !am_child() {
        return in_child(NAME, || {});
    }
    let ended = alone(|| {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = wait.recv();
            drop(fs::File::open("/etc/passwd"));
        });
        if confined(Calls::Listener) {
            drop(go);
            let _ = thread.join();
        }
    });
    assert_eq!(ended, KILLED);
}

#[test]
fn threads_that_only_just_start_are_not_killed() {
    const NAME: &str = "sandbox::tests::threads_that_only_just_start_are_not_killed";
    if !am_child() {
        return in_child(NAME, || {});
    }
    for calls in [Calls::Listener, Calls::Checker] {
        for _ in 0..20 {
            let ended = alone(|| {
                let start = |number: u8| {
                    let builder = std::thread::Builder::new().name(format!("hash-{number}"));
                    builder.spawn(move || vec![number; 1 << 20].len()).unwrap()
                };
                let threads: Vec<_> = (0..8).map(start).collect();
                confined(calls);
                for thread in threads {
                    assert_eq!(thread.join().unwrap(), 1 << 20);
                }
            });
            assert_eq!(ended, Exit::Code(0), "under the list {calls}");
        }
    }
}

/// What the listener does: the runtime, timers, clients, a descriptor from the parent, a full round.
#[test]
fn the_listener_can_serve() {
    in_child("sandbox::tests::the_listener_can_serve", || {
        let home = tempfile::tempdir().unwrap();
        let listening = UnixListener::bind(home.path().join("s")).unwrap();
        let (parent, channel) = crate::channel::pair(crate::channel::Kind::Packets).unwrap();
        crate::channel::send_with_fds(&parent, b"serve", &[listening.as_fd()]).unwrap();
        let (there, here) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let late = UnixStream::connect(home.path().join("s")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        harden::apply(None).unwrap();
        let files = landlock::restrict(&[]).unwrap();
        let reached = finish(Calls::Listener, files).unwrap();
        assert_eq!(reached.seccomp, Seccomp::Enforced(Calls::Listener));
        assert!(reached.no_new_privileges && reached.undumpable, "{reached}");

        runtime.block_on(async move {
            let (_, mut handed) =
                crate::channel::receive_with_fds(&channel, &mut [0; 16], 1).unwrap();
            let listening = handed.pop().unwrap();
            crate::descriptors::set_nonblocking(&listening).unwrap();
            let first = crate::peer::accept(&listening).unwrap().unwrap();
            crate::peer::credentials(&first).unwrap();
            crate::peer::send(&first, b"OK").unwrap();
            crate::peer::shutdown_write(&first).unwrap();
            let client = tokio::net::UnixStream::from_std(here).unwrap();
            let nothing = tokio::time::timeout(Duration::from_millis(5), client.readable()).await;
            assert!(nothing.is_err(), "the timer works");
            crate::peer::send(&there, b"x").unwrap();
            client.readable().await.unwrap();
            assert_eq!(client.try_read(&mut [0; 8]).unwrap(), 1);
            let listening = UnixListener::from(listening);
            let listening = tokio::net::UnixListener::from_std(listening).unwrap();
            let none = tokio::time::timeout(Duration::from_millis(5), listening.accept()).await;
            assert!(none.is_err());
            client.writable().await.unwrap();
            client.try_write(b"x").unwrap();
            let much: Vec<Vec<u8>> = (0..64).map(|n| vec![n; 1 << 18]).collect();
            drop(much);
            crate::clock::boot_nanoseconds();
            eprintln!("the log works");
        });
        drop(late);
        std::mem::forget(home);
    });
}

/// What the checker does: threads that exist already, SQLite in WAL mode with two connections, state
/// files, replaced files.
#[test]
fn the_checker_can_check() {
    in_child("sandbox::tests::the_checker_can_check", || {
        let home = tempfile::tempdir().unwrap();
        let (work, jobs) = std::sync::mpsc::channel::<usize>();
        let (results, done) = std::sync::mpsc::channel();
        let pool = std::thread::spawn(move || {
            while let Ok(size) = jobs.recv() {
                // As much as a costly hash takes.
                let memory = vec![7_u8; size];
                results.send(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>()).unwrap();
            }
        });
        harden::apply(None).unwrap();
        finish(Calls::Checker, Landlock::Missing("not here".into())).unwrap();
        for size in [1 << 10, 64 << 20] {
            work.send(size).unwrap();
            assert_eq!(done.recv().unwrap(), 7 * size as u64);
        }
        use_sqlite(&home.path().join("accounts.sqlite"));
        use_files(home.path());
        drop(work);
        pool.join().unwrap();
        std::mem::forget(home);
    });
}

pub(crate) fn use_sqlite(path: &Path) {
    let open = || {
        let connection = rusqlite::Connection::open(path).unwrap();
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        connection.busy_timeout(Duration::from_secs(1)).unwrap();
        connection
    };
    let mut first = open();
    let second = open();
    first.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE t (a, b)").unwrap();
    let transaction = first.transaction().unwrap();
    for number in 0..5000 {
        transaction.execute("INSERT INTO t VALUES (?1, randomblob(300))", [number]).unwrap();
    }
    transaction.commit().unwrap();
    let sorted: i64 = second
        .query_row("SELECT count(*) FROM (SELECT DISTINCT b FROM t ORDER BY b)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(sorted, 5000);
    first.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM t; VACUUM").unwrap();
    drop(second);
    drop(first);
    let rollback = rusqlite::Connection::open(path).unwrap();
    rollback.execute_batch("PRAGMA journal_mode = DELETE; INSERT INTO t VALUES (1, 2)").unwrap();
    assert!(rusqlite::Connection::open_in_memory().is_ok());
}

fn use_files(home: &Path) {
    let directory = crate::dir::Directory::open(home).unwrap();
    directory.write_durably("state", b"first", 0o600).unwrap();
    directory.write_durably("state", b"second", 0o600).unwrap();
    let path = home.join("state");
    assert_eq!(fs::read(&path).unwrap(), b"second");
    let file = crate::dir::open_regular(&path, 100, crate::dir::Links::Follow).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 6);
    file.lock().unwrap();
    assert_eq!(fs::read_dir(home).unwrap().count(), 2);
    assert!(fs::metadata(home.join("absent")).is_err());
    assert!(fs::canonicalize(&path).is_ok());
    fs::rename(&path, home.join("other")).unwrap();
    fs::remove_file(home.join("other")).unwrap();
    assert!(crate::clock::wall_seconds() > 0);
    assert!(!crate::clock::hostname().is_empty());
}
