//! The accounts as their operator sees them: add, change, show, list, delete.
//!
//! Used in the operator's tools, never in a daemon. It creates the database when there is none and brings an older
//! one up to date. Every change is one transaction and is on the disk when the call returns.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, named_params};

use crate::database::{Fault, open_accounts, resolve};
use crate::error::{Error, Refusal};
use crate::record::{Account, AccountId, AccountName, Edit, NewAccount, Secrets};
use crate::restrictions::Restrictions;
use crate::row::{Columns, columns};
use crate::schema;
use crate::time::UnixTime;

/// An operator can wait for a busy server.
const BUSY: Duration = Duration::from_secs(5);

/// The account database, open for changes.
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens the database at `path`, or creates it: mode 0600, and owned by whoever owns the directory, so that a
    /// tool of root's makes a file that the checker can use. The directory should be 0700 and the checker's.
    ///
    /// # Errors
    /// [`Error::Database`] when it cannot be opened, is another program's, or was made by a newer version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = open_or_create(path).map_err(|fault| fault.at(path))?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when user and realm are taken; [`Error::Database`].
    pub fn add(&mut self, new: &NewAccount, now: UnixTime) -> Result<AccountId, Error> {
        let NewAccount { name, kind, secrets, expires, restrictions } = new;
        let columns = secrets.to_columns();
        let [sha_1, sha_256, sha_512] = columns.scram();
        let added = self.connection.execute(
            "INSERT INTO account (user, realm, kind, password, scram_sha_1, scram_sha_256,
                                  scram_sha_512, expires, services, networks, created, changed)
             VALUES (:user, :realm, :kind, :password, :sha_1, :sha_256, :sha_512,
                     :expires, :services, :networks, :now, :now)",
            named_params! {
                ":user": name.user(),
                ":realm": name.realm(),
                ":kind": kind.as_str(),
                ":password": columns.password,
                ":sha_1": sha_1,
                ":sha_256": sha_256,
                ":sha_512": sha_512,
                ":expires": expires.map(|end| end.0),
                ":services": restrictions.services.to_text(),
                ":networks": restrictions.networks.to_text(),
                ":now": now.0,
            },
        );
        match added {
            Ok(_) => Ok(AccountId(self.connection.last_insert_rowid())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(Refusal::Exists.into())
            }
            Err(error) => Err(self.trouble(error)),
        }
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`Refusal::NoSuchAccount`]; [`Error::Database`].
    pub fn edit(&mut self, name: &AccountName, edit: &Edit, now: UnixTime) -> Result<(), Error> {
        let done = match edit {
            Edit::Secrets(secrets) => self.set_secrets(name, secrets, now)?,
            Edit::Lock => self.set(name, "disabled = :value", &1, now)?,
            Edit::Unlock => self.set(name, "disabled = :value", &0, now)?,
            Edit::Expire(end) => self.set(name, "expires = :value", &end.map(|end| end.0), now)?,
            Edit::Restrict(Restrictions { services, networks }) => self.execute(
                "UPDATE account SET services = :services, networks = :networks, changed = :now
                 WHERE user = :user AND realm = :realm",
                named_params! {
                    ":services": services.to_text(),
                    ":networks": networks.to_text(),
                    ":user": name.user(), ":realm": name.realm(), ":now": now.0,
                },
            )?,
            Edit::Senders(senders) => self.set(name, "senders = :value", &senders.text(), now)?,
            Edit::Kind(kind) => self.set(name, "kind = :value", &kind.as_str(), now)?,
        };
        self.one(done)
    }

    /// Deletes an account with all of its secrets.
    ///
    /// # Errors
    /// [`Refusal::NoSuchAccount`]; [`Error::Database`].
    pub fn delete(&mut self, name: &AccountName) -> Result<(), Error> {
        let done = self.execute(
            "DELETE FROM account WHERE user = ?1 AND realm = ?2",
            (name.user(), name.realm()),
        )?;
        self.forget_old_pages();
        self.one(done)
    }

    /// All of one account.
    ///
    /// # Errors
    /// [`Refusal::NoSuchAccount`]; [`Error::Database`].
    pub fn show(&self, name: &AccountName) -> Result<Account, Error> {
        let sql =
            concat!("SELECT ", columns!(), " FROM account AS t WHERE user = ?1 AND realm = ?2");
        let mut found = self.select(sql, &[&name.user(), &name.realm()])?;
        found.pop().ok_or_else(|| Refusal::NoSuchAccount.into())
    }

    /// The accounts of one realm or, with `None`, of all, by realm and user.
    ///
    /// # Errors
    /// [`Error::Database`], also for a row that no program of ours would write; it names the row.
    pub fn list(&self, realm: Option<&str>) -> Result<Vec<Account>, Error> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM account AS t WHERE ?1 IS NULL OR realm = ?1 ORDER BY realm, user"
        );
        self.select(sql, &[&realm])
    }

    fn select(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Account>, Error> {
        let select = || -> Result<Vec<Account>, Fault> {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query(values)?;
            let mut accounts = Vec::new();
            while let Some(row) = rows.next()? {
                accounts.push(Columns::of(row)?.to_account());
            }
            Ok(accounts)
        };
        select().map_err(|fault| fault.at(&self.path).into())
    }

    /// `assignment` is a constant of this file with one `:value`.
    fn set(
        &mut self,
        name: &AccountName,
        assignment: &'static str,
        value: &dyn rusqlite::ToSql,
        now: UnixTime,
    ) -> Result<usize, Error> {
        let sql = format!(
            "UPDATE account SET {assignment}, changed = :now WHERE user = :user AND realm = :realm"
        );
        self.execute(
            &sql,
            named_params! {
                ":value": value, ":user": name.user(), ":realm": name.realm(), ":now": now.0,
            },
        )
    }

    fn set_secrets(
        &mut self,
        name: &AccountName,
        secrets: &Secrets,
        now: UnixTime,
    ) -> Result<usize, Error> {
        let columns = secrets.to_columns();
        let [sha_1, sha_256, sha_512] = columns.scram();
        let done = self.execute(
            "UPDATE account SET password = :password, scram_sha_1 = :sha_1,
                                scram_sha_256 = :sha_256, scram_sha_512 = :sha_512,
                                changed = :now
             WHERE user = :user AND realm = :realm",
            named_params! {
                ":password": columns.password,
                ":sha_1": sha_1,
                ":sha_256": sha_256,
                ":sha_512": sha_512,
                ":user": name.user(), ":realm": name.realm(), ":now": now.0,
            },
        )?;
        self.forget_old_pages();
        Ok(done)
    }

    fn execute(&mut self, sql: &str, values: impl rusqlite::Params) -> Result<usize, Error> {
        self.connection.execute(sql, values).map_err(|error| self.trouble(error))
    }

    fn one(&self, done: usize) -> Result<(), Error> {
        if done == 0 { Err(Refusal::NoSuchAccount.into()) } else { Ok(()) }
    }

    /// The log that SQLite writes ahead keeps older pages, with older hashes, until it is emptied. A reader may be
    /// in the way; then the next change does it.
    fn forget_old_pages(&self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn trouble(&self, error: rusqlite::Error) -> Error {
        Fault::from(error).at(&self.path).into()
    }
}

fn open_or_create(path: &Path) -> Result<Connection, Fault> {
    create(path)?;
    let mut connection = open_accounts(path, BUSY)?;
    if schema::inspect(&connection)? == schema::State::Blank {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    }
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Makes an empty file where there is nothing, before SQLite could make one that others can read.
fn create(path: &Path) -> Result<(), Fault> {
    let path = resolve(path)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(file) => give_to_owner_of_directory(&file, &path)
            .map_err(|error| Fault::Said(format!("it cannot be set up: {error}"))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Fault::Said(format!("it cannot be created: {error}"))),
    }
}

fn give_to_owner_of_directory(file: &File, path: &Path) -> io::Result<()> {
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let (owner, mine) = (directory.metadata()?, file.metadata()?);
    // Nobody but root can give a file away; for anybody else a foreign directory is not to be wondered at.
    if mine.uid() == 0 && (owner.uid(), owner.gid()) != (mine.uid(), mine.gid()) {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    directory.sync_all()
}

#[cfg(test)]
mod tests;
