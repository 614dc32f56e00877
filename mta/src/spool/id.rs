//! The name of a message in the spool, in `Received:` and in the log.
//!
//! Made by the receiver, and by the sender for its own reports, without asking each other. The sender takes ids from file
//! names that the receiver chose, and from operators: it trusts only that they are letters and digits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// 16 letters and digits: unique on this host, and in the order of arrival.
///
/// 52 bits of microseconds since 1970, then 28 random ones, five bits a letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; Self::LENGTH]);

/// In ASCII's order, without I, L, O and U, which are misread.
const LETTERS: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS: u32 = 28;

impl Id {
    /// Letters and digits of an id.
    pub const LENGTH: usize = 16;

    /// Takes one from a file's name or an operator's command line.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// Of this moment, in microseconds since 1970, and this noise.
    fn new(microseconds: u64, noise: u32) -> Self {
        let noise = u128::from(noise) & ((1 << RANDOM_BITS) - 1);
        let mut rest = (u128::from(microseconds) << RANDOM_BITS) | noise;
        let mut bytes = [b'0'; Self::LENGTH];
        for place in bytes.iter_mut().rev() {
            *place = LETTERS.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        Self(bytes)
    }

    /// Its letters and digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes ids, each later than the one before, even when the clock is set back.
#[derive(Debug, Default)]
pub(super) struct Ids {
    last: AtomicU64,
}

impl Ids {
    /// The next one, now.
    pub(super) fn next(&self) -> Id {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let noise = getrandom::u32().unwrap_or_default();
        self.at(u64::try_from(since.as_micros()).unwrap_or(u64::MAX), noise)
    }

    fn at(&self, now: u64, noise: u32) -> Id {
        let later = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        Id::new(now.max(last.unwrap_or_default().saturating_add(1)), noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_order_even_when_the_clock_steps_back() {
        let ids = Ids::default();
        let made: Vec<Id> =
            [1_000, 1_000, 999, 5, 2_000].map(|now| ids.at(now, u32::MAX)).into_iter().collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
    }

    #[test]
    fn an_id_is_what_parse_takes() {
        let id = Ids::default().next();
        assert_eq!(Id::parse(id.as_str().as_bytes()), Some(id));
        assert!(Id::new(0, 0) < Id::new(0, 1) && Id::new(0, u32::MAX) < Id::new(1, 0));
        for bad in
            ["", "000000000000000", "00000000000000000", "0000000000000.00", "../0000000000000"]
        {
            assert_eq!(Id::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
