//! The backends of this house behind one question: what do you know of this user in this realm?
//!
//! Runs in the checker. All answer from memory or from a SQLite file within some microseconds, so the loop asks them
//! inline. It trusts no file: one that can't be read is [`Lookup::Unavailable`], and why is kept for the operator.

mod all;
mod realms;

use std::path::Path;
use std::time::{Duration, Instant};

use accounts::query::{Asked, Query, Template};
use accounts::{Found, Restrictions, UnixTime};
use credentials::sasldb::Database;
use credentials::shadow::{Rules, ShadowFile};
use credentials::{
    Argon2Settings, Entry, LongPasswords, Lookup, Policy, Scheme, ScramHash, Shape, Trouble,
    Verifier, WeakSchemes,
};
use ipc::config::{self, BackendKind, Hashing};
use protocol::{Name, Senders};

use crate::mapping::Identity;
pub(crate) use all::Place;
pub(crate) use realms::{RealmUse, counted, shared_use};

/// One backend, and how it has been.
pub(crate) struct Backend {
    name: Box<str>,
    kind: Kind,
    health: Health,
    /// Until when it is left alone after it kept the loop waiting for nothing.
    resting: Option<Instant>,
    /// Whether its file was looked at since the requests in hand were received.
    looked: bool,
}

/// A backend that needs longer than this to say that it can't be asked is left alone for a while.
const SLOW: Duration = Duration::from_millis(20);
/// For so many times as long as it took: a database that another program keeps locked takes at most a quarter of the
/// loop's time, users of other backends wait for no more than one of its attempts, and it is back in a second.
const REST: u32 = 3;

enum Kind {
    Shadow(Box<ShadowFile>),
    Sasldb { file: Box<Database>, default_realm: Name },
    Sqlite { accounts: Box<accounts::Backend>, shape: Shape },
    Query { query: Box<Query>, realm: RealmUse },
}

/// How a backend has been, for the operator.
#[derive(Default)]
pub(crate) struct Health {
    /// Why it can't be asked; `None` while it works.
    pub(crate) trouble: Option<Trouble>,
    /// Since when, in seconds since 1970.
    pub(crate) since: u64,
    /// Lookups that found nobody knows.
    pub(crate) failures: u64,
    /// All lookups.
    pub(crate) lookups: u64,
}

/// What a change of health is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// None.
    Same,
    /// It stopped working, or has another trouble.
    Worse,
    /// It works again.
    Better,
}

/// What is in force for stored hashes.
pub(crate) fn policy(hashing: &Hashing) -> Policy {
    let allowed = hashing.weak.iter().flat_map(|word| schemes(word));
    Policy {
        max_memory_kib: u64::from(hashing.max_memory_kib),
        max_millis: u64::from(hashing.max_ms),
        weak: allowed.fold(WeakSchemes::default(), WeakSchemes::allow),
        long_passwords: if hashing.truncate {
            LongPasswords::Truncate
        } else {
            LongPasswords::Refuse
        },
    }
}

/// The config's words stand for families.
fn schemes(word: &str) -> Vec<Scheme> {
    match word {
        "des" => vec![Scheme::DesCrypt],
        "bsdi" => vec![Scheme::BsdiCrypt],
        "nt" => vec![Scheme::NtHash],
        "md5" => vec![Scheme::Md5, Scheme::SaltedMd5],
        _ => Scheme::from_word(word).into_iter().collect(),
    }
}

/// The settings of new hashes.
pub(crate) fn argon2(hashing: &Hashing) -> Argon2Settings {
    Argon2Settings {
        memory_kib: hashing.argon2_memory_kib,
        iterations: hashing.argon2_passes,
        lanes: 1,
    }
}

