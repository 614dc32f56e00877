//! One client of an auth socket: its handshake, and its requests from AUTH to the outcome. No I/O here.
//!
//! What is wrong with one request ends that request alone, where Dovecot's server would end the connection and every
//! login on it: an unknown mechanism, no service, bad base64, a number used twice, an answer out of turn. A line that
//! names no request, or none that we know, ends the connection after the others were answered. Every byte is untrusted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ipc::config::Handshake;
use ipc::exchange::{Binding, Message, Offer};
use protocol::auth::{
    Auth, Code, Command, Continue, Flaw, Id, MAJOR, MAX_LINE, MINOR_WITH_BINDING,
    MINOR_WITH_CANCELLED, MINOR_WITH_CODES, Mistake, Refusal, ServerLine, is_speakable,
};
use protocol::lines::{self, Framed};
use protocol::{Answer, Name, Senders};

use super::greeting::{self, Introduction};

/// How long a client may stay silent before we take it for one that waits for us.
const SILENCE: Duration = Duration::from_millis(150);
/// From the connection until CPID must be there.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// From AUTH to the outcome, the client's time to think included (`MASTER_AUTH_SERVER_TIMEOUT_SECS`).
const REQUEST: Duration = Duration::from_secs(150);
/// How long a connection that will end waits for what is under way: longer than any delay of a refusal.
const ENDING: Duration = Duration::from_secs(5);
/// Most requests under way on one connection. The next is told that nobody knows.
const MAX_LIVE: usize = 256;
/// Most delayed refusals of one connection. The next is not delayed.
const MAX_FAILING: usize = 1024;

/// Where a session turns with what it can't do itself.
pub(crate) trait Desk {
    /// Whether the mechanism is offered here.
    fn offers(&self, auth: &Auth) -> bool;
    /// Passes a request on, and gives it a number. `None`: there is no checker.
    fn begin(&mut self, id: Id, auth: Auth, minor: u32) -> Option<u64>;
    /// Passes a response on. `None`: that checker is gone.
    fn respond(&mut self, exchange: u64, response: Continue) -> Option<()>;
    /// Tells the checker to forget an exchange.
    fn cancel(&mut self, exchange: u64);
    /// Keeps a refusal back, and says by which token it will come. `None`: not at all.
    fn delay(&mut self, id: Id, since: Instant) -> Option<u64>;
    /// A request was no request: for the log.
    fn note(&mut self, flaw: Flaw);
}

/// One request.
struct Live {
    since: Instant,
    /// When the client last said something to it.
    heard: Instant,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The checker has it.
    Checking(u64),
    /// The client has to answer a challenge.
    Asked(u64),
    /// It is refused, and the client will hear of it.
    Failing(u64),
}

/// How far the handshake is.
struct Welcome {
    began: Instant,
    handshake: Handshake,
    spoke: bool,
    greeted: bool,
    introduced: bool,
}

/// The client; see the module.
pub(crate) struct Session {
    welcome: Welcome,
    /// The client's, once it said it.
    minor: Option<u32>,
    live: HashMap<Id, Live>,
    failing: usize,
    /// The connection will end: now if nothing is under way, at this time in any case.
    ending: Option<Instant>,
    /// Nothing more is read.
    deaf: bool,
    answer_within: Duration,
}

impl Session {
    /// A client that just connected.
    pub(crate) fn new(handshake: Handshake, answer_within: Duration, now: Instant) -> Self {
        Self {
            welcome: Welcome {
                began: now,
                handshake,
                spoke: false,
                greeted: false,
                introduced: false,
            },
            minor: None,
            live: HashMap::new(),
            failing: 0,
            ending: None,
            deaf: false,
            answer_within,
        }
    }

    /// Says everything that we have to say first, when its time has come and something is offered.
    pub(crate) fn greet(
        &mut self,
        offer: Option<Offer>,
        introduction: &Introduction,
        now: Instant,
        out: &mut Message,
    ) -> bool {
        let offered = offer.map(|offer| offer.tls.or(offer.clear)).filter(|all| !all.is_empty());
        let Some(offered) = offered.filter(|_| !self.welcome.greeted) else { return false };
        let timely = match self.welcome.handshake {
            Handshake::Legacy => true,
            Handshake::Wait => self.minor.is_some(),
            Handshake::Auto => {
                let silent = !self.welcome.spoke && now >= self.welcome.began + SILENCE;
                self.minor.is_some() || silent
            }
        };
        if timely {
            self.welcome.greeted = true;
            greeting::write(offered, self.minor, introduction, out);
        }
        timely
    }

    /// Acts on every whole line, and says how many bytes that took. What comes before its time stays.
    pub(crate) fn consume(
        &mut self,
        bytes: &[u8],
        now: Instant,
        desk: &mut impl Desk,
        out: &mut Message,
    ) -> usize {
        self.welcome.spoke |= !bytes.is_empty();
        let mut used = 0;
        while !self.deaf && (self.minor.is_none() || self.welcome.greeted) {
            match lines::first(bytes.get(used..).unwrap_or_default(), MAX_LINE) {
                Framed::Incomplete => return used,
                Framed::TooLong => {
                    desk.note(Flaw::TooLong);
                    self.give_up(now, desk);
                }
                Framed::Line(line, length) => {
                    used += length;
                    self.take(line, now, desk, out);
                }
            }
        }
        if self.deaf { bytes.len() } else { used }
    }

