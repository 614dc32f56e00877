//! Connects to a Unix socket without waiting for ever, which the standard library cannot.
//!
//! Runs in the tools, and in every program that loads the PAM module. A daemon that hangs still has a queue of connections;
//! when that is full, connect(2) waits. It trusts nobody, and must never leave a descriptor to a program that is executed.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// A connection to the socket at `path`.
///
/// # Errors
/// The system's, and `WouldBlock` when there was no place in the queue before the deadline.
pub fn within(path: &Path, deadline: Duration) -> io::Result<UnixStream> {
    let end = Instant::now() + deadline;
    let address = UnixAddr::new(path)?;
    let descriptor: OwnedFd =
        socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let left = TimeVal::milliseconds(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
        // Linux waits for a place in the queue as long as a send may take (unix(7) says nothing of it).
        socket::setsockopt(&descriptor, sockopt::SendTimeout, &left)?;
        match socket::connect(descriptor.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(descriptor)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_full_queue_ends_at_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        socket::listen(&listener, socket::Backlog::new(1).unwrap()).unwrap();
        let deadline = Duration::from_millis(50);
        let mut queued = Vec::new();
        let error = loop {
            match within(&path, deadline) {
                Ok(stream) => queued.push(stream),
                Err(error) => break error,
            }
            assert!(queued.len() < 10, "the queue has no end");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        let error = within(&path, deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_path_that_no_socket_has_is_the_systems_error() {
        let nowhere = within(Path::new("/nonexistent/mux"), Duration::from_secs(1)).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
        let long = format!("/{}", "x".repeat(200));
        assert!(within(Path::new(&long), Duration::from_secs(1)).is_err());
    }
}
