//! The loop: channels to listeners, the parent, the pool, the clock, and the operators' socket around one dispatcher.
//!
//! Runs in the checker, on its one thread; each of these is a task, and none holds the dispatcher over a wait. The
//! parent is trusted; its end is ours.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ipc::allow::Gate;
use ipc::config::Level;
use ipc::control::{self, Event, FromChild, ToChecker};
use ipc::status::House;
use sys::channel::{receive_with_fds, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::channel::{Channel, End};
use crate::dispatch::{Dispatcher, Origin};

/// tokio deprecates its safe constructor because a type's `AsRawFd` could name a descriptor that the type does not
/// own, and replaces it by an unsafe one; an `OwnedFd` owns its descriptor, and unsafe code has no place here.
#[expect(deprecated, reason = "sound for an OwnedFd")]
fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// Everything that the tasks share.
pub(crate) struct Checker {
    core: RefCell<Dispatcher>,
    parent: AsyncFd<OwnedFd>,
    channels: RefCell<HashMap<Origin, Rc<Channel>>>,
    last: Cell<u32>,
    house: RefCell<House>,
    stopping: Cell<bool>,
    /// When the clock's task will wake up, and how it is told to look again.
    armed_ns: Cell<u64>,
    rearm: Notify,
    changed: Notify,
}

impl Checker {
    /// Puts the parent's channel and a dispatcher together.
    pub(crate) fn new(core: Dispatcher, parent: OwnedFd) -> io::Result<Rc<Self>> {
        sys::descriptors::set_nonblocking(&parent)?;
        Ok(Rc::new(Self {
            core: RefCell::new(core),
            parent: watch(parent)?,
            channels: RefCell::default(),
            last: Cell::new(0),
            house: RefCell::default(),
            stopping: Cell::new(false),
            armed_ns: Cell::new(0),
            rearm: Notify::new(),
            changed: Notify::new(),
        }))
    }

    /// Tells the parent something. A parent that doesn't read is as good as gone; its end is noticed elsewhere.
    pub(crate) fn say(&self, message: &FromChild) {
        if let Some(packet) = control::encode(message) {
            let _ = send(self.parent.get_ref(), &packet);
        }
    }

    /// Serves until the parent is gone, or has asked to stop and every channel has ended.
    pub(crate) async fn serve(self: Rc<Self>, gate: Gate) -> io::Result<()> {
        spawn_local(Rc::clone(&self).watch_pool());
        spawn_local(Rc::clone(&self).watch_clock());
        let parent = spawn_local(Rc::clone(&self).obey(gate));
        while !(parent.is_finished() || self.is_done()) {
            self.changed.notified().await;
        }
        self.turn();
        self.core.borrow_mut().close();
        if parent.is_finished() { parent.await.unwrap_or(Ok(())) } else { Ok(()) }
    }

    fn is_done(&self) -> bool {
        self.stopping.get() && self.channels.borrow().is_empty()
    }

    /// What follows every event: the log is written, answers go out, the clock is set.
    fn turn(&self) {
        let mut core = self.core.borrow_mut();
        let channels = self.channels.borrow();
        let mut touched = BTreeSet::new();
        core.go_on_with_lists(|origin| {
            channels.get(&origin).is_some_and(|channel| channel.is_read())
        });
        for (origin, reply) in core.replies() {
            if let Some(channel) = channels.get(&origin) {
                channel.reply(&reply);
                touched.insert(origin);
            }
        }
        for (origin, answered) in core.answers() {
            if let Some(channel) = channels.get(&origin) {
                channel.answer(answered);
                touched.insert(origin);
            }
        }
        // First the log, then the answers: when a client has its answer, the event is written.
        if core.log().flush() {
            self.say(&FromChild::WantLog);
        }
        for channel in touched.iter().filter_map(|origin| channels.get(origin)) {
            channel.flush();
        }
        core.look_again();
        if core.next_due() < self.armed_ns.get() {
            self.rearm.notify_one();
        }
    }

    async fn watch_pool(self: Rc<Self>) {
        let pool = self.core.borrow().pool();
        loop {
            pool.wait().await;
            self.core.borrow_mut().finished();
            self.turn();
        }
    }

    async fn watch_clock(self: Rc<Self>) {
        loop {
            let due = self.core.borrow().next_due();
            self.armed_ns.set(due);
            let wait = Duration::from_nanos(due.saturating_sub(sys::clock::boot_nanoseconds()));
            if wait.is_zero() || tokio::time::timeout(wait, self.rearm.notified()).await.is_err() {
                self.core.borrow_mut().due();
                self.turn();
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads a listener's channel until it ends.
    async fn listen(self: Rc<Self>, origin: Origin, channel: Rc<Channel>) {
        let each = |message| self.core.borrow_mut().incoming(origin, message);
        let end = channel.read(each, || self.turn()).await;
        self.channels.borrow_mut().remove(&origin);
        self.core.borrow_mut().closed(origin);
        match end {
            End::Closed => {}
            End::Malformed(what) => {
                self.log(
                    Level::Error,
                    format_args!(
                        "the listener sent what it may not send ({what}); its channel is closed"
                    ),
                );
                // Nobody else knows that the listener has no channel any more.
                self.say(&FromChild::Event(Event::ListenerMalformed));
            }
            End::System(why) => {
                self.log(Level::Error, format_args!("the listener's channel broke: {why}"));
            }
        }
        self.changed.notify_one();
    }

    /// Logs a line of our own at once.
    pub(crate) fn log(&self, level: Level, what: std::fmt::Arguments<'_>) {
        self.core.borrow_mut().log().say(level, what);
        self.turn();
    }

    /// Obeys the parent until it is gone.
    async fn obey(self: Rc<Self>, mut gate: Gate) -> io::Result<()> {
        let outcome = self.obey_until_gone(&mut gate).await;
        self.changed.notify_one();
        outcome
    }

    async fn obey_until_gone(self: &Rc<Self>, gate: &mut Gate) -> io::Result<()> {
        let mut packet = vec![0; control::MAX_PACKET];
        loop {
            let mut ready = self.parent.readable().await?;
            let received =
                ready.try_io(|parent| receive_with_fds(parent.get_ref(), &mut packet, 1));
            let Ok(received) = received else { continue };
            let (length, mut descriptors) = match received {
                // A parent that ends without having read everything resets the channel.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                other => other?,
            };
            if length == 0 {
                return Ok(());
            }
            let message = control::decode(packet.get(..length).unwrap_or_default(), gate)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            self.told(message, descriptors.pop())?;
        }
    }

    fn told(self: &Rc<Self>, message: ToChecker, descriptor: Option<OwnedFd>) -> io::Result<()> {
        match (message, descriptor) {
            (ToChecker::Listener, Some(descriptor)) => self.open(descriptor)?,
            (ToChecker::Log, Some(descriptor)) => {
                let taken = self.core.borrow_mut().log().hand_over(descriptor);
                if let Err(why) = taken {
                    let what = format_args!("the log goes on as before: {why}");
                    self.core.borrow_mut().log().say(Level::Warning, what);
                }
                self.turn();
            }
            (ToChecker::Ping, None) => self.say(&FromChild::Alive),
            (ToChecker::House(house), None) => *self.house.borrow_mut() = house,
            (ToChecker::Stop, None) => {
                self.stopping.set(true);
                self.changed.notify_one();
            }
            _ => {
                let what = "the parent's message came without its descriptor, or with another's";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(())
    }

    fn open(self: &Rc<Self>, descriptor: OwnedFd) -> io::Result<()> {
        let origin = Origin(self.last.get());
        self.last.set(self.last.get().wrapping_add(1));
        let channel = Rc::new(Channel::new(descriptor)?);
        self.channels.borrow_mut().insert(origin, Rc::clone(&channel));
        self.core.borrow_mut().opened(origin);
        self.turn();
        spawn_local(Rc::clone(self).listen(origin, channel));
        Ok(())
    }

    /// Answers an operator with JSON and a line feed.
    pub(crate) fn operator(&self, request: &protocol::control::Request) -> String {
        let house = serde_json::to_value(&*self.house.borrow()).unwrap_or_default();
        let reply = self.core.borrow_mut().operator(request, house);
        self.turn();
        format!("{reply}\n")
    }
}
