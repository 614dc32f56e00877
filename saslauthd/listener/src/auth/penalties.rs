//! Refusals that are kept back, so that whoever guesses waits and learns nothing from the order of the replies.
//!
//! Each is due after the delay of its socket, a quarter less to a quarter more; all that are due go out together, in
//! random order, twice a second. Counted from the client's last word, so that a slow hash is part of the delay.

use std::rc::Weak;
use std::time::{Duration, Instant};

use protocol::auth::Id;

use super::connection::Connection;

/// How often refusals go out.
pub(crate) const BATCH: Duration = Duration::from_millis(500);
/// Most refusals kept back in all; the next goes out at once.
const MOST: usize = 16_384;

/// One refusal.
pub(crate) struct Penalty {
    due: Instant,
    /// Whom it is for.
    pub(crate) connection: Weak<Connection>,
    /// Which request.
    pub(crate) id: Id,
    /// By what its session knows it again.
    pub(crate) token: u64,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Penalties {
    waiting: Vec<Penalty>,
    tokens: u64,
}

impl Penalties {
    /// Keeps a refusal back; `None` when there is no delay, or no room.
    pub(crate) fn add(
        &mut self,
        connection: Weak<Connection>,
        id: Id,
        since: Instant,
        delay: Duration,
    ) -> Option<u64> {
        if delay.is_zero() || self.waiting.len() >= MOST {
            return None;
        }
        self.tokens += 1;
        let due = since + jittered(delay, random());
        self.waiting.push(Penalty { due, connection, id, token: self.tokens });
        Some(self.tokens)
    }

    /// Takes out all that are due, in random order.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Penalty> {
        let mut due: Vec<Penalty> =
            self.waiting.extract_if(.., |penalty| penalty.due <= now).collect();
        for place in (1..due.len()).rev() {
            let other = usize::try_from(random()).unwrap_or_default() % (place + 1);
            due.swap(place, other);
        }
        due
    }

    /// Whether none is kept back.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Three quarters to five quarters of the delay.
fn jittered(delay: Duration, random: u32) -> Duration {
    let quarter = delay / 4;
    let share = f64::from(random) / f64::from(u32::MAX);
    delay - quarter + (2 * quarter).mul_f64(share)
}

/// Without random bytes from the kernel there is no order to hide; that it fails is unheard of.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_more_than_a_quarter_off() {
        let delay = Duration::from_secs(2);
        assert_eq!(jittered(delay, 0), Duration::from_millis(1500));
        assert_eq!(jittered(delay, u32::MAX), Duration::from_millis(2500));
        assert!(jittered(delay, 1 << 31).abs_diff(delay) < Duration::from_millis(1));
        let longest = jittered(Duration::from_millis(2500), u32::MAX) + BATCH;
        assert!(longest <= Duration::from_secs(4));
    }

    #[test]
    fn refusals_come_when_they_are_due_and_all_of_them() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        let id = |number| Id::new(number).unwrap();
        assert_eq!(penalties.add(Weak::new(), id(1), now, Duration::ZERO), None);
        let delay = Duration::from_secs(2);
        let tokens: Vec<u64> =
            (1..=20).filter_map(|n| penalties.add(Weak::new(), id(n), now, delay)).collect();
        assert_eq!(tokens.len(), 20);
        assert!(penalties.due(now + Duration::from_millis(1499)).is_empty());
        let mut due: Vec<u64> = penalties
            .due(now + Duration::from_millis(2500))
            .into_iter()
            .map(|penalty| penalty.token)
            .collect();
        due.sort_unstable();
        assert_eq!(due, tokens);
        assert!(penalties.is_empty());
    }
}
