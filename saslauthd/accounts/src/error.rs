//! What can go wrong with accounts, nested by whose fault it is.
//!
//! Used in the checker and in the operator's tools. No error ever holds a password, a hash or a name's bytes
//! unquoted.

use std::fmt;

use credentials::Trouble;

use crate::query::TemplateError;

/// Why an operation on accounts did not happen.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The operator's: what was asked for cannot be.
    Refused(Refusal),
    /// The configuration's: the configured query is no query that can be served.
    Template(TemplateError),
    /// The system's: the database is away, locked, damaged or of another program.
    Database(Trouble),
}

/// Why a request of the operator is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The account is there already.
    Exists,
    /// There is no account of this user and realm.
    NoSuchAccount,
    /// The user cannot be a name; the text says why.
    InvalidUser(&'static str),
    /// The realm cannot be a name; the text says why.
    InvalidRealm(&'static str),
    /// The hash cannot be stored; the text says why.
    InvalidHash(&'static str),
    /// There is no column for keys of this mechanism.
    NoSuchMechanism(&'static str),
    /// A service of the list is no word.
    InvalidService(&'static str),
    /// A network of the list is none.
    InvalidNetwork(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => {
                f.write_str("this account exists already; change it, or delete it first")
            }
            Self::NoSuchAccount => f.write_str("no such account; add it first, and mind the realm"),
            Self::InvalidUser(why) => write!(f, "the user cannot be used: {why}"),
            Self::InvalidRealm(why) => write!(f, "the realm cannot be used: {why}"),
            Self::InvalidHash(why) => write!(f, "the hash cannot be stored: {why}"),
            Self::NoSuchMechanism(name) => {
                write!(f, "keys for {name} cannot be stored; SCRAM-SHA-1 and SCRAM-SHA-256 can")
            }
            Self::InvalidService(why) => write!(f, "the list of services cannot be used: {why}"),
            Self::InvalidNetwork(why) => write!(f, "the list of networks cannot be used: {why}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Template(error) => write!(f, "the query, {error}"),
            Self::Database(trouble) => trouble.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        Self::Database(trouble)
    }
}
