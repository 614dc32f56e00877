//! Rule sets against the kernel, each in a process of its own.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use super::*;
use crate::in_child::{in_child, skip};

/// Applies rules, or skips loudly where the kernel has no Landlock.
fn restricted(rules: &[(&Path, Access)]) -> bool {
    match restrict(rules).unwrap() {
        Landlock::Full(_) | Landlock::Partial(_) => true,
        Landlock::Missing(why) => {
            skip(&why);
            false
        }
    }
}

#[test]
fn no_rule_means_no_file() {
    in_child("sandbox::landlock::tests::no_rule_means_no_file", || {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "x").unwrap();
        if restricted(&[]) {
            for path in [file.as_path(), Path::new("/etc/passwd"), Path::new("/proc/self/status")] {
                let refused = fs::File::open(path).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{path:?}");
            }
            assert!(fs::read_dir(home.path()).is_err());
            assert!(fs::write(home.path().join("new"), "x").is_err());
            assert!(fs::remove_file(&file).is_err());
        }
        std::mem::forget(home);
    });
}

#[test]
fn rules_allow_what_they_say() {
    in_child("sandbox::landlock::tests::rules_allow_what_they_say", || {
        let home = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = home.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("file"), name).unwrap();
            path
        };
        let (read, write, other) = (make("read"), make("write"), make("other"));
        let single = other.join("single");
        fs::write(&single, "single").unwrap();
        let rules = [
            (read.as_path(), Access::Read),
            (write.as_path(), Access::ReadWriteDirectory),
            (single.as_path(), Access::Read),
        ];
        if !restricted(&rules) {
            return;
        }
        assert_eq!(fs::read(read.join("file")).unwrap(), b"read");
        assert_eq!(fs::read_dir(&read).unwrap().count(), 1);
        assert!(fs::write(read.join("file"), "x").is_err());
        assert!(fs::write(read.join("new"), "x").is_err());
        assert!(fs::remove_file(read.join("file")).is_err());
        assert!(fs::rename(read.join("file"), write.join("moved")).is_err());

        crate::sandbox::tests::use_sqlite(&write.join("accounts.sqlite"));
        fs::write(write.join("new"), "x").unwrap();
        fs::rename(write.join("new"), write.join("file")).unwrap();
        fs::remove_file(write.join("file")).unwrap();
        assert!(fs::create_dir(write.join("directory")).is_err());
        assert!(std::os::unix::fs::symlink("/", write.join("link")).is_err());
        assert!(UnixListener::bind(write.join("socket")).is_err());

        assert_eq!(fs::read(&single).unwrap(), b"single");
        assert!(fs::write(&single, "x").is_err());
        assert!(fs::read(other.join("file")).is_err());
        assert!(std::process::Command::new("/bin/true").status().is_err());
        std::mem::forget(home);
    });
}

#[test]
fn networks_and_processes_outside_are_out_of_reach() {
    in_child("sandbox::landlock::tests::networks_and_processes_outside_are_out_of_reach", || {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let reachable = tcp.local_addr().unwrap();
        let name = format!("saslauthd-sandbox-{}", std::process::id());
        let name = SocketAddr::from_abstract_name(name).unwrap();
        let _abstract = UnixListener::bind_addr(&name).unwrap();
        let parent = nix::unistd::getppid();
        assert!(nix::sys::signal::kill(parent, None).is_ok());
        let abi = match restrict(&[]).unwrap() {
            Landlock::Full(abi) | Landlock::Partial(abi) => abi,
            Landlock::Missing(why) => return skip(&why),
        };
        if abi >= 4 {
            let refused = std::net::TcpStream::connect(reachable).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
        }
        if abi >= 6 {
            assert!(UnixStream::connect_addr(&name).is_err());
            assert_eq!(nix::sys::signal::kill(parent, None), Err(nix::errno::Errno::EPERM));
        }
    });
}

#[test]
fn landlock_wants_one_thread_and_paths_that_exist() {
    in_child("sandbox::landlock::tests::landlock_wants_one_thread_and_paths_that_exist", || {
        let absent = restrict(&[(Path::new("/nonexistent"), Access::Read)]);
        let why = absent.unwrap_err().to_string();
        assert!(why.contains("/nonexistent"), "{why}");
        assert!(fs::File::open("/etc/passwd").is_ok(), "nothing was applied");
        let (_hold, held) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || held.recv());
        assert!(matches!(restrict(&[]), Err(Error::NotConfined(_))));
    });
}
