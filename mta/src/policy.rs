//! Decisions of the daemon's access map: who may relay, and which TLS must be.
//!
//! Runs in the receiver and in the sender. One question is one request on the policy socket. No answer is a temporary
//! failure, and never a yes.

mod question;

use std::time::Duration;

use smtp::reply::Reply;

pub use question::{About, Question, Resolved};

use crate::daemon::Connector;

/// Whom decisions are asked of. Cheap to clone; the connection ends with the last clone.
#[derive(Clone)]
pub struct Policy {}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody's word allows it, relaying too.
    Permitted,
    /// Nothing is known against it and nothing for it. About a recipient this is never said.
    Undecided,
    /// Say this: 4NN or 5NN.
    Refused(Reply),
    /// Take it and throw it away.
    Discard,
    /// Take it and hold it back.
    Hold,
    /// Nobody knows: 451 4.3.0 or wait.
    Unavailable,
}

/// What a map says of features or options: the text, empty when it says nothing. `None`: nobody knows, so that neither
/// a session nor a delivery may go on as if there were none.
pub type Value = Option<String>;

impl Policy {
    /// Begins to hold a connection, inside a runtime. Each answer may take `deadline`.
    pub fn new(_connector: Connector, _deadline: Duration) -> Self {
        Self {}
    }

    /// Asks for a decision.
    pub async fn ask(&self, _question: &Question) -> Answer {
        Answer::Unavailable
    }

    /// Asks for features or options (`srv_features`, `tls_clt_features`, …).
    pub async fn value(&self, _question: &Question) -> Value {
        None
    }
}
