//! One class's rows in the shared words: a bounded, set-associative map from a keyed tag to a time.
//!
//! Runs in the checker, on its one thread. Two words a row, tag and theoretical arrival time (TAT). A full set
//! gives up the row with the smallest time, so that of rows that count the hottest stay. Times are clamped when
//! they are read: damage can lock nobody out for longer than the class's longest time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// The limiter's time, shared by all classes: the loop sets it once a batch.
#[derive(Clone, Default)]
pub(super) struct Now(Rc<Cell<u64>>);

impl Now {
    pub(super) fn set(&self, time: u64) {
        self.0.set(time);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.get()
    }
}

/// Rows in a set.
const WAYS: usize = 8;

/// The rows of one class. Clones share them.
#[derive(Clone)]
pub(super) struct Table {
    words: &'static [AtomicU64],
    sets: u64,
    ways: usize,
    longest: u64,
    now: Now,
    evicted: Rc<Cell<u64>>,
}

impl Table {
    /// A table on `words`, whose times are never further ahead than `longest` nanoseconds.
    pub(super) fn new(words: &'static [AtomicU64], longest: u64, now: Now) -> Self {
        Self::with_ways(words, WAYS, longest, now)
    }

    /// The same with `ways` rows in a set. Fewer words than one set hold nothing at all.
    pub(super) fn with_ways(
        words: &'static [AtomicU64],
        ways: usize,
        longest: u64,
        now: Now,
    ) -> Self {
        let sets = words.len().checked_div(2 * ways).unwrap_or(0);
        let sets = u64::try_from(sets).unwrap_or(u64::MAX);
        Self { words, sets, ways, longest, now, evicted: Rc::default() }
    }

    /// The limiter's time.
    pub(super) fn now(&self) -> u64 {
        self.now.value()
    }

    /// What it reads the time from.
    pub(super) fn clock(&self) -> Now {
        self.now.clone()
    }

