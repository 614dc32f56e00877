//! What a backend and a comparison may say: three answers, each with what the log needs to know.

use std::fmt;

use crate::verifier::Verifier;

/// Proof that a password was compared with a stored one and agreed. Nothing outside this crate makes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Verified(());

impl Verified {
    /// For the comparisons of this crate alone.
    pub(crate) fn by_comparison() -> Self {
        Self(())
    }
}

/// The end of one login, inside the house.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The comparison agreed.
    Accept(Verified),
    /// It did not, or the account may not log in.
    Refuse(Reason),
    /// Nobody knows.
    Unavailable(Trouble),
}

/// Why a login was refused; for the log only, a client never learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No backend of the realm knows the name.
    UnknownUser,
    /// The comparison did not agree.
    WrongPassword,
    /// The stored hash is locked (`!`, `*`).
    Locked,
    /// The stored hash is empty; an account without a password never logs in.
    NoPassword,
    /// The account's own last day is today or past.
    AccountExpired,
    /// The password is older than its maximum age.
    PasswordExpired,
    /// The password must be changed at first login (`sp_lstchg` 0).
    MustChange,
    /// The account is disabled by its operator.
    Disabled,
    /// The account may not use this service.
    ServiceNotAllowed,
    /// The account may not log in from this address.
    NetworkNotAllowed,
    /// The stored hash has a scheme that is unknown or not allowed.
    SchemeNotAllowed,
    /// The stored hash is no hash of its scheme.
    Malformed,
    /// The stored hash asks for more time or memory than the ceilings allow.
    TooExpensive,
    /// The password is longer than the scheme compares.
    PasswordTooLong,
    /// Two records claim the name.
    Ambiguous,
}

impl Reason {
    /// The word for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::WrongPassword => "wrong-password",
            Self::Locked => "locked",
            Self::NoPassword => "no-password",
            Self::AccountExpired => "account-expired",
            Self::PasswordExpired => "password-expired",
            Self::MustChange => "must-change",
            Self::Disabled => "disabled",
            Self::ServiceNotAllowed => "service-not-allowed",
            Self::NetworkNotAllowed => "network-not-allowed",
            Self::SchemeNotAllowed => "scheme-not-allowed",
            Self::Malformed => "malformed-hash",
            Self::TooExpensive => "too-expensive",
            Self::PasswordTooLong => "password-too-long",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// Why nobody knows: one line for the log, naming the thing; never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(String);

impl Trouble {
    /// A line such as `/etc/sasldb2: page 3 is damaged`.
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one backend knows of one name.
#[must_use]
pub enum Lookup<T> {
    /// This.
    Found(T),
    /// The backend works, and has no such name: ask the next.
    NotFound,
    /// The backend does not work.
    Unavailable(Trouble),
}

/// Identity of a stored record's content: another value whenever hash, state or expiry changes.
///
/// A remembered success counts only while the generation is the same, so no old password outlives a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(pub [u8; 16]);

/// What a backend found: the stored secret, ready to compare, and whether the account may log in at all.
///
/// The comparison comes first and the standing after it, so that a locked or expired account takes the
/// time of any other.
pub struct Entry {
    /// The stored secret; of an unusable one, a stand-in that costs the same and never agrees.
    pub verifier: Verifier,
    /// Whether the account may log in, apart from its password.
    pub standing: Result<(), Reason>,
    /// For the cache.
    pub generation: Generation,
}
