//! What a sasldb holds, in any format: keys `user NUL realm NUL property`, and values that are mostly secrets.

use std::fmt;

use zeroize::Zeroizing;

use super::error::Fault;
use super::{AUTH_PASSWORD, MECHANISM_SECRET, USER_PASSWORD};
use super::{berkeley, gdbm, lmdb};

/// The format of a file, with whatever of it is kept when the file is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Berkeley(berkeley::Shape),
    Gdbm(gdbm::Shape),
    Lmdb(lmdb::Shape),
}

impl Format {
    /// Berkeley DB hash, version 9: what Debian's libsasl2 makes and reads.
    pub fn berkeley() -> Self {
        Self(Kind::Berkeley(berkeley::Shape::default()))
    }

    /// GDBM with 64-bit offsets, as libsasl2 is built on Fedora, Arch and Gentoo.
    pub fn gdbm() -> Self {
        Self(Kind::Gdbm(gdbm::Shape::default()))
    }

    /// A single-file LMDB environment with 64-bit words.
    pub fn lmdb() -> Self {
        Self(Kind::Lmdb(lmdb::Shape::default()))
    }

    /// The whole file that holds these records; `seed` makes the identity of a Berkeley file.
    pub(super) fn encode(
        self,
        records: &[Record],
        seed: [u8; 20],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.0 {
            Kind::Berkeley(shape) => berkeley::write::file(records, shape, seed),
            Kind::Gdbm(shape) => gdbm::write::file(records, shape),
            Kind::Lmdb(shape) => lmdb::write::file(records, shape),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Berkeley(_) => "berkeley",
            Kind::Gdbm(_) => "gdbm",
            Kind::Lmdb(_) => "lmdb",
        })
    }
}

/// The three parts of a record's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The part before the `@`; may be empty.
    pub user: &'a [u8],
    /// The part after it; may be empty.
    pub realm: &'a [u8],
    /// Such as `userPassword`.
    pub property: &'a [u8],
}

impl<'a> Key<'a> {
    /// Splits raw bytes; without exactly two NULs they name nothing.
    fn split(raw: &'a [u8]) -> Option<Self> {
        let mut parts = raw.split(|byte| *byte == 0);
        let key = Self { user: parts.next()?, realm: parts.next()?, property: parts.next()? };
        parts.next().is_none().then_some(key)
    }

    fn join(self) -> Option<Vec<u8>> {
        let raw = [self.user, self.realm, self.property].join(&0);
        let is_good = Key::split(&raw).is_some();
        is_good.then_some(raw)
    }

    /// Whether the value is something that one logs in with.
    pub fn is_secret(self) -> bool {
        self.property == USER_PASSWORD
            || self.property == AUTH_PASSWORD
            || self.property.starts_with(MECHANISM_SECRET)
    }
}

/// One key and its value; the value is wiped on drop.
pub struct Record {
    pub(super) key: Vec<u8>,
    pub(super) value: Zeroizing<Vec<u8>>,
}

impl Record {
    pub(super) fn new(key: &[u8], value: &[u8]) -> Self {
        Self { key: key.to_vec(), value: Zeroizing::new(value.to_vec()) }
    }

    /// The key as it is stored.
    pub fn raw_key(&self) -> &[u8] {
        &self.key
    }

    /// Whose and which it is; `None` when the key has not exactly two NULs.
    pub fn key(&self) -> Option<Key<'_>> {
        Key::split(&self.key)
    }

    /// The value as it is stored, often a secret.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// All records of a file, in the file's own order, no key twice.
pub struct Records {
    list: Vec<Record>,
    format: Format,
}

impl Records {
    /// None yet.
    pub fn new(format: Format) -> Self {
        Self { list: Vec::new(), format }
    }

    /// What a reader found; a key that occurs twice is damage, for it would leave the answer to chance.
    pub(super) fn found(list: Vec<Record>, format: Kind) -> Result<Self, Fault> {
        let mut keys: Vec<&[u8]> = list.iter().map(Record::raw_key).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        if twice {
            return Err(Fault::Damaged(0, "a key occurs twice"));
        }
        Ok(Self { list, format: Format(format) })
    }

