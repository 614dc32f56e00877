//! The listening sockets: bound here or handed over by a service manager, kept over every reload.
//!
//! Runs in the parent, which never accepts on them. A socket whose address stays is never closed, so that no client ever
//! finds it missing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{Ipv6V6Only, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
};
use sys::notify::Activated;

use super::failure::Failure;
use crate::config::{Config, Listener};
use crate::control::Listening;

/// The children of a parent that was killed end with it, but not in the same instant, and hold its sockets until then.
const ORPHANS: Duration = Duration::from_secs(1);
/// Between two looks at an address that is in use.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What to do about a port that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is an error.
    Fails,
    /// Another one does: nobody asked for this one.
    AnyPort,
}

/// One listening socket.
#[derive(Debug)]
struct Bound {
    /// Of [`Config::listeners`].
    index: usize,
    /// As configured, or where a handed one is.
    wanted: SocketAddr,
    /// Where it is.
    local: SocketAddr,
    socket: OwnedFd,
    handed: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Bound>);

impl Listeners {
    /// Takes what was handed over and binds the rest.
    ///
    /// # Errors
    /// An address isn't ours or is taken; a handed socket is for no listener.
    pub fn open(config: &Config, handed: Vec<Activated>, taken: Taken) -> Result<Self, Failure> {
        let mut before = Self::default();
        for Activated { socket, name } in handed {
            let listener = std::net::TcpListener::from(socket);
            let local = listener.local_addr().map_err(Failure::new)?;
            before.0.push(Bound {
                index: 0,
                wanted: local,
                local,
                socket: listener.into(),
                handed: Some(name),
            });
        }
        before.renewed(config, taken)
    }

    /// Those of a new configuration: the ones that stay, and new ones.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing has changed then.
    pub fn renewed(&self, config: &Config, taken: Taken) -> Result<Self, Failure> {
        let mut renewed = Self::default();
        for handed in self.0.iter().filter(|bound| bound.handed.is_some()) {
            renewed.0.push(handed.for_listener_of(config)?);
        }
        for (index, listener) in config.listeners.iter().enumerate() {
            // A service manager that hands over one socket of a listener speaks for the whole of it.
            if renewed.0.iter().any(|bound| bound.index == index && bound.handed.is_some()) {
                continue;
            }
            let before = renewed.0.len();
            for wanted in &listener.addresses {
                if let Some(bound) = self.one(index, *wanted, listener, taken)? {
                    renewed.0.push(bound);
                }
            }
            if renewed.0.len() == before && !listener.addresses.is_empty() {
                return Err(Failure::new(format!("this host has no address for {index}")));
            }
        }
        Ok(renewed)
    }

    fn one(
        &self,
        index: usize,
        wanted: SocketAddr,
        listener: &Listener,
        taken: Taken,
    ) -> Result<Option<Bound>, Failure> {
        if let Some(there) = self.0.iter().find(|b| b.handed.is_none() && b.wanted == wanted) {
            let socket = there.socket.try_clone().map_err(Failure::new)?;
            return Ok(Some(Bound { index, wanted, local: there.local, socket, handed: None }));
        }
        let socket = match bound_or_orphaned(wanted) {
            Err(Errno::EADDRINUSE) if taken == Taken::AnyPort => {
                listening(SocketAddr::new(wanted.ip(), 0))
            }
            // A host without IPv6 has nobody there to hear.
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)
                if wanted.is_ipv6() && wanted.ip().is_unspecified() =>
            {
                return Ok(None);
            }
            bound => bound,
        };
        let socket = socket.map_err(|errno| explain(errno, wanted, listener))?;
        let listener = std::net::TcpListener::from(socket);
        let local = listener.local_addr().map_err(Failure::new)?;
        Ok(Some(Bound { index, wanted, local, socket: listener.into(), handed: None }))
    }

    /// What the receiver is told, and the descriptors that go with it.
    pub fn message(&self) -> (Vec<Listening>, Vec<BorrowedFd<'_>>) {
        let listening = |bound: &Bound| Listening { index: bound.index };
        (self.0.iter().map(listening).collect(), self.0.iter().map(|b| b.socket.as_fd()).collect())
    }

    /// Where clients reach which listener.
    pub fn places(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        self.0.iter().map(|bound| (bound.index, bound.local))
    }
}

