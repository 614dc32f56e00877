//! What the server of the auth socket says: the handshake, challenges and outcomes.
//!
//! Written in the narrowest grammar that every known client reads. Exim ends by SIGSEGV on an empty line and reads at
//! most 16 fields; Postfix and Exim take `user=` as it stands, without unescaping; go-dovecot-sasl panics on a field
//! without `=`; Postfix shows `reason=` to the attacker. Reading is lenient, as toward a real Dovecot of any version.

use super::{Id, MAX_REPLY, Message, Version, base64};
use crate::lines::{fields, id, number, push, unescape};
use crate::mechanism::Mechanism;
use crate::{Name, Senders};

/// The reason of every refusal: it may be shown to whoever guesses, so it never depends on the account.
pub const NEUTRAL: &[u8] = b"authentication failed";

/// One line of a server.
pub enum ServerLine {
    /// First of all.
    Version(Version),
    /// A mechanism that is offered.
    Mechanism(Mechanism),
    /// One that this house does not have.
    OtherMechanism,
    /// The server's process.
    Spid(u32),
    /// This connection's number.
    Cuid(u32),
    /// This connection's secret.
    Cookie([u8; 16]),
    /// The handshake is over.
    Done,
    /// The mechanism's next words.
    Challenge {
        /// Whose.
        id: Id,
        /// For the mail client.
        message: Message,
        /// Which channel's data are wanted with the response.
        binding: Option<Name>,
    },
    /// It is who they say.
    Accepted {
        /// Whose.
        id: Id,
        /// Who it is. A server that doesn't say has not answered.
        user: Option<Name>,
        /// The mechanism's last words.
        last_words: Option<Message>,
        /// As whom they may send: `senders=`, a field of ours, which other clients leave alone.
        senders: Senders,
    },
    /// It is not, or nobody knows.
    Refused(Refusal),
    /// The request is forgotten.
    Cancelled(Id),
    /// Something newer than this; to be ignored.
    Unknown,
}

/// A request without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose.
    pub id: Id,
    /// Why, for the server.
    pub code: Code,
    /// Why, for people.
    pub reason: Option<Name>,
}

/// `code=`, and the bare words of old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// None: wrong credentials.
    Refused,
    /// `temp_fail`: nobody knows.
    Temporary,
    /// `authz_fail`.
    Authorization,
    /// `user_disabled`.
    Disabled,
    /// `pass_expired`.
    Expired,
    /// `invalid_base64`.
    Base64,
}

impl Code {
    const WORDS: [(Self, &'static [u8]); 5] = [
        (Self::Temporary, b"temp_fail"),
        (Self::Authorization, b"authz_fail"),
        (Self::Disabled, b"user_disabled"),
        (Self::Expired, b"pass_expired"),
        (Self::Base64, b"invalid_base64"),
    ];

    fn from_word(word: &[u8]) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, known)| *known == word).map(|(code, _)| code)
    }

    fn word(self) -> Option<&'static [u8]> {
        Self::WORDS.into_iter().find(|(code, _)| *code == self).map(|(_, word)| word)
    }
}

/// A reply that no client would read as it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unspeakable;

/// Whether a user can be named to clients that don't unescape: not empty, and without control characters.
pub fn is_speakable(user: &Name) -> bool {
    let control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
    let text = std::str::from_utf8(user.as_bytes());
    !user.is_empty()
        && !user.as_bytes().iter().any(control)
        && !text.is_ok_and(|text| text.contains(char::is_control))
}

