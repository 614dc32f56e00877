//! The receiver's end of the spool: a message is on disk when [`Draft::commit`] returns, or it isn't there at all.
//!
//! Write, fsync, rename, fsync the directory; whoever waits at the same moment shares the last step. Runs in the
//! receiver, after confinement too: it needs `incoming/` alone, to make, rename and delete files in it, and never reads
//! one. It trusts the disk with nothing that an fsync didn't confirm.
//!
//! What one step's failure leaves is deleted at once; what a crash leaves is called `ID.new`, and the next
//! [`Incoming::open`] deletes it.

mod draft;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::disk::{self, Directory};
use super::id::{Id, Ids};

pub use draft::Draft;

/// Messages that are written at the same time. More of them make the disk slower, not faster: the rest wait their turn.
const WRITERS: usize = 32;
/// What a file is called before it is whole.
const UNFINISHED: &str = ".new";

/// The directory that messages are appended to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Incoming(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: Directory,
    /// Bytes that are left free.
    reserve: u64,
    /// Messages in the spool, as far as is known.
    kept: AtomicU64,
    /// How many there may be.
    most: AtomicU64,
    ids: Ids,
    writers: Semaphore,
}

/// Why a message isn't kept. Nothing of it is left then.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The disk is full, or as full as it may be, or there are too many messages: 452 4.3.1.
    NoRoom(String),
    /// The disk or the system is out of order: 451 4.3.0.
    Unavailable(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NoRoom(why) | Self::Unavailable(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Refused {}

impl Incoming {
    /// Opens `incoming/` below the spool, before the process is confined. What drafts an earlier receiver left is
    /// deleted: nobody was promised them.
    ///
    /// # Errors
    /// The directory isn't there, isn't ours, or isn't writable.
    pub fn open(spool: &Path, reserve: u64) -> Result<Self, Refused> {
        let path = spool.join("incoming");
        let unusable = |error: io::Error| {
            Refused::Unavailable(format!(
                "{}: {error}; check its owner and its disk",
                path.display()
            ))
        };
        let directory = Directory::open(&path).map_err(unusable)?;
        for name in directory.names().map_err(unusable)? {
            if is_unfinished(&name) {
                directory.remove(&name).map_err(unusable)?;
            }
        }
        Ok(Self(Arc::new(Shared {
            directory,
            reserve,
            kept: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            ids: Ids::default(),
            writers: Semaphore::new(WRITERS),
        })))
    }

    /// So many messages are in the spool, and so many may be.
    pub fn note_kept(&self, messages: u64, most: u64) {
        self.0.kept.store(messages, Ordering::Relaxed);
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// Whether there is room for a message of so many bytes, as far as one can know: asked at MAIL.
    ///
    /// # Errors
    /// [`Refused::NoRoom`]; [`Refused::Unavailable`] when the disk doesn't say.
    pub fn has_room_for(&self, bytes: u64) -> Result<(), Refused> {
        let Shared { kept, most, .. } = &*self.0;
        if kept.load(Ordering::Relaxed) >= most.load(Ordering::Relaxed) {
            return Err(Refused::NoRoom("there are too many messages in the spool".into()));
        }
        self.0.has_room_for(bytes)
    }

    /// Begins a message, whose id is in its `Received:`.
    pub fn begin(&self) -> Draft {
        Draft::new(Arc::clone(&self.0), self.0.ids.next())
    }
}

impl Shared {
    fn has_room_for(&self, bytes: u64) -> Result<(), Refused> {
        let room = self.directory.room().map_err(|error| self.refused(&error))?;
        if room.bytes < bytes.saturating_add(self.reserve) {
            return Err(Refused::NoRoom("the disk of the spool is as full as it may be".into()));
        }
        if room.files == Some(0) {
            return Err(Refused::NoRoom("the disk of the spool can hold no more files".into()));
        }
        Ok(())
    }

    /// What a failed call means for the client.
    fn refused(&self, error: &io::Error) -> Refused {
        let why = format!("{}: {error}", self.directory.path().display());
        match disk::is_no_room(error) {
            true => Refused::NoRoom(why),
            false => Refused::Unavailable(why),
        }
    }
}

/// The name of a message while it is written.
fn unfinished(id: Id) -> String {
    format!("{id}{UNFINISHED}")
}

/// Whether a file is a message that was never finished.
fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(UNFINISHED).is_some_and(|id| Id::parse(id.as_bytes()).is_some())
}

#[cfg(test)]
mod tests;
