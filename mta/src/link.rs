//! A child's end of its channel to the parent: orders, the log, and connections to the daemon that the child itself
//! could not make.
//!
//! Runs in receiver and sender, on their runtime. The parent is believed, but a message that cannot be right ends the
//! orders, and with them the process. Nothing here makes a session wait for the parent without a deadline: a line for the
//! log is queued or counted as lost, never waited for.

mod outgoing;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sys::{channel, descriptors, sealed};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::control::{FromChild, Kept, Level, MAX_MESSAGE, Material, Reached, Socket, ToChild};
use outgoing::Outgoing;

/// How long a connection may take; the parent answers in a moment or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections that are waited for.
const MOST_PENDING: usize = 256;
/// Most orders that wait to be carried out.
const MOST_ORDERS: usize = 16;
/// Most bytes of [`Material`].
pub const MOST_MATERIAL: u64 = 64 * 1024 * 1024;

/// What the parent wants.
#[derive(Debug)]
pub enum Order {
    /// Work by this from now on; [`FromChild::Loaded`] is the answer.
    Load(Box<Material>),
    /// Accept clients of these from now on and of no other: each with the index of its [`crate::config::Listener`].
    Listen(Vec<(usize, TcpListener)>),
    /// Hear operators here.
    Control(UnixListener),
    /// So much is in the spool.
    Queue(Kept),
    /// Finish what was begun within a few seconds, and end.
    Stop,
}

/// What the parent wants, one after the other.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

impl Orders {
    /// The next one. `None` means that the parent is gone or says what makes no sense: end at once.
    pub async fn next(&mut self) -> Option<Order> {
        self.0.recv().await
    }
}

/// Waits for the first [`ToChild::Load`], before there is a runtime: a child confines itself to what stands in it, and
/// that before any thread exists. [`Link::open`] comes after it.
///
/// # Errors
/// The parent is gone, or says something else first.
pub fn first(channel: &OwnedFd) -> io::Result<Material> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let (length, mut descriptors) = channel::receive_with_fds(channel, &mut buffer, 1)?;
    let packet = buffer.get(..length).unwrap_or_default();
    match postcard::from_bytes(packet).map_err(io::Error::other)? {
        ToChild::Load { length } => material(first_of(&mut descriptors)?, length),
        _ => Err(io::Error::other("the parent said something else before what to work by")),
    }
}

/// The child's end. A clone is the same end.
#[derive(Clone, Debug)]
pub struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    outgoing: Outgoing,
    numbers: AtomicU32,
    pending: Mutex<HashMap<u32, oneshot::Sender<io::Result<UnixStream>>>>,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<io::Result<UnixStream>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Takes the channel ([`descriptors::CHANNEL`]) into use. To be called on the runtime that it is to live on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(channel: OwnedFd) -> io::Result<(Self, Orders)> {
        descriptors::set_nonblocking(&channel)?;
        let channel = Arc::new(watch(channel, Interest::READABLE)?);
        let link = Self(Arc::new(Shared {
            outgoing: Outgoing::start(Arc::clone(&channel)),
            numbers: AtomicU32::new(0),
            pending: Mutex::default(),
        }));
        let (orders, receiver) = mpsc::channel(MOST_ORDERS);
        tokio::spawn(hear(channel, Arc::clone(&link.0), orders));
        Ok((link, Orders(receiver)))
    }

    /// A connection to the daemon, which the parent makes.
    ///
    /// # Errors
    /// The daemon isn't there, or the parent doesn't answer in time. The next attempt may succeed.
    pub async fn connect(&self, socket: Socket) -> io::Result<UnixStream> {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut pending = self.0.pending();
            if pending.len() >= MOST_PENDING {
                return Err(io::Error::other("too many connections to the daemon are waited for"));
            }
            pending.insert(number, answer);
        }
        let _entry = Pending { shared: &self.0, number };
        self.say(FromChild::Connect { number, socket });
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(_)) => Err(io::Error::other("the parent is gone")),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the parent did not connect to the daemon in time",
            )),
        }
    }

    /// A line for the log. Returns at once; where there is no room the line is lost, counted, and the count is logged
    /// when there is room again. What is too long is cut.
    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.0.outgoing.log(level, text.into());
    }

    /// Says something to the parent. Returns at once; the parent reads it before any line of the log that waits.
    pub fn say(&self, message: FromChild) {
        self.0.outgoing.say(message);
    }

    /// Waits until everything said so far is with the parent, at most a second: before the process ends.
    pub async fn flush(&self) {
        self.0.outgoing.flush().await;
    }
}

