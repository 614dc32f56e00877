//! The envelope of a message: MAIL and RCPT, and VRFY and EXPN, each decided by the daemon's access map.
//!
//! Runs in the receiver. No answer is 451, whatever was asked. Who has logged in sends as the addresses that the account
//! allows and as nobody else.

use smtp::address::{Recipient, Sender};
use smtp::command::{
    AuthParameter, MailParameters, RcptParameters, Smtputf8, Verb, recipient_fits,
};
use smtp::reply::{Class, Code, Reply};
use smtp::session::{Outcome, Step};

use super::dialogue::Dialogue;
use super::features::Features;
use super::foresight::Foresight;
use super::log;
use super::wire::{Carrier, End};
use crate::control::Level;
use crate::policy::{About, Answer, Question};
use crate::spool::envelope::Addressee;
use crate::spool::incoming::Refused;

/// A message before it is there.
pub(super) struct Transaction {
    pub(super) sender: Sender,
    /// With `AUTH=` as it is passed on.
    pub(super) parameters: MailParameters,
    pub(super) recipients: Vec<Addressee>,
    /// What becomes of it once it is there.
    pub(super) fate: Fate,
    /// What the access map is told of it.
    pub(super) facts: Question,
    /// Recipients who were asked about before their turn.
    pub(super) foresight: Foresight,
}

/// What becomes of a message by the access map's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept.
    #[default]
    Kept,
    /// It is kept and held back, for this reason, until an operator releases it.
    Held(String),
    /// It is taken and thrown away.
    Discarded,
}

impl Fate {
    /// What an answer makes of a message that is taken.
    pub(super) fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Discard => Self::Discarded,
            Answer::Hold(why) => Self::Held(why.clone()),
            _ => Self::Kept,
        }
    }

    /// The harder of both; of two reasons to hold it back the first.
    fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Discarded, _) | (_, Self::Discarded) => Self::Discarded,
            (Self::Kept, later) => later,
            (held, _) => held,
        }
    }

    /// Why it is held back, if it is.
    pub(super) fn held(&self) -> Option<String> {
        match self {
            Self::Held(why) => Some(why.clone()),
            Self::Kept | Self::Discarded => None,
        }
    }
}

impl<S: Carrier> Dialogue<S> {
    pub(super) async fn mail(
        &mut self,
        sender: Sender,
        parameters: MailParameters,
    ) -> Result<(), End> {
        let reply = match self.judge_sender(&sender, &parameters).await {
            Ok((fate, facts, foresight)) => {
                let text = format!("{sender}... Sender ok");
                let parameters = self.with_trusted_author(&sender, parameters);
                self.transaction = Some(Box::new(Transaction {
                    sender,
                    parameters,
                    recipients: Vec::new(),
                    fate,
                    facts,
                    foresight,
                }));
                Reply::new(Code::DONE, 1, 0, text)
            }
            Err(reply) => reply,
        };
        self.session.done(Step::Command(Verb::Mail), outcome(&reply));
        self.answer(&reply)
    }

    async fn judge_sender(
        &mut self,
        sender: &Sender,
        parameters: &MailParameters,
    ) -> Result<(Fate, Question, Foresight), Reply> {
        let features = self.known_features().await.ok_or_else(unanswered)?;
        if features.login_needed && self.login.is_none() && self.is_unanswered() {
            return Err(unanswered());
        }
        if features.login_needed && self.login.is_none() {
            return Err(Reply::new(Code::LOGIN_NEEDED, 7, 0, "Authentication required"));
        }
        let connection = self.known_connection().await?;
        self.judge_size(parameters.size.unwrap_or(0))?;
        self.judge_owner(sender)?;
        let facts = self.facts.as_ref().clone().from(sender);
        let asked = self.desk.policy.begin(&facts.clone().about(About::Mail));
        let (policy, rest) = (&self.desk.policy, self.wire.lines.rest());
        let foresight = Foresight::look(policy, &facts, parameters.smtputf8, rest);
        match asked.answer().await {
            taken @ (Answer::Permitted | Answer::Undecided | Answer::Discard | Answer::Hold(_)) => {
                Ok((connection.and(Fate::of(&taken)), facts, foresight))
            }
            Answer::Refused(reply) => {
                let argument = sender.to_string();
                self.desk.log(log::refusal("check_mail", &[&argument], self.relay(), &reply));
                Err(reply)
            }
            Answer::Unavailable => Err(unanswered()),
        }
    }

