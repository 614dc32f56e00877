//! The hashes that crypt(3) writes, recognised whole: prefix, parameters, salt and hash, to the last byte.
//!
//! Runs in the checker and in the tools. libxcrypt reads only the setting at the front of what it is given, and would
//! hash happily with a setting that has no hash behind it (`$6$` alone is one). So each form is matched over its full
//! length first, against what libxcrypt itself writes for it; and its parameters are priced, since libxcrypt has no
//! ceilings. Where this is stricter than libxcrypt a comment says so.

use zeroize::Zeroizing;

use super::Agreement;
use super::digest::number;
use crate::scheme::{Cost, Scheme};
use crate::scratch::Scratch;
use crate::verdict::{Reason, Trouble};

mod yescrypt;

/// A complete hash of crypt(3).
pub(crate) struct CryptHash {
    stored: Zeroizing<Vec<u8>>,
    layout: Layout,
}

/// What the parsing of a hash found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) scheme: Scheme,
    pub(crate) cost: Cost,
    /// Bytes before the salt; salt and hash are what follows.
    pub(crate) parameters: usize,
}

impl CryptHash {
    pub(super) fn parse(stored: &[u8]) -> Result<Self, Reason> {
        let layout = Layout::of(stored)?;
        Ok(Self { stored: Zeroizing::new(stored.to_vec()), layout })
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.layout.scheme
    }

    pub(super) fn cost(&self) -> Cost {
        self.layout.cost
    }

    /// The stored bytes with every letter of salt and hash replaced by a dot, which is a letter of all the alphabets.
    pub(crate) fn blanked(&self) -> Vec<u8> {
        let blank = |(at, byte): (usize, &u8)| {
            if at < self.layout.parameters || *byte == b'$' { *byte } else { b'.' }
        };
        self.stored.iter().enumerate().map(blank).collect()
    }

    /// From what [`Self::blanked`] gave.
    pub(crate) fn from_blanked(blanked: &[u8], scheme: Scheme, cost: Cost) -> Self {
        let layout = Layout { scheme, cost, parameters: blanked.len() };
        Self { stored: Zeroizing::new(blanked.to_vec()), layout }
    }

    /// A setting that was recognised is declined for want of memory only: yescrypt reports that as a bad setting.
    pub(super) fn agreement(
        &self,
        password: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Agreement, Trouble> {
        let computed = scratch
            .crypt()
            .hash(password, &self.stored)
            .map_err(|error| Trouble::new(format!("{}: {error}", self.layout.scheme)))?;
        Ok(Agreement::of(&computed, &self.stored))
    }
}

impl Layout {
    fn of(stored: &[u8]) -> Result<Self, Reason> {
        let found = match stored {
            [b'$', b'6', b'$', rest @ ..] => sha(rest, Scheme::Sha512Crypt, 86, b'1'),
            [b'$', b'5', b'$', rest @ ..] => sha(rest, Scheme::Sha256Crypt, 43, b'D'),
            [b'$', b'y', b'$', ..] => yescrypt::yescrypt(stored, Scheme::Yescrypt, 3),
            [b'$', b'g', b'y', b'$', ..] => yescrypt::yescrypt(stored, Scheme::GostYescrypt, 4),
            [b'$', b'7', b'$', ..] => yescrypt::scrypt(stored),
            [b'$', b'2', kind @ (b'a' | b'b' | b'x' | b'y'), b'$', rest @ ..] => {
                bcrypt(*kind, rest)
            }
            [b'$', b'1', b'$', rest @ ..] => md5(rest),
            _ if stored.starts_with(b"$md5") => sunmd5(stored),
            _ if stored.starts_with(b"$sha1$") => sha1(stored),
            [b'$', b'3', b'$', rest @ ..] => nt(rest),
            [b'_', rest @ ..] => bsdi(rest),
            [b'$', ..] => return Err(Reason::SchemeNotAllowed),
            _ => return des(stored).ok_or(Reason::SchemeNotAllowed),
        };
        match found {
            Some(layout) if stored.len() <= crypt::MAX_SETTING => Ok(layout),
            _ => Err(Reason::Malformed),
        }
    }

