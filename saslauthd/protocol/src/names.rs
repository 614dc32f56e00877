//! Names and passwords as peers send them, held in types that state what has been checked.
//!
//! A [`Name`] cannot hold NUL, CR or LF, so it can travel in every line protocol and every log line.
//! A [`Password`] cannot be printed, copied or serialised, and is wiped when dropped.

use std::fmt;

use zeroize::Zeroize;

use crate::Quoted;

/// Why bytes of a peer are no name or no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// No bytes at all, where some are needed.
    Empty,
    /// A NUL; Cyrus's saslauthd cut the string there and checked the rest.
    Nul,
    /// A carriage return or line feed in a name.
    LineBreak,
    /// More bytes than the field may have.
    TooLong,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Nul => "it contains a NUL byte",
            Self::LineBreak => "it contains a line break",
            Self::TooLong => "it is too long",
        })
    }
}

impl std::error::Error for Rejected {}

/// A login, service or realm: raw bytes of at most [`Name::MAX`], without NUL, CR and LF. May be empty.
///
/// Not necessarily UTF-8: whoever keys anything by a name prepares it first.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The longest name that any socket takes, in bytes.
    pub const MAX: usize = 1024;

    /// Takes the bytes of a peer.
    pub fn new(bytes: &[u8]) -> Result<Self, Rejected> {
        if bytes.len() > Self::MAX {
            return Err(Rejected::TooLong);
        }
        if bytes.contains(&0) {
            return Err(Rejected::Nul);
        }
        if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(Rejected::LineBreak);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is not a single byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(&self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(&self.0))
    }
}

/// A password as it was typed: 1 to [`Password::MAX`] bytes without NUL; wiped on drop.
///
/// It has no `Debug`, `Display`, `Clone` or `Serialize` on purpose.
pub struct Password(Box<[u8]>);

impl Password {
    /// The longest password that any socket takes, in bytes (libsasl2 sends at most 8162 in all).
    pub const MAX: usize = 8192;

    /// Copies the bytes of a peer; the caller still wipes its own buffer.
    pub fn new(bytes: &[u8]) -> Result<Self, Rejected> {
        if bytes.is_empty() {
            return Err(Rejected::Empty);
        }
        if bytes.len() > Self::MAX {
            return Err(Rejected::TooLong);
        }
        if bytes.contains(&0) {
            return Err(Rejected::Nul);
        }
        Ok(Self(bytes.into()))
    }

    /// The secret itself, for a comparison or for the next process.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_no_nul_and_no_line_break() {
        assert_eq!(Name::new(b"vic\0root"), Err(Rejected::Nul));
        assert_eq!(Name::new(b"vic\nroot"), Err(Rejected::LineBreak));
        assert_eq!(Name::new(b"vic\rroot"), Err(Rejected::LineBreak));
        assert_eq!(Name::new(&[b'x'; Name::MAX + 1]), Err(Rejected::TooLong));
        assert!(Name::new(&[b'x'; Name::MAX]).is_ok());
        assert!(Name::new(b"").is_ok_and(|name| name.is_empty()));
    }

    #[test]
    fn a_password_is_never_empty_and_holds_no_nul() {
        assert_eq!(Password::new(b"").err(), Some(Rejected::Empty));
        assert_eq!(Password::new(b"secret\0junk").err(), Some(Rejected::Nul));
        assert_eq!(Password::new(&[b'x'; Password::MAX + 1]).err(), Some(Rejected::TooLong));
        assert!(Password::new(b"with\nnewline").is_ok());
    }
}
