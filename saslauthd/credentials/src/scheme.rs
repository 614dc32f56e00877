//! Names and costs of password schemes.
//!
//! Runs in the checker and in the tools; pure values. The costs are estimates from a stored hash's own
//! parameters, made before anything is computed or allocated, and must never depend on the machine's load: a
//! hash that is within the ceilings today must be so tomorrow.

use std::fmt;

/// How a stored secret is compared with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// The password itself.
    Plain,
    /// Traditional crypt(3): DES, 8 bytes of the password, 12 bits of salt.
    DesCrypt,
    /// BSDi's extended DES, `_`.
    BsdiCrypt,
    /// MD4 of the password, `$3$`; Windows' NT hash.
    NtHash,
    /// `$1$`.
    Md5Crypt,
    /// `$md5`, Solaris.
    SunMd5,
    /// `$sha1$`, NetBSD.
    Sha1Crypt,
    /// `$5$`.
    Sha256Crypt,
    /// `$6$`.
    Sha512Crypt,
    /// `$2b$`, `$2y$`, `$2a$`.
    Bcrypt,
    /// `$2x$`: bcrypt by an implementation that confused passwords with bytes above 0x7f.
    BcryptX,
    /// `$7$`.
    Scrypt,
    /// `$y$`.
    Yescrypt,
    /// `$gy$`.
    GostYescrypt,
    /// PHC `$argon2i$`.
    Argon2i,
    /// PHC `$argon2id$`.
    Argon2id,
    /// One MD5 without salt.
    Md5,
    /// One salted MD5.
    SaltedMd5,
    /// One SHA-1 without salt.
    Sha1,
    /// One salted SHA-1.
    SaltedSha1,
    /// One SHA-256 without salt.
    Sha256,
    /// One salted SHA-256.
    SaltedSha256,
    /// One SHA-512 without salt.
    Sha512,
    /// One salted SHA-512.
    SaltedSha512,
    /// PBKDF2 with HMAC-SHA-1, Dovecot's form.
    Pbkdf2Sha1,
    /// StoredKey and ServerKey of SCRAM-SHA-1.
    ScramSha1,
    /// The same of SCRAM-SHA-224, which only Cyrus speaks.
    ScramSha224,
    /// The same of SCRAM-SHA-256.
    ScramSha256,
    /// The same of SCRAM-SHA-384, which only Cyrus speaks.
    ScramSha384,
    /// The same of SCRAM-SHA-512.
    ScramSha512,
    /// `cmusaslsecretPLAIN` of a sasldb converted from SASL 1: one salted MD5.
    CyrusPlain,
}

impl Scheme {
    /// Every scheme, in the order of their declaration.
    pub const ALL: [Self; 31] = [
        Self::Plain,
        Self::DesCrypt,
        Self::BsdiCrypt,
        Self::NtHash,
        Self::Md5Crypt,
        Self::SunMd5,
        Self::Sha1Crypt,
        Self::Sha256Crypt,
        Self::Sha512Crypt,
        Self::Bcrypt,
        Self::BcryptX,
        Self::Scrypt,
        Self::Yescrypt,
        Self::GostYescrypt,
        Self::Argon2i,
        Self::Argon2id,
        Self::Md5,
        Self::SaltedMd5,
        Self::Sha1,
        Self::SaltedSha1,
        Self::Sha256,
        Self::SaltedSha256,
        Self::Sha512,
        Self::SaltedSha512,
        Self::Pbkdf2Sha1,
        Self::ScramSha1,
        Self::ScramSha224,
        Self::ScramSha256,
        Self::ScramSha384,
        Self::ScramSha512,
        Self::CyrusPlain,
    ];

    /// The word for logs and for the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::DesCrypt => "descrypt",
            Self::BsdiCrypt => "bsdicrypt",
            Self::NtHash => "nthash",
            Self::Md5Crypt => "md5crypt",
            Self::SunMd5 => "sunmd5",
            Self::Sha1Crypt => "sha1crypt",
            Self::Sha256Crypt => "sha256crypt",
            Self::Sha512Crypt => "sha512crypt",
            Self::Bcrypt => "bcrypt",
            Self::BcryptX => "bcrypt-x",
            Self::Scrypt => "scrypt",
            Self::Yescrypt => "yescrypt",
            Self::GostYescrypt => "gost-yescrypt",
            Self::Argon2i => "argon2i",
            Self::Argon2id => "argon2id",
            Self::Md5 => "md5",
            Self::SaltedMd5 => "smd5",
            Self::Sha1 => "sha1",
            Self::SaltedSha1 => "ssha",
            Self::Sha256 => "sha256",
            Self::SaltedSha256 => "ssha256",
            Self::Sha512 => "sha512",
            Self::SaltedSha512 => "ssha512",
            Self::Pbkdf2Sha1 => "pbkdf2",
            Self::ScramSha1 => "scram-sha-1",
            Self::ScramSha224 => "scram-sha-224",
            Self::ScramSha256 => "scram-sha-256",
            Self::ScramSha384 => "scram-sha-384",
            Self::ScramSha512 => "scram-sha-512",
            Self::CyrusPlain => "cyrus-plain",
        }
    }

    /// The scheme of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one comparison costs, estimated from the stored parameters.
///
/// The time is that of one core of a server of 2023; it orders hashes and holds ceilings, it promises nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cost {
    /// Microseconds of one core.
    pub micros: u64,
    /// Memory for the time of the comparison, in KiB; 0 below one.
    pub memory_kib: u64,
}

impl Cost {
    /// So little that hashing it beside other work, and caching it not at all, is right: below 2 ms.
    pub const CHEAP_MICROS: u64 = 2000;

    /// A cost of time alone.
    pub(crate) const fn of_micros(micros: u64) -> Self {
        Self { micros, memory_kib: 0 }
    }

    /// The time in whole milliseconds, rounded up.
    pub fn millis(self) -> u64 {
        self.micros.div_ceil(1000)
    }

    /// Below [`Self::CHEAP_MICROS`].
    pub fn is_cheap(self) -> bool {
        self.micros < Self::CHEAP_MICROS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_one_scheme() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_word(scheme.as_str()), Some(scheme));
        }
        assert_eq!(Scheme::from_word("rot13"), None);
        let words: std::collections::BTreeSet<_> =
            Scheme::ALL.iter().map(|scheme| scheme.as_str()).collect();
        assert_eq!(words.len(), Scheme::ALL.len());
    }

    #[test]
    fn cheap_is_below_two_milliseconds() {
        assert!(Cost::of_micros(1999).is_cheap());
        assert!(!Cost::of_micros(2000).is_cheap());
        assert_eq!(Cost::of_micros(1).millis(), 1);
        assert_eq!(Cost::of_micros(2001).millis(), 3);
    }
}
