//! The pid file: one daemon at a time, and where scripts find its process.
//!
//! The format and lock are those of Cyrus saslauthd (`PID\n`, fcntl lock, mode 0600), so that either daemon
//! sees the other.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, unlinkat};

use crate::dir::{self, Directory};
use crate::{Error, Result};

/// A pid file that this process holds; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    directory: Directory,
    name: String,
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Locks the file and writes our process id into it, or says who has it ([`Error::AlreadyRunning`]).
    pub fn claim(path: &Path) -> Result<Self> {
        let (parent, name) = dir::split(path)?;
        let directory = Directory::open(parent)?;
        loop {
            let mut file = File::from(open(&directory, name, path)?);
            lock(&mut file, path)?;
            // The last holder may have removed it between our open and our lock.
            if !is_still_there(&directory, name, &file) {
                continue;
            }
            let written = file
                .set_len(0)
                .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
            written.map_err(|source| Error::Path {
                doing: "write",
                path: path.to_owned(),
                source,
            })?;
            return Ok(Self { directory, name: name.to_owned(), path: path.to_owned(), file });
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have put another file there by hand; that one stays.
        if is_still_there(&self.directory, &self.name, &self.file) {
            let _ = unlinkat(&self.directory, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn open(directory: &Directory, name: &str, path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_RDWR
        | OFlag::O_CREAT
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let fd =
        openat(directory, name, flags, Mode::from_bits_truncate(0o600)).map_err(
            |errno| match errno {
                Errno::ELOOP => unsafe_file(path, "is a symbolic link; remove it"),
                errno => Error::path("open the pid file", path)(errno),
            },
        )?;
    let stat = fstat(&fd).map_err(Error::path("look at", path))?;
    if !dir::is_kind(&stat, libc::S_IFREG) {
        return Err(unsafe_file(path, "is not a regular file; remove it"));
    }
    // A second name could be any file of ours, and writing here would overwrite it.
    if stat.st_nlink > 1 {
        return Err(unsafe_file(path, "has a second name (hard link); remove it"));
    }
    if stat.st_uid != Uid::effective().as_raw() {
        return Err(unsafe_file(path, "belongs to somebody else; remove it"));
    }
    Ok(fd)
}

fn unsafe_file(path: &Path, why: &str) -> Error {
    Error::Unsafe { path: path.to_owned(), why: why.into() }
}

/// An open-file-description lock: seen by the original's fcntl lock, not lost when another descriptor of
/// the same file closes.
fn lock(file: &mut File, path: &Path) -> Result<()> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(&*file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            Err(Error::AlreadyRunning { path: path.to_owned(), pid: read_pid(file) })
        }
        Err(errno) => Err(Error::path("lock", path)(errno)),
    }
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.rewind().ok()?;
    Read::by_ref(file).take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_still_there(directory: &Directory, name: &str, file: &File) -> bool {
    let (Ok(held), Ok(named)) =
        (fstat(file), fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW))
    else {
        return false;
    };
    (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::in_child;

    #[test]
    fn one_holder_who_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("saslauthd.pid");
        std::fs::write(&path, "99999999999 left over by a crash").unwrap();
        let held = PidFile::claim(&path).unwrap();
        let ours = std::process::id();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{ours}\n"));
        let second = PidFile::claim(&path).unwrap_err();
        let Error::AlreadyRunning { pid, .. } = second else { panic!("{second}") };
        assert_eq!(pid, i32::try_from(ours).ok());
        drop(held);
        assert!(!path.exists());
        let again = PidFile::claim(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(again.path(), path);
    }

    #[test]
    fn the_originals_lock_is_seen() {
        const NAME: &str = "pidfile::tests::the_originals_lock_is_seen";
        if in_child::am_child() {
            let refused = PidFile::claim(Path::new(&in_child::argument("pid").unwrap()));
            assert!(matches!(refused, Err(Error::AlreadyRunning { pid: Some(42), .. })));
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("saslauthd.pid");
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"42\n").unwrap();
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&whole)).unwrap();
        let output =
            in_child::command(NAME).arg(format!("pid={}", path.display())).output().unwrap();
        in_child::wants_success(NAME, &output);
    }

    #[test]
    fn links_and_pipes_are_refused_and_untouched() {
        let home = tempfile::tempdir().unwrap();
        // One each, or the second name of one would protect the other.
        let (victim, other) = (home.path().join("victim"), home.path().join("other"));
        std::fs::write(&victim, "mine").unwrap();
        std::fs::write(&other, "mine").unwrap();
        let (soft, hard, pipe) =
            (home.path().join("soft"), home.path().join("hard"), home.path().join("pipe"));
        symlink(&victim, &soft).unwrap();
        std::fs::hard_link(&other, &hard).unwrap();
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for path in [soft, hard, pipe] {
            let refused = PidFile::claim(&path);
            assert!(matches!(refused, Err(Error::Unsafe { .. })), "{path:?}: {refused:?}");
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
        assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    }

    #[test]
    fn a_file_put_there_by_others_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("saslauthd.pid");
        let held = PidFile::claim(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        drop(held);
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
    }
}
