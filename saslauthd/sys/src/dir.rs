//! Directories that only we can change, and files in them: state written durably, files opened without surprises.
//!
//! Used as root and as the daemon's users. A directory is opened once and then spoken of by descriptor, so
//! that nobody can swap a component of the path between the check and the use.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::{Error, Result};

/// An open directory whose names nobody but us and root can change.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens an existing directory. Refused: a symbolic link, another owner than us or root, and one that others may
    /// write without the sticky bit.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOTDIR | Errno::ELOOP => Error::Unsafe {
                path: path.to_owned(),
                why: "not a directory (a symbolic link is refused: name its target)".into(),
            },
            errno => Error::path("open the directory", path)(errno),
        })?;
        let stat = fstat(&fd).map_err(Error::path("look at the directory", path))?;
        check_directory(path, &stat)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens the directory, creating it first with this mode and group if it is not there; its parent must exist.
    /// The mode and group of an existing one are the administrator's and stay.
    pub fn open_or_create(path: &Path, mode: u32, group: Option<u32>) -> Result<Self> {
        match Self::open(path) {
            Err(Error::Path { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Self::open(path);
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let above = nix::fcntl::open(parent, flags, Mode::empty())
            .map_err(Error::path("open the parent directory", parent))?;
        {
            let _umask = Umask::set(0);
            match mkdirat(&above, name, Mode::from_bits_truncate(mode & 0o1777)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(Error::path("create the directory", path)(errno)),
            }
        }
        let made = Self::open(path)?;
        if let Some(group) = group {
            fchownat(&made.fd, "", None, Some(Gid::from_raw(group)), AtFlags::AT_EMPTY_PATH)
                .map_err(Error::path("give the group to the directory", path))?;
        }
        Ok(made)
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path to `name` in this very directory, whatever happens to its own path meanwhile. Needs `/proc`.
    pub(crate) fn through_proc(&self, name: &str) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    /// Replaces the file `name` as a whole: temporary file, fsync, rename, fsync of the directory.
    ///
    /// After an `Ok` a power failure leaves the new content, after an error the old.
    pub fn write_durably(&self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        check_name(name, &self.path)?;
        let temporary = format!(".{name}.{}", random_name()?);
        let written = self.write_new(&temporary, bytes, mode).and_then(|()| {
            renameat(&self.fd, temporary.as_str(), &self.fd, name)
                .map_err(Error::path("put in place", &self.path.join(name)))
        });
        if written.is_err() {
            let _ = unlinkat(&self.fd, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        written?;
        self.sync()
    }

    fn write_new(&self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let path = self.path.join(name);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::from_bits_truncate(0o600))
            .map_err(Error::path("create", &path))?;
        let mut file = File::from(fd);
        let failed = |doing| {
            let path = path.clone();
            move |source| Error::Path { doing, path, source }
        };
        file.write_all(bytes).map_err(failed("write"))?;
        nix::sys::stat::fchmod(&file, Mode::from_bits_truncate(mode & 0o777))
            .map_err(Error::path("set the mode of", &path))?;
        file.sync_all().map_err(failed("sync"))
    }

    fn sync(&self) -> Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let readable = openat(&self.fd, ".", flags, Mode::empty())
            .map_err(Error::path("open for syncing", &self.path))?;
        nix::unistd::fsync(&readable).map_err(Error::path("sync the directory", &self.path))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check_directory(path: &Path, stat: &FileStat) -> Result<()> {
    let refuse = |why: String| Err(Error::Unsafe { path: path.to_owned(), why });
    if stat.st_uid != 0 && stat.st_uid != Uid::effective().as_raw() {
        return refuse(format!("belongs to uid {}; chown it to root or to this user", stat.st_uid));
    }
    let sticky = stat.st_mode & libc::S_ISVTX != 0;
    if stat.st_mode & 0o022 != 0 && !sticky {
        return refuse(format!(
            "can be written by others (mode {:04o}); chmod go-w it",
            stat.st_mode & 0o7777
        ));
    }
    Ok(())
}

/// A name in a directory, not a path.
pub(crate) fn check_name(name: &str, directory: &Path) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::Unsafe {
            path: directory.to_owned(),
            why: format!("{name:?} is not the name of a file"),
        });
    }
    Ok(())
}

/// Splits into the directory and the name in it.
pub(crate) fn split(path: &Path) -> Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(parent), Some(name)) = (path.parent(), name) else {
        return Err(Error::Unsafe { path: path.to_owned(), why: "not a path to a file".into() });
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok((parent, name))
}

/// Twelve characters that nobody guesses.
pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 6];
    // SAFETY: the pointer and length are those of one live array.
    let answer = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if answer != 6 {
        return Err(Error::system("get random bytes")(std::io::Error::last_os_error()));
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What to do when the last component of a path is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Follow it: for files that the administrator names, whose directories only root writes.
    Follow,
    /// Refuse it, and a file with a second name (hard link) too: for directories that others can write.
    Refuse,
}

