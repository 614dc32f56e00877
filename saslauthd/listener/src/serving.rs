//! What is served at the moment: the sockets and limits of the last Serve message.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ipc::config::{Handshake, Listener, Protocol, Userdb};
use ipc::exchange::Offer;
use protocol::mux::FieldLimits;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::watch::watch;

/// One listening socket with its rules.
pub(crate) struct Served {
    /// The listening socket, registered with the reactor.
    pub(crate) listening: AsyncFd<OwnedFd>,
    /// Its index in the configuration.
    pub(crate) index: u16,
    /// Where it is: by this a connection finds its socket again in the next configuration.
    pub(crate) path: String,
    /// What is spoken on it.
    pub(crate) protocol: Protocol,
    /// Peer uids that may ask at all, sorted; `None` for everybody who can connect.
    pub(crate) uids: Option<Vec<u32>>,
    /// Peer uids whose stated addresses count, sorted.
    pub(crate) address_uids: Vec<u32>,
    /// Longest fields on the mux.
    pub(crate) fields: FieldLimits,
    /// From accept until the whole request.
    pub(crate) request: Duration,
    /// From the whole request until an answer must have come, on connections that stay.
    pub(crate) answer: Duration,
    /// Who speaks first in the auth protocol.
    pub(crate) handshake: Handshake,
    /// Peer uids whose word for a certificate counts, sorted.
    certificate_uids: Vec<u32>,
    /// How long a refusal waits in the auth protocol.
    pub(crate) failure_delay: Duration,
    /// What the userdb protocol says of each user.
    pub(crate) userdb: Userdb,
    /// The mechanisms, once the checker has told them.
    pub(crate) offer: Cell<Option<Offer>>,
}

impl Served {
    /// Whether a peer may ask at all.
    pub(crate) fn admits(&self, uid: u32) -> bool {
        self.uids.as_ref().is_none_or(|uids| uids.binary_search(&uid).is_ok())
    }

    /// Whether an address that a peer states counts.
    pub(crate) fn believes(&self, uid: u32) -> bool {
        self.address_uids.binary_search(&uid).is_ok()
    }

    /// Whether it counts when a peer states whose certificate a client showed.
    pub(crate) fn believes_certificates(&self, uid: u32) -> bool {
        self.certificate_uids.binary_search(&uid).is_ok()
    }

    /// Whether a peer may list all users.
    pub(crate) fn may_list(&self, uid: u32) -> bool {
        uid == 0 || self.userdb.list_uids.contains(&uid)
    }

    /// The most bytes of a request that are kept: a whole one, and the fifth field of the mux.
    pub(crate) fn most(&self) -> usize {
        match self.protocol {
            Protocol::Mux => self.fields.request() + 2 + 64,
            Protocol::Pwcheck => protocol::pwcheck::MAX_REQUEST + 1,
            // Lines of their own length, on connections that stay.
            Protocol::Auth | Protocol::Userdb | Protocol::Policy => 0,
        }
    }
}

/// Registers the sockets of a configuration with the reactor.
pub(crate) fn register(config: &Listener, sockets: Vec<OwnedFd>) -> std::io::Result<Vec<Served>> {
    let fields = FieldLimits {
        login: config.fields.login.into(),
        password: config.fields.password.into(),
        service: config.fields.service.into(),
        realm: config.fields.realm.into(),
    };
    let request = Duration::from_millis(config.request_ms.into());
    let served = config.sockets.iter().zip(sockets).zip(0u16..).map(|((socket, fd), index)| {
        sys::descriptors::set_nonblocking(&fd)?;
        Ok(Served {
            listening: watch(fd, Interest::READABLE)?,
            index,
            protocol: socket.protocol,
            uids: socket.uids.clone().map(sorted),
            address_uids: sorted(socket.address_uids.clone()),
            fields,
            request,
            answer: Duration::from_millis(config.answer_ms.into()),
            path: socket.path.clone(),
            handshake: socket.auth.handshake,
            certificate_uids: sorted(socket.auth.certificate_uids.clone()),
            failure_delay: Duration::from_millis(socket.auth.failure_delay_ms.into()),
            userdb: socket.userdb.clone(),
            offer: Cell::new(None),
        })
    });
    served.collect()
}

fn sorted(mut uids: Vec<u32>) -> Vec<u32> {
    uids.sort_unstable();
    uids
}
