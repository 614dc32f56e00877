//! From a login to its answer: limiter, chain of backends, cache, hashing pool, log.
//!
//! Runs in the checker, on its one thread, without any I/O of its own: the loop hands in what was read and what the
//! pool finished, and takes answers away. It trusts the listener to frame requests and for nothing else. Only a
//! comparison in `credentials` makes an Accept here, and every way out of a login ends in [`Dispatcher::finish`],
//! which settles its tokens, writes its event and answers it, once.

mod admission;
mod chain;
mod exchange;
mod login;
mod material;
mod offers;
mod parked;
mod proof;
mod renewal;
mod report;
mod search;
mod unread;
mod upkeep;
mod waiting;

use std::collections::HashMap;

use credentials::names::Preparation;
use credentials::{Lookup, Reason, Scratch, Trouble};
use ipc::config::{self, Level, Mapping, Sasl};
use ipc::decided::Decided;
use ipc::exchange::{Message, Reply};
use ipc::requests::{Answered, Fault, Incoming, Unreadable, Verify};
use protocol::{Answer, Name, Senders};

use crate::backends::{self, Backend, RealmUse};
use crate::cache::Cache;
use crate::limiter::{Busy, Limiter};
use crate::log::{Log, Outcome};
use crate::mapping::{Identity, identity};
use crate::pool::{Done, Pool};
use crate::writer::Writer;

use exchange::Exchanges;
use login::Login;
pub(crate) use login::Origin;
use material::Derived;
use offers::Offers;
use parked::{Form, Parked, floor_ns};
use renewal::Renewals;
use search::Lists;
use unread::Unread;
use waiting::Waiting;

/// What the clocks say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// Nanoseconds since boot.
    pub(crate) boot_ns: u64,
    /// Seconds since 1970.
    pub(crate) wall_s: u64,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        Self { boot_ns: sys::clock::boot_nanoseconds(), wall_s: sys::clock::wall_seconds() }
    }
}

/// The parts that a dispatcher is put together from.
pub(crate) struct Parts {
    pub(crate) config: config::Checker,
    pub(crate) backends: Vec<Backend>,
    pub(crate) limiter: Limiter,
    pub(crate) cache: Cache,
    pub(crate) pool: Pool,
    pub(crate) writer: Writer,
    pub(crate) log: Log,
    /// Tells the decisions of this process from those of others.
    pub(crate) process: u32,
    /// How time is read.
    pub(crate) clock: Box<dyn Fn() -> Moment>,
}

/// Everything that decides about logins.
pub(crate) struct Dispatcher {
    mapping: Mapping,
    /// Where login and realm come as one name.
    one_name: Mapping,
    names: Preparation,
    wait_ns: u64,
    /// The chain of each realm that has one of its own, by index.
    realms: HashMap<Name, usize>,
    /// The chains; the first is that of all other realms.
    chains: Vec<Chain>,
    backends: Vec<Backend>,
    limiter: Limiter,
    cache: Cache,
    pool: Pool,
    log: Log,
    process: u32,
    clock: Box<dyn Fn() -> Moment>,
    serial: u64,
    /// For comparisons that are too cheap for the pool.
    scratch: Scratch,
    hashing: HashMap<u64, Box<Login>>,
    waiting: Waiting,
    /// Tokens that came back while a login was handled; who waits for them is woken after it.
    released: Vec<Busy>,
    parked: Parked,
    renewals: Renewals,
    answers: Vec<(Origin, Answered)>,
    replies: Vec<(Origin, Reply)>,
    sasl: Sasl,
    /// Who may act for others.
    masters: Vec<Identity>,
    exchanges: Exchanges,
    derived: Derived,
    offers: Offers,
    lists: Lists,
    totals: Totals,
    unread: Unread,
    upkeep_ns: u64,
}

/// Backends in the order in which they are asked.
struct Chain {
    backends: Box<[usize]>,
    realm: RealmUse,
}

/// How logins ended since the start.
#[derive(Clone, Copy, Default)]
struct Totals {
    accepted: u64,
    refused: u64,
    throttled: u64,
    unavailable: u64,
    unreadable: u64,
}

