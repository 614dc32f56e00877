//! Requests that nobody could read: how many of them are told one by one.
//!
//! Runs in the checker. A login costs its client time and tokens of the limiter; bytes that are no request cost it
//! nothing, so that their lines alone could fill a disk.

/// Lines a second; whoever looks for a fault sees it in the first of them.
const MOST: u32 = 200;
const SECOND_NS: u64 = 1_000_000_000;

/// What was told in the last second, and what was not told at all.
#[derive(Default)]
pub(super) struct Unread {
    since_ns: u64,
    told: u32,
    untold: u64,
}

impl Unread {
    /// Whether one more is told by a line of its own.
    pub(super) fn tells(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.since_ns) >= SECOND_NS {
            (self.since_ns, self.told) = (now_ns, 0);
        }
        let tells = self.told < MOST;
        self.told += u32::from(tells);
        self.untold += u64::from(!tells);
        tells
    }

    /// How many were not told, once; 0 as long as they go on coming.
    pub(super) fn take_untold(&mut self, now_ns: u64) -> u64 {
        let is_over = now_ns.saturating_sub(self.since_ns) >= SECOND_NS;
        if is_over { std::mem::take(&mut self.untold) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_part_and_then_counted() {
        let mut unread = Unread::default();
        let start = 5 * SECOND_NS;
        let told = (0..1000).filter(|_| unread.tells(start)).count();
        assert_eq!((told, unread.take_untold(start)), (200, 0));
        assert_eq!(unread.take_untold(start + SECOND_NS), 800);
        assert_eq!(unread.take_untold(start + SECOND_NS), 0);
        assert!(unread.tells(start + SECOND_NS));
    }
}