/// Forgets what nobody waits for any more.
struct Pending<'a> {
    shared: &'a Shared,
    number: u32,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.pending().remove(&self.number);
    }
}

/// Reads the channel until its end.
async fn hear(channel: Arc<AsyncFd<OwnedFd>>, shared: Arc<Shared>, orders: mpsc::Sender<Order>) {
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let Ok(mut guard) = channel.readable().await else { break };
        let received =
            channel::receive_with_fds(channel.get_ref(), &mut buffer, channel::MAX_DESCRIPTORS);
        let (length, descriptors) = match received {
            Ok((0, _)) => break,
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                guard.clear_ready();
                continue;
            }
            Err(_) => break,
        };
        let packet = buffer.get(..length).unwrap_or_default();
        match take(&shared, packet, descriptors) {
            Ok(None) => {}
            Ok(Some(order)) => {
                if orders.send(order).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                shared.outgoing.log(Level::Error, format!("an order makes no sense: {error}"));
                break;
            }
        }
    }
    shared.pending().clear();
}

/// Makes an order of a message, or answers who waits for a connection.
fn take(
    shared: &Shared,
    packet: &[u8],
    mut descriptors: Vec<OwnedFd>,
) -> io::Result<Option<Order>> {
    let message = postcard::from_bytes(packet).map_err(io::Error::other)?;
    let expected = match &message {
        ToChild::Load { .. } | ToChild::Control => 1,
        ToChild::Listen(listeners) => listeners.len(),
        ToChild::Connection { reached: Reached::Yes, .. } => 1,
        ToChild::Connection { .. } | ToChild::Queue(_) | ToChild::Stop => 0,
    };
    if descriptors.len() != expected {
        return Err(io::Error::other("it came with another number of descriptors"));
    }
    let order = match message {
        ToChild::Load { length } => {
            let bytes = first_of(&mut descriptors).and_then(|fd| material(fd, length))?;
            Order::Load(Box::new(bytes))
        }
        ToChild::Listen(listeners) => {
            let sockets = listeners.into_iter().zip(descriptors);
            let listen = sockets.map(|(listening, fd)| {
                descriptors::set_nonblocking(&fd)?;
                let socket = TcpListener::from_std(std::net::TcpListener::from(fd))?;
                Ok((listening.index, socket))
            });
            Order::Listen(listen.collect::<io::Result<_>>()?)
        }
        ToChild::Control => {
            let fd = first_of(&mut descriptors)?;
            descriptors::set_nonblocking(&fd)?;
            Order::Control(UnixListener::from_std(StdUnixListener::from(fd))?)
        }
        ToChild::Connection { number, reached } => {
            let connection = match reached {
                Reached::Yes => first_of(&mut descriptors).and_then(stream),
                Reached::No(why) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, why)),
            };
            // Whoever gave up meanwhile has no entry; the connection is closed then.
            if let Some(waiting) = shared.pending().remove(&number) {
                let _ = waiting.send(connection);
            }
            return Ok(None);
        }
        ToChild::Queue(kept) => Order::Queue(kept),
        ToChild::Stop => Order::Stop,
    };
    Ok(Some(order))
}

fn first_of(descriptors: &mut Vec<OwnedFd>) -> io::Result<OwnedFd> {
    descriptors.pop().ok_or_else(|| io::Error::other("a descriptor is missing"))
}

fn stream(fd: OwnedFd) -> io::Result<UnixStream> {
    descriptors::set_nonblocking(&fd)?;
    UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))
}

fn material(fd: OwnedFd, length: u64) -> io::Result<Material> {
    let bounded = (length <= MOST_MATERIAL).then(|| usize::try_from(length).ok()).flatten();
    let length = bounded.ok_or_else(|| io::Error::other("more material than anybody needs"))?;
    let bytes = zeroize::Zeroizing::new(sealed::read(fd, length)?);
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

/// Watches a nonblocking descriptor for `interest`.
///
/// tokio deprecates its safe constructor because a type's `AsRawFd` could name a descriptor that the type does not
/// own, and replaces it by an unsafe one; an `OwnedFd` owns its descriptor, and this crate forbids unsafe code.
#[expect(deprecated, reason = "sound for an OwnedFd")]
fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

#[cfg(test)]
mod tests;