    fn take(&mut self, line: &[u8], now: Instant, desk: &mut impl Desk, out: &mut Message) {
        let ready = self.minor.is_some() && self.welcome.introduced;
        match Command::decode(line) {
            Ok(Command::Version(version)) if self.minor.is_none() && version.major == MAJOR => {
                self.minor = Some(version.minor);
            }
            Ok(Command::Cpid(_)) if self.minor.is_some() && !self.welcome.introduced => {
                self.welcome.introduced = true;
            }
            Ok(Command::Auth(auth)) if ready => self.begin(*auth, now, desk, out),
            Ok(Command::Continue(response)) if ready => self.respond(response, now, desk, out),
            Ok(Command::Cancel(id)) if ready => self.cancel(id, desk, out),
            Err(Mistake::Request(id, flaw)) if ready => {
                desk.note(flaw);
                self.forget(id, desk);
                let code = if flaw == Flaw::Base64 { Code::Base64 } else { Code::Refused };
                self.refuse(id, code, out);
            }
            Err(Mistake::Connection(flaw)) => {
                desk.note(flaw);
                self.give_up(now, desk);
            }
            _ => {
                desk.note(Flaw::UnknownCommand);
                self.give_up(now, desk);
            }
        }
    }

    fn begin(&mut self, auth: Auth, now: Instant, desk: &mut impl Desk, out: &mut Message) {
        let id = auth.id;
        let minor = self.minor.unwrap_or_default();
        if self.live.contains_key(&id) {
            // Whatever came back would be taken for the answer to either. One refusal ends both.
            self.forget(id, desk);
            return self.refuse(id, Code::Refused, out);
        }
        if self.ending.is_some() || self.live.len() - self.failing >= MAX_LIVE {
            return self.unavailable(id, now, out);
        }
        let binds = auth.mechanism.binds_channel();
        if !desk.offers(&auth) || (binds && minor < MINOR_WITH_BINDING) {
            desk.note(Flaw::Mechanism);
            return self.refuse(id, Code::Refused, out);
        }
        match desk.begin(id, auth, minor) {
            Some(exchange) => {
                let stage = Stage::Checking(exchange);
                self.live.insert(id, Live { since: now, heard: now, stage });
            }
            None => self.unavailable(id, now, out),
        }
    }

    fn respond(
        &mut self,
        response: Continue,
        now: Instant,
        desk: &mut impl Desk,
        out: &mut Message,
    ) {
        let id = response.id;
        match self.live.get_mut(&id) {
            // It will hear of it in its time.
            Some(Live { stage: Stage::Failing(_), .. }) => {}
            Some(Live { stage: Stage::Asked(exchange), since, .. }) => {
                let (exchange, since) = (*exchange, *since);
                let stage = Stage::Checking(exchange);
                self.live.insert(id, Live { since, heard: now, stage });
                if desk.respond(exchange, response).is_none() {
                    self.unavailable(id, now, out);
                }
            }
            Some(Live { stage: Stage::Checking(_), .. }) | None => {
                desk.note(Flaw::Number);
                self.forget(id, desk);
                self.refuse(id, Code::Refused, out);
            }
        }
    }

    fn cancel(&mut self, id: Id, desk: &mut impl Desk, out: &mut Message) {
        self.forget(id, desk);
        if self.minor >= Some(MINOR_WITH_CANCELLED) {
            let _ = ServerLine::Cancelled(id).encode(out);
        }
    }

    /// The mechanism's next words.
    pub(crate) fn challenged(
        &mut self,
        id: Id,
        message: Message,
        binding: Option<Binding>,
        now: Instant,
        desk: &mut impl Desk,
        out: &mut Message,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let Stage::Checking(exchange) = live.stage else { return };
        if self.deaf {
            // Its answer would not be heard.
            return self.forget(id, desk);
        }
        live.stage = Stage::Asked(exchange);
        let binding = binding.and_then(|binding| Name::new(binding.as_str().as_bytes()).ok());
        if (ServerLine::Challenge { id, message, binding }).encode(out).is_err() {
            self.forget(id, desk);
            self.unavailable(id, now, out);
        }
    }