impl Bound {
    /// The listener that a handed socket is for: by its address or port, or by its name being the role.
    fn for_listener_of(&self, config: &Config) -> Result<Self, Failure> {
        let name = self.handed.clone().unwrap_or_default();
        let find = |fits: &dyn Fn(&Listener) -> bool| config.listeners.iter().position(fits);
        let by_address = find(&|listener| listener.addresses.contains(&self.local));
        let by_name = || find(&|listener| listener.role.word() == name);
        let by_port =
            || find(&|listener| listener.addresses.iter().any(|a| a.port() == self.local.port()));
        let Some(index) = by_address.or_else(by_name).or_else(by_port) else {
            return Err(Failure::new(format!(
                "socket {name:?} ({}) was handed over, and no [[listener]] has its port or its name as role",
                self.local
            )));
        };
        let socket = self.socket.try_clone().map_err(Failure::new)?;
        Ok(Self { index, wanted: self.local, local: self.local, socket, handed: Some(name) })
    }
}

fn bound_or_orphaned(address: SocketAddr) -> nix::Result<OwnedFd> {
    let until = Instant::now() + ORPHANS;
    loop {
        match listening(address) {
            Err(Errno::EADDRINUSE) if Instant::now() < until => thread::sleep(LOOK_AGAIN),
            other => return other,
        }
    }
}

fn listening(address: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&socket, ReuseAddr, &true)?;
    if address.is_ipv6() {
        // The configuration names both families where both are meant.
        setsockopt(&socket, Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket)
}

fn explain(errno: Errno, address: SocketAddr, listener: &Listener) -> Failure {
    let what = format!("cannot listen on {address} for {}", listener.role.word());
    match errno {
        Errno::EADDRINUSE => Failure::in_use(format!("{what}: another program does")),
        Errno::EACCES => Failure::new(format!(
            "{what}: only root may use ports below 1024; start mta as root, or write other ports into [[listener]]"
        )),
        errno => Failure::new(format!("{what}: {}", io::Error::from(errno))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addresses: &str) -> Config {
        let text = format!("[[listener]]\nrole = \"submission\"\naddresses = [{addresses}]\n");
        Config::parse(&text).unwrap()
    }

    #[test]
    fn a_reload_keeps_what_stays() {
        let first = Listeners::open(&config("\"127.0.0.1:0\""), Vec::new(), Taken::Fails).unwrap();
        let place = first.places().next().unwrap().1;
        let second =
            first.renewed(&config("\"127.0.0.1:0\", \"127.0.0.2:0\""), Taken::Fails).unwrap();
        assert_eq!(second.places().next().unwrap().1, place);
        assert_eq!(second.message().0.len(), 2);
        drop(first);
        assert!(std::net::TcpStream::connect(place).is_ok());
    }

    #[test]
    fn an_address_in_use_is_an_error_unless_another_does() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = config(&format!("\"{}\"", other.local_addr().unwrap()));
        let failure = Listeners::open(&wanted, Vec::new(), Taken::Fails).unwrap_err();
        assert_eq!(failure.code, 75, "{}", failure.text);
        let elsewhere = Listeners::open(&wanted, Vec::new(), Taken::AnyPort).unwrap();
        assert_ne!(elsewhere.places().next().unwrap().1, other.local_addr().unwrap());
    }

    #[test]
    fn handed_sockets_are_found_by_address_name_or_port() {
        let handed = |name: &str| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            (socket.local_addr().unwrap(), Activated { socket: socket.into(), name: name.into() })
        };
        let (place, activated) = handed("submission");
        let listeners = Listeners::open(&config("\"127.0.0.1:1\""), vec![activated], Taken::Fails);
        assert_eq!(listeners.unwrap().places().collect::<Vec<_>>(), [(0, place)]);
        let (place, activated) = handed("x");
        let wanted = config(&format!("\"127.0.0.3:{}\"", place.port()));
        assert!(Listeners::open(&wanted, vec![activated], Taken::Fails).is_ok());
        let (_, activated) = handed("relay");
        let failure = Listeners::open(&config("\"127.0.0.1:1\""), vec![activated], Taken::Fails);
        assert!(failure.unwrap_err().text.contains("no [[listener]] has its port"));
    }
}
