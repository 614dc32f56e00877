//! One message to one server: MAIL, RCPT, the text, and what each recipient is answered.
//!
//! Runs in the sender. The text may come from anybody: it leaves through [`Encoder`] alone, so that its lines are whole and
//! its end is ours (H2). A text that can't be read to its end is never finished. Each recipient gets the reply that is
//! about it; whoever wasn't answered is deferred.

use std::collections::VecDeque;
use std::sync::Arc;

use smtp::command::{Body, MailParameters, RcptParameters, Smtputf8};
use smtp::data::{Breaks, Encoder, Framing};
use smtp::extensions::Size;
use smtp::reply::{Class, Code, Received};

use super::connection::Gone;
use super::dialogue::{Dialogue, Protocol};
use super::text::{Nature, Pieces};
use super::transport::{Notifier, Outcome, Reply, Text};
use crate::spool::envelope::Envelope;

/// Recipients of one transaction; everybody must take a hundred (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: usize = 100;

/// What is sent.
#[derive(Clone)]
pub struct Message {
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// Its text.
    pub text: Arc<dyn Text>,
    /// Bytes of the text.
    pub size: u64,
}

/// What became of it.
pub struct Transfer {
    /// Each recipient, once.
    pub outcomes: Vec<(u32, Outcome)>,
    /// How many of them the server may have, although it didn't say so.
    pub in_doubt: usize,
    /// Whether the dialogue can go on.
    pub left: Left,
    /// How far it went.
    pub reached: Reached,
    /// Who reports successes.
    pub notifier: Notifier,
}

/// Whether a dialogue can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// After RSET, it can.
    Usable,
    /// It is out of step, or the connection ended.
    Useless,
}

/// How far a transfer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// No recipient was answered yet: another server may be tried.
    Nothing,
    /// Recipients were.
    Recipients,
}

/// Sends the message to these recipients.
pub async fn transfer(dialogue: &mut Dialogue, message: &Message, recipients: &[u32]) -> Transfer {
    let notifier = match (dialogue.extensions.dsn, dialogue.protocol) {
        (true, _) => Notifier::NextHop,
        (false, Protocol::Smtp) => Notifier::Relay,
        (false, Protocol::Lmtp) => Notifier::Mailbox,
    };
    let mut run = Run {
        outcomes: Vec::with_capacity(recipients.len()),
        in_doubt: 0,
        reached: Reached::Nothing,
        pending: recipients.iter().copied().collect(),
        parameters: MailParameters::default(),
        message,
        dialogue,
    };
    let left = match run.prepare().await {
        Ok(()) => run.all().await,
        Err(reply) => {
            run.settle_pending(&reply);
            Left::Usable
        }
    };
    let Run { outcomes, in_doubt, reached, .. } = run;
    Transfer { outcomes, in_doubt, left, reached, notifier }
}

/// A transfer while it runs.
struct Run<'a> {
    dialogue: &'a mut Dialogue,
    message: &'a Message,
    parameters: MailParameters,
    pending: VecDeque<u32>,
    outcomes: Vec<(u32, Outcome)>,
    in_doubt: usize,
    reached: Reached,
}

