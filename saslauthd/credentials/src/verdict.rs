//! What a backend and a comparison may say: three answers, each with what the log needs to know.

use std::fmt;

use protocol::Password;

use crate::digests::Function;
use crate::scratch::Scratch;
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
    /// The name has bytes that names here never have, so that no backend was asked.
    NameNotAllowed,
    /// The account has a password, and nothing that this mechanism could compare with.
    NoKeys,
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
            Self::NameNotAllowed => "name-not-allowed",
            Self::NoKeys => "no-keys",
        }
    }
}

/// Why nobody knows: one line for the log, naming the thing; never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    line: String,
    /// Whether other names may be answered all the same.
    of_one_name: bool,
}

impl Trouble {
    /// A line such as `/etc/sasldb2: page 3 is damaged`.
    pub fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), of_one_name: false }
    }

    /// The same trouble, met with one name, which says little about others.
    #[must_use]
    pub fn with_one_name(self) -> Self {
        Self { of_one_name: true, ..self }
    }

    /// Whether other names may be answered all the same.
    pub fn is_of_one_name(&self) -> bool {
        self.of_one_name
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
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
/// It is made of the record without a key: keep it beside the record, never in a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub [u8; 16]);

impl Generation {
    /// Of all the parts that decide about a login, in a fixed order: half a SHA-256, each part length-prefixed.
    pub fn of(parts: &[&[u8]]) -> Self {
        let lengths: Vec<[u8; 8]> =
            parts.iter().map(|part| (part.len() as u64).to_le_bytes()).collect();
        let message: Vec<&[u8]> = lengths
            .iter()
            .zip(parts)
            .flat_map(|(length, part)| [length.as_slice(), part])
            .collect();
        let digest = Function::Sha256.digest(&message);
        let mut half = [0; 16];
        half.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self(half)
    }
}

impl fmt::Debug for Generation {
    /// Says nothing of the value, which a guesser could compare with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generation")
    }
}

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

impl Entry {
    /// Compares, and then looks at the account's standing: what the log is told is what stands behind the password.
    ///
    /// A wrong password is [`Reason::WrongPassword`] even for an expired account; with an unusable hash, where no
    /// password could be right, it is the reason why it is unusable.
    pub fn judge(&self, password: &Password, scratch: &mut Scratch) -> Verdict {
        match (self.verifier.compare(password, scratch), self.standing) {
            (Verdict::Accept(_), Err(reason)) => Verdict::Refuse(reason),
            (Verdict::Refuse(_), Err(reason)) if self.verifier.is_stand_in() => {
                Verdict::Refuse(reason)
            }
            (verdict, _) => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(verifier: Verifier, standing: Result<(), Reason>) -> Entry {
        Entry { verifier, standing, generation: Generation::of(&[]) }
    }

    fn plain(text: &str) -> Verifier {
        Verifier::plaintext(text.as_bytes()).expect("a verifier")
    }

    #[test]
    fn the_comparison_comes_first_and_the_standing_after() {
        let mut scratch = Scratch::new();
        let mut judge = |entry: &Entry, text: &str| {
            entry.judge(&Password::new(text.as_bytes()).expect("a password"), &mut scratch)
        };
        let good = entry(plain("pencil"), Ok(()));
        assert!(matches!(judge(&good, "pencil"), Verdict::Accept(_)));
        assert_eq!(judge(&good, "eraser"), Verdict::Refuse(Reason::WrongPassword));
        let expired = entry(plain("pencil"), Err(Reason::AccountExpired));
        assert_eq!(judge(&expired, "pencil"), Verdict::Refuse(Reason::AccountExpired));
        assert_eq!(judge(&expired, "eraser"), Verdict::Refuse(Reason::WrongPassword));
        let locked = entry(Verifier::stand_in(&plain("pencil").shape()), Err(Reason::Locked));
        assert_eq!(judge(&locked, "pencil"), Verdict::Refuse(Reason::Locked));
        let unknown = entry(Verifier::stand_in(&plain("pencil").shape()), Ok(()));
        assert_eq!(judge(&unknown, "pencil"), Verdict::Refuse(Reason::WrongPassword));
    }

    #[test]
    fn generations_tell_parts_apart() {
        assert_ne!(Generation::of(&[b"ab", b"c"]), Generation::of(&[b"a", b"bc"]));
        assert_ne!(Generation::of(&[b"ab"]), Generation::of(&[b"ab", b""]));
        assert_eq!(Generation::of(&[b"ab"]), Generation::of(&[b"ab"]));
        assert_eq!(format!("{:?}", Generation::of(&[b"ab"])), "Generation");
    }
}
