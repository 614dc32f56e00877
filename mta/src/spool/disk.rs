//! The few calls by which the spool touches its disk: what is promised to last goes through here, and nothing else does.
//!
//! Runs in the receiver and in the sender. All names are relative to a directory that was opened before the process was
//! confined. An fsync that failed is never tried again: the kernel reports a lost write once, and a later success says
//! nothing about it. All calls block.

use std::collections::VecDeque;
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fstatat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

#[cfg(test)]
use super::tape::{Step, Tape};

/// The sender reads what the receiver wrote by the group of `incoming/`. It may write too, or the kernel would not let
/// it give the file another name (fs.protected_hardlinks).
const MODE: u32 = 0o660;

/// A directory of the spool.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    rounds: Mutex<Rounds>,
    /// Who waits for a round with an even number, and for one with an odd number: whoever waits for the next one isn't
    /// woken by the end of this one, but for the one who begins it.
    ended: [Condvar; 2],
    #[cfg(test)]
    tape: Option<std::sync::Arc<Tape>>,
}

/// fsyncs of one directory, numbered from 1.
#[derive(Debug, Default)]
struct Rounds {
    /// The last one that began.
    begun: u64,
    /// The last one that ended.
    ended: u64,
    /// The last of those that failed: as many as there may be whose waiters haven't all heard of it.
    failed: VecDeque<(u64, Errno)>,
    /// Rounds up to this one are said to have failed, if anybody still asks.
    forgotten: u64,
}

/// Failed rounds that are remembered.
const FAILED_ROUNDS: usize = 64;

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    ByUs,
    BySomebodyElse,
}

/// What is left on a disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bytes: u64,
    /// How many more files; `None` where nothing but bytes limits them.
    pub(super) files: Option<u64>,
}

