//! The sasldb as the checker asks it: one name in, what is stored for it out, from memory.
//!
//! The whole file is loaded once, and again whenever the kernel says that it changed; an unchanged file costs one
//! `stat` a login, or one for all logins that were received together. What cannot be loaded is [`Lookup::Unavailable`], also when an older state of it is still at hand:
//! a user who was deleted since would live on in that.

mod all;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::error::Error;
use super::file::{Identity, identity, read_settled};
use super::records::Records;
use super::{AUTH_PASSWORD, PLAIN_SECRET, USER_PASSWORD};
use crate::policy::Policy;
use crate::scram::ScramKeys;
use crate::stand_in::{Census, Shape, usable_or_stand_in};
use crate::verdict::{Entry, Generation, Lookup, Reason, Trouble};
use crate::verifier::Verifier;

/// A sasldb that is followed as it changes.
///
/// Of several secrets of one user the first counts, in the order of libsasl2: `userPassword`, `authPassword`,
/// `cmusaslsecretPLAIN`. libsasl2 goes on to the next when one does not match, so that a secret left over
/// from an older password still opens the account there; not here.
pub struct Database {
    path: PathBuf,
    policy: Policy,
    loaded: Option<Loaded>,
    /// Room to join user and realm in, kept between lookups.
    name: Vec<u8>,
    /// Makes generations mean nothing outside this process.
    salt: Zeroizing<[u8; 32]>,
}

/// One state of the file.
struct Loaded {
    identity: Identity,
    age: Age,
    content: Result<Index, Trouble>,
}

/// Whether the time stamps would show a further change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Settled,
}

/// Accounts by `user NUL realm`.
struct Index {
    accounts: HashMap<Box<[u8]>, Account>,
    majority: Shape,
}

struct Account {
    source: Source,
    secret: Zeroizing<Vec<u8>>,
    generation: Generation,
}

/// The property that a secret comes from; the first is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    UserPassword,
    AuthPassword,
    PlainSecret,
}

impl Source {
    fn of(property: &[u8]) -> Option<Self> {
        match property {
            USER_PASSWORD => Some(Self::UserPassword),
            AUTH_PASSWORD => Some(Self::AuthPassword),
            PLAIN_SECRET => Some(Self::PlainSecret),
            _ => None,
        }
    }

    fn parse(self, secret: &[u8], policy: &Policy) -> Result<Verifier, Reason> {
        match self {
            Self::UserPassword => Verifier::plaintext(secret),
            Self::AuthPassword if secret.is_empty() => Err(Reason::NoPassword),
            Self::AuthPassword => Verifier::scram(ScramKeys::parse_auth_password(secret)?, policy),
            Self::PlainSecret => Verifier::cyrus_plain(secret, policy),
        }
    }
}

impl Database {
    /// Follows the file at `path`, which is not opened yet; `policy` is for SCRAM and SASL version 1 secrets.
    ///
    /// # Errors
    /// Without random bytes.
    pub fn new(path: impl Into<PathBuf>, policy: Policy) -> Result<Self, Trouble> {
        let mut salt = Zeroizing::new([0; 32]);
        getrandom::fill(salt.as_mut_slice())
            .map_err(|error| Trouble::new(format!("random bytes: {error}")))?;
        Ok(Self { path: path.into(), policy, loaded: None, name: Vec::new(), salt })
    }

    /// What is stored for the user in the realm, both compared byte for byte as Cyrus does.
    ///
    /// A missing file is [`Lookup::Unavailable`] too, where Cyrus refuses the login: phones forget a password that was
    /// refused, and a file that is not there yet or not there any more is no statement about it.
    pub fn lookup(&mut self, user: &[u8], realm: &[u8]) -> Lookup<Entry> {
        self.lookup_at(user, realm, SystemTime::now)
    }

    /// What to compare with when nothing is found: as costly as most of the file.
    pub fn stand_in(&self) -> Verifier {
        match self.loaded.as_ref().map(|loaded| &loaded.content) {
            Some(Ok(index)) => Verifier::stand_in(&index.majority),
            _ => Verifier::stand_in(&Shape::plain()),
        }
    }

    /// Why the file cannot be used at present, for `mailauth status`; reads it if that was not done yet.
    pub fn trouble(&mut self) -> Option<Trouble> {
        self.refresh(SystemTime::now).err()
    }

