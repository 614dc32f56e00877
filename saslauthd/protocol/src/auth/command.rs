//! What a client of the auth socket says: VERSION, CPID, AUTH, CONT, CANCEL.

use zeroize::Zeroize;

use super::parameters::Parameters;
use super::{Id, MAX_BINDING, MAX_LINE, MINOR_WITH_CODES, Message, Version, base64};
use crate::lines::{fields, id, push};
use crate::mechanism::Mechanism;

/// One line of a client.
pub enum Command {
    /// Its version, before anything else.
    Version(Version),
    /// Its process id, before the first request.
    Cpid(Id),
    /// A request.
    Auth(Box<Auth>),
    /// The answer to a challenge.
    Continue(Continue),
    /// Never mind this request.
    Cancel(Id),
}

/// A request.
pub struct Auth {
    /// Its number.
    pub id: Id,
    /// By which mechanism.
    pub mechanism: Mechanism,
    /// In what session.
    pub parameters: Parameters,
    /// With what beginning.
    pub initial: Initial,
}

/// The initial response, in its four spellings.
pub enum Initial {
    /// No `resp=` at all.
    Absent,
    /// `resp=` with nothing behind it: none from an old client, an empty one from a newer.
    Bare,
    /// `resp==`: an empty one.
    Empty,
    /// Bytes.
    Bytes(Message),
}

impl Initial {
    /// What a client of this minor meant. An empty response is not the same as none.
    pub fn meant(self, minor: u32) -> Option<Message> {
        match self {
            Self::Absent => None,
            Self::Bare if minor < MINOR_WITH_CODES => None,
            Self::Bare | Self::Empty => Some(Message::default()),
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// The answer to a challenge.
pub struct Continue {
    /// Whose.
    pub id: Id,
    /// The client's bytes.
    pub message: Message,
    /// The data of the channel, where the challenge asked for them.
    pub binding: Option<Vec<u8>>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// No verb of this protocol.
    UnknownCommand,
    /// A number that is none, or 0.
    Number,
    /// No mechanism of this house.
    Mechanism,
    /// Neither `service=` nor `protocol=`, or not a name.
    Service,
    /// Not base64.
    Base64,
    /// Something follows `resp=`.
    BehindResponse,
    /// Longer than it may be.
    TooLong,
}

/// Whom a flawed line concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// One request, which can be refused; all others go on.
    Request(Id, Flaw),
    /// Nobody can be told.
    Connection(Flaw),
}

impl Command {
    /// Reads a line without its line feed.
    ///
    /// # Errors
    /// A [`Mistake`]; it names the request where the line has its number.
    pub fn decode(line: &[u8]) -> Result<Self, Mistake> {
        let mut parts = fields(line);
        let lost = |flaw| move || Mistake::Connection(flaw);
        match parts.next().unwrap_or_default() {
            b"VERSION" => Version::decode(parts).map(Self::Version).ok_or_else(lost(Flaw::Number)),
            b"CPID" => parts.next().and_then(id).map(Self::Cpid).ok_or_else(lost(Flaw::Number)),
            b"AUTH" => {
                let id = parts.next().and_then(id).ok_or_else(lost(Flaw::Number))?;
                auth(id, parts).map(Self::Auth).map_err(|flaw| Mistake::Request(id, flaw))
            }
            b"CONT" => {
                let id = parts.next().and_then(id).ok_or_else(lost(Flaw::Number))?;
                continued(id, parts).map(Self::Continue).map_err(|flaw| Mistake::Request(id, flaw))
            }
            b"CANCEL" => parts.next().and_then(id).map(Self::Cancel).ok_or_else(lost(Flaw::Number)),
            _ => Err(Mistake::Connection(Flaw::UnknownCommand)),
        }
    }

    /// Appends the line with its line feed. When it would be longer than [`MAX_LINE`] nothing is appended.
    ///
    /// # Errors
    /// [`Flaw::TooLong`].
    pub fn encode(&self, out: &mut Message) -> Result<(), Flaw> {
        // Made to measure, so that no copy of a password stays behind in freed memory.
        let mut line = Message::new(Vec::with_capacity(MAX_LINE + 2));
        match self {
            Self::Version(version) => version.encode(&mut line),
            Self::Cpid(pid) => line.extend_from_slice(format!("CPID\t{pid}").as_bytes()),
            Self::Auth(auth) => auth.encode(&mut line)?,
            Self::Continue(response) => response.encode(&mut line)?,
            Self::Cancel(id) => line.extend_from_slice(format!("CANCEL\t{id}").as_bytes()),
        }
        if line.len() > MAX_LINE {
            return Err(Flaw::TooLong);
        }
        line.push(b'\n');
        append(out, &line);
        Ok(())
    }
}

/// Appends without leaving a copy behind when the vector has to grow.
fn append(out: &mut Message, bytes: &[u8]) {
    if out.capacity() - out.len() < bytes.len() {
        let mut larger = Message::new(Vec::with_capacity(out.len() + bytes.len()));
        larger.extend_from_slice(out);
        out.zeroize();
        *out = larger;
    }
    out.extend_from_slice(bytes);
}

fn auth<'a>(id: Id, mut parts: impl Iterator<Item = &'a [u8]>) -> Result<Box<Auth>, Flaw> {
    let mechanism = parts.next().and_then(Mechanism::from_name).ok_or(Flaw::Mechanism)?;
    let mut response = None;
    let before = parts.by_ref().map_while(|field| {
        response = field.strip_prefix(b"resp=");
        response.is_none().then_some(field)
    });
    let parameters = Parameters::decode(before)?;
    if parts.next().is_some() {
        return Err(Flaw::BehindResponse);
    }
    let initial = match response {
        None => Initial::Absent,
        Some(b"") => Initial::Bare,
        Some(b"=") => Initial::Empty,
        Some(text) => Initial::Bytes(base64::decode(text).ok_or(Flaw::Base64)?),
    };
    Ok(Box::new(Auth { id, mechanism, parameters, initial }))
}

fn continued<'a>(id: Id, mut parts: impl Iterator<Item = &'a [u8]>) -> Result<Continue, Flaw> {
    let message = match parts.next().unwrap_or_default() {
        // `#`: only what travels beside the message (Dovecot 2.4).
        b"" | b"=" | b"#" => Message::default(),
        text => base64::decode(text).ok_or(Flaw::Base64)?,
    };
    let mut binding = None;
    for field in parts {
        let Some(text) = field.strip_prefix(b"channel_binding=") else { continue };
        let data = base64::decode(text).ok_or(Flaw::Base64)?;
        if data.len() > MAX_BINDING {
            return Err(Flaw::TooLong);
        }
        binding = Some(data.to_vec());
    }
    Ok(Continue { id, message, binding })
}

