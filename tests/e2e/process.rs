//! What `/proc` tells of a process of the daemon: time, memory, descriptors.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) i32);

/// The clock of `/proc/PID/stat`, USER_HZ, is this on every architecture that Debian has.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// The file name of what it executes.
    pub(crate) fn executable(self) -> String {
        let exe = fs::read_link(self.path("exe")).unwrap_or_default();
        let name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A build that goes on beside the test replaces files of running programs.
        name.trim_end_matches(" (deleted)").to_owned()
    }

    /// A file of its directory in `/proc`.
    pub(crate) fn path(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0)
    }

    /// A field of its status, as `VmRSS`; empty when it is gone.
    pub(crate) fn status(self, field: &str) -> String {
        let text = fs::read_to_string(self.path("status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(self) -> u64 {
        let text = self.status("VmRSS");
        text.trim_end_matches(" kB").parse().expect("a figure of VmRSS")
    }

    /// The most resident memory that it ever had, in KiB.
    pub(crate) fn peak_kib(self) -> u64 {
        let text = self.status("VmHWM");
        text.trim_end_matches(" kB").parse().expect("a figure of VmHWM")
    }

    /// Processor time spent so far.
    pub(crate) fn spent(self) -> Duration {
        let text = fs::read_to_string(self.path("stat")).expect("a living process");
        // The second field is a name in parentheses and may hold spaces.
        let (_, rest) = text.rsplit_once(')').expect("a name in parentheses");
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u32>().expect("ticks");
        (ticks(11) + ticks(12)) * TICK
    }

    /// What its descriptors refer to, by number.
    pub(crate) fn descriptors(self) -> Vec<(i32, String)> {
        let Ok(entries) = fs::read_dir(self.path("fd")) else { return Vec::new() };
        let mut all: Vec<(i32, String)> = entries
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_string_lossy().parse().ok()?;
                let target = fs::read_link(entry.path()).ok()?;
                Some((number, target.to_string_lossy().into_owned()))
            })
            .collect();
        all.sort();
        all
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn lives(self) -> bool {
        let state = self.status("State");
        !state.is_empty() && !state.starts_with('Z')
    }

    /// Sends it a signal.
    pub(crate) fn signal(self, signal: Signal) {
        kill(Pid::from_raw(self.0), signal).expect("a living process");
    }

    /// How often `needle` stands in its memory, and in which mappings. Needs root.
    pub(crate) fn find_in_memory(self, needle: &[u8]) -> Vec<String> {
        let maps = fs::read_to_string(self.path("maps")).expect("root may read maps");
        let mut memory = fs::File::open(self.path("mem")).expect("root may read memory");
        let mut found = Vec::new();
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            if !rights.starts_with("rw") {
                continue;
            }
            let (start, end) = range.split_once('-').expect("a range");
            let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
            let mut bytes = Vec::new();
            memory.seek(SeekFrom::Start(start)).expect("an address");
            // What can't be read (guard pages, a mapping that went) holds no secret.
            let _ = Read::by_ref(&mut memory).take(end - start).read_to_end(&mut bytes);
            let hits = bytes.windows(needle.len()).filter(|window| *window == needle).count();
            if hits > 0 {
                found.push(format!("{hits} times in {line}"));
            }
        }
        found
    }
}
