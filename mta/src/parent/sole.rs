//! One mta on a spool: whoever comes second says who was first, before a child of its touches what the other one writes.
//!
//! Runs in the parent. The lock is on the directory itself and ends with the process. Nothing is written for it: a server
//! starts on a full disk, too, since it is the one that empties it.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::failure::Failure;

/// Where the kernel tells who holds which lock.
const LOCKS: &str = "/proc/locks";

/// Locks the spool for as long as the file is held.
///
/// # Errors
/// Somebody else has it, or it can't be opened.
pub(super) fn claim(spool: &Path) -> Result<File, Failure> {
    let shown = spool.display();
    let unusable = |error: io::Error| Failure::new(format!("{shown}: {error}"));
    let directory = File::open(spool).map_err(unusable)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
        Err(TryLockError::WouldBlock) => {
            let who = match holder(&directory) {
                Some(pid) => format!("the mta with process id {pid}"),
                None => "another mta".to_owned(),
            };
            Err(Failure::in_use(format!("{shown}: {who} has this spool; end it first")))
        }
    }
}

/// Who has the lock of a file, if it can be seen from here.
fn holder(file: &File) -> Option<u32> {
    let facts = file.metadata().ok()?;
    let (device, inode) = (facts.dev(), facts.ino());
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    holder_in(&std::fs::read_to_string(LOCKS).ok()?, &place)
}

/// `1: FLOCK  ADVISORY  WRITE 708 fe:01:2123 0 EOF`; a holder of another namespace is 0.
fn holder_in(locks: &str, place: &str) -> Option<u32> {
    let holder = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?);
        (kind == "FLOCK" && words.next() == Some(place)).then_some(pid)
    });
    holder?.parse().ok().filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_says_who_was_first() {
        let spool = tempfile::tempdir().unwrap();
        let first = claim(spool.path()).unwrap();
        let second = claim(spool.path()).unwrap_err();
        let own = format!("process id {} has", std::process::id());
        assert!(second.code == 75 && second.text.contains(&own), "{}", second.text);
        drop(first);
        claim(spool.path()).unwrap();
    }

    #[test]
    fn locks_of_others_are_theirs() {
        let locks = "1: POSIX  ADVISORY  WRITE 12 fe:01:7 0 EOF\n1: -> FLOCK ADVISORY WRITE 13 fe:01:7 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 14 fe:01:77 0 EOF\n3: FLOCK  ADVISORY  WRITE 15 fe:01:7 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 0 fe:01:8 0 EOF\n";
        assert_eq!(holder_in(locks, "fe:01:7"), Some(15));
        assert_eq!(holder_in(locks, "fe:01:8"), None);
        assert_eq!(holder_in(locks, "fe:01:9"), None);
    }
}
