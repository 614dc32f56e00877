//! What a lookup in this crate finds, from our own table or from somebody else's.
//!
//! Runs in the checker. A stored hash that cannot be compared becomes a stand-in, so that its account takes the
//! time of any other and nobody ever logs in with it.

use credentials::policy::Policy;
use credentials::stand_in::{Shape, usable_or_stand_in};
use credentials::verifier::Verifier;
use credentials::{Entry, Generation, Reason, ScramHash, ScramKeys, Trouble};

use crate::record::{AccountId, Kind};
use crate::restrictions::Restrictions;
use crate::time::UnixTime;

/// `last_used` is written at most once in so many seconds for an account: a log line has the exact time, and a
/// write to the disk for each login would cost more than the login.
pub const SECONDS_BETWEEN_NOTES: i64 = 3600;

/// An account, ready to be compared.
pub struct Found {
    /// For the comparison, and after it.
    pub entry: Entry,
    /// For after the comparison as well.
    pub restrictions: Restrictions,
    /// What only our own table knows.
    pub own: Option<Own>,
    /// Keys of SCRAM beside the password's hash, where they were asked for and are there.
    pub keys: Option<ScramKeys>,
    /// Something an operator should hear of at once, though it has an answer.
    pub complaint: Option<Trouble>,
}

/// What our own table knows of an account besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// For [`crate::Backend::upgrade`] and [`crate::Backend::note_used`].
    pub account: AccountId,
    /// Who uses it.
    pub kind: Kind,
    /// Whether there are keys for SCRAM-SHA-1.
    pub has_scram_sha_1: bool,
    /// Whether there are keys for SCRAM-SHA-256.
    pub has_scram_sha_256: bool,
    /// Whether there are keys for SCRAM-SHA-512.
    pub has_scram_sha_512: bool,
    /// As noted last.
    pub last_used: Option<UnixTime>,
}

impl Own {
    /// Whether there are keys for the mechanism of this hash.
    pub fn has_scram(&self, hash: ScramHash) -> bool {
        match hash {
            ScramHash::Sha1 => self.has_scram_sha_1,
            ScramHash::Sha256 => self.has_scram_sha_256,
            ScramHash::Sha512 => self.has_scram_sha_512,
            ScramHash::Sha224 | ScramHash::Sha384 => false,
        }
    }

    /// Whether a login at `now` is worth a note: see [`SECONDS_BETWEEN_NOTES`].
    pub fn wants_note(&self, now: UnixTime) -> bool {
        self.last_used.is_none_or(|noted| now.0.saturating_sub(noted.0) >= SECONDS_BETWEEN_NOTES)
    }
}

/// How stored hashes are judged.
pub(crate) struct Judge {
    pub(crate) policy: Policy,
    pub(crate) stand_in: Shape,
}

impl Judge {
    /// The entry of a stored hash. What is wrong with the account is told before what is wrong with its hash.
    pub(crate) fn entry(
        &self,
        stored: Option<&[u8]>,
        standing: Result<(), Reason>,
        generation: Generation,
    ) -> Entry {
        let parsed = match stored {
            None => Err(Reason::NoPassword),
            Some(bytes) => Verifier::parse(bytes, &self.policy),
        };
        let (verifier, usable) = usable_or_stand_in(parsed, &self.stand_in);
        Entry { verifier, standing: standing.and(usable), generation }
    }

    /// An entry that nobody logs in with.
    pub(crate) fn unusable(&self, standing: Result<(), Reason>, generation: Generation) -> Entry {
        Entry { verifier: Verifier::stand_in(&self.stand_in), standing, generation }
    }
}

/// A name as SQLite can hold it. Bytes that are none (not UTF-8, or with a NUL, at which C would cut it) are in no
/// table, and neither is a name longer than any socket takes.
pub(crate) fn as_stored(name: &[u8]) -> Option<&str> {
    if name.len() > protocol::Name::MAX || name.contains(&0) {
        return None;
    }
    std::str::from_utf8(name).ok()
}
