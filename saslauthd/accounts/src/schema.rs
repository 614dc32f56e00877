//! The tables of the account database, and how an older database becomes a newer one.
//!
//! Used by whoever opens the database. Each step runs in a transaction of its own together with the number that says
//! it is done, so an interrupted one never happened. A database of another program, or of a newer version of this
//! one, is left alone.

use rusqlite::{Connection, TransactionBehavior};

use crate::database::Fault;

/// "maut" in ASCII: tells our database from any other (`PRAGMA application_id`).
pub(crate) const APPLICATION_ID: i32 = 0x6d61_7574;

/// One step a version; `PRAGMA user_version` counts those that are done. A step that was released never changes.
const STEPS: &[&str] = &[ACCOUNT, SCRAM_SHA_512, SENDERS];

/// `account.id` is never used twice, so what is remembered about a deleted account never meets a new one.
///
/// The trigger keeps the promise that no old password outlives a change, whatever program writes a new hash: SCRAM
/// keys that it left alone are keys of the old password.
const ACCOUNT: &str = "
CREATE TABLE account (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    user          TEXT    NOT NULL CHECK (user <> ''),
    realm         TEXT    NOT NULL,
    kind          TEXT    NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'machine')),
    password      TEXT,
    scram_sha_1   TEXT,
    scram_sha_256 TEXT,
    disabled      INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    expires       INTEGER,
    services      TEXT,
    networks      TEXT,
    created       INTEGER NOT NULL DEFAULT (unixepoch()),
    changed       INTEGER NOT NULL DEFAULT (unixepoch()),
    last_used     INTEGER,
    UNIQUE (user, realm)
) STRICT;

CREATE TRIGGER account_password_changed AFTER UPDATE OF password ON account
WHEN NEW.password IS NOT OLD.password
BEGIN
    UPDATE account
    SET scram_sha_1   = iif(NEW.scram_sha_1   IS OLD.scram_sha_1,   NULL, NEW.scram_sha_1),
        scram_sha_256 = iif(NEW.scram_sha_256 IS OLD.scram_sha_256, NULL, NEW.scram_sha_256)
    WHERE id = NEW.id;
END;
";

/// Keys for SCRAM-SHA-512, under the same promise.
///
/// The indices hold the accounts that could log in with a password and lack keys: usually none, so whether a mechanism
/// can be offered to all is one look. A hash that begins with `!` or `*` is locked.
const SCRAM_SHA_512: &str = "
ALTER TABLE account ADD COLUMN scram_sha_512 TEXT;

DROP TRIGGER account_password_changed;
CREATE TRIGGER account_password_changed AFTER UPDATE OF password ON account
WHEN NEW.password IS NOT OLD.password
BEGIN
    UPDATE account
    SET scram_sha_1   = iif(NEW.scram_sha_1   IS OLD.scram_sha_1,   NULL, NEW.scram_sha_1),
        scram_sha_256 = iif(NEW.scram_sha_256 IS OLD.scram_sha_256, NULL, NEW.scram_sha_256),
        scram_sha_512 = iif(NEW.scram_sha_512 IS OLD.scram_sha_512, NULL, NEW.scram_sha_512)
    WHERE id = NEW.id;
END;

CREATE INDEX account_without_scram_sha_1 ON account (expires)
WHERE scram_sha_1 IS NULL AND disabled = 0 AND substr(password, 1, 1) NOT IN ('', '!', '*');
CREATE INDEX account_without_scram_sha_256 ON account (expires)
WHERE scram_sha_256 IS NULL AND disabled = 0 AND substr(password, 1, 1) NOT IN ('', '!', '*');
CREATE INDEX account_without_scram_sha_512 ON account (expires)
WHERE scram_sha_512 IS NULL AND disabled = 0 AND substr(password, 1, 1) NOT IN ('', '!', '*');
";

/// As whom the account may send: addresses and `@domain`s, `*` for anybody, NULL for itself.
const SENDERS: &str = "ALTER TABLE account ADD COLUMN senders TEXT;";

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A database without a single table.
    Blank,
    /// Ours, at this version.
    Ours(u32),
}

/// Looks whose database it is.
pub(crate) fn inspect(connection: &Connection) -> Result<State, Fault> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application == APPLICATION_ID {
        return u32::try_from(version)
            .map(State::Ours)
            .map_err(|_| Fault::Said("it has a negative schema version, so it is damaged".into()));
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(State::Blank);
    }
    Err(Fault::Said(
        "it is a database of another program; serve such a table through a configured query".into(),
    ))
}

/// Makes a blank database ours, and an older one current.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    migrate_by(connection, STEPS)
}

/// Brings a database that is ours already up to date; a blank one is an outage here, not an empty list of accounts.
pub(crate) fn require(connection: &mut Connection) -> Result<(), Fault> {
    match inspect(connection)? {
        State::Blank => Err(Fault::Said(
            "it holds no accounts table; add an account with `mailauth user add`".into(),
        )),
        State::Ours(version) if version as usize == STEPS.len() => Ok(()),
        State::Ours(_) => migrate(connection),
    }
}

