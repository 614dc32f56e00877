//! How a socket of the daemon is reached: by the parent, for a process that may not connect, or by its path.
//!
//! Runs in the receiver and in the sender.

pub(crate) mod held;

use std::io;
use std::path::PathBuf;

use tokio::net::UnixStream;

use crate::control::Level;

/// Who connects.
#[derive(Clone, Debug)]
pub enum Connector {
    /// We do, to this socket.
    Path(PathBuf),
}

impl Connector {
    /// A connection.
    ///
    /// # Errors
    /// The daemon isn't there, or we may not ask it.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Self::Path(path) => UnixStream::connect(path).await,
        }
    }

    /// A line for the log, where there is one.
    pub(crate) fn log(&self, _level: Level, _text: String) {
        match self {
            Self::Path(_) => {}
        }
    }
}
