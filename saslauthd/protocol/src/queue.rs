//! What `mailauth queue` asks the mta's sender over its control socket, and the client for it.
//!
//! The manner is that of [`crate::control`]: one request line of at most [`MAX_REQUEST`] bytes with its line feed, whose
//! words are separated by tabs, then a reply of JSON until EOF. Who may ask is decided by the socket's owner, group and
//! mode; the line is untrusted all the same.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::Rejected;
use crate::control::ask_line;

/// The longest request line, in bytes, its line feed included.
pub const MAX_REQUEST: usize = 1024;

/// The longest reply that is made, in bytes: a little less than what [`ask`] takes.
pub const MAX_REPLY: usize = crate::control::MAX_REPLY - 64 * 1024;

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `status`: counts, destinations, figures since the start.
    Status,
    /// `list`: messages, the oldest first.
    List(Filter),
    /// `show`: one message.
    Show(MessageId, Part),
    /// `hold`: no attempt is made until release.
    Hold(Which),
    /// `release`: it is tried again, at once.
    Release(Which),
    /// `retry`: what waits is tried at once.
    Retry(Which),
    /// `delete`: it is gone, and nobody is told.
    Delete(Which),
}

/// Which messages are listed: those that fit everything that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub standing: Option<Standing>,
    /// Whose sender has this in it.
    pub sender: Option<PartOf>,
    /// Of whose recipients one has this in it.
    pub recipient: Option<PartOf>,
}

/// Words that an address has in it, compared without regard to ASCII case: no control character, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOf(Box<str>);

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its next time.
    Waiting,
    /// It is being sent, or in line for it.
    Active,
    /// It is held.
    Held,
}

/// What is shown of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Envelope and attempts.
    Envelope,
    /// Its header as well, which is private.
    Header,
}

/// One message, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every message.
    All,
    /// This one.
    One(MessageId),
}

/// The id of a message: 16 letters and digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageId([u8; Self::LENGTH]);

impl MessageId {
    /// Letters and digits of an id.
    pub const LENGTH: usize = 16;

    /// Takes one from a command line.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// Its letters and digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartOf {
    /// Takes words of at most 320 bytes.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=320).contains(&text.len()) && !text.contains(char::is_control);
        fits.then(|| Self(text.into()))
    }

    /// Whether an address has it in it.
    pub fn is_in(&self, address: &str) -> bool {
        address.to_ascii_lowercase().contains(&self.0.to_ascii_lowercase())
    }
}

impl Standing {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Held => "held",
        }
    }

    /// By its word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Active, Self::Held].into_iter().find(|one| one.as_str() == word)
    }
}

impl Which {
    /// `all` or an id.
    pub fn parse(word: &str) -> Option<Self> {
        if word == "all" { Some(Self::All) } else { MessageId::parse(word).map(Self::One) }
    }

    fn word(&self) -> &str {
        match self {
            Self::All => "all",
            Self::One(id) => id.as_str(),
        }
    }
}

impl Request {
    /// The request's line with its line feed.
    ///
    /// # Errors
    /// [`Rejected::TooLong`] over [`MAX_REQUEST`].
    pub fn encode(&self) -> Result<Vec<u8>, Rejected> {
        let mut line = match self {
            Self::Status => "status".into(),
            Self::List(filter) => filter.encode(),
            Self::Show(id, Part::Envelope) => format!("show\t{id}"),
            Self::Show(id, Part::Header) => format!("show\t{id}\theader"),
            Self::Hold(which) => format!("hold\t{}", which.word()),
            Self::Release(which) => format!("release\t{}", which.word()),
            Self::Retry(which) => format!("retry\t{}", which.word()),
            Self::Delete(which) => format!("delete\t{}", which.word()),
        };
        line.push('\n');
        if line.len() > MAX_REQUEST { Err(Rejected::TooLong) } else { Ok(line.into_bytes()) }
    }

