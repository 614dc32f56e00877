//! SASL exchanges under way: from a client's first message to the end, message by message.
//!
//! Runs in the checker. An exchange is carried on by the crate `mechanisms`; whatever it wants to know and whatever it
//! has proven goes the way of every login: the same names, limits, backends, floor and event. It trusts the listener
//! for no more than framing: an exchange out of turn, too many of them, or a mechanism that was not offered end that
//! exchange alone.

use std::collections::HashMap;

use credentials::{Generation, Reason};
use ipc::config::Level;
use ipc::exchange::{Begin, Binding, MAX_EXCHANGES, Message, Reply, Respond, Transport};
use mechanisms::{Exchange, Plus, Start, Step, Wanted};
use protocol::mechanism::Mechanism;
use protocol::{Answer, Name};

use super::login::{Login, Origin};
use super::parked::Form;
use super::{Dispatcher, Moment};
use crate::log::Outcome;
use crate::mapping::Identity;

/// Most exchanges of all channels together: listeners that follow each other overlap for a moment.
const MOST: usize = 2 * MAX_EXCHANGES;
/// Most exchanges that the programs of one user hold on a channel, so that others find a place beside them.
const MOST_OF_PEER: usize = MAX_EXCHANGES / 2;
/// Dovecot's lifetime of a request, 150 s.
const LIFETIME_NS: u64 = 150_000_000_000;
/// How often it is looked for exchanges that are older.
const SWEEP_NS: u64 = 5_000_000_000;
/// A challenge that may have taken a derivation of keys waits so long, whether it did or not: more than twice what one
/// takes here.
const CHALLENGE_FLOOR_NS: u64 = 3_000_000;
/// The same for the longest hash.
const CHALLENGE_FLOOR_512_NS: u64 = 8_000_000;

/// What a login has that came by an exchange.
pub(super) struct Sasl {
    pub(super) mechanism: Mechanism,
    pub(super) transport: Transport,
    pub(super) certificate: Option<Name>,
    /// Until it has proven or refused something.
    exchange: Option<Exchange>,
    ends_ns: u64,
    /// Whom the client wants to be, as it said it.
    pub(super) authzid: Option<Name>,
    /// Who it is allowed to be instead of itself.
    pub(super) acting: Option<Identity>,
    /// Which backend has that one.
    pub(super) acting_in: Option<usize>,
    /// What was wanted of the account's record, and which secret was there.
    pub(super) seen: Option<(Wanted, Generation)>,
    /// The mechanism's last words, to go with the outcome.
    pub(super) last_words: Option<Message>,
}

/// Where an exchange is while it is not being handled.
enum Held {
    /// Its client is to answer a challenge.
    Waiting(Box<Login>),
    /// Its challenge waits for its time.
    Silent(Box<Login>, Message, Option<Binding>),
    /// The hashing pool, a limit or the floor has the login of this serial number.
    Away(u64),
    /// The same, and its client gave it up: it keeps its place until it is decided, or whoever asks and gives up
    /// without a pause would have any number under way.
    GivenUp(u64),
}

/// An exchange's place.
struct Place {
    /// Who asked.
    uid: u32,
    held: Held,
}

/// The exchanges of all channels.
#[derive(Default)]
pub(super) struct Exchanges {
    held: HashMap<(Origin, u64), Place>,
    by_channel: HashMap<Origin, usize>,
    by_peer: HashMap<(Origin, u32), usize>,
    swept_ns: u64,
}

