//! Stored secrets ready to compare: recognised exactly, priced before use, compared in constant time.
//!
//! Runs in the checker and in the tools. It trusts no stored byte: a hash may come from a table that somebody
//! else writes. Whatever is not a complete and well-formed hash of a known scheme within the policy's ceilings
//! ends in a [`Reason`] before anything is computed. It must never compare less than the whole stored secret, and
//! never take an empty one for equal.

mod argon;
mod crypt_family;
mod digest;
mod dovecot;

use protocol::Password;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::policy::{LongPasswords, Policy};
use crate::scheme::{Cost, Scheme};
use crate::scram::ScramKeys;
use crate::scratch::Scratch;
use crate::shared::SharedSecret;
use crate::stand_in::Shape;
use crate::verdict::{Reason, Trouble, Verdict, Verified};

pub(crate) use argon::{Argon, Variant};
pub(crate) use crypt_family::CryptHash;
pub(crate) use digest::{CyrusPlain, Digested, Pbkdf2, number};

/// The longest stored secret that is looked at; far above any scheme's, and that of the longest password.
const MAX_STORED: usize = Password::MAX;

/// A stored secret, of a known scheme, within the ceilings.
///
/// Has no `Debug`, `Clone` or `Display`, and is wiped when dropped.
pub struct Verifier {
    form: Form,
    scheme: Scheme,
    cost: Cost,
    long_passwords: LongPasswords,
    kind: Kind,
}

/// Whether agreement counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stored,
    StandIn,
}

/// The stored secret by the way it is compared.
pub(crate) enum Form {
    Plain(Zeroizing<Vec<u8>>),
    Crypt(CryptHash),
    Argon(Argon),
    Digested(Digested),
    Pbkdf2(Pbkdf2),
    CyrusPlain(CyrusPlain),
    Scram(ScramKeys),
}

/// What a form says of a candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    Agrees,
    Differs,
}

impl Agreement {
    /// Over the full length of both; lengths that differ, and two empty ones, differ.
    pub(crate) fn of(computed: &[u8], stored: &[u8]) -> Self {
        if !stored.is_empty() && bool::from(computed.ct_eq(stored)) {
            Self::Agrees
        } else {
            Self::Differs
        }
    }
}

impl Verifier {
    /// Recognises a stored hash: crypt(3), PHC argon2, Cyrus's SCRAM `authPassword`, Dovecot's `{SCHEME}`.
    ///
    /// Cheap: nothing is hashed and no more than the stored bytes allocated. A locked hash (`!`, `*` in front)
    /// is [`Reason::Locked`] whatever follows, an empty or blank one [`Reason::NoPassword`].
    pub fn parse(stored: &[u8], policy: &Policy) -> Result<Self, Reason> {
        if stored.iter().all(u8::is_ascii_whitespace) {
            return Err(Reason::NoPassword);
        }
        if stored.len() > MAX_STORED {
            return Err(Reason::Malformed);
        }
        match stored {
            [b'!' | b'*', ..] => Err(Reason::Locked),
            [b'{', ..] => dovecot::parse(stored, policy),
            _ if stored.starts_with(b"$argon2") => {
                Self::new(Form::Argon(Argon::parse(stored)?), policy)
            }
            _ if stored.starts_with(b"SCRAM-") => {
                Self::new(Form::Scram(ScramKeys::parse_auth_password(stored)?), policy)
            }
            _ => Self::new(Form::Crypt(CryptHash::parse(stored)?), policy),
        }
    }

    /// The password itself as a store holds it by design, a sasldb's `userPassword`; no policy applies.
    ///
    /// # Errors
    /// [`Reason::NoPassword`] for an empty one, [`Reason::Malformed`] for one longer than any password.
    pub fn plaintext(stored: &[u8]) -> Result<Self, Reason> {
        if stored.is_empty() {
            return Err(Reason::NoPassword);
        }
        if stored.len() > MAX_STORED {
            return Err(Reason::Malformed);
        }
        Ok(Self::unpoliced(Form::Plain(Zeroizing::new(stored.to_vec()))))
    }

    /// `cmusaslsecretPLAIN` of a sasldb: 16 bytes of salt, NUL, MD5 of the salt, `sasldb` and the password.
    pub fn cyrus_plain(stored: &[u8], policy: &Policy) -> Result<Self, Reason> {
        if stored.is_empty() {
            return Err(Reason::NoPassword);
        }
        Self::new(Form::CyrusPlain(CyrusPlain::parse(stored)?), policy)
    }

    /// Keys of SCRAM that are at hand already parsed.
    pub fn scram(keys: ScramKeys, policy: &Policy) -> Result<Self, Reason> {
        Self::new(Form::Scram(keys), policy)
    }

    /// The password itself where it is stored in the clear, for CRAM-MD5 and DIGEST-MD5; of a stand-in, a stand-in.
    pub fn into_shared(self) -> Option<SharedSecret> {
        match (&self.form, self.kind) {
            (_, Kind::StandIn) => Some(SharedSecret::stand_in()),
            (Form::Plain(password), Kind::Stored) => SharedSecret::new(password).ok(),
            _ => None,
        }
    }

