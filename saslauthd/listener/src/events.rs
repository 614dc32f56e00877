//! What the parent is told, at most once a second of each kind, so that a flood of strangers is no flood
//! of log lines.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipc::control::{self, Event, FromChild};
use sys::peer;
use tokio::io::unix::AsyncFd;

/// The way to the parent.
pub(crate) struct Events {
    parent: Rc<AsyncFd<OwnedFd>>,
    last: RefCell<[Option<Instant>; 3]>,
}

impl Events {
    /// Tells the parent by this channel.
    pub(crate) fn new(parent: Rc<AsyncFd<OwnedFd>>) -> Self {
        Self { parent, last: RefCell::default() }
    }

    /// Tells an event, unless one of its kind was told a moment ago.
    pub(crate) fn send(&self, event: Event) {
        let kind = match event {
            Event::PeerNotAllowed { .. } => 0,
            Event::Full { .. } => 1,
            // The last one is the checker's to say.
            Event::CheckerMalformed | Event::ListenerMalformed => 2,
        };
        let now = Instant::now();
        let mut last = self.last.borrow_mut();
        let Some(last) = last.get_mut(kind) else { return };
        if last.is_some_and(|last| now.duration_since(last) < Duration::from_secs(1)) {
            return;
        }
        *last = Some(now);
        self.say(&FromChild::Event(event));
    }

    /// All places are taken.
    pub(crate) fn full(&self, connections: usize) {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        self.send(Event::Full { connections });
    }

    /// Sends a message to the parent. When it doesn't fit, the parent is behind or gone, and finds out.
    pub(crate) fn say(&self, message: &FromChild) {
        if let Some(packet) = control::encode(message) {
            let _ = peer::send(self.parent.get_ref(), &packet);
        }
    }
}