    /// How often a row that still counted had to go.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.get()
    }

    /// The rows of the set that `place` chooses, tag and time.
    pub(super) fn set(&self, place: u64) -> impl Iterator<Item = (&AtomicU64, &AtomicU64)> + Clone {
        // The upper half of the product spreads any number of sets evenly.
        let set = (u128::from(place) * u128::from(self.sets)) >> 64;
        let start = usize::try_from(set).unwrap_or(0) * self.ways * 2;
        let rows = self.words.get(start..start + self.ways * 2).unwrap_or_default();
        let (rows, _) = rows.as_chunks::<2>();
        rows.iter().map(|[tag, time]| (tag, time))
    }

    /// The time of `tag`, if it has a row and the time is still ahead.
    pub(super) fn time(&self, place: u64, tag: u64) -> Option<u64> {
        let (_, time) = self.set(place).find(|(stored, _)| stored.load(Relaxed) == tag)?;
        self.ahead(time.load(Relaxed))
    }

    /// A stored time within its bounds, if it is still ahead.
    fn ahead(&self, stored: u64) -> Option<u64> {
        let now = self.now();
        let time = stored.min(now.saturating_add(self.longest));
        (time > now).then_some(time)
    }

    /// Gives `tag` this time, in its own row, a free one, or that of the smallest time.
    pub(super) fn put(&self, place: u64, tag: u64, time: u64) {
        let own = self.set(place).find(|(stored, _)| stored.load(Relaxed) == tag);
        let row = own.or_else(|| self.set(place).min_by_key(|(_, time)| time.load(Relaxed)));
        let Some((stored, at)) = row else { return };
        if own.is_none() {
            self.note_eviction(at);
            stored.store(tag, Relaxed);
        }
        at.store(time, Relaxed);
    }

    /// Notes that a row is given to somebody else.
    pub(super) fn note_eviction(&self, time: &AtomicU64) {
        if time.load(Relaxed) > self.now() {
            self.evicted.set(self.evicted.get() + 1);
        }
    }

    /// Takes `amount` off the time of `tag`.
    pub(super) fn lower(&self, place: u64, tag: u64, amount: u64) {
        if let Some((_, time)) = self.set(place).find(|(stored, _)| stored.load(Relaxed) == tag) {
            let clamped = time.load(Relaxed).min(self.now().saturating_add(self.longest));
            time.store(clamped.saturating_sub(amount), Relaxed);
        }
    }

    /// Frees the rows of the set whose tag `which` chooses.
    pub(super) fn free(&self, place: u64, which: impl Fn(u64) -> bool) {
        for (tag, time) in self.set(place).filter(|(tag, _)| which(tag.load(Relaxed))) {
            tag.store(0, Relaxed);
            time.store(0, Relaxed);
        }
    }

    /// Frees the rows whose tag `which` chooses; looks at all of them.
    pub(super) fn free_all(&self, which: impl Fn(u64) -> bool) {
        let (rows, _) = self.words.as_chunks::<2>();
        for [tag, time] in rows.iter().filter(|[tag, _]| which(tag.load(Relaxed))) {
            tag.store(0, Relaxed);
            time.store(0, Relaxed);
        }
    }

    /// Frees every row.
    pub(super) fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Rows, and how many of them count now; looks at all of them.
    pub(super) fn census(&self) -> (usize, usize) {
        let (rows, _) = self.words.as_chunks::<2>();
        let now = self.now();
        (rows.len(), rows.iter().filter(|[_, time]| time.load(Relaxed) > now).count())
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // For the moments of a reload two checkers share the words: a row that the other one just changed is
        // looked at again.
        while let Some((_, at)) = self.set(*key).find(|(tag, _)| tag.load(Relaxed) == *key) {
            let seen = at.load(Relaxed);
            let (outcome, time) = decide(self.ahead(seen).map(Nanos::new))?;
            if at.compare_exchange(seen, time.as_u64(), Relaxed, Relaxed).is_ok() {
                return Ok(outcome);
            }
        }
        let (outcome, time) = decide(None)?;
        self.put(*key, *key, time.as_u64());
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize) -> (Table, Now) {
        let now = Now::default();
        now.set(1000);
        let words = Vec::leak((0..rows * 2).map(|_| AtomicU64::new(0)).collect());
        (Table::new(words, 500, now.clone()), now)
    }

    #[test]
    fn a_row_counts_until_its_time() {
        let (table, now) = table(64);
        table.put(5, 5, 1400);
        assert_eq!(table.time(5, 5), Some(1400));
        assert_eq!(table.time(6, 6), None);
        table.lower(5, 5, 100);
        assert_eq!(table.time(5, 5), Some(1300));
        now.set(1300);
        assert_eq!(table.time(5, 5), None);
        assert_eq!(table.census(), (64, 0));
    }

    #[test]
    fn a_damaged_time_is_clamped() {
        let (table, _) = table(64);
        table.put(5, 5, u64::MAX);
        assert_eq!(table.time(5, 5), Some(1500));
        table.lower(5, 5, 100);
        assert_eq!(table.time(5, 5), Some(1400));
    }

    #[test]
    fn the_hottest_rows_stay() {
        let (table, _) = table(WAYS);
        for tag in 1..=WAYS as u64 {
            table.put(tag, tag, 1400 + tag);
        }
        for tag in 100..10_000 {
            table.put(tag, tag, 1100);
        }
        // The flood took one row, that of the smallest time, and then only its own.
        assert!((2..=WAYS as u64).all(|tag| table.time(tag, tag) == Some(1400 + tag)));
        assert_eq!(table.time(1, 1), None);
        assert!(table.evicted() > 0);
    }

    #[test]
    fn a_table_without_a_whole_set_holds_nothing_and_panics_nowhere() {
        let (table, _) = table(WAYS - 1);
        table.put(1, 1, 1200);
        table.lower(1, 1, 1);
        table.free(1, |_| true);
        assert_eq!(table.time(1, 1), None);
    }
}
