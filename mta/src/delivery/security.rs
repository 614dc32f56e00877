//! What must be true of a connection before a message goes over it: TLS, and what the access map says of it.
//!
//! Runs in the sender. The map is asked for each server and each recipient, before MAIL; when nobody knows, nothing is
//! sent. The clear is used where nothing demands more, and after a failed handshake only where somebody asked for that.
//! A server of the settings that is to have TLS has it, with a certificate of its name, or gets nothing.

use smtp::reply::Class;

use super::transport::Reply;
use crate::config::{Begin, FallBack};
use crate::policy::{About, Answer, Policy, Question};
use crate::tls::client::{Client, Name, Options, named};
use crate::tls::{Facts, Verify};

/// What is decided of a server before it is connected to; part of what a connection is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Whether STARTTLS is used where it is offered.
    pub attempt: Attempt,
    /// How the settings want TLS begun.
    pub begin: Begin,
    /// Options of the map as it has them.
    pub text: String,
    /// The same, understood; `None` when they are wrong, and nothing is sent.
    pub options: Option<Options>,
    /// Whether the clear may follow a handshake that failed.
    pub fall_back: FallBack,
}

/// Whether STARTTLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// If it is offered.
    Try,
    /// The map says no (`Try_TLS:`).
    Leave,
}

/// What became of TLS.
#[derive(Clone, Debug)]
pub enum Channel {
    /// Inside.
    Tls(Box<Facts>),
    /// In the clear, and why.
    Clear(Verify),
}

/// Why a connection isn't used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another server may do.
    Server(Reply),
    /// None will, for now or for ever.
    All(Reply),
}

/// Nobody knows what the map says: later.
fn unknown() -> Reply {
    Reply::local(451, 3, 0, "the access map can't be asked; is the daemon running?")
}

impl Plan {
    /// Asks what is to be done with a server.
    ///
    /// # Errors
    /// [`Refusal::All`]: nobody knows.
    pub async fn make(
        policy: &Policy,
        client: &Client,
        server: &Question,
        begin: Begin,
        configured: FallBack,
    ) -> Result<Self, Refusal> {
        let (whether, how) = (About::TryTls, About::TlsCltFeatures);
        let (whether, how) = (server.clone().about(whether), server.clone().about(how));
        let (answer, text) = tokio::join!(policy.ask(&whether), policy.value(&how));
        let attempt = match answer {
            Answer::Permitted | Answer::Undecided => Attempt::Try,
            Answer::Refused(reply) if reply.code().class() == Class::Permanent => Attempt::Leave,
            _ => return Err(Refusal::All(unknown())),
        };
        let text = text.ok_or_else(|| Refusal::All(unknown()))?;
        let options = client.options(&text).ok();
        let asked = options.as_ref().and_then(|options| options.fall_back).unwrap_or(configured);
        let fall_back = if begin == Begin::IfOffered { asked } else { FallBack::Never };
        Ok(Self { attempt, begin, text, options, fall_back })
    }
}

impl Channel {
    /// The question with what is known of TLS.
    pub fn state(&self, server: Question) -> Question {
        match self {
            Self::Tls(facts) => server.inside(facts),
            Self::Clear(verify) => server.in_the_clear(*verify),
        }
    }

    /// Whether it is inside TLS with a certificate that verified and has this name: a password may be said.
    pub fn is_verified(&self, host: &str) -> bool {
        match self {
            Self::Tls(facts) => facts.verify == Verify::Ok && named(facts, host) == Name::Matches,
            Self::Clear(_) => false,
        }
    }

    /// Whether a connection is good enough for the settings and the map.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn judge(
        &self,
        policy: &Policy,
        server: &Question,
        begin: Begin,
        host: &str,
    ) -> Result<(), Refusal> {
        let answer = policy.ask(&self.state(server.clone()).about(About::TlsServer)).await;
        let reply = match answer {
            Answer::Permitted | Answer::Undecided => None,
            Answer::Refused(reply) => Some(words(&reply)),
            Answer::Discard | Answer::Hold(_) | Answer::Unavailable => {
                return Err(Refusal::All(unknown()));
            }
        };
        match (reply, self) {
            (Some(reply), _) if reply.code.class() == Class::Permanent => Err(Refusal::All(reply)),
            (Some(reply), _) => Err(Refusal::Server(reply)),
            // Whatever the map says, there is no connection any more that could be used.
            (
                None,
                Self::Clear(verify @ (Verify::Software | Verify::Protocol | Verify::Config)),
            ) => {
                let text = match verify {
                    Verify::Config => "TLS temporarily not available.",
                    Verify::Protocol => "STARTTLS failed.",
                    _ => "TLS handshake failed.",
                };
                Err(Refusal::Server(Reply::local(454, 7, 0, text)))
            }
            (None, _) if begin != Begin::IfOffered && !self.is_verified(host) => {
                let text = format!("{host} is to have TLS and a certificate of its name: {self}");
                Err(Refusal::Server(Reply::local(454, 7, 0, text)))
            }
            (None, _) => Ok(()),
        }
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(facts) => write!(f, "verify={}, {}", facts.verify, facts.reason),
            Self::Clear(verify) => write!(f, "verify={verify}"),
        }
    }
}

/// Whether mail for a recipient may go over a connection, of which `server` tells all; why not otherwise.
pub async fn recipient(
    policy: &Policy,
    server: Question,
    recipient: &smtp::address::Recipient,
) -> Result<(), Reply> {
    match policy.ask(&server.to(recipient).about(About::TlsRcpt)).await {
        Answer::Permitted | Answer::Undecided => Ok(()),
        Answer::Refused(reply) => Err(words(&reply)),
        Answer::Discard | Answer::Hold(_) | Answer::Unavailable => Err(unknown()),
    }
}

/// The map's words as ours.
fn words(reply: &smtp::reply::Reply) -> Reply {
    let (subject, detail) = reply.status().map_or((7, 0), |status| (status.subject, status.detail));
    let text = reply.lines().collect::<Vec<_>>().join(" ");
    Reply::local(reply.code().number(), subject, detail, text)
}
