//! What can be wrong with a sasldb, in the operator's words; no value of a record is ever part of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a sasldb could not be read or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no such file.
    Missing(PathBuf),
    /// A file of no bytes: no database in any format, most likely the victim of a full disk.
    Empty(PathBuf),
    /// A directory, FIFO, socket or device.
    NotAFile(PathBuf),
    /// More bytes than are ever loaded.
    TooLarge(PathBuf),
    /// No magic of a known format.
    UnknownFormat(PathBuf),
    /// A known format with a feature that no sasldb has.
    Unsupported(PathBuf, &'static str),
    /// The structure of the file contradicts itself; where, and how.
    Damaged(PathBuf, u64, &'static str),
    /// It changed each time it was read.
    Changing(PathBuf),
    /// The records do not fit the file's format.
    Unfit(PathBuf, &'static str),
    /// The file has further hard links, which a replacement would leave behind with the old secrets.
    HardLinked(PathBuf),
    /// The system refused; what was being done.
    System(PathBuf, &'static str, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "{}: no such file; create it with saslpasswd2 -c", path.display())
            }
            Self::Empty(path) => write!(
                f,
                "{}: the file is empty; restore it, or make a new one with saslpasswd2 -c",
                path.display()
            ),
            Self::NotAFile(path) => write!(f, "{}: not a regular file", path.display()),
            Self::TooLarge(path) => write!(
                f,
                "{}: larger than {} MiB, which is no sasldb",
                path.display(),
                super::file::MAX_BYTES >> 20
            ),
            Self::UnknownFormat(path) => write!(
                f,
                "{}: neither a Berkeley DB hash nor a GDBM nor an LMDB file",
                path.display()
            ),
            Self::Unsupported(path, what) => {
                write!(f, "{}: cannot be read: {what}", path.display())
            }
            Self::Damaged(path, page, what) => write!(
                f,
                "{}: damaged at page {page}: {what}; restore it from a copy",
                path.display()
            ),
            Self::Changing(path) => {
                write!(f, "{}: another program keeps changing it; try again", path.display())
            }
            Self::Unfit(path, what) => write!(f, "{}: cannot be written: {what}", path.display()),
            Self::HardLinked(path) => write!(
                f,
                "{}: has more than one hard link; replace the others by symbolic links first",
                path.display()
            ),
            Self::System(path, doing, error) => {
                write!(f, "{}: cannot {doing}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System(_, _, error) => Some(error),
            _ => None,
        }
    }
}

/// What a format's reader or writer finds, before the path is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No known magic.
    Unknown,
    /// A feature that no sasldb has.
    Unsupported(&'static str),
    /// Page (of GDBM: block) and contradiction.
    Damaged(u64, &'static str),
    /// Records that the format cannot hold.
    Unfit(&'static str),
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Unknown => Error::UnknownFormat(path),
            Self::Unsupported(what) => Error::Unsupported(path, what),
            Self::Damaged(page, what) => Error::Damaged(path, page, what),
            Self::Unfit(what) => Error::Unfit(path, what),
        }
    }
}
