//! Stored secrets that are one digest of the password, or a PBKDF2 of it.
//!
//! Runs in the checker and in the tools. Plain digests are fast to guess for whoever reads them; they are compared
//! since account tables are full of them, and replaced at the next login where the store can.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Agreement;
use crate::digests::Function;
use crate::scheme::{Cost, Scheme};
use crate::verdict::Reason;

/// Equal over the full length, in a time that tells neither content nor length of the stored text.
///
/// Both sides are digested first: a comparison of texts would take the time of the shorter one.
pub(super) fn same_text(candidate: &[u8], stored: &[u8]) -> Agreement {
    let candidate = Function::Sha256.digest(&[candidate]);
    let digest = Function::Sha256.digest(&[stored]);
    if stored.is_empty() { Agreement::Differs } else { Agreement::of(&candidate, &digest) }
}

/// A digest of the password and then of the salt, which may be empty (RFC 2307, OpenLDAP, Dovecot).
pub(crate) struct Digested {
    pub(crate) function: Function,
    pub(crate) salt: Zeroizing<Vec<u8>>,
    pub(crate) expected: Zeroizing<Vec<u8>>,
}

impl Digested {
    /// From the raw bytes of a scheme without salt.
    pub(super) fn unsalted(function: Function, raw: &[u8]) -> Result<Self, Reason> {
        if raw.len() != function.len() {
            return Err(Reason::Malformed);
        }
        Ok(Self {
            function,
            salt: Zeroizing::new(Vec::new()),
            expected: Zeroizing::new(raw.to_vec()),
        })
    }

    /// From the raw bytes of a salted scheme: the digest, then at least one byte of salt.
    pub(super) fn salted(function: Function, raw: &[u8]) -> Result<Self, Reason> {
        match raw.split_at_checked(function.len()) {
            Some((expected, salt)) if !salt.is_empty() => Ok(Self {
                function,
                salt: Zeroizing::new(salt.to_vec()),
                expected: Zeroizing::new(expected.to_vec()),
            }),
            _ => Err(Reason::Malformed),
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        match (self.function, self.salt.is_empty()) {
            (Function::Md5, true) => Scheme::Md5,
            (Function::Md5, false) => Scheme::SaltedMd5,
            (Function::Sha1, true) => Scheme::Sha1,
            (Function::Sha1, false) => Scheme::SaltedSha1,
            (Function::Sha224 | Function::Sha256, true) => Scheme::Sha256,
            (Function::Sha224 | Function::Sha256, false) => Scheme::SaltedSha256,
            (Function::Sha384 | Function::Sha512, true) => Scheme::Sha512,
            (Function::Sha384 | Function::Sha512, false) => Scheme::SaltedSha512,
        }
    }

    pub(super) fn agreement(&self, password: &[u8]) -> Agreement {
        Agreement::of(&self.function.digest(&[password, &self.salt]), &self.expected)
    }
}

/// Dovecot's `$1$salt$rounds$hex`: PBKDF2 with HMAC-SHA-1, 20 bytes of output, the salt as it is written.
pub(crate) struct Pbkdf2 {
    pub(crate) salt: Zeroizing<Vec<u8>>,
    pub(crate) rounds: u32,
    pub(crate) expected: Zeroizing<Vec<u8>>,
}

impl Pbkdf2 {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Reason> {
        let mut parts = text.split(|byte| *byte == b'$');
        let (Some(b""), Some(b"1"), Some(salt), Some(rounds), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::Malformed);
        };
        let expected = unhex(hash).filter(|raw| raw.len() == Function::Sha1.len());
        let (Some(expected), Some(rounds), false) = (expected, number(rounds), salt.is_empty())
        else {
            return Err(Reason::Malformed);
        };
        let rounds = u32::try_from(rounds).map_err(|_| Reason::TooExpensive)?;
        if rounds == 0 {
            return Err(Reason::Malformed);
        }
        Ok(Self { salt: Zeroizing::new(salt.to_vec()), rounds, expected })
    }

    pub(super) fn cost(&self) -> Cost {
        Cost::of_micros(u64::from(self.rounds) * Function::Sha1.mac_nanos() / 1000 + 1)
    }

    pub(super) fn agreement(&self, password: &[u8]) -> Agreement {
        let computed = Function::Sha1.stretch(password, &self.salt, self.rounds);
        Agreement::of(&computed, &self.expected)
    }
}

/// SASL 1's secret: MD5 of the salt, the word `sasldb` and the password.
pub(crate) struct CyrusPlain {
    pub(crate) salt: Zeroizing<Vec<u8>>,
    pub(crate) expected: Zeroizing<Vec<u8>>,
}

impl CyrusPlain {
    const SALT: usize = 16;

    pub(super) fn parse(stored: &[u8]) -> Result<Self, Reason> {
        let Some((salt, [0, expected @ ..])) = stored.split_at_checked(Self::SALT) else {
            return Err(Reason::Malformed);
        };
        if expected.len() != Function::Md5.len() {
            return Err(Reason::Malformed);
        }
        Ok(Self {
            salt: Zeroizing::new(salt.to_vec()),
            expected: Zeroizing::new(expected.to_vec()),
        })
    }

    pub(super) fn agreement(&self, password: &[u8]) -> Agreement {
        Agreement::of(&Function::Md5.digest(&[&self.salt, b"sasldb", password]), &self.expected)
    }
}

/// Base64 with padding, and nothing else.
pub(super) fn unbase64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

/// Pairs of hexadecimal digits, of either case.
pub(super) fn unhex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let mut raw = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        raw.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(raw)
}

/// A decimal number as programs write it: ASCII digits, no sign, no leading zero, below 2^64.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if text.len() > 1 && text.starts_with(b"0") {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
