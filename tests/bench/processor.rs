//! Processor time of a server: over all its processes and those that they started and buried, from /proc.

use std::fs;
use std::time::Duration;

/// Linux counts so for programs, whatever its own clock is (USER_HZ).
const TICKS_A_SECOND: f64 = 100.0;

/// What they used since they started. Take it twice, and only the difference means something.
pub(crate) fn of(pids: &[i32]) -> Duration {
    let ticks: u64 = pids.iter().map(|pid| ticks(*pid)).sum();
    Duration::from_secs_f64(ticks as f64 / TICKS_A_SECOND)
}

/// utime, stime, cutime and cstime of proc_pid_stat(5): fields 14 to 17, where the second one may hold anything and ends
/// with the last parenthesis.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    behind_name.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}
