//! What all sessions of one configuration share.
//!
//! Runs in the receiver. A session keeps the desk that it began with; new ones get the newest.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::doors::Doors;
use crate::auth::Logins;
use crate::config::{Config, Listener, Role};
use crate::control::Level;
use crate::link::Link;
use crate::policy::Policy;
use crate::spool::incoming::Incoming;
use crate::tls::server::Server;

/// What all sessions of one configuration share.
pub struct Desk {
    /// The settings.
    pub config: Arc<Config>,
    /// TLS of each of [`Config::listeners`], in their order.
    pub tls: Vec<Server>,
    /// Who says who somebody is.
    pub logins: Logins,
    /// Who says what they may do.
    pub policy: Policy,
    /// Where mail is kept.
    pub incoming: Incoming,
    /// Where lines for the log go.
    pub link: Link,
    /// Turns true when this process is to end: whoever waits is sent away.
    pub stopping: watch::Receiver<bool>,
    /// Who is inside, and of which address.
    pub doors: Doors,
}

/// A connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// At which of [`Config::listeners`].
    pub listener: usize,
    /// From where.
    pub client: SocketAddr,
    /// At which address of ours.
    pub server: SocketAddr,
}

impl Desk {
    /// The listener of an arrival, with its TLS.
    pub(super) fn listener(&self, index: usize) -> Option<(&Listener, &Server)> {
        self.config.listeners.get(index).zip(self.tls.get(index))
    }

    /// A line of sendmail's.
    pub(super) fn log(&self, text: String) {
        self.link.log(Level::Info, text);
    }
}

/// Whether a listener is for people and machines that are known.
pub(super) fn is_for_submission(role: Role) -> bool {
    match role {
        Role::Submission | Role::Submissions => true,
        Role::Relay => false,
    }
}
