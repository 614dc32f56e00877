//! What the house says of itself: for the log at start, and for `mailauth status`.

use serde::{Deserialize, Serialize};

/// How far a process is confined, as it found out when it confined itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Landlock, such as `abi 6, fully enforced` or `not available: kernel too old`.
    pub landlock: String,
    /// Seccomp, such as `allow-list of 31 calls`.
    pub seccomp: String,
    /// Effective capabilities, in hexadecimal as in /proc/PID/status.
    pub capabilities: String,
    /// What is missing, one line each; empty when everything was reached.
    pub missing: Vec<String>,
}

/// One process of the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `saslauthd`, `saslauthd-listener` or `saslauthd-checker`.
    pub name: String,
    /// Its process id.
    pub pid: i32,
    /// How often it was started again since the house stands.
    pub restarts: u32,
    /// How far it is confined; `None` for the parent.
    pub confinement: Option<Confinement>,
}

/// The whole house, as the parent knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct House {
    /// Version and commit of the parent.
    pub version: String,
    /// When the parent started, in seconds since 1970.
    pub started: u64,
    /// The configuration file, or `built-in defaults`.
    pub config: String,
    /// The processes, the parent first.
    pub processes: Vec<Process>,
    /// The sockets served, as `mux /run/saslauthd/mux`.
    pub sockets: Vec<String>,
    /// What an operator should know, one line each.
    pub warnings: Vec<String>,
}
