//! What the receiver has put into `incoming/`: told by the kernel at once, and looked for each minute.
//!
//! Runs in the sender. A name there is a stranger's word until the queue has taken the file.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::spool::id::Id;

/// Between two looks at all that is there.
pub(super) const LOOK: Duration = Duration::from_secs(60);

/// The kernel's word for new files.
pub struct Arrivals {
    inotify: Inotify,
    ready: AsyncFd<OwnedFd>,
}

/// What to do.
pub(super) enum News {
    /// Take these.
    Named(Vec<Id>),
    /// Look at all that is there: names were lost.
    Lost,
}

impl Arrivals {
    /// Watches `incoming/` below the spool. To be called on the runtime, before the process is confined.
    ///
    /// # Errors
    /// The kernel's.
    pub fn watch(spool: &Path) -> std::io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(&spool.join("incoming"), AddWatchFlags::IN_MOVED_TO)?;
        let descriptor = std::os::fd::AsFd::as_fd(&inotify).try_clone_to_owned()?;
        Ok(Self { inotify, ready: watched(descriptor)? })
    }

    /// The next news.
    pub(super) async fn next(&self) -> std::io::Result<News> {
        loop {
            let mut guard = self.ready.readable().await?;
            match self.inotify.read_events() {
                Ok(events) => {
                    if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW))
                    {
                        return Ok(News::Lost);
                    }
                    let names = events.iter().filter_map(|event| event.name.as_ref());
                    let ids: Vec<Id> =
                        names.filter_map(|name| Id::parse(name.as_encoded_bytes())).collect();
                    if !ids.is_empty() {
                        return Ok(News::Named(ids));
                    }
                }
                Err(nix::errno::Errno::EAGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// tokio deprecates its safe constructor for types that could name a descriptor that they don't own; this one owns it.
#[expect(deprecated, reason = "sound for an OwnedFd")]
fn watched(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
