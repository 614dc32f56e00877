//! F1 and F2 of the catalogue of attacks: planted names, unsafe directories, stale and live sockets.
//!
//! Each test that binds runs in a process of its own, because the umask belongs to the whole process.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::in_child::{in_child, skip};

fn socket_at(path: &Path) -> Socket<'_> {
    Socket {
        path,
        mode: 0o666,
        owner: None,
        group: None,
        directory_mode: 0o710,
        directory_group: None,
        backlog: 8,
    }
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mux");
    (home, path)
}

fn names(home: &tempfile::TempDir) -> usize {
    std::fs::read_dir(home.path()).unwrap().count()
}

#[test]
fn has_its_mode_and_nothing_else_is_left() {
    in_child("bind::tests::has_its_mode_and_nothing_else_is_left", || {
        let (home, path) = home();
        for mode in [0o777, 0o666, 0o660, 0o600] {
            let listening = listen_at(&Socket { mode, ..socket_at(&path) }).unwrap();
            let stat = path.symlink_metadata().unwrap();
            assert!(stat.file_type().is_socket());
            assert_eq!(stat.mode() & 0o7777, mode);
            assert_eq!(names(&home), 1);
            let client = UnixStream::connect(&path).unwrap();
            assert!(crate::peer::accept(&listening).unwrap().is_some());
            drop(client);
        }
        // The umask is what it was.
        let before = nix::sys::stat::umask(Mode::from_bits_truncate(0o22));
        assert_ne!(before.bits(), 0o777);
    });
}

#[test]
fn owner_and_group_are_given() {
    in_child("bind::tests::owner_and_group_are_given", || {
        if !crate::identity::may_change().unwrap() {
            return skip("giving a socket away needs root");
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/mux");
        let wanted = Socket {
            owner: Some(61185),
            group: Some(61186),
            directory_group: Some(61187),
            ..socket_at(&path)
        };
        let _listening = listen_at(&wanted).unwrap();
        let stat = path.symlink_metadata().unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (61185, 61186, 0o666));
        let above = path.parent().unwrap().symlink_metadata().unwrap();
        assert_eq!((above.uid(), above.gid(), above.mode() & 0o7777), (0, 61187, 0o710));
    });
}

#[test]
fn a_socket_in_place_can_be_changed_and_a_link_cannot() {
    in_child("bind::tests::a_socket_in_place_can_be_changed_and_a_link_cannot", || {
        let (home, path) = home();
        let _listening = listen_at(&socket_at(&path)).unwrap();
        change(&Socket { mode: 0o600, ..socket_at(&path) }).unwrap();
        assert_eq!(path.symlink_metadata().unwrap().mode() & 0o7777, 0o600);
        let link = home.path().join("link");
        symlink(&path, &link).unwrap();
        let refused = change(&Socket { mode: 0o777, ..socket_at(&link) });
        assert!(matches!(refused, Err(Error::Unsafe { .. })), "{refused:?}");
        assert_eq!(path.symlink_metadata().unwrap().mode() & 0o7777, 0o600);
        assert!(change(&socket_at(&home.path().join("absent"))).is_err());
    });
}

#[test]
fn f1_planted_names_are_refused_and_untouched() {
    in_child("bind::tests::f1_planted_names_are_refused_and_untouched", || {
        let (home, path) = home();
        let victim = home.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o640)).unwrap();
        type Plant = fn(&Path, &Path);
        let plants: [(&str, Plant); 4] = [
            ("a symbolic link", |victim, path| symlink(victim, path).unwrap()),
            ("a directory", |_, path| std::fs::create_dir(path).unwrap()),
            ("a named pipe", |_, path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()),
            ("a file", |victim, path| std::fs::hard_link(victim, path).unwrap()),
        ];
        for (what, plant) in plants {
            plant(&victim, &path);
            let refused = listen_at(&socket_at(&path)).unwrap_err();
            assert!(refused.to_string().contains(what), "{what}: {refused}");
            assert!(matches!(refused, Error::Unsafe { .. }));
            assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
            assert_eq!(victim.metadata().unwrap().mode() & 0o7777, 0o640);
            assert_eq!(names(&home), 2, "{what} is still there, alone");
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        }
    });
}

#[test]
fn f1_directories_of_others_are_refused() {
    in_child("bind::tests::f1_directories_of_others_are_refused", || {
        let (home, path) = home();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(listen_at(&socket_at(&path)), Err(Error::Unsafe { .. })));
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let target = home.path().join("target");
        std::fs::create_dir(&target).unwrap();
        symlink(&target, home.path().join("run")).unwrap();
        let through_link = home.path().join("run/mux");
        let refused = listen_at(&socket_at(&through_link)).unwrap_err().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
    });
}

#[test]
fn f2_a_stale_socket_is_replaced_and_never_missing() {
    in_child("bind::tests::f2_a_stale_socket_is_replaced_and_never_missing", || {
        let (_home, path) = home();
        let mut listening = listen_at(&socket_at(&path)).unwrap();
        let done = AtomicBool::new(false);
        let missing = AtomicU32::new(0);
        let attempts = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    let answer = UnixStream::connect(&path);
                    if answer.is_err_and(|e| e.kind() == ErrorKind::NotFound) {
                        missing.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            for _ in 0..200 {
                drop(listening);
                listening = listen_at(&socket_at(&path)).unwrap();
                // The client must not block on a full queue.
                while crate::peer::accept(&listening).unwrap().is_some() {}
            }
            done.store(true, Ordering::Relaxed);
            // Frees the client if it waits.
            while crate::peer::accept(&listening).unwrap().is_some() {}
        });
        assert!(attempts.into_inner() > 0);
        assert_eq!(missing.into_inner(), 0);
    });
}

#[test]
fn f2_a_live_socket_is_respected() {
    in_child("bind::tests::f2_a_live_socket_is_respected", || {
        let (home, path) = home();
        let live = listen_at(&Socket { backlog: 1, ..socket_at(&path) }).unwrap();
        let inode = path.symlink_metadata().unwrap().ino();
        // The probes themselves fill the queue: a full one counts as live too.
        for _ in 0..5 {
            let refused = listen_at(&socket_at(&path));
            assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
        }
        assert_eq!(path.symlink_metadata().unwrap().ino(), inode);
        assert_eq!(names(&home), 1);
        drop(live);
        listen_at(&socket_at(&path)).unwrap();
    });
}

#[test]
fn a_socket_of_another_kind_is_refused() {
    in_child("bind::tests::a_socket_of_another_kind_is_refused", || {
        let (_home, path) = home();
        let _log = UnixDatagram::bind(&path).unwrap();
        let refused = listen_at(&socket_at(&path)).unwrap_err().to_string();
        assert!(refused.contains("another kind"), "{refused}");
    });
}

#[test]
fn a_path_that_clients_cannot_say_is_refused() {
    in_child("bind::tests::a_path_that_clients_cannot_say_is_refused", || {
        let (home, _) = home();
        let length = MAX_PATH - home.path().as_os_str().len() - 1;
        let longest = home.path().join("x".repeat(length));
        let _listening = listen_at(&socket_at(&longest)).unwrap();
        UnixStream::connect(&longest).unwrap();
        let longer = home.path().join("x".repeat(length + 1));
        assert!(matches!(listen_at(&socket_at(&longer)), Err(Error::Unsafe { .. })));
    });
}
