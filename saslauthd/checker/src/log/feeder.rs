//! The way out of the log, in such a way that a reader who doesn't read stops no login.
//!
//! Runs in the checker. Standard error may be a pipe, a terminal or a file, shared with other programs and therefore
//! left blocking; a log daemon's socket holds ten lines. While it takes them the loop writes lines itself, so that an
//! event is there before its answer. When it doesn't, a thread waits for it, and the loop goes on; what the thread
//! can't hold is lost and counted.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sys::descriptors::{is_writable, wait_writable};

use super::lines::Batch;

/// Most bytes, and most pieces, that wait for the reader.
const MOST: usize = 8 * 1024 * 1024;
const MOST_PIECES: usize = 4096;

/// What a pipe takes at once, without other writers' lines in between: PIPE_BUF.
const AT_ONCE: usize = 4096;

/// How long the thread waits before it looks at a full socket again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where lines go.
pub(super) enum Sink {
    /// A file, a pipe or a terminal: lines one after the other.
    File(File),
    /// A connected datagram socket: a datagram a line.
    Socket(OwnedFd),
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fed {
    /// Lines that were lost, of these or of earlier ones.
    pub(super) lost: u64,
    /// Whether the sink takes nothing any more: another is needed.
    pub(super) gone: bool,
}

enum Piece {
    Lines(Batch),
    /// Write there from now on; its number.
    To(Arc<Sink>, u32),
    /// Say so when everything before this was written.
    Mark(SyncSender<()>),
}

/// What the thread tells the loop.
#[derive(Default)]
struct Shared {
    /// Bytes that it still has to write.
    waiting: AtomicUsize,
    /// Lines that it lost and the loop doesn't know of.
    lost: AtomicU64,
    /// The number of the sink that takes nothing any more.
    gone: AtomicU32,
}

/// The sink and its thread, seen from the loop.
pub(super) struct Feeder {
    sink: Arc<Sink>,
    number: u32,
    pieces: SyncSender<Piece>,
    shared: Arc<Shared>,
}

/// How far a sink is with lines.
enum Progress {
    Done,
    /// It takes no more now.
    Full,
    /// It takes no more for good.
    Gone,
}

impl Feeder {
    /// Starts the thread; lines go to descriptor 2 until something else is said.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn start() -> io::Result<Self> {
        let sink = Arc::new(Sink::File(io::stderr().as_fd().try_clone_to_owned()?.into()));
        let copy = Arc::clone(&sink);
        let (pieces, incoming) = sync_channel(MOST_PIECES);
        let shared = Arc::new(Shared::default());
        let other = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(128 * 1024)
            .spawn(move || work(copy, &incoming, &other))?;
        Ok(Self { sink, number: 1, pieces, shared })
    }

    /// Writes somewhere else from now on.
    ///
    /// # Errors
    /// When there is no room to tell the thread; everything goes on as before.
    pub(super) fn direct_to(&mut self, sink: Sink) -> io::Result<()> {
        let sink = Arc::new(sink);
        let number = self.number.wrapping_add(1).max(1);
        let piece = Piece::To(Arc::clone(&sink), number);
        self.pieces.try_send(piece).map_err(|_| io::Error::from(ErrorKind::WouldBlock))?;
        (self.sink, self.number) = (sink, number);
        Ok(())
    }

    /// Writes lines, or has them written.
    pub(super) fn feed(&self, mut batch: Batch) -> Fed {
        let mut fed = Fed { lost: self.shared.lost.swap(0, Relaxed), gone: self.is_gone() };
        // What the thread still has comes first.
        if self.shared.waiting.load(Acquire) == 0 && !fed.gone {
            match self.sink.write(&mut batch) {
                Progress::Done => return fed,
                Progress::Full => {}
                Progress::Gone => fed.gone = true,
            }
        }
        if fed.gone {
            fed.lost += batch.count();
        } else {
            fed.lost += self.hand_over(batch);
        }
        fed
    }

    fn is_gone(&self) -> bool {
        self.shared.gone.load(Relaxed) == self.number
    }

    /// Says how many lines found no room.
    fn hand_over(&self, batch: Batch) -> u64 {
        let (bytes, lines) = (batch.bytes(), batch.count());
        if self.shared.waiting.load(Relaxed) + bytes > MOST {
            return lines;
        }
        self.shared.waiting.fetch_add(bytes, Relaxed);
        if self.pieces.try_send(Piece::Lines(batch)).is_ok() {
            return 0;
        }
        self.shared.waiting.fetch_sub(bytes, Relaxed);
        lines
    }

    /// Waits until everything was written, but not for longer than `patience`.
    pub(super) fn drain(&self, patience: Duration) {
        let (mark, marked) = sync_channel(1);
        if self.pieces.try_send(Piece::Mark(mark)).is_ok() {
            let _ = marked.recv_timeout(patience);
        }
    }
}

impl Sink {
    /// Writes what can be written without waiting, and takes it out of the batch.
    fn write(&self, batch: &mut Batch) -> Progress {
        while !batch.is_empty() {
            let written = match self {
                Self::File(file) => {
                    let mut file = file;
                    if !is_writable(file).unwrap_or(false) {
                        return Progress::Full;
                    }
                    let lines = batch.first(AT_ONCE);
                    // A longer line could wait; but the thread may.
                    if lines.len() > AT_ONCE {
                        return Progress::Full;
                    }
                    file.write_all(lines).map(|()| lines.len())
                }
                Self::Socket(socket) => {
                    let line = batch.first(0);
                    sys::peer::send(socket, line).map(|_| line.len())
                }
            };
            match written {
                Ok(length) => batch.drop_front(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Full,
                Err(_) => return Progress::Gone,
            }
        }
        Progress::Done
    }
}

fn work(mut sink: Arc<Sink>, pieces: &Receiver<Piece>, shared: &Shared) {
    let mut number = 1;
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Lines(batch) => {
                let bytes = batch.bytes();
                if shared.gone.load(Relaxed) == number {
                    shared.lost.fetch_add(batch.count(), Relaxed);
                } else if let Some(lost) = write_slowly(&sink, batch) {
                    shared.lost.fetch_add(lost, Relaxed);
                    shared.gone.store(number, Relaxed);
                }
                shared.waiting.fetch_sub(bytes, Release);
            }
            Piece::To(next, its) => (sink, number) = (next, its),
            Piece::Mark(mark) => drop(mark.try_send(())),
        }
    }
}

/// Waits for the reader as often as it takes. Says how many lines were lost when there is none any more.
fn write_slowly(sink: &Sink, mut batch: Batch) -> Option<u64> {
    loop {
        match sink.write(&mut batch) {
            Progress::Done => return None,
            Progress::Gone => return Some(batch.count()),
            Progress::Full => {}
        }
        let waited = match sink {
            // A line that is longer than a pipe takes at once waits here as well.
            Sink::File(file) => {
                let mut file = file;
                let lines = batch.first(AT_ONCE);
                file.write_all(lines).map(|()| batch.drop_front(batch.first(AT_ONCE).len()))
            }
            Sink::Socket(socket) => wait_writable(socket, PATIENCE).map(|_| ()),
        };
        if waited.is_err() {
            return Some(batch.count());
        }
    }
}

#[cfg(test)]
mod tests;