/// Opens a regular file of at most `most` bytes for reading, without ever waiting (a FIFO is refused,
/// not opened) and without becoming a controlling terminal.
pub fn open_regular(path: &Path, most: u64, links: Links) -> Result<File> {
    let mut flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    if links == Links::Refuse {
        flags |= OFlag::O_NOFOLLOW;
    }
    let fd = nix::fcntl::open(path, flags, Mode::empty()).map_err(Error::path("open", path))?;
    let stat = fstat(&fd).map_err(Error::path("look at", path))?;
    let refuse = |why: String| Err(Error::Unsafe { path: path.to_owned(), why });
    if !is_kind(&stat, libc::S_IFREG) {
        return refuse("not a regular file".into());
    }
    if links == Links::Refuse && stat.st_nlink > 1 {
        return refuse("has a second name (hard link); copy it and remove that".into());
    }
    if u64::try_from(stat.st_size).is_ok_and(|size| size > most) {
        return refuse(format!("{} bytes are more than the {most} that are read", stat.st_size));
    }
    Ok(File::from(fd))
}

pub(crate) fn is_kind(stat: &FileStat, kind: libc::mode_t) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}

/// A umask that is put back. Process-wide, so only before threads exist.
pub(crate) struct Umask(Mode);

impl Umask {
    pub(crate) fn set(mask: u32) -> Self {
        Self(nix::sys::stat::umask(Mode::from_bits_truncate(mask)))
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        nix::sys::stat::umask(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::in_child::in_child;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_directories_that_others_cannot_change() {
        let home = tempfile::tempdir().unwrap();
        for (mode, good) in [
            (0o700, true),
            (0o755, true),
            (0o710, true),
            (0o770, false),
            (0o777, false),
            (0o702, false),
            (0o1777, true),
        ] {
            set_mode(home.path(), mode);
            let opened = Directory::open(home.path());
            assert_eq!(opened.is_ok(), good, "{mode:o}: {opened:?}");
        }
    }

    #[test]
    fn links_and_files_are_no_directories() {
        let home = tempfile::tempdir().unwrap();
        symlink("/etc", home.path().join("link")).unwrap();
        std::fs::write(home.path().join("file"), "").unwrap();
        for name in ["link", "file"] {
            let refused = Directory::open(&home.path().join(name));
            assert!(matches!(refused, Err(Error::Unsafe { .. })), "{name}: {refused:?}");
        }
    }

    #[test]
    fn another_owner_is_refused() {
        if !crate::identity::may_change().unwrap() {
            return crate::in_child::skip("giving a directory away needs root");
        }
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(home.path(), Some(61184), None).unwrap();
        let refused = Directory::open(home.path()).unwrap_err().to_string();
        assert!(refused.contains("belongs to uid 61184"), "{refused}");
    }

    #[test]
    fn one_level_is_created_with_its_mode_and_an_existing_one_is_left() {
        const NAME: &str =
            "dir::tests::one_level_is_created_with_its_mode_and_an_existing_one_is_left";
        in_child(NAME, || {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("run");
            let group = nix::unistd::getegid().as_raw();
            Directory::open_or_create(&path, 0o710, Some(group)).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o710);
            Directory::open_or_create(&path, 0o700, None).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o710);
            let deep = Directory::open_or_create(&home.path().join("a/b"), 0o710, None);
            let why = deep.unwrap_err().to_string();
            assert!(why.contains("parent directory"), "{why}");
        });
    }

    #[test]
    fn content_is_replaced_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path()).unwrap();
        let path = home.path().join("state");
        directory.write_durably("state", b"old", 0o600).unwrap();
        let old = std::fs::File::open(&path).unwrap();
        directory.write_durably("state", b"new", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(old.metadata().unwrap().nlink(), 0, "the old file is another one");
        let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_and_no_litter() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path()).unwrap();
        std::fs::create_dir(home.path().join("state")).unwrap();
        assert!(directory.write_durably("state", b"new", 0o600).is_err());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        for name in ["", ".", "..", "a/b", "/etc/passwd", "a\0"] {
            let refused = directory.write_durably(name, b"", 0o600);
            assert!(matches!(refused, Err(Error::Unsafe { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let victim = home.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        symlink(&victim, home.path().join("state")).unwrap();
        let directory = Directory::open(home.path()).unwrap();
        directory.write_durably("state", b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
        assert!(home.path().join("state").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn only_regular_files_of_a_bounded_size_are_opened() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        let link = home.path().join("link");
        let fifo = home.path().join("fifo");
        std::fs::write(&file, "12345").unwrap();
        symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
        assert!(open_regular(&file, 5, Links::Refuse).is_ok());
        assert!(open_regular(&link, 5, Links::Follow).is_ok());
        assert!(open_regular(&link, 5, Links::Refuse).is_err());
        assert!(matches!(open_regular(&file, 4, Links::Refuse), Err(Error::Unsafe { .. })));
        std::fs::hard_link(&file, home.path().join("second name")).unwrap();
        assert!(matches!(open_regular(&file, 5, Links::Refuse), Err(Error::Unsafe { .. })));
        assert!(open_regular(&file, 5, Links::Follow).is_ok());
        // Without O_NONBLOCK this would wait for a writer for ever.
        assert!(matches!(open_regular(&fifo, 5, Links::Follow), Err(Error::Unsafe { .. })));
        assert!(matches!(open_regular(home.path(), 5, Links::Follow), Err(Error::Unsafe { .. })));
        assert!(open_regular(Path::new("/dev/null"), 5, Links::Follow).is_err());
    }
}
