//! What a child has to say, until the parent has taken it.
//!
//! Two queues with a limit each: what the parent acts on goes before what it only writes down. Nobody who says something
//! waits.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::watch;
use crate::control::{FromChild, Level, MAX_MESSAGE};

/// Most lines that wait.
const MOST_LINES: usize = 4096;
/// Most messages that wait.
const MOST_MESSAGES: usize = 1024;
/// The longest line; what is around it in its message is shorter than the rest.
const LONGEST_LINE: usize = MAX_MESSAGE / 2;
/// How long [`Outgoing::flush`] waits.
const FAREWELL: Duration = Duration::from_secs(1);

/// The queues' entrance.
#[derive(Debug)]
pub(super) struct Outgoing {
    messages: mpsc::Sender<FromChild>,
    lines: mpsc::Sender<Line>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    Log(Level, String),
    /// Tells whoever waits that all before it is gone.
    Flush(oneshot::Sender<()>),
}

impl Outgoing {
    /// Queues whose messages go out by this channel.
    pub(super) fn start(channel: Arc<AsyncFd<OwnedFd>>) -> Self {
        let (messages, incoming) = mpsc::channel(MOST_MESSAGES);
        let (lines, incoming_lines) = mpsc::channel(MOST_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        tokio::spawn(write(channel, incoming, incoming_lines, Arc::clone(&lost)));
        Self { messages, lines, lost }
    }

    pub(super) fn say(&self, message: FromChild) {
        if self.messages.try_send(message).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn log(&self, level: Level, mut text: String) {
        text.truncate(text.floor_char_boundary(LONGEST_LINE));
        if self.lines.try_send(Line::Log(level, text)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        let flushed = async {
            if self.lines.send(Line::Flush(done)).await.is_ok() {
                let _ = wait.await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, flushed).await;
    }
}

/// Sends what is queued until the parent is gone.
async fn write(
    channel: Arc<AsyncFd<OwnedFd>>,
    mut messages: mpsc::Receiver<FromChild>,
    mut lines: mpsc::Receiver<Line>,
    lost: Arc<AtomicU64>,
) {
    loop {
        let message = tokio::select! {
            biased;
            Some(message) = messages.recv() => message,
            Some(line) = lines.recv() => match line {
                Line::Log(level, text) => FromChild::Log { level, text },
                Line::Flush(done) => {
                    let _ = done.send(());
                    continue;
                }
            },
            else => return,
        };
        if send(&channel, &message).await.is_err() {
            return;
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let text = format!("{missing} lines for the log were lost: there were too many");
            let said = FromChild::Log { level: Level::Warning, text };
            if send(&channel, &said).await.is_err() {
                return;
            }
        }
    }
}

async fn send(channel: &AsyncFd<OwnedFd>, message: &FromChild) -> io::Result<()> {
    let packet = postcard::to_allocvec(message).map_err(io::Error::other)?;
    if packet.len() > MAX_MESSAGE {
        // Said by us and too long: nothing that the parent could use.
        return Ok(());
    }
    loop {
        match sys::channel::send(channel.get_ref(), &packet) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_room(channel).await?
            }
            Err(error) => return Err(error),
        }
    }
}

/// Watches a second descriptor for as long as there is no room: one that is always watched for it would be woken each
/// time that the parent reads.
async fn wait_for_room(channel: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let second = watch(channel.get_ref().try_clone()?, Interest::WRITABLE)?;
    second.writable().await.map(|_| ())
}