    /// The format of the file they came from.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Each record, bad keys too.
    pub fn iter(&self) -> std::slice::Iter<'_, Record> {
        self.list.iter()
    }

    pub(super) fn as_slice(&self) -> &[Record] {
        &self.list
    }

    pub(super) fn into_list(self) -> Vec<Record> {
        self.list
    }

    /// How many keys have not exactly two NULs; they are kept, and name nobody.
    pub fn bad_keys(&self) -> usize {
        self.list.iter().filter(|record| record.key().is_none()).count()
    }

    /// Whether any secret of that user and realm is stored, an empty one too.
    pub fn knows(&self, user: &[u8], realm: &[u8]) -> bool {
        self.list
            .iter()
            .filter_map(Record::key)
            .any(|key| names(key, user, realm) && key.is_secret())
    }

    /// Stores a value under a key, in the place of an older one. `false`, and nothing stored, if a part of the key contains a NUL.
    #[must_use]
    pub fn set(&mut self, key: Key<'_>, value: &[u8]) -> bool {
        let Some(raw) = key.join() else { return false };
        let fresh = Zeroizing::new(value.to_vec());
        match self.list.iter_mut().find(|record| record.key == raw) {
            Some(record) => record.value = fresh,
            None => self.list.push(Record { key: raw, value: fresh }),
        }
        true
    }

    /// Stores a password as the plain text that Cyrus keeps, and drops every other secret of that user and
    /// realm: what was derived from the old password must not go on opening the account.
    #[must_use]
    pub fn set_password(&mut self, user: &[u8], realm: &[u8], password: &[u8]) -> bool {
        let key = Key { user, realm, property: USER_PASSWORD };
        if !self.set(key, password) {
            return false;
        }
        self.list.retain(|record| {
            record.key().is_none_or(|key| {
                !names(key, user, realm) || !key.is_secret() || key.property == USER_PASSWORD
            })
        });
        true
    }

    /// Drops every secret of that user and realm, keeps other properties; whether there was one.
    pub fn remove_user(&mut self, user: &[u8], realm: &[u8]) -> bool {
        let before = self.list.len();
        self.list.retain(|record| {
            record.key().is_none_or(|key| !names(key, user, realm) || !key.is_secret())
        });
        self.list.len() != before
    }
}

fn names(key: Key<'_>, user: &[u8], realm: &[u8]) -> bool {
    key.user == user && key.realm == realm
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(user: &'a [u8], realm: &'a [u8], property: &'a [u8]) -> Key<'a> {
        Key { user, realm, property }
    }

    #[test]
    fn a_key_has_exactly_two_nuls() {
        assert_eq!(Key::split(b"a\0b\0c"), Some(key(b"a", b"b", b"c")));
        assert_eq!(Key::split(b"\0\0c"), Some(key(b"", b"", b"c")));
        for raw in [&b""[..], b"a", b"a\0b", b"a\0b\0c\0", b"a\0b\0c\0d"] {
            assert_eq!(Key::split(raw), None);
        }
    }

    #[test]
    fn no_nul_slips_into_a_key() {
        let mut records = Records::new(Format::berkeley());
        assert!(!records.set_password(b"a\0b", b"c", b"x"));
        assert!(!records.set(key(b"a", b"b\0", b"p"), b"x"));
        assert_eq!(records.iter().count(), 0);
    }

    #[test]
    fn a_new_password_drops_the_other_secrets_of_that_user_alone() {
        let mut records = Records::new(Format::berkeley());
        for (user, property) in [
            (&b"vic"[..], &b"userPassword"[..]),
            (b"vic", b"authPassword"),
            (b"vic", b"cmusaslsecretOTP"),
            (b"vic", b"mailQuota"),
            (b"bob", b"authPassword"),
        ] {
            assert!(records.set(key(user, b"r", property), b"old"));
        }
        assert!(records.set_password(b"vic", b"r", b"new"));
        let left: Vec<_> =
            records.iter().map(|record| (record.raw_key(), record.value())).collect();
        assert_eq!(
            left,
            [
                (&b"vic\0r\0userPassword"[..], &b"new"[..]),
                (b"vic\0r\0mailQuota", b"old"),
                (b"bob\0r\0authPassword", b"old"),
            ]
        );
        assert!(records.remove_user(b"vic", b"r"));
        assert!(!records.knows(b"vic", b"r"));
        assert!(!records.remove_user(b"vic", b"r"));
        assert_eq!(records.iter().count(), 2);
    }
}
