//! Standard error, in such a way that a reader who doesn't read stops no login.
//!
//! Runs in the checker. Standard error may be a pipe, a terminal or a file, shared with other programs and therefore
//! left blocking. While it takes lines the loop writes them itself, so that an event is there before its answer. When
//! it doesn't, a thread waits for it, and the loop goes on; what the thread can't hold is lost and counted.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sys::descriptors::is_writable;

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

/// What a pipe takes at once, without other writers' lines in between: PIPE_BUF.
const AT_ONCE: usize = 4096;

/// Standard error and its thread, seen from the loop.
pub(super) struct Feeder {
    file: File,
    pieces: SyncSender<Piece>,
    waiting: Arc<AtomicUsize>,
}

impl Feeder {
    /// Starts the thread; it writes to descriptor 2 until it is told otherwise.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn start() -> io::Result<Self> {
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let copy = file.try_clone()?;
        let (pieces, incoming) = sync_channel(MOST_PIECES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(128 * 1024)
            .spawn(move || write(copy, &incoming, &written))?;
        Ok(Self { file, pieces, waiting })
    }

    /// Writes to another file from now on.
    pub(super) fn direct_to(&mut self, file: File) {
        if let Ok(copy) = file.try_clone() {
            let _ = self.pieces.try_send(Piece::To(copy));
            self.file = file;
        }
    }

    /// Writes whole lines, or has them written; `false` when they are lost.
    pub(super) fn feed(&self, lines: &[u8]) -> bool {
        let mut rest = lines;
        // What the thread still has comes first.
        while self.waiting.load(Acquire) == 0 && !rest.is_empty() {
            let (now, later) = whole_lines(rest);
            if now.len() > AT_ONCE || !self.write(now) {
                break;
            }
            rest = later;
        }
        rest.is_empty() || self.hand_over(rest)
    }

    /// Writes if that needs no waiting.
    fn write(&self, lines: &[u8]) -> bool {
        let mut file = &self.file;
        is_writable(file).is_ok_and(|can| can && file.write_all(lines).is_ok())
    }

    fn hand_over(&self, lines: &[u8]) -> bool {
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

fn write(mut file: File, pieces: &Receiver<Piece>, waiting: &AtomicUsize) {
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Lines(lines) => {
                let mut rest = lines.as_slice();
                while !rest.is_empty() {
                    let (now, later) = whole_lines(rest);
                    // There is nobody to tell that standard error is gone.
                    let _ = file.write_all(now);
                    rest = later;
                }
                waiting.fetch_sub(lines.len(), Release);
            }
            Piece::To(next) => file = next,
            Piece::Mark(mark) => drop(mark.try_send(())),
        }
    }
}

/// As many whole lines as are written at once, or one that is longer; and the others.
fn whole_lines(lines: &[u8]) -> (&[u8], &[u8]) {
    let is_end = |byte: &u8| *byte == b'\n';
    let most = lines.get(..AT_ONCE).unwrap_or(lines);
    let end = most.iter().rposition(is_end).or_else(|| lines.iter().position(is_end));
    lines.split_at_checked(end.map_or(lines.len(), |end| end + 1)).unwrap_or((lines, &[]))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn lines_are_never_cut() {
        let long = [vec![b'x'; 5000], vec![b'\n'], b"short\n".to_vec()].concat();
        assert_eq!(whole_lines(&long).0.len(), 5001);
        let many = b"0123456789\n".repeat(1000);
        let (now, later) = whole_lines(&many);
        assert_eq!((now.len(), now.len() + later.len()), (4092, 11_000));
        assert_eq!(whole_lines(b"no end"), (&b"no end"[..], &b""[..]));
        assert_eq!(whole_lines(b""), (&b""[..], &b""[..]));
    }

    #[test]
    fn a_line_is_there_at_once_while_the_reader_reads() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut feeder = Feeder::start().unwrap();
        feeder.direct_to(File::from(std::os::fd::OwnedFd::from(writer)));
        let mut line = [0; 4];
        for _ in 0..1000 {
            assert!(feeder.feed(b"abc\n"));
            assert_eq!(feeder.waiting.load(Acquire), 0, "no thread was needed");
            reader.read_exact(&mut line).unwrap();
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut feeder = Feeder::start().unwrap();
        feeder.direct_to(File::from(std::os::fd::OwnedFd::from(writer)));
        let mut line = [b'x'; 1000];
        line[999] = b'\n';
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
