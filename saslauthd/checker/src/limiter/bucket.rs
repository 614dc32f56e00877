//! One class of limit: GCRA by governor over a bounded table, with the looking and giving back that governor lacks.
//!
//! Runs in the checker. Rates come from the config; they are bounded here so that no sum of theirs overflows.

use std::ops::Add;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use ipc::config::Rate;

use super::table::{Now, Table};

/// No bucket takes longer than this to refill, in nanoseconds: about two years.
const LONGEST: u64 = 1 << 56;

/// A point of the limiter's time, for governor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.as_u64()))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, span: Nanos) -> Self {
        Self(self.0.checked_sub(span.as_u64()).unwrap_or(self.0))
    }
}

impl Clock for Now {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.value())
    }
}

/// Nanoseconds that one token takes to come back, and how many there are; `None` for a class that is off.
pub(super) fn quota(rate: Rate) -> Option<(u64, u32)> {
    if rate.burst == 0 || rate.count == 0 || rate.seconds == 0 {
        return None;
    }
    let step = u64::from(rate.seconds) * 1_000_000_000 / u64::from(rate.count);
    let step = step.clamp(1, LONGEST);
    let most = u32::try_from(LONGEST / step).unwrap_or(u32::MAX);
    Some((step, rate.burst.min(most).max(1)))
}

/// The longest time that a row of this rate can be ahead.
pub(super) fn longest(rate: Rate) -> u64 {
    quota(rate).map_or(0, |(step, burst)| step * u64::from(burst))
}

/// One class.
pub(super) struct Bucket {
    limiter: RateLimiter<u64, Table, Now, NoOpMiddleware<Moment>>,
    table: Table,
    step: u64,
    burst: u32,
}

impl Bucket {
    /// `None` for a class that is off.
    pub(super) fn new(rate: Rate, table: Table) -> Option<Self> {
        let (step, burst) = quota(rate)?;
        let quota = Quota::with_period(Duration::from_nanos(step))?
            .allow_burst(std::num::NonZeroU32::new(burst)?);
        // The clock stands at zero while the limiter is made, so that governor counts from zero and the times in
        // the table mean the same in every process.
        let clock = table.clock();
        let time = clock.value();
        clock.set(0);
        let limiter = RateLimiter::new(quota, table.clone(), clock.clone());
        clock.set(time);
        Some(Self { limiter, table, step, burst })
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, key: u64) -> bool {
        self.limiter.check_key(&key).is_ok()
    }

    /// Whether there is a token.
    pub(super) fn has(&self, key: u64) -> bool {
        self.left(key) > 0
    }

    /// Whether no token is taken.
    pub(super) fn is_full(&self, key: u64) -> bool {
        self.left(key) == self.burst
    }

    /// Tokens left.
    pub(super) fn left(&self, key: u64) -> u32 {
        let Some(time) = self.table.time(key, key) else { return self.burst };
        let ahead = time.saturating_sub(self.table.now());
        let taken = u32::try_from(ahead.div_ceil(self.step)).unwrap_or(u32::MAX);
        self.burst.saturating_sub(taken)
    }

    /// Gives a taken token back.
    pub(super) fn give_back(&self, key: u64) {
        self.table.lower(key, key, self.step);
    }

    /// Makes the bucket full.
    pub(super) fn fill(&self, key: u64) {
        self.table.free(key, |tag| tag == key);
    }

    /// The rows behind it.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use proptest::prelude::*;

    use super::*;

    fn bucket(rate: Rate) -> (Bucket, Now) {
        let now = Now::default();
        now.set(7);
        let words = Vec::leak((0..128).map(|_| AtomicU64::new(0)).collect());
        let table = Table::new(words, longest(rate), now.clone());
        (Bucket::new(rate, table).unwrap(), now)
    }

    #[test]
    fn burst_then_rate() {
        let (bucket, now) = bucket(Rate { burst: 5, count: 1, seconds: 60 });
        assert_eq!((0..9).filter(|_| bucket.take(1)).count(), 5);
        assert_eq!(bucket.left(1), 0);
        now.set(7 + 60_000_000_000);
        assert!(bucket.has(1) && bucket.take(1) && !bucket.take(1));
        assert!(bucket.take(2), "another key has its own");
        bucket.give_back(1);
        assert!(bucket.take(1) && !bucket.take(1));
        bucket.fill(1);
        assert_eq!(bucket.left(1), 5);
    }

    #[test]
    fn a_class_with_a_zero_is_off() {
        for rate in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
            assert!(quota(Rate { burst: rate.0, count: rate.1, seconds: rate.2 }).is_none());
        }
    }

    /// What to do, and after how many nanoseconds.
    fn steps() -> impl Strategy<Value = Vec<(u8, u64)>> {
        proptest::collection::vec((0u8..4, prop_oneof![Just(0), 0u64..3_000_000_000]), 1..200)
    }

    proptest! {
        #[test]
        fn m9_never_more_than_burst_and_rate_in_any_window(
            burst in 1u32..8, count in 1u32..5, seconds in 1u32..4, steps in steps()
        ) {
            let (bucket, now) = bucket(Rate { burst, count, seconds });
            let step = u64::from(seconds) * 1_000_000_000 / u64::from(count);
            let (mut time, mut taken) = (7, Vec::new());
            for (_, wait) in steps {
                time += wait;
                now.set(time);
                let (left, took) = (bucket.left(9), bucket.take(9));
                prop_assert_eq!(left > 0, took);
                if took { taken.push(time); }
            }
            for (place, start) in taken.iter().enumerate() {
                for (more, end) in taken[place..].iter().enumerate() {
                    prop_assert!((more as u64) < u64::from(burst) + (end - start) / step);
                }
            }
        }

        #[test]
        fn m9_giving_back_only_ever_helps_and_never_beyond_the_burst(steps in steps()) {
            let (bucket, now) = bucket(Rate { burst: 4, count: 1, seconds: 2 });
            let (mut time, mut held) = (7, 0u32);
            for (action, wait) in steps {
                time += wait;
                now.set(time);
                let before = bucket.left(9);
                match action {
                    0 if held > 0 => {
                        bucket.give_back(9);
                        held -= 1;
                        prop_assert!(bucket.left(9) >= before);
                    }
                    _ if bucket.take(9) => {
                        held += 1;
                        prop_assert_eq!(bucket.left(9) + 1, before);
                    }
                    _ => prop_assert_eq!(before, 0),
                }
                prop_assert!(bucket.left(9) <= 4);
            }
        }

        #[test]
        fn m9_no_rate_overflows(burst: u32, count: u32, seconds: u32, time in 0u64..1 << 60) {
            let rate = Rate { burst, count, seconds };
            if quota(rate).is_some() {
                let (bucket, now) = bucket(rate);
                now.set(time);
                prop_assert!(bucket.take(1));
                bucket.left(1);
                bucket.give_back(1);
                prop_assert_eq!(bucket.left(1), quota(rate).unwrap().1);
            }
        }
    }
}
