//! The head of the limiter's shared words: whose they are, under which key, and what time they count from.
//!
//! Runs in the checker. The words come from the parent, who kept them over a crash or read them from a file: they
//! are data, believed only where magic, layout and check agree. A size or an index is never taken from them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

const MAGIC: u64 = u64::from_le_bytes(*b"SASLLIM1");

// Places in the header.
const AT_MAGIC: usize = 0;
const AT_LAYOUT: usize = 1;
const AT_KEY: usize = 2;
const AT_OFFSET: usize = 4;
const AT_BOOT: usize = 5;
const AT_CHECK: usize = 6;
/// Limiter time when the words were last touched, and the wall clock then: not covered by the check, because
/// they change all the time.
const AT_LAST: usize = 7;
const AT_WALL: usize = 8;

/// Beyond this a stored time is damage: 36 years in nanoseconds.
const LATEST: u64 = 1 << 60;

/// What the clocks say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Nanoseconds since boot.
    pub(crate) boot_ns: u64,
    /// Seconds since 1970.
    pub(crate) wall_s: u64,
    /// A number for this boot of the host.
    pub(crate) boot: u64,
}

/// What became of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// They were all zero.
    Fresh,
    /// They were ours and go on.
    Kept,
    /// They were from an earlier boot and go on, counting the time between by the wall clock.
    Carried,
    /// They were damaged or of another layout, and were cleared.
    Cleared,
}

/// The header of words that are ours.
#[derive(Clone, Copy)]
pub(super) struct Header {
    words: &'static [AtomicU64],
    offset: u64,
}

impl Header {
    /// Checks or writes the header. `None` when there are too few words for one.
    pub(super) fn open(
        words: &'static [AtomicU64],
        layout: u64,
        reading: Reading,
        fresh_key: [u64; 2],
    ) -> Option<(Self, Found)> {
        words.get(AT_WALL)?;
        let header = Self { words, offset: load(words, AT_OFFSET) };
        if load(words, AT_MAGIC) == 0 && load(words, AT_CHECK) == 0 {
            return Some((Self::begin(words, layout, reading, fresh_key), Found::Fresh));
        }
        let last = load(words, AT_LAST);
        let ours = load(words, AT_MAGIC) == MAGIC
            && load(words, AT_LAYOUT) == layout
            && load(words, AT_CHECK) == check(words)
            && last < LATEST;
        if !ours {
            words.iter().for_each(|word| word.store(0, Relaxed));
            return Some((Self::begin(words, layout, reading, fresh_key), Found::Cleared));
        }
        if load(words, AT_BOOT) == reading.boot {
            return Some((header, Found::Kept));
        }
        let away = reading.wall_s.saturating_sub(load(words, AT_WALL));
        let resumed = last.saturating_add(away.saturating_mul(1_000_000_000)).min(LATEST);
        let header = Self { words, offset: resumed.wrapping_sub(reading.boot_ns) };
        store(words, AT_OFFSET, header.offset);
        store(words, AT_BOOT, reading.boot);
        store(words, AT_CHECK, check(words));
        Some((header, Found::Carried))
    }

    fn begin(
        words: &'static [AtomicU64],
        layout: u64,
        reading: Reading,
        [first, second]: [u64; 2],
    ) -> Self {
        store(words, AT_MAGIC, MAGIC);
        store(words, AT_LAYOUT, layout);
        store(words, AT_KEY, first);
        store(words, AT_KEY + 1, second);
        store(words, AT_OFFSET, 0);
        store(words, AT_BOOT, reading.boot);
        store(words, AT_LAST, reading.boot_ns);
        store(words, AT_WALL, reading.wall_s);
        store(words, AT_CHECK, check(words));
        Self { words, offset: 0 }
    }

    /// The key of all tags in the tables.
    pub(super) fn key(self) -> (u64, u64) {
        (load(self.words, AT_KEY), load(self.words, AT_KEY + 1))
    }

    /// Limiter time: nanoseconds that go on over restarts of the checker and of the host.
    pub(super) fn time(self, boot_ns: u64) -> u64 {
        boot_ns.wrapping_add(self.offset).min(LATEST)
    }

