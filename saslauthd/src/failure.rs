//! Why the daemon does not start, and the exit code that says so.
//!
//! Runs in the parent. The codes are Cyrus's where it has one, and sysexits.h's otherwise.

use crate::config::complaint::Report;

/// A wrong command line (EX_USAGE). Cyrus exits 0.
pub const USAGE: u8 = 64;
/// Another instance holds the pid file, as in Cyrus.
const RUNNING: u8 = 2;
/// Another program answers on a socket (EX_TEMPFAIL).
const IN_USE: u8 = 75;
/// A configuration with errors (EX_CONFIG).
const CONFIG: u8 = 78;

/// What to tell the administrator before exiting.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One or more whole lines.
    pub text: String,
}

impl Failure {
    /// Anything that has no code of its own.
    pub fn new(text: impl std::fmt::Display) -> Self {
        Self { code: 1, text: format!("saslauthd: {text}\n") }
    }

    /// A wrong command line.
    pub fn usage(text: impl std::fmt::Display) -> Self {
        Self { code: USAGE, text: format!("saslauthd: {text}\n") }
    }
}

impl From<sys::Error> for Failure {
    fn from(error: sys::Error) -> Self {
        match error {
            // Cyrus's sentence, which scripts look for.
            sys::Error::AlreadyRunning { .. } => Self {
                code: RUNNING,
                text: format!(
                    "saslauthd: Another instance of saslauthd is currently running ({error})\n"
                ),
            },
            sys::Error::InUse { .. } => Self { code: IN_USE, ..Self::new(error) },
            _ => Self::new(error),
        }
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self { code: CONFIG, text: report.to_string() }
    }
}
