//! A connected datagram socket to the host's log (`/dev/log`, `/run/systemd/journal/socket`).
//!
//! It has to be made before seccomp forbids `socket` and `connect`; when the log daemon restarts
//! the connection is dead, and the parent hands a new one over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where syslog listens.
pub const SYSLOG: &str = "/dev/log";
/// Where systemd's journal listens.
pub const JOURNAL: &str = "/run/systemd/journal/socket";

/// Connects without waiting ever after: a full log loses lines, it does not stop logins.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_and_a_full_log_does_not_stop_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let log = connect(&path).unwrap();
        crate::peer::send(&log, b"<38>hello").unwrap();
        let mut buffer = [0; 32];
        let count = daemon.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"<38>hello");
        while crate::peer::send(&log, b"<38>flood").is_ok() {}
        let full = crate::peer::send(&log, b"<38>x").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn no_log_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let absent = connect(&directory.path().join("log")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
}