    /// Notes both clocks, so that the next boot knows how long the host was away.
    pub(super) fn touch(self, boot_ns: u64, wall_s: u64) {
        store(self.words, AT_LAST, self.time(boot_ns));
        store(self.words, AT_WALL, wall_s);
    }
}

fn load(words: &[AtomicU64], place: usize) -> u64 {
    words.get(place).map_or(0, |word| word.load(Relaxed))
}

fn store(words: &[AtomicU64], place: usize, value: u64) {
    if let Some(word) = words.get(place) {
        word.store(value, Relaxed);
    }
}

/// A checksum against damage, not against an attacker: who can write here has the checker already.
fn check(words: &[AtomicU64]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(MAGIC, 0);
    (AT_MAGIC..AT_CHECK).for_each(|place| hasher.write_u64(load(words, place)));
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Reading = Reading { boot_ns: 50_000_000_000, wall_s: 1_700_000_000, boot: 7 };

    fn words() -> &'static [AtomicU64] {
        Vec::leak((0..64).map(|_| AtomicU64::new(0)).collect())
    }

    #[test]
    fn the_key_outlives_a_checker() {
        let words = words();
        let (first, found) = Header::open(words, 3, NOW, [1, 2]).unwrap();
        assert_eq!((found, first.key()), (Found::Fresh, (1, 2)));
        let later = Reading { boot_ns: 60_000_000_000, ..NOW };
        let (second, found) = Header::open(words, 3, later, [8, 9]).unwrap();
        assert_eq!((found, second.key()), (Found::Kept, (1, 2)));
        assert_eq!(second.time(later.boot_ns), 60_000_000_000);
    }

    #[test]
    fn time_goes_on_over_a_boot() {
        let words = words();
        let (first, _) = Header::open(words, 3, NOW, [1, 2]).unwrap();
        first.touch(NOW.boot_ns, NOW.wall_s);
        let after = Reading { boot_ns: 4_000_000_000, wall_s: NOW.wall_s + 30, boot: 8 };
        let (second, found) = Header::open(words, 3, after, [8, 9]).unwrap();
        assert_eq!((found, second.key()), (Found::Carried, (1, 2)));
        assert_eq!(second.time(after.boot_ns), 80_000_000_000);
        // The next checker of the same boot keeps that count.
        let (third, found) = Header::open(words, 3, after, [8, 9]).unwrap();
        assert_eq!((found, third.time(after.boot_ns)), (Found::Kept, 80_000_000_000));
        // A wall clock that stands before the last one lets no time pass.
        third.touch(after.boot_ns, after.wall_s);
        let back = Reading { boot_ns: 1, wall_s: 5, boot: 9 };
        let (fourth, _) = Header::open(words, 3, back, [8, 9]).unwrap();
        assert_eq!(fourth.time(1), 80_000_000_000);
    }

    #[test]
    fn c10_any_flipped_bit_of_the_header_clears_or_is_harmless() {
        for place in 0..9 {
            for bit in 0..64 {
                let words = words();
                Header::open(words, 3, NOW, [1, 2]).unwrap();
                words[40].store(99, Relaxed);
                words[place].fetch_xor(1 << bit, Relaxed);
                let (header, found) = Header::open(words, 3, NOW, [8, 9]).unwrap();
                if place < AT_LAST {
                    assert_eq!((found, header.key()), (Found::Cleared, (8, 9)), "{place} {bit}");
                    assert_eq!(words[40].load(Relaxed), 0);
                }
                assert!(header.time(NOW.boot_ns) <= LATEST);
            }
        }
    }

    #[test]
    fn another_layout_clears() {
        let words = words();
        Header::open(words, 3, NOW, [1, 2]).unwrap();
        assert_eq!(Header::open(words, 4, NOW, [8, 9]).unwrap().1, Found::Cleared);
        assert!(Header::open(Vec::leak(Vec::new()), 3, NOW, [1, 2]).is_none());
    }
}
