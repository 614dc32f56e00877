//! The bytes of one connection: lines and pieces of messages in, replies out in batches, each wait with a deadline.
//!
//! Runs in the receiver. Nothing is trusted. Between two commands a connection holds no buffer of ours: thousands of
//! them wait. What a client doesn't take is not piled up: beyond [`MOST_UNSENT`] nothing more of it is heard.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smtp::line::{Limits, Splitter};
use smtp::reply::Reply;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::server::TlsStream;
use zeroize::Zeroize;

/// Bytes read at a time: a record of TLS.
const CHUNK: usize = 16 * 1024;
/// Replies that wait for their client, in bytes.
pub(super) const MOST_UNSENT: usize = 16 * 1024;

/// What a session can be held over.
pub trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Carrier for S {}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As asked, or as was said in the last reply.
    Said,
    /// The client is gone, or its connection is broken.
    Gone,
    /// It took too long.
    Late,
    /// This process ends.
    Stopping,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A connection, in the clear or inside TLS.
enum Stream<S> {
    Clear(S),
    Tls(Box<TlsStream<S>>),
    /// While the handshake has it.
    Away,
}

/// A connection with what was read and what is to be said.
pub(super) struct Wire<S> {
    stream: Stream<S>,
    /// What was read and not yet understood.
    pub(super) lines: Splitter,
    unsent: Vec<u8>,
}

impl<S: Carrier> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream: Stream::Clear(stream),
            lines: Splitter::new(Limits::default()),
            unsent: Vec::new(),
        }
    }

    /// The naked connection, for the handshake.
    pub(super) fn take(&mut self) -> Option<S> {
        match std::mem::replace(&mut self.stream, Stream::Away) {
            Stream::Clear(stream) => Some(stream),
            other => {
                self.stream = other;
                None
            }
        }
    }

    /// Goes on inside TLS. What was read before is no part of it.
    pub(super) fn enter(&mut self, stream: TlsStream<S>) {
        self.stream = Stream::Tls(Box::new(stream));
        self.lines = Splitter::new(Limits::default());
        self.unsent = Vec::new();
    }

    /// Adds a reply to those that wait.
    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.unsent);
    }

    /// Whether a client must take some replies before more of it is heard.
    pub(super) fn is_full(&self) -> bool {
        self.unsent.len() >= MOST_UNSENT
    }

    /// Sends the replies that wait, in one write if the client takes them.
    pub(super) async fn flush(&mut self, deadline: Instant) -> Result<(), End> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.stream.write_all(&self.unsent).await?;
            self.stream.flush().await
        };
        timeout_at(deadline, sent).await.map_err(|_| End::Late)??;
        // A challenge, or a long list, is not worth keeping room for.
        self.unsent = Vec::new();
        Ok(())
    }

    /// Waits for more, and adds it to [`Self::lines`].
    pub(super) async fn listen(
        &mut self,
        deadline: Instant,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        self.lines.release();
        let Self { stream, lines, .. } = self;
        let read = poll_fn(|context| {
            stream.poll_chunk(context, |chunk| {
                lines.push(chunk);
                // It may be a password.
                chunk.zeroize();
            })
        });
        tokio::select! {
            biased;
            read = read => if read? == 0 { Err(End::Gone) } else { Ok(()) },
            () = sleep_until(deadline) => Err(End::Late),
            // Whoever could say so is gone only when all is.
            _ = stopping.wait_for(|stopping| *stopping) => Err(End::Stopping),
        }
    }

    /// Waits for more of a message, gives it to `take`, which says how much of it belonged to the message, and keeps the
    /// rest as lines. Says how much was read.
    pub(super) async fn hear(
        &mut self,
        deadline: Instant,
        mut take: impl FnMut(&[u8]) -> usize,
    ) -> Result<usize, End> {
        let Self { stream, lines, .. } = self;
        let read = poll_fn(|context| {
            stream.poll_chunk(context, |chunk| {
                let taken = take(chunk);
                let rest = chunk.get(taken..).unwrap_or_default();
                if !rest.is_empty() {
                    lines.push(rest);
                }
            })
        });
        match timeout_at(deadline, read).await {
            Err(_) => Err(End::Late),
            Ok(Ok(0)) => Err(End::Gone),
            Ok(read) => Ok(read?),
        }
    }

    /// Ends the connection in good order: the end of TLS is said.
    pub(super) async fn close(&mut self, deadline: Instant) {
        let _ = timeout_at(deadline, self.stream.shutdown()).await;
    }

    /// Reads exactly so many bytes, before anything else is.
    pub(super) async fn read_exactly(
        &mut self,
        count: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<()> {
        let start = into.len();
        into.resize(start + count, 0);
        let place = into.get_mut(start..).unwrap_or_default();
        tokio::io::AsyncReadExt::read_exact(&mut self.stream, place).await.map(drop)
    }
}

impl<S: Carrier> Stream<S> {
    /// Reads once into the stack; nothing is held while a client is silent.
    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); CHUNK];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(self).poll_read(context, &mut buffer))?;
        let length = buffer.filled().len();
        if length > 0 {
            take(buffer.filled_mut());
        }
        Poll::Ready(Ok(length))
    }
}

impl<S: Carrier> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Self::Away => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: Carrier> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Self::Away => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Self::Away => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Self::Away => Poll::Ready(Ok(())),
        }
    }
}
