//! A small blocking client of a policy socket, with deadlines, for the tools and the mta.
//!
//! Runs in whoever asks. It trusts the server with its answer and nothing else, and never waits for ever. An error is
//! no answer, and no answer is never a yes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Action, Request, decode_reply};

/// A connection that any number of requests go over, one after the other.
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects to a policy socket.
    ///
    /// # Errors
    /// Those of the connection: no such socket, permission.
    pub fn open(socket: &Path) -> io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(socket)? })
    }

    /// Asks one question.
    ///
    /// # Errors
    /// Those of the connection, a deadline that passed, a connection that was closed without an answer, and
    /// [`io::ErrorKind::InvalidData`] for an answer that is none. The connection is of no use afterwards.
    pub fn ask(&mut self, request: &Request, deadline: Duration) -> io::Result<Action> {
        let end = Instant::now() + deadline;
        self.stream.set_write_timeout(Some(deadline))?;
        self.stream.write_all(&request.encode())?;
        let mut received = Vec::new();
        let mut chunk = [0; 512];
        loop {
            let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
            if let Some(action) = decode_reply(&received).map_err(invalid)? {
                return Ok(action);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => received.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
