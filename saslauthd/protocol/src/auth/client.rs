//! A small blocking client of an auth socket, ours or a real Dovecot's, with a deadline for everything.
//!
//! For the mta, the bridges and the tests. It trusts the server with the password and with nothing else: a line that
//! lacks its number, a number that nobody asked for, a line without end, all end in a temporary failure and a
//! connection that is [`Client::is_lost`], never in an accepted login.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::command::{Auth, Command, Continue, Initial};
use super::parameters::Parameters;
use super::reply::{Code, ServerLine};
use super::{CLIENT_MINOR, Id, MAJOR, MAX_LINE, Message, Version};
use crate::lines::{Framed, first};
use crate::mechanism::{Mechanism, MechanismSet};
use crate::{Name, Password};

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted: who it is, by the server's word.
    Accepted(Name),
    /// Wrong credentials, or an account that may not log in.
    Refused(Code),
    /// Nobody knows: try again later.
    Unavailable,
}

/// A challenge on its way to whoever logs in.
pub struct Challenge {
    /// The mechanism's words.
    pub message: Message,
    /// The channel whose data are wanted as well.
    pub binding: Option<Name>,
    /// Whether these are the last words after a success: the reply counts for nothing.
    pub last_words: bool,
}

/// What whoever logs in says to a challenge.
pub struct Response {
    /// The mechanism's words.
    pub message: Message,
    /// The channel's data.
    pub binding: Option<Vec<u8>>,
}

/// A connection after its handshake.
pub struct Client {
    stream: UnixStream,
    received: Message,
    mechanisms: MechanismSet,
    last: u32,
    lost: bool,
}

