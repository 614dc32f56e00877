//! Why the server does not start, and the exit code that says so: sysexits.h's.

use settings::complaint::Report;

/// A wrong command line (EX_USAGE).
pub const USAGE: u8 = 64;
/// Another program has the address or the socket, or another instance runs (EX_TEMPFAIL).
const IN_USE: u8 = 75;
/// A configuration with errors (EX_CONFIG).
pub const CONFIG: u8 = 78;

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
        Self { code: 1, text: format!("mta: {text}\n") }
    }

    /// A wrong command line.
    pub fn usage(text: impl std::fmt::Display) -> Self {
        Self { code: USAGE, ..Self::new(format!("{text}; mta --help lists the options")) }
    }

    /// What the configuration names is missing or unusable.
    pub fn config(text: impl std::fmt::Display) -> Self {
        Self { code: CONFIG, ..Self::new(text) }
    }

    /// Somebody else has what we need.
    pub fn in_use(text: impl std::fmt::Display) -> Self {
        Self { code: IN_USE, ..Self::new(text) }
    }
}

impl From<sys::Error> for Failure {
    fn from(error: sys::Error) -> Self {
        match error {
            sys::Error::AlreadyRunning { .. } | sys::Error::InUse { .. } => Self::in_use(error),
            _ => Self::new(error),
        }
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self { code: CONFIG, text: report.to_string() }
    }
}
