//! One session, from the first byte to the last: what was read is understood, done and answered, in that order.
//!
//! Runs in the receiver, one task for each connection. Replies wait until nothing more is there to be read, so that a
//! pipelined group is answered in one write. Whoever waits holds little: what a message or a login needs is boxed and
//! made when it begins.

use std::sync::Arc;
use std::time::Duration;

use smtp::address::Host;
use smtp::command::Command;
use smtp::header::received::Greeting;
use smtp::line::Expected;
use smtp::reply::{Code, Reply};
use smtp::session::{Outcome, Session, Step};
use tokio::sync::watch;
use tokio::time::Instant;

use super::commands::{self, Todo};
use super::desk::{Arrival, Desk, is_for_submission};
use super::doors::Place;
use super::envelope::{Fate, Transaction, unanswered};
use super::features::Features;
use super::log::Relay;
use super::message::Receiving;
use super::wire::{Carrier, End, Wire};
use crate::auth::{Attempt, Login};
use crate::policy::{Answer, Question};
use crate::tls::Facts;

/// How long the last words may take.
pub(super) const PARTING: Duration = Duration::from_secs(2);

/// One connection and everything that is known of it.
pub(super) struct Dialogue<S> {
    pub(super) wire: Wire<S>,
    pub(super) desk: Arc<Desk>,
    pub(super) stopping: watch::Receiver<bool>,
    /// With the client's own address, whoever brought it.
    pub(super) arrival: Arrival,
    pub(super) session: Session,
    /// `None` while nobody knows what this client is offered: it sends nothing until somebody does.
    pub(super) features: Option<Features>,
    /// What becomes of all messages of this connection; `None` while nobody knows, and none is taken.
    pub(super) fate: Option<Fate>,
    /// What a client is told that may do nothing any more (sendmail's null server).
    pub(super) refusal: Option<Box<Reply>>,
    pub(super) greeting: Option<Box<(Host, Greeting)>>,
    pub(super) tls: Option<Box<Inside>>,
    pub(super) login: Option<Box<Login>>,
    /// Whether its certificate makes a client known: asked once after each handshake.
    pub(super) machine: Option<Answer>,
    /// What the access map is told of this client with every question.
    pub(super) facts: Box<Question>,
    pub(super) transaction: Option<Box<Transaction>>,
    /// A message between two of its chunks.
    pub(super) receiving: Option<Box<Receiving>>,
    /// When a client must be known at the latest.
    pub(super) known_until: Instant,
    pub(super) _place: Place,
}

/// What the handshake ended in.
pub(super) struct Inside {
    pub(super) facts: Facts,
    pub(super) attempt: Attempt,
}

/// Holds a session until its end.
pub async fn serve<S: Carrier>(stream: S, arrival: Arrival, desk: Arc<Desk>) {
    // Boxed, since what begins a session is of no use for the rest of it.
    let begun = Box::pin(Dialogue::begin(Wire::new(stream), arrival, desk)).await;
    let Some(mut dialogue) = begun else { return };
    let end = loop {
        if let Err(end) = dialogue.step().await {
            break end;
        }
    };
    Box::pin(dialogue.part(end)).await;
}

