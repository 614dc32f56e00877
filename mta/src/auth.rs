//! Logins, checked by the daemon: SMTP's AUTH on one side, Dovecot's auth protocol or Cyrus's mux on the other.
//!
//! Runs in the receiver. One connection is held and shared by all sessions. Nothing here knows a password longer than it
//! takes to pass it on. The daemon is trusted with the answer, and no answer is never a yes: it is [`Step::Unavailable`].
//! An [`Attempt`] can only be made of what a TLS handshake ended in, so that nobody logs in without TLS.

mod attempt;

use std::time::Duration;

use protocol::{Name, Senders};
use smtp::address::{Address, Sender};
use smtp::sasl::{Mechanism, Message};

pub use attempt::Attempt;

use crate::daemon::Connector;

/// Who checks logins. Cheap to clone; the connection ends with the last clone.
#[derive(Clone)]
pub struct Logins {}

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

/// A login under way. Dropping it ends it at the daemon too.
pub struct Exchange {}

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
    pub fn new(_connector: Connector, _language: Language, _deadline: Duration) -> Self {
        Self {}
    }

    /// What this session may be offered, best left as it is; empty while the daemon is away.
    pub fn mechanisms(&self, _session: &Attempt) -> Vec<Mechanism> {
        Vec::new()
    }

    /// Begins a login. `initial` is the initial response, which may be empty.
    pub async fn begin(
        &self,
        _session: &Attempt,
        _mechanism: Mechanism,
        _initial: Option<Message>,
    ) -> Step {
        Step::Unavailable
    }
}

impl Exchange {
    /// What the client says to the challenge.
    pub async fn answer(self, _message: Message) -> Step {
        Step::Unavailable
    }
}
