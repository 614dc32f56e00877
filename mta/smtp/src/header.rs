//! The few things that a submission server does to a message's header: look, count, and put lines before it.
//!
//! Runs in the receiver of the mta. The message is a stranger's. Nothing of it is changed: what is missing goes in front,
//! and [`join`] sees to it that a message which opens with a folded line, or with no header at all, can't become part
//! of ours. What we put in never holds a line break of somebody's making.

pub mod date;
pub mod fold;
pub mod mailbox;
pub mod received;

use crate::address::Address;
use date::Date;

/// More `Received:` than this is a loop (RFC 5321 section 6.3: at least 100).
pub const MAX_HOPS: usize = 100;

/// One field, folded as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Printable ASCII without the colon; compared without regard to case.
    pub name: &'a str,
    /// What stands behind the colon: with its folds, without its last CR LF.
    pub value: &'a [u8],
}

/// The header of a message: fields up to the first line that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a>(&'a [u8]);

impl<'a> Header<'a> {
    /// Parts a message, whose lines end in CR LF, into header and the rest: the empty line first, if there is one.
    pub fn split(message: &'a [u8]) -> (Self, &'a [u8]) {
        let mut rest = message;
        while let Some((_, after)) = field(rest) {
            rest = after;
        }
        let length = message.len() - rest.len();
        let (header, body) = message.split_at_checked(length).unwrap_or((message, &[]));
        (Self(header), body)
    }

    /// Its fields in their order.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (found, after) = field(rest)?;
            rest = after;
            Some(found)
        })
    }

    /// The fields of this name.
    pub fn named(self, name: &str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// How many servers it went through, by their own account.
    pub fn hops(self) -> usize {
        self.named("Received").count()
    }

    /// Who it says it is from: the addresses of its only `From:`.
    ///
    /// # Errors
    /// [`NoAuthor`]; two `From:` are none, since readers differ in which they show.
    pub fn authors(self) -> Result<Vec<Address>, NoAuthor> {
        self.only("From")
    }

    /// Who it says has sent it for its authors: the addresses of its only `Sender:`.
    ///
    /// # Errors
    /// [`NoAuthor`], of this field.
    pub fn senders(self) -> Result<Vec<Address>, NoAuthor> {
        self.only("Sender")
    }

    fn only(self, name: &str) -> Result<Vec<Address>, NoAuthor> {
        let mut fields = self.named(name);
        let only = fields.next().ok_or(NoAuthor::Missing)?;
        if fields.next().is_some() {
            return Err(NoAuthor::Several);
        }
        mailbox::list(only.value).filter(|list| !list.is_empty()).ok_or(NoAuthor::Malformed)
    }

    /// What RFC 6409 section 8 lets a submission server add, each with its CR LF; empty when nothing is missing.
    pub fn completion(self, facts: &Facts<'_>) -> Vec<u8> {
        let missing = |name: &str| self.named(name).next().is_none();
        let mut lines = String::new();
        if missing("Message-ID") {
            lines += &format!("Message-ID: <{}@{}>\r\n", atom(facts.id), atom(facts.host));
        }
        if missing("Date") {
            lines += &format!("Date: {}\r\n", facts.date);
        }
        if let Some(sender) = facts.sender.filter(|_| missing("From")) {
            lines += &format!("From: <{sender}>\r\n");
        }
        lines.into_bytes()
    }
}

/// What a header is completed with.
pub struct Facts<'a> {
    /// Now.
    pub date: Date,
    /// What no other message of this host has.
    pub id: &'a str,
    /// This host.
    pub host: &'a str,
    /// The sender of the envelope; `None` for the null sender, whose message stays without `From:`.
    pub sender: Option<&'a Address>,
}

/// Why nobody can be said to have written a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAuthor {
    /// There is no such field.
    Missing,
    /// There are two.
    Several,
    /// It holds no address, or something that is none.
    Malformed,
}

/// Puts whole fields before a message. Where its header doesn't end with an empty line, or it has none, an empty line is
/// put there, so that nothing of it is read as ours, and so that nobody reads fields on where we stopped: a second
/// `From:` behind a line that is none would be judged by nobody and shown by some.
pub fn join(fields: &[u8], message: &[u8]) -> Vec<u8> {
    let (header, rest) = Header::split(message);
    let mut joined = Vec::with_capacity(fields.len() + message.len() + 2);
    joined.extend_from_slice(fields);
    joined.extend_from_slice(header.0);
    if !rest.starts_with(b"\r\n") && (header.0.is_empty() || !rest.is_empty()) {
        joined.extend_from_slice(b"\r\n");
    }
    joined.extend_from_slice(rest);
    joined
}

/// The field at the beginning, with all its folded lines, and what follows it.
fn field(message: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let colon = message.iter().position(|byte| matches!(byte, b':' | b'\r' | b'\n'))?;
    let (name, rest) = message.split_at_checked(colon)?;
    let rest = rest.strip_prefix(b":")?;
    // Blanks before the colon are obsolete (RFC 5322 section 4.5), and read by everybody.
    let name = str::from_utf8(name).ok()?.trim_end_matches([' ', '\t']);
    if name.is_empty() || !name.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return None;
    }
    let mut end = 0;
    loop {
        let line = rest.get(end..).unwrap_or_default();
        let Some(length) = line.windows(2).position(|pair| pair == b"\r\n") else {
            // A header that was cut off.
            return Some((Field { name, value: rest }, &[]));
        };
        end += length + 2;
        if !matches!(rest.get(end), Some(b' ' | b'\t')) {
            let (value, after) = rest.split_at_checked(end)?;
            let value = value.strip_suffix(b"\r\n").unwrap_or(value);
            return Some((Field { name, value }, after));
        }
    }
}

/// A name of ours or of the DNS, with everything but letters, digits, dots, hyphens and underscores as `?`.
fn atom(text: &str) -> String {
    let keep = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    text.chars().map(|letter| if keep(letter) { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