    /// The keys where those of SCRAM are what is stored; never of a stand-in, whose salt would be no name's own.
    pub fn into_scram(self) -> Option<ScramKeys> {
        match (self.form, self.kind) {
            (Form::Scram(keys), Kind::Stored) => Some(keys),
            _ => None,
        }
    }

    /// A verifier that works as long as one of this shape and never agrees.
    ///
    /// For unknown users and unusable hashes, so that their time tells nothing.
    pub fn stand_in(shape: &Shape) -> Self {
        let mut verifier = Self::unpoliced(shape.fill());
        verifier.kind = Kind::StandIn;
        verifier.long_passwords = LongPasswords::Truncate;
        verifier
    }

    /// What a stand-in for this one needs to know; holds neither salt nor hash.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.form)
    }

    /// The stored scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What one comparison costs, by the stored parameters.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Below 2 ms: see [`Cost::is_cheap`].
    pub fn is_cheap(&self) -> bool {
        self.cost.is_cheap()
    }

    /// Whether this one was made by [`Self::stand_in`].
    pub fn is_stand_in(&self) -> bool {
        self.kind == Kind::StandIn
    }

    /// The parameters of argon2id, for whoever decides on an upgrade.
    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    /// Compares, for as long as [`Self::cost`] says. Never agrees when it is a stand-in.
    ///
    /// A password that the scheme would cut is refused after the same work as any other, so that its length
    /// tells nothing about the account. [`Verdict::Unavailable`] when there is no memory to hash in.
    pub fn compare(&self, password: &Password, scratch: &mut Scratch) -> Verdict {
        let password = password.reveal();
        let limit = self.compared_bytes();
        let agreement = match self.agreement(password.get(..limit).unwrap_or(password), scratch) {
            Ok(agreement) => agreement,
            Err(trouble) => return Verdict::Unavailable(trouble),
        };
        if password.len() > limit && !self.may_truncate() {
            return Verdict::Refuse(Reason::PasswordTooLong);
        }
        match (agreement, self.kind) {
            (Agreement::Agrees, Kind::Stored) => Verdict::Accept(Verified::by_comparison()),
            _ => Verdict::Refuse(Reason::WrongPassword),
        }
    }

    /// Whether a password that agreed is the whole of what was once set: not where only its beginning was compared, or
    /// all that is compared of a longer one. A new hash of such a password would lock out who types the rest.
    pub fn compares_all_of(&self, password: &Password) -> bool {
        !self.may_truncate() || password.reveal().len() < self.compared_bytes()
    }

    fn new(form: Form, policy: &Policy) -> Result<Self, Reason> {
        let mut verifier = Self::unpoliced(form);
        policy.admit(verifier.scheme, verifier.cost)?;
        verifier.long_passwords = policy.long_passwords;
        Ok(verifier)
    }

    fn unpoliced(form: Form) -> Self {
        let (scheme, cost) = (form.scheme(), form.cost());
        Self { form, scheme, cost, long_passwords: LongPasswords::default(), kind: Kind::Stored }
    }

    fn agreement(&self, password: &[u8], scratch: &mut Scratch) -> Result<Agreement, Trouble> {
        match &self.form {
            Form::Plain(stored) => Ok(digest::same_text(password, stored)),
            Form::Crypt(stored) => stored.agreement(password, scratch),
            Form::Argon(stored) => stored.agreement(password, scratch),
            Form::Digested(stored) => Ok(stored.agreement(password)),
            Form::Pbkdf2(stored) => Ok(stored.agreement(password)),
            Form::CyrusPlain(stored) => Ok(stored.agreement(password)),
            Form::Scram(keys) => Ok(keys.agreement(password)),
        }
    }

    /// How many bytes of a password the scheme looks at.
    fn compared_bytes(&self) -> usize {
        match self.scheme {
            Scheme::DesCrypt => 8,
            Scheme::Bcrypt | Scheme::BcryptX => 72,
            _ if matches!(self.form, Form::Crypt(_)) => crypt::MAX_PHRASE,
            _ => Password::MAX,
        }
    }

    /// libxcrypt takes no phrase above its limit, so that there is nothing to be compatible with.
    fn may_truncate(&self) -> bool {
        self.long_passwords == LongPasswords::Truncate && self.compared_bytes() != crypt::MAX_PHRASE
    }
}

impl Form {
    pub(crate) fn scheme(&self) -> Scheme {
        match self {
            Self::Plain(_) => Scheme::Plain,
            Self::Crypt(stored) => stored.scheme(),
            Self::Argon(stored) => stored.scheme(),
            Self::Digested(stored) => stored.scheme(),
            Self::Pbkdf2(_) => Scheme::Pbkdf2Sha1,
            Self::CyrusPlain(_) => Scheme::CyrusPlain,
            Self::Scram(keys) => keys.scheme(),
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        match self {
            Self::Plain(_) | Self::Digested(_) | Self::CyrusPlain(_) => Cost::of_micros(1),
            Self::Crypt(stored) => stored.cost(),
            Self::Argon(stored) => stored.cost(),
            Self::Pbkdf2(stored) => stored.cost(),
            Self::Scram(keys) => keys.cost(),
        }
    }
}

#[cfg(test)]
mod tests;