impl<S: Carrier> Dialogue<S> {
    /// Understands one line, or waits for it.
    async fn step(&mut self) -> Result<(), End> {
        if self.wants_machine_known() {
            Box::pin(self.know_machine()).await;
        }
        let refusal = self.refusal.as_deref();
        let todo = match self.wire.lines.next(Expected::Command) {
            Ok(Some(line)) => commands::read(&mut self.session, refusal, line),
            Ok(None) => return self.wait().await,
            Err(fault) => commands::unreadable(&mut self.session, fault),
        };
        match todo {
            Todo::Command(command) => Box::pin(self.obey(command)).await?,
            // Who could not become known, since the daemon is away, hears no "never".
            Todo::Say(reply) if reply.code() == Code::LOGIN_NEEDED && self.is_unanswered() => {
                self.wire.say(&unanswered());
            }
            Todo::Say(reply) => self.wire.say(&reply),
            Todo::Swallow(chunk, reply) => Box::pin(self.swallow(chunk, &reply)).await?,
            Todo::Close(reply) => return self.close_with(&reply),
            Todo::Drop => return Err(End::Gone),
        }
        if self.wire.is_full() {
            let deadline = self.command_deadline();
            self.wire.flush(deadline).await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), End> {
        let deadline = self.command_deadline();
        self.wire.flush(deadline).await?;
        self.wire.listen(deadline, &mut self.stopping).await
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Helo(host) => self.greet(host, Greeting::Helo),
            Command::Ehlo(host) => self.greet(host, Greeting::Ehlo),
            Command::StartTls => return self.starttls().await,
            Command::Auth(mechanism, initial) => return self.auth(mechanism, initial).await,
            Command::Mail(sender, parameters) => return self.mail(sender, parameters).await,
            Command::Rcpt(recipient, parameters) => return self.rcpt(recipient, parameters).await,
            Command::Data => return self.data().await,
            Command::Bdat(chunk) => return self.bdat(chunk).await,
            Command::Rset => {
                self.forget_message();
                self.session.done(Step::Command(smtp::command::Verb::Rset), Outcome::Accept);
                self.wire.say(&Reply::new(Code::DONE, 0, 0, "Reset state"));
            }
            Command::Noop => self.wire.say(&Reply::new(Code::DONE, 0, 0, "OK")),
            Command::Quit => {
                let text = format!("{} closing connection", self.desk.config.hostname);
                return self.close_with(&Reply::new(Code::CLOSING, 0, 0, text));
            }
            Command::Vrfy(_) => return self.vrfy().await,
            Command::Expn(_) => return self.expn().await,
            Command::Help => {
                let text = "See RFC 5321, and whoever runs this server";
                self.wire.say(&Reply::new(Code::HELP, 0, 0, text));
            }
        }
        Ok(())
    }

    /// Nothing is left of a message that isn't whole.
    pub(super) fn forget_message(&mut self) {
        self.transaction = None;
        self.receiving = None;
    }

    /// Says this, and ends if that is what it says: the access map may.
    pub(super) fn answer(&mut self, reply: &Reply) -> Result<(), End> {
        self.wire.say(reply);
        if reply.code() == Code::UNAVAILABLE { Err(End::Said) } else { Ok(()) }
    }

    /// Says this and ends.
    pub(super) fn close_with(&mut self, reply: &Reply) -> Result<(), End> {
        self.wire.say(reply);
        Err(End::Said)
    }

    /// By when the next command must be there, and all replies taken.
    pub(super) fn command_deadline(&self) -> Instant {
        let next = Instant::now() + self.desk.config.limits.command;
        let role = self.desk.listener(self.arrival.listener).map(|(listener, _)| listener.role);
        let is_known = self.login.is_some() || self.machine == Some(Answer::Permitted);
        match role.is_some_and(is_for_submission) && !is_known {
            true => next.min(self.known_until),
            false => next,
        }
    }

    /// The client, for the log.
    pub(super) fn relay(&self) -> Relay {
        Relay(self.arrival.client.ip())
    }

    async fn part(&mut self, end: End) {
        // The message, if one is held, is let go before a slow client is waited for.
        self.forget_message();
        let host = &self.desk.config.hostname;
        let parting = match end {
            End::Gone => return,
            End::Said => None,
            End::Late => {
                self.desk.log(format!("timeout waiting for input from {}", self.relay()));
                let text = format!("{host} timed out");
                Some(Reply::new(Code::UNAVAILABLE, 4, 2, text))
            }
            End::Stopping => {
                let text = format!("{host} is closing; try again in a moment");
                Some(Reply::new(Code::UNAVAILABLE, 3, 2, text))
            }
        };
        if let Some(reply) = parting {
            self.wire.say(&reply);
        }
        let deadline = Instant::now() + PARTING;
        if self.wire.flush(deadline).await.is_ok() {
            self.wire.close(deadline).await;
        }
    }
}
