//! Listening Unix sockets at a path, without a moment in which somebody else can step in.
//!
//! The parent calls this, usually as root. It trusts the directory after having checked it, nothing in it. The
//! original unlinks, binds with an open umask and then sets the mode by path; here the socket is made under a
//! random name, given owner and mode, set listening, and only then renamed over the old one, so that clients
//! never find it missing, closed or half-protected.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::dir::{self, Directory, Umask};
use crate::{Error, Result};

/// Longest path that a client can put into its `sun_path`, without the NUL.
pub const MAX_PATH: usize = 107;

/// A socket to be made.
#[derive(Clone, Debug)]
pub struct Socket<'a> {
    /// Its path, at most [`MAX_PATH`] bytes.
    pub path: &'a Path,
    /// Its permission bits, such as 0o666.
    pub mode: u32,
    /// Its owner, ours if not given.
    pub owner: Option<u32>,
    /// Its group, ours if not given.
    pub group: Option<u32>,
    /// Permission bits for its directory if that has to be created, such as 0o710.
    pub directory_mode: u32,
    /// Group of its directory if that has to be created.
    pub directory_group: Option<u32>,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
}

/// Makes the socket, replacing a dead one and respecting a live one ([`Error::InUse`]).
///
/// The listening descriptor is nonblocking and close-on-exec. Sets the umask for a moment: call it before threads exist.
pub fn listen_at(wanted: &Socket<'_>) -> Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let length = wanted.path.as_os_str().as_bytes().len();
    if length > MAX_PATH {
        return Err(Error::Unsafe {
            path: wanted.path.to_owned(),
            why: format!("{length} bytes are too long for a socket, at most {MAX_PATH}"),
        });
    }
    let (parent, name) = dir::split(wanted.path)?;
    let directory =
        Directory::open_or_create(parent, wanted.directory_mode, wanted.directory_group)?;
    make_way(&directory, name, wanted.path)?;
    let temporary = format!(".{}", dir::random_name()?);
    let made = bind_and_place(&directory, &temporary, name, wanted);
    if made.is_err() {
        let _ = unlinkat(&directory, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    made
}

fn bind_and_place(
    directory: &Directory,
    temporary: &str,
    name: &str,
    wanted: &Socket<'_>,
) -> Result<OwnedFd> {
    let fd = stream_socket()?;
    let address = UnixAddr::new(&directory.through_proc(temporary))
        .map_err(Error::path("name the socket", wanted.path))?;
    {
        // Nobody can connect before owner and mode are right.
        let _umask = Umask::set(0o777);
        bind(fd.as_raw_fd(), &address).map_err(Error::path("bind", wanted.path))?;
    }
    // The directory was found to be ours, so the name is still the socket that was just bound.
    give(directory, temporary, wanted)?;
    let backlog =
        Backlog::new(wanted.backlog.clamp(1, 4096)).map_err(Error::errno("choose the backlog"))?;
    listen(&fd, backlog).map_err(Error::path("listen on", wanted.path))?;
    renameat(directory, temporary, directory, name)
        .map_err(Error::path("put in place", wanted.path))?;
    Ok(fd)
}

/// Gives a socket that is in place the owner, group and mode of `wanted`, for a changed configuration.
pub fn change(wanted: &Socket<'_>) -> Result<()> {
    let (parent, name) = dir::split(wanted.path)?;
    let directory = Directory::open(parent)?;
    let stat = fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(Error::path("look at", wanted.path))?;
    wants_socket(&stat, wanted.path)?;
    give(&directory, name, wanted)
}

/// Owner first, since giving a file away can take mode bits with it.
fn give(directory: &Directory, name: &str, wanted: &Socket<'_>) -> Result<()> {
    let owner = wanted.owner.map(Uid::from_raw);
    let group = wanted.group.map(Gid::from_raw);
    fchownat(directory, name, owner, group, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(Error::path("give away the socket", wanted.path))?;
    let mode = Mode::from_bits_truncate(wanted.mode & 0o777);
    fchmodat(directory, name, mode, FchmodatFlags::FollowSymlink)
        .map_err(Error::path("set the mode of", wanted.path))
}

fn wants_socket(stat: &FileStat, path: &Path) -> Result<()> {
    if dir::is_kind(stat, libc::S_IFSOCK) {
        return Ok(());
    }
    Err(Error::Unsafe {
        path: path.to_owned(),
        why: format!("is {}, not a socket; move it away", kind_of(stat)),
    })
}

/// Refuses whatever is at the name and must not be replaced.
fn make_way(directory: &Directory, name: &str, path: &Path) -> Result<()> {
    let stat = match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other.map_err(Error::path("look at", path))?,
    };
    wants_socket(&stat, path)?;
    let address = UnixAddr::new(&directory.through_proc(name))
        .map_err(Error::path("name the socket", path))?;
    let probe = stream_socket()?;
    match connect(probe.as_raw_fd(), &address) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(()),
        // A full queue is somebody's queue.
        Ok(()) | Err(Errno::EAGAIN | Errno::EINPROGRESS) => {
            Err(Error::InUse { path: path.to_owned() })
        }
        Err(Errno::EPROTOTYPE) => Err(Error::Unsafe {
            path: path.to_owned(),
            why: "is a socket of another kind; move it away".into(),
        }),
        Err(errno) => Err(Error::path("find out who listens on", path)(errno)),
    }
}

fn stream_socket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(Error::errno("open a Unix socket"))
}

fn kind_of(stat: &FileStat) -> &'static str {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFDIR => "a directory",
        libc::S_IFIFO => "a named pipe",
        libc::S_IFREG => "a file",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests;