impl Dispatcher {
    /// Puts a dispatcher together and looks at each backend once.
    ///
    /// # Errors
    /// For a chain of backends that don't exist, or a realm that is no name.
    pub(crate) fn new(parts: Parts) -> Result<Self, Trouble> {
        let config = &parts.config;
        let names = match config.names {
            config::Names::Precis => Preparation::Precis,
            config::Names::Raw => Preparation::Raw,
        };
        let mut chains = vec![Chain::new(&config.chain, &parts.backends)?];
        let mut realms = HashMap::new();
        for own in &config.realms {
            // Requests' realms are looked up as they are prepared. The first of a realm counts.
            let realm = prepared(names, "realm", &own.realm)?;
            realms.entry(realm).or_insert(chains.len());
            chains.push(Chain::new(&own.chain, &parts.backends)?);
        }
        let default_realm = &config.mapping.default_realm;
        let default_realm = prepared(names, "default realm", default_realm)?;
        let mapping = Mapping {
            rule: config.mapping.rule,
            one_name: config.mapping.one_name,
            default_realm: String::from_utf8_lossy(default_realm.as_bytes()).into_owned(),
        };
        let one_name = Mapping { rule: mapping.one_name, ..mapping.clone() };
        let mut masters = Vec::new();
        for login in &config.sasl.masters {
            let master = prepared(names, "master", login)?;
            masters.extend(identity(&one_name, names, &master, &Name::default()));
        }
        let mut dispatcher = Self {
            masters,
            mapping,
            one_name,
            names,
            wait_ns: u64::from(config.hashing.wait_ms) * 1_000_000,
            realms,
            chains,
            backends: parts.backends,
            derived: Derived::new(parts.limiter.secret()),
            limiter: parts.limiter,
            cache: parts.cache,
            pool: parts.pool,
            log: parts.log,
            process: parts.process,
            clock: parts.clock,
            serial: 0,
            scratch: Scratch::new(),
            hashing: HashMap::new(),
            waiting: Waiting::default(),
            released: Vec::new(),
            parked: Parked::default(),
            renewals: Renewals::new(parts.writer, &config.hashing, config.sasl.derive.set()),
            answers: Vec::new(),
            replies: Vec::new(),
            exchanges: Exchanges::default(),
            offers: Offers::default(),
            lists: Lists::default(),
            sasl: parts.config.sasl,
            totals: Totals::default(),
            unread: Unread::default(),
            upkeep_ns: 0,
        };
        let now = (dispatcher.clock)();
        dispatcher.upkeep(now);
        dispatcher.refresh_offers(now);
        Ok(dispatcher)
    }

    /// Takes one message of a listener.
    pub(crate) fn incoming(&mut self, origin: Origin, message: Incoming) {
        match message {
            Incoming::Verify(request) => self.verify(origin, request),
            Incoming::Unreadable(unreadable) => self.unreadable(unreadable),
            Incoming::Decided(decided) => self.decided(&decided),
            Incoming::Begin(begin) => self.begin(origin, begin),
            Incoming::Respond(respond) => self.respond(origin, respond),
            Incoming::Cancel(id) => self.cancel(origin, id),
            Incoming::Find(find) => self.find(origin, find),
        }
    }

    /// Takes what the pool finished.
    pub(crate) fn finished(&mut self) {
        for done in self.pool.finished() {
            self.done(done);
        }
        self.wake();
    }