impl Exchanges {
    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// When old ones are looked for next.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.held.is_empty()).then_some(self.swept_ns.saturating_add(SWEEP_NS))
    }

    fn has_room(&self, origin: Origin, uid: u32) -> bool {
        let of_channel = self.by_channel.get(&origin).copied().unwrap_or(0);
        let of_peer = self.by_peer.get(&(origin, uid)).copied().unwrap_or(0);
        self.held.len() < MOST && of_channel < MAX_EXCHANGES && of_peer < MOST_OF_PEER
    }

    fn enter(&mut self, origin: Origin, id: u64, uid: u32, serial: u64) {
        let place = Place { uid, held: Held::Away(serial) };
        if self.held.insert((origin, id), place).is_none() {
            *self.by_channel.entry(origin).or_default() += 1;
            *self.by_peer.entry((origin, uid)).or_default() += 1;
        }
    }

    fn held(&self, origin: Origin, id: u64) -> Option<&Held> {
        self.held.get(&(origin, id)).map(|place| &place.held)
    }

    fn put(&mut self, origin: Origin, id: u64, held: Held) {
        if let Some(place) = self.held.get_mut(&(origin, id)) {
            place.held = held;
        }
    }

    fn remove(&mut self, origin: Origin, id: u64) -> Option<Held> {
        let Place { uid, held } = self.held.remove(&(origin, id))?;
        one_less(&mut self.by_channel, origin);
        one_less(&mut self.by_peer, (origin, uid));
        Some(held)
    }

    /// Forgets what waits for its client; what is being decided keeps its place.
    fn give_up(&mut self, origin: Origin, id: u64) {
        match self.held(origin, id) {
            Some(Held::Away(serial)) => {
                let serial = *serial;
                self.put(origin, id, Held::GivenUp(serial));
            }
            Some(Held::GivenUp(_)) => {}
            _ => drop(self.remove(origin, id)),
        }
    }

    /// Takes what waits for its client, and leaves the mark of this login in its place.
    fn take_waiting(&mut self, origin: Origin, id: u64) -> Option<Box<Login>> {
        let waits = matches!(self.held(origin, id), Some(Held::Waiting(_)));
        if waits { self.take(origin, id) } else { None }
    }

    /// The same of what waits for its time.
    fn take(&mut self, origin: Origin, id: u64) -> Option<Box<Login>> {
        let place = &mut self.held.get_mut(&(origin, id))?.held;
        let (Held::Waiting(login) | Held::Silent(login, ..)) = place else { return None };
        let serial = login.serial;
        match std::mem::replace(place, Held::Away(serial)) {
            Held::Waiting(login) | Held::Silent(login, ..) => Some(login),
            Held::Away(_) | Held::GivenUp(_) => None,
        }
    }

    /// Forgets the exchange of a login that is answered. `false` when nobody waits for the answer any more.
    pub(super) fn end(&mut self, origin: Origin, id: u64, serial: u64) -> bool {
        match self.held(origin, id) {
            Some(Held::Away(held)) if *held == serial => self.remove(origin, id).is_some(),
            Some(Held::GivenUp(held)) if *held == serial => {
                self.remove(origin, id);
                false
            }
            _ => false,
        }
    }

    fn drop_channel(&mut self, origin: Origin) {
        self.held.retain(|(of, _), _| *of != origin);
        self.by_channel.remove(&origin);
        self.by_peer.retain(|(of, _), _| *of != origin);
    }

    /// Those whose client has had its time.
    fn expired(&mut self, now_ns: u64) -> Vec<(Origin, u64)> {
        if self.next().is_none_or(|next| now_ns < next) {
            return Vec::new();
        }
        self.swept_ns = now_ns;
        let is_old = |place: &Place| match &place.held {
            Held::Waiting(login) | Held::Silent(login, ..) => {
                login.sasl.as_ref().is_some_and(|sasl| sasl.ends_ns <= now_ns)
            }
            Held::Away(_) | Held::GivenUp(_) => false,
        };
        self.held.iter().filter(|(_, place)| is_old(place)).map(|(key, _)| *key).collect()
    }
}

impl Dispatcher {
    /// A client asks for a mechanism.
    pub(super) fn begin(&mut self, origin: Origin, mut begin: Begin) {
        let now = (self.clock)();
        self.limiter.at(now.boot_ns);
        self.serial += 1;
        let (id, serial) = (begin.id, self.serial);
        // An id that is under way already: whoever sent both can't tell their answers apart.
        let is_twice = self.exchanges.remove(origin, id).is_some();
        let uid = begin.peer.uid;
        if !self.exchanges.has_room(origin, uid) {
            self.replies.push((origin, Reply::ended(id, Answer::Unavailable)));
            return;
        }
        self.exchanges.enter(origin, id, uid, serial);
        let initial = begin.initial.take();
        let refusal = match is_twice {
            true => Some("repeated-id"),
            false => self.objection(begin.socket, begin.mechanism, begin.transport, begin.can_bind),
        };
        let exchange = self.conversation(&begin, now);
        let has_begun = exchange.is_some();
        let mut login = Login::bare(origin, id, begin.peer, begin.source, begin.service);
        (login.serial, login.started_ns) = (serial, now.boot_ns);
        login.sasl = Some(Box::new(Sasl {
            mechanism: begin.mechanism,
            transport: begin.transport,
            certificate: begin.certificate,
            exchange,
            ends_ns: now.boot_ns.saturating_add(LIFETIME_NS),
            authzid: None,
            acting: None,
            acting_in: None,
            seen: None,
            last_words: None,
        }));
        let initial = initial.as_ref().map(|message| message.as_slice());
        let step = match refusal {
            None => exchange_of(&mut login).map(|exchange| exchange.step(initial, None)),
            Some(_) => None,
        };
        match (step, refusal) {
            (Some(step), _) => self.carry_on(login, step),
            (None, Some(why)) if has_begun => self.finish(login, Outcome::Refuse(why)),
            (None, _) => self.finish(login, Outcome::Unavailable("internal")),
        }
        self.wake();
    }

