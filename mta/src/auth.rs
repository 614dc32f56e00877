//! Logins, checked by the daemon: SMTP's AUTH on one side, Dovecot's auth protocol or Cyrus's mux on the other.
//!
//! Runs in the receiver. One connection is held and shared by all sessions. Nothing here knows a password longer than it
//! takes to pass it on. The daemon is trusted with the answer, and no answer is never a yes: it is [`Step::Unavailable`].
//! An [`Attempt`] can only be made of what a TLS handshake ended in, so that nobody logs in without TLS.

mod attempt;
mod exchange;
mod mux;
mod talk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use protocol::auth::Id;
use protocol::mechanism::MechanismSet;
use protocol::{Name, Senders};
use smtp::address::{Address, Sender};
use smtp::sasl::{Mechanism, Message};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

pub use attempt::Attempt;
pub use exchange::Exchange;

use self::exchange::Context;
use self::talk::{Offered, Order, Talk};
use crate::daemon::Connector;
use crate::daemon::held::hold;

/// Most sessions that wait for an answer at a time; the next hears that nobody knows.
const MOST_WAITING: usize = 1024;

/// Who checks logins. Cheap to clone; the connection ends with the last clone.
#[derive(Clone)]
pub struct Logins(Arc<Inner>);

struct Inner {
    kind: Kind,
    /// How long an answer may take.
    deadline: Duration,
    places: Semaphore,
    /// The last number of an exchange.
    last: AtomicU32,
}

enum Kind {
    /// Over one connection.
    Held { orders: mpsc::UnboundedSender<Order>, offered: watch::Receiver<Offered> },
    /// Over one for each.
    Mux(Connector),
}

impl Inner {
    /// A number that no exchange had, in four billion.
    fn next(&self) -> Id {
        loop {
            let next = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if let Some(id) = Id::new(next) {
                return id;
            }
        }
    }
}

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Dovecot's auth protocol.
    Auth,
    /// Cyrus's mux: PLAIN and LOGIN alone, a connection for each.
    Mux,
}

/// Where a login is.
pub enum Step {
    /// The client is to answer this: 334. After the last words of a mechanism an empty answer is due, as RFC 4954 has it;
    /// that looks no different here.
    Challenge(Exchange, Message),
    /// It is who they say: 235 2.7.0.
    Accepted(Login),
    /// It is not: 535 5.7.8.
    Refused,
    /// The mechanism isn't one that this session may use: 504 5.5.4.
    NotOffered,
    /// Nobody knows: 454 4.7.0.
    Unavailable,
}

/// A success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who it is, by the daemon's word.
    pub user: Name,
    /// By which mechanism.
    pub mechanism: Mechanism,
    /// As whom they may send.
    pub senders: Senders,
}

impl Login {
    /// Whether this user may send as `sender`, where `local_domains` are ours. The null sender is everybody's.
    pub fn may_send_as(&self, sender: &Sender, local_domains: &[String]) -> bool {
        match sender {
            Sender::Null => true,
            Sender::Address(address) => self.owns(address, local_domains),
        }
    }

    /// Whether `address` is the user's, for the fields of a message that say who wrote it.
    pub fn owns(&self, address: &Address, local_domains: &[String]) -> bool {
        let local_part = address.unquoted_local_part();
        let parts = (local_part.as_ref(), address.domain().as_str());
        self.senders.permits(&self.user, parts, local_domains)
    }
}

impl Logins {
    /// Begins to hold a connection, inside a runtime. Each answer may take `deadline`.
    pub fn new(connector: Connector, language: Language, deadline: Duration) -> Self {
        let kind = match language {
            Language::Mux => Kind::Mux(connector),
            Language::Auth => {
                let (orders, taken) = mpsc::unbounded_channel();
                let (offers, offered) = watch::channel(Offered::Lately(MechanismSet::default()));
                let talk = Talk::new(deadline, offers);
                tokio::spawn(hold(connector, talk, taken, deadline));
                Kind::Held { orders, offered }
            }
        };
        let places = Semaphore::new(MOST_WAITING);
        Self(Arc::new(Inner { kind, deadline, places, last: AtomicU32::new(0) }))
    }

    /// What this session may be offered, best left in this order. While the daemon is away it is what it
    /// did last, or PLAIN and LOGIN.
    pub fn mechanisms(&self, session: &Attempt) -> Vec<Mechanism> {
        let offered = match &self.0.kind {
            Kind::Mux(_) => Offered::Now(mux::MECHANISMS.into_iter().collect()),
            Kind::Held { offered, .. } => *offered.borrow(),
        };
        // A server without AUTH is a permanent failure to clients. An outage is told to those who try.
        let usual = || mux::MECHANISMS.into_iter().collect();
        let set: MechanismSet = match offered {
            Offered::Lately(set) | Offered::Away(set) if set == MechanismSet::default() => usual(),
            Offered::Now(set) | Offered::Lately(set) | Offered::Away(set) => set,
        };
        set.iter()
            .filter(|mechanism| session.permits(*mechanism))
            .filter_map(|mechanism| Mechanism::new(mechanism.as_str()))
            .collect()
    }

    /// Whether nobody answers at this moment, as far as is known.
    pub fn is_away(&self) -> bool {
        match &self.0.kind {
            Kind::Mux(_) => false,
            Kind::Held { offered, .. } => !matches!(*offered.borrow(), Offered::Now(_)),
        }
    }

    /// Begins a login. `initial` is the initial response, which may be empty.
    pub async fn begin(
        &self,
        session: &Attempt,
        mechanism: Mechanism,
        initial: Option<Message>,
    ) -> Step {
        let known = protocol::mechanism::Mechanism::from_name(mechanism.as_str().as_bytes());
        let Some(set) = self.offer().await else { return Step::Unavailable };
        let permitted = |known: &protocol::mechanism::Mechanism| {
            set.contains(*known) && session.permits(*known)
        };
        let Some(known) = known.filter(permitted) else { return Step::NotOffered };
        let (inner, session) = (Arc::clone(&self.0), session.clone());
        Context { inner, session, mechanism, known }.begin(initial).await
    }

    /// What is offered, if need be after a moment; `None` while the daemon is away.
    async fn offer(&self) -> Option<MechanismSet> {
        let Kind::Held { offered, .. } = &self.0.kind else {
            return Some(mux::MECHANISMS.into_iter().collect());
        };
        let mut offered = offered.clone();
        let known = offered.wait_for(|offered| !matches!(offered, Offered::Lately(_)));
        match timeout(self.0.deadline, known).await.map(|offered| offered.map(|it| *it)) {
            Ok(Ok(Offered::Now(set))) => Some(set),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "auth/tests.rs"]
mod tests;