    /// Answers that are ready, each with the channel that it goes to.
    pub(crate) fn answers(&mut self) -> std::vec::Drain<'_, (Origin, Answered)> {
        self.answers.drain(..)
    }

    /// What there is to say of exchanges and searches, each with the channel that it goes to.
    pub(crate) fn replies(&mut self) -> std::vec::Drain<'_, (Origin, Reply)> {
        self.replies.drain(..)
    }

    /// Everything that was received has been taken: what comes next may know of newer changes.
    pub(crate) fn look_again(&mut self) {
        self.backends.iter_mut().for_each(Backend::look_again);
    }

    /// The pool, for the loop to wait on.
    pub(crate) fn pool(&self) -> Pool {
        self.pool.handle()
    }

    /// The log, for what the loop has to say.
    pub(crate) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Before the end: what is worth keeping goes to the disk and to the next checker.
    pub(crate) fn close(&mut self) {
        let now = (self.clock)();
        self.limiter.touch(now.boot_ns, now.wall_s);
        self.renewals.write_notes();
        self.log.close();
    }

    /// Logins that are not answered yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.hashing.len() + self.waiting.len() + self.parked.len()
    }

    fn verify(&mut self, origin: Origin, request: Verify) {
        let now = (self.clock)();
        self.limiter.at(now.boot_ns);
        self.serial += 1;
        let mut login = Login::new(origin, request, self.serial, now.boot_ns);
        if self.place(&mut login) {
            self.admit(login);
        } else {
            self.finish(login, Outcome::Refuse(Reason::NameNotAllowed.as_str()));
        }
        self.wake();
    }

    /// Prepares and maps the names of a login as they came, and finds its chain and what it is counted by. `false`
    /// when they can't be names here.
    fn place(&mut self, login: &mut Login) -> bool {
        let raw = &login.identity;
        let mapping = if login.sasl.is_some() { &self.one_name } else { &self.mapping };
        let Some(identity) = identity(mapping, self.names, &raw.user, &raw.realm) else {
            login.user_tag = self.limiter.user(raw.user.as_bytes(), raw.realm.as_bytes());
            login.refused = Some(Reason::NameNotAllowed);
            return false;
        };
        login.identity = identity;
        login.chain = self.chain_of(&login.identity.realm);
        login.user_tag = self.tag(&login.identity, login.chain);
        let Identity { user, realm } = &login.identity;
        login.name_tag = self.limiter.name(user.as_bytes(), realm.as_bytes());
        true
    }

    fn chain_of(&self, realm: &Name) -> usize {
        self.realms.get(realm).copied().unwrap_or(0)
    }

    /// What failures of this user are counted by.
    fn tag(&self, identity: &Identity, chain: usize) -> u64 {
        let whole = RealmUse::Own;
        let realm = self.chains.get(chain).map_or(&whole, |chain| &chain.realm);
        let (user, realm) = backends::counted(identity, realm);
        self.limiter.user(user, realm)
    }

    /// The end of every login.
    fn finish(&mut self, mut login: Box<Login>, outcome: Outcome) {
        let now = (self.clock)();
        self.limiter.at(now.boot_ns);
        if let Some(reservation) = login.reservation.take() {
            if login.held {
                for busy in reservation.charged() {
                    self.waiting.release(busy);
                    self.released.push(busy);
                }
            }
            match outcome {
                Outcome::Accept => self.limiter.accepted(reservation),
                Outcome::Refuse(_) => self.limiter.refused(reservation),
                // One backend did compare, and said no: while another is away that must not be free.
                Outcome::Unavailable(_) if login.refused.is_some() => {
                    self.limiter.refused(reservation);
                }
                // A name that keeps everybody waiting is not free either; what was not compared is no wrong password.
                Outcome::Unavailable(_) if login.overlong => drop(reservation),
                Outcome::Unavailable(_) => self.limiter.unknown(reservation),
            }
        }
        let micros = now.boot_ns.saturating_sub(login.started_ns) / 1000;
        if self.log.logs(Level::Info) {
            let backend = login.backend.and_then(|index| self.backends.get(index));
            let last = self.chains.get(login.chain).and_then(|chain| chain.backends.last());
            let last = last.and_then(|index| self.backends.get(*index));
            let event = login.event(self.process, outcome, micros, backend, backend.or(last));
            self.log.login(&event);
        }
        self.answer(login, outcome, now);
    }

    fn answer(&mut self, login: Box<Login>, outcome: Outcome, now: Moment) {
        let (origin, id, serial) = (login.origin, login.id, login.serial);
        let answer = match outcome {
            Outcome::Accept => {
                self.totals.accepted += 1;
                Answer::Accept
            }
            Outcome::Unavailable(_) => {
                self.totals.unavailable += 1;
                Answer::Unavailable
            }
            Outcome::Refuse(_) => {
                self.totals.refused += 1;
                let due = login.started_ns.saturating_add(floor_ns(login.user_tag));
                let form = if login.sasl.is_some() { Form::Ended(serial) } else { Form::Login };
                if due > now.boot_ns && self.parked.add(due, origin, id, form) {
                    return;
                }
                Answer::Refuse
            }
        };
        let Some(sasl) = login.sasl else {
            return self.answers.push((origin, Answered { id, answer }));
        };
        if !self.exchanges.end(origin, id, serial) {
            return;
        }
        let reply = match answer {
            Answer::Accept => {
                let (identity, backend) = match &sasl.acting {
                    Some(acting) => (acting, sasl.acting_in),
                    None => (&login.identity, login.backend),
                };
                self.accepted(id, identity, backend, sasl.last_words)
            }
            answer => Reply::ended(id, answer),
        };
        self.replies.push((origin, reply));
    }

    /// Who it is and as whom they may send. While nobody knows the latter, nobody knows.
    fn accepted(
        &mut self,
        id: u64,
        identity: &Identity,
        backend: Option<usize>,
        last_words: Option<Message>,
    ) -> Reply {
        let backend = backend.and_then(|index| self.backends.get_mut(index));
        let senders = match backend.map(|backend| backend.senders(identity)) {
            // Deleted a moment ago; or known without an account (ANONYMOUS).
            None | Some(Lookup::NotFound) => Senders::Own,
            Some(Lookup::Found(senders)) => senders,
            Some(Lookup::Unavailable(_)) => return Reply::ended(id, Answer::Unavailable),
        };
        let user = self.one_name(identity);
        Reply::Ended { id, answer: Answer::Accept, user, last_words, senders }
    }

    /// A refusal that has waited long enough, or a challenge.
    fn release(&mut self, origin: Origin, id: u64, form: Form) {
        let answer = Answer::Refuse;
        match form {
            Form::Login => self.answers.push((origin, Answered { id, answer })),
            Form::Challenge(serial) => self.break_silence(origin, id, serial),
            Form::Ended(serial) => {
                if self.exchanges.end(origin, id, serial) {
                    self.replies.push((origin, Reply::ended(id, answer)));
                }
            }
        }
    }

    /// A request that the listener refused by itself.
    fn unreadable(&mut self, request: Unreadable) {
        self.totals.unreadable += 1;
        let now_ns = (self.clock)().boot_ns;
        self.tell_unread(now_ns);
        if !self.unread.tells(now_ns) {
            return;
        }
        let Unreadable { socket, peer, fault } = request;
        let (uid, pid, why) = (peer.uid, peer.pid, fault.as_str());
        self.log.say(
            Level::Info,
            format_args!(
                "request outcome=refuse reason={why} socket={socket} peer_uid={uid} peer_pid={pid}"
            ),
        );
        // Cyrus would have compared the name as it is, or up to the NUL, and told of a failure.
        if matches!(fault, Fault::LineBreak | Fault::Nul) {
            self.log.nameless_failure();
        }
    }

    /// What the listener decided by the access map.
    fn decided(&mut self, note: &Decided) {
        let Decided { socket, peer, action, client, because } = note;
        let (uid, pid) = (peer.uid, peer.pid);
        self.log.say(
            Level::Info,
            format_args!(
                "policy action={action} client={client} because={because} socket={socket} peer_uid={uid} peer_pid={pid}"
            ),
        );
    }

    /// Gives a finished job to whoever asked for it.
    fn done(&mut self, done: Done) {
        match self.hashing.remove(&done.ticket) {
            Some(login) => self.compared(login, done),
            None => {
                if let Some(line) = self.renewals.done(done) {
                    self.log.say(Level::Warning, format_args!("{line}"));
                }
            }
        }
    }
}

impl Chain {
    fn new(indices: &[u8], backends: &[Backend]) -> Result<Self, Trouble> {
        let mut order = Vec::new();
        let mut uses = Vec::new();
        for index in indices {
            let index = usize::from(*index);
            let Some(backend) = backends.get(index) else {
                return Err(Trouble::new(format!(
                    "a chain names backend {index}, which isn't there"
                )));
            };
            order.push(index);
            uses.push(backend.realm_use());
        }
        Ok(Self { backends: order.into(), realm: backends::shared_use(uses) })
    }
}

/// A name of the config as those of requests are prepared, so that each spelling of it is the same.
fn prepared(names: Preparation, what: &str, realm: &str) -> Result<Name, Trouble> {
    let trouble = |why: &dyn std::fmt::Display| Trouble::new(format!("{what} {realm:?}: {why}"));
    let name = Name::new(realm.as_bytes()).map_err(|why| trouble(&why))?;
    names.prepare(&name).map_err(|why| trouble(&why))
}

#[cfg(test)]
mod tests;
