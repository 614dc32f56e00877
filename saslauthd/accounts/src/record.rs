//! The account record: what an operator knows of one account, and what may be stored in it.
//!
//! Used in the operator's tools and in the checker. Hashes are held in types that cannot be printed or copied and
//! are wiped when dropped.

use credentials::scram::{ScramHash, ScramKeys};
use protocol::Senders;
use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::restrictions::Restrictions;
use crate::time::UnixTime;

/// Number of a row; never given twice by one database, not even after a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub(crate) i64);

/// Whether a human or a program logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A human with a password that was chosen or handed out.
    Person,
    /// A program, printer or host.
    Machine,
}

impl Kind {
    /// The word as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Machine => "machine",
        }
    }

    /// The kind of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "person" => Some(Self::Person),
            "machine" => Some(Self::Machine),
            _ => None,
        }
    }
}

/// User and realm of an account: UTF-8, compared byte by byte. Whoever takes names from people or peers prepares
/// (folds, normalises) them before; the store never does, so that nobody does it twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName {
    user: Box<str>,
    realm: Box<str>,
}

impl AccountName {
    /// Takes a user of at least one byte, and a realm that may be empty.
    ///
    /// # Errors
    /// [`Refusal::InvalidUser`] or [`Refusal::InvalidRealm`] for control characters, white space at an end, more
    /// bytes than any socket takes, or an `@` in the realm (`a@b` of realm `c` and `a` of realm `b@c` would be
    /// written alike).
    pub fn new(user: &str, realm: &str) -> Result<Self, Refusal> {
        if user.is_empty() {
            return Err(Refusal::InvalidUser("it is empty"));
        }
        check_name(user).map_err(Refusal::InvalidUser)?;
        check_name(realm).map_err(Refusal::InvalidRealm)?;
        if realm.contains('@') {
            return Err(Refusal::InvalidRealm("it contains an @"));
        }
        Ok(Self { user: user.into(), realm: realm.into() })
    }

    /// A name as the database holds it, whatever program wrote it.
    pub(crate) fn stored(user: &str, realm: &str) -> Self {
        Self { user: user.into(), realm: realm.into() }
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The realm; may be empty.
    pub fn realm(&self) -> &str {
        &self.realm
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() > protocol::Name::MAX {
        return Err("it is longer than 1024 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("it contains a control character");
    }
    // Cyrus's canonicalisation strips it, so such a name could never log in.
    if name.trim() != name {
        return Err("it starts or ends with white space");
    }
    Ok(())
}

/// A hash as it is stored: one line of 1 to [`StoredHash::MAX`] bytes. Wiped on drop; no `Debug`, `Display`, `Clone`.
pub struct StoredHash(Zeroizing<Box<str>>);

impl StoredHash {
    /// The longest stored hash in bytes; yescrypt and argon2 need about 120.
    pub const MAX: usize = 2048;

    /// Takes the text of a hash, whatever its scheme; whether anybody can log in with it is for the comparison.
    ///
    /// # Errors
    /// [`Refusal::InvalidHash`] when it is blank, too long, or holds control characters or white space at an end.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if text.trim().is_empty() {
            return Err(Refusal::InvalidHash("it is empty"));
        }
        if text.len() > Self::MAX {
            return Err(Refusal::InvalidHash("it is longer than 2048 bytes"));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(Refusal::InvalidHash(
                "it contains control characters or outer white space",
            ));
        }
        Ok(Self(Zeroizing::new(text.into())))
    }

    /// The text, for a comparison or for the database.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The stored secrets of an account: they change together or not at all, so that no older password survives in one
/// of them.
#[derive(Default)]
pub struct Secrets {
    password: Option<StoredHash>,
    /// At most one for each of [`SCRAM_HASHES`].
    scram: Vec<ScramKeys>,
}

/// The mechanisms that a row has keys for.
pub const SCRAM_HASHES: [ScramHash; 3] = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];

impl Secrets {
    /// As read from a row whose columns were checked.
    pub(crate) fn stored(password: Option<StoredHash>, scram: Vec<ScramKeys>) -> Self {
        Self { password, scram }
    }

    /// A hash for plaintext logins alone.
    pub fn of(password: StoredHash) -> Self {
        Self { password: Some(password), ..Self::default() }
    }

    /// With keys of the same password for a SCRAM mechanism.
    ///
    /// # Errors
    /// [`Refusal::NoSuchMechanism`] for any but those of [`SCRAM_HASHES`].
    pub fn with_scram(mut self, keys: ScramKeys) -> Result<Self, Refusal> {
        let hash = keys.hash();
        if !SCRAM_HASHES.contains(&hash) {
            return Err(Refusal::NoSuchMechanism(hash.mechanism()));
        }
        self.scram.retain(|known| known.hash() != hash);
        self.scram.push(keys);
        Ok(self)
    }

    /// The hash for plaintext logins.
    pub fn password(&self) -> Option<&StoredHash> {
        self.password.as_ref()
    }

    /// The keys of a SCRAM mechanism.
    pub fn scram(&self, hash: ScramHash) -> Option<&ScramKeys> {
        self.scram.iter().find(|keys| keys.hash() == hash)
    }

    /// As columns: RFC 5803's text for keys.
    pub(crate) fn to_columns(&self) -> SecretColumns<'_> {
        let text = |hash| self.scram(hash).map(ScramKeys::to_auth_password);
        SecretColumns {
            password: self.password().map(StoredHash::reveal),
            scram: SCRAM_HASHES.map(text),
        }
    }
}

/// [`Secrets`] as the table holds them.
pub(crate) struct SecretColumns<'a> {
    pub(crate) password: Option<&'a str>,
    scram: [Option<Zeroizing<String>>; 3],
}

impl SecretColumns<'_> {
    /// For `:sha_1`, `:sha_256` and `:sha_512`.
    pub(crate) fn scram(&self) -> [Option<&str>; 3] {
        self.scram.each_ref().map(|text| text.as_ref().map(|text| text.as_str()))
    }
}

/// All of one account.
pub struct Account {
    /// Its row.
    pub id: AccountId,
    /// Who it is.
    pub name: AccountName,
    /// Who uses it.
    pub kind: Kind,
    /// What it logs in with.
    pub secrets: Secrets,
    /// Closed by the operator.
    pub disabled: bool,
    /// The first moment at which it may no longer log in.
    pub expires: Option<UnixTime>,
    /// Where it may log in.
    pub restrictions: Restrictions,
    /// As whom it may send.
    pub senders: Senders,
    /// When it was added.
    pub created: UnixTime,
    /// When an operator last changed it.
    pub changed: UnixTime,
    /// When it last logged in, to about an hour.
    pub last_used: Option<UnixTime>,
}

/// An account to be added.
pub struct NewAccount {
    /// Who it is.
    pub name: AccountName,
    /// Who uses it.
    pub kind: Kind,
    /// What it logs in with; without a password nobody logs in.
    pub secrets: Secrets,
    /// The first moment at which it may no longer log in.
    pub expires: Option<UnixTime>,
    /// Where it may log in.
    pub restrictions: Restrictions,
}

/// One change to an account.
pub enum Edit {
    /// New secrets in the place of all old ones.
    Secrets(Secrets),
    /// Close it, and keep the secrets.
    Lock,
    /// Open it again.
    Unlock,
    /// Set or (with `None`) lift the end.
    Expire(Option<UnixTime>),
    /// Set services and networks.
    Restrict(Restrictions),
    /// Say who uses it.
    Kind(Kind),
    /// Say as whom it may send.
    Senders(Senders),
}