    /// Reads a line without its line feed; `None` for anything that is no request.
    pub fn decode(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (verb, rest) =
            line.split_once('\t').map_or((line, None), |(verb, rest)| (verb, Some(rest)));
        let which = |make: fn(Which) -> Self| rest.and_then(Which::parse).map(make);
        match verb {
            "status" if rest.is_none() => Some(Self::Status),
            "list" => Filter::decode(rest).map(Self::List),
            "show" => match rest?.split_once('\t') {
                None => Some(Self::Show(MessageId::parse(rest?)?, Part::Envelope)),
                Some((id, "header")) => Some(Self::Show(MessageId::parse(id)?, Part::Header)),
                Some(_) => None,
            },
            "hold" => which(Self::Hold),
            "release" => which(Self::Release),
            "retry" => which(Self::Retry),
            "delete" => which(Self::Delete),
            _ => None,
        }
    }
}

impl Filter {
    fn encode(&self) -> String {
        let mut line = String::from("list");
        if let Some(standing) = self.standing {
            line += &format!("\tstate={}", standing.as_str());
        }
        if let Some(PartOf(sender)) = &self.sender {
            line += &format!("\tsender={sender}");
        }
        if let Some(PartOf(recipient)) = &self.recipient {
            line += &format!("\trecipient={recipient}");
        }
        line
    }

    fn decode(rest: Option<&str>) -> Option<Self> {
        let mut filter = Self::default();
        for word in rest.into_iter().flat_map(|rest| rest.split('\t')) {
            let (name, value) = word.split_once('=')?;
            let known = match name {
                "state" => filter.standing.replace(Standing::from_word(value)?).is_some(),
                "sender" => filter.sender.replace(PartOf::new(value)?).is_some(),
                "recipient" => filter.recipient.replace(PartOf::new(value)?).is_some(),
                _ => return None,
            };
            if known {
                return None;
            }
        }
        Some(filter)
    }
}

/// Sends `request` to the control socket and gives back the reply, a JSON text.
///
/// # Errors
/// Those of [`crate::control::ask`].
pub fn ask(socket: &Path, request: &Request, deadline: Duration) -> io::Result<String> {
    let line = request.encode().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    ask_line(socket, &line, deadline)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_request_round_trips() {
        let id = MessageId::parse("abcdefgh01234567").unwrap();
        let filter = Filter {
            standing: Some(Standing::Held),
            sender: PartOf::new("\"a b\"@example.org"),
            recipient: PartOf::new("b\u{fc}cher=x"),
        };
        for request in [
            Request::Status,
            Request::List(Filter::default()),
            Request::List(filter),
            Request::Show(id, Part::Envelope),
            Request::Show(id, Part::Header),
            Request::Hold(Which::All),
            Request::Release(Which::One(id)),
            Request::Retry(Which::All),
            Request::Delete(Which::One(id)),
        ] {
            let line = request.encode().unwrap();
            let (end, line) = line.split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert_eq!(Request::decode(line), Some(request));
        }
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            &b""[..],
            b"status ",
            b"status\t",
            b"list\t",
            b"list\tstate=frozen",
            b"list\tstate=held\tstate=held",
            b"show",
            b"show\tall",
            b"show\tabcdefgh01234567\tbody",
            b"delete",
            b"delete\t../../etc/passwd",
            b"delete\tabcdefgh0123456\xc3",
        ] {
            assert_eq!(Request::decode(line), None, "{}", crate::Quoted(line));
        }
    }

    #[test]
    fn parts_of_addresses_are_found_in_any_case() {
        let part = PartOf::new("@Example.ORG").unwrap();
        assert!(part.is_in("alice@example.org") && !part.is_in("alice@example.net"));
        assert_eq!((PartOf::new(""), PartOf::new("a\tb")), (None, None));
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_none(line in "(list|show|hold|delete|x)?(\t(state=|sender=)?.{0,20}){0,3}") {
            if let Some(request) = Request::decode(line.as_bytes()) {
                let again = request.encode().unwrap();
                prop_assert_eq!(Request::decode(&again[..again.len() - 1]), Some(request));
            }
        }
    }
}
