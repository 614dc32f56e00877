//! Opens a sasldb, loads it whole, and makes sure that it was one and the same file from first byte to last.
//!
//! Cyrus's programs change pages in place and take no lock, so a reader can meet half a change. The kernel's time
//! stamps give it away: what they say before and after reading must agree, or the file is read again.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::error::Error;
use super::records::Records;

/// The most that is loaded: some half a million users.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// How often a file that changes under the reader is tried, and how long it is left in peace between.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(2);

/// The coarsest step of the kernel's time stamps is 10 ms (`CONFIG_HZ=100`); several, to be sure.
const TICK: Duration = Duration::from_millis(50);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the last change is so near that another one could bear the same time stamp.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        let changed = u64::try_from(self.changed.0)
            .ok()
            .zip(u32::try_from(self.changed.1).ok())
            .and_then(|(seconds, nanos)| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
            });
        let Some(changed) = changed else { return false };
        let distance = now.duration_since(changed).unwrap_or_else(|ahead| ahead.duration());
        distance < TICK
    }
}

/// The present state of the file at `path`.
pub(super) fn identity(path: &Path) -> Result<Identity, Error> {
    let metadata =
        std::fs::metadata(path).map_err(|error| from_system(path, "look at it", error))?;
    Ok(Identity::of(&metadata))
}

/// All records, and the state of the file that they are of.
pub(super) fn read_settled(path: &Path) -> Result<(Records, Identity), Error> {
    let mut attempt = 1;
    loop {
        let (error, worth_another) = match read_once(path) {
            Ok((bytes, identity)) => match super::decode(&bytes, path) {
                Ok(records) => return Ok((records, identity)),
                // Half a change looks like damage, and can do so between two equal time stamps.
                Err(error) => (error, identity.is_fresh(SystemTime::now())),
            },
            Err(error) => {
                let changing = matches!(error, Error::Changing(_));
                (error, changing)
            }
        };
        if attempt == ATTEMPTS || !worth_another {
            return Err(error);
        }
        attempt += 1;
        std::thread::sleep(PAUSE);
    }
}

fn read_once(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Identity), Error> {
    let system = |doing| move |error| from_system(path, doing, error);
    let file = open(path)?;
    let metadata = file.metadata().map_err(system("look at it"))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let before = Identity::of(&metadata);
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    // One byte more than expected, so that growth shows and no reallocation leaves a copy of secrets behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    (&file).take(metadata.len() + 1).read_to_end(&mut bytes).map_err(system("read it"))?;
    let after = Identity::of(&file.metadata().map_err(system("look at it"))?);
    if before != after || bytes.len() != length || identity(path)? != after {
        return Err(Error::Changing(path.to_owned()));
    }
    if bytes.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    Ok((bytes, after))
}

/// Without blocking: a FIFO in the place of the file must not stop the checker.
fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| from_system(path, "open it", error))
}

pub(super) fn from_system(path: &Path, doing: &'static str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        Error::Missing(path.to_owned())
    } else {
        Error::System(path.to_owned(), doing, error)
    }
}