impl Backend {
    /// Prepares a backend; its file may be missing still.
    ///
    /// # Errors
    /// For a query that can't be asked, and without random bytes.
    pub(crate) fn open(config: &config::Backend, hashing: &Hashing) -> Result<Self, Trouble> {
        let policy = policy(hashing);
        let shape = || Shape::argon2id(&argon2(hashing));
        let kind = match &config.kind {
            BackendKind::Shadow { path, cyrus_states } => {
                let rules = if *cyrus_states { Rules::Cyrus } else { Rules::Strict };
                Kind::Shadow(Box::new(ShadowFile::new(path, rules, policy)))
            }
            BackendKind::Sasldb { path, default_realm } => {
                let default_realm = Name::new(default_realm.as_bytes()).map_err(|why| {
                    Trouble::new(format!("{}: default realm: {why}", config.name))
                })?;
                Kind::Sasldb { file: Box::new(Database::new(path, policy)?), default_realm }
            }
            BackendKind::Sqlite { path } => {
                let accounts = accounts::Backend::new(Path::new(path), policy, shape());
                Kind::Sqlite { accounts: Box::new(accounts), shape: shape() }
            }
            BackendKind::Query { path, query } => {
                let template = Template::compile(query)
                    .map_err(|why| Trouble::new(format!("{}: query: {why}", config.name)))?;
                let realm = RealmUse::of(&template);
                let query = Query::new(Path::new(path), template, policy, shape());
                Kind::Query { query: Box::new(query), realm }
            }
        };
        let (name, health) = (printable(&config.name), Health::default());
        Ok(Self { name, kind, health, resting: None, looked: false })
    }

    /// Its name, fit for a log line without quotes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it reads, as the config calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Shadow(_) => "shadow",
            Kind::Sasldb { .. } => "sasldb",
            Kind::Sqlite { .. } => "sqlite",
            Kind::Query { .. } => "query",
        }
    }

    /// How it has been.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Whether one account may have several names that nobody here knows to be one.
    pub(crate) fn has_aliases(&self) -> bool {
        matches!(self.kind, Kind::Query { .. })
    }

    /// What a realm means to it.
    pub(crate) fn realm_use(&self) -> RealmUse {
        match &self.kind {
            Kind::Shadow(_) => RealmUse::Ignored,
            Kind::Sasldb { default_realm, .. } => RealmUse::Default(default_realm.clone()),
            Kind::Sqlite { .. } => RealmUse::Own,
            Kind::Query { realm, .. } => realm.clone(),
        }
    }

    /// What it knows, and whether its health changed.
    pub(crate) fn lookup(
        &mut self,
        identity: &Identity,
        service: &Name,
        wall: u64,
    ) -> (Lookup<Found>, Change) {
        self.lookup_keys(identity, service, wall, None)
    }

    /// The same, with the keys for a SCRAM mechanism where they are stored beside a hash.
    pub(crate) fn lookup_keys(
        &mut self,
        identity: &Identity,
        service: &Name,
        wall: u64,
        wanted: Option<ScramHash>,
    ) -> (Lookup<Found>, Change) {
        self.health.lookups += 1;
        if let Some(trouble) = self.rests() {
            self.health.failures += 1;
            return (Lookup::Unavailable(trouble), Change::Same);
        }
        let start = Instant::now();
        let found = self.ask(identity, service, wall, wanted);
        let took = start.elapsed();
        let change = match &found {
            Lookup::Unavailable(trouble) => {
                self.health.failures += 1;
                // A name that takes long must not keep those of others from an answer.
                if took > SLOW && !trouble.is_of_one_name() {
                    self.resting = Some(start + took * REST);
                }
                self.note(Some(trouble.clone()), wall)
            }
            _ if self.health.trouble.is_some() => self.note(None, wall),
            _ => Change::Same,
        };
        (found, change)
    }

    /// As whom an account that it has may send; where it knows nothing of that, as itself.
    pub(crate) fn senders(&mut self, identity: &Identity) -> Lookup<Senders> {
        match &mut self.kind {
            Kind::Sqlite { accounts, .. } => {
                accounts.senders(identity.user.as_bytes(), identity.realm.as_bytes())
            }
            Kind::Shadow(_) | Kind::Sasldb { .. } | Kind::Query { .. } => {
                Lookup::Found(Senders::Own)
            }
        }
    }

    /// Requests that come from now on want another look at what may have changed.
    pub(crate) fn look_again(&mut self) {
        self.looked = false;
    }

    /// Its trouble, while it is left alone.
    fn rests(&mut self) -> Option<Trouble> {
        let until = self.resting?;
        if Instant::now() >= until {
            self.resting = None;
            return None;
        }
        self.health.trouble.clone()
    }

    fn ask(
        &mut self,
        identity: &Identity,
        service: &Name,
        wall: u64,
        wanted: Option<ScramHash>,
    ) -> Lookup<Found> {
        let seconds = i64::try_from(wall).unwrap_or(i64::MAX);
        let (user, realm) = (identity.user.as_bytes(), identity.realm.as_bytes());
        match &mut self.kind {
            Kind::Shadow(file) => {
                let today = seconds / 86_400;
                let found = plain(file.lookup(user, today));
                with_complaint(found, || file.complaint(user, today))
            }
            Kind::Sasldb { file, default_realm } => {
                let realm = if realm.is_empty() { default_realm.as_bytes() } else { realm };
                let found = if self.looked {
                    file.lookup_loaded(user, realm)
                } else {
                    file.lookup(user, realm)
                };
                self.looked = !matches!(found, Lookup::Unavailable(_));
                plain(found)
            }
            Kind::Sqlite { accounts, .. } => match wanted {
                None => accounts.lookup(user, realm, UnixTime(seconds)),
                Some(hash) => accounts.lookup_keys(user, realm, UnixTime(seconds), hash),
            },
            Kind::Query { query, .. } => {
                let asked = Asked { user, realm, service: service.as_bytes() };
                query.lookup(&asked, UnixTime(seconds))
            }
        }
    }

    /// Whether it works now, without a user's name; for the start and the status.
    pub(crate) fn probe(&mut self, wall: u64) -> Change {
        let trouble = match &mut self.kind {
            Kind::Shadow(file) => file.majority().err(),
            Kind::Sasldb { file, .. } => file.trouble(),
            Kind::Sqlite { accounts, .. } => accounts.health().err(),
            Kind::Query { query, .. } => query.health().err(),
        };
        self.note(trouble, wall)
    }

    fn note(&mut self, trouble: Option<Trouble>, wall: u64) -> Change {
        if self.health.trouble == trouble {
            return Change::Same;
        }
        let change = if trouble.is_some() { Change::Worse } else { Change::Better };
        self.health.trouble = trouble;
        self.health.since = wall;
        change
    }

    /// What an unknown user is compared with, so that nobody learns from the time that nobody has that name.
    pub(crate) fn stand_in(&mut self) -> Verifier {
        match &mut self.kind {
            Kind::Shadow(file) => match file.majority() {
                Ok(shape) => Verifier::stand_in(&shape),
                Err(_) => Verifier::stand_in(&Shape::yescrypt()),
            },
            Kind::Sasldb { file, .. } => file.stand_in(),
            Kind::Sqlite { shape, .. } => Verifier::stand_in(shape),
            Kind::Query { query, .. } => Verifier::stand_in(query.stand_in()),
        }
    }

    /// Counts again what most accounts' hashes look like, where nothing else notices: a few milliseconds, now and
    /// then.
    pub(crate) fn take_census(&mut self) {
        match &mut self.kind {
            Kind::Shadow(_) | Kind::Sasldb { .. } | Kind::Query { .. } => {}
            Kind::Sqlite { accounts, shape } => {
                if let Some(majority) =
                    accounts.census().ok().and_then(|all| all.majority().cloned())
                {
                    *shape = majority.clone();
                    accounts.set_stand_in(majority);
                }
            }
        }
    }
}

