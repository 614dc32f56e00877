//! The sender's end of the spool: what is there, what became of it, and when it is tried again.
//!
//! All calls block. Whoever opens the queue holds its lock: a second sender ends at once. Runs in the sender, which needs
//! the whole spool. It trusts what it wrote itself only as far as the checksums go, and the receiver's files no more than
//! that.
//!
//! A message has these names on disk, and after a crash at any moment no other set of them (I `incoming/ID`, Q
//! `queue/ID`, S `queue/ID.state`):
//!
//! ```text
//!     I Q S   what it is                       what is done
//! 0   - - -   nobody was promised anything
//! 1   x - -   accepted                         taken: Q is linked, queue/ synced, I removed, incoming/ synced
//! 2   x x -   being taken: I and Q one file    taking is finished
//! 3   - x -   taken, nothing became of it      tried; recorded: S.new is written and synced, renamed, queue/ synced
//! 4   - x x   tried                            tried again; removed: Q is removed, queue/ synced, S removed
//! 5   - - x   done                             S is removed
//! ```
//!
//! At no moment does a message that isn't done have neither I nor Q, and I is gone for good before there can be an S: so
//! that nothing is lost, and nothing that is done is tried again. `*.new` in `queue/` is what was never finished.
//! `corrupt/` gets its name before the others lose it.

mod watch;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use std::fmt;

use nix::errno::Errno;

use super::disk::{Directory, Locked};
use super::envelope::Envelope;
use super::id::{Id, Ids};
use super::record::{self, Damage};
use super::state::State;
use crate::delivery::transport::Text;

pub use watch::Arrivals;

/// What a file is called before it is whole.
const UNFINISHED: &str = ".new";
/// What the file of a message's state is called besides.
const STATE: &str = ".state";
/// The receiver, whose directory it is, makes files; the sender takes them away, being in its group, and reads them,
/// since they get that group too.
const SHARED: u32 = 0o2770;
/// Nobody else's.
const OWN: u32 = 0o700;

/// The sender's end of the spool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Directories>);

