//! One login on its way through the house.

use accounts::{Own, Restrictions};
use credentials::{Generation, Reason, Scheme};
use ipc::requests::{Peer, Source, Verify};
use protocol::{Name, Password};

use super::exchange::Sasl;
use crate::backends::Backend;
use crate::limiter::Reservation;
use crate::log::{CacheUse, Event, Exchanged, Outcome};
use crate::mapping::Identity;

/// The channel that a login came by, and its answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin(pub(crate) u32);

/// A login until its answer.
pub(super) struct Login {
    pub(super) origin: Origin,
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) source: Source,
    pub(super) service: Name,
    /// Away while the hashing pool has it.
    pub(super) password: Option<Password>,
    pub(super) identity: Identity,
    /// The number of this decision; also the ticket of its job.
    pub(super) serial: u64,
    pub(super) started_ns: u64,
    /// Under which failures are counted; 0 while it is not known.
    pub(super) user_tag: u64,
    /// Under which its sources are known good.
    pub(super) name_tag: u64,
    pub(super) reservation: Option<Reservation>,
    /// Whether others may wait for its tokens.
    pub(super) held: bool,
    /// Index of the chain, and how far it has been walked.
    pub(super) chain: usize,
    pub(super) position: usize,
    /// What is being compared in the pool; `None` there is a stand-in.
    pub(super) asked: Option<Asked>,
    /// Estimated microseconds of the comparison with each backend so far; 0 where there was none.
    pub(super) spent: Vec<u64>,
    /// How far along the chain stand-ins have been compared for what is missing there.
    pub(super) stood_in: usize,
    /// Why the first backend that knows the user refused.
    pub(super) refused: Option<Reason>,
    /// What could not be asked, if anything.
    pub(super) away: Option<Away>,
    /// Whether a backend gave up on this very name after a long time.
    pub(super) overlong: bool,
    // For the log.
    pub(super) backend: Option<usize>,
    pub(super) scheme: Option<Scheme>,
    pub(super) cache: CacheUse,
    pub(super) throttled: Option<&'static str>,
    /// Of one that came by a SASL exchange.
    pub(super) sasl: Option<Box<Sasl>>,
    /// Whether its next challenge may have taken a derivation of keys.
    pub(super) slow_to_challenge: bool,
}

/// What kept a login from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// The backend of this index.
    Backend(usize),
    /// The hashing pool.
    Pool,
}

/// What stands behind a comparison that is under way.
pub(super) struct Asked {
    pub(super) backend: usize,
    pub(super) generation: Generation,
    pub(super) standing: Result<(), Reason>,
    pub(super) restrictions: Restrictions,
    pub(super) own: Option<Own>,
}

impl Login {
    /// A request that was just read, with its names as they came.
    pub(super) fn new(origin: Origin, request: Verify, serial: u64, started_ns: u64) -> Box<Self> {
        let Verify { id, peer, source, service, .. } = request;
        let mut login = Self::bare(origin, id, peer, source, service);
        login.password = Some(request.password);
        login.identity = Identity { user: request.login, realm: request.realm };
        (login.serial, login.started_ns) = (serial, started_ns);
        login
    }

    /// One of whom nothing else is known yet.
    pub(super) fn bare(
        origin: Origin,
        id: u64,
        peer: Peer,
        source: Source,
        service: Name,
    ) -> Box<Self> {
        Box::new(Self {
            origin,
            id,
            peer,
            source,
            service,
            password: None,
            identity: Identity { user: Name::default(), realm: Name::default() },
            serial: 0,
            started_ns: 0,
            user_tag: 0,
            name_tag: 0,
            reservation: None,
            held: false,
            chain: 0,
            position: 0,
            asked: None,
            spent: Vec::new(),
            stood_in: 0,
            refused: None,
            away: None,
            overlong: false,
            backend: None,
            scheme: None,
            cache: CacheUse::Off,
            throttled: None,
            sasl: None,
            slow_to_challenge: false,
        })
    }

    /// The address that counts. A later process that finds the client's address by itself would be believed here.
    pub(super) fn believed(&self) -> Option<std::net::IpAddr> {
        match self.source {
            Source::Stated(address) => Some(address.ip),
            Source::Absent | Source::Ignored(_) => None,
        }
    }

    /// A backend that knows the user refused; the first one's reason is logged.
    pub(super) fn note_refusal(&mut self, backend: usize, reason: Reason) {
        if self.refused.is_none() {
            self.refused = Some(reason);
            self.backend = Some(backend);
        }
    }

    /// For the log: `decided` is the backend that did, `spoke` the one that Cyrus's line names.
    pub(super) fn event<'a>(
        &'a self,
        process: u32,
        outcome: Outcome,
        micros: u64,
        decided: Option<&'a Backend>,
        spoke: Option<&'a Backend>,
    ) -> Event<'a> {
        let sasl = self.sasl.as_deref();
        let acting = sasl.and_then(|sasl| sasl.acting.as_ref());
        let identity = acting.unwrap_or(&self.identity);
        let exchanged = sasl.map(|sasl| Exchanged {
            mechanism: sasl.mechanism.as_str(),
            transport: sasl.transport,
            authid: acting.map(|_| &self.identity.user),
            authzid: sasl.authzid.as_ref().filter(|_| acting.is_none()),
        });
        Event {
            id: (process, self.serial),
            outcome,
            user: &identity.user,
            realm: &identity.realm,
            service: &self.service,
            backend: decided.map(Backend::name),
            mechanism: spoke.map(|backend| (backend.name(), backend.kind())),
            scheme: self.scheme,
            cache: self.cache,
            peer: self.peer,
            source: self.source,
            throttled: self.throttled,
            micros,
            exchanged,
        }
    }
}
