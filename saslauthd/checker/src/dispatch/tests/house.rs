//! A dispatcher to try logins on.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;

use accounts::{
    AccountName, Edit, Kind, NetworkList, NewAccount, Restrictions, Secrets, ServiceList, Store,
    StoredHash, UnixTime,
};
use credentials::{Argon2Settings, Scratch, new_hash};
use ipc::config::*;
use ipc::exchange::Reply;
use ipc::requests::{Answered, Peer, Source, Verify};
use protocol::{Address, Answer, Name, Password};

use crate::backends::Backend as Opened;
use crate::cache::Cache as Remembering;
use crate::dispatch::{Dispatcher, Moment, Origin, Parts};
use crate::limiter::{Limiter, Reading, tests as limits};
use crate::log::Log as Writing;
use crate::pool::Pool;
use crate::writer::Writer;

pub(super) const NOW: Moment = Moment { boot_ns: 1_000_000_000_000, wall_s: 1_800_000_000 };
pub(super) const MILLISECOND: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;
/// Cheap enough for a test, costly enough for the pool.
pub(super) const SETTINGS: Argon2Settings =
    Argon2Settings { memory_kib: 256, iterations: 1, lanes: 1 };

/// A login to try; fields have the usual values.
pub(super) struct Try<'a> {
    pub(super) login: &'a str,
    pub(super) password: &'a str,
    pub(super) service: &'a str,
    pub(super) realm: &'a str,
    pub(super) source: Source,
    pub(super) uid: u32,
}

pub(super) fn login<'a>(login: &'a str, password: &'a str) -> Try<'a> {
    Try { login, password, service: "smtp", realm: "", source: Source::Absent, uid: 101 }
}

impl<'a> Try<'a> {
    pub(super) fn realm(self, realm: &'a str) -> Self {
        Self { realm, ..self }
    }

    pub(super) fn service(self, service: &'a str) -> Self {
        Self { service, ..self }
    }

    pub(super) fn from(self, ip: &str) -> Self {
        let address = Address { ip: ip.parse().unwrap(), port: None };
        Self { source: Source::Stated(address), ..self }
    }

    pub(super) fn ignored(self, ip: &str) -> Self {
        let address = Address { ip: ip.parse().unwrap(), port: None };
        Self { source: Source::Ignored(address), ..self }
    }
}

pub(super) fn config(backends: Vec<Backend>) -> Checker {
    let chain = (0..backends.len()).map(|index| index as u8).collect();
    Checker {
        backends,
        realms: Vec::new(),
        chain,
        mapping: Mapping {
            rule: MappingRule::Cyrus,
            one_name: MappingRule::Cyrus,
            default_realm: String::new(),
        },
        names: Names::Precis,
        hashing: Hashing {
            threads: 2,
            memory_kib: 65_536,
            wait_ms: 10_000,
            max_memory_kib: 65_536,
            max_ms: 2000,
            weak: vec!["plain".into()],
            truncate: false,
            argon2_memory_kib: SETTINGS.memory_kib,
            argon2_passes: SETTINGS.iterations,
            upgrade: false,
        },
        limits: limits::limits(),
        cache: Cache { mode: CacheMode::Off, seconds: 300, entries: 100 },
        log: Log { to: LogTo::Stderr, level: Level::Debug, cyrus_lines: true, pid: 1 },
        sasl: Sasl {
            sockets: vec![SaslSocket { offered: Offered::Users, ..SaslSocket::default() }],
            ..Sasl::default()
        },
        operator_uids: Vec::new(),
    }
}

pub(super) struct House {
    pub(super) core: Dispatcher,
    pub(super) clock: Rc<Cell<Moment>>,
    log: File,
    next: u64,
    offers: Vec<Reply>,
}

impl House {
    pub(super) fn new(config: Checker) -> Self {
        Self::open(config).unwrap()
    }

    pub(super) fn open(config: Checker) -> Result<Self, credentials::Trouble> {
        let clock = Rc::new(Cell::new(NOW));
        let log = tempfile::tempfile().unwrap();
        let mut writing = Writing::new(config.log).unwrap();
        writing.hand_over(log.try_clone().unwrap().into()).unwrap();
        let reading = Reading { boot_ns: NOW.boot_ns, wall_s: NOW.wall_s, boot: 1 };
        let words = limits::words(&config.limits);
        let (limiter, _) = Limiter::open(words, &config.limits, reading, [1, 2]).unwrap();
        let open = |backend| Opened::open(backend, &config.hashing).unwrap();
        let parts = Parts {
            backends: config.backends.iter().map(open).collect(),
            limiter,
            cache: Remembering::new(config.cache.clone()).unwrap(),
            pool: Pool::start(2, 65_536, config.limits.hashing_percent).unwrap(),
            writer: Writer::start(&config.backends, &config.hashing).unwrap(),
            log: writing,
            process: 7,
            clock: Box::new({
                let clock = Rc::clone(&clock);
                move || clock.get()
            }),
            config,
        };
        Ok(Self { core: Dispatcher::new(parts)?, clock, log, next: 0, offers: Vec::new() })
    }

    pub(super) fn pass(&self, ns: u64) {
        let Moment { boot_ns, wall_s } = self.clock.get();
        let boot_ns = boot_ns + ns;
        let wall_s = wall_s + (boot_ns / SECOND - (boot_ns - ns) / SECOND);
        self.clock.set(Moment { boot_ns, wall_s });
    }