#[derive(Debug)]
struct Directories {
    incoming: Directory,
    queue: Directory,
    corrupt: Directory,
    ids: Ids,
}

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
    /// The system has no descriptors or no memory left for now, or was interrupted; the disk is not to blame.
    Exhausted(String),
    /// The disk or the system is out of order; it may work later.
    Unavailable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => write!(f, "it is damaged: {why}"),
            Self::Gone => f.write_str("it is gone"),
            Self::Locked => f.write_str("another sender has the queue; end it first"),
            Self::Exhausted(why) | Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Damaged(why) => Self::Damaged(why.to_owned()),
            Damage::Unreadable(error) => error.into(),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Self::Gone,
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN | Errno::EINTR) => {
                Self::Exhausted(error.to_string())
            }
            // A symbolic link, a device, a pipe: not what a receiver writes.
            Some(Errno::ELOOP) => Self::Damaged("it is no regular file".into()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl Queue {
    /// Opens and locks the queue below the spool, before the process is confined. Makes directories that are missing,
    /// and clears away what a crash left of messages that are done and of files that were never finished.
    ///
    /// # Errors
    /// [`Trouble::Locked`], and what the disk says.
    pub fn open(spool: &Path) -> Result<Self, Trouble> {
        let open = |name: &str, mode| {
            let path = spool.join(name);
            let opened = make(&path, mode).and_then(|()| Directory::open(&path));
            opened.map_err(|error| {
                Trouble::Unavailable(format!(
                    "{}: {error}; check its owner and its disk",
                    path.display()
                ))
            })
        };
        let queue = open("queue", OWN)?;
        if queue.lock()? == Locked::BySomebodyElse {
            return Err(Trouble::Locked);
        }
        let (incoming, corrupt) = (open("incoming", SHARED)?, open("corrupt", OWN)?);
        match fs::File::open(spool) {
            Ok(above) => above.sync_all()?,
            // The parent's, who made the directories, and keeps it to itself.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error.into()),
        }
        let directories = Directories { incoming, queue, corrupt, ids: Ids::default() };
        directories.clear()?;
        Ok(Self(Arc::new(directories)))
    }

    /// Tells when messages arrive; to be called before the process is confined.
    ///
    /// # Errors
    /// The system's: there are no more watches to be had, say. [`Self::arrived`] can be asked now and then instead.
    pub fn watch(&self) -> io::Result<Arrivals> {
        Arrivals::new(self.clone())
    }

    /// Messages that were taken, in the order of their ids.
    ///
    /// # Errors
    /// The disk's.
    pub fn taken(&self) -> Result<Vec<Id>, Trouble> {
        ids(&self.0.queue)
    }

    /// Messages in `incoming/` that are whole and not taken yet, in the order of their ids.
    ///
    /// # Errors
    /// The disk's.
    pub fn arrived(&self) -> Result<Vec<Id>, Trouble> {
        ids(&self.0.incoming)
    }

    /// Moves a message from `incoming/` to `queue/`, having read it to its end; in order too when that happened before.
    ///
    /// # Errors
    /// [`Trouble::Damaged`], [`Trouble::Gone`], and what the disk says.
    pub fn take(&self, id: Id) -> Result<(), Trouble> {
        self.take_all(&[id]).pop().unwrap_or(Err(Trouble::Gone))
    }

    /// [`Self::take`] for each of these, with one fsync of each directory for all of them: what became of each, in their
    /// order.
    pub fn take_all(&self, ids: &[Id]) -> Vec<Result<(), Trouble>> {
        let entered: Vec<_> = ids.iter().map(|id| self.enter(*id)).collect();
        let names = ids.iter().zip(&entered).filter(|(_, entered)| **entered == Ok(Entered::Now));
        let left = match names.clone().next() {
            None => Ok(()),
            Some(_) => self.leave(names.map(|(id, _)| id.as_str())),
        };
        let outcome = |entered| match (entered, &left) {
            (Ok(Entered::Now), Err(trouble)) => Err(trouble.clone()),
            (entered, _) => entered.map(drop),
        };
        entered.into_iter().map(outcome).collect()
    }

    /// Gives a message that has arrived a name in `queue/`.
    fn enter(&self, id: Id) -> Result<Entered, Trouble> {
        let Directories { incoming, queue, .. } = &*self.0;
        let name = id.as_str();
        let file = match incoming.read(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return queue.file(name)?.map(|_| Entered::Before).ok_or(Trouble::Gone);
            }
            Err(error) => return Err(error.into()),
        };
        record::Text::open(Arc::new(file), id)?.validate()?;
        match link(incoming, name, queue) {
            // Somebody else took it meanwhile.
            Err(Trouble::Gone) => queue.file(name)?.map(|_| Entered::Before).ok_or(Trouble::Gone),
            outcome => outcome.map(|()| Entered::Now),
        }
    }

    /// Takes names out of `incoming/`, once they are sure to be found in `queue/`.
    fn leave<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Trouble> {
        let Directories { incoming, queue, .. } = &*self.0;
        queue.sync()?;
        for name in names {
            incoming.clear(name)?;
        }
        Ok(incoming.sync()?)
    }

    /// Envelope and state of a taken message.
    ///
    /// # Errors
    /// [`Trouble::Damaged`], [`Trouble::Gone`], and what the disk says.
    pub fn read(&self, id: Id) -> Result<Message, Trouble> {
        let file = self.0.queue.read(id.as_str())?;
        let size = record::length(&file)?;
        let envelope = record::read_envelope(io::BufReader::with_capacity(4096, file))?;
        if envelope.id != id {
            return Err(Trouble::Damaged("it is another message's file".into()));
        }
        let state = match self.0.queue.read(&state_name(id)) {
            Ok(file) => record::read_state(io::BufReader::with_capacity(4096, file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let held = envelope.held().map(str::to_owned);
                let new = State::new(envelope.arrived, envelope.recipients.len());
                (id, State { held, ..new })
            }
            Err(error) => return Err(error.into()),
        };
        match state {
            (whose, state)
                if whose == id && state.recipients.len() == envelope.recipients.len() =>
            {
                Ok(Message { envelope: Arc::new(envelope), state, size })
            }
            _ => Err(Trouble::Damaged("its state is another message's".into())),
        }
    }

    /// The text of a taken message, which is opened once here and can be read several times.
    ///
    /// # Errors
    /// [`Trouble::Damaged`], [`Trouble::Gone`], and what the disk says.
    pub fn open_text(&self, id: Id) -> Result<Arc<dyn Text>, Trouble> {
        let file = Arc::new(self.0.queue.read(id.as_str())?);
        record::Text::open(Arc::clone(&file), id)?;
        Ok(Arc::new(Opened { file, id }))
    }

    /// Records durably what became of a message. To be called for one message by one caller at a time.
    ///
    /// # Errors
    /// The disk's; what was recorded before stays, or what was to be recorded is there already.
    pub fn record(&self, id: Id, state: &State) -> Result<(), Trouble> {
        let queue = &self.0.queue;
        if queue.file(id.as_str())?.is_none() {
            return Err(Trouble::Gone);
        }
        let name = state_name(id);
        let unfinished = format!("{name}{UNFINISHED}");
        queue.clear(&unfinished)?;
        let written = write(queue, &unfinished, &record::write_state(id, state))
            .and_then(|()| queue.replace(&unfinished, &name));
        if let Err(error) = written {
            let _ = queue.clear(&unfinished);
            return Err(error.into());
        }
        Ok(queue.sync()?)
    }

    /// Removes a message: all its recipients are done.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, id: Id) -> Result<(), Trouble> {
        let queue = &self.0.queue;
        queue.clear(id.as_str())?;
        queue.sync()?;
        Ok(queue.clear(&state_name(id))?)
    }

    /// Clears away the state of a message that is not there any more. One that is there keeps it.
    ///
    /// # Errors
    /// The disk's.
    pub fn clear_state(&self, id: Id) -> Result<(), Trouble> {
        let queue = &self.0.queue;
        match queue.file(id.as_str())? {
            Some(_) => Ok(()),
            None => Ok(queue.clear(&state_name(id))?),
        }
    }

    /// Keeps a message of our own durably in `queue/`. The envelope's id is replaced by the one that is returned.
    ///
    /// # Errors
    /// The disk's; nothing is there then.
    pub fn keep(&self, envelope: &Envelope, text: &[u8]) -> Result<Id, Trouble> {
        let queue = &self.0.queue;
        let id = self.0.ids.next();
        let envelope = Envelope { id, ..envelope.clone() };
        let written = record::write_message(&envelope, text);
        let out = written.map_err(|why| Trouble::Unavailable(why.into()))?;
        let unfinished = format!("{id}{UNFINISHED}");
        let named =
            write(queue, &unfinished, &out).and_then(|()| queue.rename(&unfinished, id.as_str()));
        if let Err(error) = named {
            let _ = queue.clear(&unfinished);
            return Err(error.into());
        }
        if let Err(error) = queue.sync() {
            let _ = queue.clear(id.as_str()).and_then(|()| queue.sync());
            return Err(error.into());
        }
        Ok(id)
    }

    /// Moves a message to `corrupt/`, wherever it is.
    ///
    /// # Errors
    /// The disk's.
    pub fn quarantine(&self, id: Id) -> Result<(), Trouble> {
        let Directories { incoming, queue, corrupt, .. } = &*self.0;
        let name = id.as_str();
        let arrived = incoming.file(name)?;
        let taken = queue.file(name)?;
        if arrived.is_some() {
            relocate(incoming, name, corrupt)?;
        }
        // One that isn't the same file is a message of its own.
        if taken.is_some() && (arrived.is_none() || arrived == taken) {
            if queue.file(&state_name(id))?.is_some() {
                link(queue, &state_name(id), corrupt)?;
            }
            relocate(queue, name, corrupt)?;
            queue.clear(&state_name(id))?;
        }
        arrived.or(taken).map(|_| ()).ok_or(Trouble::Gone)
    }
}

