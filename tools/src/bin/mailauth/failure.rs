//! Why a command did not do what it was asked, and the exit status that says so to a script.

use std::fmt;
use std::io;
use std::path::Path;

use accounts::Error;

/// The statuses of sysexits(3) where there is one.
#[derive(Clone, Copy)]
enum Status {
    Failed = 1,
    Usage = 64,
    Unavailable = 69,
    Temporary = 75,
    Permission = 77,
}

/// What is said on standard error, and how the program ends.
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// It cannot be: no such account, a name that is none.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { status: Status::Failed, message: message.into() }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Usage,
            message: format!("{message}; see mailauth --help, or --help after a command"),
        }
    }

    /// The store or the daemon is not there.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { status: Status::Unavailable, message: message.into() }
    }

    /// It may work in a while.
    pub(crate) fn temporary(message: impl Into<String>) -> Self {
        Self { status: Status::Temporary, message: message.into() }
    }

    /// Somebody else may do it.
    pub(crate) fn permission(message: impl Into<String>) -> Self {
        Self { status: Status::Permission, message: message.into() }
    }

    /// What the system says of a file of accounts; `missing` is the next step when there is none.
    pub(crate) fn of_file(path: &Path, error: &io::Error, missing: &str) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::unavailable(format!("{path}: not there; {missing}")),
            io::ErrorKind::PermissionDenied => Self::permission(format!(
                "{path}: permission denied; do it as root or as the file's owner"
            )),
            _ => Self::unavailable(format!("{path}: {error}")),
        }
    }

    /// The exit status.
    pub(crate) fn exit(&self) -> u8 {
        self.status as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(_) => Self::failed(error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

impl From<accounts::Refusal> for Failure {
    fn from(refusal: accounts::Refusal) -> Self {
        Self::failed(refusal.to_string())
    }
}
