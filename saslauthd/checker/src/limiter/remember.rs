//! What is remembered of each user for a while: sources that are known good, and digests of wrong passwords.
//!
//! Runs in the checker. Rows hold keyed hashes cut short, so the table names nobody and helps nobody to find a
//! password: of a digest 16 bits are kept, which every 65,536th guess shares.

use std::sync::atomic::Ordering::Relaxed;

use super::table::Table;

/// Rows in a set, which a few users share.
pub(super) const WAYS: usize = 32;

/// A bounded number of things per user, each until a time of its own.
pub(super) struct Remembered {
    table: Table,
    /// The bits of a tag that stand for the thing; the others stand for the user.
    thing: u64,
    most: usize,
    lasting: u64,
}

impl Remembered {
    /// Things of `bits` bits, at most `most` a user, for `lasting` nanoseconds each.
    pub(super) fn new(table: Table, bits: u32, most: usize, lasting: u64) -> Self {
        Self { table, thing: (1u64 << bits) - 1, most, lasting }
    }

    /// Whether the user has this thing now.
    pub(super) fn has(&self, user: u64, thing: u64) -> bool {
        self.table.time(place(user), self.tag(user, thing)).is_some()
    }

    /// How many things the user has now.
    pub(super) fn count(&self, user: u64) -> usize {
        self.of(user).count()
    }

    /// Remembers a thing from now on. The user's oldest goes when there are too many.
    pub(super) fn add(&self, user: u64, thing: u64) {
        let tag = self.tag(user, thing);
        let time = self.table.now().saturating_add(self.lasting);
        if !self.has(user, thing) && self.count(user) >= self.most {
            let oldest = self.of(user).min_by_key(|(_, time)| *time);
            if let Some((oldest, _)) = oldest {
                self.table.free(place(user), |stored| stored == oldest);
            }
        }
        self.table.put(place(user), tag, time);
    }

    /// Forgets one thing.
    pub(super) fn remove(&self, user: u64, thing: u64) {
        let tag = self.tag(user, thing);
        self.table.free(place(user), |stored| stored == tag);
    }

    /// Forgets all things of the user.
    pub(super) fn remove_all(&self, user: u64) {
        self.table.free(place(user), |stored| stored & !self.thing == user & !self.thing);
    }

    /// The rows behind it.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    fn of(&self, user: u64) -> impl Iterator<Item = (u64, u64)> {
        let (owner, now) = (user & !self.thing, self.table.now());
        self.table
            .set(place(user))
            .map(|(tag, time)| (tag.load(Relaxed), time.load(Relaxed)))
            .filter(move |(tag, time)| tag & !self.thing == owner && *time > now)
    }

    fn tag(&self, user: u64, thing: u64) -> u64 {
        (user & !self.thing) | (thing & self.thing)
    }
}

/// The set is chosen by the bits of the user that the tag leaves out.
fn place(user: u64) -> u64 {
    user.rotate_left(48)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::super::table::Now;
    use super::*;

    const ALICE: u64 = 0x1234_5678_9abc_def0;
    const BOB: u64 = 0xfedc_5678_9abc_def0;

    fn remembered(sets: usize) -> (Remembered, Now) {
        let now = Now::default();
        now.set(1000);
        let words = Vec::leak((0..sets * WAYS * 2).map(|_| AtomicU64::new(0)).collect());
        let table = Table::with_ways(words, WAYS, 100, now.clone());
        (Remembered::new(table, 32, 16, 100), now)
    }

    #[test]
    fn a_thing_is_its_users_and_ends() {
        let (remembered, now) = remembered(4);
        remembered.add(ALICE, 7);
        assert!(remembered.has(ALICE, 7));
        assert!(!remembered.has(BOB, 7) && !remembered.has(ALICE, 8));
        now.set(1100);
        assert_eq!((remembered.has(ALICE, 7), remembered.count(ALICE)), (false, 0));
    }

    #[test]
    fn a_user_has_a_bounded_number_and_the_oldest_goes() {
        let (remembered, now) = remembered(1);
        remembered.add(BOB, 1);
        for thing in 0..40 {
            now.set(1001 + thing);
            remembered.add(ALICE, thing);
        }
        assert_eq!(remembered.count(ALICE), 16);
        assert!(!remembered.has(ALICE, 23) && remembered.has(ALICE, 24));
        assert!(remembered.has(BOB, 1), "another user of the set keeps his");
        remembered.remove(ALICE, 39);
        assert!(!remembered.has(ALICE, 39) && remembered.has(ALICE, 38));
        remembered.remove_all(ALICE);
        assert!(remembered.count(ALICE) == 0 && remembered.has(BOB, 1));
    }
}
