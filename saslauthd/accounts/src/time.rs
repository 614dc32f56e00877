//! The one unit of time in the records of this crate.
//!
//! Used in the checker and in the operator's tools. It reads no clock: the moment is always an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the start of 1970, UTC; what the columns `expires`, `created`, `changed` and `last_used` hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds)
            }
        };
        Self(seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_epoch_is_zero_and_earlier_is_negative() {
        assert_eq!(UnixTime::from(UNIX_EPOCH), UnixTime(0));
        assert_eq!(UnixTime::from(UNIX_EPOCH + Duration::from_secs(86_400)), UnixTime(86_400));
        assert_eq!(UnixTime::from(UNIX_EPOCH - Duration::from_secs(5)), UnixTime(-5));
    }
}