    /// Hands a login in and gives its id.
    pub(super) fn send(&mut self, what: &Try<'_>) -> u64 {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        self.next += 1;
        let request = Verify {
            id: self.next,
            socket: 0,
            peer: Peer { pid: 5, uid: what.uid, gid: what.uid },
            source: what.source,
            login: name(what.login),
            password: Password::new(what.password.as_bytes()).unwrap(),
            service: name(what.service),
            realm: name(what.realm),
        };
        self.core.incoming(Origin(0), ipc::requests::Incoming::Verify(request));
        self.next
    }

    /// Answers that are there now.
    pub(super) fn ready(&mut self) -> BTreeMap<u64, Answer> {
        self.core.answers().map(|(_, Answered { id, answer })| (id, answer)).collect()
    }

    /// Lets the pool work and time pass until every login is answered.
    pub(super) fn settle(&mut self) -> BTreeMap<u64, Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut answers = self.ready();
        while self.core.unanswered() > 0 {
            if self.core.hashing.is_empty() {
                self.pass(MILLISECOND);
                self.core.due();
            } else {
                let pool = self.core.pool();
                runtime.block_on(pool.wait());
                self.core.finished();
            }
            for (id, answer) in self.ready() {
                assert!(answers.insert(id, answer).is_none(), "{id} was answered twice");
            }
        }
        answers
    }

    /// The answer to one login, whenever it comes.
    pub(super) fn ask(&mut self, what: &Try<'_>) -> Answer {
        let id = self.send(what);
        let answers = self.settle();
        assert_eq!(answers.len(), 1);
        answers[&id]
    }

    /// Hands in what a listener says, and lets time pass until all is answered.
    pub(super) fn say(&mut self, message: ipc::requests::Incoming) -> Vec<Reply> {
        self.core.incoming(Origin(0), message);
        assert!(self.settle().is_empty());
        while self.core.lists_wait() {
            self.core.go_on_with_lists(|_| true);
        }
        let replies = self.core.replies().map(|(_, reply)| reply);
        let (offers, replies) = replies.partition(|reply| matches!(reply, Reply::Offers(_)));
        self.offers.extend::<Vec<_>>(offers);
        replies
    }

    /// Offers that were told since this was asked last.
    pub(super) fn offers(&mut self) -> Vec<Reply> {
        let replies = self.core.replies().map(|(_, reply)| reply);
        std::mem::take(&mut self.offers).into_iter().chain(replies).collect()
    }

    /// Everything logged so far.
    pub(super) fn logged(&mut self) -> String {
        self.core.log().close();
        let mut text = String::new();
        self.log.rewind().unwrap();
        self.log.read_to_string(&mut text).unwrap();
        text
    }

    /// The last event's line.
    pub(super) fn event(&mut self) -> String {
        let text = self.logged();
        text.lines().rfind(|line| line.contains(": login id=")).unwrap().to_owned()
    }

    /// Hashes that the pool computed.
    pub(super) fn hashed(&self) -> u64 {
        self.core.pool.figures().done
    }
}

/// Files of accounts in a directory of their own.
pub(super) struct Files {
    directory: tempfile::TempDir,
}

pub(super) fn argon(password: &str) -> String {
    let password = Password::new(password.as_bytes()).unwrap();
    new_hash(&password, &SETTINGS, &mut Scratch::new()).unwrap().to_string()
}

impl Files {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A store with these users, realms and stored hashes.
    pub(super) fn sqlite(&self, name: &str, accounts: &[(&str, &str, &str)]) -> Backend {
        for (user, realm, hash) in accounts {
            self.add(name, user, realm, hash, Restrictions::default());
        }
        let path = self.path(name).to_str().unwrap().into();
        Backend { name: name.into(), kind: BackendKind::Sqlite { path } }
    }

    pub(super) fn store(&self, name: &str) -> Store {
        Store::open(&self.path(name)).unwrap()
    }

    pub(super) fn add(
        &self,
        name: &str,
        user: &str,
        realm: &str,
        hash: &str,
        limits: Restrictions,
    ) {
        let account = NewAccount {
            name: AccountName::new(user, realm).unwrap(),
            kind: Kind::Person,
            secrets: Secrets::of(StoredHash::new(hash).unwrap()),
            expires: None,
            restrictions: limits,
        };
        self.store(name).add(&account, UnixTime(1)).unwrap();
    }

    pub(super) fn edit(&self, name: &str, user: &str, edit: &Edit) {
        let user = AccountName::new(user, "").unwrap();
        self.store(name).edit(&user, edit, UnixTime(2)).unwrap();
    }

    /// A shadow file of these users and hashes.
    pub(super) fn shadow(&self, name: &str, accounts: &[(&str, &str)]) -> Backend {
        let lines: String = accounts
            .iter()
            .map(|(user, hash)| format!("{user}:{hash}:19000:0:99999:7:::\n"))
            .collect();
        std::fs::write(self.path(name), lines).unwrap();
        let path = self.path(name).to_str().unwrap().into();
        Backend { name: name.into(), kind: BackendKind::Shadow { path, cyrus_states: false } }
    }

    /// A backend whose file isn't there.
    pub(super) fn missing(&self, name: &str) -> Backend {
        let path = self.path("no such file").to_str().unwrap().into();
        Backend { name: name.into(), kind: BackendKind::Shadow { path, cyrus_states: false } }
    }
}

pub(super) fn restrictions(services: &str, networks: &str) -> Restrictions {
    let services =
        if services == "*" { ServiceList::ANY } else { ServiceList::from_str(services).unwrap() };
    let networks =
        if networks == "*" { NetworkList::ANY } else { NetworkList::from_str(networks).unwrap() };
    Restrictions { services, networks }
}
