//! One question to one of the daemon's sockets, within one deadline.
//!
//! Run in the host program. The request is wiped when it was sent; writing to a daemon that has gone is an error and no
//! SIGPIPE, since the standard library sends to sockets with `MSG_NOSIGNAL`.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use protocol::auth::{Client, Code, Order, Outcome, Parameters, Security};
use protocol::mechanism::Mechanism;
use protocol::{Address, Answer, Name, Password, Rejected, client, mux};

use crate::arguments::{Arguments, Language, Stated};
use crate::connect;

/// A read without time is one for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// Who says so, with what password, for what, from where.
pub(crate) struct Question<'a> {
    /// As the user typed it, with or without `@realm`.
    pub(crate) login: &'a [u8],
    /// As the user typed it.
    pub(crate) password: &'a [u8],
    /// `imap`, or whatever the service file is called.
    pub(crate) service: &'a [u8],
    /// The user's, where the host says it.
    pub(crate) address: Option<Address>,
}

/// The daemon's answer; refused without asking is what no request can say.
///
/// # Errors
/// Those of the connection, and `TimedOut` after the arguments' time.
pub(crate) fn ask(arguments: &Arguments, question: &Question<'_>) -> io::Result<Answer> {
    let answer = match arguments.language {
        Language::Mux => ask_mux(arguments, question),
        Language::Auth(stated) => ask_auth(arguments, stated, question),
    };
    answer.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
        }
        _ => error,
    })
}

fn ask_mux(arguments: &Arguments, question: &Question<'_>) -> io::Result<Answer> {
    let Question { login, password, service, address } = question;
    let (login, realm) = split(login, &arguments.realm);
    let Ok(request) = mux::encode_fields([login, password, service, realm], *address) else {
        return Ok(Answer::Refuse);
    };
    let (stream, left) = connected(arguments)?;
    client::ask_mux_over(stream, &request, left)
}

fn ask_auth(arguments: &Arguments, stated: Stated, question: &Question<'_>) -> io::Result<Answer> {
    let Question { login, password, service, address } = question;
    let (Ok(login), Ok(password), Ok(service)) =
        (joined(login, &arguments.realm), Password::new(password), Name::new(service))
    else {
        return Ok(Answer::Refuse);
    };
    let security = match stated {
        Stated::Nothing => Security::Unstated,
        Stated::Secured => Security::Secured(Order::AfterAddresses),
    };
    let parameters = Parameters { service, remote: *address, security, ..Parameters::default() };
    let end = Instant::now() + arguments.timeout;
    let (stream, left) = connected(arguments)?;
    let mut client = Client::over(stream, left)?;
    if !client.mechanisms().contains(Mechanism::Plain) {
        return Err(io::Error::other("the daemon does not offer PLAIN"));
    }
    let left = end.saturating_duration_since(Instant::now()).max(SHORTEST);
    Ok(match client.plain(parameters, &login, &password, left) {
        Outcome::Accepted(_) => Answer::Accept,
        // What arrived was not what was sent, and so says nothing about the password.
        Outcome::Refused(Code::Base64) | Outcome::Unavailable => Answer::Unavailable,
        Outcome::Refused(_) => Answer::Refuse,
    })
}

/// A connection, and the time that is left for the answer.
fn connected(arguments: &Arguments) -> io::Result<(UnixStream, Duration)> {
    let began = Instant::now();
    let stream = connect::within(&arguments.socket, arguments.timeout)?;
    Ok((stream, arguments.timeout.saturating_sub(began.elapsed()).max(SHORTEST)))
}

/// At the last `@`, as libsasl2 does, so that Cyrus's daemon understands it too.
fn split<'a>(login: &'a [u8], realm: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let at = login.iter().rposition(|byte| *byte == b'@');
    match at.and_then(|at| Some((login.get(..at)?, login.get(at + 1..)?))) {
        Some(parts) => parts,
        None => (login, realm),
    }
}

/// The login with its realm, in the one field that Dovecot's protocol has for both.
fn joined(login: &[u8], realm: &[u8]) -> Result<Name, Rejected> {
    if realm.is_empty() || login.contains(&b'@') {
        return Name::new(login);
    }
    Name::new(&[login, b"@", realm].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_split_at_its_last_at_sign() {
        for (login, expected) in [
            ("alice", ("alice", "default")),
            ("alice@example.org", ("alice", "example.org")),
            ("a@b@c", ("a@b", "c")),
            ("alice@", ("alice", "")),
            ("@example.org", ("", "example.org")),
            ("", ("", "default")),
        ] {
            let (user, realm) = expected;
            let split = split(login.as_bytes(), b"default");
            assert_eq!(split, (user.as_bytes(), realm.as_bytes()), "{login}");
        }
    }

    #[test]
    fn a_realm_joins_a_login_that_has_none() {
        for (login, realm, expected) in [
            ("alice", "", "alice"),
            ("alice", "example.org", "alice@example.org"),
            ("alice@x", "example.org", "alice@x"),
            ("alice@", "example.org", "alice@"),
        ] {
            let name = joined(login.as_bytes(), realm.as_bytes()).unwrap();
            assert_eq!(name.as_bytes(), expected.as_bytes(), "{login} {realm}");
        }
    }
}
