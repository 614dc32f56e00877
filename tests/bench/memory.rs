//! Memory of a daemon: RSS and PSS over all its processes, from /proc.

use std::fmt;
use std::fs;

/// Kibibytes over all processes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in each process.
    rss: u64,
    /// Proportional: a page shared by n processes counts 1/n in each.
    pss: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}/{:.1}", self.rss as f64 / 1024.0, self.pss as f64 / 1024.0)
    }
}

/// Adds up some processes.
pub(crate) fn of(pids: &[i32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.rss += field(&rollup, "Rss:");
        sum.pss += field(&rollup, "Pss:");
    }
    sum
}

fn field(rollup: &str, name: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
