//! What `mailauth` asks the running daemon over its control socket, and the client for it.
//!
//! One request line of at most [`MAX_REQUEST`] bytes with its line feed, then a reply of JSON until EOF. Who may
//! ask is decided by the daemon from the peer's uid before it reads a byte; the line is untrusted all the same.
//! The reply is made where its figures are, in the checker, and is only text here.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Name, Rejected};

/// The longest request line, in bytes, its line feed included.
pub const MAX_REQUEST: usize = 512;

/// The longest reply that [`ask`] takes, in bytes.
pub const MAX_REPLY: usize = 1024 * 1024;

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `status`: processes, confinement, backends, limiter, cache and pool.
    Status,
    /// `limits show`: figures of every class.
    Limits,
    /// `limits show LOGIN[<TAB>REALM]`: what is left to one user.
    LimitsOf(Login),
    /// `limits reset …`: forget failures.
    Reset(Reset),
    /// `cache flush`: forget remembered successes.
    CacheFlush,
}

/// Login and realm as a mail server would send them; the daemon maps and prepares them as those of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The login.
    pub login: Name,
    /// The realm, or empty.
    pub realm: Name,
}

/// Whose failures are forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// `all`
    All,
    /// `user LOGIN[<TAB>REALM]`
    User(Login),
    /// `source ADDRESS`: the address and the networks around it.
    Source(IpAddr),
}

impl Login {
    /// Takes login and realm of an operator's command line.
    ///
    /// # Errors
    /// What [`Name::new`] says, and [`Rejected::Empty`] for an empty login.
    pub fn new(login: &[u8], realm: &[u8]) -> Result<Self, Rejected> {
        if login.is_empty() {
            return Err(Rejected::Empty);
        }
        Ok(Self { login: Name::new(login)?, realm: Name::new(realm)? })
    }

    fn decode(field: &[u8]) -> Option<Self> {
        let mut parts = field.splitn(2, |byte| *byte == b'\t');
        let login = parts.next()?;
        Self::new(login, parts.next().unwrap_or_default()).ok()
    }

    fn encode(&self, line: &mut Vec<u8>) -> Result<(), Rejected> {
        // A tab ends the login on this line; no account that we make has one.
        if self.login.as_bytes().contains(&b'\t') {
            return Err(Rejected::LineBreak);
        }
        line.extend_from_slice(self.login.as_bytes());
        if !self.realm.is_empty() {
            line.push(b'\t');
            line.extend_from_slice(self.realm.as_bytes());
        }
        Ok(())
    }
}

impl Request {
    /// The request's line with its line feed.
    ///
    /// # Errors
    /// [`Rejected::TooLong`] over [`MAX_REQUEST`], [`Rejected::LineBreak`] for a tab in a login.
    pub fn encode(&self) -> Result<Vec<u8>, Rejected> {
        let mut line = Vec::new();
        match self {
            Self::Status => line.extend_from_slice(b"status"),
            Self::Limits => line.extend_from_slice(b"limits show"),
            Self::LimitsOf(login) => {
                line.extend_from_slice(b"limits show ");
                login.encode(&mut line)?;
            }
            Self::Reset(Reset::All) => line.extend_from_slice(b"limits reset all"),
            Self::Reset(Reset::User(login)) => {
                line.extend_from_slice(b"limits reset user ");
                login.encode(&mut line)?;
            }
            Self::Reset(Reset::Source(ip)) => {
                line.extend_from_slice(format!("limits reset source {ip}").as_bytes());
            }
            Self::CacheFlush => line.extend_from_slice(b"cache flush"),
        }
        line.push(b'\n');
        if line.len() > MAX_REQUEST { Err(Rejected::TooLong) } else { Ok(line) }
    }

