//! A message while it is received: in memory, in a file when it outgrows that, and on disk for good when it is committed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::disk::NewFile;
use super::super::envelope::Envelope;
use super::super::id::Id;
use super::super::record::{FRAME, Kind, Sum, Written};
use super::{Refused, Shared, unfinished};

/// Text that stays in memory.
const MEMORY: usize = 64 * 1024;
/// Where the text begins in the file of a message that outgrew its memory: its envelope is known only at the end, and
/// goes before it, with padding. Recipients who have no room there stand behind the text.
const RESERVED: usize = 8 * 1024;
/// How long the sender has to make a message its own whose name may not last; it needs a few milliseconds.
const TAKING: Duration = Duration::from_millis(300);
/// Between two looks whether it has.
const AGAIN: Duration = Duration::from_millis(5);

/// A message while it is received.
#[derive(Debug)]
pub struct Draft {
    shared: Arc<Shared>,
    id: Id,
    memory: Vec<u8>,
    file: Option<File>,
    /// Why it can't be kept any more.
    failed: Option<Refused>,
}

impl Draft {
    pub(super) fn new(shared: Arc<Shared>, id: Id) -> Self {
        Self { shared, id, memory: Vec::new(), file: None, failed: None }
    }

    /// The message's id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Appends to the text. What is small stays in memory until [`Self::commit`].
    ///
    /// # Errors
    /// The disk's; the draft is of no use afterwards.
    pub async fn append(&mut self, text: &[u8]) -> Result<(), Refused> {
        let mut rest = text;
        while !rest.is_empty() {
            self.failed.clone().map_or(Ok(()), Err)?;
            if self.memory.len() >= MEMORY {
                let spilled = self.spill().await;
                self.failed = spilled.as_ref().err().cloned();
                spilled?;
            }
            let (now, later) = rest.split_at(rest.len().min(MEMORY - self.memory.len()));
            self.memory.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    /// Moves what is in memory into the file.
    async fn spill(&mut self) -> Result<(), Refused> {
        // Whoever drops this future meanwhile has a draft without its text, which must not be taken for whole.
        self.failed =
            Some(Refused::Unavailable("a message was given up while it was written".into()));
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let (file, text) = (self.file.take(), std::mem::take(&mut self.memory));
        let work = move || {
            let mut file = match file {
                Some(file) => file,
                None => {
                    shared.has_room_for(text.len() as u64)?;
                    File::create(Arc::clone(&shared), id).map_err(|e| shared.refused(&e))?
                }
            };
            file.append(&text).map_err(|e| shared.refused(&e))?;
            Ok(file)
        };
        self.file = Some(blocking(&self.shared, work).await?);
        Ok(())
    }

    /// Puts the message on disk. 250 may be said when this returns `Ok`, and not before. A draft that is dropped leaves
    /// nothing behind.
    ///
    /// # Errors
    /// The disk's; then nothing is there, and a later success of fsync isn't believed.
    pub async fn commit(self, envelope: &Envelope) -> Result<(), Refused> {
        self.failed.map_or(Ok(()), Err)?;
        if envelope.id != self.id {
            return Err(Refused::Unavailable("the envelope is another message's".into()));
        }
        let room = if self.file.is_some() { RESERVED - FRAME } else { usize::MAX };
        let envelope =
            Written::new(envelope, room).map_err(|why| Refused::Unavailable(why.into()))?;
        let (shared, id, text) = (Arc::clone(&self.shared), self.id, self.memory);
        let work = move || {
            shared.has_room_for(text.len() as u64)?;
            let written = match self.file {
                None => File::create(Arc::clone(&shared), id)
                    .and_then(|file| file.finish_at_once(envelope, &text)),
                Some(file) => file.finish(envelope, &text),
            };
            written.map_err(|e| shared.refused(&e))
        };
        blocking(&self.shared, work).await?;
        self.shared.kept.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

/// Runs work that blocks, and not too much of it at a time.
async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let unavailable = |why: &str| Refused::Unavailable(why.to_owned());
    let shared = Arc::clone(shared);
    let writer = shared.writers.acquire().await.map_err(|_| unavailable("nobody writes"))?;
    let done = tokio::task::spawn_blocking(work).await;
    drop(writer);
    done.map_err(|_| unavailable("a writer ended in the middle of its work"))?
}

/// A file that has no name of a message yet, and disappears unless it gets one.
#[derive(Debug)]
struct File {
    shared: Arc<Shared>,
    id: Id,
    /// `None` once it is closed.
    open: Option<NewFile>,
    length: u64,
    /// Of the text.
    sum: Sum,
    named: bool,
}

impl File {
    fn create(shared: Arc<Shared>, id: Id) -> io::Result<Self> {
        let open = Some(shared.directory.create(&unfinished(id))?);
        Ok(Self { shared, id, open, length: RESERVED as u64, sum: Sum::default(), named: false })
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.open
            .as_ref()
            .map_or(Err(io::ErrorKind::NotFound.into()), |file| file.write_at(bytes, at))
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        self.sum.put_text(text, &mut out);
        self.write(&out, self.length)?;
        self.length += out.len() as u64;
        Ok(())
    }

    /// A message that never left memory: one write.
    fn finish_at_once(self, envelope: Written, text: &[u8]) -> io::Result<()> {
        let (mut out, mut sum) = envelope.before;
        sum.put_text(text, &mut out);
        sum.end(&mut out);
        self.write(&out, 0)?;
        self.name()
    }

    /// The rest of the text, the end, and the envelope before all that.
    fn finish(mut self, envelope: Written, text: &[u8]) -> io::Result<()> {
        let (mut head, mut sum) = envelope.before;
        let padding = RESERVED.saturating_sub(head.len() + FRAME);
        sum.put(Kind::Padding, &vec![0; padding], &mut head);
        let mut out = Vec::new();
        self.sum.put_text(text, &mut out);
        sum.join(&self.sum);
        out.extend_from_slice(&envelope.behind.0);
        sum.join(&envelope.behind.1);
        sum.end(&mut out);
        self.write(&out, self.length)?;
        self.write(&head, 0)?;
        self.name()
    }

    /// What is written gets the name of a message, and both last.
    fn name(mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), NewFile::sync)?;
        let directory = &self.shared.directory;
        directory.rename(&unfinished(self.id), self.id.as_str())?;
        self.named = true;
        directory.sync().or_else(|error| self.take_back(error))
    }

    /// Nobody knows whether the name lasts. The sender may take it all the same: it takes the name away here when the one
    /// in `queue/` lasts, and then the message is kept, and is not to be refused, or the client would send it again. What
    /// the sender doesn't take soon gets its name taken away, and is refused.
    ///
    /// The name may come back after a power cut, and the message be sent although it was refused: twice is better than
    /// never.
    fn take_back(&self, error: io::Error) -> io::Result<()> {
        let directory = &self.shared.directory;
        let (name, unfinished) = (self.id.as_str(), unfinished(self.id));
        let until = Instant::now() + TAKING;
        while Instant::now() < until {
            match directory.file(name) {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => std::thread::sleep(AGAIN),
                Err(_) => break,
            }
        }
        match directory.rename(name, &unfinished) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => drop(directory.clear(name)),
            Ok(()) => drop(directory.clear(&unfinished)),
        }
        let _ = directory.sync();
        Err(error)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !self.named {
            let _ = self.shared.directory.remove(&unfinished(self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Incoming;
    use super::*;

    /// A message whose name may not last, as the sender finds it.
    fn named(spool: &std::path::Path) -> File {
        std::fs::create_dir_all(spool.join("incoming")).unwrap();
        let incoming = Incoming::open(spool, 0).unwrap();
        let mut file = File::create(Arc::clone(&incoming.0), incoming.begin().id()).unwrap();
        let name = file.id.to_string();
        file.shared.directory.rename(&unfinished(file.id), &name).unwrap();
        file.named = true;
        file
    }

    fn outcome(file: &File) -> Result<(), io::ErrorKind> {
        file.take_back(io::ErrorKind::StorageFull.into()).map_err(|error| error.kind())
    }

    #[test]
    fn what_nobody_took_is_refused_and_gone() {
        let spool = tempfile::tempdir().unwrap();
        let file = named(spool.path());
        assert_eq!(outcome(&file), Err(io::ErrorKind::StorageFull));
        assert_eq!(std::fs::read_dir(spool.path().join("incoming")).unwrap().count(), 0);
    }

    #[test]
    fn what_the_sender_took_is_not_refused() {
        let spool = tempfile::tempdir().unwrap();
        let file = named(spool.path());
        std::fs::remove_file(spool.path().join("incoming").join(file.id.as_str())).unwrap();
        assert_eq!(outcome(&file), Ok(()));
    }

    #[test]
    fn what_the_sender_is_taking_is_waited_for() {
        let spool = tempfile::tempdir().unwrap();
        let file = named(spool.path());
        let arrived = spool.path().join("incoming").join(file.id.as_str());
        let sender = std::thread::spawn(move || {
            std::thread::sleep(AGAIN);
            std::fs::remove_file(arrived)
        });
        assert_eq!(outcome(&file), Ok(()));
        sender.join().unwrap().unwrap();
    }
}