fn migrate_by(connection: &mut Connection, steps: &[&str]) -> Result<(), Fault> {
    loop {
        // Immediate: two programs that start together must not both take the same step.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = match inspect(&step)? {
            State::Blank => 0,
            State::Ours(version) => version,
        };
        if version as usize > steps.len() {
            return Err(Fault::Said(format!(
                "it was made by a newer version of this program (schema {version}, known are {}); \
                 upgrade this program",
                steps.len()
            )));
        }
        let Some(batch) = steps.get(version as usize) else { return Ok(()) };
        step.execute_batch(batch)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", version + 1)?;
        step.commit()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(fault: Fault) -> String {
        match fault {
            Fault::Said(text) => text,
            Fault::Sqlite(error) => panic!("sqlite said: {error}"),
        }
    }

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn a_blank_database_becomes_ours_once() {
        let mut database = memory();
        assert_eq!(inspect(&database).ok(), Some(State::Blank));
        migrate(&mut database).ok().unwrap();
        assert_eq!(inspect(&database).ok(), Some(State::Ours(3)));
        migrate(&mut database).ok().unwrap();
    }

    #[test]
    fn an_older_database_is_brought_up_to_date_with_its_rows() {
        let mut database = memory();
        migrate_by(&mut database, &[ACCOUNT]).ok().unwrap();
        database.execute("INSERT INTO account (user, realm) VALUES ('vic', 'a')", []).unwrap();
        let steps = [ACCOUNT, "ALTER TABLE account ADD COLUMN note TEXT NOT NULL DEFAULT 'old';"];
        migrate_by(&mut database, &steps).ok().unwrap();
        let note: String =
            database.query_row("SELECT note FROM account", [], |row| row.get(0)).unwrap();
        assert_eq!(note, "old");
        assert_eq!(inspect(&database).ok(), Some(State::Ours(2)));
    }

    #[test]
    fn a_step_that_fails_never_happened() {
        let mut database = memory();
        migrate_by(&mut database, &[ACCOUNT]).ok().unwrap();
        let steps = [ACCOUNT, "CREATE TABLE half (x) STRICT; SELECT nonsense;"];
        assert!(migrate_by(&mut database, &steps).is_err());
        let steps =
            [ACCOUNT, "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);"];
        assert!(migrate_by(&mut database, &steps).is_err());
        assert_eq!(inspect(&database).ok(), Some(State::Ours(1)));
        assert!(database.prepare("SELECT * FROM half").is_err());
    }

    #[test]
    fn a_newer_database_is_left_alone() {
        let mut database = memory();
        migrate(&mut database).ok().unwrap();
        database.pragma_update(None, "user_version", 4).unwrap();
        assert!(said(require(&mut database).unwrap_err()).contains("made by a newer version"));
        assert!(said(migrate(&mut database).unwrap_err()).contains("made by a newer version"));
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let mut database = memory();
        database.execute_batch("CREATE TABLE users (name TEXT)").unwrap();
        assert!(said(migrate(&mut database).unwrap_err()).contains("another program"));
        let mut database = memory();
        database.pragma_update(None, "application_id", 7).unwrap();
        assert!(said(migrate(&mut database).unwrap_err()).contains("another program"));
    }

    #[test]
    fn a_blank_database_is_no_list_of_accounts() {
        assert!(said(require(&mut memory()).unwrap_err()).contains("mailauth user add"));
    }

    #[test]
    fn a_new_hash_by_any_program_ends_the_scram_keys_of_the_old() {
        let mut database = memory();
        migrate(&mut database).ok().unwrap();
        let scram = |database: &Connection| -> [Option<String>; 3] {
            database
                .query_row(
                    "SELECT scram_sha_1, scram_sha_256, scram_sha_512 FROM account",
                    [],
                    |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]),
                )
                .unwrap()
        };
        let keys = |keys: [&str; 3]| keys.map(|key| (key != "-").then(|| key.to_owned()));
        let step = |sql: &str, left: [&str; 3]| {
            database.execute_batch(sql).unwrap();
            assert_eq!(scram(&database), keys(left), "{sql}");
        };
        let insert = "INSERT INTO account (user, realm, password, scram_sha_256, scram_sha_512)
                      VALUES ('vic', '', 'a', 'k', 'l')";
        step(insert, ["-", "k", "l"]);
        step("UPDATE account SET disabled = 1, password = 'a'", ["-", "k", "l"]);
        let all = "UPDATE account
                   SET password = 'b', scram_sha_1 = 'new', scram_sha_256 = 'k2', scram_sha_512 = 'l2'";
        step(all, ["new", "k2", "l2"]);
        step("UPDATE account SET password = 'c', scram_sha_1 = 'newer'", ["newer", "-", "-"]);
        step("UPDATE account SET scram_sha_512 = 'l3'", ["newer", "-", "l3"]);
    }

    #[test]
    fn a_released_database_gains_the_third_kind_of_keys() {
        let mut database = memory();
        migrate_by(&mut database, &[ACCOUNT]).ok().unwrap();
        let insert = "INSERT INTO account (user, realm, password, scram_sha_256) VALUES ('vic', '', 'a', 'k')";
        database.execute_batch(insert).unwrap();
        require(&mut database).ok().unwrap();
        assert_eq!(inspect(&database).ok(), Some(State::Ours(3)));
        database.execute_batch("UPDATE account SET scram_sha_512 = 'l'").unwrap();
        database.execute_batch("UPDATE account SET password = 'b'").unwrap();
        let left: (Option<String>, Option<String>) = database
            .query_row("SELECT scram_sha_256, scram_sha_512 FROM account", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(left, (None, None));
    }
}