    /// Reads a line without its line feed; `None` for anything that is no request.
    pub fn decode(line: &[u8]) -> Option<Self> {
        match line {
            b"status" => return Some(Self::Status),
            b"limits show" => return Some(Self::Limits),
            b"limits reset all" => return Some(Self::Reset(Reset::All)),
            b"cache flush" => return Some(Self::CacheFlush),
            _ => {}
        }
        if let Some(login) = line.strip_prefix(b"limits show ") {
            return Login::decode(login).map(Self::LimitsOf);
        }
        if let Some(login) = line.strip_prefix(b"limits reset user ") {
            return Login::decode(login).map(|login| Self::Reset(Reset::User(login)));
        }
        let ip = std::str::from_utf8(line.strip_prefix(b"limits reset source ")?).ok()?;
        let ip: IpAddr = ip.parse().ok()?;
        Some(Self::Reset(Reset::Source(ip.to_canonical())))
    }
}

/// Sends `request` to the control socket and gives back the reply, a JSON text.
///
/// # Errors
/// Those of the connection. One that closes without a reply is `PermissionDenied`: the daemon does so when the
/// caller's uid may not ask. A reply over [`MAX_REPLY`] is `InvalidData`.
pub fn ask(socket: &Path, request: &Request, deadline: Duration) -> io::Result<String> {
    let line = request.encode().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    ask_line(socket, &line, deadline)
}

/// The same of a line that another language of control sockets has.
pub(crate) fn ask_line(socket: &Path, line: &[u8], deadline: Duration) -> io::Result<String> {
    let end = Instant::now() + deadline;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(deadline))?;
    stream.write_all(line)?;
    let mut reply = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            // A process that was stopped and goes on sees this even without a handler.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if reply.len() > MAX_REPLY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the reply is too long"));
        }
    }
    if reply.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the daemon closed the control socket without a reply; ask as root or as an operator",
        ));
    }
    String::from_utf8(reply).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(login: &[u8], realm: &[u8]) -> Login {
        Login::new(login, realm).unwrap()
    }

    #[test]
    fn every_request_round_trips() {
        for request in [
            Request::Status,
            Request::Limits,
            Request::LimitsOf(login(b"all alice", b"")),
            Request::LimitsOf(login(b"alice", b"example.com")),
            Request::Reset(Reset::All),
            Request::Reset(Reset::User(login(b"alice@example.com", b""))),
            Request::Reset(Reset::User(login(b"al\xff", b"r x"))),
            Request::Reset(Reset::Source("2001:db8::1".parse().unwrap())),
            Request::CacheFlush,
        ] {
            let line = request.encode().unwrap();
            let (end, line) = line.split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert_eq!(Request::decode(line), Some(request));
        }
    }

    #[test]
    fn one_spelling_for_one_address() {
        let mapped = Request::decode(b"limits reset source ::ffff:192.0.2.7");
        assert_eq!(mapped, Request::decode(b"limits reset source 192.0.2.7"));
        assert!(mapped.is_some());
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            &b""[..],
            b"Status",
            b"status ",
            b"limits",
            b"limits show ",
            b"limits reset user ",
            b"limits reset user \trealm",
            b"limits reset source localhost",
            b"limits reset user a\nb",
        ] {
            assert_eq!(Request::decode(line), None, "{}", crate::Quoted(line));
        }
        let long = Request::LimitsOf(login(&[b'x'; 600], b""));
        assert_eq!(long.encode(), Err(Rejected::TooLong));
        let tab = Request::LimitsOf(login(b"a\tb", b""));
        assert_eq!(tab.encode(), Err(Rejected::LineBreak));
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_none(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(request) = Request::decode(&line) {
                let again = request.encode().unwrap();
                prop_assert_eq!(Request::decode(&again[..again.len() - 1]), Some(request));
            }
        }

        #[test]
        fn any_name_after_a_verb_round_trips(name in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut line = b"limits reset user ".to_vec();
            line.extend_from_slice(&name);
            if let Some(request) = Request::decode(&line) {
                let again = request.encode().unwrap();
                prop_assert_eq!(Request::decode(&again[..again.len() - 1]), Some(request));
            }
        }
    }
}
