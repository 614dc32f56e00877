//! One question to the daemon's mux socket, within one deadline.
//!
//! Run in the host program. The request is wiped when it was sent; writing to a daemon that has gone is an error and no
//! SIGPIPE, since the standard library sends to sockets with `MSG_NOSIGNAL`.

use std::io;
use std::time::{Duration, Instant};

use protocol::{Address, Answer, client, mux};

use crate::arguments::Arguments;
use crate::connect;

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

/// The daemon's answer; refused without asking is what is longer than a request can say.
///
/// # Errors
/// Those of the connection, and `TimedOut` after the arguments' time.
pub(crate) fn ask(arguments: &Arguments, question: &Question<'_>) -> io::Result<Answer> {
    let Question { login, password, service, address } = question;
    let (login, realm) = split(login, &arguments.realm);
    let Ok(request) = mux::encode_fields([login, password, service, realm], *address) else {
        return Ok(Answer::Refuse);
    };
    let began = Instant::now();
    let answer = connect::within(&arguments.socket, arguments.timeout).and_then(|stream| {
        let left = arguments.timeout.saturating_sub(began.elapsed());
        client::ask_mux_over(stream, &request, left.max(Duration::from_millis(1)))
    });
    answer.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
        }
        _ => error,
    })
}

/// At the last `@`, as libsasl2 does, so that Cyrus's daemon understands it too.
fn split<'a>(login: &'a [u8], realm: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let at = login.iter().rposition(|byte| *byte == b'@');
    match at.and_then(|at| Some((login.get(..at)?, login.get(at + 1..)?))) {
        Some(parts) => parts,
        None => (login, realm),
    }
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
}
