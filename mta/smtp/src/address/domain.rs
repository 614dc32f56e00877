//! Domains and address literals, and the name that a client greets with.
//!
//! Runs on both sides. Nothing is trusted. Names aren't looked up or prepared here: `é.example` and its A-label are two
//! domains, and whoever routes by a domain makes the A-label first.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Malformed, international};

/// Longest domain in bytes (RFC 5321 section 4.5.3.1.2).
const MAX: usize = 255;
/// Longest label in bytes.
const MAX_LABEL: usize = 63;

/// A domain name or an address literal, as it was written; compared without regard to ASCII case.
#[derive(Clone, Copy)]
pub struct Domain<'a>(&'a str);

impl<'a> Domain<'a> {
    /// Takes a domain.
    ///
    /// # Errors
    /// [`Malformed::Domain`] or [`Malformed::Literal`].
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::check(text)?;
        Ok(Self(text))
    }

    pub(super) fn check(text: &str) -> Result<(), Malformed> {
        if text.starts_with('[') {
            return literal(text).map(drop).ok_or(Malformed::Literal);
        }
        name(text, |byte| byte == b'-')
    }

    /// Of a text that was checked before.
    pub(super) fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// As it was written.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The address, if it is a literal.
    pub fn literal(self) -> Option<IpAddr> {
        literal(self.0)
    }
}

impl PartialEq for Domain<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Domain<'_> {}

impl Hash for Domain<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
        state.write_u8(0xff);
    }
}

impl fmt::Display for Domain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Domain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a client calls itself in EHLO or HELO: a domain or an address literal, believed by nobody.
///
/// Names with `_` pass, since machines are called so and RFC 5321 section 4.1.4 forbids to refuse mail for the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Box<str>);

impl Host {
    /// Takes the argument of EHLO or HELO.
    ///
    /// # Errors
    /// [`Malformed::Domain`] or [`Malformed::Literal`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.starts_with('[') {
            literal(text).or_else(|| untagged(text)).ok_or(Malformed::Literal)?;
        } else {
            name(text.strip_suffix('.').unwrap_or(text), |byte| matches!(byte, b'-' | b'_'))?;
        }
        Ok(Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels between dots: letters, digits, letters of RFC 6531, and `others` that aren't at the edge unless they are `_`.
fn name(text: &str, others: impl Fn(u8) -> bool) -> Result<(), Malformed> {
    let letter = |letter: char| {
        letter.is_ascii_alphanumeric()
            || u8::try_from(letter).is_ok_and(&others)
            || international(letter)
    };
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(letter)
    };
    let good = text.len() <= MAX && text.split('.').all(label);
    if good { Ok(()) } else { Err(Malformed::Domain) }
}

/// `[2001:db8::1]`, as clients that forget the tag greet.
fn untagged(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// `[192.0.2.1]` and `[IPv6:2001:db8::1]`; literals of other kinds have no meaning to anybody.
fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}
