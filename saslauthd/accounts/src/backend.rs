//! The account database as the checker uses it: lookups, upgrades at login, and when an account was last used.
//!
//! Runs in the checker. The path may lead to nothing, to a damaged file or to another one than a moment ago; each
//! lookup says so as [`Lookup::Unavailable`] until it is right again. It never creates a database, since an empty
//! one in the place of one that is not mounted would make an outage look like wrong passwords.

use std::path::Path;
use std::time::Duration;

use credentials::policy::Policy;
use credentials::stand_in::{Census, Shape};
use credentials::verifier::Verifier;
use credentials::{Generation, Lookup, ScramHash, Trouble};
use protocol::Senders;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, TransactionBehavior, named_params};

use crate::database::{Fault, Identity, Opener, Reopening, open_accounts};
use crate::found::{Found, Judge, Own, as_stored};
use crate::record::{AccountId, AccountName, Secrets};
use crate::row::{Columns, columns};
use crate::schema;
use crate::time::UnixTime;

/// Readers wait for nobody in WAL mode; this is for the moments in which a log is recovered.
const BUSY: Duration = Duration::from_millis(100);

/// How many rows a census looks at; enough to find the majority, and a bound on its time.
const CENSUS_ROWS: i64 = 4096;

/// The index alone finds the row's number, and all values come from the row itself. So an index that does not fit
/// its table shows as a name that is not the one asked for, instead of as another account's hash.
const BY_NAME: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM account AS k CROSS JOIN account AS t ON t.id = k.id WHERE k.user = ?1 AND k.realm = ?2"
);

/// An account that is there, for the work that one makes.
const SOME: &str = concat!("SELECT ", columns!(), " FROM account AS t ORDER BY t.id DESC LIMIT 1");

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM account AS t WHERE t.id = ?1");

/// The two halves of "not expired" are a look each at the column's index of schema.rs.
macro_rules! lacking {
    ($column:literal) => {
        concat!(
            "SELECT EXISTS (SELECT 1 FROM account WHERE ",
            $column,
            " IS NULL AND disabled = 0 AND substr(password, 1, 1) NOT IN ('', '!', '*') \
               AND expires IS NULL) OR EXISTS (SELECT 1 FROM account WHERE ",
            $column,
            " IS NULL AND disabled = 0 AND substr(password, 1, 1) NOT IN ('', '!', '*') \
               AND expires > ?1)"
        )
    };
}

/// Our own account database, asked by the checker.
pub struct Backend {
    database: Reopening<Accounts>,
    judge: Judge,
}

/// What became of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// The record holds the new secrets, and has this generation.
    Written(Generation),
    /// Somebody changed or deleted the account since it was looked up; it stays as they left it.
    Superseded,
}

struct Accounts;

impl Opener for Accounts {
    fn open(&self, path: &Path) -> Result<Connection, Fault> {
        let mut connection = open_accounts(path, BUSY)?;
        schema::require(&mut connection)?;
        Ok(connection)
    }

    /// In WAL mode SQLite does not notice when the file's content is exchanged behind its back (`cp` over it), so
    /// any change of the file that is not in the log leads to a fresh connection. That also happens after each
    /// checkpoint, and costs a fraction of a millisecond.
    fn may_go_on(&self, before: &Identity, now: &Identity) -> bool {
        before == now
    }
}

impl Backend {
    /// Prepares to ask the database at `path`; opens it at the first use. `stand_in` takes the place of hashes that
    /// cannot be compared.
    pub fn new(path: &Path, policy: Policy, stand_in: Shape) -> Self {
        Self { database: Reopening::new(path, Accounts), judge: Judge { policy, stand_in } }
    }

    /// Sets another stand-in, usually after a [`Self::census`].
    pub fn set_stand_in(&mut self, stand_in: Shape) {
        self.judge.stand_in = stand_in;
    }

    /// Whether lookups work at the moment.
    ///
    /// # Errors
    /// What each lookup would say.
    pub fn health(&mut self) -> Result<(), Trouble> {
        self.database.with(|connection| {
            connection.prepare_cached(BY_NAME)?.exists(("", ""))?;
            Ok(())
        })
    }

    /// Finds the account of exactly this user and realm, in some microseconds; never longer than a second.
    pub fn lookup(&mut self, user: &[u8], realm: &[u8], now: UnixTime) -> Lookup<Found> {
        self.find(user, realm, now, None)
    }

