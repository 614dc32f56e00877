//! Dovecot's auth protocol as its client: the handshake, and any number of exchanges on one connection. No I/O.
//!
//! The server is trusted with the outcome of an exchange that we began, and with nothing else. A number is used once in
//! the life of this process, so that a late answer to a forgotten one is nobody's. What the server says out of turn ends
//! the connection: nobody is accepted by it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use protocol::auth::{
    Auth, Code, Command, Continue, Id, Initial, MAJOR, MAX_LINE, MINOR, MINOR_WITH_BINDING,
    Order as Place, Parameters, Security, ServerLine, Version,
};
use protocol::lines::{Framed, first};
use protocol::mechanism::{Mechanism, MechanismSet};
use protocol::{Name, Senders};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::daemon::held::{Bytes, Conversation, Standing};

/// Most exchanges under way. Our daemon takes 256 on one connection.
pub(super) const MOST: usize = 240;

/// Connections that this process began.
static BEGUN: AtomicU32 = AtomicU32::new(0);
/// Linux has no larger process ids.
const PID_BITS: u32 = 22;

/// The number by which a server tells its clients apart. Dovecot closes a connection whose number is that of another one,
/// and after a reload sessions that began before it still hold theirs.
fn connection(pid: u32, begun: u32) -> Id {
    Id::new(pid | begun << PID_BITS).unwrap_or(Id::MIN)
}

/// What the daemon offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is away, and did these last, if ever it was there.
    Away(MechanismSet),
    /// What it did, until a moment ago.
    Lately(MechanismSet),
    /// These.
    Now(MechanismSet),
}

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Heard>;

/// What a session wants.
pub(super) enum Order {
    /// A login.
    Begin {
        /// Of the session's choice, never used before.
        id: Id,
        /// By which mechanism.
        mechanism: Mechanism,
        /// In what session.
        parameters: Box<Parameters>,
        /// With which initial response.
        initial: Option<Bytes>,
        /// Who waits.
        reply: Reply,
    },
    /// The answer to a challenge.
    Answer {
        /// Of which login.
        id: Id,
        /// The client's words.
        message: Bytes,
        /// The data of the channel.
        binding: Option<Vec<u8>>,
        /// Who waits.
        reply: Reply,
    },
    /// Never mind.
    Cancel(Id),
}

/// What the daemon says to a session.
pub(super) enum Heard {
    /// The client is to answer this.
    Challenge {
        /// The mechanism's words.
        message: Bytes,
        /// Which channel's data are wanted with the answer.
        binding: Option<Name>,
    },
    /// It is who they say.
    Accepted {
        /// Who.
        user: Name,
        /// As whom they may send.
        senders: Senders,
        /// What the client has to be told before that.
        last_words: Option<Bytes>,
    },
    /// It is not.
    Refused,
    /// It isn't offered.
    NotOffered,
    /// Nobody knows.
    Unavailable,
}

/// An exchange that the daemon knows of.
enum Stage {
    /// The daemon has to say something.
    Asked(Reply),
    /// The client has.
    Answering,
}

/// The conversation; see the module.
pub(super) struct Talk {
    /// How long the handshake may take.
    patience: Duration,
    offered: watch::Sender<Offered>,
    live: HashMap<Id, Stage>,
    /// Those in which the client has to say something, in the order in which they came to that. May name others too.
    answering: VecDeque<Id>,
    /// Those that ended while the client had to say something, and how.
    over: HashMap<Id, Heard>,
    /// When the handshake must be done; `None`: it is.
    handshake: Option<Instant>,
    version: Option<Version>,
    mechanisms: MechanismSet,
}

impl Talk {
    /// A conversation that says on `offered` what the daemon offers.
    pub(super) fn new(patience: Duration, offered: watch::Sender<Offered>) -> Self {
        Self {
            patience,
            offered,
            live: HashMap::new(),
            answering: VecDeque::new(),
            over: HashMap::new(),
            handshake: None,
            version: None,
            mechanisms: MechanismSet::default(),
        }
    }

