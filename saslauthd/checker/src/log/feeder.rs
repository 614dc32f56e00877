//! A thread that writes to standard error, so that a reader who doesn't read stops no login.
//!
//! Runs in the checker. Standard error may be a pipe, a terminal or a file, shared with other programs and therefore
//! left blocking. The loop hands over what it collected and goes on; what doesn't fit is lost and counted.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Most bytes, and most pieces, that wait for the reader.
const MOST: usize = 8 * 1024 * 1024;
const MOST_PIECES: usize = 4096;

enum Piece {
    /// Lines to write.
    Lines(Vec<u8>),
    /// Write there from now on.
    To(File),
    /// Say so when everything before this was written.
    Mark(SyncSender<()>),
}

/// The thread, seen from the loop.
pub(super) struct Feeder {
    pieces: SyncSender<Piece>,
    waiting: Arc<AtomicUsize>,
}

impl Feeder {
    /// Starts the thread; it writes to descriptor 2 until it is told otherwise.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start() -> io::Result<Self> {
        let (pieces, incoming) = sync_channel(MOST_PIECES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(128 * 1024)
            .spawn(move || write(&incoming, &written))?;
        Ok(Self { pieces, waiting })
    }

    /// Writes to another file from now on.
    pub(super) fn direct_to(&self, file: File) {
        let _ = self.pieces.try_send(Piece::To(file));
    }

    /// Hands lines over; `false` when they are lost.
    pub(super) fn feed(&self, lines: &[u8]) -> bool {
        if self.waiting.load(Relaxed) + lines.len() > MOST {
            return false;
        }
        self.waiting.fetch_add(lines.len(), Relaxed);
        let taken = self.pieces.try_send(Piece::Lines(lines.to_vec())).is_ok();
        if !taken {
            self.waiting.fetch_sub(lines.len(), Relaxed);
        }
        taken
    }

    /// Waits until everything was written, but not for longer than `patience`.
    pub(super) fn drain(&self, patience: Duration) {
        let (mark, marked) = sync_channel(1);
        if self.pieces.try_send(Piece::Mark(mark)).is_ok() {
            let _ = marked.recv_timeout(patience);
        }
    }
}

fn write(pieces: &Receiver<Piece>, waiting: &AtomicUsize) {
    let mut file: Option<File> = None;
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Lines(lines) => {
                // There is nobody to tell that standard error is gone.
                let _ = match &mut file {
                    Some(file) => file.write_all(&lines),
                    None => io::stderr().write_all(&lines),
                };
                waiting.fetch_sub(lines.len(), Relaxed);
            }
            Piece::To(next) => file = Some(next),
            Piece::Mark(mark) => drop(mark.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let feeder = Feeder::start().unwrap();
        feeder.direct_to(File::from(std::os::fd::OwnedFd::from(writer)));
        let line = [b'x'; 1000];
        let taken = (0..20_000).filter(|_| feeder.feed(&line)).count();
        assert!((100..10_000).contains(&taken), "{taken}");
        let wanted = taken * line.len();
        let mut text = vec![0; wanted];
        reader.read_exact(&mut text).unwrap();
        feeder.drain(Duration::from_secs(60));
        assert!(feeder.feed(b"again"));
        feeder.drain(Duration::from_secs(60));
        let mut again = [0; 5];
        reader.read_exact(&mut again).unwrap();
        assert_eq!(&again, b"again");
    }
}
