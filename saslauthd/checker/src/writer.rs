//! What logins leave behind in our own account databases: newer hashes, and when an account was last used.
//!
//! Runs in the checker on a thread of its own, because each change waits for the disk and no login should. It has
//! connections of its own. What it can't write is told to the log and lost: it decides about no login.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use accounts::{AccountId, Secrets, UnixTime, Upgrade};
use credentials::{Generation, Shape};
use ipc::config::{self, BackendKind, Hashing};

use crate::backends::{argon2, policy};

/// Changes that wait; more are dropped, and come again with the next login.
const MOST_WAITING: usize = 256;

/// One change.
pub(crate) enum Task {
    /// New secrets for a record that is still the one that was seen.
    Renew {
        /// Index of the backend.
        backend: usize,
        /// The record.
        account: AccountId,
        /// What it was when its password was compared.
        seen: Generation,
        /// What it becomes.
        secrets: Box<Secrets>,
    },
    /// When accounts logged in.
    Used {
        /// Index of the backend.
        backend: usize,
        /// Who and when.
        logins: Vec<(AccountId, UnixTime)>,
    },
}

/// The thread, seen from the loop. Dropping it waits until all that was handed over is written.
pub(crate) struct Writer {
    tasks: Option<SyncSender<Task>>,
    troubles: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Writer {
    /// Starts the thread. It has nothing to do where no backend is a database of ours.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(backends: &[config::Backend], hashing: &Hashing) -> io::Result<Self> {
        let (tasks, incoming) = sync_channel(MOST_WAITING);
        let (outgoing, troubles) = channel();
        let mut databases: Vec<Option<accounts::Backend>> = Vec::new();
        for backend in backends {
            databases.push(match &backend.kind {
                BackendKind::Sqlite { path } => {
                    let shape = Shape::argon2id(&argon2(hashing));
                    Some(accounts::Backend::new(Path::new(path), policy(hashing), shape))
                }
                _ => None,
            });
        }
        let thread = std::thread::Builder::new()
            .name("accounts".into())
            .stack_size(512 * 1024)
            .spawn(move || work(&mut databases, &incoming, &outgoing))?;
        Ok(Self { tasks: Some(tasks), troubles, thread: Some(thread) })
    }

    /// Hands a change over, or drops it when too many wait.
    pub(crate) fn submit(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            let _ = tasks.try_send(task);
        }
    }

    /// What went wrong since, a line each.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.troubles.try_recv().ok()
    }
}

fn work(
    databases: &mut [Option<accounts::Backend>],
    tasks: &Receiver<Task>,
    troubles: &Sender<String>,
) {
    while let Ok(task) = tasks.recv() {
        let (backend, doing) = match &task {
            Task::Renew { backend, .. } => (*backend, "store a newer hash"),
            Task::Used { backend, .. } => (*backend, "note when accounts were used"),
        };
        let Some(Some(accounts)) = databases.get_mut(backend) else { continue };
        let done = match task {
            Task::Renew { account, seen, secrets, .. } => {
                // Somebody who changed the record in the meantime wins, and that is no trouble.
                accounts.upgrade(account, seen, &secrets).map(|_: Upgrade| ())
            }
            Task::Used { logins, .. } => accounts.note_used(&logins),
        };
        if let Err(trouble) = done {
            let _ = troubles.send(format!("could not {doing}: {trouble}"));
        }
    }
}
