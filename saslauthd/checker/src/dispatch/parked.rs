//! Refusals, and challenges whose making may have taken a while, that wait until they have taken as long as any other.
//!
//! Runs in the checker. A throttled login, an unknown user of a cheap scheme and a name that can't be one are answered
//! no sooner than a floor plus a delay that is the user's own, so that time tells them apart from nothing.
//! Bounded: when too many wait, the next is answered at once, which tells a flood that it is one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Origin;

/// Most refusals that wait.
const MOST: usize = 20_000;

/// 5 ms, as OpenSSH's sshd has it for failed passwords.
const FLOOR_NS: u64 = 5_000_000;
/// And up to 4 ms, the same for one user each time.
const SPREAD_NS: u64 = 4_000_000;

/// What waits; both of an exchange with its serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// The refusal of a login.
    Login,
    /// The refusal of an exchange.
    Ended(u64),
    /// The challenge that an exchange holds back.
    Challenge(u64),
}

/// What waits, by when it is due.
#[derive(Default)]
pub(super) struct Parked(BinaryHeap<Reverse<(u64, Origin, u64, Form)>>);

/// How long a refusal of this user takes at least; `tag` is secret, and so is what it gives.
pub(super) fn floor_ns(tag: u64) -> u64 {
    FLOOR_NS + tag.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) % SPREAD_NS
}

impl Parked {
    /// Lets something wait; `false` when there is no room.
    pub(super) fn add(&mut self, due_ns: u64, origin: Origin, id: u64, form: Form) -> bool {
        if self.0.len() >= MOST {
            return false;
        }
        self.0.push(Reverse((due_ns, origin, id, form)));
        true
    }

    /// The next one that has waited long enough.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<(Origin, u64, Form)> {
        if self.next()? > now_ns {
            return None;
        }
        self.0.pop().map(|Reverse((_, origin, id, form))| (origin, id, form))
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((due, ..))| *due)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_order_in_which_they_are_due() {
        let mut parked = Parked::default();
        for (due, id) in [(30, 3), (10, 1), (20, 2)] {
            assert!(parked.add(due, Origin(0), id, Form::Login));
        }
        assert_eq!(parked.pop(9), None);
        assert_eq!(parked.pop(25), Some((Origin(0), 1, Form::Login)));
        assert_eq!(parked.pop(25), Some((Origin(0), 2, Form::Login)));
        assert_eq!(parked.pop(25), None);
        assert_eq!(parked.next(), Some(30));
    }

    #[test]
    fn it_is_bounded() {
        let mut parked = Parked::default();
        assert_eq!(
            (0..30_000).filter(|id| parked.add(1, Origin(0), *id, Form::Login)).count(),
            MOST
        );
    }

    #[test]
    fn d1_the_floor_is_the_users_own_and_within_bounds() {
        let floors: std::collections::HashSet<u64> = (1..1000).map(floor_ns).collect();
        assert!(floors.len() > 900);
        assert!(floors.iter().all(|floor| (FLOOR_NS..FLOOR_NS + SPREAD_NS).contains(floor)));
    }
}
