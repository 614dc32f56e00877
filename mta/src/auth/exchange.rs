//! One login from AUTH to its outcome.
//!
//! Runs in the receiver, in the session's task. What PLAIN and LOGIN ask for is always the same, so that it is asked
//! here: the daemon hears of such a login when all is said, and clients that say nothing take no place there. Messages
//! may hold passwords: they are moved on, wiped, and never shown.

use std::sync::Arc;

use protocol::Name;
use protocol::auth::Id;
use smtp::sasl::{Mechanism, Message};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::talk::{Heard, Order};
use super::{Attempt, Inner, Kind, Login, Step, mux};
use crate::daemon::held::Bytes;

/// A login under way. Dropping it ends it at the daemon too.
pub struct Exchange {
    context: Context,
    state: State,
}

/// What does not change in the course of a login.
pub(super) struct Context {
    pub(super) inner: Arc<Inner>,
    pub(super) session: Attempt,
    pub(super) mechanism: Mechanism,
    /// The same as one of this house.
    pub(super) known: protocol::mechanism::Mechanism,
}

/// What is waited for from the client.
enum State {
    /// The message of PLAIN.
    Plain,
    /// The name for LOGIN.
    LoginName,
    /// The password for LOGIN.
    LoginPassword(Message),
    /// What the daemon asked, and maybe the data of a channel with it.
    Daemon(Ticket, Option<Name>),
    /// Nothing but that it has the last words.
    LastWords(Box<Login>),
}

/// An exchange that the daemon knows of.
struct Ticket {
    id: Id,
    orders: mpsc::UnboundedSender<Order>,
    standing: Standing,
}

#[derive(PartialEq, Eq)]
enum Standing {
    Open,
    Ended,
}

impl Ticket {
    fn end(mut self) {
        self.standing = Standing::Ended;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.standing == Standing::Open {
            let _ = self.orders.send(Order::Cancel(self.id));
        }
    }
}

impl Context {
    /// The first step.
    pub(super) async fn begin(self, initial: Option<Message>) -> Step {
        use protocol::mechanism::Mechanism::{Login, Plain};
        match (self.known, initial) {
            (Plain, None) => self.prompt(b"", State::Plain),
            (Plain, Some(message)) => self.plain(message).await,
            (Login, None) => self.prompt(b"Username:", State::LoginName),
            (Login, Some(name)) => self.prompt(b"Password:", State::LoginPassword(name)),
            (_, initial) => self.ask(initial, None).await,
        }
    }

    fn prompt(self, text: &[u8], state: State) -> Step {
        Step::Challenge(Exchange { context: self, state }, Message::new(text.to_vec()))
    }

    async fn plain(self, message: Message) -> Step {
        let Kind::Mux(connector) = &self.inner.kind else {
            return self.ask(Some(message), None).await;
        };
        let Some(asked) = mux::read(&message) else { return Step::Refused };
        drop(message);
        let heard = self.hear(mux::ask(connector, asked)).await;
        self.end(heard)
    }

    async fn login(self, name: Message, password: Message) -> Step {
        if matches!(self.inner.kind, Kind::Held { .. }) {
            return self.ask(Some(name), Some(password)).await;
        }
        let both = [b"\0", name.reveal(), b"\0", password.reveal()];
        let mut plain = Vec::with_capacity(both.iter().map(|part| part.len()).sum());
        both.iter().for_each(|part| plain.extend_from_slice(part));
        // A NUL in either would end up in the other.
        if [&name, &password].into_iter().any(|part| part.reveal().contains(&0)) {
            let _ = Zeroizing::new(plain);
            return Step::Refused;
        }
        self.plain(Message::new(plain)).await
    }

    /// Begins an exchange at the daemon, which gets `second` when it asks for more.
    async fn ask(self, initial: Option<Message>, second: Option<Message>) -> Step {
        let Kind::Held { orders, .. } = &self.inner.kind else { return Step::Unavailable };
        let ticket =
            Ticket { id: self.inner.next(), orders: orders.clone(), standing: Standing::Open };
        let (reply, heard) = oneshot::channel();
        let order = Order::Begin {
            id: ticket.id,
            mechanism: self.known,
            parameters: Box::new(self.session.parameters()),
            initial: initial.map(bytes),
            reply,
        };
        let heard = self.say(&ticket, order, heard).await;
        let Some(second) = second else { return self.go_on(ticket, heard).await };
        match heard {
            Heard::Challenge { binding: None, .. } => {
                let heard = self.respond(&ticket, second, None).await;
                self.go_on(ticket, heard).await
            }
            // Accepted by half of what LOGIN has to say?
            Heard::Accepted { .. } | Heard::Challenge { .. } => Step::Unavailable,
            heard => self.go_on(ticket, heard).await,
        }
    }

