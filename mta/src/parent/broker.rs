//! Connections to the daemon for children that cannot make them.
//!
//! Runs in the parent. A child says which socket by a word, never by a name, and the sender never gets one for logins.
//! Nothing here waits: a daemon that takes no connection at once is away.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::config::files::Child;
use crate::config::{Daemon, Logins};
use crate::control::Socket;

/// Connects, or says why not.
pub(super) fn reach(daemon: &Daemon, child: Child, wanted: Socket) -> Result<OwnedFd, String> {
    let path = match (wanted, child, &daemon.logins) {
        (Socket::Logins, Child::Sender, _) => return Err("logins are not the sender's".into()),
        (Socket::Logins, Child::Receiver, Logins::Auth(path) | Logins::Mux(path)) => path,
        (Socket::Policy, _, _) => &daemon.policy,
    };
    connected(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn connected(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_sender_gets_the_policy_and_never_the_logins() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let daemon = Daemon {
            logins: Logins::Auth(path("auth")),
            policy: path("policy"),
            deadline: Duration::from_secs(1),
        };
        let away = reach(&daemon, Child::Receiver, Socket::Logins).unwrap_err();
        assert!(away.contains("auth: "), "{away}");
        let _logins = UnixListener::bind(path("auth")).unwrap();
        let _policy = UnixListener::bind(path("policy")).unwrap();
        assert!(reach(&daemon, Child::Receiver, Socket::Logins).is_ok());
        assert!(reach(&daemon, Child::Sender, Socket::Policy).is_ok());
        assert!(reach(&daemon, Child::Sender, Socket::Logins).is_err());
    }
}
