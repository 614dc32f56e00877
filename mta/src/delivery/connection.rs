//! A connection to a next hop: bytes out, replies in, and an end to every wait.
//!
//! Runs in the sender. The other side may be hostile: what it sends is held one reply at a time, and a peer that sends
//! for ever, or never, costs one connection until the attempt ends.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use smtp::reply::{Broken, Reader, Received};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

/// How long we wait for what (RFC 5321 section 4.5.3.2, but for the first and the last three).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the replies to all commands but DATA, and for the handshake.
    pub command: Duration,
    /// For 354.
    pub data: Duration,
    /// For a piece of the message to be taken.
    pub block: Duration,
    /// For the reply after the message.
    pub end: Duration,
    /// For 221.
    pub quit: Duration,
    /// For a connection to be used again.
    pub idle: Duration,
    /// For all of an attempt.
    pub attempt: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            command: minutes(5),
            data: minutes(2),
            block: minutes(3),
            end: minutes(10),
            quit: Duration::from_secs(2),
            idle: Duration::from_secs(5),
            attempt: minutes(60),
        }
    }
}

/// Why a connection is of no use any more. What was not answered before is deferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The other side ended it.
    Closed,
    /// It did nothing for too long.
    Late,
    /// The system says why.
    Failed(String),
    /// It sent what is no reply.
    Broken(Broken),
    /// It sent a reply that can't be one to what was said.
    OutOfStep(String),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Late => f.write_str("the server did nothing for too long"),
            Self::Failed(why) => write!(f, "the connection failed: {why}"),
            Self::Broken(why) => write!(f, "the server's reply can't be read: {why}"),
            Self::OutOfStep(reply) => write!(f, "the server's reply makes no sense here: {reply}"),
        }
    }
}

impl From<io::Error> for Gone {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::Closed,
            io::ErrorKind::TimedOut => Self::Late,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// What a dialogue runs over.
pub enum Stream {
    /// TCP in the clear.
    Tcp(TcpStream),
    /// A socket of this host.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection, with what was read of it.
pub struct Connection {
    stream: Stream,
    replies: Reader,
    ends: Instant,
}

impl Connection {
    /// Connects by TCP.
    ///
    /// # Errors
    /// [`Gone`]: nobody is there, or it takes too long.
    pub async fn tcp(address: SocketAddr, limit: Duration, ends: Instant) -> Result<Self, Gone> {
        let end = ends.min(Instant::now() + limit);
        let connecting = TcpStream::connect(address);
        let stream = timeout_at(end, connecting).await.map_err(|_| Gone::Late)?;
        let stream = stream.map_err(|error| Gone::Failed(error.to_string()))?;
        // A dialogue of short lines waits for nothing.
        stream.set_nodelay(true)?;
        Ok(Self::new(Stream::Tcp(stream), ends))
    }

    /// Connects to a socket of this host.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn unix(path: &Path, limit: Duration, ends: Instant) -> Result<Self, Gone> {
        let end = ends.min(Instant::now() + limit);
        let stream = timeout_at(end, UnixStream::connect(path)).await.map_err(|_| Gone::Late)?;
        let stream = stream.map_err(|error| Gone::Failed(error.to_string()))?;
        Ok(Self::new(Stream::Unix(stream), ends))
    }

    /// Over this, until this moment at the latest; nothing is read of it yet.
    pub fn new(stream: Stream, ends: Instant) -> Self {
        Self { stream, replies: Reader::default(), ends }
    }

    /// Begins another attempt over it, with its own end.
    pub fn extend(&mut self, ends: Instant) {
        self.ends = ends;
    }

    /// Whether it is inside TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Whether more was read than replies were asked for.
    pub fn has_more(&self) -> bool {
        self.replies.has_more()
    }

    /// The TCP connection below, for a handshake; `None` when it isn't in the clear, or when anything came after the last
    /// reply: whoever sent that spoke before the server's keys did (I1).
    pub fn into_clear(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Tcp(stream) if !self.replies.has_more() => {
                let silent = matches!(
                    stream.try_read(&mut [0]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock
                );
                silent.then_some(stream)
            }
            _ => None,
        }
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Gone> {
        let end = self.ends.min(Instant::now() + limit);
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout_at(end, sending).await.map_err(|_| Gone::Late)?.map_err(Gone::from)
    }

    /// The next reply.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn reply(&mut self, limit: Duration) -> Result<Received, Gone> {
        let end = self.ends.min(Instant::now() + limit);
        let mut chunk = [0; 4096];
        loop {
            if let Some(reply) = self.replies.next().map_err(Gone::Broken)? {
                return Ok(reply);
            }
            let reading = self.stream.read(&mut chunk);
            let count = timeout_at(end, reading).await.map_err(|_| Gone::Late)??;
            if count == 0 {
                return Err(Gone::Closed);
            }
            self.replies.push(chunk.get(..count).unwrap_or_default());
        }
    }

    /// Says good-bye, and doesn't wait long for an answer.
    pub async fn quit(mut self, limit: Duration) {
        self.ends = Instant::now() + limit;
        if self.send(b"QUIT\r\n", limit).await.is_ok() {
            let _ = self.reply(limit).await;
        }
        let _ = timeout_at(self.ends, self.stream.shutdown()).await;
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
