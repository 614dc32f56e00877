//! What an exchange compares with: stored keys, keys derived from a password in the clear, or a stand-in.
//!
//! Runs in the checker. A name that has nothing gets a stand-in whose salt is always the same for that name and that
//! goes on over restarts. Deriving costs a millisecond or two in the loop, once for each record and mechanism; the
//! challenges of chains in which that may happen wait for a floor, so that their time tells nothing.

use std::collections::{HashMap, VecDeque};

use accounts::{Found, Restrictions};
use credentials::{
    Entry, Generation, Lookup, Reason, Scheme, ScramHash, ScramKeys, SharedSecret, TagKey,
};
use ipc::config::Level;
use mechanisms::{Material, Wanted};
use zeroize::Zeroizing;

use super::Dispatcher;
use super::login::{Asked, Away, Login};
use super::proof::apart_from_hash;
use crate::log::Outcome;

/// Most derived keys that are kept, of 200 bytes each.
const MOST_DERIVED: usize = 8192;

/// Keys that were derived, in the notation of RFC 5803, by record and mechanism.
pub(super) struct Derived {
    keys: HashMap<Generation, Zeroizing<String>>,
    order: VecDeque<Generation>,
    salts: TagKey,
}

/// What a backend has for an exchange.
struct Candidate {
    asked: Asked,
    secret: Secret,
    scheme: Scheme,
}

enum Secret {
    Keys(ScramKeys),
    Password(SharedSecret),
}

impl Derived {
    /// `secret` makes the salts; it goes on over restarts.
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { keys: HashMap::new(), order: VecDeque::new(), salts: TagKey::from_bytes(secret) }
    }

    fn salt(&self, login: &Login, hash: ScramHash) -> [u8; 16] {
        self.salts.salt(&login.identity.user, &login.identity.realm, hash)
    }

    fn stand_in(&self, login: &Login, hash: ScramHash) -> ScramKeys {
        ScramKeys::stand_in(hash, ScramKeys::ITERATIONS, &self.salt(login, hash))
    }

    /// The keys of a password in the clear, from memory where the same record had them derived before.
    fn keys(
        &mut self,
        login: &Login,
        hash: ScramHash,
        password: &SharedSecret,
        generation: Generation,
    ) -> ScramKeys {
        let salt = self.salt(login, hash);
        let place = Generation::of(&[&generation.0, &salt]);
        let known =
            self.keys.get(&place).map(|text| ScramKeys::parse_auth_password(text.as_bytes()));
        if let Some(Ok(keys)) = known {
            return keys;
        }
        let keys = password.scram(hash, &salt, ScramKeys::ITERATIONS);
        while self.order.len() >= MOST_DERIVED {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
        self.keys.insert(place, keys.to_auth_password());
        self.order.push_back(place);
        keys
    }
}

impl Dispatcher {
    /// Looks the name of a login up, and gives what its exchange compares with.
    pub(super) fn material(&mut self, login: &mut Login, wanted: Wanted) -> Material {
        let chosen = self.candidate(login, wanted);
        let order = self.chains.get(login.chain).map(|chain| &chain.backends);
        login.slow_to_challenge = order.is_some_and(|order| {
            order.iter().any(|index| self.derives(*index)) && matches!(wanted, Wanted::Scram(_))
        });
        match (wanted, chosen) {
            (Wanted::Scram(hash), None) => Material::Scram(self.derived.stand_in(login, hash)),
            (Wanted::Shared, None) => Material::Shared(SharedSecret::stand_in()),
            (wanted, Some(candidate)) => {
                if let Some(sasl) = &mut login.sasl {
                    sasl.seen = Some((wanted, candidate.mark()));
                }
                let Candidate { asked, secret, scheme } = candidate;
                login.scheme = Some(scheme);
                let generation = asked.generation;
                login.asked = Some(asked);
                match (wanted, secret) {
                    (Wanted::Scram(_), Secret::Keys(keys)) => Material::Scram(keys),
                    (Wanted::Scram(hash), Secret::Password(password)) => {
                        Material::Scram(self.derived.keys(login, hash, &password, generation))
                    }
                    (Wanted::Shared, Secret::Password(password)) => Material::Shared(password),
                    (Wanted::Shared, Secret::Keys(_)) => Material::Shared(SharedSecret::stand_in()),
                }
            }
        }
    }

