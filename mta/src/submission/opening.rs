//! The opening of a message: its header as it came, judged, completed and with our own lines before it.
//!
//! Runs in the receiver; no I/O. What is a stranger's stays behind what is ours: `Received:` first, so that whoever
//! counts hops sees us, then the results of this session, then what a submitted message lacks.

use std::sync::Arc;

use smtp::address::{Address, Sender};
use smtp::command::Smtputf8;
use smtp::header::date::Date;
use smtp::header::fold::unfold;
use smtp::header::received::{Greeting, Name, Received, Tls};
use smtp::header::{Facts, Header, MAX_HOPS, NoAuthor, join};
use smtp::reply::{Code, Reply};

use super::desk::{Desk, is_for_submission};
use super::dialogue::Dialogue;
use super::envelope::{Transaction, not_yours};
use super::head::{Head, Seen};
use super::trace;
use super::wire::Carrier;
use crate::auth::Login;
use crate::config::Role;
use crate::spool::envelope::Origin;
use crate::spool::id::Id;

/// Longest `Message-ID:` that the log shows, in bytes.
const MOST_ID: usize = 200;
/// Our version, as `Received:` names it.
const VERSION: &str = concat!("mta/", env!("CARGO_PKG_VERSION"));

/// What a message is opened by.
pub(super) struct Terms {
    desk: Arc<Desk>,
    role: Role,
    id: Id,
    sender: Sender,
    login: Option<Box<Login>>,
    received: String,
    pub(super) date: Date,
    pub(super) origin: Origin,
    /// The keyword of `Received:`.
    pub(super) with: &'static str,
    /// sendmail's word for the listener.
    pub(super) daemon: &'static str,
}

impl Terms {
    pub(super) fn of<S: Carrier>(
        dialogue: &Dialogue<S>,
        transaction: &Transaction,
        id: &Id,
        now: u64,
    ) -> Option<Self> {
        let (host, greeting) = dialogue.greeting.as_deref()?;
        let (listener, _) = dialogue.desk.listener(dialogue.arrival.listener)?;
        let tls = dialogue.tls.as_ref().map(|inside| &inside.facts);
        let greeting = match (greeting, transaction.parameters.smtputf8) {
            (Greeting::Ehlo, Smtputf8::Present) => Greeting::EhloUtf8,
            (other, _) => *other,
        };
        let only = match transaction.recipients.as_slice() {
            [only] => match &only.recipient {
                smtp::address::Recipient::Address(address) => Some(address),
                smtp::address::Recipient::Postmaster => None,
            },
            _ => None,
        };
        let received = Received {
            host,
            greeting,
            name: Name::None,
            address: dialogue.arrival.client.ip().to_canonical(),
            authenticated: dialogue.login.as_ref().map(|_| 0),
            by: &dialogue.desk.config.hostname,
            version: VERSION,
            id: id.as_str(),
            tls: tls.map(|tls| Tls {
                version: tls.version,
                cipher: tls.cipher,
                bits: tls.bits,
                verify: tls.verify.as_str(),
            }),
            recipient: only,
            date: Date(now),
        };
        let with = received.with();
        let user = dialogue.login.as_ref().map(|login| login.user.as_bytes());
        Some(Self {
            desk: Arc::clone(&dialogue.desk),
            role: listener.role,
            id: *id,
            sender: transaction.sender.clone(),
            login: dialogue.login.clone(),
            received: received.to_string(),
            date: Date(now),
            origin: Origin::Received {
                client: dialogue.arrival.client,
                name: dialogue.relay().to_string(),
                helo: host.as_str().to_owned(),
                with: with.to_owned(),
                user: user.map(|user| String::from_utf8_lossy(user).into_owned()),
                held: transaction.fate.held(),
            },
            with,
            daemon: match listener.role {
                Role::Relay => "MTA",
                Role::Submission => "MSA",
                Role::Submissions => "TLSMTA",
            },
        })
    }
}

/// The opening while it comes.
pub(super) struct Opening {
    terms: Terms,
    /// `None` once it is over.
    head: Option<Head>,
    message_id: String,
}