    /// Handshake of the server.
    fn greeted(&mut self, line: ServerLine) -> Result<(), &'static str> {
        match line {
            ServerLine::Version(version) if version.major != MAJOR => {
                return Err("it speaks another version of the protocol");
            }
            ServerLine::Version(version) => self.version = Some(version),
            ServerLine::Mechanism(mechanism) => {
                self.mechanisms = self.mechanisms.with(mechanism);
            }
            ServerLine::Done if self.version.is_none() => return Err("it states no version"),
            ServerLine::Done if self.mechanisms.is_empty() => {
                return Err("it offers no mechanism that we know");
            }
            ServerLine::Done => {
                self.handshake = None;
                self.offered.send_replace(Offered::Now(self.mechanisms));
            }
            _ => {}
        }
        Ok(())
    }

    fn begin_exchange(&mut self, auth: Auth, reply: Reply, out: &mut Bytes) {
        if reply.is_closed() {
            return;
        }
        if !self.mechanisms.contains(auth.mechanism) {
            let _ = reply.send(Heard::NotOffered);
            return;
        }
        if self.live.len() >= MOST && !self.make_room(out) {
            let _ = reply.send(Heard::Unavailable);
            return;
        }
        let id = auth.id;
        // A response that is longer than a line may be is no mechanism's.
        match Command::Auth(Box::new(auth)).encode(out) {
            Ok(()) => drop(self.live.insert(id, Stage::Asked(reply))),
            Err(_) => drop(reply.send(Heard::Refused)),
        }
    }

    /// Gives up the login whose client thinks longest, so that those who say nothing keep nobody out.
    fn make_room(&mut self, out: &mut Bytes) -> bool {
        while let Some(id) = self.answering.pop_front() {
            if matches!(self.live.get(&id), Some(Stage::Answering)) {
                self.forget(id, out);
                self.over.insert(id, Heard::Unavailable);
                return true;
            }
        }
        false
    }

    fn forget(&mut self, id: Id, out: &mut Bytes) {
        if self.live.remove(&id).is_some() {
            let _ = Command::Cancel(id).encode(out);
        }
    }

    fn answer(&mut self, response: Continue, reply: Reply, out: &mut Bytes) {
        let id = response.id;
        if let Some(outcome) = self.over.remove(&id) {
            let _ = reply.send(outcome);
            return;
        }
        // Of a connection before this one, or of a client that answers twice: whoever waits hears that nobody knows.
        let Some(stage @ Stage::Answering) = self.live.get_mut(&id) else { return };
        match Command::Continue(response).encode(out) {
            Ok(()) => *stage = Stage::Asked(reply),
            Err(_) => {
                self.forget(id, out);
                let _ = reply.send(Heard::Refused);
            }
        }
        self.answering.retain(|other| *other != id);
    }

    /// What the server says of an exchange.
    fn outcome(&mut self, line: ServerLine) -> Result<(), &'static str> {
        let Some(id) = line.id() else { return Ok(()) };
        // Of one that was given up.
        let Some(stage) = self.live.remove(&id) else { return Ok(()) };
        let heard = match line {
            ServerLine::Challenge { message, binding, .. } => Heard::Challenge { message, binding },
            ServerLine::Accepted { user: Some(user), senders, last_words, .. } => {
                Heard::Accepted { user, senders, last_words }
            }
            ServerLine::Refused(refusal) if refusal.code == Code::Temporary => Heard::Unavailable,
            ServerLine::Refused(_) => Heard::Refused,
            _ => {
                return Err("it accepts somebody without a name, or cancels what nobody cancelled");
            }
        };
        match (stage, heard) {
            (Stage::Asked(reply), heard) => {
                if matches!(heard, Heard::Challenge { .. }) {
                    self.live.insert(id, Stage::Answering);
                    self.answering.push_back(id);
                }
                // Who doesn't wait any more cancels.
                let _ = reply.send(heard);
            }
            // It took too long for the server.
            (Stage::Answering, heard @ (Heard::Refused | Heard::Unavailable)) => {
                self.answering.retain(|other| *other != id);
                self.over.insert(id, heard);
            }
            (Stage::Answering, _) => return Err("it answers before it was asked"),
        }
        Ok(())
    }
}

impl Conversation for Talk {
    type Order = Order;

    const SOCKET: &str = "auth";

    fn lost(&mut self, standing: Standing) {
        self.live.clear();
        self.answering.clear();
        self.over.clear();
        self.version = None;
        self.mechanisms = MechanismSet::default();
        self.offered.send_modify(|offered| {
            *offered = match (standing, *offered) {
                (Standing::Connecting, Offered::Now(these)) => Offered::Lately(these),
                (Standing::Connecting, offered) => offered,
                (
                    Standing::Away,
                    Offered::Now(these) | Offered::Lately(these) | Offered::Away(these),
                ) => Offered::Away(these),
            }
        });
    }

    fn begin(&mut self, now: Instant, out: &mut Bytes) {
        self.handshake = Some(now + self.patience);
        let pid = connection(std::process::id(), BEGUN.fetch_add(1, Ordering::Relaxed));
        let version = Version { major: MAJOR, minor: MINOR };
        for command in [Command::Version(version), Command::Cpid(pid)] {
            let _ = command.encode(out);
        }
    }

    fn is_ready(&self) -> bool {
        self.handshake.is_none()
    }

    fn take(&mut self, order: Order, _now: Instant, out: &mut Bytes) {
        match order {
            Order::Begin { id, mechanism, mut parameters, initial, reply } => {
                parameters.security = match self.version {
                    Some(version) if version.minor >= MINOR_WITH_BINDING => Security::Tls,
                    _ => Security::Secured(Place::AfterAddresses),
                };
                let initial = initial.map_or(Initial::Absent, Initial::Bytes);
                let auth = Auth { id, mechanism, parameters: *parameters, initial };
                self.begin_exchange(auth, reply, out);
            }
            Order::Answer { id, message, binding, reply } => {
                self.answer(Continue { id, message, binding }, reply, out);
            }
            Order::Cancel(id) => {
                self.forget(id, out);
                self.answering.retain(|other| *other != id);
                self.over.remove(&id);
            }
        }
    }

    fn hear(&mut self, received: &[u8], _out: &mut Bytes) -> Result<usize, &'static str> {
        let mut used = 0;
        loop {
            match first(received.get(used..).unwrap_or_default(), MAX_LINE) {
                Framed::TooLong => return Err("a line of it has no end"),
                Framed::Incomplete => return Ok(used),
                Framed::Line(line, length) => {
                    used += length;
                    let line = ServerLine::decode(line).ok_or("a line of it makes no sense")?;
                    match self.is_ready() {
                        true => self.outcome(line)?,
                        false => self.greeted(line)?,
                    }
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.handshake
    }
}

#[cfg(test)]
#[path = "talk/tests.rs"]
mod tests;