impl Directories {
    /// What a crash left that isn't a message.
    fn clear(&self) -> io::Result<()> {
        for name in self.queue.names()? {
            let done = match name.strip_suffix(STATE) {
                Some(id) => Id::parse(id.as_bytes()).is_some() && self.queue.file(id)?.is_none(),
                None => name.ends_with(UNFINISHED),
            };
            if done {
                self.queue.clear(&name)?;
            }
        }
        Ok(())
    }
}

/// A text whose file is open: it can be read though the message is removed meanwhile.
struct Opened {
    file: Arc<fs::File>,
    id: Id,
}

impl Text for Opened {
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(record::Text::open(Arc::clone(&self.file), self.id)?))
    }
}

/// When a message got its name in `queue/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entered {
    /// Just now; it has the one in `incoming/` too.
    Now,
    /// Before, and the other one is gone.
    Before,
}

fn state_name(id: Id) -> String {
    format!("{id}{STATE}")
}

fn ids(directory: &Directory) -> Result<Vec<Id>, Trouble> {
    let names = directory.names()?;
    let mut ids: Vec<Id> = names.iter().filter_map(|name| Id::parse(name.as_bytes())).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Makes a directory that is missing. One that is there is as its owner wants it.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn write(directory: &Directory, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = directory.create(name)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

/// Gives a file its name in another directory too, if it hasn't got it yet.
fn link(from: &Directory, name: &str, to: &Directory) -> Result<(), Trouble> {
    match from.link(name, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match from.file(name)? {
            None => Err(Trouble::Gone),
            file if file == to.file(name)? => Ok(()),
            _ => Err(Trouble::Damaged(format!("{} has another one", to.path().display()))),
        },
        other => Ok(other?),
    }
}

/// A name in one directory becomes one in another. At no moment is there none.
fn relocate(from: &Directory, name: &str, to: &Directory) -> Result<(), Trouble> {
    link(from, name, to)?;
    to.sync()?;
    from.clear(name)?;
    Ok(from.sync()?)
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;
