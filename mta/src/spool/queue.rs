//! The sender's end of the spool: what is there, what became of it, and when it is tried again.
//!
//! All calls block. Whoever opens the queue holds its lock: a second sender ends at once.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::envelope::Envelope;
use super::id::Id;
use super::state::State;
use crate::delivery::transport::Text;

/// The sender's end of the spool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {}

/// A message that was taken, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// As it was accepted.
    pub envelope: Arc<Envelope>,
    /// What became of it; that of a new message when nothing was recorded.
    pub state: State,
    /// Bytes of its text.
    pub size: u64,
}

/// Why something could not be done.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It isn't as it was written: [`Queue::quarantine`].
    Damaged(String),
    /// There is no such message any more.
    Gone,
    /// Another sender has the queue.
    Locked,
    /// The disk or the system is out of order; it may work later.
    Unavailable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => write!(f, "it is damaged: {why}"),
            Self::Gone => f.write_str("it is gone"),
            Self::Locked => f.write_str("another sender has the queue; end it first"),
            Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trouble {}

impl Queue {
    /// Opens and locks the queue below the spool, before the process is confined.
    ///
    /// # Errors
    /// [`Trouble::Locked`], and what the disk says.
    pub fn open(_spool: &Path) -> Result<Self, Trouble> {
        Err(Trouble::Unavailable("not written yet".into()))
    }

    /// Messages that were taken, in the order of their ids.
    ///
    /// # Errors
    /// The disk's.
    pub fn taken(&self) -> Result<Vec<Id>, Trouble> {
        Ok(Vec::new())
    }

    /// Messages in `incoming/` that are whole and not taken yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn arrived(&self) -> Result<Vec<Id>, Trouble> {
        Ok(Vec::new())
    }

    /// Moves a message from `incoming/` to `queue/`; in order too when that happened before.
    ///
    /// # Errors
    /// [`Trouble::Damaged`], [`Trouble::Gone`], and what the disk says.
    pub fn take(&self, _id: Id) -> Result<(), Trouble> {
        Err(Trouble::Gone)
    }

    /// Envelope and state of a taken message.
    ///
    /// # Errors
    /// [`Trouble::Damaged`], [`Trouble::Gone`], and what the disk says.
    pub fn read(&self, _id: Id) -> Result<Message, Trouble> {
        Err(Trouble::Gone)
    }

    /// The text of a taken message, which is opened once here and can be read several times.
    ///
    /// # Errors
    /// [`Trouble::Damaged`], [`Trouble::Gone`], and what the disk says.
    pub fn open_text(&self, _id: Id) -> Result<Arc<dyn Text>, Trouble> {
        Err(Trouble::Gone)
    }

    /// Records durably what became of a message.
    ///
    /// # Errors
    /// The disk's; what was recorded before stays.
    pub fn record(&self, _id: Id, _state: &State) -> Result<(), Trouble> {
        Err(Trouble::Gone)
    }

    /// Removes a message: all its recipients are done.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, _id: Id) -> Result<(), Trouble> {
        Err(Trouble::Gone)
    }

    /// Keeps a message of our own durably in `queue/`. The envelope's id is replaced by the one that is returned.
    ///
    /// # Errors
    /// The disk's; nothing is there then.
    pub fn keep(&self, _envelope: &Envelope, _text: &[u8]) -> Result<Id, Trouble> {
        Err(Trouble::Gone)
    }

    /// Moves a message to `corrupt/`, wherever it is.
    ///
    /// # Errors
    /// The disk's.
    pub fn quarantine(&self, _id: Id) -> Result<(), Trouble> {
        Err(Trouble::Gone)
    }
}
