//! What a name that cannot log in is compared with, so that it takes the time of one that can.
//!
//! Runs in the checker. A backend counts the shapes of its usable hashes, and unknown users and unusable hashes work
//! as long as the most frequent one. A shape holds parameters, never a salt or a hash; a verifier made of it
//! never agrees.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::digests::Function;
use crate::new_hash::Argon2Settings;
use crate::scheme::{Cost, Scheme};
use crate::scram::{ScramHash, ScramKeys};
use crate::verdict::Reason;
use crate::verifier::{Argon, CryptHash, CyrusPlain, Digested, Form, Pbkdf2, Variant, Verifier};

/// Scheme and parameters of a stored secret, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape(Inner);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Inner {
    Plain,
    Crypt { blanked: Vec<u8>, scheme: Scheme, cost: Cost },
    Argon(Variant),
    Digested { function: Function, salt: usize },
    Pbkdf2 { rounds: u32 },
    CyrusPlain,
    Scram { hash: ScramHash, iterations: u32 },
}

impl Shape {
    /// Debian's own hashes: yescrypt with `j9T`, for a shadow file without a single usable hash.
    pub fn yescrypt() -> Self {
        let blanked = format!("$y$j9T${}${}", ".".repeat(22), ".".repeat(43)).into_bytes();
        match Verifier::parse(&blanked, &crate::policy::Policy::default()) {
            Ok(verifier) => verifier.shape(),
            Err(_) => Self::plain(),
        }
    }

    /// New hashes of ours, for an account store without a single usable hash.
    pub fn argon2id(settings: &Argon2Settings) -> Self {
        Self(Inner::Argon(settings.variant()))
    }

    /// Passwords in the clear, for a sasldb.
    pub fn plain() -> Self {
        Self(Inner::Plain)
    }

    pub(crate) fn of(form: &Form) -> Self {
        Self(match form {
            Form::Plain(_) => Inner::Plain,
            Form::Crypt(hash) => {
                let (scheme, cost) = (form.scheme(), form.cost());
                Inner::Crypt { blanked: hash.blanked(), scheme, cost }
            }
            Form::Argon(stored) => Inner::Argon(stored.variant),
            Form::Digested(stored) => {
                Inner::Digested { function: stored.function, salt: stored.salt.len() }
            }
            Form::Pbkdf2(stored) => Inner::Pbkdf2 { rounds: stored.rounds },
            Form::CyrusPlain(_) => Inner::CyrusPlain,
            Form::Scram(keys) => Inner::Scram { hash: keys.hash(), iterations: keys.iterations() },
        })
    }

    pub(crate) fn fill(&self) -> Form {
        let zeros = |len: usize| Zeroizing::new(vec![0; len]);
        match &self.0 {
            Inner::Plain => Form::Plain(zeros(16)),
            Inner::Crypt { blanked, scheme, cost } => {
                Form::Crypt(CryptHash::from_blanked(blanked, *scheme, *cost))
            }
            Inner::Argon(variant) => Form::Argon(Argon {
                variant: *variant,
                salt: zeros(16),
                expected: zeros(variant.tag),
            }),
            Inner::Digested { function, salt } => Form::Digested(Digested {
                function: *function,
                salt: zeros(*salt),
                expected: zeros(function.len()),
            }),
            Inner::Pbkdf2 { rounds } => Form::Pbkdf2(Pbkdf2 {
                salt: zeros(16),
                rounds: *rounds,
                expected: zeros(Function::Sha1.len()),
            }),
            Inner::CyrusPlain => Form::CyrusPlain(CyrusPlain {
                salt: zeros(16),
                expected: zeros(Function::Md5.len()),
            }),
            Inner::Scram { hash, iterations } => Form::Scram(ScramKeys::blank(*hash, *iterations)),
        }
    }
}

/// How many usable secrets there are of each scheme and cost.
#[derive(Clone, Debug, Default)]
pub struct Census {
    counts: BTreeMap<(Scheme, Cost), (u64, Shape)>,
}

impl Census {
    /// Nobody counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one usable secret.
    pub fn count(&mut self, verifier: &Verifier) {
        self.counts
            .entry((verifier.scheme(), verifier.cost()))
            .or_insert_with(|| (0, verifier.shape()))
            .0 += 1;
    }

    /// The shape of the most; of two that are as many, the costlier. `None` when nobody was counted.
    pub fn majority(&self) -> Option<&Shape> {
        self.counts
            .iter()
            .max_by_key(|((_, cost), (count, _))| (*count, *cost))
            .map(|(_, (_, shape))| shape)
    }
}

/// What to compare with when a stored hash cannot be used: the stand-in, and why.
///
/// The pair goes into an entry's `verifier` and `standing`.
pub fn usable_or_stand_in(
    parsed: Result<Verifier, Reason>,
    majority: &Shape,
) -> (Verifier, Result<(), Reason>) {
    match parsed {
        Ok(verifier) => (verifier, Ok(())),
        Err(reason) => (Verifier::stand_in(majority), Err(reason)),
    }
}
