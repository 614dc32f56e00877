//! A connected datagram socket to the host's log (`/dev/log`, `/run/systemd/journal/socket`).
//!
//! It has to be made before seccomp forbids `socket` and `connect`; when the log daemon restarts
//! the connection is dead, and the parent hands a new one over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Connects without waiting ever after: a full log loses lines, it does not stop logins.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
