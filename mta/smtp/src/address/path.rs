//! The paths of MAIL and RCPT: an address in brackets, nobody, or the postmaster.
//!
//! Runs in the receiver of the mta. Nothing is trusted. Source routes are read and forgotten, as RFC 5321 appendix C
//! wants; a path never goes on beyond its own `>`.

use std::fmt;

use super::{Address, Domain, Malformed, local_part};

/// Who sends: an address, or nobody (`<>`, of bounces).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// `<>`
    Null,
    /// Somebody.
    Address(Address),
}

/// Who is to have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// `<Postmaster>` without a domain, in whatever letters; everybody must take it (RFC 5321 section 4.5.1).
    Postmaster,
    /// Somebody.
    Address(Address),
}

impl Sender {
    /// Whether it can travel without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        !matches!(self, Self::Address(address) if !address.is_ascii())
    }
}

impl Recipient {
    /// Whether it can travel without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        !matches!(self, Self::Address(address) if !address.is_ascii())
    }
}

/// With brackets, as in a command.
impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// With brackets, as in a command.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// Reads the path of MAIL, and returns what stands behind it.
pub(crate) fn sender(text: &str) -> Result<(Sender, &str), Malformed> {
    if let Some(rest) = text.strip_prefix("<>") {
        return Ok((Sender::Null, rest));
    }
    let (mailbox, rest) = bracketed(text)?;
    Ok((Sender::Address(Address::parse(mailbox)?), rest))
}

/// Reads the path of RCPT, and returns what stands behind it.
pub(crate) fn recipient(text: &str) -> Result<(Recipient, &str), Malformed> {
    if text.starts_with("<>") {
        return Err(Malformed::Null);
    }
    let (mailbox, rest) = bracketed(text)?;
    if mailbox.eq_ignore_ascii_case("postmaster") {
        return Ok((Recipient::Postmaster, rest));
    }
    Ok((Recipient::Address(Address::parse(mailbox)?), rest))
}

/// What stands between the brackets without its source route, and what follows them.
fn bracketed(text: &str) -> Result<(&str, &str), Malformed> {
    let inner = text.strip_prefix('<').ok_or(Malformed::Brackets)?;
    let mailbox = without_route(inner)?;
    // A quoted local part may hold a `>` of its own.
    let after_local = local_part(mailbox)?;
    let domain = mailbox.get(after_local..).unwrap_or_default();
    let end = after_local + domain.find('>').ok_or(Malformed::Brackets)?;
    let (mailbox, rest) = mailbox.split_at_checked(end).ok_or(Malformed::Brackets)?;
    Ok((mailbox, rest.strip_prefix('>').unwrap_or(rest)))
}

/// `@one,@two:` is where it was to go through, once.
fn without_route(inner: &str) -> Result<&str, Malformed> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    // Only an IPv6 literal has colons of its own.
    let mut rest = inner;
    loop {
        rest = rest.strip_prefix('@').ok_or(Malformed::Route)?;
        let end = match rest.starts_with('[') {
            true => rest.find(']').map(|at| at + 1),
            false => rest.find([',', ':']),
        };
        let (hop, after) =
            end.and_then(|end| rest.split_at_checked(end)).ok_or(Malformed::Route)?;
        Domain::parse(hop).map_err(|_| Malformed::Route)?;
        if let Some(mailbox) = after.strip_prefix(':') {
            return Ok(mailbox);
        }
        rest = after.strip_prefix(',').ok_or(Malformed::Route)?;
    }
}
