//! Addresses of an envelope (RFC 5321 section 4.1.2, with the letters of RFC 6531), kept exactly as they were written.
//!
//! Runs on both sides. Nothing is trusted. An [`Address`] holds no control character, so that it can stand in a command,
//! a queue file or a log line; and since the quotes of a local part stay where they were, `"a@b"@c` never becomes an
//! address at `b`. Nothing in it is ever expanded: `${run{…}}`, `|` and `;` are letters like others.

mod domain;
mod path;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

pub use domain::{Domain, Host};
pub use path::{Recipient, Sender};
pub(crate) use path::{recipient, sender};

/// `local@domain`: the local part as it was written, the domain compared without regard to ASCII case.
///
/// At most [`Address::MAX`] bytes. Two local parts are equal only when they are written alike.
#[derive(Clone)]
pub struct Address {
    text: Box<str>,
    /// Where the `@` before the domain stands.
    at: usize,
}

impl Address {
    /// Longest address in bytes: a path of 256 (RFC 5321 section 4.5.3.1.3) without its brackets. A local part may use
    /// what the domain leaves, since rewritten senders (SRS, BATV) are longer than the 64 that everybody must take.
    pub const MAX: usize = 254;

    /// Takes an address without brackets.
    ///
    /// # Errors
    /// [`Malformed`] when it isn't one from its first byte to its last.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > Self::MAX {
            return Err(Malformed::TooLong);
        }
        let at = local_part(text)?;
        let Some(domain) = text.get(at..).and_then(|rest| rest.strip_prefix('@')) else {
            return Err(Malformed::Domain);
        };
        Domain::check(domain)?;
        Ok(Self { text: text.into(), at })
    }

    /// The local part, with its quotes if it has some.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What the local part means: without quotes and backslashes. May hold `@`, blanks and dots anywhere.
    pub fn unquoted_local_part(&self) -> Cow<'_, str> {
        let written = self.local_part();
        let Some(inner) = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Cow::Borrowed(written);
        };
        let mut plain = String::with_capacity(inner.len());
        let mut letters = inner.chars();
        while let Some(letter) = letters.next() {
            plain.extend(if letter == '\\' { letters.next() } else { Some(letter) });
        }
        Cow::Owned(plain)
    }

    /// The domain as it was written: a name, or an address in brackets.
    pub fn domain(&self) -> Domain<'_> {
        Domain::trusted(self.text.get(self.at + 1..).unwrap_or_default())
    }

    /// All of it, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it can travel without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.local_part() == other.local_part() && self.domain() == other.domain()
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.local_part().hash(state);
        self.domain().hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

/// Why bytes are no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// No `<` first, or no `>` last.
    Brackets,
    /// A source route that isn't one.
    Route,
    /// The local part is empty, has a byte that must be quoted, or a quote without end.
    LocalPart,
    /// The domain is missing, empty, has an empty or overlong label or a byte that no domain has.
    Domain,
    /// An address in brackets that isn't one, or of a kind that nobody has.
    Literal,
    /// More than [`Address::MAX`] bytes.
    TooLong,
    /// `<>` where somebody is needed.
    Null,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Brackets => "an address stands between < and >",
            Self::Route => "the source route is malformed",
            Self::LocalPart => "the local part is malformed",
            Self::Domain => "the domain is malformed",
            Self::Literal => "the address literal is malformed",
            Self::TooLong => "the address is too long",
            Self::Null => "the null address has no mailbox",
        })
    }
}

impl std::error::Error for Malformed {}

/// Letters of RFC 6531: everything beyond ASCII that isn't a control or a line's end in some alphabet.
fn international(letter: char) -> bool {
    !letter.is_ascii() && !letter.is_control() && !matches!(letter, '\u{2028}' | '\u{2029}')
}

/// `atext` of RFC 5322 section 3.2.3.
fn atext(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(letter)
        || international(letter)
}

/// Bytes that the local part at the beginning takes.
fn local_part(text: &str) -> Result<usize, Malformed> {
    if text.starts_with('"') {
        return quoted_string(text).filter(|end| *end > 2).ok_or(Malformed::LocalPart);
    }
    let end = text.find(|letter| letter != '.' && !atext(letter)).unwrap_or(text.len());
    let atoms = text.get(..end).unwrap_or_default();
    if atoms.split('.').any(str::is_empty) {
        return Err(Malformed::LocalPart);
    }
    Ok(end)
}

/// Bytes that the quoted string at the beginning takes, with both quotes.
fn quoted_string(text: &str) -> Option<usize> {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some(at + 1),
            '\\' => {
                letters.next().filter(|(_, escaped)| (' '..='~').contains(escaped))?;
            }
            ' '..='~' => {}
            other if international(other) => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
