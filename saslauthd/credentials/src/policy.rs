//! What stored hashes are let near a password: ceilings on cost, and which weak schemes count.
//!
//! Runs in the checker and in the tools; values that the config fills in. A ceiling is held before anything is
//! allocated, and must never be found out by running into it.

use std::collections::BTreeSet;

use crate::scheme::{Cost, Scheme};
use crate::verdict::Reason;

/// What to do with a password of which a scheme compares only the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LongPasswords {
    /// Refuse it: bcrypt compares 72 bytes and DES 8, so that any ending would do.
    #[default]
    Refuse,
    /// Compare the beginning, as Cyrus and crypt(3) do.
    Truncate,
}

/// Schemes that are refused unless the config allows them: their hashes are passwords to whoever reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakSchemes {
    denied: BTreeSet<Scheme>,
}

impl Default for WeakSchemes {
    /// Denies passwords in the clear, DES, BSDi's DES, NT hashes, MD5 and unsalted SHA-1, and `$2x$`.
    fn default() -> Self {
        Self {
            denied: BTreeSet::from([
                Scheme::Plain,
                Scheme::DesCrypt,
                Scheme::BsdiCrypt,
                Scheme::NtHash,
                Scheme::BcryptX,
                Scheme::Md5,
                Scheme::SaltedMd5,
                Scheme::Sha1,
            ]),
        }
    }
}

impl WeakSchemes {
    /// Denies nothing.
    pub fn allow_all() -> Self {
        Self { denied: BTreeSet::new() }
    }

    /// The same, and this one is allowed.
    #[must_use]
    pub fn allow(mut self, scheme: Scheme) -> Self {
        self.denied.remove(&scheme);
        self
    }

    /// The same, and this one is denied.
    #[must_use]
    pub fn deny(mut self, scheme: Scheme) -> Self {
        self.denied.insert(scheme);
        self
    }

    /// Whether hashes of this scheme are compared at all.
    pub fn allows(&self, scheme: Scheme) -> bool {
        !self.denied.contains(&scheme)
    }
}

/// The limits of one backend's stored hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most memory one comparison may take, in KiB. Default 512 MiB: twice the largest that argon2's own
    /// recommendations name for a server, and a small part of what a mail host has.
    pub max_memory_kib: u64,
    /// Most estimated time of one comparison, in milliseconds. Default 2000: bcrypt at cost 15 passes, 16 does not.
    pub max_millis: u64,
    /// Which weak schemes are refused.
    pub weak: WeakSchemes,
    /// What happens to passwords longer than the scheme compares.
    pub long_passwords: LongPasswords,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_memory_kib: 512 * 1024,
            max_millis: 2000,
            weak: WeakSchemes::default(),
            long_passwords: LongPasswords::default(),
        }
    }
}

impl Policy {
    /// Whether a hash of this scheme and cost may be compared.
    pub(crate) fn admit(&self, scheme: Scheme, cost: Cost) -> Result<(), Reason> {
        if !self.weak.allows(scheme) {
            return Err(Reason::SchemeNotAllowed);
        }
        if cost.memory_kib > self.max_memory_kib
            || cost.micros > self.max_millis.saturating_mul(1000)
        {
            return Err(Reason::TooExpensive);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_denies_what_is_a_password_to_its_reader() {
        let weak = WeakSchemes::default();
        for denied in [Scheme::Plain, Scheme::DesCrypt, Scheme::NtHash, Scheme::Md5] {
            assert!(!weak.allows(denied), "{denied}");
            assert!(weak.clone().allow(denied).allows(denied), "{denied}");
        }
        for allowed in [Scheme::Md5Crypt, Scheme::SaltedSha1, Scheme::Yescrypt, Scheme::Argon2id] {
            assert!(weak.allows(allowed), "{allowed}");
            assert!(!weak.clone().deny(allowed).allows(allowed), "{allowed}");
        }
        assert!(Scheme::ALL.iter().all(|scheme| WeakSchemes::allow_all().allows(*scheme)));
    }

    #[test]
    fn ceilings_are_inclusive() {
        let policy = Policy::default();
        let at = Cost { micros: 2_000_000, memory_kib: 512 * 1024 };
        assert_eq!(policy.admit(Scheme::Argon2id, at), Ok(()));
        let slow = Cost { micros: at.micros + 1, ..at };
        assert_eq!(policy.admit(Scheme::Argon2id, slow), Err(Reason::TooExpensive));
        let large = Cost { memory_kib: at.memory_kib + 1, ..at };
        assert_eq!(policy.admit(Scheme::Argon2id, large), Err(Reason::TooExpensive));
    }
}
