//! When messages arrive: the kernel tells, and a look at the directory now and then makes sure.
//!
//! Runs in the sender. Trusts the kernel's word only to come at once, not to come at all.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use super::{Id, Queue, Trouble};

/// How long an arrival that nobody told of may stay unseen.
const LOOK: Duration = Duration::from_secs(30);

/// Tells of messages that arrive.
pub struct Arrivals {
    queue: Queue,
    /// Registered with the runtime by the first [`Self::next`].
    waiting: Waiting,
    looked: bool,
}

enum Waiting {
    Not(Option<Watch>),
    For(AsyncFd<Watch>),
}

struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Arrivals {
    pub(super) fn new(queue: Queue) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(queue.0.incoming.path(), AddWatchFlags::IN_MOVED_TO)?;
        Ok(Self { queue, waiting: Waiting::Not(Some(Watch(inotify))), looked: false })
    }

    /// Messages that wait in `incoming/`, in the order of their ids: at once what is there when it is called first, then
    /// when something came. May be empty, and may name what was named before, if nobody took it. Reads a directory,
    /// which may block for a moment.
    ///
    /// # Errors
    /// The disk's.
    pub async fn next(&mut self) -> Result<Vec<Id>, Trouble> {
        if std::mem::replace(&mut self.looked, true) {
            // Late is better than never.
            let _ = tokio::time::timeout(LOOK, self.told()).await;
        }
        self.queue.arrived()
    }

    /// Waits for the kernel's word, and forgets what it said: the directory says more.
    async fn told(&mut self) -> io::Result<()> {
        if let Waiting::Not(watch) = &mut self.waiting {
            let watch = watch.take().ok_or(io::ErrorKind::NotConnected)?;
            self.waiting = Waiting::For(register(watch)?);
        }
        let Waiting::For(watch) = &self.waiting else { return Ok(()) };
        let mut ready = watch.readable().await?;
        loop {
            match watch.get_ref().0.read_events() {
                Ok(_) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}

/// The kernel's queue stays ours, and open, as long as the runtime looks at it.
#[expect(deprecated, reason = "the way that isn't deprecated is unsafe, and sound for what we own")]
fn register(watch: Watch) -> io::Result<AsyncFd<Watch>> {
    AsyncFd::new(watch)
}
