//! The one error type of this crate: what was being done, to what, and what to do about it.
//!
//! Calls on the hot path (accept, send, receive) return `io::Error` instead, because their callers
//! match on its kind.

use std::io;
use std::path::{Path, PathBuf};

/// Why something asked of the kernel, or of a path, was not done.
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// The kernel refused. `doing` names the step.
    System {
        /// What was being done, such as `set the supplementary groups`.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused something about one path.
    Path {
        /// What was being done, such as `open the directory`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file or directory is not what it must be, such as writable by others; `why` says what to change.
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it and how to mend it.
        why: String,
    },
    /// Another process answers on this socket. Callers exit 75 (try again later).
    InUse {
        /// The socket that answered.
        path: PathBuf,
    },
    /// Another process holds this pid file. Callers exit 75.
    AlreadyRunning {
        /// The pid file.
        path: PathBuf,
        /// The holder, when the file told.
        pid: Option<i32>,
    },
    /// A protection that was asked for, or announced by the kernel, did not take effect. Always fatal.
    NotConfined(String),
    /// What was handed over at start (descriptor, environment, table) is not what was announced.
    HandedOver(String),
    /// What an administrator asked for was not done; says why.
    NotDone(String),
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps a refusal of the kernel.
    pub fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }

    /// The same for the errno type of nix.
    pub(crate) fn errno(doing: &'static str) -> impl FnOnce(nix::errno::Errno) -> Self {
        move |errno| Self::System { doing, source: errno.into() }
    }

    /// Wraps a refusal that concerns one path.
    pub(crate) fn path(doing: &'static str, path: &Path) -> impl FnOnce(nix::errno::Errno) -> Self {
        move |errno| Self::Path { doing, path: path.to_owned(), source: errno.into() }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System { doing, source } => write!(out, "cannot {doing}: {source}"),
            Self::Path { doing, path, source } => {
                write!(out, "cannot {doing} {}: {source}", path.display())
            }
            Self::Unsafe { path, why } => write!(out, "{}: {why}", path.display()),
            Self::InUse { path } => write!(
                out,
                "{}: another process answers on this socket; stop it first or choose another path",
                path.display()
            ),
            Self::AlreadyRunning { path, pid: Some(pid) } => {
                write!(out, "{}: already running with process id {pid}", path.display())
            }
            Self::AlreadyRunning { path, pid: None } => {
                write!(out, "{}: already running", path.display())
            }
            Self::NotConfined(why) => write!(out, "confinement failed: {why}"),
            Self::HandedOver(why) => write!(out, "handed over at start: {why}"),
            Self::NotDone(why) => out.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } | Self::Path { source, .. } => Some(source),
            _ => None,
        }
    }
}
