//! The receiver's end of the spool: a message is on disk when [`Draft::commit`] returns, or it isn't there at all.
//!
//! Write, fsync, rename, fsync the directory; whoever waits at the same moment shares the last step.

use std::path::Path;

use super::envelope::Envelope;
use super::id::Id;

/// The directory that messages are appended to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Incoming {}

/// Why a message isn't kept. Nothing of it is left then.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The disk is full, or as full as it may be, or there are too many messages: 452 4.3.1.
    NoRoom(String),
    /// The disk or the system is out of order: 451 4.3.0.
    Unavailable(String),
}

/// A message while it is received.
#[derive(Debug)]
pub struct Draft {}

impl Incoming {
    /// Opens `incoming/` below the spool, before the process is confined. What drafts an earlier receiver left is
    /// deleted: nobody was promised them.
    ///
    /// # Errors
    /// The directory isn't there, isn't ours, or isn't writable.
    pub fn open(_spool: &Path, _reserve: u64) -> Result<Self, Refused> {
        Err(Refused::Unavailable("not written yet".into()))
    }

    /// So many messages are in the spool, and so many may be.
    pub fn note_kept(&self, _messages: u64, _most: u64) {}

    /// Whether there is room for a message of so many bytes, as far as one can know: asked at MAIL.
    ///
    /// # Errors
    /// [`Refused::NoRoom`].
    pub fn has_room_for(&self, _bytes: u64) -> Result<(), Refused> {
        Ok(())
    }

    /// Begins a message, whose id is in its `Received:`.
    pub fn begin(&self) -> Draft {
        Draft {}
    }
}

impl Draft {
    /// The message's id.
    pub fn id(&self) -> Id {
        Id::parse(b"0000000000000000").unwrap_or_else(|| std::process::abort())
    }

    /// Appends to the text. What is small stays in memory until [`Self::commit`].
    ///
    /// # Errors
    /// The disk's; the draft is of no use afterwards.
    pub async fn append(&mut self, _text: &[u8]) -> Result<(), Refused> {
        Ok(())
    }

    /// Puts the message on disk. 250 may be said when this returns `Ok`, and not before. A draft that is dropped leaves
    /// nothing behind.
    ///
    /// # Errors
    /// The disk's; then nothing is there, and a later success of fsync isn't believed.
    pub async fn commit(self, _envelope: &Envelope) -> Result<(), Refused> {
        Err(Refused::Unavailable("not written yet".into()))
    }
}