    /// The end of an exchange.
    pub(crate) fn ended(
        &mut self,
        id: Id,
        outcome: (Answer, Option<Name>, Option<Message>, Senders),
        now: Instant,
        desk: &mut impl Desk,
        out: &mut Message,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if matches!(live.stage, Stage::Failing(_)) {
            return;
        }
        let (answer, user, last_words, senders) = outcome;
        // A name that clients would read as another one is nobody's.
        let named = user.as_ref().is_some_and(is_speakable);
        match answer {
            Answer::Accept if named => {
                self.live.remove(&id);
                if (ServerLine::Accepted { id, user, last_words, senders }).encode(out).is_err() {
                    self.unavailable(id, now, out);
                }
            }
            Answer::Accept | Answer::Refuse => {
                let token = match self.failing < MAX_FAILING {
                    true => desk.delay(id, live.heard),
                    false => None,
                };
                match token {
                    Some(token) => {
                        live.stage = Stage::Failing(token);
                        self.failing += 1;
                    }
                    None => {
                        self.live.remove(&id);
                        self.refuse(id, Code::Refused, out);
                    }
                }
            }
            Answer::Unavailable => self.unavailable(id, now, out),
        }
    }

    /// A refusal that was kept back.
    pub(crate) fn fail(&mut self, id: Id, token: u64, out: &mut Message) {
        let stage = self.live.get(&id).map(|live| live.stage);
        if matches!(stage, Some(Stage::Failing(its)) if its == token) {
            self.live.remove(&id);
            self.failing -= 1;
            self.refuse(id, Code::Refused, out);
        }
    }

    fn refuse(&self, id: Id, code: Code, out: &mut Message) {
        // Postfix tells its client a reason, and nothing in words of its own; imap-login makes an [ALERT] of one.
        let refusal = match self.minor >= Some(MINOR_WITH_CODES) {
            true => Refusal { id, code, reason: None },
            false => Refusal::neutral(id, Code::Refused),
        };
        let _ = ServerLine::Refused(refusal).encode(out);
    }

    /// Old clients know no word for it: they take a connection that ends for a temporary failure, and `temp` for a
    /// wrong password. So the others are answered, and then it ends.
    fn unavailable(&mut self, id: Id, now: Instant, out: &mut Message) {
        self.live.remove(&id);
        if self.minor >= Some(MINOR_WITH_CODES) {
            let _ = ServerLine::Refused(Refusal::temporary(id)).encode(out);
        } else {
            self.end(now);
        }
    }

    fn forget(&mut self, id: Id, desk: &mut impl Desk) {
        match self.live.remove(&id).map(|live| live.stage) {
            Some(Stage::Checking(exchange) | Stage::Asked(exchange)) => desk.cancel(exchange),
            Some(Stage::Failing(_)) => self.failing -= 1,
            None => {}
        }
    }

    /// Nothing new is taken, and the connection ends when what is under way has ended.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ending.get_or_insert(now + ENDING);
    }

    /// The same, and nothing more is read: what follows can't be understood, or nothing follows.
    pub(crate) fn give_up(&mut self, now: Instant, desk: &mut impl Desk) {
        self.deaf = true;
        self.end(now);
        let asked = |live: &Live| matches!(live.stage, Stage::Asked(_));
        let waiting = self.live.iter().filter(|(_, live)| asked(live)).map(|(id, _)| *id);
        for id in waiting.collect::<Vec<_>>() {
            self.forget(id, desk);
        }
    }

    /// The connection is gone.
    pub(crate) fn abandon(&mut self, desk: &mut impl Desk) {
        for id in self.live.keys().copied().collect::<Vec<_>>() {
            self.forget(id, desk);
        }
    }

    /// Whether it will end soon.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the connection has to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some() && self.live.is_empty()
    }

    /// Whether anything more is read.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// When [`Session::tick`] has something to do. `offered`: whether there is something to greet with.
    pub(crate) fn deadline(&self, offered: Option<Offer>) -> Option<Instant> {
        let welcome = &self.welcome;
        let auto = welcome.handshake == Handshake::Auto && offered.is_some();
        let silence = (auto && !welcome.greeted && !welcome.spoke).then(|| welcome.began + SILENCE);
        let handshake = (!welcome.introduced).then(|| welcome.began + HANDSHAKE);
        let live = self.live.values().filter_map(|live| self.due(live)).min();
        [silence, handshake, live, self.ending].into_iter().flatten().min()
    }

    fn due(&self, live: &Live) -> Option<Instant> {
        match live.stage {
            Stage::Checking(_) => Some((live.heard + self.answer_within).min(live.since + REQUEST)),
            Stage::Asked(_) => Some(live.since + REQUEST),
            Stage::Failing(_) => None,
        }
    }

    /// Ends what took too long.
    pub(crate) fn tick(&mut self, now: Instant, desk: &mut impl Desk, out: &mut Message) {
        let late = |(id, live): (&Id, &Live)| {
            self.due(live).filter(|due| *due <= now).map(|_| (*id, live.stage))
        };
        for (id, stage) in self.live.iter().filter_map(late).collect::<Vec<_>>() {
            self.forget(id, desk);
            match stage {
                Stage::Checking(_) => self.unavailable(id, now, out),
                _ => self.refuse(id, Code::Refused, out),
            }
        }
        let unmet = !self.welcome.introduced && now >= self.welcome.began + HANDSHAKE;
        if unmet || self.ending.is_some_and(|ending| ending <= now) {
            self.deaf = true;
            self.end(now);
            self.abandon(desk);
        }
    }
}

#[cfg(test)]
mod tests;
