//! One channel to a listener: frames in, answers out, many to a system call.
//!
//! Runs in the checker's loop. The listener may have been taken over: a malformed frame ends its channel, and one that
//! asks without reading its answers is not read from any more until it does. Bytes that were read are wiped when
//! they have been taken apart, since they hold passwords.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker, ready};

use ipc::Malformed;
use ipc::exchange::Reply;
use ipc::requests::{Answered, Incoming, Outgoing, Requests};
use sys::peer;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zeroize::Zeroizing;

/// Bytes read at a time: a thousand logins, or a few of the longest.
const READ: usize = 128 * 1024;

/// Answers that may wait for the listener to read, in bytes; above that nothing more is read from it.
const MOST_UNSENT: usize = 1024 * 1024;

/// See `serve`: sound for an `OwnedFd`, and tokio's other constructor is unsafe.
#[expect(deprecated, reason = "sound for an OwnedFd")]
fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// A channel, shared by the task that reads it and those that answer.
pub(crate) struct Channel {
    /// Watched for reading alone: whoever waits for room is woken each time that the listener takes bytes out.
    stream: AsyncFd<OwnedFd>,
    /// A second descriptor of it, watched for as long as there is no room.
    room: RefCell<Option<AsyncFd<OwnedFd>>>,
    unsent: RefCell<Outgoing>,
    reader: RefCell<Option<Waker>>,
    ended: Cell<bool>,
}

/// Why a channel ended.
pub(crate) enum End {
    /// The listener closed it.
    Closed,
    /// The listener sent what it may not send.
    Malformed(Malformed),
    /// The system's fault.
    System(io::Error),
}

/// What the channel can do now.
enum Ready {
    Read,
    Write,
}

impl Channel {
    /// Takes over a connected stream socket.
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        sys::descriptors::set_nonblocking(&descriptor)?;
        Ok(Self {
            stream: watch(descriptor, Interest::READABLE)?,
            room: RefCell::default(),
            unsent: RefCell::default(),
            reader: RefCell::default(),
            ended: Cell::new(false),
        })
    }

    /// Collects an answer; [`Self::flush`] sends it.
    pub(crate) fn answer(&self, answered: Answered) {
        self.unsent.borrow_mut().answer(answered);
    }

    /// Collects what is said of an exchange or a search; [`Self::flush`] sends it.
    pub(crate) fn reply(&self, reply: &Reply) {
        self.unsent.borrow_mut().reply(reply);
    }

    /// Whether the listener has read enough for more than answers.
    pub(crate) fn is_read(&self) -> bool {
        self.unsent.borrow().as_bytes().len() <= MOST_UNSENT
    }

    /// Sends what can be sent; the reading task sends the rest when the listener has read.
    pub(crate) fn flush(&self) {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() && !self.ended.get() {
            match peer::send(self.stream.get_ref(), unsent.as_bytes()) {
                Ok(count) => unsent.sent(count),
                Err(error) => {
                    self.ended.set(error.kind() != ErrorKind::WouldBlock);
                    if let Some(reader) = self.reader.borrow_mut().take() {
                        reader.wake();
                    }
                    return;
                }
            }
        }
    }

    /// Reads until the channel ends. `each` is called with every message, and `turn` after each batch of them.
    pub(crate) async fn read(&self, each: impl Fn(Incoming), turn: impl Fn()) -> End {
        let mut buffer = Zeroizing::new(vec![0; READ]);
        let mut filled = 0;
        let mut requests = Requests::default();
        loop {
            match poll_fn(|context| self.ready(context)).await {
                Err(error) => return End::System(error),
                Ok(Ready::Write) => {
                    self.flush();
                    continue;
                }
                Ok(Ready::Read) => {}
            }
            if self.ended.get() {
                return End::Closed;
            }
            let count = match self.receive(buffer.get_mut(filled..).unwrap_or_default()).await {
                Ok(0) => return End::Closed,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return End::System(error),
            };
            let is_full = filled + count == buffer.len();
            match take_apart(&mut requests, &mut buffer, filled + count, &each) {
                Ok(rest) => filled = rest,
                Err(malformed) => return End::Malformed(malformed),
            }
            turn();
            // Other tasks have their turn between two batches, however fast the listener asks; a channel that was
            // read empty waits by itself.
            if is_full {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads once, when the channel was ready.
    async fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        let mut guard = self.stream.readable().await?;
        let received = peer::receive(self.stream.get_ref(), room);
        // A short read took everything; what comes later makes the channel ready again.
        if !matches!(received, Ok(count) if count == 0 || count == room.len()) {
            guard.clear_ready();
        }
        received
    }

    fn ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        if self.ended.get() {
            return Poll::Ready(Ok(Ready::Read));
        }
        let unsent = self.unsent.borrow().as_bytes().len();
        if unsent == 0 {
            self.room.take();
        } else if let Poll::Ready(ready) = self.poll_room(context) {
            return Poll::Ready(ready.map(|()| Ready::Write));
        }
        if unsent <= MOST_UNSENT
            && let Poll::Ready(ready) = self.stream.poll_read_ready(context)
        {
            return Poll::Ready(ready.map(|_| Ready::Read));
        }
        *self.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ready when the listener has taken bytes out since the channel was full.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = self.room.borrow_mut();
        let second = match room.take() {
            Some(second) => second,
            None => watch(self.stream.get_ref().try_clone()?, Interest::WRITABLE)?,
        };
        let mut guard = ready!(room.insert(second).poll_write_ready(context))?;
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }
}