    /// `None` without random bytes, since a nonce that can be foreseen lets a proof be used again.
    fn conversation(&self, begin: &Begin, now: Moment) -> Option<Exchange> {
        let mut is_random = true;
        let plus = if begin.can_bind && self.offers.has_plus(begin.socket, begin.transport) {
            Plus::Offered
        } else {
            Plus::NotOffered
        };
        let exchange = Exchange::begin(Start {
            mechanism: begin.mechanism,
            plus,
            last_words: begin.last_words,
            service: &begin.service,
            hosts: &self.sasl.hosts,
            realms: &self.sasl.realms,
            now: now.wall_s,
            random: &mut |bytes| is_random &= getrandom::fill(bytes).is_ok(),
        });
        is_random.then_some(exchange)
    }

    /// Why this mechanism can't be had there and now.
    fn objection(
        &self,
        socket: u16,
        mechanism: Mechanism,
        transport: Transport,
        can_bind: bool,
    ) -> Option<&'static str> {
        if !self.offers.has(socket, Transport::Tls, mechanism) {
            return Some("mechanism-not-offered");
        }
        if !self.offers.has(socket, transport, mechanism) {
            return Some("before-tls");
        }
        (mechanism.binds_channel() && !can_bind).then_some("no-channel-binding")
    }

    /// The client answers a challenge.
    pub(super) fn respond(&mut self, origin: Origin, respond: Respond) {
        let now = (self.clock)();
        self.limiter.at(now.boot_ns);
        // Nothing to answer: the exchange is over, or is not the client's turn. Its end is on the way, or was told.
        let Some(mut login) = self.exchanges.take_waiting(origin, respond.id) else { return };
        login.started_ns = now.boot_ns;
        let step = match login.sasl.as_mut().and_then(|sasl| sasl.exchange.as_mut()) {
            Some(exchange) => exchange.step(Some(&respond.message), respond.binding.as_deref()),
            None => return self.finish(login, Outcome::Unavailable("internal")),
        };
        self.carry_on(login, step);
        self.wake();
    }

    /// The client gave up. What it was asked for is forgotten; what is being compared counts all the same.
    pub(super) fn cancel(&mut self, origin: Origin, id: u64) {
        self.exchanges.give_up(origin, id);
    }

    /// A channel is there: it hears first what may be offered.
    pub(crate) fn opened(&mut self, origin: Origin) {
        let offers = self.offers.greet(origin);
        self.replies.push((origin, offers));
    }

    /// A channel is gone, with whatever it had asked for.
    pub(crate) fn closed(&mut self, origin: Origin) {
        self.exchanges.drop_channel(origin);
        self.lists.drop_channel(origin);
        self.offers.forget(origin);
    }

    /// Does what an exchange wants.
    pub(super) fn carry_on(&mut self, mut login: Box<Login>, step: Step) {
        match step {
            Step::Challenge { bytes, binding } => self.challenge(login, bytes, binding),
            Step::Wants { authid, realm, what } => {
                self.name(&mut login, &authid, &realm);
                let material = self.material(&mut login, what);
                let step = exchange_of(&mut login).map(|exchange| exchange.supply(material));
                match step {
                    Some(step) => self.carry_on(login, step),
                    None => self.finish(login, Outcome::Unavailable("internal")),
                }
            }
            Step::Password { authzid, authid, password } => {
                note_authzid(&mut login, authzid);
                login.password = Some(password);
                if self.name(&mut login, &authid, &Name::default()) {
                    self.admit(login);
                } else {
                    self.finish(login, Outcome::Refuse(Reason::NameNotAllowed.as_str()));
                }
            }
            Step::Proof { authzid, .. } => {
                note_authzid(&mut login, authzid);
                self.admit(login);
            }
            Step::Certificate { authzid } => {
                note_authzid(&mut login, authzid);
                self.certified(login);
            }
            Step::Anonymous { trace } => {
                login.identity.user = Name::new(b"anonymous").unwrap_or_default();
                note_authzid(&mut login, Some(trace));
                self.finish(login, Outcome::Accept);
            }
            Step::Proven { proof, last_words } => self.proven(login, &proof, last_words),
            Step::Refused(mechanisms::Refusal::WrongProof) => self.disproven(login),
            Step::Refused(why) => self.finish(login, Outcome::Refuse(why.as_str())),
            Step::Unavailable(trouble) => {
                self.log.say(Level::Error, format_args!("no exchange: {trouble}"));
                self.finish(login, Outcome::Unavailable("internal"));
            }
        }
    }

    /// Whose login it is from now on. `false` when that can't be a name here.
    fn name(&mut self, login: &mut Login, authid: &Name, realm: &Name) -> bool {
        login.identity = Identity { user: authid.clone(), realm: realm.clone() };
        self.place(login)
    }

    /// Sends a challenge, at once or when its time has come.
    fn challenge(&mut self, login: Box<Login>, message: Message, binding: Option<Binding>) {
        let (origin, id, serial) = (login.origin, login.id, login.serial);
        // Nobody waits for it where it was given up, or its channel is gone.
        if !matches!(self.exchanges.held(origin, id), Some(Held::Away(held)) if *held == serial) {
            self.exchanges.end(origin, id, serial);
            return;
        }
        let floor = match login.sasl.as_ref().map(|sasl| sasl.mechanism) {
            Some(Mechanism::ScramSha512 | Mechanism::ScramSha512Plus) => CHALLENGE_FLOOR_512_NS,
            _ => CHALLENGE_FLOOR_NS,
        };
        let due = login.started_ns.saturating_add(floor);
        let is_early = login.slow_to_challenge && due > (self.clock)().boot_ns;
        if is_early && self.parked.add(due, origin, id, Form::Challenge(serial)) {
            return self.exchanges.put(origin, id, Held::Silent(login, message, binding));
        }
        self.exchanges.put(origin, id, Held::Waiting(login));
        self.replies.push((origin, Reply::Challenge { id, message, binding }));
    }

    /// A challenge's time has come.
    pub(super) fn break_silence(&mut self, origin: Origin, id: u64, serial: u64) {
        let is_it = matches!(
            self.exchanges.held(origin, id),
            Some(Held::Silent(login, ..)) if login.serial == serial
        );
        let Some(place) = self.exchanges.held.get_mut(&(origin, id)).filter(|_| is_it) else {
            return;
        };
        if let Held::Silent(mut login, message, binding) =
            std::mem::replace(&mut place.held, Held::Away(serial))
        {
            login.slow_to_challenge = false;
            place.held = Held::Waiting(login);
            self.replies.push((origin, Reply::Challenge { id, message, binding }));
        }
    }

    /// Ends exchanges whose client has had its time.
    pub(super) fn sweep(&mut self, now: Moment) {
        for (origin, id) in self.exchanges.expired(now.boot_ns) {
            if let Some(login) = self.exchanges.take(origin, id) {
                self.finish(login, Outcome::Unavailable("exchange-timeout"));
            }
        }
    }

    /// The last words go as a challenge: the guess was right, and the account is looked at again when the client has heard
    /// them.
    pub(super) fn vouch(
        &mut self,
        mut login: Box<Login>,
        message: Message,
        binding: Option<Binding>,
    ) {
        if let Some(tokens) = login.reservation.take() {
            self.limiter.accepted(tokens);
        }
        login.slow_to_challenge = false;
        self.challenge(login, message, binding);
    }
}

/// Counts one down, and forgets who has none.
fn one_less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, of: K) {
    if let Some(count) = counts.get_mut(&of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

/// The exchange of a login that came by one.
pub(super) fn exchange_of(login: &mut Login) -> Option<&mut Exchange> {
    login.sasl.as_mut()?.exchange.as_mut()
}

fn note_authzid(login: &mut Login, authzid: Option<Name>) {
    if let Some(sasl) = &mut login.sasl {
        sasl.authzid = authzid;
    }
}
