//! Commands of SMTP (RFC 5321) and its extensions, as typed values.
//!
//! Runs in the receiver of the mta. Nothing is trusted: a line is printable text or no command at all, and what a
//! command holds can be written into a queue, a log or another dialogue without a second look. Whether it is allowed
//! now is [`crate::session`]'s business, which is asked with the [`Verb`] before anything behind it is parsed: an AUTH
//! before TLS isn't even read.

mod fault;
mod parameters;
mod verb;

use crate::address::{Host, Recipient, Sender, recipient, sender};
use crate::bdat::{Chunk, Position};
use crate::sasl::{Mechanism, Message};

pub use fault::Fault;
pub use parameters::{
    AddressType, AuthParameter, Body, EnvelopeId, MailParameters, Notify, NotifyOn,
    OriginalRecipient, RcptParameters, Return, Smtputf8,
};
pub use verb::Verb;

/// A command with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// The old greeting.
    Helo(Host),
    /// The greeting that asks for extensions.
    Ehlo(Host),
    /// RFC 3207.
    StartTls,
    /// RFC 4954: a mechanism, and its first message if there is one.
    Auth(Mechanism, Option<Message>),
    /// A message begins.
    Mail(Sender, MailParameters),
    /// Somebody is to have it. Letters beyond ASCII are for [`recipient_fits`] to allow.
    Rcpt(Recipient, RcptParameters),
    /// It follows, up to a dot.
    Data,
    /// So many bytes of it follow (RFC 3030).
    Bdat(Chunk),
    /// Forget the message.
    Rset,
    /// Nothing.
    Noop,
    /// Good-bye.
    Quit,
    /// Is this somebody?
    Vrfy(Box<str>),
    /// Who is on this list?
    Expn(Box<str>),
    /// Which commands are there?
    Help,
}

impl Command {
    /// Parses a line without its CR LF.
    ///
    /// # Errors
    /// [`Fault`], which knows its own reply. The session goes on after it, but for [`Fault::Http`].
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        let (verb, arguments) = split(line)?;
        let rest = arguments.trim_end_matches(' ');
        match verb {
            Verb::Helo => Host::parse(rest).map(Self::Helo).map_err(Fault::Host),
            Verb::Ehlo => Host::parse(rest).map(Self::Ehlo).map_err(Fault::Host),
            Verb::Auth => auth(rest),
            Verb::Mail => mail(rest),
            Verb::Rcpt => rcpt(rest),
            Verb::Bdat => bdat(rest),
            Verb::Vrfy if !rest.is_empty() => Ok(Self::Vrfy(rest.into())),
            Verb::Expn if !rest.is_empty() => Ok(Self::Expn(rest.into())),
            Verb::Vrfy | Verb::Expn => Err(Fault::ArgumentMissing),
            // Their arguments mean nothing (RFC 5321 sections 4.1.1.8 and 4.1.1.9).
            Verb::Noop => Ok(Self::Noop),
            Verb::Help => Ok(Self::Help),
            _ if !rest.is_empty() => Err(Fault::ArgumentUnwanted),
            Verb::StartTls => Ok(Self::StartTls),
            Verb::Data => Ok(Self::Data),
            Verb::Rset => Ok(Self::Rset),
            Verb::Quit => Ok(Self::Quit),
        }
    }
}

/// Whether a recipient may be named in a message whose MAIL said this of SMTPUTF8 (RFC 6531 section 3.4).
///
/// # Errors
/// [`Fault::Smtputf8Needed`].
pub fn recipient_fits(recipient: &Recipient, said: Smtputf8) -> Result<(), Fault> {
    if recipient.is_ascii() || said == Smtputf8::Present {
        return Ok(());
    }
    Err(Fault::Smtputf8Needed)
}

/// The verb of a line, for the session to judge before anything else is read.
///
/// # Errors
/// [`Fault::Byte`], [`Fault::Http`], [`Fault::NotImplemented`] or [`Fault::Unknown`].
pub fn verb(line: &[u8]) -> Result<Verb, Fault> {
    split(line).map(|(verb, _)| verb)
}

/// The verb, and what stands behind the blanks after it.
fn split(line: &[u8]) -> Result<(Verb, &str), Fault> {
    let text = str::from_utf8(line).map_err(|_| Fault::Byte)?;
    if text.chars().any(char::is_control) {
        return Err(Fault::Byte);
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok((Verb::parse(word, rest)?, rest.trim_start_matches(' ')))
}

fn auth(rest: &str) -> Result<Command, Fault> {
    let (name, initial) = match rest.split_once(' ') {
        Some((name, initial)) => (name, Some(initial)),
        None => (rest, None),
    };
    if name.is_empty() {
        return Err(Fault::ArgumentMissing);
    }
    let mechanism = Mechanism::new(name).ok_or(Fault::Mechanism)?;
    let initial = match initial {
        None => None,
        Some("=") => Some(Message::new(Vec::new())),
        Some(text) => Some(Message::decode(text.as_bytes()).ok_or(Fault::Base64)?),
    };
    Ok(Command::Auth(mechanism, initial))
}

fn mail(rest: &str) -> Result<Command, Fault> {
    let path = keyword(rest, "FROM:")?;
    let (sender, rest) = sender(path).map_err(Fault::Sender)?;
    let parameters = MailParameters::parse(words(rest)?)?;
    if !sender.is_ascii() && parameters.smtputf8 == Smtputf8::Absent {
        return Err(Fault::Smtputf8Needed);
    }
    Ok(Command::Mail(sender, parameters))
}

fn rcpt(rest: &str) -> Result<Command, Fault> {
    let path = keyword(rest, "TO:")?;
    let (recipient, rest) = recipient(path).map_err(Fault::Recipient)?;
    Ok(Command::Rcpt(recipient, RcptParameters::parse(words(rest)?)?))
}

/// What stands behind `FROM:` or `TO:`. Blanks there are wrong, and as common as harmless.
fn keyword<'a>(rest: &'a str, keyword: &str) -> Result<&'a str, Fault> {
    match rest.split_at_checked(keyword.len()) {
        Some((word, path)) if word.eq_ignore_ascii_case(keyword) => {
            Ok(path.trim_start_matches(' '))
        }
        _ => Err(Fault::ArgumentMissing),
    }
}

/// The parameters behind a path, if a blank stands between.
fn words(rest: &str) -> Result<impl Iterator<Item = &str>, Fault> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(Fault::BehindPath);
    }
    Ok(rest.split(' ').filter(|word| !word.is_empty()))
}

fn bdat(rest: &str) -> Result<Command, Fault> {
    let (size, position) = match rest.split_once(' ') {
        None => (rest, Position::Within),
        Some((size, last)) if last.trim_start_matches(' ').eq_ignore_ascii_case("LAST") => {
            (size, Position::Last)
        }
        Some(_) => return Err(Fault::ChunkSize),
    };
    let size = parameters::number(size).ok_or(Fault::ChunkSize)?;
    Ok(Command::Bdat(Chunk { size, position }))
}

#[cfg(test)]
mod tests;