    fn lookup_at(
        &mut self,
        user: &[u8],
        realm: &[u8],
        now: impl FnOnce() -> SystemTime,
    ) -> Lookup<Entry> {
        if let Err(trouble) = self.refresh(now) {
            return Lookup::Unavailable(trouble);
        }
        self.lookup_loaded(user, realm)
    }

    /// The same without another look at the file: for a request that was there already when the last
    /// [`Self::lookup`] looked, since then that look was late enough.
    pub fn lookup_loaded(&mut self, user: &[u8], realm: &[u8]) -> Lookup<Entry> {
        let index = match self.loaded.as_ref().map(|loaded| &loaded.content) {
            Some(Ok(index)) => index,
            Some(Err(trouble)) => return Lookup::Unavailable(trouble.clone()),
            None => return Lookup::Unavailable(Trouble::new("the sasldb is not loaded")),
        };
        // A NUL would let one part of a name reach into the other.
        if user.contains(&0) || realm.contains(&0) {
            return Lookup::NotFound;
        }
        self.name.clear();
        self.name.extend_from_slice(user);
        self.name.push(0);
        self.name.extend_from_slice(realm);
        match index.accounts.get(self.name.as_slice()) {
            Some(account) => Lookup::Found(account.entry(&self.policy, &index.majority)),
            None => Lookup::NotFound,
        }
    }

    /// Makes sure that what is loaded is what the file holds now.
    fn refresh(&mut self, now: impl FnOnce() -> SystemTime) -> Result<(), Trouble> {
        let current = match identity(&self.path) {
            Ok(current) => current,
            Err(error) => {
                self.loaded = None;
                return Err(Trouble::new(error.to_string()));
            }
        };
        let known = self
            .loaded
            .as_ref()
            .is_some_and(|loaded| loaded.identity == current && loaded.age == Age::Settled);
        if !known {
            self.loaded = None;
            self.loaded = Some(self.load(current, now())?);
        }
        match &self.loaded {
            Some(Loaded { content: Err(trouble), .. }) => Err(trouble.clone()),
            _ => Ok(()),
        }
    }

    /// Damage is remembered with the state that shows it; what may pass by itself is not.
    fn load(&self, current: Identity, now: SystemTime) -> Result<Loaded, Trouble> {
        let (identity, content) = match read_settled(&self.path) {
            Ok((records, identity)) => (identity, Ok(self.index(records))),
            Err(error) => {
                let trouble = Trouble::new(error.to_string());
                if matches!(error, Error::System(..) | Error::Changing(_) | Error::Missing(_)) {
                    return Err(trouble);
                }
                (current, Err(trouble))
            }
        };
        let age = if identity.is_fresh(now) { Age::Fresh } else { Age::Settled };
        Ok(Loaded { identity, age, content })
    }

    fn index(&self, records: Records) -> Index {
        let mut accounts = HashMap::new();
        for record in records.into_list() {
            let Some(key) = record.key() else { continue };
            let Some(source) = Source::of(key.property) else { continue };
            let name = [key.user, key.realm].join(&0).into_boxed_slice();
            let generation = self.generation(&name, source, record.value());
            let account = Account { source, secret: record.value, generation };
            match accounts.entry(name) {
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(account);
                }
                std::collections::hash_map::Entry::Occupied(mut known) => {
                    if source < known.get().source {
                        known.insert(account);
                    }
                }
            }
        }
        let mut census = Census::new();
        for account in accounts.values() {
            if let Ok(verifier) = account.source.parse(&account.secret, &self.policy) {
                census.count(&verifier);
            }
        }
        let majority = census.majority().cloned().unwrap_or_else(Shape::plain);
        Index { accounts, majority }
    }

    fn generation(&self, name: &[u8], source: Source, secret: &[u8]) -> Generation {
        Generation::of(&[self.salt.as_slice(), &[source as u8], name, secret])
    }
}

impl Account {
    fn entry(&self, policy: &Policy, majority: &Shape) -> Entry {
        let parsed = self.source.parse(&self.secret, policy);
        let (verifier, standing) = usable_or_stand_in(parsed, majority);
        Entry { verifier, standing, generation: self.generation }
    }
}

#[cfg(test)]
mod tests;