impl Opening {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, head: Some(Head::default()), message_id: String::new() }
    }

    /// Whether what follows is kept as it is.
    pub(super) fn is_over(&self) -> bool {
        self.head.is_none()
    }

    /// Takes a piece, unless it is over. What is to be kept instead of all pieces so far, once the header is there.
    ///
    /// # Errors
    /// What the client is told at the end of the message.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Option<Vec<u8>>, Reply> {
        let Some(head) = &mut self.head else { return Ok(None) };
        match head.push(piece) {
            Seen::Some => Ok(None),
            Seen::All => self.close().map(Some),
            Seen::TooLong => Err(Reply::new(Code::TOO_LARGE, 3, 4, "The header is too long")),
        }
    }

    /// The whole message, if its header never ended.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) fn close(&mut self) -> Result<Vec<u8>, Reply> {
        let head = self.head.take().unwrap_or_default();
        let (header, _) = Header::split(head.text());
        if header.hops() > MAX_HOPS {
            return Err(Reply::new(Code::FAILED, 4, 6, "Too many hops: this is a mail loop"));
        }
        let terms = &self.terms;
        let host = &terms.desk.config.hostname;
        let mut fields = terms.received.clone().into_bytes();
        let login = terms.login.as_deref().map(|login| {
            (String::from_utf8_lossy(login.user.as_bytes()), login.mechanism.as_str())
        });
        let login = login.as_ref().map(|(user, mechanism)| (user.as_ref(), *mechanism));
        fields.extend(trace::results(host, login).unwrap_or_default().into_bytes());
        let mut unwanted: &[&str] = &[];
        if is_for_submission(terms.role) {
            terms.judge_authors(header)?;
            fields.extend(terms.completion(header));
            // Whoever delivers says it; who submits has nothing to say about it (RFC 5321 section 4.4).
            unwanted = &["Return-Path"];
        }
        self.message_id = terms.message_id(header);
        let cleaned = trace::cleaned(head.text(), host, unwanted);
        Ok(join(&fields, cleaned.as_deref().unwrap_or(head.text())))
    }

    /// The terms, and the message's own id for the log.
    pub(super) fn into_parts(self) -> (Terms, String) {
        (self.terms, self.message_id)
    }
}

impl Terms {
    /// RFC 6409 section 6: who has logged in writes as the addresses that the account allows.
    fn judge_authors(&self, header: Header<'_>) -> Result<(), Reply> {
        let owner = self.login.as_deref();
        let mut authors: Vec<Address> = match (header.authors(), owner) {
            (Ok(authors), _) => authors,
            // It is completed with the sender of the envelope, which was judged.
            (Err(NoAuthor::Missing), _) => Vec::new(),
            (Err(NoAuthor::Several), _) => {
                return Err(Reply::new(Code::REFUSED, 6, 0, "There is more than one From field"));
            }
            // What machines write there is theirs to answer for.
            (Err(_), None) => Vec::new(),
            (Err(_), Some(_)) => {
                return Err(Reply::new(Code::REFUSED, 6, 0, "The From field has no address"));
            }
        };
        let Some(login) = owner else { return Ok(()) };
        match header.senders() {
            Ok(senders) => authors.extend(senders),
            Err(NoAuthor::Missing) => {}
            Err(_) => {
                let text = "There is more than one Sender field, or it has no address";
                return Err(Reply::new(Code::REFUSED, 6, 0, text));
            }
        }
        let local_domains = &self.desk.config.local_domains;
        match authors.iter().find(|author| !login.owns(author, local_domains)) {
            Some(author) => Err(not_yours(&format!("<{author}>"))),
            None => Ok(()),
        }
    }

    fn completion(&self, header: Header<'_>) -> Vec<u8> {
        header.completion(&Facts {
            date: self.date,
            id: self.id.as_str(),
            host: &self.desk.config.hostname,
            sender: match &self.sender {
                Sender::Null => None,
                Sender::Address(address) => Some(address),
            },
        })
    }

    fn message_id(&self, header: Header<'_>) -> String {
        let Some(field) = header.named("Message-ID").next() else {
            return match is_for_submission(self.role) {
                true => format!("<{}@{}>", self.id, self.desk.config.hostname),
                false => String::new(),
            };
        };
        let value = unfold(field.value);
        String::from_utf8_lossy(value.get(..MOST_ID).unwrap_or(&value)).into_owned()
    }
}
