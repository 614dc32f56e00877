//! An existing table of the administrator's, asked through a configured query.
//!
//! Runs in the checker. The query is the operator's; the names are an attacker's and reach SQLite as bound
//! parameters only; the database belongs to another program and is opened for reading. One statement, one `SELECT`,
//! at most a second: whatever else the query does is a start-up error, and whatever the database does at a login is
//! [`Lookup::Unavailable`].

mod answer;
mod template;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use credentials::policy::Policy;
use credentials::stand_in::{Census, Shape};
use credentials::{Entry, Generation, Lookup, Trouble};
use rusqlite::{Connection, Statement};

pub use template::{Slot, Template, TemplateError};

use crate::database::{Fault, Identity, Opener, Reopening, open_foreign};
use crate::found::{Found, Judge, as_stored};
use crate::time::UnixTime;
use answer::Answer;

/// A program that writes without a log locks readers out for the time of a commit.
const BUSY: Duration = Duration::from_millis(250);

/// The names of one login, as they were prepared.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `%u`
    pub user: &'a [u8],
    /// `%r`
    pub realm: &'a [u8],
    /// `%s`
    pub service: &'a [u8],
}

impl<'a> Asked<'a> {
    /// The value of a slot; `None` for bytes that no table can hold.
    fn value(&self, slot: Slot) -> Option<&'a str> {
        let user = as_stored(self.user)?;
        let realm = as_stored(self.realm)?;
        Some(match slot {
            Slot::User => user,
            Slot::Realm => realm,
            Slot::Domain => user.rsplit_once('@').map_or(realm, |(_, domain)| domain),
            Slot::Service => as_stored(self.service)?,
        })
    }
}

/// Somebody else's database, asked by the checker.
///
/// The first column is the stored password in any form that [`credentials::verifier::Verifier::parse`] knows. Beside
/// it there may be columns of these names: `disabled` (NULL, 0 or no; 1 or yes), `expires` (NULL, or seconds since
/// 1970 from which on the account ends), `services` and `networks` (NULL for any, or a list). No row is an unknown
/// name. Two rows are an ambiguous name: nobody logs in, and the operator hears of it.
pub struct Query {
    database: Reopening<Foreign>,
    template: Template,
    judge: Judge,
    seen: Census,
    /// Records that are in the census, so that who logs in often counts once.
    counted: HashSet<Generation>,
}

/// Most records that the census counts; what most of so many are like changes no more.
const MOST_COUNTED: usize = 65_536;

struct Foreign;

impl Opener for Foreign {
    fn open(&self, path: &Path) -> Result<Connection, Fault> {
        open_foreign(path, BUSY)
    }

    /// The other program's writes change the file as well, and SQLite takes note of those itself.
    fn may_go_on(&self, before: &Identity, now: &Identity) -> bool {
        before.is_same_file(now)
    }
}

impl Query {
    /// Prepares to ask the database at `path`; opens it at the first use. `stand_in` takes the place of hashes that
    /// cannot be compared.
    pub fn new(path: &Path, template: Template, policy: Policy, stand_in: Shape) -> Self {
        Self {
            database: Reopening::new(path, Foreign),
            template,
            judge: Judge { policy, stand_in },
            seen: Census::new(),
            counted: HashSet::new(),
        }
    }

    /// What unknown names are compared with: like the usable hashes of most records that were found since the start.
    /// A query for one name cannot count a table, and those who log in are those whose time can be told.
    pub fn stand_in(&self) -> &Shape {
        &self.judge.stand_in
    }

    fn count(&mut self, entry: &Entry) {
        let is_new = !entry.verifier.is_stand_in()
            && self.counted.len() < MOST_COUNTED
            && self.counted.insert(entry.generation);
        if is_new {
            self.seen.count(&entry.verifier);
            if let Some(majority) = self.seen.majority() {
                self.judge.stand_in = majority.clone();
            }
        }
    }

    /// Whether the database is there and the query is one that may be asked: for the start and for `--check`.
    ///
    /// # Errors
    /// What each lookup would say.
    pub fn health(&mut self) -> Result<(), Trouble> {
        let Self { database, template, .. } = self;
        database.with(|connection| prepared(connection, template).map(|_| ()))
    }

    /// Asks for one name; never longer than a second and a quarter.
    pub fn lookup(&mut self, asked: &Asked<'_>, now: UnixTime) -> Lookup<Found> {
        let Self { database, template, judge, .. } = self;
        let path = database.path().to_owned();
        let values: Option<Vec<&str>> =
            template.slots().iter().map(|slot| asked.value(*slot)).collect();
        let found = database.with(|connection| {
            let (mut statement, columns) = prepared(connection, template)?;
            // Checked first, so that an outage is an outage for every name.
            let Some(values) = values else { return Ok(None) };
            for (at, value) in values.iter().enumerate() {
                statement.raw_bind_parameter(at + 1, value)?;
            }
            let mut rows = statement.raw_query();
            let Some(row) = rows.next()? else { return Ok(None) };
            let answer = Answer::of(row, &columns)?;
            let mut found = answer.found(judge, now);
            if rows.next()?.is_some() {
                found = answer.ambiguous(judge, &path);
            }
            Ok(Some(found))
        });
        match found {
            Ok(Some(found)) => {
                self.count(&found.entry);
                Lookup::Found(found)
            }
            Ok(None) => Lookup::NotFound,
            Err(trouble) => Lookup::Unavailable(trouble),
        }
    }
}

/// Prepares the statement, or finds it prepared, and holds it to the rules. SQLite prepares it anew by itself when
/// the tables change, so the rules are held each time and not only at the start.
fn prepared<'c>(
    connection: &'c Connection,
    template: &Template,
) -> Result<(rusqlite::CachedStatement<'c>, answer::Columns), Fault> {
    let statement = connection.prepare_cached(template.sql()).map_err(|error| match error {
        rusqlite::Error::MultipleStatement => {
            Fault::Said("the query is more than one statement".into())
        }
        other => Fault::from(other),
    })?;
    let columns = inspect(&statement, template)?;
    Ok((statement, columns))
}

fn inspect(statement: &Statement<'_>, template: &Template) -> Result<answer::Columns, Fault> {
    if !template.is_select() || !statement.readonly() || statement.is_explain() != 0 {
        return Err(Fault::Said("the query must be a SELECT that changes nothing".into()));
    }
    if statement.column_count() == 0 {
        return Err(Fault::Said("the query has no column with the password".into()));
    }
    if statement.parameter_count() != template.slots().len() {
        return Err(Fault::Said(
            "the query has parameters of its own; write %u, %r, %d or %s".into(),
        ));
    }
    answer::Columns::of(statement)
}

#[cfg(test)]
mod tests;
