//! AUTH: messages of an exchange carried between client and daemon, which alone knows what they mean.
//!
//! Runs in the receiver. The session lets nobody here outside TLS, and nothing behind the verb was read before it did.
//! Messages are passed on and wiped; no line of the log has one. An outage is 454 and counts against nobody.

use smtp::command::Verb;
use smtp::line::Expected;
use smtp::reply::{Code, Reply};
use smtp::sasl::{self, Mechanism, Message};
use smtp::session::{Outcome, Step};

use super::commands::{self, Todo};
use super::dialogue::Dialogue;
use super::log::field;
use super::wire::{Carrier, End};
use crate::auth::{self, Exchange, Login};

/// More messages than any mechanism has.
const MOST_MESSAGES: usize = 16;

impl<S: Carrier> Dialogue<S> {
    pub(super) async fn auth(
        &mut self,
        mechanism: Mechanism,
        initial: Option<Message>,
    ) -> Result<(), End> {
        let Some(inside) = &self.tls else { return Err(End::Gone) };
        let mut step = self.desk.logins.begin(&inside.attempt, mechanism, initial).await;
        for _ in 0..MOST_MESSAGES {
            let (exchange, challenge) = match step {
                auth::Step::Challenge(exchange, challenge) => (exchange, challenge),
                ended => return self.login_ended(mechanism, ended),
            };
            step = match self.challenge(exchange, &challenge).await? {
                Some(step) => step,
                None => return Ok(()),
            };
        }
        self.login_ended(mechanism, auth::Step::Refused)
    }

    /// Says 334 and passes the answer on. `None`: the client gave up, or said what can't be.
    async fn challenge(
        &mut self,
        exchange: Exchange,
        challenge: &Message,
    ) -> Result<Option<auth::Step>, End> {
        let text = challenge.encode().as_str().to_owned();
        self.wire.say(&Reply::plain(Code::CHALLENGE, text));
        let deadline = self.command_deadline();
        self.wire.flush(deadline).await?;
        let answer = loop {
            match self.wire.lines.next(Expected::Continuation) {
                Ok(Some(line)) => break sasl::answer(line),
                Ok(None) => self.wire.listen(deadline, &mut self.stopping).await?,
                Err(fault) => {
                    drop(exchange);
                    return match commands::unreadable(&mut self.session, fault) {
                        Todo::Say(reply) => {
                            self.wire.say(&reply);
                            Ok(None)
                        }
                        Todo::Close(reply) => self.close_with(&reply).map(|()| None),
                        _ => Err(End::Gone),
                    };
                }
            }
        };
        let reply = match answer {
            sasl::Answer::Response(message) => return Ok(Some(exchange.answer(message).await)),
            sasl::Answer::Cancel => Reply::new(Code::SYNTAX, 7, 0, "AUTH aborted"),
            sasl::Answer::Malformed => Reply::new(Code::SYNTAX, 5, 2, "That is not base64"),
        };
        drop(exchange);
        match self.session.malformed() {
            Some(end) => self.close_with(&end)?,
            None => self.wire.say(&reply),
        }
        Ok(None)
    }

    fn login_ended(&mut self, mechanism: Mechanism, step: auth::Step) -> Result<(), End> {
        let (reply, outcome) = match step {
            auth::Step::Accepted(login) => {
                self.accept_login(login);
                (
                    Reply::new(Code::AUTHENTICATED, 7, 0, "Authentication successful"),
                    Outcome::Accept,
                )
            }
            auth::Step::NotOffered => {
                let reply = Reply::new(Code::NO_SUCH_PARAMETER, 5, 4, "Mechanism not available");
                return match self.session.malformed() {
                    Some(end) => self.close_with(&end),
                    None => {
                        self.wire.say(&reply);
                        Ok(())
                    }
                };
            }
            auth::Step::Unavailable => (
                Reply::new(Code::TEMPORARY_AUTH, 7, 0, "Temporary authentication failure"),
                Outcome::Unavailable,
            ),
            // What a challenge would be here was answered before.
            auth::Step::Refused | auth::Step::Challenge(..) => (
                Reply::new(Code::WRONG, 7, 8, "Authentication credentials invalid"),
                Outcome::Refuse,
            ),
        };
        if outcome != Outcome::Accept {
            let why = match outcome {
                Outcome::Refuse => "authentication failure",
                _ => "the daemon does not answer",
            };
            let relay = self.relay();
            self.desk.log(format!("AUTH failure ({mechanism}): {why}, relay={relay}"));
        }
        self.wire.say(&reply);
        match self.session.done(Step::Command(Verb::Auth), outcome) {
            Some(end) => self.close_with(&end),
            None => Ok(()),
        }
    }

    fn accept_login(&mut self, login: Login) {
        let user = field(&String::from_utf8_lossy(login.user.as_bytes()));
        self.desk.log(format!(
            "AUTH=server, relay={}, authid={user}, mech={}, bits=0",
            self.relay(),
            login.mechanism
        ));
        *self.facts = self.facts.as_ref().clone().logged_in(&login.user, login.mechanism);
        self.login = Some(Box::new(login));
    }
}
