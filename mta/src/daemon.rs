//! How a socket of the daemon is reached: by the parent, for a process that may not connect, or by its path.
//!
//! Runs in the receiver and in the sender.

pub(crate) mod held;

use std::io;
use std::path::PathBuf;

use tokio::net::UnixStream;

use crate::control::{Level, Socket};
use crate::link::Link;

/// Who connects.
#[derive(Clone, Debug)]
pub enum Connector {
    /// The parent does, which knows the path.
    Link(Link, Socket),
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
            Self::Link(link, socket) => link.connect(*socket).await,
            Self::Path(path) => UnixStream::connect(path).await,
        }
    }

    /// A line for the log, where there is one.
    pub(crate) fn log(&self, level: Level, text: String) {
        match self {
            Self::Link(link, _) => link.log(level, text),
            Self::Path(_) => {}
        }
    }
}
