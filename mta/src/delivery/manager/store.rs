//! The queue on disk, with what could not be written down yet.
//!
//! Runs in the sender, on threads that may block. A server has taken a message, and the disk takes no state: the state is
//! remembered, so that the message isn't sent again as long as this process lives, and nothing new is begun meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::settle;
use crate::delivery::transport::Report;
use crate::spool::id::Id;
use crate::spool::queue::{Message, Queue, Trouble};
use crate::spool::state::State;

/// How long nothing new is begun after the disk failed.
const PAUSE: Duration = Duration::from_secs(30);
/// Messages whose states are written at the same time.
const STRIPES: usize = 64;

/// The queue.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) queue: Queue,
    unrecorded: Mutex<HashMap<Id, State>>,
    /// What servers said of messages whose states could not even be read.
    unsettled: Mutex<HashMap<Id, Vec<Report>>>,
    trouble: Mutex<Option<Instant>>,
    stripes: Vec<Mutex<()>>,
}

impl Store {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            unrecorded: Mutex::default(),
            unsettled: Mutex::default(),
            trouble: Mutex::default(),
            stripes: std::iter::repeat_with(Mutex::default).take(STRIPES).collect(),
        }
    }

    /// What becomes of one message is written by one thread at a time.
    pub(super) fn lock(&self, id: Id) -> Option<MutexGuard<'_, ()>> {
        let sum: usize = id.as_str().bytes().map(usize::from).sum();
        self.stripes.get(sum % STRIPES).map(locked)
    }

    /// Envelope and state, with what is newer than the disk.
    pub(super) fn read(&self, id: Id) -> Result<Message, Trouble> {
        let mut message = self.queue.read(id)?;
        if let Some(state) = locked(&self.unrecorded).get(&id) {
            message.state.clone_from(state);
        }
        for report in locked(&self.unsettled).get(&id).into_iter().flatten() {
            settle::apply(&mut message.state, report);
        }
        // Whoever wrote the state knew the envelope; numbers of others are nobody's.
        message.state.recipients.resize_with(message.envelope.recipients.len(), Default::default);
        Ok(message)
    }

    /// Remembers what a server said, until the message is read and written again. Nothing new is begun meanwhile.
    pub(super) fn remember(&self, id: Id, report: Report) {
        locked(&self.unsettled).entry(id).or_default().push(report);
        *locked(&self.trouble) = Instant::now().checked_add(PAUSE);
    }

    /// Forgets a message that is gone.
    pub(super) fn forget(&self, id: Id) {
        locked(&self.unrecorded).remove(&id);
        locked(&self.unsettled).remove(&id);
    }

    /// Writes it down, or remembers it.
    pub(super) fn record(&self, id: Id, state: &State) -> Result<(), Trouble> {
        self.noted(id, state, self.queue.record(id, state))
    }

    /// Takes the message away; if that fails, remembers that it is done.
    pub(super) fn remove(&self, id: Id, state: &State) -> Result<(), Trouble> {
        let outcome = match self.queue.remove(id) {
            Err(Trouble::Gone) => Ok(()),
            other => other,
        };
        self.noted(id, state, outcome)
    }

    fn noted(&self, id: Id, state: &State, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        let mut unrecorded = locked(&self.unrecorded);
        match &outcome {
            Ok(()) => {
                unrecorded.remove(&id);
                locked(&self.unsettled).remove(&id);
            }
            Err(_) => {
                unrecorded.insert(id, state.clone());
                *locked(&self.trouble) = Instant::now().checked_add(PAUSE);
            }
        }
        outcome
    }

    /// The disk is in order again, somebody says.
    pub(super) fn end_trouble(&self) {
        *locked(&self.trouble) = None;
    }

    /// Until when nothing new is begun, since the disk failed.
    pub(super) fn in_trouble(&self, now: Instant) -> Option<Instant> {
        locked(&self.trouble).filter(|until| *until > now)
    }
}

/// A thread that panicked held nothing half-done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