    async fn respond(&self, ticket: &Ticket, message: Message, binding: Option<Vec<u8>>) -> Heard {
        let (reply, heard) = oneshot::channel();
        let order = Order::Answer { id: ticket.id, message: bytes(message), binding, reply };
        self.say(ticket, order, heard).await
    }

    async fn say(&self, ticket: &Ticket, order: Order, heard: oneshot::Receiver<Heard>) -> Heard {
        // The connection may be gone, or end.
        let heard = async {
            match ticket.orders.send(order) {
                Ok(()) => heard.await.unwrap_or(Heard::Unavailable),
                Err(_) => Heard::Unavailable,
            }
        };
        self.hear(heard).await
    }

    /// The answer if it comes in time. One that comes later is nobody's.
    async fn hear(&self, heard: impl Future<Output = Heard>) -> Heard {
        let Ok(_place) = self.inner.places.try_acquire() else { return Heard::Unavailable };
        timeout(self.inner.deadline, heard).await.unwrap_or(Heard::Unavailable)
    }

    async fn go_on(self, ticket: Ticket, heard: Heard) -> Step {
        let (message, binding) = match heard {
            Heard::Challenge { message, binding } => (message, binding),
            // It may not have heard of the end.
            Heard::Unavailable => return Step::Unavailable,
            heard => {
                ticket.end();
                return self.end(heard);
            }
        };
        // It wants the data alone, of which the client knows nothing.
        let alone = binding.as_ref().filter(|_| message.is_empty());
        if let Some(data) = alone.map(|channel| self.session.binding(channel)) {
            let empty = Message::new(Vec::new());
            return match self.respond(&ticket, empty, data).await {
                Heard::Challenge { message, binding: None } => {
                    let exchange = Exchange { context: self, state: State::Daemon(ticket, None) };
                    Step::Challenge(exchange, said(message))
                }
                Heard::Challenge { .. } | Heard::Unavailable => Step::Unavailable,
                heard => {
                    ticket.end();
                    self.end(heard)
                }
            };
        }
        let exchange = Exchange { context: self, state: State::Daemon(ticket, binding) };
        Step::Challenge(exchange, said(message))
    }

    fn end(self, heard: Heard) -> Step {
        match heard {
            Heard::Accepted { user, senders, last_words } => {
                let login = Login { user, senders, mechanism: self.mechanism };
                let Some(words) = last_words else { return Step::Accepted(login) };
                let state = State::LastWords(Box::new(login));
                Step::Challenge(Exchange { context: self, state }, said(words))
            }
            Heard::Refused => Step::Refused,
            Heard::NotOffered => Step::NotOffered,
            Heard::Challenge { .. } | Heard::Unavailable => Step::Unavailable,
        }
    }
}

impl Exchange {
    /// What the client says to the challenge.
    pub async fn answer(self, message: Message) -> Step {
        let Self { context, state } = self;
        match state {
            State::Plain => context.plain(message).await,
            State::LoginName => context.prompt(b"Password:", State::LoginPassword(message)),
            State::LoginPassword(name) => context.login(name, message).await,
            State::Daemon(ticket, channel) => {
                let data = channel.and_then(|channel| context.session.binding(&channel));
                let heard = context.respond(&ticket, message, data).await;
                context.go_on(ticket, heard).await
            }
            // RFC 4954 section 4: to a challenge that needs none the answer is empty.
            State::LastWords(login) if message.reveal().is_empty() => Step::Accepted(*login),
            State::LastWords(_) => Step::Refused,
        }
    }
}

fn bytes(message: Message) -> Bytes {
    Zeroizing::new(message.reveal().to_vec())
}

fn said(message: Bytes) -> Message {
    Message::new(message.to_vec())
}
