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
