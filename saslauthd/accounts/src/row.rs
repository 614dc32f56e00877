//! One row of the account table: which columns it has, and what may stand in them.
//!
//! Used in the checker and in the operator's tools. The row may have been written by any program or by a failing
//! disk: a value of another type or form is a fault with the column's name, never a default.

use credentials::scram::{ScramHash, ScramKeys};
use credentials::{Generation, Reason};
use protocol::Senders;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::database::Fault;
use crate::generation::RowDigest;
use crate::record::{Account, AccountId, AccountName, Kind, SCRAM_HASHES, Secrets, StoredHash};
use crate::restrictions::{NetworkList, Restrictions, ServiceList};
use crate::time::UnixTime;

/// The columns in the order of [`Columns`]; `t` is the table. All that is no content comes last.
macro_rules! columns {
    () => {
        "t.id, t.user, t.realm, t.kind, t.password, t.scram_sha_1, t.scram_sha_256, \
         t.scram_sha_512, t.disabled, t.expires, t.services, t.networks, t.created, t.changed, t.senders, \
         t.last_used"
    };
}
pub(crate) use columns;

/// How many of the columns are content: all but `last_used`.
const CONTENT: usize = 15;

/// A row still in SQLite's memory, with its types checked; hashes are not copied.
pub(crate) struct Columns<'row> {
    pub(crate) id: AccountId,
    pub(crate) user: &'row str,
    pub(crate) realm: &'row str,
    pub(crate) kind: Kind,
    pub(crate) password: Option<&'row [u8]>,
    pub(crate) scram_sha_1: Option<&'row str>,
    pub(crate) scram_sha_256: Option<&'row str>,
    pub(crate) scram_sha_512: Option<&'row str>,
    pub(crate) disabled: bool,
    pub(crate) expires: Option<UnixTime>,
    pub(crate) restrictions: Restrictions,
    pub(crate) created: UnixTime,
    pub(crate) changed: UnixTime,
    pub(crate) senders: Senders,
    pub(crate) last_used: Option<UnixTime>,
    pub(crate) generation: Generation,
}

impl<'row> Columns<'row> {
    /// Reads the row of a statement that selects [`columns`].
    pub(crate) fn of(row: &'row Row<'_>) -> Result<Self, Fault> {
        let id = integer(row, 0, "id")?;
        let id = id.ok_or_else(|| damaged("id"))?;
        // From here on the account can be named by its number, which tells an operator where to look.
        Self::after_id(row, id).map_err(|fault| match fault {
            Fault::Said(text) => Fault::Said(format!("account number {id}: {text}")),
            other @ Fault::Sqlite(_) => other,
        })
    }

    fn after_id(row: &'row Row<'_>, id: i64) -> Result<Self, Fault> {
        let disabled = match integer(row, 8, "disabled")? {
            Some(number) => number != 0,
            None => return Err(damaged("disabled")),
        };
        Ok(Self {
            id: AccountId(id),
            user: text(row, 1, "user")?.ok_or_else(|| damaged("user"))?,
            realm: text(row, 2, "realm")?.ok_or_else(|| damaged("realm"))?,
            kind: text(row, 3, "kind")?.and_then(Kind::from_word).ok_or_else(|| damaged("kind"))?,
            password: bytes(row, 4, "password")?,
            scram_sha_1: text(row, 5, "scram_sha_1")?,
            scram_sha_256: text(row, 6, "scram_sha_256")?,
            scram_sha_512: text(row, 7, "scram_sha_512")?,
            disabled,
            expires: integer(row, 9, "expires")?.map(UnixTime),
            restrictions: Restrictions {
                services: services(text(row, 10, "services")?)?,
                networks: networks(text(row, 11, "networks")?)?,
            },
            created: UnixTime(integer(row, 12, "created")?.ok_or_else(|| damaged("created"))?),
            changed: UnixTime(integer(row, 13, "changed")?.ok_or_else(|| damaged("changed"))?),
            senders: senders(text(row, 14, "senders")?)?,
            last_used: integer(row, 15, "last_used")?.map(UnixTime),
            generation: generation(row)?,
        })
    }

