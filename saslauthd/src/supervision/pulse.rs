//! When a child is started, asked for a sign of life, given up, and started again.
//!
//! Pure: time is an argument. A child that served for a while is replaced at once; one that ends again and
//! again waits longer each time, so that a fault costs the host little.

use std::time::{Duration, Instant};

/// A sign of life is asked for this often.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Without one for so long the child is taken for stuck.
const SILENCE: Duration = Duration::from_secs(10);
/// From the start until the child must be ready.
const START: Duration = Duration::from_secs(30);
/// A child that served so long did not fail at its start.
const SERVED: Duration = Duration::from_secs(1);
/// The second restart in a row waits so long, each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// But never longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What is to be done with a child now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Start it.
    Start,
    /// Ask for a sign of life.
    Ping,
    /// It is stuck: end it.
    Kill,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Down { until: Instant },
    Starting { since: Instant },
    Up { since: Instant, heard: Instant, ping: Instant },
    Ending { served: Duration },
}

/// The life of one child, over all its restarts.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    state: State,
    quick_ends: u32,
}

impl Pulse {
    /// A child that is to be started now.
    pub fn new(now: Instant) -> Self {
        Self { state: State::Down { until: now }, quick_ends: 0 }
    }

    /// What is to be done now. Asking for [`Due::Ping`] and [`Due::Kill`] counts as having done it.
    pub fn due(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Down { until } if now >= *until => Due::Start,
            State::Starting { since } if now >= *since + START => {
                self.ending_after(now);
                Due::Kill
            }
            State::Up { heard, .. } if now >= *heard + SILENCE => {
                self.ending_after(now);
                Due::Kill
            }
            State::Up { ping, .. } if now >= *ping => {
                *ping = now + PING_EVERY;
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }

    /// When [`Self::due`] will have something to say if nothing happens before; `None` for never.
    pub fn next(&self) -> Option<Instant> {
        match self.state {
            State::Down { until } => Some(until),
            State::Starting { since } => Some(since + START),
            State::Up { heard, ping, .. } => Some(ping.min(heard + SILENCE)),
            State::Ending { .. } => None,
        }
    }

    /// The process runs.
    pub fn started(&mut self, now: Instant) {
        self.state = State::Starting { since: now };
    }

    /// It serves.
    pub fn ready(&mut self, now: Instant) {
        self.state = State::Up { since: now, heard: now, ping: now + PING_EVERY };
    }

    /// It gave a sign of life.
    pub fn heard(&mut self, now: Instant) {
        if let State::Up { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    /// It is being ended; the next thing to happen is [`Self::ended`].
    pub fn ending_after(&mut self, now: Instant) {
        self.state = State::Ending { served: self.served(now) };
    }

    /// It ended, or could not be started. Says how long until the next start.
    pub fn ended(&mut self, now: Instant) -> Duration {
        if self.served(now) >= SERVED {
            self.quick_ends = 0;
        }
        let wait = wait_after(self.quick_ends);
        self.quick_ends = self.quick_ends.saturating_add(1);
        self.state = State::Down { until: now + wait };
        wait
    }

    /// How long it has been ready, or was.
    fn served(&self, now: Instant) -> Duration {
        match self.state {
            State::Up { since, .. } => now.saturating_duration_since(since),
            State::Ending { served } => served,
            State::Down { .. } | State::Starting { .. } => Duration::ZERO,
        }
    }
}

fn wait_after(quick_ends: u32) -> Duration {
    match quick_ends.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
            FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(now: Instant) -> Pulse {
        let mut pulse = Pulse::new(now);
        assert_eq!(pulse.due(now), Due::Start);
        pulse.started(now);
        pulse.ready(now);
        pulse
    }

    #[test]
    fn a_child_that_answers_lives() {
        let start = Instant::now();
        let mut pulse = up(start);
        let mut pings = 0;
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            match pulse.due(now) {
                Due::Ping => {
                    pings += 1;
                    pulse.heard(now);
                }
                due => assert_eq!(due, Due::Nothing, "at {second} s"),
            }
        }
        assert_eq!(pings, 49);
    }

    #[test]
    fn a_silent_child_is_ended_once_after_ten_seconds() {
        let start = Instant::now();
        let mut pulse = up(start);
        let kills: Vec<u64> = (0..60)
            .filter(|second| pulse.due(start + Duration::from_secs(*second)) == Due::Kill)
            .collect();
        assert_eq!(kills, [10]);
        assert_eq!(pulse.next(), None);
    }

    #[test]
    fn a_child_that_never_gets_ready_is_ended() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.started(start);
        assert_eq!(pulse.due(start + START - Duration::from_millis(1)), Due::Nothing);
        assert_eq!(pulse.due(start + START), Due::Kill);
    }

    #[test]
    fn restarts_back_off_and_recover() {
        let mut now = Instant::now();
        let mut pulse = Pulse::new(now);
        let mut again = |served: u64| {
            pulse.started(now);
            pulse.ready(now);
            now += Duration::from_millis(served);
            pulse.ended(now).as_millis()
        };
        let waits: Vec<u128> = (0..11).map(|_| again(500)).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000]);
        for _ in 0..100 {
            again(0);
        }
        assert_eq!(again(0), 30_000);
        assert_eq!(again(1000), 0);
        assert_eq!(again(0), 100);
    }

    #[test]
    fn a_child_that_cannot_be_started_waits() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        pulse.ended(now);
        pulse.ended(now);
        assert_eq!(pulse.due(now), Due::Nothing);
        assert_eq!(pulse.due(now + FIRST_WAIT), Due::Start);
    }

    #[test]
    fn a_child_that_is_being_ended_is_left_alone_and_its_service_counts() {
        let now = Instant::now();
        let mut pulse = up(now);
        pulse.ended(now);
        pulse.started(now);
        pulse.ready(now);
        let later = now + Duration::from_secs(5);
        pulse.ending_after(later);
        assert_eq!(pulse.due(later + Duration::from_secs(100)), Due::Nothing);
        assert_eq!(pulse.ended(later), Duration::ZERO);
    }
}