    /// A client may take its time between challenge and proof, and an account may be closed or get another password in
    /// it. So what was proven is held against the record as it is now.
    pub(super) fn look_again_at(&mut self, login: &mut Login) -> Result<(), Outcome> {
        let seen = login.sasl.as_ref().and_then(|sasl| sasl.seen);
        let index = login.asked.as_ref().map(|asked| asked.backend);
        let (Some((wanted, mark)), Some(index)) = (seen, index) else {
            return Err(Outcome::Unavailable("internal"));
        };
        let wall = (self.clock)().wall_s;
        let found = self.backends.get_mut(index).map(|backend| {
            backend.lookup_keys(&login.identity, &login.service, wall, wanted_hash(wanted))
        });
        let Some((found, change)) = found else { return Err(Outcome::Unavailable("internal")) };
        self.tell(index, change);
        let now = match found {
            Lookup::Found(found) => candidate_of(index, found, wanted).ok(),
            Lookup::NotFound => None,
            Lookup::Unavailable(_) => {
                login.backend = Some(index);
                return Err(Outcome::Unavailable("backend"));
            }
        };
        match now.filter(|candidate| candidate.mark() == mark) {
            Some(candidate) => {
                login.asked = Some(candidate.asked);
                Ok(())
            }
            None => {
                login.note_refusal(index, Reason::WrongPassword);
                Err(self.refusal(login))
            }
        }
    }

    fn derives(&self, index: usize) -> bool {
        self.backends
            .get(index)
            .is_some_and(|backend| backend.holds_passwords() || backend.has_aliases())
    }

    /// The first backend that has something to compare with and an account that may log in, or else the first that
    /// has something at all: a chain goes on behind an account that is closed, as it does for passwords.
    fn candidate(&mut self, login: &mut Login, wanted: Wanted) -> Option<Candidate> {
        if login.refused.is_some() {
            return None;
        }
        let order = self.chains.get(login.chain).map(|chain| chain.backends.clone())?;
        let mut closed = None;
        for index in order {
            let Some(backend) = self.backends.get_mut(index) else { continue };
            let wall = (self.clock)().wall_s;
            let hash = wanted_hash(wanted);
            let (found, change) = backend.lookup_keys(&login.identity, &login.service, wall, hash);
            self.tell(index, change);
            let found = match found {
                Lookup::NotFound => continue,
                Lookup::Unavailable(trouble) => {
                    login.away = login.away.or(Some(Away::Backend(index)));
                    login.overlong |= trouble.is_of_one_name();
                    continue;
                }
                Lookup::Found(found) => found,
            };
            if let Some(complaint) = &found.complaint {
                self.log.say(Level::Warning, format_args!("{complaint}"));
            }
            match candidate_of(index, found, wanted) {
                Ok(candidate) if is_open(login, &candidate.asked) => return Some(candidate),
                Ok(candidate) => closed = closed.or(Some(candidate)),
                Err(reason) => {
                    login.note_refusal(index, reason);
                    // Some account can't use what is offered: see at once whether it still should be.
                    self.offers.look_again((self.clock)().boot_ns);
                }
            }
        }
        closed
    }
}

impl Candidate {
    /// The same as long as the secret is. Keys that are added for another mechanism change the record and not these.
    fn mark(&self) -> Generation {
        match &self.secret {
            Secret::Keys(keys) => {
                Generation::of(&[keys.salt(), keys.stored_key(), &keys.iterations().to_le_bytes()])
            }
            Secret::Password(_) => self.asked.generation,
        }
    }
}

fn wanted_hash(wanted: Wanted) -> Option<ScramHash> {
    match wanted {
        Wanted::Scram(hash) => Some(hash),
        Wanted::Shared => None,
    }
}

fn candidate_of(backend: usize, found: Found, wanted: Wanted) -> Result<Candidate, Reason> {
    let Found { entry, restrictions, own, keys, .. } = found;
    let Entry { verifier, standing, generation } = entry;
    let scheme = verifier.scheme();
    let is_stand_in = verifier.is_stand_in();
    let (secret, scheme) = match (wanted, keys) {
        (Wanted::Scram(hash), Some(keys)) => (Some(Secret::Keys(keys)), scheme_of(hash)),
        (_, _) if is_stand_in => (None, scheme),
        (Wanted::Scram(hash), None) if scheme == scheme_of(hash) => {
            (verifier.into_scram().map(Secret::Keys), scheme)
        }
        // Our own accounts have keys or none: nothing is derived from them when a name is first heard, so their
        // challenges need no floor.
        _ if own.is_some() => (None, scheme),
        _ => (verifier.into_shared().map(Secret::Password), scheme),
    };
    let secret = secret.ok_or_else(|| standing.err().unwrap_or(Reason::NoKeys))?;
    let restrictions: Restrictions = restrictions;
    Ok(Candidate {
        asked: Asked { backend, generation, standing, restrictions, own },
        secret,
        scheme,
    })
}

fn is_open(login: &Login, asked: &Asked) -> bool {
    let (service, source) = (login.service.as_bytes(), login.believed());
    apart_from_hash(asked.standing).is_ok() && asked.restrictions.admit(service, source).is_ok()
}

fn scheme_of(hash: ScramHash) -> Scheme {
    match hash {
        ScramHash::Sha1 => Scheme::ScramSha1,
        ScramHash::Sha224 => Scheme::ScramSha224,
        ScramHash::Sha256 => Scheme::ScramSha256,
        ScramHash::Sha384 => Scheme::ScramSha384,
        ScramHash::Sha512 => Scheme::ScramSha512,
    }
}