    /// What this client is offered; asked once more if nobody knew when it came.
    async fn known_features(&mut self) -> Option<Features> {
        if self.features.is_none() {
            let question = self.facts.as_ref().clone().about(About::SrvFeatures);
            let words = self.desk.policy.value(&question).await?;
            self.features = Some(Features::read(&words));
        }
        self.features
    }

    /// What becomes of messages of this connection; asked once more if nobody knew when it came.
    async fn known_connection(&mut self) -> Result<Fate, Reply> {
        if self.fate.is_none() {
            let question = self.facts.as_ref().clone().about(About::Connection);
            let answer = self.desk.policy.ask(&question).await;
            self.know_connection(answer);
            if let Some(refusal) = &self.refusal {
                return Err(refusal.as_ref().clone());
            }
        }
        self.fate.clone().ok_or_else(unanswered)
    }

    fn judge_size(&self, size: u64) -> Result<(), Reply> {
        if size > self.desk.config.limits.message {
            let text = "Message size exceeds fixed maximum message size";
            return Err(Reply::new(Code::TOO_LARGE, 3, 4, text));
        }
        self.desk.incoming.has_room_for(size).map_err(|refused| self.no_room(&refused))
    }

    /// The spool's reason is for the log; a client learns that it may try again.
    pub(super) fn no_room(&self, refused: &Refused) -> Reply {
        let (Refused::NoRoom(why) | Refused::Unavailable(why)) = refused;
        self.desk.link.log(Level::Error, format!("a message is not kept: {why}"));
        match refused {
            Refused::NoRoom(_) => {
                Reply::new(Code::NO_ROOM, 3, 1, "Not enough room; try again later")
            }
            Refused::Unavailable(_) => {
                Reply::new(Code::LOCAL_ERROR, 3, 0, "Local error; try again later")
            }
        }
    }

    fn judge_owner(&self, sender: &Sender) -> Result<(), Reply> {
        let Some(login) = &self.login else { return Ok(()) };
        if login.may_send_as(sender, &self.desk.config.local_domains) {
            return Ok(());
        }
        let reply = not_yours(sender);
        let argument = sender.to_string();
        self.desk.log(log::refusal("check_mail", &[&argument], self.relay(), &reply));
        Err(reply)
    }

    /// RFC 4954 section 5, by sendmail's rule: `AUTH=` is believed of those who have logged in as whom they name.
    fn with_trusted_author(&self, sender: &Sender, said: MailParameters) -> MailParameters {
        let Some(AuthParameter::Identity(author)) = &said.auth else { return said };
        let user = self.login.as_ref().map(|login| String::from_utf8_lossy(login.user.as_bytes()));
        let named = author.as_str();
        let named = named.strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap_or(named);
        if user.as_ref().is_some_and(|user| user.eq_ignore_ascii_case(named)) {
            return said;
        }
        let text = match user {
            Some(user) => format!("{sender}... {user} not allowed to act as {named}"),
            None => format!("{sender}... not authenticated"),
        };
        let reply = Reply::new(Code::REFUSED, 7, 1, text);
        self.desk.log(log::refusal("trust_auth", &[author.as_str()], self.relay(), &reply));
        MailParameters { auth: Some(AuthParameter::Nobody), ..said }
    }