    /// Whether the account may log in at `now`, apart from its password.
    pub(crate) fn standing(&self, now: UnixTime) -> Result<(), Reason> {
        standing(self.disabled, self.expires, now)
    }

    /// The stored text of a mechanism's keys.
    pub(crate) fn scram(&self, hash: ScramHash) -> Option<&'row str> {
        match hash {
            ScramHash::Sha1 => self.scram_sha_1,
            ScramHash::Sha256 => self.scram_sha_256,
            ScramHash::Sha512 => self.scram_sha_512,
            ScramHash::Sha224 | ScramHash::Sha384 => None,
        }
    }

    /// The keys of a mechanism; text of no known form is as if there were none.
    pub(crate) fn keys(&self, hash: ScramHash) -> Option<ScramKeys> {
        let text = self.scram(hash)?;
        ScramKeys::parse_auth_password(text.as_bytes()).ok().filter(|keys| keys.hash() == hash)
    }

    /// The record, with copies of the hashes.
    ///
    /// Secrets that nobody can log in with (a blank hash, keys of no known form) are as if there were none.
    pub(crate) fn to_account(&self) -> Account {
        let password = self.password.and_then(|bytes| std::str::from_utf8(bytes).ok());
        Account {
            id: self.id,
            name: AccountName::stored(self.user, self.realm),
            kind: self.kind,
            secrets: Secrets::stored(
                password.and_then(|text| StoredHash::new(text).ok()),
                SCRAM_HASHES.into_iter().filter_map(|hash| self.keys(hash)).collect(),
            ),
            disabled: self.disabled,
            expires: self.expires,
            restrictions: self.restrictions.clone(),
            created: self.created,
            changed: self.changed,
            senders: self.senders.clone(),
            last_used: self.last_used,
        }
    }
}

/// An account ends with the second before `expires`.
pub(crate) fn standing(
    disabled: bool,
    expires: Option<UnixTime>,
    now: UnixTime,
) -> Result<(), Reason> {
    if disabled {
        return Err(Reason::Disabled);
    }
    match expires {
        Some(end) if now >= end => Err(Reason::AccountExpired),
        _ => Ok(()),
    }
}

/// The stored list of services; none stored means any.
pub(crate) fn services(stored: Option<&str>) -> Result<ServiceList, Fault> {
    match stored {
        None => Ok(ServiceList::ANY),
        Some(text) => {
            text.parse().map_err(|refusal| Fault::Said(format!("column services: {refusal}")))
        }
    }
}

/// The stored list of networks; none stored means any.
pub(crate) fn networks(stored: Option<&str>) -> Result<NetworkList, Fault> {
    match stored {
        None => Ok(NetworkList::ANY),
        Some(text) => {
            text.parse().map_err(|refusal| Fault::Said(format!("column networks: {refusal}")))
        }
    }
}

/// The stored list of senders; none stored means its own name.
fn senders(stored: Option<&str>) -> Result<Senders, Fault> {
    match stored {
        None => Ok(Senders::Own),
        Some(text) => {
            Senders::parse(text).map_err(|why| Fault::Said(format!("column senders: {why}")))
        }
    }
}

fn generation(row: &Row<'_>) -> Result<Generation, Fault> {
    let mut digest = RowDigest::new(b"account");
    for column in 0..CONTENT {
        digest.value(row.get_ref(column)?);
    }
    Ok(digest.finish())
}

fn damaged(column: &str) -> Fault {
    Fault::Said(format!("column {column} holds what it never can; the file may be damaged"))
}

fn integer(row: &Row<'_>, at: usize, column: &str) -> Result<Option<i64>, Fault> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(number)),
        _ => Err(damaged(column)),
    }
}

fn bytes<'row>(row: &'row Row<'_>, at: usize, column: &str) -> Result<Option<&'row [u8]>, Fault> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => Ok(Some(bytes)),
        _ => Err(damaged(column)),
    }
}

fn text<'row>(row: &'row Row<'_>, at: usize, column: &str) -> Result<Option<&'row str>, Fault> {
    bytes(row, at, column)?
        .map(|bytes| std::str::from_utf8(bytes).map_err(|_| damaged(column)))
        .transpose()
}