impl Directory {
    /// Opens it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            fd: nix::fcntl::open(path, flags, Mode::empty())?,
            path: path.to_owned(),
            rounds: Mutex::default(),
            ended: Default::default(),
            #[cfg(test)]
            tape: Tape::current(),
        })
    }

    /// For messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is left on its disk for us.
    pub(super) fn room(&self) -> io::Result<Room> {
        let disk = fstatvfs(&self.fd)?;
        // File systems that make room for files as they come say 0 of 0.
        let files = (disk.files() > 0).then(|| disk.files_available());
        Ok(Room { bytes: disk.blocks_available().saturating_mul(disk.fragment_size()), files })
    }

    /// Makes a file that isn't there yet.
    pub(super) fn create(&self, name: &str) -> io::Result<NewFile> {
        #[cfg(test)]
        let inode = self.tell(Step::Create(self.label(), name.into()))?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = File::from(openat(&self.fd, name, flags, Mode::from_bits_truncate(MODE))?);
        // Whatever the umask says.
        if let Err(error) = file.set_permissions(Permissions::from_mode(MODE)) {
            let _ = self.remove(name);
            return Err(error);
        }
        Ok(NewFile {
            file,
            #[cfg(test)]
            tape: self.tape.clone(),
            #[cfg(test)]
            inode,
        })
    }

    /// Opens a regular file to read; whoever wrote it may have put something else there, which must not make us wait.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(Errno::ELOOP.into()),
        }
    }

    /// Gives a file its name, which nothing has yet.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(test)]
        self.tell(Step::Rename(self.label(), from.into(), to.into()))?;
        let flags = RenameFlags::RENAME_NOREPLACE;
        match renameat2(&self.fd, from, &self.fd, to, flags) {
            // A file system that can't promise it; names are drawn so that none comes twice.
            Err(Errno::EINVAL | Errno::ENOSYS) => Ok(renameat(&self.fd, from, &self.fd, to)?),
            other => Ok(other?),
        }
    }

    /// Gives a file the name of another one, which is gone then.
    pub(super) fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(test)]
        self.tell(Step::Rename(self.label(), from.into(), to.into()))?;
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Gives a file the same name in another directory, besides its own.
    pub(super) fn link(&self, name: &str, to: &Self) -> io::Result<()> {
        #[cfg(test)]
        self.tell(Step::Link(self.label(), name.into(), to.label()))?;
        Ok(linkat(&self.fd, name, &to.fd, name, AtFlags::empty())?)
    }

    /// Which file has this name, if any: two names of one file say the same.
    pub(super) fn file(&self, name: &str) -> io::Result<Option<(u64, u64)>> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a name away that may be gone already.
    pub(super) fn clear(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Nobody else may open it like this until this directory is dropped, or the process ends.
    ///
    /// Returns whether that is so; if not, somebody else did before.
    pub(super) fn lock(&self) -> io::Result<Locked> {
        let file = File::from(self.fd.try_clone()?);
        match file.try_lock() {
            Ok(()) => Ok(Locked::ByUs),
            Err(TryLockError::WouldBlock) => Ok(Locked::BySomebodyElse),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes a name away.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        self.tell(Step::Remove(self.label(), name.into()))?;
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// The names in it, in no order. Names that aren't UTF-8 aren't ours.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Makes the names that were given and taken away before this call last. One fsync serves all who wait: the next one
    /// to begin.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut rounds = self.rounds();
        let mine = rounds.begun + 1;
        while rounds.ended < mine {
            if rounds.begun == rounds.ended {
                rounds = self.round(rounds);
            } else {
                rounds = self.bell(mine).wait(rounds).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let failed = rounds.failed.iter().find(|(round, _)| *round == mine).map(|(_, why)| *why);
        let failed = failed.or((mine <= rounds.forgotten).then_some(Errno::EIO));
        failed.map_or(Ok(()), |why| Err(why.into()))
    }

    /// The next fsync, by the first of those who wait for it.
    fn round<'a>(&'a self, mut rounds: MutexGuard<'a, Rounds>) -> MutexGuard<'a, Rounds> {
        rounds.begun += 1;
        let this = rounds.begun;
        drop(rounds);
        let outcome = self.fsync();
        let mut rounds = self.rounds();
        rounds.ended = this;
        if let Err(why) = outcome {
            rounds.failed.push_back((this, why));
            if rounds.failed.len() > FAILED_ROUNDS {
                rounds.forgotten = rounds.failed.pop_front().map_or(0, |(round, _)| round);
            }
        }
        self.bell(this).notify_all();
        self.bell(this + 1).notify_one();
        rounds
    }

    /// What those wait at who wait for this round.
    fn bell(&self, round: u64) -> &Condvar {
        let [even, odd] = &self.ended;
        if round.is_multiple_of(2) { even } else { odd }
    }

    fn fsync(&self) -> Result<(), Errno> {
        #[cfg(test)]
        self.tell(Step::SyncDirectory(self.label())).map_err(errno)?;
        nix::unistd::fsync(&self.fd)
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that nobody else knows yet.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    #[cfg(test)]
    tape: Option<std::sync::Arc<Tape>>,
    #[cfg(test)]
    inode: usize,
}

impl NewFile {
    /// Writes all of it at this place.
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(test)]
        self.tell(Step::Write(self.inode, at, bytes.to_vec()))?;
        self.file.write_all_at(bytes, at)
    }

    /// Makes what was written last. After an error the file is of no use.
    pub(super) fn sync(self) -> io::Result<()> {
        #[cfg(test)]
        self.tell(Step::SyncFile(self.inode))?;
        self.file.sync_all()
    }
}

/// Whether it's space that is missing: more of it, and the same may succeed.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(errno_of(error), Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG))
}

fn errno_of(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

#[cfg(test)]
fn errno(error: io::Error) -> Errno {
    errno_of(&error).unwrap_or(Errno::EIO)
}

#[cfg(test)]
impl Directory {
    fn label(&self) -> String {
        self.path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn tell(&self, step: Step) -> io::Result<usize> {
        self.tape.as_ref().map_or(Ok(0), |tape| tape.step(step))
    }
}

#[cfg(test)]
impl NewFile {
    fn tell(&self, step: Step) -> io::Result<usize> {
        self.tape.as_ref().map_or(Ok(0), |tape| tape.step(step))
    }
}