/// Hands on every whole message of the buffer, moves what is left to its front and wipes the rest.
fn take_apart(
    requests: &mut Requests,
    buffer: &mut [u8],
    filled: usize,
    each: &impl Fn(Incoming),
) -> Result<usize, Malformed> {
    let mut used = 0;
    while let Some((message, length)) =
        requests.next(buffer.get(used..filled).unwrap_or_default())?
    {
        used += length;
        each(message);
    }
    let rest = filled - used;
    buffer.copy_within(used..filled, 0);
    zeroize::Zeroize::zeroize(buffer.get_mut(rest..filled).unwrap_or_default());
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as StdStream;

    use ipc::requests::{Answers, FromChecker, Peer, Source, Verify};
    use protocol::{Answer, Name, Password};

    use super::*;

    fn request(id: u64) -> Outgoing {
        let mut outgoing = Outgoing::default();
        outgoing.verify(&Verify {
            id,
            socket: 0,
            peer: Peer { pid: 1, uid: 2, gid: 3 },
            source: Source::Absent,
            login: Name::new(b"alice").unwrap(),
            password: Password::new(b"sentinel-password").unwrap(),
            service: Name::new(b"").unwrap(),
            realm: Name::new(b"").unwrap(),
        });
        outgoing
    }

    #[test]
    fn d5_what_was_read_is_wiped() {
        let mut buffer = vec![0; 4096];
        let (one, two) = (request(1), request(2));
        let bytes = [one.as_bytes(), two.as_bytes()].concat();
        let filled = bytes.len() - 3;
        buffer[..filled].copy_from_slice(&bytes[..filled]);
        let seen = RefCell::new(Vec::new());
        let each = |message| {
            let Incoming::Verify(request) = message else { unreachable!() };
            seen.borrow_mut().push(request.id);
        };
        let rest = take_apart(&mut Requests::default(), &mut buffer, filled, &each).unwrap();
        assert_eq!((&*seen.borrow(), rest), (&vec![1], two.as_bytes().len() - 3));
        assert!(buffer[rest..].iter().all(|byte| *byte == 0));
        assert_eq!(&buffer[..rest], &two.as_bytes()[..rest]);
    }

    fn with_channel(test: impl AsyncFnOnce(Channel, StdStream)) {
        let (ours, theirs) = StdStream::pair().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async { test(Channel::new(ours.into()).unwrap(), theirs).await });
    }

    #[test]
    fn a_malformed_frame_ends_the_channel() {
        with_channel(async |channel, mut theirs| {
            io::Write::write_all(&mut theirs, &[5, 0, 0, 0, 99, 0, 0, 0, 0]).unwrap();
            let end = channel.read(|_| unreachable!(), || {}).await;
            assert!(matches!(end, End::Malformed(Malformed::UnknownTag(99))));
        });
    }

    #[test]
    fn answers_wait_for_a_slow_reader_and_none_is_lost() {
        with_channel(async |channel, mut theirs| {
            const COUNT: u64 = 100_000;
            for id in 0..COUNT {
                channel.answer(Answered { id, answer: Answer::Refuse });
            }
            channel.flush();
            let unsent = channel.unsent.borrow().as_bytes().len();
            assert!(unsent > 0, "the socket took everything; the test needs more answers");
            let reader = std::thread::spawn(move || {
                let (mut bytes, mut answers, mut next) = (Vec::new(), Answers::default(), 0);
                let mut chunk = [0; 65536];
                while next < COUNT {
                    let count = io::Read::read(&mut theirs, &mut chunk).unwrap();
                    bytes.extend_from_slice(&chunk[..count]);
                    let mut used = 0;
                    while let Some((message, length)) = answers.next(&bytes[used..]).unwrap() {
                        let FromChecker::Answered(answered) = message else { unreachable!() };
                        assert_eq!(answered.id, next);
                        (next, used) = (next + 1, used + length);
                    }
                    bytes.drain(..used);
                }
            });
            assert!(matches!(channel.read(|_| unreachable!(), || {}).await, End::Closed));
            reader.join().unwrap();
        });
    }
}