    pub(super) async fn rcpt(
        &mut self,
        recipient: Recipient,
        parameters: RcptParameters,
    ) -> Result<(), End> {
        let reply = match self.judge_recipient(&recipient).await {
            Ok(fate) => {
                let text = format!("{recipient}... Recipient ok");
                if let Some(transaction) = &mut self.transaction {
                    transaction.fate = std::mem::take(&mut transaction.fate).and(fate);
                    transaction.recipients.push(Addressee { recipient, parameters });
                }
                Reply::new(Code::DONE, 1, 5, text)
            }
            Err(reply) => reply,
        };
        self.session.done(Step::Command(Verb::Rcpt), outcome(&reply));
        self.answer(&reply)
    }

    async fn judge_recipient(&mut self, recipient: &Recipient) -> Result<Fate, Reply> {
        let Some(transaction) = &mut self.transaction else { return Err(unanswered()) };
        let said: Smtputf8 = transaction.parameters.smtputf8;
        recipient_fits(recipient, said).map_err(smtp::command::Fault::reply)?;
        let question = transaction.facts.clone().to(recipient).about(About::Recipient);
        let asked = match transaction.foresight.take(&question) {
            Some(asked) => asked,
            None => {
                let asked = self.desk.policy.begin(&question);
                let (policy, rest) = (&self.desk.policy, self.wire.lines.rest());
                transaction.foresight = Foresight::look(policy, &transaction.facts, said, rest);
                asked
            }
        };
        match asked.answer().await {
            // The daemon holds back and discards only what it would take from this client.
            taken @ (Answer::Permitted | Answer::Discard | Answer::Hold(_)) => Ok(Fate::of(&taken)),
            Answer::Refused(reply) => {
                let argument = recipient.to_string();
                self.desk.log(log::refusal("check_rcpt", &[&argument], self.relay(), &reply));
                Err(reply)
            }
            // Whoever does not say yes has not said yes.
            Answer::Undecided | Answer::Unavailable => Err(unanswered()),
        }
    }

    pub(super) async fn vrfy(&mut self) -> Result<(), End> {
        let text = "Cannot VRFY user; try RCPT to attempt delivery";
        let answer = Reply::new(Code::UNVERIFIED, 5, 2, text);
        self.answer_if_permitted(About::Vrfy, "check_vrfy", answer).await
    }

    pub(super) async fn expn(&mut self) -> Result<(), End> {
        let answer = match self.features.unwrap_or_default().expn {
            true => Reply::new(Code::REFUSED, 1, 1, "There are no lists here"),
            false => {
                let text = "Sorry, we do not allow this operation";
                Reply::new(Code::NOT_IMPLEMENTED, 7, 0, text)
            }
        };
        self.answer_if_permitted(About::Expn, "check_expn", answer).await
    }

    async fn answer_if_permitted(
        &mut self,
        about: About,
        ruleset: &str,
        answer: Reply,
    ) -> Result<(), End> {
        let question = self.facts.as_ref().clone().about(about);
        let reply = match self.desk.policy.ask(&question).await {
            Answer::Permitted | Answer::Undecided | Answer::Discard | Answer::Hold(_) => answer,
            Answer::Refused(reply) => {
                self.desk.log(log::refusal(ruleset, &[""], self.relay(), &reply));
                reply
            }
            Answer::Unavailable => unanswered(),
        };
        self.answer(&reply)
    }
}

/// The daemon doesn't answer.
pub(super) fn unanswered() -> Reply {
    Reply::new(Code::LOCAL_ERROR, 3, 0, "Temporary system failure; try again later")
}

/// Somebody else's address.
pub(super) fn not_yours(sender: &impl std::fmt::Display) -> Reply {
    let text = format!("{sender}... Sender address rejected: not owned by the user who logged in");
    Reply::new(Code::BAD_MAILBOX, 7, 1, text)
}

/// What a reply amounts to.
pub(super) fn outcome(reply: &Reply) -> Outcome {
    match reply.code().class() {
        Class::Success | Class::More => Outcome::Accept,
        Class::Temporary => Outcome::Unavailable,
        Class::Permanent => Outcome::Refuse,
    }
}