impl Auth {
    fn encode(&self, line: &mut Message) -> Result<(), Flaw> {
        line.extend_from_slice(format!("AUTH\t{}\t{}", self.id, self.mechanism).as_bytes());
        self.parameters.encode(line);
        match &self.initial {
            Initial::Absent => {}
            Initial::Bare => push(line, b"resp=", b""),
            Initial::Empty => push(line, b"resp==", b""),
            Initial::Bytes(bytes) if bytes.is_empty() => push(line, b"resp==", b""),
            Initial::Bytes(bytes) => {
                push(line, b"resp=", b"");
                encode(bytes, line)?;
            }
        }
        Ok(())
    }
}

impl Continue {
    fn encode(&self, line: &mut Message) -> Result<(), Flaw> {
        line.extend_from_slice(format!("CONT\t{}\t", self.id).as_bytes());
        encode(&self.message, line)?;
        if let Some(binding) = &self.binding {
            push(line, b"channel_binding=", b"");
            encode(binding, line)?;
        }
        Ok(())
    }
}

/// Base64 into the room that there is.
fn encode(bytes: &[u8], line: &mut Message) -> Result<(), Flaw> {
    if line.len() + base64::encoded(bytes.len()) > MAX_LINE {
        return Err(Flaw::TooLong);
    }
    base64::encode(bytes, line);
    Ok(())
}

#[cfg(test)]
mod tests;
