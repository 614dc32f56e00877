//! When a message is tried again, when its sender hears of it, and when it comes back.
//!
//! Runs in the sender. Nothing here reads a clock or draws a number. A message's age is the time that this house has
//! watched it, on a clock that no administrator and no time server sets: a clock that jumps by years sends no mail back.

use std::time::Duration;

use crate::config::Delivery;

/// A number drawn evenly from 0 to 1, for spreading: mail that failed together isn't tried together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn(f64);

impl Drawn {
    /// Of two random bytes.
    pub fn new(random: u16) -> Self {
        Self(f64::from(random) / f64::from(u16::MAX))
    }
}

/// How long a message waits after so many failed attempts: 10% more or less than the settings say.
///
/// `failures` counts from 1. Without any wait in the settings it is a quarter of an hour.
pub fn wait(delivery: &Delivery, failures: u32, drawn: Drawn) -> Duration {
    const UNTOLD: Duration = Duration::from_secs(900);
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = delivery.retry.get(index).or(delivery.retry.last()).copied().unwrap_or(UNTOLD);
    spread(wait.max(Duration::from_millis(100)), drawn)
}

/// How long a next hop that could not be reached is left alone, after so many such attempts in a row.
///
/// Half a minute at first, twice as long each time, and never longer than an eighth of an hour: mail for a host that is
/// back should not wait for a look at it. Nor longer than the first wait of a message.
pub fn pause(delivery: &Delivery, failures: u32, drawn: Drawn) -> Duration {
    const FIRST: Duration = Duration::from_secs(30);
    const LONGEST: Duration = Duration::from_secs(450);
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let first = delivery.retry.first().copied().unwrap_or(LONGEST);
    spread(doubled.min(LONGEST).min(first).max(Duration::from_millis(100)), drawn)
}

fn spread(wait: Duration, drawn: Drawn) -> Duration {
    wait.mul_f64(0.9 + 0.2 * drawn.0)
}

/// What a message's age means for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Nothing yet.
    Kept,
    /// It takes longer than usual: say so once.
    Worn,
    /// It comes back.
    Ended,
}

/// Judges a message by how long it has been watched.
pub fn patience(delivery: &Delivery, age: Duration) -> Patience {
    if age >= delivery.give_up_after {
        Patience::Ended
    } else if age >= delivery.warn_after {
        Patience::Worn
    } else {
        Patience::Kept
    }
}

/// How long a message has been watched: what its state says of earlier times, and what passed since.
///
/// The time between two runs of the sender is believed to be what the wall clock says of it, but only up to `most`: the
/// longest wait that the settings know. A clock that jumped while nobody watched is worth no more than one attempt.
pub fn watched(before: Duration, noted: u64, now: u64, most: Duration) -> Duration {
    before.saturating_add(Duration::from_secs(now.saturating_sub(noted)).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FallBack, OwnAddresses};

    const HOUR: Duration = Duration::from_secs(3600);

    fn delivery(retry: &[u64]) -> Delivery {
        Delivery {
            smarthost: None,
            retry: retry.iter().copied().map(Duration::from_secs).collect(),
            warn_after: 4 * HOUR,
            give_up_after: 120 * HOUR,
            connections: 10,
            connections_per_destination: 2,
            clear_after_failed_handshake: FallBack::Never,
            own_addresses: OwnAddresses::Refused,
            name_servers: Vec::new(),
            port: 25,
        }
    }

    #[test]
    fn waits_follow_the_settings_and_spread_by_a_tenth() {
        let delivery = delivery(&[100, 1000]);
        let wait = |failures, random| wait(&delivery, failures, Drawn::new(random)).as_millis();
        assert_eq!(wait(1, 0), 90_000);
        assert_eq!(wait(1, u16::MAX), 110_000);
        assert_eq!(wait(2, 0), 900_000);
        assert_eq!(wait(77, 0), 900_000, "the last one repeats");
        assert_eq!(wait(0, 0), 90_000);
    }

    #[test]
    fn a_silent_hop_is_left_alone_ever_longer_up_to_a_limit() {
        let delivery = delivery(&[3600]);
        let pause = |failures| pause(&delivery, failures, Drawn::new(u16::MAX / 2)).as_secs();
        assert_eq!([pause(1), pause(2), pause(4), pause(5), pause(400)], [29, 59, 239, 449, 449]);
    }

    #[test]
    fn no_wait_is_so_short_that_it_spins() {
        let delivery = delivery(&[0]);
        assert!(wait(&delivery, 1, Drawn::new(0)) >= Duration::from_millis(90));
        assert!(pause(&delivery, 1, Drawn::new(0)) >= Duration::from_millis(90));
    }

    #[test]
    fn patience_ends_by_age() {
        let delivery = delivery(&[60]);
        assert_eq!(patience(&delivery, HOUR), Patience::Kept);
        assert_eq!(patience(&delivery, 4 * HOUR), Patience::Worn);
        assert_eq!(patience(&delivery, 120 * HOUR), Patience::Ended);
    }

    #[test]
    fn a_clock_that_jumps_makes_no_message_old() {
        let decade = 10 * 365 * 86_400;
        assert_eq!(watched(HOUR, 1_000_000, 1_000_000 + decade, HOUR), 2 * HOUR);
        assert_eq!(watched(HOUR, 1_000_000, 1_000_000 - 86_400, HOUR), HOUR);
        assert_eq!(watched(HOUR, 1_000_000, 1_000_060, HOUR), HOUR + Duration::from_secs(60));
    }
}