fn plain(found: Lookup<Entry>) -> Lookup<Found> {
    match found {
        Lookup::Found(entry) => Lookup::Found(Found {
            entry,
            restrictions: Restrictions::default(),
            own: None,
            keys: None,
            complaint: None,
        }),
        Lookup::NotFound => Lookup::NotFound,
        Lookup::Unavailable(trouble) => Lookup::Unavailable(trouble),
    }
}

/// What an operator should hear of a record that was found.
fn with_complaint(
    found: Lookup<Found>,
    complaint: impl FnOnce() -> Option<Trouble>,
) -> Lookup<Found> {
    match found {
        Lookup::Found(found) => Lookup::Found(Found { complaint: complaint(), ..found }),
        other => other,
    }
}

/// Log fields without quotes hold graphic ASCII alone.
fn printable(name: &str) -> Box<str> {
    name.chars().map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_words_are_families() {
        let hashing = |weak: &[&str]| Hashing {
            threads: 1,
            memory_kib: 1024,
            wait_ms: 1000,
            max_memory_kib: 1024,
            max_ms: 1000,
            weak: weak.iter().map(ToString::to_string).collect(),
            truncate: false,
            argon2_memory_kib: 64,
            argon2_passes: 1,
            upgrade: false,
        };
        let allowed = policy(&hashing(&["des", "md5", "no such"])).weak;
        assert!(allowed.allows(Scheme::DesCrypt) && allowed.allows(Scheme::SaltedMd5));
        assert!(!allowed.allows(Scheme::NtHash) && !allowed.allows(Scheme::Plain));
        assert!(policy(&hashing(&["plain"])).weak.allows(Scheme::Plain));
    }
}