impl Run<'_> {
    /// What MAIL says here; or why the message can't go to this server.
    async fn prepare(&mut self) -> Result<(), Reply> {
        let Message { envelope, size, .. } = self.message;
        let offered = self.dialogue.extensions.clone();
        if let Some(Size::AtMost(most)) = offered.size.filter(|_| *size > 0)
            && *size > most
        {
            let text = format!("the message has {size} bytes, and {} takes {most}", self.server());
            return Err(Reply::local(552, 3, 4, text));
        }
        let said = &envelope.parameters;
        let utf8 = said.smtputf8 == Smtputf8::Present;
        let nature = if !offered.eight_bit_mime || (utf8 && !offered.smtputf8) {
            let nature = Nature::of(&self.message.text).await;
            nature.map_err(|error| unreadable(&error))?
        } else {
            Nature::default()
        };
        if utf8 && !offered.smtputf8 && (!envelope.sender.is_ascii() || nature.header_beyond_ascii)
        {
            let text = format!("{} doesn't offer SMTPUTF8, which the message needs", self.server());
            return Err(Reply::local(550, 6, 7, text));
        }
        if !offered.eight_bit_mime && nature.beyond_ascii {
            let text = format!("{} doesn't offer 8BITMIME, which the message needs", self.server());
            return Err(Reply::local(554, 6, 3, text));
        }
        let smtputf8 = if offered.smtputf8 { said.smtputf8 } else { Smtputf8::Absent };
        self.parameters = MailParameters {
            size: offered.size.map(|_| *size),
            body: said.body.filter(|body| offered.eight_bit_mime || *body == Body::SevenBit),
            smtputf8,
            ret: said.ret.filter(|_| offered.dsn),
            envid: said.envid.clone().filter(|_| offered.dsn),
            auth: said.auth.clone().filter(|_| !offered.auth.is_empty()),
        };
        if !offered.eight_bit_mime {
            self.parameters.body = None;
        }
        if smtputf8 == Smtputf8::Absent {
            self.refuse_letters();
        }
        Ok(())
    }

    /// Recipients that can't be named without SMTPUTF8.
    fn refuse_letters(&mut self) {
        let (fit, beyond): (Vec<u32>, Vec<u32>) = self.pending.iter().partition(|number| {
            self.addressee(**number).is_none_or(|addressee| addressee.recipient.is_ascii())
        });
        self.pending = fit.into();
        let text = format!("{} doesn't offer SMTPUTF8, which the address needs", self.server());
        let reply = Reply::local(553, 6, 7, text);
        self.outcomes.extend(beyond.into_iter().map(|number| (number, reply.clone().outcome())));
    }

    async fn all(&mut self) -> Left {
        let mut begun = false;
        while !self.pending.is_empty() {
            if std::mem::replace(&mut begun, true) && self.dialogue.reset().await.is_err() {
                let reply = self.dialogue.gone(&Gone::Closed);
                self.settle_pending(&reply);
                return Left::Useless;
            }
            let end = self.pending.len().min(RECIPIENTS);
            let batch: Vec<u32> = self.pending.drain(..end).collect();
            let mut transaction = Transaction { unanswered: batch, accepted: Vec::new() };
            if let Err(gone) = self.one(&mut transaction).await {
                let reply = self.dialogue.gone(&gone);
                let Transaction { unanswered, accepted } = transaction;
                for number in accepted.into_iter().chain(unanswered) {
                    self.settle(number, reply.clone());
                }
                self.settle_pending(&reply);
                return Left::Useless;
            }
        }
        Left::Usable
    }

    /// One transaction. What it leaves unanswered when it fails is the caller's to settle.
    async fn one(&mut self, transaction: &mut Transaction) -> Result<(), Gone> {
        let full = self.recipients(transaction).await?;
        if transaction.accepted.is_empty() {
            let reply = Reply::local(452, 5, 3, "the server takes no recipient");
            full.into_iter().for_each(|(number, said)| {
                self.settle(number, said.unwrap_or_else(|| reply.clone()));
            });
            return Ok(());
        }
        // RFC 5321 section 4.5.3.1.10: those that were too many are for the next transaction.
        self.pending.extend(full.into_iter().map(|(number, _)| number));
        let patience = self.dialogue.patience;
        self.dialogue.connection.send(b"DATA\r\n", patience.command).await?;
        let reply = self.dialogue.connection.reply(patience.data).await?;
        match reply.class() {
            Class::More => {}
            Class::Success => return Err(Gone::OutOfStep(reply.to_string())),
            Class::Temporary | Class::Permanent => {
                let said = self.dialogue.said(&reply);
                for number in std::mem::take(&mut transaction.accepted) {
                    self.settle(number, said.clone());
                }
                return Ok(());
            }
        }
        match self.text().await {
            Ok(()) => self.finish(transaction).await,
            Err(Cut::Within(gone)) => self.last_words(transaction, gone).await,
            Err(Cut::AtEnd(gone)) => {
                self.in_doubt = transaction.accepted.len();
                self.last_words(transaction, gone).await
            }
            Err(Cut::Text(reply)) => {
                for number in std::mem::take(&mut transaction.accepted) {
                    self.settle(number, reply.clone());
                }
                // The end must not be sent: what the server has is a part.
                Err(Gone::Failed("the text can't be sent".into()))
            }
        }
    }

    /// MAIL and RCPT. Returns those for whom there was no room.
    async fn recipients(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<Vec<(u32, Option<Reply>)>, Gone> {
        let Message { envelope, .. } = self.message;
        let mail = format!("MAIL FROM:{}{}\r\n", envelope.sender, self.parameters);
        let lines: Vec<String> = std::iter::once(mail)
            .chain(transaction.unanswered.iter().map(|number| self.rcpt(*number)))
            .collect();
        let patience = self.dialogue.patience;
        let together = self.dialogue.extensions.pipelining;
        if together {
            self.dialogue.connection.send(lines.concat().as_bytes(), patience.command).await?;
        }
        let mut refused: Option<Reply> = None;
        let mut full = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if !together {
                self.dialogue.connection.send(line.as_bytes(), patience.command).await?;
            }
            let reply = self.dialogue.connection.reply(patience.command).await?;
            if reply.class() == Class::More {
                return Err(Gone::OutOfStep(reply.to_string()));
            }
            if index == 0 {
                refused = (reply.class() != Class::Success).then(|| self.dialogue.said(&reply));
                if let Some(said) = refused.as_ref().filter(|_| !together) {
                    self.settle_all(transaction, said);
                    return Ok(full);
                }
                continue;
            }
            // What a server says to RCPT after it refused MAIL means nothing.
            if refused.is_none() {
                self.recipient(transaction, &reply, &mut full);
            }
        }
        if let Some(said) = refused {
            self.settle_all(transaction, &said);
        }
        Ok(full)
    }

    /// The answer to the next recipient.
    fn recipient(
        &mut self,
        transaction: &mut Transaction,
        reply: &Received,
        full: &mut Vec<(u32, Option<Reply>)>,
    ) {
        if transaction.unanswered.is_empty() {
            return;
        }
        let number = transaction.unanswered.remove(0);
        self.reached = Reached::Recipients;
        let said = self.dialogue.said(reply);
        match reply.class() {
            Class::Success => transaction.accepted.push(number),
            _ if reply.code == Code::NO_ROOM => full.push((number, Some(said))),
            _ => self.settle(number, said),
        }
    }

    fn settle_all(&mut self, transaction: &mut Transaction, said: &Reply) {
        for number in std::mem::take(&mut transaction.unanswered) {
            self.settle(number, said.clone());
        }
    }

    fn rcpt(&self, number: u32) -> String {
        let Some(addressee) = self.addressee(number) else { return "RSET\r\n".into() };
        let said = &addressee.parameters;
        let offered = self.dialogue.extensions.dsn;
        let parameters = RcptParameters {
            notify: said.notify.filter(|_| offered),
            orcpt: said.orcpt.clone().filter(|_| offered),
        };
        format!("RCPT TO:{}{parameters}\r\n", addressee.recipient)
    }

    /// The text, but for its last bytes: those go with the end of the message.
    async fn text(&mut self) -> Result<(), Cut> {
        let mut pieces = Pieces::open(&self.message.text).await.map_err(|e| unreadable(&e))?;
        let mut encoder = Encoder::new(Framing::Data, Breaks::Normalise);
        let mut out = Vec::new();
        let mut sent = 0u64;
        let block = self.dialogue.patience.block;
        while let Some(piece) = pieces.next().await.map_err(|e| unreadable(&e))? {
            sent = sent.saturating_add(piece.len() as u64);
            encoder
                .feed(&piece, &mut out)
                .map_err(|why| Cut::Text(Reply::local(554, 6, 0, why.to_string())))?;
            if out.len() >= 16 * 1024 {
                self.dialogue.connection.send(&out, block).await?;
                out.clear();
            }
        }
        if sent != self.message.size {
            let text = "the text is not as long as it was when it was kept; see corrupt/";
            return Err(Cut::Text(Reply::local(451, 3, 0, text)));
        }
        encoder
            .finish(&mut out)
            .map_err(|why| Cut::Text(Reply::local(554, 6, 0, why.to_string())))?;
        self.dialogue.connection.send(&out, block).await.map_err(Cut::AtEnd)
    }

    /// The replies after the end of the message.
    async fn finish(&mut self, transaction: &mut Transaction) -> Result<(), Gone> {
        let lmtp = self.dialogue.protocol == Protocol::Lmtp;
        while let Some(number) = transaction.accepted.first().copied() {
            self.in_doubt = transaction.accepted.len();
            let reply = self.dialogue.connection.reply(self.dialogue.patience.end).await?;
            if reply.class() == Class::More {
                return Err(Gone::OutOfStep(reply.to_string()));
            }
            let said = self.dialogue.said(&reply);
            if lmtp {
                transaction.accepted.remove(0);
                self.settle(number, said);
            } else {
                for number in std::mem::take(&mut transaction.accepted) {
                    self.settle(number, said.clone());
                }
            }
        }
        self.in_doubt = 0;
        Ok(())
    }

    /// A server that ends the connection within a message may have said why.
    async fn last_words(&mut self, transaction: &mut Transaction, gone: Gone) -> Result<(), Gone> {
        let said = self.dialogue.connection.reply(self.dialogue.patience.quit).await;
        if let Ok(reply) = said
            && matches!(reply.class(), Class::Temporary | Class::Permanent)
        {
            self.in_doubt = 0;
            let said = self.dialogue.said(&reply);
            for number in std::mem::take(&mut transaction.accepted) {
                self.settle(number, said.clone());
            }
        }
        Err(gone)
    }

    fn addressee(&self, number: u32) -> Option<&crate::spool::envelope::Addressee> {
        self.message.envelope.recipients.get(usize::try_from(number).ok()?)
    }

    fn server(&self) -> &str {
        &self.dialogue.server
    }

    fn settle(&mut self, number: u32, reply: Reply) {
        self.outcomes.push((number, reply.outcome()));
    }

    fn settle_pending(&mut self, reply: &Reply) {
        for number in std::mem::take(&mut self.pending) {
            self.settle(number, reply.clone());
        }
    }
}

/// Recipients of one transaction.
struct Transaction {
    unanswered: Vec<u32>,
    accepted: Vec<u32>,
}

/// Why a text wasn't sent to its end.
enum Cut {
    /// The connection ended within it.
    Within(Gone),
    /// The connection ended while the last bytes were sent, which may have arrived.
    AtEnd(Gone),
    /// The text is to blame.
    Text(Reply),
}

impl From<Gone> for Cut {
    fn from(gone: Gone) -> Self {
        Self::Within(gone)
    }
}

impl From<Reply> for Cut {
    fn from(reply: Reply) -> Self {
        Self::Text(reply)
    }
}

fn unreadable(error: &std::io::Error) -> Reply {
    Reply::local(451, 3, 0, format!("the kept message can't be read: {error}"))
}
