//! One attempt to hand one message to one next hop, for some of its recipients.
//!
//! Runs in the sender. What servers say is bounded and printable; no reply, no certificate and no record of theirs ends
//! this process. Every attempt ends, and gives each recipient one outcome: what isn't known to be delivered is deferred,
//! never counted as sent.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use smtp::reply::{Class, Code, Received, Status};

use super::attempt::Core;
use super::connection::Patience;
use super::login::Passwords;
use super::pool::Pool;
use super::resolve::Resolver;
pub use super::route::{Hop, hops};
use super::transfer::Transfer;
use crate::config::Config;
use crate::control::{Level, Material};
use crate::policy::Policy;
use crate::spool::envelope::Envelope;
use crate::tls::Unusable;
use crate::tls::client::Client;

/// Longest text of a server's that is kept, in bytes.
const MAX_TEXT: usize = 1000;

/// What is to be sent.
pub struct Job {
    /// Of the message.
    pub envelope: Arc<Envelope>,
    /// Its text.
    pub text: Arc<dyn Text>,
    /// Bytes of the text.
    pub size: u64,
    /// Whom it is for this time, by their numbers in the envelope.
    pub recipients: Vec<u32>,
    /// Where it goes.
    pub hop: Hop,
}

/// The text of a kept message, as often as it is wanted.
pub trait Text: Send + Sync {
    /// Reads it from its first byte.
    ///
    /// # Errors
    /// The disk's. An error within the text is one too: an end would make a whole message of a part.
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>>;
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop has it.
    Delivered(Reply),
    /// It never will.
    Failed(Reply),
    /// Not now.
    Deferred(Reply),
}

impl Outcome {
    /// What was said.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) | Self::Failed(reply) | Self::Deferred(reply) => reply,
        }
    }
}

/// `stat=` of the log.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered(reply) => write!(f, "Sent ({})", reply.text),
            Self::Failed(reply) => write!(f, "{reply}"),
            Self::Deferred(reply) => write!(f, "Deferred: {reply}"),
        }
    }
}

/// Why a recipient has the outcome it has: a server's words, or ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its code; ours have one too.
    pub code: Code,
    /// `X.Y.Z`, of the code's class: the server's, or what its code amounts to.
    pub status: Status,
    /// In one line of printable ASCII, without code and status.
    pub text: String,
    /// Whose words they are.
    pub source: Source,
}

/// Whose words a reply has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A server's: `mx.example.org [192.0.2.1]`.
    Server(String),
    /// Ours.
    Local,
}

impl Reply {
    /// Our own words. A code that is no reply's becomes 451.
    pub fn local(code: u16, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        let code = Code::new(code).unwrap_or(Code::LOCAL_ERROR);
        let text = text.into().replace(|letter: char| !matches!(letter, ' '..='~'), "?");
        Self { code, status: Status { subject, detail }, text, source: Source::Local }
    }

    /// A server's words.
    pub fn said(server: &str, reply: &Received) -> Self {
        let status = reply.status.unwrap_or(Status { subject: 0, detail: 0 });
        let mut text = reply.lines.join(" ");
        text.truncate(MAX_TEXT);
        Self { code: reply.code, status, text, source: Source::Server(server.to_owned()) }
    }

    /// `dsn=` of the log, and `Status:` of a report: `5.1.1`.
    pub fn dsn(&self) -> String {
        let Status { subject, detail } = self.status;
        format!("{}.{subject}.{detail}", self.code.number() / 100)
    }

    /// Whether it says that the access map couldn't be asked.
    pub(super) fn is_unknown(&self) -> bool {
        self.source == Source::Local
            && (self.code, self.status) == (Code::LOCAL_ERROR, Status { subject: 3, detail: 0 })
    }

    /// What follows from it.
    pub fn outcome(self) -> Outcome {
        match self.code.class() {
            Class::Success => Outcome::Delivered(self),
            Class::Permanent => Outcome::Failed(self),
            Class::More | Class::Temporary => Outcome::Deferred(self),
        }
    }
}

