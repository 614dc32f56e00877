//! The service manager: readiness, watchdog and status out, listening sockets in.
//!
//! Only the parent uses it. The two protocols (sd_notify(3), sd_listen_fds(3)) are a datagram and three
//! variables, so no library is loaded for them. The values come from the environment, which whoever
//! starts us controls, so each is checked.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, getsockname, getsockopt, sockopt};

use crate::{Error, Result, clock, descriptors};

/// What a service manager puts into the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEnvironment {
    /// NOTIFY_SOCKET: an absolute path, or `@` and an abstract name.
    pub notify_socket: Option<OsString>,
    /// WATCHDOG_USEC: microseconds within which a sign of life is due.
    pub watchdog_microseconds: Option<u64>,
    /// WATCHDOG_PID: for whom that is meant.
    pub watchdog_pid: Option<u32>,
    /// LISTEN_PID: for whom the descriptors are meant.
    pub listen_pid: Option<u32>,
    /// LISTEN_FDS: how many, from 3 on.
    pub listen_count: Option<u32>,
    /// LISTEN_FDNAMES: their names, separated by colons.
    pub listen_names: Option<String>,
}

/// The first descriptor that is handed over, SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;
/// Most sockets that we take; the numbers stay below what [`descriptors::take`] handles.
const MOST: u32 = 60;

impl ServiceEnvironment {
    /// The variables that [`Self::read`] looks at.
    pub const NAMES: [&'static str; 6] = [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
    ];

    /// From this process's environment.
    pub fn read() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// From any place where variables can be looked up.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| lookup(name).and_then(|value| value.into_string().ok());
        let number = |name| text(name).and_then(|value| value.parse().ok());
        Self {
            notify_socket: lookup("NOTIFY_SOCKET").filter(|value| !value.is_empty()),
            watchdog_microseconds: text("WATCHDOG_USEC").and_then(|value| value.parse().ok()),
            watchdog_pid: number("WATCHDOG_PID"),
            listen_pid: number("LISTEN_PID"),
            listen_count: number("LISTEN_FDS"),
            listen_names: text("LISTEN_FDNAMES"),
        }
    }

    /// How often a sign of life is due at the latest, if any is wanted from `our_pid`. Send one in half the time.
    pub fn watchdog(&self, our_pid: u32) -> Option<Duration> {
        let meant = self.watchdog_pid.is_none_or(|pid| pid == our_pid);
        let time = self.watchdog_microseconds.filter(|time| meant && *time > 0)?;
        Some(Duration::from_micros(time))
    }

    /// The descriptor numbers that were handed to `our_pid`: what [`descriptors::close_strays`] must keep.
    pub fn listening_numbers(&self, our_pid: u32) -> Result<Vec<RawFd>> {
        if self.listen_pid != Some(our_pid) {
            return Ok(Vec::new());
        }
        let count = self.listen_count.unwrap_or(0);
        if count > MOST {
            return Err(Error::HandedOver(format!("LISTEN_FDS is {count}, at most {MOST}")));
        }
        Ok((FIRST..).take(count as usize).collect())
    }

    /// Takes the listening sockets that were handed to `our_pid`, nonblocking and close-on-exec.
    /// Anything that is not a listening Unix stream socket is an error that names it.
    pub fn take_sockets(&self, our_pid: u32) -> Result<Vec<Activated>> {
        self.take(our_pid, Family::Unix)
    }

    /// The same for listening TCP sockets.
    pub fn take_tcp_sockets(&self, our_pid: u32) -> Result<Vec<Activated>> {
        self.take(our_pid, Family::Internet)
    }

    fn take(&self, our_pid: u32, family: Family) -> Result<Vec<Activated>> {
        let names = self.listen_names.as_deref().unwrap_or_default();
        let mut names = names.split(':').filter(|_| self.listen_names.is_some());
        let mut taken = Vec::new();
        for number in self.listening_numbers(our_pid)? {
            let name = names.next().unwrap_or("unknown").to_owned();
            let socket = descriptors::take(number)?;
            check_listening(&socket, &name, family)?;
            descriptors::set_nonblocking(&socket)
                .map_err(Error::system("make a handed socket nonblocking"))?;
            taken.push(Activated { socket, name });
        }
        Ok(taken)
    }
}

/// A listening socket from the service manager.
#[derive(Debug)]
pub struct Activated {
    /// The socket.
    pub socket: OwnedFd,
    /// Its FileDescriptorName, `unknown` when none was given.
    pub name: String,
}

/// What is listened for.
#[derive(Clone, Copy)]
enum Family {
    Unix,
    Internet,
}

fn check_listening(socket: &OwnedFd, name: &str, wanted: Family) -> Result<()> {
    let refuse = |why: &str| Err(Error::HandedOver(format!("socket {name:?} {why}")));
    let Ok(kind) = getsockopt(socket, sockopt::SockType) else {
        return refuse("is not a socket");
    };
    let family =
        getsockname::<nix::sys::socket::SockaddrStorage>(std::os::fd::AsRawFd::as_raw_fd(socket));
    let family = family.ok().and_then(|address| address.family());
    match (wanted, family) {
        (Family::Unix, Some(AddressFamily::Unix)) => {}
        (Family::Internet, Some(AddressFamily::Inet | AddressFamily::Inet6)) => {}
        (Family::Unix, _) => return refuse("is not a Unix socket"),
        (Family::Internet, _) => return refuse("is not a TCP socket"),
    }
    if kind != SockType::Stream {
        return refuse("is not a stream socket; use ListenStream=");
    }
    if getsockopt(socket, sockopt::AcceptConn) != Ok(true) {
        return refuse("does not listen; use Accept=no");
    }
    Ok(())
}

/// Tells the service manager how we are. Without a manager every call does nothing.
#[derive(Debug)]
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// Connects to NOTIFY_SOCKET if there is one.
    pub fn new(environment: &ServiceEnvironment) -> Result<Self> {
        let Some(name) = &environment.notify_socket else { return Ok(Self(None)) };
        let address = address(name)?;
        let socket = UnixDatagram::unbound()
            .and_then(|socket| socket.connect_addr(&address).map(|()| socket))
            .map_err(Error::system("connect to NOTIFY_SOCKET"))?;
        socket
            .set_nonblocking(true)
            .map_err(Error::system("make the notification socket nonblocking"))?;
        Ok(Self(Some(socket)))
    }

    /// Serving.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// Reading the configuration again; [`Self::ready`] ends it.
    pub fn reloading(&self) {
        let now = clock::monotonic_nanoseconds() / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// Finishing.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A sign of life.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.send(&format!("STATUS={line}"));
    }

    fn send(&self, message: &str) {
        // A manager that does not listen is no reason to stop serving.
        if let Some(socket) = &self.0 {
            let _ = crate::peer::send(socket.as_fd(), message.as_bytes());
        }
    }
}

fn address(name: &OsStr) -> Result<SocketAddr> {
    let bytes = name.as_bytes();
    let address = match bytes.split_first() {
        Some((b'/', _)) => SocketAddr::from_pathname(name),
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest),
        _ => {
            return Err(Error::HandedOver(format!(
                "NOTIFY_SOCKET {name:?} is neither an absolute path nor an abstract name"
            )));
        }
    };
    address.map_err(Error::system("use NOTIFY_SOCKET"))
}

#[cfg(test)]
mod tests;
