//! `$y$`, `$gy$` and `$7$`: settings that ask for memory, in a notation of their own.
//!
//! Runs in the checker and in the tools. The parameters are decoded as libxcrypt does, since they decide how much it
//! will allocate.

use super::{Layout, is_hash, is_letter, value};
use crate::scheme::{Cost, Scheme};

/// Nanoseconds of one block of 128 bytes in yescrypt's own mode, and in plain scrypt's.
const YESCRYPT_NANOS: u64 = 200;
const SCRYPT_NANOS: u64 = 280;

/// Hash letters of 32 bytes; the last of them holds four bits.
const HASH: usize = 43;
const LAST: u8 = b'D';

/// libxcrypt wants room for the whole stored hash and another one behind it in its 384 bytes.
const MAX_STORED: usize = 384 - HASH - 2;

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn letter(&mut self) -> Option<u64> {
        let (letter, rest) = self.rest.split_first()?;
        self.rest = rest;
        value(*letter)
    }

    /// Numbers from `least` up: 48 of them in one letter, then 15 × 64 in two, 8 × 64² in three, and so on.
    fn number(&mut self, least: u64) -> Option<u64> {
        let first = self.letter()?;
        let (mut start, mut end, mut bits) = (0, 47, 0_u32);
        let mut number = least;
        while first > end {
            number += (end + 1 - start) << bits;
            start = end + 1;
            end = start + (62 - end) / 2;
            bits += 6;
        }
        number += (first - start) << bits;
        while bits > 0 {
            bits -= 6;
            number += self.letter()? << bits;
        }
        // The original counts in 32 bits and wraps; nothing that large is within any ceiling.
        Some(number).filter(|number| *number <= u64::from(u32::MAX))
    }

    /// Thirty bits in five letters, the lowest first.
    fn fixed(&mut self) -> Option<u64> {
        let mut number = 0;
        for at in 0..5 {
            number |= self.letter()? << (6 * at);
        }
        Some(number)
    }
}

/// N, r, p and t of a setting.
struct Parameters {
    log2: u64,
    r: u64,
    p: u64,
    t: u64,
}

impl Parameters {
    /// 2^N blocks of 128 r bytes, and p more; each visited once or twice.
    fn cost(&self, nanos: u64) -> Cost {
        let blocks = 1_u64.checked_shl(u32::try_from(self.log2).unwrap_or(u32::MAX));
        let blocks = blocks.unwrap_or(u64::MAX);
        let bytes = blocks.saturating_add(self.p).saturating_mul(self.r).saturating_mul(128);
        let visits =
            blocks.saturating_mul(self.r).saturating_mul(self.p).saturating_mul(self.t + 1);
        Cost { micros: visits.saturating_mul(nanos) / 1000 + 1, memory_kib: bytes.div_ceil(1024) }
    }

    /// What the algorithm itself demands, whatever the ceilings.
    fn is_possible(&self) -> bool {
        (2..=63).contains(&self.log2)
            && self.r >= 1
            && self.p >= 1
            && self.r.saturating_mul(self.p) < 1 << 30
    }
}

/// `$y$flavour N r [have …]$salt$hash`. The flavours are plain scrypt, WORM, and the one that crypt_gensalt
/// writes; libxcrypt knows no other, takes no upgrade count (`g`), and is given no ROM.
pub(super) fn yescrypt(stored: &[u8], scheme: Scheme, prefix: usize) -> Option<Layout> {
    let (settings, salt, hash) = split(stored, prefix)?;
    let mut cursor = Cursor { rest: settings };
    let flavour = cursor.number(0)?;
    let (log2, r) = (cursor.number(1)?, cursor.number(1)?);
    let mut parameters = Parameters { log2, r, p: 1, t: 0 };
    if !cursor.rest.is_empty() {
        let have = cursor.number(1)?;
        if have & 1 != 0 {
            parameters.p = cursor.number(2)?;
        }
        if have & 2 != 0 {
            parameters.t = cursor.number(1)?;
        }
        if have > 3 || !cursor.rest.is_empty() {
            return None;
        }
    }
    let nanos = match flavour {
        0 if parameters.t == 0 => SCRYPT_NANOS,
        1 => SCRYPT_NANOS,
        47 if has_room_for_each(&parameters) => YESCRYPT_NANOS,
        _ => return None,
    };
    (parameters.is_possible() && is_whole_salt(salt) && is_hash(hash, HASH, LAST)).then(|| Layout {
        scheme,
        cost: parameters.cost(nanos),
        parameters: prefix + settings.len() + 1,
    })
}

/// Each of the p threads of yescrypt's own mode needs four blocks.
fn has_room_for_each(parameters: &Parameters) -> bool {
    parameters.log2 >= 63 || (1_u64 << parameters.log2) / parameters.p.max(1) > 3
}

/// `$7$N rrrrr ppppp salt$hash`; the salt is text, of letters and dollars, up to the last dollar. Stricter
/// than libxcrypt, which checks no letter that stands behind a dollar of the salt.
pub(super) fn scrypt(stored: &[u8]) -> Option<Layout> {
    let mut cursor = Cursor { rest: stored.get(3..)? };
    let parameters =
        Parameters { log2: cursor.letter()?, r: cursor.fixed()?, p: cursor.fixed()?, t: 0 };
    let at = cursor.rest.iter().rposition(|byte| *byte == b'$')?;
    let (salt, hash) = cursor.rest.split_at_checked(at)?;
    let is_text = salt.iter().all(|byte| is_letter(byte) || *byte == b'$');
    let fits = stored.len() <= MAX_STORED && is_text;
    (fits && parameters.is_possible() && is_hash(hash.get(1..)?, HASH, LAST)).then(|| Layout {
        scheme: Scheme::Scrypt,
        cost: parameters.cost(SCRYPT_NANOS),
        parameters: stored.len() - cursor.rest.len(),
    })
}

fn split(stored: &[u8], prefix: usize) -> Option<(&[u8], &[u8], &[u8])> {
    let mut fields = stored.get(prefix..)?.split(|byte| *byte == b'$');
    let (settings, salt, hash) = (fields.next()?, fields.next()?, fields.next()?);
    (fields.next().is_none() && stored.len() <= MAX_STORED).then_some((settings, salt, hash))
}

/// Up to 64 bytes in groups of three; what a last, shorter group has to spare is zero.
fn is_whole_salt(salt: &[u8]) -> bool {
    let last = salt.last().and_then(|letter| value(*letter));
    let whole = match salt.len() % 4 {
        0 => true,
        2 => last < Some(4),
        3 => last < Some(16),
        _ => false,
    };
    whole && salt.len() <= 86 && salt.iter().all(is_letter)
}
