//! What may come when: the server's side of a dialogue as a pure model, without sockets, policy or clocks.
//!
//! Runs in the receiver of the mta. The caller asks [`Session::judge`] with the verb of each line before it parses the
//! rest, does what the command wants, and tells [`Session::done`] what came of it. What the model holds up:
//! AUTH is not even read outside TLS, and never twice; STARTTLS forgets everything; a message needs a sender and a
//! recipient; whoever submits has logged in; and those who only make mistakes are sent away.
//!
//! It trusts the caller to report each outcome once. An outcome of a command that isn't allowed changes nothing.

mod limits;

pub use limits::Limits;

use crate::bdat::Position;
use crate::command::Verb;
use crate::reply::{Code, Reply};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// People and machines that are known submit their mail (RFC 6409): only inside TLS, only once they are known.
    Submission,
    /// Other servers bring mail; policy decides recipient by recipient.
    Relay,
}

/// Whether the connection is inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Everybody on the way can read and write it.
    Clear,
    /// It is.
    Tls,
}

/// Whether STARTTLS can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// Yes.
    Offered,
    /// It should, but key or certificate is out of order.
    Unavailable,
    /// Not here.
    Absent,
}

/// Whether AUTH can be had inside TLS. Outside it never can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// Yes.
    Offered,
    /// Not here.
    Absent,
}

/// What a listener offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Offer {
    /// What it is for.
    pub role: Role,
    /// STARTTLS.
    pub starttls: StartTls,
    /// AUTH.
    pub auth: Auth,
}

/// What a client does: a command by its verb, or the end of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A command by its verb. What came of BDAT is told as [`Step::Chunk`].
    Command(Verb),
    /// BDAT with its position; the chunk is swallowed when it isn't allowed.
    Chunk(Position),
    /// The message after DATA ended.
    EndOfData,
    /// A line that is no known command.
    Unknown,
}

/// What came of a step that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done (2xx), or goes on (354).
    Accept,
    /// It can't be: bad syntax, a wrong password, policy (5xx).
    Refuse,
    /// Nobody knows: something of ours is out of order (4xx).
    Unavailable,
}

/// What the server does about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Go on: parse it, ask the policy, do it.
    Allowed,
    /// Say this and do nothing.
    Reply(Reply),
    /// Say this and close.
    Close(Reply),
}

/// How a client became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Known {
    No,
    ByCertificate,
    ByLogin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Greeted {
    No,
    Helo,
    Ehlo,
}

/// Where the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Transaction {
    None,
    /// MAIL was accepted, and so many recipients.
    Envelope(u32),
    /// DATA was accepted: nothing but the message comes now.
    Receiving,
    /// A chunk was accepted; more follow.
    Chunks,
    /// A chunk failed: the rest of the message is refused until it is forgotten (RFC 3030 section 2).
    Failed,
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    offer: Offer,
    limits: Limits,
    channel: Channel,
    greeted: Greeted,
    known: Known,
    transaction: Transaction,
    /// Wrong passwords; STARTTLS doesn't forget them.
    failures: u32,
    /// Lines that are no command.
    unknown: u32,
    /// Everything that was refused for its order or its syntax.
    errors: u32,
}

impl Session {
    /// A connection that was accepted; inside TLS when the listener is one for implicit TLS.
    pub fn new(offer: Offer, channel: Channel, limits: Limits) -> Self {
        Self {
            offer,
            limits,
            channel,
            greeted: Greeted::No,
            known: Known::No,
            transaction: Transaction::None,
            failures: 0,
            unknown: 0,
            errors: 0,
        }
    }

    /// Whether the connection is inside TLS.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Whether EHLO lists STARTTLS now.
    pub fn offers_starttls(&self) -> bool {
        self.channel == Channel::Clear && self.offer.starttls == StartTls::Offered
    }

    /// Whether EHLO lists AUTH now.
    pub fn offers_auth(&self) -> bool {
        self.channel == Channel::Tls
            && self.offer.auth == Auth::Offered
            && self.known != Known::ByLogin
    }

    /// Whether the client logged in.
    pub fn is_logged_in(&self) -> bool {
        self.known == Known::ByLogin
    }

    /// The policy knows the client by its certificate: it may submit. Means nothing outside TLS.
    pub fn know_by_certificate(&mut self) {
        if self.channel == Channel::Tls && self.known == Known::No {
            self.known = Known::ByCertificate;
        }
    }

