//! Decisions of the daemon's access map: who may relay, and which TLS must be.
//!
//! Runs in the receiver and in the sender. One question is one request on the policy socket. No answer is a temporary
//! failure, and never a yes.

mod question;
mod talk;

use std::sync::Arc;
use std::time::Duration;

use protocol::policy::{Action, Response};
use smtp::reply::{Class, Code, Reply};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use question::{About, Question, Resolved};

use self::talk::{Order, Talk};
use crate::daemon::Connector;
use crate::daemon::held::hold;

/// Most questions that wait for an answer at a time; to the next one nobody knows the answer.
const MOST_WAITING: usize = 1024;

/// Whom decisions are asked of. Cheap to clone; the connection ends with the last clone.
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    orders: mpsc::UnboundedSender<Order>,
    deadline: Duration,
    places: Arc<Semaphore>,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody's word allows it, relaying too.
    Permitted,
    /// Nothing is known against it and nothing for it. About a recipient this is never said.
    Undecided,
    /// Say this: 4NN or 5NN.
    Refused(Reply),
    /// Take it and throw it away.
    Discard,
    /// Take it and hold it back, for this reason.
    Hold(String),
    /// Nobody knows: 451 4.3.0 or wait.
    Unavailable,
}

/// What a map says of features or options: the text, empty when it says nothing. `None`: nobody knows, so that neither
/// a session nor a delivery may go on as if there were none.
pub type Value = Option<String>;

impl Policy {
    /// Begins to hold a connection, inside a runtime. Each answer may take `deadline`.
    pub fn new(connector: Connector, deadline: Duration) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(hold(connector, Talk::new(deadline), taken, deadline));
        let places = Arc::new(Semaphore::new(MOST_WAITING));
        Self(Arc::new(Inner { orders, deadline, places }))
    }

    /// Asks for a decision.
    pub async fn ask(&self, question: &Question) -> Answer {
        self.begin(question).answer().await
    }

    /// Asks for a decision, and waits for none.
    pub fn begin(&self, question: &Question) -> Asked {
        Asked(self.put(question))
    }

    /// The same for what nobody has to know yet: only while there are places enough for those who do.
    pub fn begin_early(&self, question: &Question) -> Option<Asked> {
        let many = self.0.places.available_permits() > MOST_WAITING / 2;
        many.then(|| self.put(question)).flatten().map(|waiting| Asked(Some(waiting)))
    }

    /// Asks for features or options (`srv_features`, `tls_clt_features`, …).
    pub async fn value(&self, question: &Question) -> Value {
        match self.respond(question).await {
            Some(Response { action: Action::Dunno, value: Some(value) }) => Some(value),
            // It has none to say, a refusal among them: the map can't be asked.
            _ => None,
        }
    }

    async fn respond(&self, question: &Question) -> Option<Response> {
        self.put(question)?.response().await
    }

    fn put(&self, question: &Question) -> Option<Waiting> {
        let request = question.request()?.clone();
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let (reply, said) = oneshot::channel();
        let until = Instant::now() + self.0.deadline;
        self.0.orders.send(Order { request, reply }).ok()?;
        Some(Waiting { said, until, _place: place })
    }
}

/// A question that was asked; `None`: it could not be. Whoever drops it doesn't want to know any more.
pub struct Asked(Option<Waiting>);

impl Asked {
    /// The answer, once it is there.
    pub async fn answer(self) -> Answer {
        let Some(waiting) = self.0 else { return Answer::Unavailable };
        waiting.response().await.map_or(Answer::Unavailable, |it| Answer::read(it.action))
    }
}

struct Waiting {
    said: oneshot::Receiver<Response>,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    async fn response(self) -> Option<Response> {
        timeout_at(self.until, self.said).await.ok()?.ok()
    }
}

impl Answer {
    fn read(action: Action) -> Self {
        match action {
            Action::Ok => Self::Permitted,
            Action::Dunno => Self::Undecided,
            Action::Discard => Self::Discard,
            Action::Reply(line) => refusal(line.as_str()).map_or(Self::Unavailable, Self::Refused),
            Action::Other(line) => {
                let (word, why) = line.split_once(' ').unwrap_or((&line, ""));
                match word.eq_ignore_ascii_case("HOLD") {
                    true => Self::Hold(why.trim().to_owned()),
                    // Whatever it is, it isn't ours.
                    false => Self::Unavailable,
                }
            }
        }
    }
}

/// `550 5.7.1 text`, or without the second word.
fn refusal(line: &str) -> Option<Reply> {
    let (code, rest) = line.split_once(' ').unwrap_or((line, ""));
    let code = Code::new(code.parse().ok()?)
        .filter(|code| matches!(code.class(), Class::Temporary | Class::Permanent))?;
    let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let Some((subject, detail)) = enhanced(status) else {
        let text = if rest.is_empty() { "Access denied" } else { rest };
        return Some(Reply::new(code, 7, 1, text.to_owned()));
    };
    Some(Reply::new(code, subject, detail, text.to_owned()))
}

/// Subject and detail of `5.7.1`, whose class is the code's in any case.
fn enhanced(status: &str) -> Option<(u16, u16)> {
    let mut numbers = status.split('.').map(|number| number.parse::<u16>().ok());
    match (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()) {
        (Some(4 | 5), Some(subject @ ..=999), Some(detail @ ..=999), None) => {
            Some((subject, detail))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