    /// The same, with the keys for a SCRAM mechanism where the account has them.
    ///
    /// A client hears the salt before it has proven anything, and asks for as many as it likes. So a name that is there
    /// and one that isn't make the same work: each question is a hit and a miss.
    pub fn lookup_keys(
        &mut self,
        user: &[u8],
        realm: &[u8],
        now: UnixTime,
        hash: ScramHash,
    ) -> Lookup<Found> {
        self.find(user, realm, now, Some(hash))
    }

    /// As whom the account of exactly this user and realm may send.
    pub fn senders(&mut self, user: &[u8], realm: &[u8]) -> Lookup<Senders> {
        let names = as_stored(user).zip(as_stored(realm));
        let found = self.database.with(|connection| {
            let (user, realm) = names.unwrap_or(("", ""));
            let mut statement = connection.prepare_cached(BY_NAME)?;
            let mut rows = statement.query((user, realm))?;
            let Some(row) = rows.next()?.filter(|_| names.is_some()) else { return Ok(None) };
            let columns = Columns::of(row)?;
            if columns.user != user || columns.realm != realm {
                return Err(Fault::Said(
                    "its index does not fit its table; it is damaged, restore it from a backup"
                        .into(),
                ));
            }
            Ok(Some(columns.senders))
        });
        match found {
            Ok(Some(senders)) => Lookup::Found(senders),
            Ok(None) => Lookup::NotFound,
            Err(trouble) => Lookup::Unavailable(trouble),
        }
    }

    fn find(
        &mut self,
        user: &[u8],
        realm: &[u8],
        now: UnixTime,
        wanted: Option<ScramHash>,
    ) -> Lookup<Found> {
        let Self { database, judge } = self;
        let names = as_stored(user).zip(as_stored(realm));
        let found = database.with(|connection| {
            // Asked even for bytes that are in no table: an outage is an outage for every name.
            let (user, realm) = names.unwrap_or(("", ""));
            let mut statement = connection.prepare_cached(BY_NAME)?;
            let mut rows = statement.query((user, realm))?;
            let row = rows.next()?.filter(|_| names.is_some());
            let Some(row) = row else {
                if wanted.is_some() {
                    // Whatever is wrong with that account is for those who ask for it.
                    drop(judged_some(connection, judge, now, wanted));
                }
                return Ok(None);
            };
            let columns = Columns::of(row)?;
            if columns.user != user || columns.realm != realm {
                return Err(Fault::Said(
                    "its index does not fit its table; it is damaged, restore it from a backup"
                        .into(),
                ));
            }
            let found = judged(judge, &columns, now, wanted);
            if rows.next()?.is_some() {
                return Err(Fault::Said(
                    "two rows have the same name; it is damaged, restore it from a backup".into(),
                ));
            }
            drop(rows);
            if wanted.is_some() {
                statement.exists(("", ""))?;
            }
            Ok(Some(found))
        });
        match found {
            Ok(Some(found)) => Lookup::Found(found),
            Ok(None) => Lookup::NotFound,
            Err(trouble) => Lookup::Unavailable(trouble),
        }
    }

