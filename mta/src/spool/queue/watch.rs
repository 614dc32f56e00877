//! When messages arrive: the kernel tells, and a look at the directory now and then makes sure.
//!
//! Runs in the sender. Trusts the kernel's word only to come at once, not to come at all.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::{Id, Queue, Trouble};

/// How long an arrival that nobody told of may stay unseen.
const LOOK: Duration = Duration::from_secs(30);
/// How long when the kernel's word could not be heard.
const SOON: Duration = Duration::from_secs(1);

/// Tells of messages that arrive.
pub struct Arrivals {
    queue: Queue,
    /// Registered with the runtime by the first [`Self::next`].
    waiting: Waiting,
    /// When the directory is listed again.
    look: Option<Instant>,
}

enum Waiting {
    Not(Option<Watch>),
    For(AsyncFd<Watch>),
}

/// What the kernel said.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// These have come.
    Of(Vec<Id>),
    /// More than it could keep in mind.
    TooMuch,
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
        Ok(Self { queue, waiting: Waiting::Not(Some(Watch(inotify))), look: None })
    }

    /// Messages that wait in `incoming/`, in the order of their ids: at once what is there when it is called first, then
    /// what the kernel tells of, and now and then all that is there. May be empty, and may name what was named before, if
    /// nobody took it. Lists a directory only now and then: under load that would be one long look for each message.
    ///
    /// # Errors
    /// The disk's.
    pub async fn next(&mut self) -> Result<Vec<Id>, Trouble> {
        if let Some(look) = self.look {
            // Late is better than never.
            match timeout_at(look, self.told()).await {
                Ok(Ok(Told::Of(ids))) => return Ok(ids),
                Ok(Ok(Told::TooMuch)) | Err(_) => {}
                // Nobody tells: then there is no need to ask at once, nor again and again.
                Ok(Err(_)) => tokio::time::sleep(SOON).await,
            }
        }
        self.look = Some(Instant::now() + LOOK);
        self.queue.arrived()
    }

    /// Waits for the kernel's word.
    async fn told(&mut self) -> io::Result<Told> {
        if let Waiting::Not(watch) = &mut self.waiting {
            let watch = watch.take().ok_or(io::ErrorKind::NotConnected)?;
            self.waiting = Waiting::For(register(watch)?);
        }
        let Waiting::For(watch) = &self.waiting else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut ready = watch.readable().await?;
        let mut ids = Vec::new();
        loop {
            match watch.get_ref().0.read_events() {
                Ok(events) => {
                    if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW))
                    {
                        return Ok(Told::TooMuch);
                    }
                    ids.extend(
                        events
                            .iter()
                            .filter_map(|event| Id::parse(event.name.as_ref()?.as_encoded_bytes())),
                    );
                }
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        ids.sort_unstable();
        Ok(Told::Of(ids))
    }
}

/// The kernel's queue stays ours, and open, as long as the runtime looks at it.
#[expect(deprecated, reason = "the way that isn't deprecated is unsafe, and sound for what we own")]
fn register(watch: Watch) -> io::Result<AsyncFd<Watch>> {
    AsyncFd::new(watch)
}