    /// Whether a step is allowed now. Must be asked before anything behind the verb is parsed.
    pub fn judge(&mut self, step: Step) -> Judgement {
        let Err((code, subject, detail, text)) = self.rule(step) else { return Judgement::Allowed };
        self.unknown += u32::from(step == Step::Unknown);
        self.errors += u32::from(is_clients_mistake(step));
        if self.unknown >= self.limits.unknown || self.errors >= self.limits.errors {
            return Judgement::Close(too_many_errors());
        }
        Judgement::Reply(Reply::new(code, subject, detail, text))
    }

    /// What came of an allowed step. A reply that is returned follows the step's own, and the connection ends with it.
    pub fn done(&mut self, step: Step, outcome: Outcome) -> Option<Reply> {
        if self.rule(step).is_err() {
            return None;
        }
        match step {
            Step::Command(Verb::Auth) => return self.login_ended(outcome),
            Step::Command(verb) if outcome == Outcome::Accept => self.accepted(verb),
            Step::Chunk(position) => self.chunk_ended(position, outcome),
            // Accepted or not, there is no message any more: each one is asked about anew.
            Step::EndOfData => self.transaction = Transaction::None,
            Step::Command(_) | Step::Unknown => {}
        }
        None
    }

    /// A command that was allowed is malformed. A reply that is returned stands for the fault's own, and ends the
    /// connection.
    pub fn malformed(&mut self) -> Option<Reply> {
        self.errors += 1;
        (self.errors >= self.limits.errors).then(too_many_errors)
    }

    fn rule(&self, step: Step) -> Result<(), Rule> {
        match step {
            Step::EndOfData if self.transaction == Transaction::Receiving => Ok(()),
            _ if self.transaction == Transaction::Receiving => Err(ORDER),
            Step::EndOfData => Err(ORDER),
            Step::Unknown => Err((Code::UNRECOGNIZED, 5, 1, "Command unrecognized")),
            Step::Chunk(_) => self.content(),
            Step::Command(verb) => self.command(verb),
        }
    }

    fn command(&self, verb: Verb) -> Result<(), Rule> {
        match verb {
            Verb::Helo | Verb::Ehlo | Verb::Rset | Verb::Noop | Verb::Quit | Verb::Help => Ok(()),
            Verb::StartTls => self.starttls(),
            Verb::Auth => self.auth(),
            Verb::Mail => self.mail(),
            Verb::Rcpt => self.rcpt(),
            Verb::Data if self.transaction == Transaction::Chunks => Err(ORDER),
            Verb::Data => self.content(),
            // What came of it is told as a chunk, whose position counts.
            Verb::Bdat => self.content(),
            Verb::Vrfy if self.known == Known::No => {
                Err((Code::UNVERIFIED, 5, 2, "Cannot VRFY user; try RCPT to attempt delivery"))
            }
            Verb::Expn if self.known == Known::No => {
                Err((Code::NOT_IMPLEMENTED, 7, 0, "Sorry, we do not allow this operation"))
            }
            Verb::Vrfy | Verb::Expn => Ok(()),
        }
    }

    fn starttls(&self) -> Result<(), Rule> {
        if self.channel == Channel::Tls {
            return Err((Code::BAD_SEQUENCE, 5, 1, "TLS is in use already"));
        }
        match self.offer.starttls {
            StartTls::Absent => {
                return Err((Code::NOT_IMPLEMENTED, 5, 1, "Command not implemented"));
            }
            StartTls::Unavailable => {
                return Err((
                    Code::TEMPORARY_AUTH,
                    7,
                    0,
                    "TLS not available due to temporary reason",
                ));
            }
            StartTls::Offered => {}
        }
        if self.greeted != Greeted::Ehlo {
            return Err(GREETING);
        }
        self.outside_transaction("TLS not permitted during a mail transaction")
    }

    fn auth(&self) -> Result<(), Rule> {
        if self.offer.auth == Auth::Absent {
            return Err((Code::NOT_IMPLEMENTED, 5, 1, "Command not implemented"));
        }
        if self.channel == Channel::Clear {
            return Err((Code::TLS_NEEDED, 7, 11, "Encryption required for authentication"));
        }
        if self.known == Known::ByLogin {
            return Err((Code::BAD_SEQUENCE, 5, 1, "Already authenticated"));
        }
        if self.greeted != Greeted::Ehlo {
            return Err(GREETING);
        }
        self.outside_transaction("AUTH not permitted during a mail transaction")
    }