impl ServerLine {
    /// Appends the line with its line feed, or nothing at all.
    ///
    /// # Errors
    /// [`Unspeakable`] for a success without user or with a user that is not [`is_speakable`], for a line over
    /// [`MAX_REPLY`], and for what a server of ours never says.
    pub fn encode(&self, out: &mut Message) -> Result<(), Unspeakable> {
        let mut line = Message::new(Vec::with_capacity(128));
        match self {
            Self::Version(version) => version.encode(&mut line),
            Self::Mechanism(mechanism) => {
                line.extend_from_slice(b"MECH");
                push(&mut line, mechanism.as_str().as_bytes(), b"");
                mechanism.flags().iter().for_each(|flag| push(&mut line, flag.as_bytes(), b""));
            }
            Self::OtherMechanism | Self::Unknown => return Err(Unspeakable),
            Self::Spid(pid) => line.extend_from_slice(format!("SPID\t{pid}").as_bytes()),
            Self::Cuid(number) => line.extend_from_slice(format!("CUID\t{number}").as_bytes()),
            Self::Cookie(cookie) => {
                line.extend_from_slice(b"COOKIE\t");
                for byte in cookie {
                    line.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
            }
            Self::Done => line.extend_from_slice(b"DONE"),
            Self::Challenge { id, message, binding } => {
                challenge(*id, message, binding.as_ref(), &mut line)?;
            }
            Self::Accepted { id, user, last_words, senders } => {
                accepted(*id, user.as_ref(), senders, &mut line)?;
                if let Some(words) = last_words {
                    push(&mut line, b"resp=", b"");
                    encode(words, &mut line)?;
                }
            }
            Self::Refused(refusal) => refusal.encode(&mut line),
            Self::Cancelled(id) => line.extend_from_slice(format!("CANCELLED\t{id}").as_bytes()),
        }
        if line.len() > MAX_REPLY {
            return Err(Unspeakable);
        }
        line.push(b'\n');
        out.extend_from_slice(&line);
        Ok(())
    }

    /// The request that the line is about.
    pub fn id(&self) -> Option<Id> {
        match self {
            Self::Challenge { id, .. } | Self::Accepted { id, .. } | Self::Cancelled(id) => {
                Some(*id)
            }
            Self::Refused(refusal) => Some(refusal.id),
            _ => None,
        }
    }

    /// Reads a line without its line feed. `None` when a line that we know lacks what it must have.
    pub fn decode(line: &[u8]) -> Option<Self> {
        let mut parts = fields(line);
        Some(match parts.next()? {
            b"VERSION" => Self::Version(Version::decode(parts)?),
            b"MECH" => match parts.next().filter(|name| !name.is_empty())? {
                name if Mechanism::from_name(name).is_none() => Self::OtherMechanism,
                name => Self::Mechanism(Mechanism::from_name(name)?),
            },
            b"SPID" => Self::Spid(number(parts.next()?)?),
            b"CUID" => Self::Cuid(number(parts.next()?)?),
            b"COOKIE" => Self::Cookie(cookie(parts.next()?)?),
            b"DONE" => Self::Done,
            b"CONT" => read_challenge(parts)?,
            b"OK" => read_accepted(parts)?,
            b"FAIL" => Self::Refused(Refusal::decode(parts)?),
            b"CANCELLED" => Self::Cancelled(id(parts.next()?)?),
            _ => Self::Unknown,
        })
    }
}

fn challenge(
    id: Id,
    message: &[u8],
    binding: Option<&Name>,
    line: &mut Message,
) -> Result<(), Unspeakable> {
    line.extend_from_slice(format!("CONT\t{id}\t").as_bytes());
    encode(message, line)?;
    if let Some(binding) = binding {
        push(line, b"channel_binding=", binding.as_bytes());
    }
    Ok(())
}

fn accepted(
    id: Id,
    user: Option<&Name>,
    senders: &Senders,
    line: &mut Message,
) -> Result<(), Unspeakable> {
    let user = user.filter(|user| is_speakable(user)).ok_or(Unspeakable)?;
    line.extend_from_slice(format!("OK\t{id}").as_bytes());
    push(line, b"user=", user.as_bytes());
    if let Some(text) = senders.text() {
        push(line, b"senders=", text.as_bytes());
    }
    Ok(())
}

fn encode(message: &[u8], line: &mut Message) -> Result<(), Unspeakable> {
    if base64::encoded(message.len()) > MAX_REPLY {
        return Err(Unspeakable);
    }
    base64::encode(message, line);
    Ok(())
}

fn read_challenge<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Option<ServerLine> {
    let id = id(parts.next()?)?;
    let message = match parts.next().unwrap_or_default() {
        b"" | b"=" | b"#" => Message::default(),
        text => base64::decode(text)?,
    };
    let binding = parts.find_map(|field| field.strip_prefix(b"channel_binding="));
    let binding = match binding {
        Some(name) => Some(Name::new(&unescape(name)).ok()?),
        None => None,
    };
    Some(ServerLine::Challenge { id, message, binding })
}

fn read_accepted<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Option<ServerLine> {
    let id = id(parts.next()?)?;
    let (mut user, mut last_words, mut senders) = (None, None, Senders::Own);
    for field in parts {
        if let Some(name) = field.strip_prefix(b"user=") {
            user = Some(Name::new(&unescape(name)).ok().filter(|name| !name.is_empty())?);
        } else if let Some(text) = field.strip_prefix(b"resp=") {
            last_words =
                Some(if text == b"=" { Message::default() } else { base64::decode(text)? });
        } else if let Some(text) = field.strip_prefix(b"senders=") {
            let text = unescape(text);
            let read = std::str::from_utf8(&text).ok().and_then(|text| Senders::parse(text).ok());
            // Somebody meant to narrow it.
            senders = read.unwrap_or(Senders::Listed(Vec::new()));
        }
    }
    Some(ServerLine::Accepted { id, user, last_words, senders })
}

impl Refusal {
    /// A refusal for wrong credentials, or for what looks like them.
    pub fn neutral(id: Id, code: Code) -> Self {
        Self { id, code, reason: Name::new(NEUTRAL).ok() }
    }

    /// The temporary failure of clients that read `code=`.
    pub fn temporary(id: Id) -> Self {
        Self { id, code: Code::Temporary, reason: None }
    }

    fn encode(&self, line: &mut Message) {
        line.extend_from_slice(format!("FAIL\t{}", self.id).as_bytes());
        // Exactly as Dovecot says it: imap-login shows [UNAVAILABLE] then.
        if self.code == Code::Temporary {
            push(line, b"user=", b"");
        }
        if let Some(word) = self.code.word() {
            push(line, b"code=", word);
        }
        if let Some(reason) = &self.reason {
            push(line, b"reason=", reason.as_bytes());
        }
    }

    fn decode<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let id = id(parts.next()?)?;
        let mut refusal = Self { id, code: Code::Refused, reason: None };
        for field in parts {
            if let Some(word) = field.strip_prefix(b"code=") {
                refusal.code = Code::from_word(word).unwrap_or(refusal.code);
            } else if let Some(reason) = field.strip_prefix(b"reason=") {
                refusal.reason = Name::new(&unescape(reason)).ok();
            } else {
                refusal.code = match field {
                    b"temp" => Code::Temporary,
                    b"authz" => Code::Authorization,
                    b"user_disabled" => Code::Disabled,
                    b"pass_expired" => Code::Expired,
                    _ => refusal.code,
                };
            }
        }
        Some(refusal)
    }
}

fn cookie(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 32)?;
    text.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests;
