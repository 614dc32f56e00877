//! A file read whole, and whether it has changed since.
//!
//! Runs in the checker. Programs that change passwords replace the file by rename, and careless ones write into it; so
//! the path is looked at before each use and a reading counts only when the file was the same before and after it.
//! It must never hand out half of a file that is being written.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

/// The largest file that is read.
const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: u32 = 5;

/// Two changes within one tick of a file system's clock look like one. Coarse clocks count in whole seconds.
const TICK: Duration = Duration::from_millis(50);
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Which file it was, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Where the file system keeps it. A number is given again as soon as its file is gone.
    born: Option<SystemTime>,
}

impl Identity {
    /// Of what stands at the path now, without following a symbolic link.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        path.symlink_metadata().map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            born: metadata.created().ok(),
        }
    }

    /// Whether a change after `now` would show: the last one is at least a tick old.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let tick = if nanos == 0 { COARSE_TICK } else { TICK };
        let changed = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanos).ok())
            .and_then(|(seconds, nanos)| UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
        changed.and_then(|changed| now.duration_since(changed).ok()).is_some_and(|age| age > tick)
    }

    /// Whether this is that very file, written in place. Whoever renames makes another file.
    pub(super) fn is_same_file(&self, earlier: &Self) -> bool {
        (self.dev, self.ino, self.born) == (earlier.dev, earlier.ino, earlier.born)
    }
}

/// A whole file.
pub(super) struct Snapshot {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) identity: Identity,
}

impl Snapshot {
    /// Reads a regular file of at most 64 MiB; waits for nothing and follows no symbolic link.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let mut file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
                .open(path)
                .map_err(|error| match error.raw_os_error() {
                    Some(libc::ELOOP) => refused("it is a symbolic link; name the file itself"),
                    _ => error,
                })?;
            if let Some(snapshot) = Self::once(&mut file)? {
                return Ok(snapshot);
            }
        }
        Err(refused("it changes faster than it can be read"))
    }

    /// `None` when the file changed meanwhile.
    fn once(file: &mut File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(refused("it is not a regular file"));
        }
        if metadata.size() > MAX_SIZE {
            return Err(refused("it is larger than 64 MiB"));
        }
        let before = Identity::of(&metadata);
        // One byte more than it should have, so that a growing file shows; never reallocated, so never copied.
        let room = usize::try_from(before.size).unwrap_or(0) + 1;
        let mut bytes = Zeroizing::new(vec![0; room]);
        let length = fill(file, &mut bytes)?;
        bytes.truncate(length);
        let after = Identity::of(&file.metadata()?);
        let whole = u64::try_from(length).is_ok_and(|length| length == before.size);
        Ok((whole && before == after).then_some(Self { bytes, identity: before }))
    }
}

fn fill(file: &mut File, mut room: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while !room.is_empty() {
        let read = match file.read(room) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += read;
        room = room.get_mut(read..).unwrap_or_default();
    }
    Ok(length)
}

fn refused(why: &'static str) -> io::Error {
    io::Error::other(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_regular_file_is_read_and_none_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("shadow");
        fs::write(&path, b"ann:x:::::::\n").expect("written");
        assert_eq!(*Snapshot::read(&path).expect("read").bytes, b"ann:x:::::::\n");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(Snapshot::read(&link).is_err_and(|why| why.to_string().contains("symbolic link")));
        assert!(Snapshot::read(dir.path()).is_err());
        assert!(Snapshot::read(Path::new("/dev/zero")).is_err());
        assert!(Snapshot::read(&dir.path().join("absent")).is_err());
        let large = dir.path().join("large");
        File::create(&large).and_then(|file| file.set_len(MAX_SIZE + 1)).expect("made");
        assert!(Snapshot::read(&large).is_err_and(|why| why.to_string().contains("larger")));
    }

    #[test]
    fn a_fresh_change_is_not_settled() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("shadow");
        fs::write(&path, b"one").expect("written");
        let identity = Identity::at(&path).expect("there");
        let now = SystemTime::now();
        assert!(!identity.is_settled(now - Duration::from_secs(60)));
        assert!(identity.is_settled(now + Duration::from_secs(60)));
        let copy = dir.path().join("copy");
        fs::copy(&path, &copy).expect("copied");
        fs::write(&path, b"on").expect("written");
        assert!(
            Identity::at(&path).is_ok_and(|cut| cut != identity && cut.is_same_file(&identity))
        );
        fs::rename(&copy, &path).expect("renamed");
        assert!(Identity::at(&path).is_ok_and(|other| !other.is_same_file(&identity)));
    }
}
