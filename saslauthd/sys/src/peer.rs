//! Accepted connections: who is at the other end, and reads and writes that never wait.
//!
//! The listener calls these for every client, so each is one system call and allocates nothing.
//! What comes in is untrusted and not looked at here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Who opened the other end of a Unix socket, as the kernel recorded it at connect or at socketpair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    /// Process id in our pid namespace; 0 when the peer lives outside it.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// SO_PEERCRED, unix(7). For our end of a socketpair it names the process that made the pair.
pub fn credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are to live locals, and `length` states the size of the first.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    checked(answer as isize)?;
    Ok(PeerCredentials { pid: found.pid, uid: found.uid, gid: found.gid })
}

/// Accepts one waiting connection, nonblocking and close-on-exec, or `None` when none waits.
///
/// A connection that was given up before it was accepted is skipped. Errors are those that the
/// listener must act upon, such as EMFILE; the connection then stays in the queue.
pub fn accept(listening: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let listening = listening.as_fd().as_raw_fd();
    loop {
        // SAFETY: null address pointers are allowed by accept4(2) and ask for no address.
        let answer = unsafe {
            libc::accept4(
                listening,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        };
        if answer >= 0 {
            // SAFETY: the kernel just made this descriptor for us alone.
            return Ok(Some(unsafe { OwnedFd::from_raw_fd(answer) }));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            io::ErrorKind::WouldBlock => return Ok(None),
            _ => return Err(error),
        }
    }
}

/// Reads what is there. `Ok(0)` is the end of the stream, `WouldBlock` means nothing yet.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    receive_with(socket.as_fd(), buffer, libc::MSG_DONTWAIT)
}

/// Reads what is there and leaves it there, for a later [`receive`].
///
/// Taking bytes out of a Unix socket wakes a peer that waits for its answer, for nothing; a server that
/// answers first and reads afterwards spares both sides that switch.
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    receive_with(socket.as_fd(), buffer, libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<usize> {
    let socket = socket.as_raw_fd();
    loop {
        // SAFETY: the pointer and length are those of one live slice.
        let answer = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), flags) };
        match checked(answer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Writes what fits now and says how much. No SIGPIPE: a gone peer is `BrokenPipe`.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    loop {
        // SAFETY: the pointer and length are those of one live slice.
        let answer = unsafe {
            libc::send(
                socket,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        match checked(answer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Which of these have been closed by their peer altogether, in their order: one call for any number.
pub fn hung_up<'fd>(sockets: impl Iterator<Item = BorrowedFd<'fd>>) -> io::Result<Vec<bool>> {
    let mut asked: Vec<PollFd<'fd>> =
        sockets.map(|socket| PollFd::new(socket, PollFlags::empty())).collect();
    // POLLHUP is told without being asked for.
    poll(&mut asked, PollTimeout::ZERO)?;
    let hung_up = |one: &PollFd<'_>| one.revents().is_some_and(|e| e.contains(PollFlags::POLLHUP));
    Ok(asked.iter().map(hung_up).collect())
}

/// Says "no more from us" and keeps reading possible.
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: shutdown(2) passes no memory.
    let answer = unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_WR) };
    checked(answer as isize).map(|_| ())
}

/// Turns the -1 of a system call into the error that errno holds.
pub(crate) fn checked(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn accepts_what_waits_and_says_who() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listening = UnixListener::bind(&path).unwrap();
        listening.set_nonblocking(true).unwrap();
        assert!(accept(&listening).unwrap().is_none());
        let client = UnixStream::connect(&path).unwrap();
        let accepted = accept(&listening).unwrap().expect("one waits");
        let who = credentials(&accepted).unwrap();
        assert_eq!(who.pid, nix::unistd::getpid().as_raw());
        assert_eq!(who.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(who.gid, nix::unistd::getegid().as_raw());

        let mut buffer = [0; 8];
        let early = receive(&accepted, &mut buffer).unwrap_err();
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(send(&client, b"hello").unwrap(), 5);
        assert_eq!(receive(&accepted, &mut buffer).unwrap(), 5);
        shutdown_write(&client).unwrap();
        assert_eq!(receive(&accepted, &mut buffer).unwrap(), 0);
        assert_eq!(send(&accepted, b"bye").unwrap(), 3, "the other way is still open");
        assert_eq!(receive(&client, &mut buffer).unwrap(), 3);
        client.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(send(&accepted, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_buffer_takes_part_and_then_would_block() {
        let (left, _right) = UnixStream::pair().unwrap();
        let much = vec![0; 1 << 20];
        let first = send(&left, &much).unwrap();
        assert!(first < much.len());
        while send(&left, &much).is_ok() {}
        assert_eq!(send(&left, &much).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(credentials(&file).is_err());
        assert!(accept(&file).is_err());
    }
}
