//! One channel to a listener: frames in, answers out, many to a system call.
//!
//! Runs in the checker's loop. The listener may have been taken over: a malformed frame ends its channel, and one that
//! asks without reading its answers is not read from any more until it does. Bytes that were read are wiped when
//! they have been taken apart, since they hold passwords.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::task::{Context, Poll, Waker};

use ipc::Malformed;
use ipc::exchange::Reply;
use ipc::requests::{Answered, Incoming, Outgoing, Requests};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

/// Bytes read at a time: a thousand logins, or a few of the longest.
const READ: usize = 128 * 1024;

/// Answers that may wait for the listener to read, in bytes; above that nothing more is read from it.
const MOST_UNSENT: usize = 1024 * 1024;

/// A channel, shared by the task that reads it and those that answer.
pub(crate) struct Channel {
    stream: UnixStream,
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
        let stream = StdStream::from(descriptor);
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
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
            match self.stream.try_write(unsent.as_bytes()) {
                Ok(count) => unsent.sent(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
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
            let count = match self.stream.try_read(buffer.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => return End::Closed,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return End::System(error),
            };
            match take_apart(&mut requests, &mut buffer, filled + count, &each) {
                Ok(rest) => filled = rest,
                Err(malformed) => return End::Malformed(malformed),
            }
            turn();
            // Other tasks have their turn between two batches, however fast the listener asks.
            tokio::task::yield_now().await;
        }
    }

    fn ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        if self.ended.get() {
            return Poll::Ready(Ok(Ready::Read));
        }
        let unsent = self.unsent.borrow().as_bytes().len();
        if unsent > 0
            && let Poll::Ready(ready) = self.stream.poll_write_ready(context)
        {
            return Poll::Ready(ready.map(|()| Ready::Write));
        }
        if unsent <= MOST_UNSENT
            && let Poll::Ready(ready) = self.stream.poll_read_ready(context)
        {
            return Poll::Ready(ready.map(|()| Ready::Read));
        }
        *self.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
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