    fn mail(&self) -> Result<(), Rule> {
        if self.greeted == Greeted::No {
            return Err(GREETING);
        }
        if self.offer.role == Role::Submission {
            if self.channel == Channel::Clear {
                return Err((Code::LOGIN_NEEDED, 7, 0, "Must issue a STARTTLS command first"));
            }
            if self.known == Known::No {
                return Err((Code::LOGIN_NEEDED, 7, 0, "Authentication required"));
            }
        }
        self.outside_transaction("Sender already specified")
    }

    fn rcpt(&self) -> Result<(), Rule> {
        match self.transaction {
            Transaction::Envelope(count) if count >= self.limits.recipients => {
                Err((Code::NO_ROOM, 5, 3, "Too many recipients"))
            }
            Transaction::Envelope(_) => Ok(()),
            Transaction::None => Err(SENDER),
            _ => Err(ORDER),
        }
    }

    /// DATA, or a chunk.
    fn content(&self) -> Result<(), Rule> {
        match self.transaction {
            Transaction::None => Err(SENDER),
            Transaction::Envelope(0) => Err((Code::FAILED, 5, 1, "No valid recipients")),
            Transaction::Failed | Transaction::Receiving => Err(ORDER),
            Transaction::Envelope(_) | Transaction::Chunks => Ok(()),
        }
    }

    fn outside_transaction(&self, text: &'static str) -> Result<(), Rule> {
        if self.transaction == Transaction::None {
            return Ok(());
        }
        Err((Code::BAD_SEQUENCE, 5, 1, text))
    }

    fn accepted(&mut self, verb: Verb) {
        match verb {
            Verb::Helo | Verb::Ehlo => {
                self.greeted = if verb == Verb::Ehlo { Greeted::Ehlo } else { Greeted::Helo };
                self.transaction = Transaction::None;
            }
            Verb::Rset => self.transaction = Transaction::None,
            // RFC 3207 section 4.2: what was said in the clear was never said.
            Verb::StartTls => {
                self.channel = Channel::Tls;
                self.greeted = Greeted::No;
                self.known = Known::No;
                self.transaction = Transaction::None;
            }
            Verb::Mail => self.transaction = Transaction::Envelope(0),
            Verb::Rcpt => {
                if let Transaction::Envelope(count) = &mut self.transaction {
                    *count = count.saturating_add(1);
                }
            }
            Verb::Data => self.transaction = Transaction::Receiving,
            _ => {}
        }
    }

    fn chunk_ended(&mut self, position: Position, outcome: Outcome) {
        self.transaction = match (position, outcome) {
            (Position::Last, _) => Transaction::None,
            (Position::Within, Outcome::Accept) => Transaction::Chunks,
            (Position::Within, _) => Transaction::Failed,
        };
    }

    /// An outage is no failure of the client's.
    fn login_ended(&mut self, outcome: Outcome) -> Option<Reply> {
        match outcome {
            Outcome::Accept => self.known = Known::ByLogin,
            Outcome::Refuse => self.failures += 1,
            Outcome::Unavailable => {}
        }
        (self.failures >= self.limits.failures)
            .then(|| Reply::new(Code::UNAVAILABLE, 7, 0, "Too many failed logins"))
    }
}

/// Code, subject, detail and text of what is said instead of going on.
type Rule = (Code, u16, u16, &'static str);

const ORDER: Rule = (Code::BAD_SEQUENCE, 5, 1, "Bad sequence of commands");
const GREETING: Rule = (Code::BAD_SEQUENCE, 5, 1, "Send EHLO first");
const SENDER: Rule = (Code::BAD_SEQUENCE, 5, 1, "Need MAIL command");

/// A pipelining client sends recipients and data before it hears that the sender was refused, and recipients beyond the
/// bound before it hears of that one; and asking for names is no mistake.
fn is_clients_mistake(step: Step) -> bool {
    !matches!(
        step,
        Step::Command(Verb::Rcpt | Verb::Data | Verb::Bdat | Verb::Vrfy) | Step::Chunk(_)
    )
}

fn too_many_errors() -> Reply {
    Reply::new(Code::UNAVAILABLE, 7, 0, "Too many errors")
}

#[cfg(test)]
mod tests;
