//! A login at Cyrus's saslauthd: name and password, a connection for each, one word back.
//!
//! A connection that is closed without a word is how a mux says that nobody knows.

use std::io::{self, ErrorKind};

use protocol::mechanism::Mechanism;
use protocol::mux::{self, Reply};
use protocol::{Name, Password};
use smtp::sasl::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::talk::Heard;
use crate::daemon::Connector;

/// Longest answer that is looked at: saslauthd's buffer has 1024 bytes.
const MOST: usize = 1026;

/// What can be done with name and password.
pub(super) const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// Who wants to log in, and by what.
pub(super) struct Asked {
    user: Name,
    password: Password,
}

/// The message of PLAIN (RFC 4616), where it names nobody else. `None`: no such account is to be had by it.
pub(super) fn read(message: &Message) -> Option<Asked> {
    let mut parts = message.reveal().splitn(3, |byte| *byte == 0);
    let (author, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    // A mux can't be asked whether one may act as another.
    let one = author.is_empty() || author == user;
    let user = Name::new(user).ok().filter(|user| one && !user.is_empty())?;
    Some(Asked { user, password: Password::new(password).ok()? })
}

/// Asks.
pub(super) async fn ask(connector: &Connector, asked: Asked) -> Heard {
    match reply(connector, &asked).await {
        Ok(Some(Reply::Ok)) => {
            Heard::Accepted { user: asked.user, senders: protocol::Senders::Own, last_words: None }
        }
        Ok(Some(Reply::No)) => Heard::Refused,
        Ok(None) | Err(_) => Heard::Unavailable,
    }
}

/// `None`: it closed without a word.
async fn reply(connector: &Connector, asked: &Asked) -> io::Result<Option<Reply>> {
    let mut stream = connector.connect().await?;
    // As libsasl2 does it: what stands behind the last @ is the realm.
    let name = asked.user.as_bytes();
    let at = name.iter().rposition(|byte| *byte == b'@');
    let (login, realm) = match at.and_then(|at| name.split_at_checked(at)) {
        Some((login, [_, realm @ ..])) => (login, realm),
        _ => (name, &b""[..]),
    };
    let bytes = mux::encode_fields([login, asked.password.reveal(), b"smtp", realm], None)
        .map_err(|_| ErrorKind::InvalidInput)?;
    stream.write_all(&bytes).await?;
    let mut received = Vec::with_capacity(64);
    let mut answer = stream.take(MOST as u64);
    while answer.read_buf(&mut received).await? > 0 {
        if let Some(reply) = mux::decode_reply(&received) {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}