    fn new(scheme: Scheme, parameters: usize, nanos: u64) -> Self {
        Self { scheme, cost: Cost::of_micros(nanos / 1000 + 1), parameters }
    }
}

/// `[rounds=N$]salt$hash`; the salt is any printable text up to 16 bytes, 1000 to 999999999 rounds.
fn sha(rest: &[u8], scheme: Scheme, hash_len: usize, last: u8) -> Option<Layout> {
    let mut parameters = 3;
    let mut rounds = 5000;
    let mut rest = rest;
    if let Some(text) = rest.strip_prefix(b"rounds=") {
        let (digits, behind) = until_dollar(text)?;
        rounds = number(digits).filter(|rounds| (1_000..=999_999_999).contains(rounds))?;
        parameters += b"rounds=$".len() + digits.len();
        rest = behind;
    }
    let (salt, hash) = until_dollar(rest)?;
    let fits = salt.len() <= 16 && salt.iter().all(|byte| is_salt_byte(*byte));
    (fits && is_hash(hash, hash_len, last)).then(|| Layout::new(scheme, parameters, rounds * 500))
}

/// `salt$hash`, the salt any printable text up to 8 bytes.
fn md5(rest: &[u8]) -> Option<Layout> {
    let (salt, hash) = until_dollar(rest)?;
    let fits = salt.len() <= 8 && salt.iter().all(|byte| is_salt_byte(*byte));
    (fits && is_hash(hash, 22, b'1')).then(|| Layout::new(Scheme::Md5Crypt, 3, 250_000))
}

/// `NN$` and 53 letters: 22 of salt, of which the last has two bits, and 31 of hash, of which the last has four.
fn bcrypt(kind: u8, rest: &[u8]) -> Option<Layout> {
    let [tens @ b'0'..=b'3', ones @ b'0'..=b'9', b'$', letters @ ..] = rest else {
        return None;
    };
    let exponent = u64::from(tens - b'0') * 10 + u64::from(ones - b'0');
    let (salt, hash) = letters.split_at_checked(22)?;
    let fits = (4..=31).contains(&exponent) && hash.len() == 31 && letters.iter().all(is_letter);
    // crypt-bcrypt's alphabet puts A to Z before a to z and the digits: `.`, `O`, `e`, `u` are 0, 16, 32, 48.
    let whole = matches!(salt.last(), Some(b'.' | b'O' | b'e' | b'u'))
        && hash.last().is_some_and(|byte| b".CGKOSWaeimquy26".contains(byte));
    let scheme = if kind == b'x' { Scheme::BcryptX } else { Scheme::Bcrypt };
    (fits && whole).then(|| Layout::new(scheme, 7, 55_000 << exponent))
}

/// `$md5$salt$hash` or `$md5,rounds=N$salt$hash`, with one or two dollars before the hash.
fn sunmd5(stored: &[u8]) -> Option<Layout> {
    let (b"$md5", [b'$' | b',', text @ ..]) = stored.split_at_checked(4)? else {
        return None;
    };
    let mut rest = text;
    let mut rounds = 0;
    if let Some(text) = rest.strip_prefix(b"rounds=") {
        let (digits, behind) = until_dollar(text)?;
        rounds = number(digits).filter(|rounds| (1..=u64::from(u32::MAX)).contains(rounds))?;
        rest = behind;
    }
    let parameters = stored.len().checked_sub(rest.len())?;
    let (salt, hash) = until_dollar(rest)?;
    let hash = hash.strip_prefix(b"$").unwrap_or(hash);
    // Its number of rounds is one of 32 bits, so that 4096 more wrap around.
    let rounds = (rounds + 4096) & u64::from(u32::MAX);
    (salt.iter().all(is_letter) && is_hash(hash, 22, b'1'))
        .then(|| Layout::new(Scheme::SunMd5, parameters, rounds * 1_500))
}

/// `$sha1$iterations$salt$hash`. Stricter than libxcrypt: no zero iterations, and no salt above the 64 letters
/// that it documents and does not check.
fn sha1(stored: &[u8]) -> Option<Layout> {
    let (digits, rest) = until_dollar(stored.strip_prefix(b"$sha1$")?)?;
    let iterations = number(digits).filter(|iterations| *iterations > 0)?;
    let (salt, hash) = until_dollar(rest)?;
    let fits = (1..=64).contains(&salt.len()) && salt.iter().all(is_letter);
    (fits && is_hash(hash, 28, b'z'))
        .then(|| Layout::new(Scheme::Sha1Crypt, 7 + digits.len(), iterations.saturating_mul(1_000)))
}

/// `$` and 32 digits of lower-case hexadecimal.
fn nt(rest: &[u8]) -> Option<Layout> {
    let digits = rest.strip_prefix(b"$")?;
    let fits =
        digits.len() == 32 && digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| Layout::new(Scheme::NtHash, 4, 1_000))
}

/// Four letters of count, four of salt, eleven of hash.
fn bsdi(rest: &[u8]) -> Option<Layout> {
    let (count, rest) = rest.split_at_checked(4)?;
    let (salt, hash) = rest.split_at_checked(4)?;
    let mut rounds = 0;
    for letter in count.iter().rev() {
        rounds = rounds * 64 + value(*letter)?;
    }
    (salt.iter().all(is_letter) && is_des_hash(hash))
        .then(|| Layout::new(Scheme::BsdiCrypt, 5, rounds * 150 + 5_000))
}

/// Two letters of salt and eleven of hash. Stricter than libxcrypt: bigcrypt's longer ones are not taken.
fn des(stored: &[u8]) -> Option<Layout> {
    let (salt, hash) = stored.split_at_checked(2)?;
    (salt.iter().all(is_letter) && is_des_hash(hash))
        .then(|| Layout::new(Scheme::DesCrypt, 0, 6_000))
}

fn until_dollar(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'$')?;
    let (before, behind) = text.split_at_checked(at)?;
    Some((before, behind.get(1..)?))
}

/// crypt(5): printable, no space, none of the characters that delimit or mark in passwd(5).
fn is_salt_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'$' | b':' | b';' | b'*' | b'!' | b'\\')
}

/// `./0-9A-Za-z`.
fn is_letter(byte: &u8) -> bool {
    value(*byte).is_some()
}

/// The value of a letter in crypt(3)'s usual order.
fn value(letter: u8) -> Option<u64> {
    match letter {
        b'.' | b'/' | b'0'..=b'9' => Some(u64::from(letter - b'.')),
        b'A'..=b'Z' => Some(u64::from(letter - b'A') + 12),
        b'a'..=b'z' => Some(u64::from(letter - b'a') + 38),
        _ => None,
    }
}

/// Exactly `len` letters, the last at most `last`: what is left of the final byte fills only some of its bits.
fn is_hash(hash: &[u8], len: usize, last: u8) -> bool {
    hash.len() == len
        && hash.iter().all(is_letter)
        && hash.last().and_then(|letter| value(*letter)) <= value(last)
}

/// Eleven letters for 64 bits, the last with two bits to spare at its low end.
fn is_des_hash(hash: &[u8]) -> bool {
    hash.len() == 11
        && hash.iter().all(is_letter)
        && hash.last().and_then(|letter| value(*letter)).is_some_and(|last| last % 4 == 0)
}