/// As a server writes it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.dsn(), self.text)
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each recipient of the job, once.
    pub outcomes: Vec<(u32, Outcome)>,
    /// `mailer=` of the log: `esmtp`, `smtp`, `lmtp`, `maildir` or `none`.
    pub mailer: &'static str,
    /// `relay=` of the log: `mx.example.org. [192.0.2.1]`, or empty when nobody was reached.
    pub relay: String,
    /// Of how many recipients nobody knows whether the server has them: the connection ended between the end of the
    /// message and the reply. They are deferred, and may get it twice.
    pub in_doubt: usize,
    /// Whether anybody was there to take it.
    pub contact: Contact,
    /// Who tells the sender of a success, if it asked to be told.
    pub notifier: Notifier,
}

/// Whether a next hop could be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Mail could be offered: what became of it says nothing of other mail.
    Made,
    /// It could not: no other mail for this next hop would fare better now.
    None,
}

/// Who tells the sender of a success that it asked to be told of (RFC 3461 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notifier {
    /// The next hop, which offers DSN: it was handed what the sender asked for.
    NextHop,
    /// We do: the mail was passed on to a server that doesn't offer DSN (`relayed`).
    Relay,
    /// We do: the mail is in its mailbox, by LMTP or in a maildir (`delivered`).
    Mailbox,
}

/// Where lines for the log go.
pub type Log = Arc<dyn Fn(Level, String) + Send + Sync>;

/// Sends, for all of the sender. Cheap to clone; connections that can be used again are kept in it.
#[derive(Clone)]
pub struct Transport {
    core: Arc<Core>,
}

impl Transport {
    /// From the settings, what is in the files that they name, and those who answer questions and write lines. Made anew
    /// with each [`crate::control::ToChild::Load`], inside a runtime.
    ///
    /// # Errors
    /// [`Unusable`], which names the file.
    pub fn new(
        config: Arc<Config>,
        files: &Material,
        policy: Policy,
        log: Log,
    ) -> Result<Self, Unusable> {
        Self::with(config, files, policy, log, Patience::default())
    }

    /// The same with other time limits.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn with(
        config: Arc<Config>,
        files: &Material,
        policy: Policy,
        log: Log,
        patience: Patience,
    ) -> Result<Self, Unusable> {
        let resolver = Resolver::new(&config, files)?;
        let client = Client::new(&config.tls, files)?;
        let passwords = Passwords::new(files.files.iter());
        let pool = Pool::default();
        let core = Core { config, resolver, patience, policy, client, passwords, pool, log };
        Ok(Self { core: Arc::new(core) })
    }

    /// One attempt. It always ends, within [`Patience::attempt`], and gives every recipient an outcome.
    pub async fn deliver(&self, job: Job) -> Report {
        let recipients = job.recipients.clone();
        let mut report = self.core.deliver(job).await;
        // Whatever went wrong above: nobody is forgotten, and nobody is told of twice.
        let mut seen = HashSet::new();
        report.outcomes.retain(|(number, _)| seen.insert(*number));
        let missing = recipients.into_iter().filter(|number| seen.insert(*number));
        let reply = Reply::local(451, 3, 0, "nothing is known of this recipient");
        report.outcomes.extend(missing.map(|number| (number, reply.clone().outcome())));
        report
    }
}

impl Report {
    /// The same for all.
    pub(super) fn all(recipients: &[u32], reply: &Reply) -> Self {
        let outcomes = recipients.iter().map(|number| (*number, reply.clone().outcome()));
        Self {
            outcomes: outcomes.collect(),
            mailer: "none",
            relay: String::new(),
            in_doubt: 0,
            contact: Contact::None,
            notifier: Notifier::Relay,
        }
    }

    pub(super) fn take(&mut self, transfer: Transfer) {
        self.contact = Contact::Made;
        self.outcomes.extend(transfer.outcomes);
        self.in_doubt = transfer.in_doubt;
        self.notifier = transfer.notifier;
    }
}