    /// Puts new secrets of the same password in the place of those that were `seen`, in one transaction: whoever
    /// changed the account in between wins, and after a crash either all or nothing is there.
    ///
    /// Secrets that are `None` stay as they are; but a new hash without SCRAM keys ends older keys.
    ///
    /// # Errors
    /// The database's; the login itself has been decided by then.
    pub fn upgrade(
        &mut self,
        account: AccountId,
        seen: Generation,
        secrets: &Secrets,
    ) -> Result<Upgrade, Trouble> {
        self.database.with(|connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if generation(&change, account)? != Some(seen) {
                return Ok(Upgrade::Superseded);
            }
            let columns = secrets.to_columns();
            let [sha_1, sha_256, sha_512] = columns.scram();
            change.execute(
                "UPDATE account SET password      = ifnull(:password, password),
                                    scram_sha_1   = ifnull(:sha_1, scram_sha_1),
                                    scram_sha_256 = ifnull(:sha_256, scram_sha_256),
                                    scram_sha_512 = ifnull(:sha_512, scram_sha_512)
                 WHERE id = :id",
                named_params! {
                    ":password": columns.password,
                    ":sha_1": sha_1,
                    ":sha_256": sha_256,
                    ":sha_512": sha_512,
                    ":id": account.0,
                },
            )?;
            let Some(written) = generation(&change, account)? else {
                return Err(Fault::Said("an account vanished inside a transaction".into()));
            };
            change.commit()?;
            Ok(Upgrade::Written(written))
        })
    }

    /// Notes when accounts logged in, in one transaction that waits for the disk: collect those that
    /// [`Own::wants_note`], and call this beside the logins, once a minute say. Generations stay the same.
    ///
    /// # Errors
    /// The database's; nothing is noted then.
    pub fn note_used(&mut self, logins: &[(AccountId, UnixTime)]) -> Result<(), Trouble> {
        if logins.is_empty() {
            return Ok(());
        }
        self.database.with(|connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (account, time) in logins {
                change
                    .prepare_cached(
                        "UPDATE account SET last_used = ?2
                         WHERE id = ?1 AND (last_used IS NULL OR last_used < ?2)",
                    )?
                    .execute((account.0, time.0))?;
            }
            Ok(change.commit()?)
        })
    }

    /// Whether an account could log in with its password now and has no keys for this mechanism. One look at an index.
    ///
    /// # Errors
    /// The database's.
    pub fn lacks_keys(&mut self, hash: ScramHash, now: UnixTime) -> Result<bool, Trouble> {
        let lacking = match hash {
            ScramHash::Sha1 => lacking!("scram_sha_1"),
            ScramHash::Sha256 => lacking!("scram_sha_256"),
            ScramHash::Sha512 => lacking!("scram_sha_512"),
            ScramHash::Sha224 | ScramHash::Sha384 => return Ok(true),
        };
        self.database.with(|connection| {
            let mut statement = connection.prepare_cached(lacking)?;
            Ok(statement.query_row([now.0], |row| row.get(0))?)
        })
    }

    /// The names of accounts that may log in now, in the order of users and realms: at most `most`, behind `after`.
    ///
    /// # Errors
    /// The database's.
    pub fn names(
        &mut self,
        after: Option<&AccountName>,
        most: usize,
        now: UnixTime,
    ) -> Result<Vec<AccountName>, Trouble> {
        let (user, realm) = after.map_or(("", ""), |name| (name.user(), name.realm()));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.database.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT user, realm FROM account
                 WHERE (user, realm) > (?1, ?2) AND disabled = 0 AND (expires IS NULL OR expires > ?3)
                 ORDER BY user, realm LIMIT ?4",
            )?;
            let mut rows = statement.query((user, realm, now.0, most))?;
            let mut names = Vec::new();
            while let Some(row) = rows.next()? {
                let (user, realm) = (row.get_ref(0)?.as_str(), row.get_ref(1)?.as_str());
                let (Ok(user), Ok(realm)) = (user, realm) else {
                    return Err(Fault::Said("a user or a realm is no text; it is damaged".into()));
                };
                names.push(AccountName::stored(user, realm));
            }
            Ok(names)
        })
    }

    /// Counts the usable hashes of the newest accounts, so that unknown names take the time of the majority.
    ///
    /// # Errors
    /// The database's.
    pub fn census(&mut self) -> Result<Census, Trouble> {
        let Self { database, judge } = self;
        database.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT password FROM account WHERE password IS NOT NULL ORDER BY id DESC LIMIT ?1",
            )?;
            let mut rows = statement.query([CENSUS_ROWS])?;
            let mut census = Census::new();
            while let Some(row) = rows.next()? {
                let ValueRef::Text(stored) = row.get_ref(0)? else { continue };
                if let Ok(verifier) = Verifier::parse(stored, &judge.policy) {
                    census.count(&verifier);
                }
            }
            Ok(census)
        })
    }
}

fn judged(judge: &Judge, columns: &Columns<'_>, now: UnixTime, wanted: Option<ScramHash>) -> Found {
    Found {
        entry: judge.entry(columns.password, columns.standing(now), columns.generation),
        restrictions: columns.restrictions.clone(),
        own: Some(Own {
            account: columns.id,
            kind: columns.kind,
            has_scram_sha_1: columns.scram_sha_1.is_some(),
            has_scram_sha_256: columns.scram_sha_256.is_some(),
            has_scram_sha_512: columns.scram_sha_512.is_some(),
            last_used: columns.last_used,
        }),
        keys: wanted.and_then(|hash| columns.keys(hash)),
        complaint: None,
    }
}

/// What the newest account says, whoever's it is.
fn judged_some(
    connection: &Connection,
    judge: &Judge,
    now: UnixTime,
    wanted: Option<ScramHash>,
) -> Result<Option<Found>, Fault> {
    let mut statement = connection.prepare_cached(SOME)?;
    let mut rows = statement.query(())?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(judged(judge, &Columns::of(row)?, now, wanted)))
}

fn generation(connection: &Connection, account: AccountId) -> Result<Option<Generation>, Fault> {
    let mut statement = connection.prepare_cached(BY_ID)?;
    let mut rows = statement.query([account.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Columns::of(row)?.generation))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_all;
#[cfg(test)]
mod tests_of_damage;
#[cfg(test)]
mod tests_of_writing;
