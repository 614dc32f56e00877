//! Clocks and the host's name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, sleep included; survives a restart of the process, not of the host.
pub fn boot_nanoseconds() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Nanoseconds of CLOCK_MONOTONIC, the clock that sd_notify(3) wants with RELOADING=1.
pub fn monotonic_nanoseconds() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Both clocks exist on every kernel that Rust's std runs on, and both count up from zero.
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds since 1970 UTC; 0 on a host whose clock stands before that.
pub fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The name that the kernel has for this host, `localhost` when it has none that is UTF-8.
pub fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_is_the_kernels() {
        let before = boot_nanoseconds();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let after = boot_nanoseconds();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        // /proc/uptime is cut to hundredths.
        assert!((before as f64 / 1e9 - 0.02..=after as f64 / 1e9).contains(&seconds));
        assert!(monotonic_nanoseconds() <= boot_nanoseconds());
        assert!(wall_seconds() > 1_700_000_000);
    }

    #[test]
    fn the_host_has_its_name() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(hostname(), kernel.trim());
    }
}
