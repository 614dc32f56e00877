//! Who sends a message to whom, and how it came: what stands in its file before its text.

use std::net::SocketAddr;

use smtp::address::{Recipient, Sender};
use smtp::command::{MailParameters, RcptParameters};

use super::id::Id;

/// The envelope of a message as it was accepted; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The message.
    pub id: Id,
    /// When it arrived: seconds since 1970.
    pub arrived: u64,
    /// Whom a report goes to; nobody for reports themselves.
    pub sender: Sender,
    /// What MAIL said besides, with `AUTH=` as it is to be passed on.
    pub parameters: MailParameters,
    /// At least one. Their numbers, from 0, are used in the state file.
    pub recipients: Vec<Addressee>,
    /// How it came.
    pub origin: Origin,
}

impl Envelope {
    /// Why it is held back from the beginning, if it is.
    pub fn held(&self) -> Option<&str> {
        match &self.origin {
            Origin::Received { held, .. } => held.as_deref(),
            Origin::Own => None,
        }
    }
}

/// A recipient as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Who.
    pub recipient: Recipient,
    /// What RCPT said besides.
    pub parameters: RcptParameters,
}

/// How a message came, for the log, reports and policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a client.
    Received {
        /// Its address: the proxy's client's, if a proxy brought it.
        client: SocketAddr,
        /// Its name by the DNS, or its address in brackets.
        name: String,
        /// What it called itself.
        helo: String,
        /// The keyword of `Received:` (RFC 3848).
        with: String,
        /// Who logged in.
        user: Option<String>,
        /// Why it is held back from the beginning, by the access map's word.
        held: Option<String>,
    },
    /// A report of our own.
    Own,
}