impl Client {
    /// Connects and shakes hands within `deadline`.
    ///
    /// Our VERSION and CPID go out at once, so every generation of servers answers.
    ///
    /// # Errors
    /// Those of the connection; `InvalidData` for a server of another major version, or one that offers no mechanism
    /// (a master socket); `TimedOut`.
    pub fn connect(socket: &Path, deadline: Duration) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket)?, deadline)
    }

    /// The same over a connection that the caller made, who can bound the time of connecting too.
    ///
    /// # Errors
    /// As of [`Client::connect`].
    pub fn over(stream: UnixStream, deadline: Duration) -> io::Result<Self> {
        let end = Instant::now() + deadline;
        let (received, mechanisms) = (Message::default(), MechanismSet::default());
        let mut client = Self { stream, received, mechanisms, last: 0, lost: false };
        client.stream.set_write_timeout(Some(deadline.max(Duration::from_millis(1))))?;
        client.say(&Command::Version(Version { major: MAJOR, minor: CLIENT_MINOR }))?;
        let pid = Id::new(std::process::id()).unwrap_or(Id::MIN);
        client.say(&Command::Cpid(pid))?;
        client.shake_hands(end)?;
        Ok(client)
    }

    fn shake_hands(&mut self, end: Instant) -> io::Result<()> {
        let mut offered = false;
        loop {
            match self.hear(end)? {
                Some(ServerLine::Version(version)) if version.major != MAJOR => {
                    return Err(invalid("the server speaks another version of the protocol"));
                }
                Some(ServerLine::Mechanism(mechanism)) => {
                    offered = true;
                    self.mechanisms = self.mechanisms.with(mechanism);
                }
                Some(ServerLine::OtherMechanism) => offered = true,
                Some(ServerLine::Spid(_)) if !offered => {
                    return Err(invalid("this is no socket for clients: it offers no mechanism"));
                }
                Some(ServerLine::Done) if offered => return Ok(()),
                Some(ServerLine::Done) => return Err(invalid("the server offers no mechanism")),
                Some(_) => {}
                None => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// What the server offered, of the mechanisms of this house.
    pub fn mechanisms(&self) -> MechanismSet {
        self.mechanisms
    }

    /// Whether nothing more can be asked here: connect again.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Asks with name and password, by PLAIN in one go.
    pub fn plain(
        &mut self,
        parameters: Parameters,
        user: &Name,
        password: &Password,
        deadline: Duration,
    ) -> Outcome {
        let (user, password) = (user.as_bytes(), password.reveal());
        let mut message = Message::new(Vec::with_capacity(user.len() + password.len() + 2));
        message.push(0);
        message.extend_from_slice(user);
        message.push(0);
        message.extend_from_slice(password);
        let initial = Initial::Bytes(message);
        self.exchange(Mechanism::Plain, parameters, initial, deadline, |_| None)
    }

    /// Carries out one exchange. `answer` gives the response to each challenge; `None` gives up, and then nobody knows.
    ///
    /// With [`LastWords::WithOutcome`](super::LastWords) it also gets the last words, to verify the server.
    pub fn exchange(
        &mut self,
        mechanism: Mechanism,
        parameters: Parameters,
        initial: Initial,
        deadline: Duration,
        answer: impl FnMut(Challenge) -> Option<Response>,
    ) -> Outcome {
        if self.lost {
            return Outcome::Unavailable;
        }
        let end = Instant::now() + deadline;
        let Some(id) = self.last.checked_add(1).and_then(Id::new) else {
            self.lost = true;
            return Outcome::Unavailable;
        };
        self.last = id.get();
        let auth = Command::Auth(Box::new(Auth { id, mechanism, parameters, initial }));
        let outcome = self.say(&auth).and_then(|()| self.converse(id, end, answer));
        match outcome {
            Ok(Some(outcome)) => outcome,
            // What is still to come would be taken for an answer to something else.
            Ok(None) | Err(_) => {
                self.lost = true;
                Outcome::Unavailable
            }
        }
    }

    /// `None`: the server said what it may not, or nothing more.
    fn converse(
        &mut self,
        id: Id,
        end: Instant,
        mut answer: impl FnMut(Challenge) -> Option<Response>,
    ) -> io::Result<Option<Outcome>> {
        loop {
            let Some(line) = self.hear(end)? else { return Ok(None) };
            match line.id() {
                None => continue,
                Some(theirs) if theirs == id => {}
                // Of a request that was given up before.
                Some(theirs) if theirs < id => continue,
                // Of a request that nobody made: the server is confused.
                Some(_) => return Ok(None),
            }
            match line {
                ServerLine::Challenge { message, binding, .. } => {
                    let challenge = Challenge { message, binding, last_words: false };
                    let Some(Response { message, binding }) = answer(challenge) else {
                        self.say(&Command::Cancel(id))?;
                        return Ok(Some(Outcome::Unavailable));
                    };
                    self.say(&Command::Continue(Continue { id, message, binding }))?;
                }
                ServerLine::Accepted { user, last_words, .. } => {
                    let Some(user) = user else { return Ok(None) };
                    if let Some(message) = last_words {
                        let _ = answer(Challenge { message, binding: None, last_words: true });
                    }
                    return Ok(Some(Outcome::Accepted(user)));
                }
                ServerLine::Refused(refusal) => {
                    return Ok(Some(match refusal.code {
                        Code::Temporary => Outcome::Unavailable,
                        code => Outcome::Refused(code),
                    }));
                }
                // A request that we did not cancel.
                _ => return Ok(None),
            }
        }
    }

    fn say(&mut self, command: &Command) -> io::Result<()> {
        let mut line = Message::default();
        command.encode(&mut line).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.stream.write_all(&line)
    }

    /// The next line; `None` at the end of the stream.
    fn hear(&mut self, end: Instant) -> io::Result<Option<ServerLine>> {
        loop {
            match first(&self.received, MAX_LINE) {
                Framed::TooLong => return Err(invalid("the server's line has no end")),
                Framed::Line(line, used) => {
                    let line = ServerLine::decode(line);
                    self.received.drain(..used);
                    return line.map(Some).ok_or_else(|| invalid("the server's line is malformed"));
                }
                Framed::Incomplete => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut chunk = [0; 2048];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    self.received.extend_from_slice(chunk.get(..count).unwrap_or_default())
                }
                // A process that was stopped and goes on sees this even without a handler.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
